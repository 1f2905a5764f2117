"""tensorboardX's writing thread, kept alive when the disk fails.

It ends at the first error; events then fill its queue, and the program waits for ever at the next one.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EventsOut", "guard"]


class EventsOut:
    """Stands before an event file: after a failure events are dropped, and the failure is kept for the main thread."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.failure: OSError | None = None

    def _guarded(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            self.failure = self.failure or error
            return None

    def write_event(self, event: Any) -> None:
        """Append an event, unless the file has failed."""
        if self.failure is None:
            self._guarded(self._file.write_event, event)

    def flush(self) -> None:
        """Hand what is written to the system, unless the file has failed."""
        if self.failure is None:
            self._guarded(self._file.flush)

    def close(self) -> None:
        """Close the file, also one that has failed."""
        self._guarded(self._file.close)

    def check(self) -> None:
        """Raise what the file failed with."""
        if self.failure is not None:
            raise OSError(
                self.failure.errno, f"SummaryWriter: events are lost, their file failed: {self.failure.strerror}", self._file._file_name
            )


def guard(writer: Any) -> Any:
    """A new `tensorboardX.FileWriter` with its event file guarded; its `event_writer._ev_writer` is an `EventsOut` then."""
    events = writer.event_writer
    if not isinstance(events._ev_writer, EventsOut):
        events._ev_writer = events._worker._record_writer = EventsOut(events._ev_writer)
    return writer

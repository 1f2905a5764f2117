"""The events of a trace of JAX's, and their sums by name."""

from __future__ import annotations

import gzip
import json
from typing import Any

__all__ = ["EventList", "FunctionEvent", "read_events"]


class FunctionEvent:
    """Something that ran: times in microseconds.

    Attributes:
        name, key: its name.
        count: how many times.
        cpu_time_total, device_time_total: on the host, on an accelerator.
    """

    def __init__(self, name: str, start: float, duration: float, on_device: bool, count: int = 1) -> None:
        self.name = self.key = name
        self.start, self.duration, self.on_device, self.count = start, duration, on_device, count

    @property
    def cpu_time_total(self) -> float:
        """Microseconds on the host."""
        return 0.0 if self.on_device else self.duration

    @property
    def device_time_total(self) -> float:
        """Microseconds on an accelerator."""
        return self.duration if self.on_device else 0.0

    cuda_time_total = device_time_total

    @property
    def cpu_time(self) -> float:
        """Microseconds on the host for one."""
        return self.cpu_time_total / self.count

    @property
    def device_time(self) -> float:
        """Microseconds on an accelerator for one."""
        return self.device_time_total / self.count

    def __repr__(self) -> str:
        return f"<FunctionEvent name={self.name} count={self.count} time={self.duration:.3f}us>"


class EventList(list):
    """Events, in a table when printed."""

    def averages(self) -> EventList:
        """One event for each name, with the sum of the times."""
        found: dict[tuple[str, bool], FunctionEvent] = {}
        for e in self:
            key = (e.name, e.on_device)
            if key in found:
                found[key].duration += e.duration
                found[key].count += e.count
            else:
                found[key] = FunctionEvent(e.name, e.start, e.duration, e.on_device, e.count)
        return EventList(found.values())

    key_averages = averages

    def total_average(self) -> FunctionEvent:
        """The sum of all."""
        return FunctionEvent("Total", 0.0, sum(e.duration for e in self), False, max(1, sum(e.count for e in self)))

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75, max_name_column_width: int = 55,
        max_shapes_column_width: int = 80, header: str | None = None, top_level_events_only: bool = False, time_unit: str | None = None,
    ) -> str:  # fmt: skip
        """Names, calls and times as text.

        Args:
            sort_by: "cpu_time_total", "cuda_time_total", "device_time_total", "cpu_time", "count" and the like, largest first.
            row_limit: the number of rows; -1: all.
            max_name_column_width: longer names are cut.
            header: a line above.
            time_unit: "us", "ms" or "s"; None: what fits.
            max_src_column_width, max_shapes_column_width, top_level_events_only: hints; there are no such columns.
        """
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda e: getattr(e, sort_by.removeprefix("self_")), reverse=True)
        rows = rows if row_limit < 0 else rows[:row_limit]
        unit = time_unit or "us"
        scale = {"us": 1.0, "ms": 1e3, "s": 1e6}[unit]
        cut = [e.name if len(e.name) <= max_name_column_width else e.name[: max_name_column_width - 3] + "..." for e in rows]
        width = max([4, *map(len, cut)])
        lines = [f"{'Name':>{width}}  {'CPU total':>14}  {'Device total':>14}  {'# of Calls':>10}"]
        for name, e in zip(cut, rows, strict=True):
            lines.append(
                f"{name:>{width}}  {e.cpu_time_total / scale:>12.3f}{unit}  {e.device_time_total / scale:>12.3f}{unit}  {e.count:>10}"
            )
        rule = "-" * len(lines[0])
        return "\n".join([*([header] if header else []), rule, lines[0], rule, *lines[1:], rule]) + "\n"

    def __str__(self) -> str:
        return self.table()


def read_events(path: str) -> EventList:
    """The events of a trace file of JAX's, but for those of Python's own calls."""
    with gzip.open(path, "rt") as file:
        trace = json.load(file)["traceEvents"]
    devices = {e["pid"] for e in trace if e.get("name") == "process_name" and "/device:" in str(e.get("args", {}).get("name"))}
    found: list[Any] = [
        FunctionEvent(e["name"], float(e["ts"]), float(e.get("dur", 0.0)), e["pid"] in devices)
        for e in trace
        if e.get("ph") == "X" and not e["name"].startswith("$")
    ]
    return EventList(found)

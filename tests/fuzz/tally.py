"""What a run of the fuzzer has found so far, in a file: a program that ends the process must not end the run."""

from __future__ import annotations

import collections
import json
from pathlib import Path

__all__ = ["Tally"]


class Tally:
    """Counts of differences, and the seed that is being tried."""

    def __init__(self, file: Path, first: int) -> None:
        self._file = file
        self.known: collections.Counter[str] = collections.Counter()
        self.kinds: collections.Counter[str] = collections.Counter()
        self.seed, self.tried, self.seconds = first, 0, 0.0
        if file.exists():
            found = json.loads(file.read_text())
            self.known.update(found["known"])
            self.kinds.update(found["kinds"])
            self.seed, self.tried, self.seconds = found["seed"], found["tried"], found["seconds"]

    @property
    def unknown(self) -> int:
        """How many differences nobody knows."""
        return self.kinds.total()

    def write(self) -> None:
        """Keep what is known now."""
        said = {"known": self.known, "kinds": self.kinds, "seed": self.seed, "tried": self.tried, "seconds": self.seconds}
        self._file.write_text(json.dumps(said))

    def show(self, first: int) -> None:
        """Print it."""
        for name, times in self.kinds.most_common():
            print(f"{times:6d} UNKNOWN: {name}")
        for name, times in self.known.most_common():
            print(f"{times:6d} known: {name}")
        print(f"{self.tried} programs from seed {first}, {self.unknown} unknown differences, {self.seconds:.0f} s")

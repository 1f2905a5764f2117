"""A table of measurements: a row for each statement, a column for each description."""

from __future__ import annotations

from typing import Any

from .measurement import Measurement, ordered_unique, select_unit, trim_sigfig, unit_to_english

__all__ = ["Compare"]


class Compare:
    """Shows measurements side by side.

    Args:
        results: what is shown; those of one task are merged.

    Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html#torch.utils.benchmark.Compare
    """

    def __init__(self, results: list[Measurement]) -> None:
        self._results: list[Measurement] = []
        self._trim = self._colors = self._warn = False
        self.extend_results(results)

    def extend_results(self, results: Any) -> None:
        """Show more measurements."""
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Write no more digits than the measurements support."""
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        """Mark the fastest of each column, or row, in green and what takes twice as long in red."""
        self._colors = "row" if rowwise else "column"  # type: ignore[assignment]

    def highlight_warnings(self) -> None:
        """Mark measurements that vary much by a note of their spread."""
        self._warn = True

    def print(self) -> None:
        """Print the table."""
        print(str(self))

    def __str__(self) -> str:
        merged = Measurement.merge(self._results)
        labels = ordered_unique(m.task_spec.label for m in merged)
        return "\n\n".join(self._table(label, [m for m in merged if m.task_spec.label == label]) for label in labels) + "\n"

    def _table(self, label: str | None, results: list[Measurement]) -> str:
        unit, length = select_unit(min(m.median for m in results))
        columns = ordered_unique(m.task_spec.description or "" for m in results)
        rows = ordered_unique((m.task_spec.num_threads, m.task_spec.env, m.as_row_name) for m in results)
        cells: dict[Any, Measurement] = {}
        for m in results:
            cells[(m.task_spec.num_threads, m.task_spec.env, m.as_row_name), m.task_spec.description or ""] = m
        texts = {key: self._text(m, length) for key, m in cells.items()}
        names = {row: (f"({row[1]}) " if row[1] else "") + row[2] for row in rows}
        first = max(len(n) for n in names.values()) + 6
        widths = {c: max([len(c), *(len(texts[r, c]) for r in rows if (r, c) in texts)]) for c in columns}
        head = " " * first + "".join(f"  |  {c.center(widths[c])}" for c in columns)
        width = len(head)
        lines = [f"[{f' {label} '.center(width - 2, '-')}]", head]
        for threads in ordered_unique(row[0] for row in rows):
            lines.append(f"{threads} threads: ".ljust(width, "-"))
            for row in [r for r in rows if r[0] == threads]:
                line = f"      {names[row]}".ljust(first)
                for c in columns:
                    line += "  |  " + self._marked(texts.get((row, c), "").rjust(widths[c]), row, c, cells)
                lines.append(line)
        return "\n".join([*lines, "", f"Times are in {unit_to_english(unit)}s ({unit})."])

    def _text(self, m: Measurement, length: float) -> str:
        time = m.median / length
        if self._trim:
            figures = m.significant_figures
            time = trim_sigfig(time, figures)
            text = f"{time:.{max(figures - len(str(int(time))), 0)}f}"
        else:
            text = f"{time:.1f}"
        return text + (f" (! {m.iqr / m.median * 100:.0f}%)" if self._warn and m.has_warnings else "")

    def _marked(self, text: str, row: Any, column: str, cells: dict[Any, Measurement]) -> str:
        if not self._colors or (row, column) not in cells:
            return text
        beside = [m for (r, c), m in cells.items() if (r == row if self._colors == "row" else c == column)]
        ratio = cells[row, column].median / min(m.median for m in beside)
        code = "92;1" if ratio <= 1 else "31;1" if ratio > 2 else ""
        return f"\033[{code}m{text}\033[0m" if code else text

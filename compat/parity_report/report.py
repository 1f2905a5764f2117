"""What a comparison of two models found: rows, the first layer that diverges, a table, a picture."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Iterator
from typing import Any

from jaxnn.support.packages import needed

from ..files.commands import rich

__all__ = ["ParityError", "ParityReport", "Row"]


class ParityError(AssertionError):
    """Two models differ."""


@dataclasses.dataclass
class Row:
    """One comparison.

    Attributes:
        layer: the module's name, "" being the model itself.
        what: "input", "output", "gradient of weight", "weight before", "weight after 3 steps", "configuration", ...
        shape, dtype: PyTorch's.
        absolute: the largest difference of two elements.
        relative: that, by PyTorch's largest element.
        tolerance: up to which ``relative`` counts as rounding.
        note: what else there is to say.
    """

    layer: str
    what: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    absolute: float = 0.0
    relative: float = 0.0
    tolerance: float = 0.0
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether both agree up to rounding."""
        return not self.note and self.relative <= self.tolerance  # NaN is not

    @property
    def phase(self) -> str:
        """Where it belongs: "start", "forward", "backward" or "steps"."""
        if self.what.startswith(("input", "output", "call")):
            return "forward"
        if self.what.startswith("gradient"):
            return "backward"
        return "steps" if "step" in self.what else "start"


class ParityReport:
    """What `parity` found.

    Attributes:
        rows: every comparison, those of the forward in the order of the calls.
        first: the first row of the forward that differs; without one, the first that differs at all; None when all agree.
        layer: the name of the layer that diverges first, "" for the model's own forward; None when all agree.
        losses: PyTorch's and jaxnn's loss at each optimizer step.

    Args:
        rows: each comparison.
        losses: of both models at every step.
        culprit: the first layer that differs, or None.
    """

    def __init__(self, rows: list[Row], losses: list[tuple[float, float]], culprit: str | None) -> None:
        self.rows = rows
        self.losses = losses
        order = ("forward", "start", "backward", "steps")
        bad = [r for r in rows if not r.ok]
        self.first = min(bad, key=lambda r: order.index(r.phase), default=None)
        self.layer: str | None = None
        if self.first is not None:
            self.layer = culprit if self.first.phase == "forward" and culprit is not None else self.first.layer

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return self.first is None

    def check(self) -> ParityReport:
        """The report itself where all agrees.

        Raises:
            ParityError: with the table of what differs.
        """
        if not self.ok:
            raise ParityError(str(self))
        return self

    # --- as text

    def table(self, everything: bool = False) -> Any:
        """A table of rich's: what differs, the worst of each kind, or everything."""
        made = rich().table.Table(box=rich().box.SIMPLE_HEAD, title=self.verdict(), title_justify="left")
        for name, align in (("", "left"), ("layer", "left"), ("what", "left"), ("shape", "left"), ("dtype", "left"),
                            ("absolute", "right"), ("relative", "right"), ("", "left")):  # fmt: skip
            made.add_column(name, justify=align, overflow="fold")
        for r in self.rows if everything else self._shown():
            mark = "[green]same[/]" if r.ok else "[bold red]DIFFERS[/]"
            numbers = (f"{r.absolute:.1e}", f"{r.relative:.1e}") if r.dtype else ("", "")
            text = rich().text.Text
            made.add_row(mark, text(r.layer or "(model)"), r.what, str(list(r.shape)) if r.dtype else "", r.dtype, *numbers, text(r.note))
        return made

    def _shown(self) -> Iterator[Row]:
        bad = [r for r in self.rows if not r.ok]
        worst: dict[str, Row] = {}
        for r in self.rows:
            if r.ok and r.dtype and r.relative >= worst.get(r.phase, r).relative:
                worst[r.phase] = r
        shown = {id(r) for r in (*bad[:40], *worst.values())}
        if self.first is not None:
            yield self.first
        yield from (r for r in self.rows if id(r) in shown and r is not self.first)

    def verdict(self) -> str:
        """One line that says how it went."""
        if self.first is None:
            worst = max((r.relative for r in self.rows if r.phase == "forward"), default=0.0)
            return f"{len(self.rows)} comparisons agree; outputs differ by {worst:.1e} at most"
        count = sum(not r.ok for r in self.rows)
        return f"diverges first at {self.layer or '(model)'}: {self.first.what} ({count} of {len(self.rows)} comparisons differ)"

    def __str__(self) -> str:
        out = io.StringIO()
        rich().console.Console(file=out, width=200).print(self.table())
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"

    def __repr__(self) -> str:
        return f"ParityReport({self.verdict()})"

    def _repr_html_(self) -> str:
        console = rich().console.Console(record=True, file=io.StringIO(), width=160)
        console.print(self.table())
        return console.export_html(inline_styles=True)

    # --- as data and as a picture

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "ok": self.ok, "layer": self.layer, "losses": self.losses,
            "rows": [dataclasses.asdict(r) | {"ok": r.ok, "phase": r.phase} for r in self.rows],
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON."""
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(self.to_dict(), stream, indent=1)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A picture of the error by depth: outputs in the order of the calls, gradients, and weights after the steps.

        Needs matplotlib. Returns the figure; with ``path`` it is also written there.
        """
        drawing = needed("matplotlib.figure", "a picture of the parity report", "jaxnn-torch[examples]")
        figure = drawing.Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        places: dict[str, int] = {}
        for r in self.rows:
            if r.phase == "forward":
                places.setdefault(r.layer, len(places))
        for r in self.rows:
            places.setdefault(r.layer, len(places))
        floor = 1e-10
        for phase, marker in (("forward", "o-"), ("backward", "^"), ("steps", "s")):
            found = [r for r in self.rows if r.phase == phase and r.dtype and (phase != "forward" or r.what.startswith("output"))]
            if found:
                x, y = [places[r.layer] for r in found], [max(r.relative, floor) for r in found]
                label = {"forward": "outputs", "backward": "gradients", "steps": "weights after the steps"}[phase]
                axes.plot(x, y, marker, markersize=4, linewidth=1, alpha=0.8, label=label)
        limits = [r.tolerance for r in self.rows if r.phase == "forward" and r.tolerance]
        if limits:
            axes.axhline(max(limits), linestyle="--", linewidth=1, color="gray", label="tolerance of outputs")
        if self.layer is not None and self.layer in places:
            axes.axvline(places[self.layer], color="red", linewidth=1, label=f"diverges first: {self.layer or '(model)'}")
        axes.set_yscale("log")
        axes.set_ylabel("relative error")
        step = max(1, len(places) // 30)
        names = list(places)[::step]
        axes.set_xticks(range(0, len(places), step), [n or "(model)" for n in names], rotation=90, fontsize=7)
        axes.legend(fontsize=8)
        if path is not None:
            figure.savefig(path)
        return figure

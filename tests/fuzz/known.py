"""Differences that are known: each rule is as narrow as it can be, and its name says why.

`listed` ones are in docs/differences.md. `fault` ones are to be mended; their rules go with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .comparing import Difference, differences
from .running import Raised, Seen, run_with_snapshots


class Case(NamedTuple):
    """A difference in its program, and the names of the rules that explained earlier ones of the same run."""

    statements: list[str]
    difference: Difference
    earlier: list[str]

    @property
    def text(self) -> str:
        """The whole program."""
        return "\n".join(self.statements)

    @property
    def statement(self) -> str:
        """The statement after which the runs differ; empty where only the end tells."""
        return "" if self.difference.step is None else self.statements[self.difference.step]

    def raised(self, text: str, ours: bool = False) -> bool:
        """Whether PyTorch (or our side) alone raised something with this text."""
        mine, other = self.difference.ours, self.difference.theirs
        one, none = (mine, other) if ours else (other, mine)
        return isinstance(one, Raised) and not isinstance(none, Raised) and re.search(text, one.text) is not None


#: Name -> rule.
RULES: dict[str, Callable[[Case], bool]] = {}


def rule(name: str) -> Callable[[Callable[[Case], bool]], Callable[[Case], bool]]:
    """A known difference."""

    def keep(f: Callable[[Case], bool]) -> Callable[[Case], bool]:
        RULES[name] = f
        return f

    return keep


def judged(statements: list[str], ours: Seen, theirs: Seen) -> tuple[str | None, Difference | None]:
    """What differs between two runs: (None, None) when they agree, (a known difference's name, it), or (None, a fault).

    PyTorch computes gradients with what a tensor holds at backward, or raises where it notices that it was written to; ours
    with what the operator saw (docs/differences.md). So the judge of a program that differs is PyTorch made to keep that.
    """
    name, found = _first_unknown(statements, differences(ours, theirs))
    if found is None or name:
        return name, found
    if "backward" in "".join(statements) or "grad(" in "".join(statements):
        other, left = _first_unknown(statements, differences(ours, run_with_snapshots(statements)))
        if left is None or other:
            return "listed: the value that an operator saw counts in its gradient", found
    return None, found


def _first_unknown(statements: list[str], found: Iterable[Difference]) -> tuple[str | None, Difference | None]:
    names: list[str] = []
    first = None
    for difference in found:
        case = Case(statements, difference, names)
        name = next((name for name, known in RULES.items() if known(case)), None)
        if name is None:
            return None, difference
        if name.startswith("fault"):  # what follows may come of it
            return name, difference
        names.append(name)
        first = first or difference
    return (names[0], first) if names else (None, None)


# ---- listed in docs/differences.md

STRIDES = "listed: results are laid out row-major"


@rule(STRIDES)
def _strides(case: Case) -> bool:
    asked = re.search(r"\.(stride|is_contiguous|storage_offset)\(", case.text)
    return (
        case.difference.kind == "strides"
        or bool(asked and case.difference.where.startswith("log"))
        or case.raised("view size is not compatible|Cannot view a tensor with shape")
    )


@rule("listed: results are laid out row-major, so that another reshape is a view")
def _views(case: Case) -> bool:
    makes_views = re.search(r"reshape|flatten|contiguous|ravel|\.view\(|unflatten", case.text)
    return STRIDES in case.earlier and bool(makes_views)


@rule("listed: a counter of writes to what was made of .data, of a gradient, or of a running mean")
def _versions(case: Case) -> bool:
    causes = (".data", ".grad", "BatchNorm", "clip_grad", "double()", "float()", "optim", "load")
    asked = case.difference.where.startswith("log") and "_version" in case.text
    return (case.difference.kind == "_version" or asked) and any(cause in case.text for cause in causes)


@rule("listed: a checkpoint is a node of its own")
def _checkpoint(case: Case) -> bool:
    return "checkpoint" in case.text and "CheckpointFunctionBackward" in str(case.difference.ours)


@rule("listed: an internal assertion of PyTorch's")
def _assertion(case: Case) -> bool:
    return case.raised("Could this error message be improved|INTERNAL ASSERT")


@rule("listed: a type that PyTorch's kernels lack")
def _types(case: Case) -> bool:
    lacking = (
        r"\" not implemented for '|does not support (complex|bool)|not (implemented|supported|intended).*complex|"
        "Expected a floating point or complex"
    )
    theirs = case.difference.theirs
    both = isinstance(theirs, Raised) and isinstance(case.difference.ours, Raised) and theirs.type == "NotImplementedError"
    return case.raised(lacking) or (both and re.search(lacking, theirs.text) is not None)


@rule("listed: a node's name after its tensor was changed in place")
def _names(case: Case) -> bool:
    """The texts are equal but for the name, and something was written or reshaped in place."""
    bare = [re.sub(r",\s+grad_fn=<\w+>", "", str(side)) for side in (case.difference.ours, case.difference.theirs)]
    changed = re.search(r"_\(|\] ?[-+*]?= |[-+*/]= |inplace=True|out=|InPlace|Net\(", case.text)
    return case.difference.kind in ("printed", "number or text") and bare[0].split() == bare[1].split() and bool(changed)


@rule("listed: a second backward is judged by what JAX's derivative needs")
def _second(case: Case) -> bool:
    return case.raised("backward through the graph a second time")


@rule("listed: another error of the same refusal")
def _errors(case: Case) -> bool:
    """Both refuse an index that is out of range, or a key that is no index."""
    ours, theirs = case.difference.ours, case.difference.theirs
    both = isinstance(ours, Raised) and isinstance(theirs, Raised) and ours.type == "IndexError"
    return both and re.search(r"new\(\): invalid data type|index_select\(\): self indexing axis dim", theirs.text) is not None


@rule("listed: what was computed from a released part of a graph")
def _released(case: Case) -> bool:
    return case.raised("backward through the graph a second time", ours=True)


# ---- faults that are being mended


@rule("fault: outputs of split, chunk and unbind are not refused at a look when their base has been written to")
def _outputs_of_split(case: Case) -> bool:
    return case.raised("This view is the output of a function that returns multiple views")


@rule("fault: flags of a view that is made under no_grad of a leaf that is a view, or of a piece of a leaf")
def _flags_under_no_grad(case: Case) -> bool:
    flag = case.difference.kind in ("requires_grad", "is_leaf") and case.difference.ours is not case.difference.theirs
    return flag and re.search(r"no_grad|enabled\(False", case.text) is not None


@rule("fault: out= of an operand may have another shape")
def _out_of_operand(case: Case) -> bool:
    return "out=" in case.statement and case.raised("output with shape .* doesn't match the broadcast shape")


@rule("fault: a view of a leaf that is itself a view keeps its graph after the leaf was written to without gradients")
def _view_after_step(case: Case) -> bool:
    leaf_view = re.search(r"\)(\[|\.view\()[^\n]*(requires_grad_\(\)|\)\))", case.text)
    written = re.search(r"\.step\(\)|no_grad|\.data", case.text)
    return case.difference.kind == "has grad" and case.difference.theirs is False and bool(leaf_view and written)

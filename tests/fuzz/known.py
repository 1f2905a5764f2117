"""Differences that are known: each rule is as narrow as it can be, and its name says why.

All are in docs/differences.md. A rule whose name begins with `fault` excuses what is to be mended, and goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from .comparing import Difference, differences
from .running import Raised, Seen, run_with_snapshots


class Case(NamedTuple):
    """A difference in its program, and the names of the rules that explained earlier ones of the same run."""

    statements: list[str]
    difference: Difference
    earlier: list[str]
    refused: bool = False  # whether a backward raised on both sides before

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


_BACKWARD = re.compile(r"backward\(|autograd\.grad\(|\.step\(")

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
    name, found = _first_unknown(statements, differences(ours, theirs), theirs)
    if found is None or name:
        return name, found
    if "backward" in "".join(statements) or "grad(" in "".join(statements):
        copied = run_with_snapshots(statements)
        other, left = _first_unknown(statements, differences(ours, copied), copied)
        still = left is not None and isinstance(left.theirs, Raised) and "modified by an inplace operation" in left.theirs.text
        if left is None or other or still:
            return "listed: the value that an operator saw counts in its gradient", found
    return None, found


def _first_unknown(statements: list[str], found: Iterable[Difference], theirs: Seen) -> tuple[str | None, Difference | None]:
    names: list[str] = []
    first = None
    refused = [k for k, (raised, _) in enumerate(theirs.steps) if raised and _BACKWARD.search(statements[k])]
    for difference in found:
        end = len(statements) if difference.step is None else difference.step
        case = Case(statements, difference, names, any(k <= end for k in refused))
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
        r"\" not implemented for '|aminmax not implemented for Complex|derivative for aten::floor_divide|"
        r"does not support (complex|bool)|not (implemented|supported|intended).*complex|"
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
    words = r"new\(\): invalid data type|index_select\(\): self indexing axis dim|are out of bounds for storage"
    return both and re.search(words, theirs.text) is not None


@rule("listed: what was computed from a released part of a graph")
def _released(case: Case) -> bool:
    return case.raised("backward through the graph a second time", ours=True)


@rule("listed: brackets of three dots on a parameter give an array")
def _dots(case: Case) -> bool:
    dots = r"\w+\[\.\.\.\]"
    made = re.search(rf"\b{re.escape(case.difference.where)} = {dots}", case.text) and case.difference.kind == "missing"
    return "Parameter" in case.text and bool(made or (re.search(dots, case.statement) and case.raised("leaf Variable")))


@rule("listed: a gradient of zeros has memory")
def _zero_tensor(case: Case) -> bool:
    return case.raised("ZeroTensor|unallocated storage")


@rule("listed: a gradient repeats no elements")
def _expanded_gradient(case: Case) -> bool:
    made = re.search(r"grad\(|create_graph|\.grad\b", case.text)
    written = STRIDES in case.earlier and case.difference.kind in ("value", "number or text", "gradient", "printed")
    return bool(made) and (case.raised("more than one element of the written-to tensor") or written)


@rule("listed: writing by indices to a tensor that repeats elements")
def _written_by_indices(case: Case) -> bool:
    return "expand" in case.text and case.raised("more than one element of the written-to tensor", ours=True)


@rule("listed: each place is computed once where strides overlap")
def _overlapping(case: Case) -> bool:
    shown = re.search(r"as_strided\(\(2, 2\), \(1, 1\)\)|unfold\(-?\d, 2, 1\)|expand", case.text)
    return bool(shown) and case.difference.kind in ("value", "printed", "gradient", "number or text")


@rule("listed: a backward that raises leaves no gradients behind")
def _raising_backward(case: Case) -> bool:
    """Both raised; PyTorch had called hooks and added gradients up to there."""
    kinds = ("gradient", "has grad", "number or text", "printed", "value", "gradient's dtype", "gradient's requires_grad")
    return case.refused and case.difference.kind in kinds


@rule("listed: which of several equal elements is named")
def _ties(case: Case) -> bool:
    return re.search("kthvalue|topk|median|mode|sort", case.text) is not None and case.difference.kind in (
        "gradient", "value", "number or text", "printed",
    )  # fmt: skip


@rule("listed: which gradients require gradients")
def _flag_of_gradients(case: Case) -> bool:
    flag = case.difference.ours is False and case.difference.theirs is True
    created = re.search("create_graph|penalty", case.text) is not None
    return created and (
        (flag and case.difference.kind in ("requires_grad", "gradient's requires_grad"))
        or (case.difference.kind == "is_leaf" and case.difference.ours is True)
        or case.raised("does not require grad", ours=True)
    )


@rule("listed: half-precision results are rounded once")
def _half(case: Case) -> bool:
    ours, theirs = case.difference.ours, case.difference.theirs
    numbers = isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and ours.dtype.kind == theirs.dtype.kind == "f"
    if "bfloat16" not in case.text:
        return False
    return case.difference.kind == "printed" or (numbers and bool(np.allclose(ours, theirs, rtol=0.1, atol=0.05, equal_nan=True)))


@rule("listed: integers never require gradients")
def _integers(case: Case) -> bool:
    written = re.search(r"\] = |copy_\(|_scatter_\(", case.text) is not None
    return case.difference.kind == "requires_grad" and case.difference.ours is False and "int" in case.text and written


@rule("listed: a leaf whose shape was changed in place")
def _reshaped_leaf(case: Case) -> bool:
    return re.search(r"squeeze_\(|transpose_\(|\.t_\(", case.text) is not None and case.difference.kind in ("shape", "gradient")


@rule("listed: memory that overlaps where PyTorch does not notice")
def _unnoticed(case: Case) -> bool:
    """Strided operands: PyTorch reads what it has just written."""
    written = re.search(r"addmm_|masked_scatter_|[-+*/]= |_\(|\] = ", case.statement) is not None
    return written and case.difference.kind == "value" and case.difference.step is None and "out=" in case.statement

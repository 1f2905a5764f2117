"""Hooks on what operators keep for their backward: packed when they run, unpacked when a backward needs it.

Under such hooks every operator that gradients flow through is a node of its own, so that nothing else holds what was packed.
Which operands are packed follows PyTorch's formulas for common operators; others pack all of their operands.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ..memory.cell import NOWHERE, Cell
from ..memory.tensor_base import TensorBase, alias, aval, goes_nowhere, has_own_source
from ..operator.arguments import Number, changed, tensors_in
from ..operator.op import operator_name
from ..path.recording import Recording
from ..process.config import state
from ..record.at_once import EagerNode
from ..record.write_guards import check_guarded
from ..run.cut import cut_graph, hold
from .by_result import BY_RESULT
from .modes import enable_grad, no_grad
from .operators import COPY, TWICE, plain, zeros
from .operators import call as run_operator
from .pull import pull_eager

__all__ = ["Packed", "kept_operands", "operand_names", "run_packed", "saving"]

_NOTHING = {"add", "sub", "rsub", "neg", "sum", "mean", "cat", "stack", "to", "clone", "contiguous"}
#: An operand is kept if another one requires a gradient.
_CROSSED = {"mul", "matmul", "mm", "bmm", "mv", "dot", "linear"}

@contextlib.contextmanager
def saving(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> Iterator[None]:
    """Pack what operators keep within the block."""
    if state.saving_refused is not None:
        raise RuntimeError(state.saving_refused)
    before = state.saving
    state.saving = (pack, unpack)
    try:
        yield
    finally:
        state.saving = before


def _target(t: Any) -> Cell:
    """Where the gradient of a tensor goes, of a view the reading of it that is recorded now."""
    own = has_own_source(t)
    cell = t._cell
    if own and goes_nowhere(t):
        return Cell(NOWHERE)
    if t._view is not None and not own and cell.source is not None and cell.source is not NOWHERE:
        with enable_grad():
            cell = plain(t)._cell
    made = Cell(cell.source, cell.source_idx)
    hold(made)
    return made


class Packed:
    """What a pack hook has made of a tensor, and where the tensor's gradient went."""

    def __init__(self, t: Any, value: Any = None, hooks: Any = None) -> None:
        pack, self.unpack = state.saving if hooks is None else hooks
        self.cell = _target(t)
        given = alias(run_operator(COPY, (alias(t, Cell()),)) if value is None else value, self.cell)
        version = given._storage.known_version
        with _without_hooks():
            self.packed = pack(given)
        if given._storage.known_version != version:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be "
                "modified by in-place operations as this can lead to unexpected side-effects. Please open an issue if you need "
                "to perform in-place operations on the input to a pack hook."
            )

    def unpacked(self, cell: Any = None) -> Any:
        """The tensor that the unpack hook gives back, with its place in the graph."""
        with _without_hooks():
            found = self.unpack(self.packed)
        if not isinstance(found, TensorBase):
            raise TypeError(
                f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(found).__name__}"
            )
        return alias(found.detach(), self.cell if cell is None else cell)


@contextlib.contextmanager
def _without_hooks() -> Iterator[None]:
    before, state.saving = state.saving, None
    try:
        with no_grad():
            yield
    finally:
        state.saving = before


def kept_operands(op: Any, tensors: list[Any]) -> list[int]:
    """Which tensor operands an operator keeps."""
    if op.name in _NOTHING or op.name in BY_RESULT or op.view is not None:
        return []
    if op.name == "where":
        return [0]  # the condition
    if op.name in _CROSSED:
        moving = [k for k, t in enumerate(tensors) if t._cell.source is not None]
        return [k for k in range(min(2, len(tensors))) if any(m != k and m < 2 for m in moving)]
    return list(range(len(tensors)))


def operand_names(op: Any, name: str) -> tuple[list[str], str]:
    """The names of an operator's operands, and that one of them which PyTorch calls ``name``."""
    names = list(inspect.signature(op.kernel).parameters)
    return names, {"self": names[0], "mat1": names[0]}.get(name, name) if names else name


class PackedNode:
    """An operator whose kept tensors are packed."""

    def __init__(self, op: Any, args: tuple[Any, ...], made: Any) -> None:
        tensors = list(tensors_in(args))
        results = made if isinstance(made, (tuple, list)) else (made,)
        self.op = op
        self.container = type(made) if isinstance(made, (tuple, list)) else None
        self.outputs = tuple(aval(t) for t in results)
        self.described = [aval(t) for t in tensors]
        self.cells = [None if t._cell.source is None else _target(t) for t in tensors]
        statics = [a for a in args if not isinstance(a, (TensorBase, Number)) and not (op.lists and isinstance(a, tuple))]
        self.name = operator_name(op, self.described, statics)
        self.hooks: dict[Any, Any] = {}
        kept = kept_operands(op, tensors)
        self.packed: dict[int, Packed] | None = {k: Packed(tensors[k]) for k in kept}
        self.result = Packed(made, made) if op.name in BY_RESULT else None
        self.args = changed(args, lambda a: _Operand if isinstance(a, TensorBase) else a, op.lists)
        self.order = (next(Recording._orders), 0)

    def saved(self, name: str) -> Any:
        """What was packed of an operand, by its name, or of the result, unpacked; None for a name that there is not.

        Raises:
            RuntimeError: after a backward has freed it.
        """
        if self.packed is None:
            raise RuntimeError(TWICE)
        if name == "result":
            return None if self.result is None else self.result.unpacked(Cell(self, 0))
        names, wanted = operand_names(self.op, name)
        places = iter(range(len(self.described)))
        for known, a in zip(names, self.args, strict=False):
            k = next(places) if a is _Operand else None
            if known == wanted and k in self.packed:
                return self.packed[k].unpacked()
        return None

    def backward(self, cts: dict[int, Any], create: bool, retain: bool) -> list[tuple[Any, Any]]:
        """The gradients of the operands."""
        if self.packed is None:
            raise RuntimeError(TWICE)
        if self.result is not None:
            formula = BY_RESULT[self.op.name]
            found = [(self.cells[0], formula(cts[0], self.result.unpacked(Cell(self, 0))))]
        else:
            tensors = []
            for k, (cell, described) in enumerate(zip(self.cells, self.described, strict=True)):
                if k in self.packed:
                    tensors.append(self.packed[k].unpacked())
                else:
                    tensors.append(alias(zeros(described, described.placement), Cell() if cell is None else cell))
            source = iter(tensors)
            args = changed(self.args, lambda a: next(source) if a is _Operand else a, self.op.lists)
            node = EagerNode(self.op, args, self.outputs, self.container)
            found = pull_eager(node, cts)
        if not retain:
            self.release()
        return found

    def release(self) -> None:
        """Forget what was packed."""
        self.packed = self.result = None


class _Operand:
    """The place of a tensor among arguments."""


def run_packed(op: Any, args: tuple[Any, ...], call: Any) -> Any:
    """Run an operator within `saving`."""
    tensors = list(tensors_in(args))
    if not state.grad_enabled or not op.differentiable or op.view is not None:
        return call(op, args)
    moving = [t for t in tensors if t._cell.source is not None]
    if not moving:
        return call(op, args)
    for t in moving:
        check_guarded(t)
    with no_grad():
        made = call(op, args)
    node = PackedNode(op, args, made)
    cut_graph("saved tensors hooks")
    results = made if isinstance(made, (tuple, list)) else (made,)
    for k, t in enumerate(results):
        if aval(t).dtype.is_floating_point or aval(t).dtype.is_complex:
            t._storage.source, t._storage.source_idx = node, k
    return made

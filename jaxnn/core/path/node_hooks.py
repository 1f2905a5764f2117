"""What programs hang on nodes of the graph: hooks before and after a backward passes them, and notes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from ..memory.tensor_base import TensorBase, aval

__all__ = [
    "NodeHooks", "SavedTable", "at_node", "hook_result", "hooked", "hooked_together", "hooked_without", "hooks_of_leaf",
    "hooks_of_source", "repacked", "saved_table",
]  # fmt: skip


class NodeHooks:
    """The hooks and notes of one node."""

    def __init__(self) -> None:
        self.before: OrderedDict[int, Any] = OrderedDict()
        self.after: OrderedDict[int, Any] = OrderedDict()
        self.metadata: dict[Any, Any] = {}

    def __iter__(self) -> Any:
        return iter(())  # none of a tensor

    def entering(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The gradients of a node's results, as its hooks leave them."""
        for hook in list(self.before.values()):
            grads = _replaced(hook(grads), grads)
        return grads

    def leaving(self, found: tuple[Any, ...], grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The gradients of a node's operands, as its hooks leave them."""
        for hook in list(self.after.values()):
            found = _replaced(hook(found, grads), found)
        return found


def _replaced(made: Any, before: tuple[Any, ...]) -> tuple[Any, ...]:
    if made is None:
        return before
    made = made if isinstance(made, tuple) else (made,)
    if len(made) != len(before):
        raise RuntimeError(f"hook has returned an incorrect number of values (got {len(made)}, but expected {len(before)})")
    return made


def at_node(place: int) -> Any:
    """The key of a node's hooks among those of its source."""
    return ("node", place)


def hooks_of_source(source: Any, place: int) -> NodeHooks:
    """The hooks of the node that stands at a place. Of a graph that a backward has released nobody will call them."""
    table = source.hooked if hasattr(source, "hooked") else source.hooks
    key = at_node(place if hasattr(source, "hooked") else 0)
    return table.setdefault(key, NodeHooks())  # type: ignore[no-any-return]


def hooks_of_leaf(leaf: Any) -> NodeHooks:
    """The hooks of the node where a leaf collects its gradient."""
    if leaf._extra is None:
        leaf._extra = {}
    return leaf._extra.setdefault("node", NodeHooks())  # type: ignore[no-any-return]


class SavedTable(dict[Any, Any]):
    """What stands in the place of an operator's operands (by number) and ``"result"`` in its backward; no hooks of tensors."""

    def __iter__(self) -> Any:
        return iter(())


def saved_table(place: int) -> Any:
    """The key of an operator's table among the hooks of its recording."""
    return ("saved", place)


def repacked(rec: Any, place: int, which: Any) -> Any:
    """What hooks have made of an operand of the operator at a place, or of its result; None where there are none."""
    table = rec.hooked.get(saved_table(place))
    return None if table is None else table.get(which)


def hooked_together(hooks: Any, cts: dict[int, Any], start: int, described: Any) -> None:
    """Call the hooks of an operator on the gradients of all its results, and put in what they return."""
    for hook in list(hooks):
        given = [cts.get(start + k) for k in range(len(described))]
        for k, ct in enumerate(hook(given)):
            if ct is None:
                cts.pop(start + k, None)
            else:
                cts[start + k] = hook_result(given[k], ct, "hook")


def hooked(hooks: Any, ct: Any) -> Any:
    """A gradient as a tensor's hooks leave it."""
    for hook in list(hooks):
        changed = hook(ct)
        if changed is not None:
            ct = hook_result(ct, changed, getattr(hook, "__name__", "<unknown>"))
    return ct


def hooked_without(hooks: Any) -> None:
    """Call a tensor's hooks without a gradient: the operator that made it runs for its other results."""
    for hook in list(hooks.values() if hasattr(hooks, "values") else ()):
        changed = hook(None)
        if changed is not None:
            hook_result(None, changed, getattr(hook, "__name__", "<unknown>"))


def hook_result(before: Any, changed: Any, name: str) -> Any:
    """What a hook returned instead of a gradient.

    Raises:
        TypeError: when it is no tensor.
        RuntimeError: when it is of another type, device or size.
    """
    if not isinstance(changed, TensorBase):
        raise TypeError(f"expected Variable, but hook returned '{type(changed).__name__}'")
    if before is None:
        raise RuntimeError("can't replace a None gradient with a non-None value")
    was, now = aval(before), aval(changed)
    if was.dtype is not now.dtype:
        raise RuntimeError(f"hook '{name}' has changed the type of value (was {before.type()} got {changed.type()})")
    if was.placement != now.placement:
        raise RuntimeError(f"hook '{name}' has changed the device of value")
    if was.shape != now.shape:
        raise RuntimeError(f"hook '{name}' has changed the size of value")
    return changed

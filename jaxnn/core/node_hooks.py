"""What programs hang on nodes of the graph: hooks before and after a backward passes them, and notes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .handle import Freed

__all__ = ["NodeHooks", "at_node", "hooks_of_leaf", "hooks_of_source"]


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
    if isinstance(source, Freed):
        return NodeHooks()
    table = source.hooked if hasattr(source, "hooked") else source.hooks
    key = at_node(place if hasattr(source, "hooked") else 0)
    return table.setdefault(key, NodeHooks())  # type: ignore[no-any-return]


def hooks_of_leaf(leaf: Any) -> NodeHooks:
    """The hooks of the node where a leaf collects its gradient."""
    if leaf._extra is None:
        leaf._extra = {}
    return leaf._extra.setdefault("node", NodeHooks())  # type: ignore[no-any-return]

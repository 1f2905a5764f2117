"""Nested tuples, lists and dictionaries of tensors, taken apart and put together again in their own order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["broadcast_prefix", "flatten", "map_leaves", "unflatten"]


def _children(tree: Any) -> list[Any] | None:
    if isinstance(tree, dict):
        return list(tree.values())
    if isinstance(tree, (tuple, list)):
        return list(tree)
    return None


def flatten(tree: Any) -> list[Any]:
    """The leaves, in order."""
    children = _children(tree)
    return [tree] if children is None else [leaf for child in children for leaf in flatten(child)]


def unflatten(like: Any, leaves: Any) -> Any:
    """A tree of the form of ``like`` with other leaves."""
    return _built(like, iter(leaves))


def _built(tree: Any, given: Iterator[Any]) -> Any:
    # No function within `unflatten`: one that calls itself is a cycle, which would keep the leaves until Python collects it.
    if isinstance(tree, dict):
        made = {k: _built(v, given) for k, v in tree.items()}
        return made if type(tree) is dict else type(tree)(made)
    if isinstance(tree, (tuple, list)):
        parts = [_built(v, given) for v in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(given)


def map_leaves(f: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with ``f`` applied to every leaf."""
    return unflatten(tree, [f(leaf) for leaf in flatten(tree)])


def form(tree: Any) -> Any:
    """The tree with every leaf replaced by ``*``, for comparisons and messages."""
    return map_leaves(lambda _: _STAR, tree)


class _Star:
    def __repr__(self) -> str:
        return "*"


_STAR = _Star()
__all__ += ["form"]


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any] | None:
    """For each leaf of ``tree`` the leaf of ``prefix`` above it; None where the forms do not agree."""
    children = _children(tree)
    above = _children(prefix)
    if above is None:
        return [prefix] * len(flatten(tree))
    if children is None or len(above) != len(children) or type(prefix) is not type(tree):
        return None
    if isinstance(prefix, dict) and list(prefix) != list(tree):
        return None
    found: list[Any] = []
    for a, c in zip(above, children, strict=True):
        part = broadcast_prefix(a, c)
        if part is None:
            return None
        found += part
    return found

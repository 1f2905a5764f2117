"""Whether an operator's backward needs a value of its forward: only such a graph can't be walked twice.

PyTorch frees what a node has saved. An addition saves nothing, so a second backward through it is fine. Here the question is
asked of JAX: does the linearised operator hold anything that was computed from its tensors?
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .trie import Node

__all__ = ["intact", "leads_on", "looked_at", "released", "saves"]

#: Where PyTorch makes a tensor of a Python number, and saves it.
_SCALAR_AS_TENSOR = frozenset({"mul", "div", "true_divide"})


def saves(node: Node) -> bool:
    """Whether the backward of a recorded operator needs values that its forward saw or made."""
    if node.keeps is None:
        node.keeps = (
            node.op.name == "copy_slices"
            or (node.op.name in _SCALAR_AS_TENSOR and any(e.kind == "number" for e in node.recipe))
            or any(needed(node))
        )
    return node.keeps


def needed(node: Node) -> tuple[bool, ...]:
    """Which tensor arguments of a recorded operator its backward needs the values of."""
    return node.instance.linear(node.groups).needed()


#: Operators whose backward in PyTorch sees of their operands only which elements were taken, so that it has no derivative.
_BY_CHOICE = frozenset({
    "aminmax", "amax", "amin", "clamp", "clamp_max", "clamp_min", "clip", "cummax", "cummin", "fmax", "fmin",
    "hinge_embedding_loss", "kthvalue", "margin_ranking_loss", "max", "maximum", "median", "min", "minimum", "mode", "msort",
    "nan_to_num", "nanmean", "nanmedian", "nanquantile", "nansum", "quantile", "scatter_reduce", "sort", "topk", "xlogy",
})  # fmt: skip


def looked_at(node: Node) -> tuple[tuple[bool, ...], ...]:
    """For each gradient that a recorded operator hands on, which tensor arguments, and which gradients, it depends on."""
    return node.instance.linear(node.groups).looked_at(node.op.name in _BY_CHOICE)


def released(nodes: Iterable[Any], freed: Any) -> bool:
    """Whether one of these operators has saved something that a backward has freed (places ``freed``)."""
    return any(_touched(n, freed) and saves(n) for n in nodes)


def _touched(node: Any, freed: Any) -> bool:
    return not freed.isdisjoint(range(node.start, node.stop))


def leads_on(end: Node, sources: Iterable[int], gone: int) -> bool:
    """Whether a gradient goes on from one of these sources to what no backward has released, at the end of a path."""
    freed = end.freed
    if not freed:
        return any(g > gone for g in sources)
    seen: set[int] = set()
    stack = list(sources)
    while stack:
        place = stack.pop()
        if place < 0:
            if place > gone:
                return True
            continue
        maker: Any = end
        while maker.start > place or not maker.avals:
            maker = maker.parent
        if maker.start not in seen:
            seen.add(maker.start)
            if not (_touched(maker, freed) and saves(maker)):
                stack.extend(source for source, _ in maker.targets())
    return False


def intact(root: int, makers: dict[int, Any], freed: Any, gone: int) -> bool:
    """Whether a backward from a place can be walked: nothing on its way has been freed.

    Args:
        makers: the operator of each place.
        gone: the source that means a graph released before.
    """
    seen: set[int] = set()
    stack = [root]
    while stack:
        place = stack.pop()
        if place <= gone or (place >= 0 and place not in makers):
            return False
        if place < 0 or makers[place].start in seen:
            continue
        maker = makers[place]
        seen.add(maker.start)
        recorded = maker if isinstance(maker, Node) else maker.maker
        if _touched(maker, freed) and saves(recorded):
            return False
        stack.extend(source for source, _ in maker.targets())
    return True

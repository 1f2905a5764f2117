"""Whether an operator's backward needs a value of its forward: only such a graph can't be walked twice.

PyTorch frees what a node has saved. An addition saves nothing, so a second backward through it is fine. Here the question is
asked of JAX: does the linearised operator hold anything that was computed from its tensors?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax

from .config import x64
from .program import strong
from .recording import ONE_NUMBER, Node, evaluate, signature, with_first_numbers

__all__ = ["intact", "released", "saves"]

_known: dict[Any, tuple[bool, ...]] = {}
#: Where PyTorch makes a tensor of a Python number, and saves it.
_SCALAR_AS_TENSOR = frozenset({"mul", "div", "true_divide"})


def saves(node: Node) -> bool:
    """Whether the backward of a recorded operator needs values that its forward saw or made."""
    if node.op.name == "copy_slices" or (
        node.op.name in _SCALAR_AS_TENSOR and any(e.kind == "number" for e in node.recipe)
    ):
        return True
    return any(needed(node))


def needed(node: Node) -> tuple[bool, ...]:
    """Which tensor arguments of a recorded operator its backward needs the values of."""
    moving = tuple(e.grad is not None for e in node.tensor_entries())
    key = (node.op, signature(node.recipe, list(node.inputs)), moving)
    found = _known.get(key)
    if found is None:
        if len(_known) > 20_000:
            _known.clear()
        found = _known[key] = _needed(node, moving)
    return found


def _needed(node: Node, moving: tuple[bool, ...]) -> tuple[bool, ...]:
    recipe = with_first_numbers(node.recipe)

    def residuals(values: list[Any]) -> list[Any]:
        def forward(given: list[Any]) -> Any:
            source = iter(given)
            position = iter([next(source) if m else v for m, v in zip(moving, values, strict=True)])
            return strong(node.op.kernel(*evaluate(recipe, lambda _: next(position), ONE_NUMBER)), node.container)

        _, vjp = jax.vjp(forward, [v for m, v in zip(moving, values, strict=True) if m])
        return jax.tree.leaves(vjp)

    with x64(True):
        traced = jax.make_jaxpr(residuals)([a.struct() for a in node.inputs])
    count = len(node.inputs)
    return tuple(any(_dependent(traced.jaxpr, [j == k for j in range(count)])) for k in range(count))


def _dependent(jaxpr: Any, given: list[bool]) -> list[bool]:
    """Which results of a jaxpr depend on those inputs that are marked."""
    marked = {v for v, m in zip(jaxpr.invars, given, strict=True) if m}

    def is_marked(v: Any) -> bool:
        return not hasattr(v, "val") and v in marked

    for eqn in jaxpr.eqns:
        inputs = [is_marked(v) for v in eqn.invars]
        if not any(inputs):
            continue
        outputs = [True] * len(eqn.outvars)
        if eqn.primitive.name in ("jit", "pjit"):
            outputs = _dependent(eqn.params["jaxpr"].jaxpr, inputs)
        elif eqn.primitive.name == "cond" and not inputs[0]:
            ways = [_dependent(branch.jaxpr, inputs[1:]) for branch in eqn.params["branches"]]
            outputs = [any(marks) for marks in zip(*ways, strict=True)]
        marked.update(v for v, m in zip(eqn.outvars, outputs, strict=True) if m)
    return [is_marked(v) for v in jaxpr.outvars]


def released(nodes: Iterable[Any], freed: Any) -> bool:
    """Whether one of these operators has saved something that a backward has freed (places ``freed``)."""
    return any(_touched(n, freed) and saves(n) for n in nodes)


def _touched(node: Any, freed: Any) -> bool:
    return not freed.isdisjoint(range(node.start, node.stop))


def intact(root: int, makers: dict[int, Any], freed: Any, edges: Callable[[Any], Any], gone: int) -> bool:
    """Whether a backward from a place can be walked: nothing on its way has been freed.

    Args:
        makers: the operator of each place; ``edges`` lists the sources of one, ``gone`` among them means a graph released before.
    """
    seen: set[int] = set()
    stack = [root]
    while stack:
        place = stack.pop()
        if place == gone or (place >= 0 and place not in makers):
            return False
        if place < 0 or makers[place].start in seen:
            continue
        maker = makers[place]
        seen.add(maker.start)
        recorded = maker if isinstance(maker, Node) else maker.maker
        if _touched(maker, freed) and saves(recorded):
            return False
        stack.extend(source for source, _ in edges(maker))
    return True

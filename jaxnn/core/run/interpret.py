"""Running a path: on tracers (then it becomes one program) or on arrays, operator by operator.

An operator whose gradient somebody needs is linearised where it stands, so forward values and backward share their work; a recorded
backward walks those linearisations in reverse. Values and gradient sources are separate references, so an operator is linearised at
the value it saw and its cotangents go where the gradient goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..operator.traced import Linear, Traced, carries_gradient, zero_cotangent
from ..path.trie import Node
from .layout import BACKWARD, Layout, Plan

__all__ = ["Poison", "Tracing", "conj", "interpret", "walk_back"]


class Poison:
    """The result of an operator that failed, or of one that needed such a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Poisoned(Exception):
    def __init__(self, poison: Poison) -> None:
        self.poison = poison


def conj(x: Any) -> Any:
    """The conjugate of a complex cotangent: PyTorch's gradient is the conjugate of JAX's."""
    return x.conj() if x.dtype.kind == "c" else x


class Tracing:
    """Running on tracers: every operator is a call of its traced form."""

    @staticmethod
    def call(traced: Traced, operands: Sequence[Any]) -> list[Any]:
        """All results of a traced function."""
        return traced.all_results(operands, traced.jitted(*operands))

    @staticmethod
    def add(a: Any, b: Any) -> Any:
        """The sum of two cotangents."""
        return a + b

    @staticmethod
    def wait_for(results: list[Any]) -> None:
        """Wait for results, so that an error of running shows at its operator."""

    zeros = staticmethod(zero_cotangent)


def walk_back(
    plan: Plan, residuals: Callable[[Any], tuple[Linear, list[Any]]], roots: tuple[int, ...], cotangents: list[Any], way: Any
) -> list[Any]:  # fmt: skip
    """Run a backward: the gradients of the plan's slots. Several contributions are added in the order they arrive.

    Args:
        residuals: for a node of the plan, its linearisation and the residuals.
        way: how to run.
    """
    held: dict[int, Any] = {}
    settled = getattr(way, "settled", None)

    def add(where: int, ct: Any) -> None:
        before = held.get(where)
        held[where] = ct if before is None else way.add(before, ct)

    for root, ct in zip(roots, cotangents, strict=True):
        add(root, conj(ct))
    for node in plan.nodes:
        cts = [held.pop(p, None) for p in range(node.start, node.stop)]
        if all(ct is None for ct in cts):
            continue
        linear, kept = residuals(node)
        present = tuple(ct is not None and carries_gradient(a) for ct, a in zip(cts, linear.avals, strict=True))
        given = [ct for ct, there in zip(cts, present, strict=True) if there]
        pull, operands = linear.pull(present), [*kept, *given]
        pulled = way.call(pull, operands)
        if settled is not None:
            pulled = settled(pull, operands, pulled)
        for (target, _), ct in zip(node.targets(), pulled, strict=True):
            add(target, ct)
    return [conj(held[s]) if s in held else way.zeros(a) for s, a in zip(plan.slots, plan.avals, strict=True)]


def interpret(
    layout: Layout, leaves: Sequence[Any], numbers: Mapping[type, Sequence[Any]], way: Any = Tracing, tolerant: bool = False,
    wanted: frozenset[int] | None = None,
) -> tuple[dict[int, Any], dict[int, list[Any]], list[tuple[Node, BaseException]]]:
    """Run a recorded path.

    Args:
        leaves: the inputs, by slot.
        numbers: the Python numbers by type.
        way: how operators run; its ``settled``, if it has one, sees and may replace the results of each.
        tolerant: go on behind an operator that fails; what depends on it is poisoned.
        wanted: results that are asked for; the others are dropped when they have been used. None: nothing is dropped.

    Returns:
        every result by place; the residuals of the linearised operators by first place; the operators that failed, each with
        its error.
    """
    env: dict[int, Any] = {~slot: leaf for slot, leaf in enumerate(leaves)}
    kept: dict[int, list[Any]] = {}
    failed: list[tuple[Node, BaseException]] = []
    call, settled = way.call, getattr(way, "settled", None)

    def read(ref: int) -> Any:
        value = env[ref]
        if type(value) is Poison:
            raise _Poisoned(value)
        return value

    def residuals(node: Node) -> tuple[Linear, list[Any]]:
        if node.start not in kept:
            raise _Poisoned(env[node.start])
        return node.instance.linear(node.groups), kept[node.start]

    for node, ended in zip(layout.path, layout.last, strict=True):
        start = node.start
        try:
            if node.op is BACKWARD:
                cts = [read(e.value) for e in node.tensors]
                outs = walk_back(node.plan, residuals, node.recipe[0].value, cts, way)
            elif node.instance is None:
                continue
            else:
                operands = [read(e.value) for e in node.tensors] if tolerant else [env[e.value] for e in node.tensors]
                for e in node.numbers:
                    operands.append(numbers[e.grad][e.value])
                if start in layout.linear:
                    linear = node.instance.linear(node.groups)
                    outs = call(linear.forward, operands)
                    if settled is not None:
                        outs = settled(linear.forward, operands, outs, linear.count)
                    kept[start] = outs[linear.count :]
                    del outs[linear.count :]
                else:
                    outs = call(node.instance.forward, operands)
                    if settled is not None:
                        outs = settled(node.instance.forward, operands, outs)
            if tolerant:
                way.wait_for(outs)
        except _Poisoned as poisoned:
            outs = [poisoned.poison] * len(node.avals)
        except Exception as error:
            if not tolerant:
                raise
            failed.append((node, error))
            outs = [Poison(error)] * len(node.avals)
            kept.pop(start, None)
        for k, out in enumerate(outs):
            env[start + k] = out
        if wanted is not None:
            for place in ended:
                if place not in wanted:
                    env.pop(place, None)
    return env, kept, failed

"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import optax

from .arguments import as_number, hints, non_negative
from .optimizer import Optimizer
from .transforms import MomentumState, sgd

__all__ = ["SGD"]


def _formula(numbers: Any, flags: Any, params: Any, grads: Any, states: Any) -> Any:
    lr, momentum, dampening, decay, fresh = numbers
    transform = sgd(lr, momentum, dampening, decay, **dict(flags))
    changes, kept = transform.update(grads, MomentumState(fresh, states[0] if states else ()), params)
    return [p + c for p, c in zip(params, changes, strict=True)], [kept.momentum_buffer] if states else []


class SGD(Optimizer):
    """Gradient descent, with momentum.

    Args:
        foreach, fused: hints for PyTorch's kernels; a step is one program here either way.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    _counts_steps = False
    _older = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}

    def __init__(
        self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: Any = 0,
        nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        non_negative("momentum value", momentum)
        non_negative("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, **hints(foreach=foreach, differentiable=differentiable, fused=fused),
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _steps_of(self, held: dict[str, Any]) -> float:
        return 0.0 if held.pop("_fresh", False) else 1.0

    def _start(self, p: Any, held: dict[str, Any], names: tuple[str, ...]) -> None:
        super()._start(p, held, names)
        if names:
            held["_fresh"] = True

    def _flags(self, group: dict[str, Any]) -> tuple[tuple[str, bool], ...]:
        return (
            ("use_momentum", bool(group["momentum"])), ("use_decay", bool(group["weight_decay"])),
            ("nesterov", bool(group["nesterov"])), ("maximize", bool(group["maximize"])),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(as_number(group[n]) for n in ("lr", "momentum", "dampening", "weight_decay"))

    def _rule(self, group: dict[str, Any], steps: float) -> Any:
        return _formula, self._flags(group), (*self._numbers(group), float(steps == 0))

    def as_optax(self) -> optax.GradientTransformation:
        """See `Optimizer.as_optax`."""
        group = self.param_groups[0]
        return sgd(*self._numbers(group), **dict(self._flags(group)))

"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import MomentumState, sgd

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent, with momentum (https://proceedings.mlr.press/v28/sutskever13.html).

    Args:
        momentum: the decay of the running sum of gradients; 0: none.
        dampening: that sum takes 1 - dampening of each gradient.
        nesterov: look one step ahead of the sum; needs momentum and no dampening.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.SGD([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.8000, -1.6000])
    """

    _update = Rule(sgd, MomentumState)
    _counters = ()
    _older = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float | Tensor = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
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

    def _read_counters(self, held: dict[str, Any]) -> tuple[float, ...]:
        return (float(held.pop("_fresh", False)),)

    def _start(self, p: Any, held: dict[str, Any], names: tuple[str, ...], group: dict[str, Any]) -> None:
        super()._start(p, held, names, group)
        held["_fresh"] = True  # until the first step, whose buffer is the gradient itself

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (
            ("use_momentum", bool(group["momentum"])), ("use_decay", bool(group["weight_decay"])),
            ("nesterov", bool(group["nesterov"])), ("maximize", bool(group["maximize"])),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple([as_number(group[n]) for n in ("lr", "momentum", "dampening", "weight_decay")])

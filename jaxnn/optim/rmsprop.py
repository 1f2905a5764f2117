"""RMSprop."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import RMSpropState
from .transforms import rmsprop as formula

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Rates divided by the root of averaged squares (https://arxiv.org/abs/1308.0850).

    Args:
        alpha: the decay of the running average of squares.
        momentum: the decay of the sum of past steps; 0: none.
        centered: divide by the estimated variance, not by the mean of squares.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.RMSprop([w], lr=0.05)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.5000, -1.5000])
    """

    _update = Rule(formula, RMSpropState)
    _older = {
        "momentum": 0, "centered": False, "foreach": None, "maximize": False, "differentiable": False,
        "capturable": False,
    }  # fmt: skip

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False, capturable: bool = False,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        non_negative("epsilon value", eps)
        non_negative("momentum value", momentum)
        non_negative("weight_decay value", weight_decay)
        non_negative("alpha value", alpha)
        hints(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return (
            "square_avg", *(("momentum_buffer",) if group["momentum"] > 0 else ()),
            *(("grad_avg",) if group["centered"] else ()),
        )  # fmt: skip

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (
            ("use_momentum", group["momentum"] > 0), ("centered", bool(group["centered"])),
            ("use_decay", bool(group["weight_decay"])), ("maximize", bool(group["maximize"])),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(as_number(group[n]) for n in ("lr", "momentum", "alpha", "eps", "weight_decay"))

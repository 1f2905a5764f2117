"""Adadelta."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import AdadeltaState
from .transforms import adadelta as formula

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Changes in the units of the parameters (https://arxiv.org/abs/1212.5701).

    Args:
        lr: a factor of the change.
        rho: the decay of the running averages of squared gradients and squared changes.
        eps: is added to both averages.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.Adadelta([w])
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.9968, -1.9968])
    """

    _update = Rule(formula, AdadeltaState)
    _older = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        non_negative("epsilon value", eps)
        non_negative("weight_decay value", weight_decay)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            **hints(capturable=capturable, foreach=foreach, differentiable=differentiable),
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (("use_decay", bool(group["weight_decay"])), ("maximize", bool(group["maximize"])))

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(as_number(group[n]) for n in ("lr", "rho", "eps", "weight_decay"))

"""Adamax."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, check_betas, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import AdamaxState
from .transforms import adamax as formula

__all__ = ["Adamax"]


class Adamax(Optimizer):
    """Adam with the infinity norm in place of averaged squares (https://arxiv.org/abs/1412.6980).

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.Adamax([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.9000, -1.9000])
    """

    _update = Rule(formula, AdamaxState)
    _older = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        non_negative("epsilon value", eps)
        check_betas(betas)
        non_negative("weight_decay value", weight_decay)
        hint = hints(differentiable=differentiable, capturable=capturable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, **hint,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (("use_decay", bool(group["weight_decay"])), ("maximize", bool(group["maximize"])))

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(map(as_number, (group["lr"], *group["betas"], group["eps"], group["weight_decay"])))

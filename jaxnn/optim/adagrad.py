"""Adagrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.memory.aval import Aval
from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import AdagradState
from .transforms import adagrad as formula

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Rates divided by the root of all squared gradients (https://jmlr.org/papers/v12/duchi11a.html).

    Args:
        lr_decay: at step t the rate is lr / (1 + (t - 1) lr_decay).
        initial_accumulator_value: the sum of squares to begin with.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.Adagrad([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.9000, -1.9000])
    """

    _update = Rule(formula, AdagradState)
    _older = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        non_negative("lr_decay value", lr_decay)
        non_negative("weight_decay value", weight_decay)
        non_negative("initial_accumulator_value value", initial_accumulator_value)
        non_negative("epsilon value", eps)
        hints(foreach=foreach, differentiable=differentiable, fused=fused)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                self._start(p, self.state[p], self._state_names(group), group)

    def _first_state(self, name: str, group: dict[str, Any], described: Aval) -> np.ndarray:
        value = group["initial_accumulator_value"]
        return np.full(described.shape, complex(value, value) if described.dtype.is_complex else value, described.np)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (("use_decay", bool(group["weight_decay"])), ("maximize", bool(group["maximize"])))

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        names = ("lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value")
        return tuple(as_number(group[n]) for n in names)

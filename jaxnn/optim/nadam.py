"""NAdam."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, check_betas, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import NAdamState
from .transforms import nadam as formula

__all__ = ["NAdam"]


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ).

    Args:
        momentum_decay: how fast the first beta grows to its value.
        decoupled_weight_decay: shrink the parameters themselves, as `AdamW`.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.NAdam([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.8944, -1.8944])
    """

    _update = Rule(formula, NAdamState, counters=2)
    _counters = ("step", "mu_product")
    _older = {
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "decoupled_weight_decay": False,
    }  # fmt: skip

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        non_negative("epsilon value", eps)
        check_betas(betas)
        non_negative("weight_decay value", weight_decay)
        non_negative("momentum_decay value", momentum_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
            **hints(foreach=foreach, capturable=capturable, differentiable=differentiable),
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (
            ("use_decay", bool(group["weight_decay"])), ("decoupled", bool(group["decoupled_weight_decay"])),
            ("maximize", bool(group["maximize"])),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        given = (group["lr"], *group["betas"], group["eps"], group["weight_decay"], group["momentum_decay"])
        return tuple(map(as_number, given))

    def _first_counters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (0.0, 1.0)

    def _next_counters(self, group: dict[str, Any], counters: tuple[float, ...]) -> tuple[float, ...]:
        step = counters[0] + 1
        momentum = group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
        return (step, float(np.float32(counters[1]) * np.float32(momentum)))  # the product is a float32 tensor

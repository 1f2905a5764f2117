"""RAdam."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, check_betas, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import AdamState
from .transforms import radam as formula

__all__ = ["RAdam"]


class RAdam(Optimizer):
    """Adam whose adaptive rate waits until its variance is known (https://arxiv.org/abs/1908.03265).

    Args:
        decoupled_weight_decay: shrink the parameters themselves, as `AdamW`.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.RAdam([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.8000, -1.6000])
    """

    _update = Rule(formula, AdamState)
    _older = {
        "foreach": None, "maximize": False, "differentiable": False, "decoupled_weight_decay": False,
        "capturable": False,
    }  # fmt: skip

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        non_negative("epsilon value", eps)
        check_betas(betas)
        non_negative("weight_decay value", weight_decay)
        hints(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (
            ("use_decay", bool(group["weight_decay"])), ("decoupled", bool(group["decoupled_weight_decay"])),
            ("maximize", bool(group["maximize"])),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(map(as_number, (group["lr"], *group["betas"], group["eps"], group["weight_decay"])))

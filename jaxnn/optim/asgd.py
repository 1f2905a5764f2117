"""ASGD."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import ASGDState
from .transforms import asgd as formula

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Averaged gradient descent
    (https://meyn.ece.ufl.edu/wp-content/uploads/sites/77/archive/spm_files/Courses/ECE555-2011/555media/poljud92.pdf).

    Args:
        lambd: how fast parameters and rate decay.
        alpha: the power of the rate's decay.
        t0: the step from which on the average, ``ax`` in the state, is taken.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.ASGD([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.8000, -1.6000])
    """

    _update = Rule(formula, ASGDState, counters=3)
    _counters = ("step", "eta", "mu")
    _older = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        non_negative("weight_decay value", weight_decay)
        hints(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (("use_decay", bool(group["weight_decay"])), ("maximize", bool(group["maximize"])))

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(as_number(group[n]) for n in ("lr", "lambd", "alpha", "t0", "weight_decay"))

    def _first_counters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (0.0, as_number(group["lr"]), 1.0)

    def _next_counters(self, group: dict[str, Any], counters: tuple[float, ...]) -> tuple[float, ...]:
        lr, lambd, alpha, t0, _ = self._numbers(group)
        step = counters[0] + 1
        return (step, lr / (1 + lambd * lr * step) ** alpha, 1 / max(1.0, step - t0))

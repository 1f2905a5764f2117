"""Rprop."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.memory.aval import Aval
from jaxnn.core.memory.tensor_base import Tensor

from .arguments import ParamsT, as_number, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import RpropState
from .transforms import rprop as formula

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Steps by the gradient's sign alone, each entry with a size of its own (https://doi.org/10.1109/ICNN.1993.298623).

    Args:
        etas: the factors of a size when the sign changes and when it stays.
        step_sizes: the least and the largest size.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.Rprop([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.9000, -1.9000])
    """

    _update = Rule(formula, RpropState)
    _older = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        hints(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _first_state(self, name: str, group: dict[str, Any], described: Aval) -> np.ndarray:
        value = as_number(group["lr"]) if name == "step_size" else 0.0
        return np.full(described.shape, complex(value, value) if described.dtype.is_complex else value, described.np)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (("maximize", bool(group["maximize"])),)

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(map(as_number, (group["lr"], *group["etas"], *group["step_sizes"])))

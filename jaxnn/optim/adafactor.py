"""Adafactor."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.memory.aval import Aval
from jaxnn.core.memory.tensor_base import Tensor, aval

from .arguments import ParamsT, as_number, at_least_zero, refuse_complex
from .optimizer import Optimizer
from .step import Bucket, Rule
from .transforms import AdafactorState
from .transforms import adafactor as formula

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adam's memory cut to rows and columns (https://arxiv.org/abs/1804.04235).

    Args:
        beta2_decay: the average of squares at step t decays by 1 - t ** beta2_decay.
        eps: the least square of a gradient (None: the smallest step of its type), and the least size of a parameter.
        d: the size from which on updates are scaled down.

    Raises:
        ValueError: for a value outside its range.
        RuntimeError: at a step with complex parameters.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.Adafactor([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.8419, -1.8419])
    """

    _update = Rule(formula, AdafactorState)
    _older = {"foreach": None}

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
        foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        at_least_zero("Learning rate", lr)
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None:
            at_least_zero("epsilon1", eps[0])
        at_least_zero("epsilon2", eps[1])
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        at_least_zero("weight_decay", weight_decay)
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        })  # fmt: skip

    def _buckets(self, group: dict[str, Any]) -> list[Bucket]:
        refuse_complex(self, group)
        kinds: dict[bool, list[Any]] = {True: [], False: []}
        for p in group["params"]:
            if p._grad is not None:
                self.state[p]  # states stand in the parameters' order
                kinds[len(aval(p).shape) > 1].append(p)
        # Matrices have other states than vectors: two groups of the same options.
        made = [super(Adafactor, self)._buckets({**group, "params": k, "_factored": f}) for f, k in kinds.items() if k]
        return [bucket for buckets in made for bucket in buckets]

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("row_var", "col_var") if group["_factored"] else ("variance",)

    def _first_state(self, name: str, group: dict[str, Any], described: Aval) -> np.ndarray:
        shape = list(described.shape)
        if name != "variance":
            shape[-1 if name == "row_var" else -2] = 1
        return np.zeros(shape, described.np)

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (
            ("default_eps1", group["eps"][0] is None), ("use_decay", bool(group["weight_decay"])),
            ("maximize", bool(group["maximize"])),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        eps1, eps2 = group["eps"]
        given = (group["lr"], group["beta2_decay"], eps1 or 0.0, eps2, group["d"], group["weight_decay"])
        return tuple(map(as_number, given))

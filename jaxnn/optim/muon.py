"""Muon."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import aval

from .arguments import ParamsT, as_number, at_least_zero, refuse_complex
from .optimizer import Optimizer
from .step import Bucket, Rule
from .transforms import MuonState
from .transforms import muon as formula

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum made orthogonal, for the matrices of a network's hidden layers (https://kellerjordan.github.io/posts/muon/).

    Args:
        momentum: the decay of the running average of gradients.
        nesterov: look one step ahead of the average.
        ns_coefficients: three factors of the iteration that orthogonalizes.
        ns_steps: how many iterations.
        adjust_lr_fn: how the rate follows a matrix's shape: 'original' (None) or 'match_rms_adamw'.

    Shape: every parameter has two dimensions.

    Raises:
        ValueError: for a value outside its range, another shape, an unknown ``adjust_lr_fn``; at a step, for
            ``ns_steps`` of 100 or more or another number of coefficients than three.
        RuntimeError: at a step with complex parameters.

    Example:
        >>> w = nn.Parameter(torch.eye(2))
        >>> optimizer = torch.optim.Muon([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([[0.8775, 0.0000],
                [0.0000, 0.8775]])
    """

    _update = Rule(formula, MuonState, counters=0)
    _counters = ()

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        at_least_zero("Learning rate", lr)
        at_least_zero("momentum", momentum)
        at_least_zero("weight decay", weight_decay)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        })  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                if len(aval(p).shape) != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}"
                    )

    def _buckets(self, group: dict[str, Any]) -> list[Bucket]:
        refuse_complex(self, group)
        if group["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        return super()._buckets(group)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (
            ("nesterov", bool(group["nesterov"])), ("steps", group["ns_steps"]),
            ("adjust", group["adjust_lr_fn"] or "original"),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        given = (group["lr"], group["weight_decay"], group["momentum"], *group["ns_coefficients"], group["eps"])
        return tuple(map(as_number, given))

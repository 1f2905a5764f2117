"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor, TensorBase

from .arguments import ParamsT, as_number, check_betas, hints, non_negative
from .optimizer import Optimizer
from .step import Rule
from .transforms import AdamState, adam

__all__ = ["Adam", "AdamW"]

_ALIKE: tuple[set[Any], ...] = ({True}, {"tensor"})


class Adam(Optimizer):
    """Averaged gradients divided by the root of averaged squares, both without their bias (https://arxiv.org/abs/1412.6980).

    Args:
        amsgrad: divide by the largest average so far (https://openreview.net/forum?id=ryQu7f-RZ).
        decoupled_weight_decay: shrink the parameters themselves, as `AdamW`.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.Adam([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.9000, -1.9000])
    """

    _update = Rule(adam, AdamState)
    _older = {
        "amsgrad": False, "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "fused": None, "decoupled_weight_decay": False,
    }  # fmt: skip

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None, decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        refused = "is not supported for capturable=False and foreach=True"
        if isinstance(lr, TensorBase) and foreach and not capturable:
            raise ValueError(f"lr as a Tensor {refused}")
        non_negative("learning rate", lr)
        non_negative("epsilon value", eps)
        check_betas(betas)
        non_negative("weight_decay value", weight_decay)
        if {isinstance(beta, float) or (isinstance(beta, TensorBase) and "tensor") for beta in betas} not in _ALIKE:
            raise ValueError("betas must be either both floats or both Tensors")
        if isinstance(betas[0], TensorBase) and foreach and not capturable:
            raise ValueError(f"betas[0] as a Tensor {refused}")
        betas = (as_number(betas[0]), as_number(betas[1]))
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize,
            **hints(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused),
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (
            ("use_decay", bool(group["weight_decay"])), ("decoupled", bool(group["decoupled_weight_decay"])),
            ("amsgrad", bool(group["amsgrad"])), ("maximize", bool(group["maximize"])),
        )  # fmt: skip

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return tuple(map(as_number, (group["lr"], beta1, beta2, group["eps"], group["weight_decay"])))


class AdamW(Adam):
    """Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101).

    Args:
        weight_decay: before each step parameters are multiplied by 1 - lr * weight_decay.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.AdamW([w], lr=0.1, weight_decay=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.8900, -1.8800])
    """

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # Adam's state_dicts say False
            group["decoupled_weight_decay"] = True

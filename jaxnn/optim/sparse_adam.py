"""SparseAdam."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor, aval

from .arguments import ParamsT, as_number, check_betas, one_element
from .optimizer import Optimizer
from .step import Rule
from .transforms import AdamState
from .transforms import sparse_adam as formula

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam that updates only the rows that have a gradient.

    Gradients are dense here: a row (what the first index selects) counts as absent from PyTorch's sparse gradient when
    all its entries are zero.

    Raises:
        ValueError: for a value outside its range, for complex parameters.

    Example:
        >>> table = nn.Embedding.from_pretrained(torch.ones(3, 2), freeze=False, sparse=True)
        >>> optimizer = torch.optim.SparseAdam(list(table.parameters()), lr=0.1)
        >>> table(torch.tensor([1])).sum().backward()
        >>> optimizer.step()
        >>> table.weight.data
        tensor([[1.0000, 1.0000],
                [0.9000, 0.9000],
                [1.0000, 1.0000]])
    """

    _update = Rule(formula, AdamState)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        one_element(lr)
        for what, value in (("learning rate", lr), ("epsilon value", eps)):
            if not 0.0 < as_number(value):
                raise ValueError(f"Invalid {what}: {value}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        numbered = [(k, n, p) for k, g in enumerate(self.param_groups) for n, p in enumerate(g["params"])]
        found = [[k, n] for k, n, p in numbered if aval(p).dtype.is_complex]
        if found:
            raise ValueError(f"Complex params at indices {found}: SparseAdam does not support complex parameters")

    def _counter(self, value: float) -> Any:
        return int(value)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (("maximize", bool(group["maximize"])),)

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(map(as_number, (group["lr"], *group["betas"], group["eps"])))

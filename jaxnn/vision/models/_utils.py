"""What several families of models need.

`IntermediateLayerGetter` and `_make_divisible` have torchvision's names, since programs import them from here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor

__all__ = ["IntermediateLayerGetter"]


def _make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The nearest multiple of a divisor, at least `min_value` and not much below `v`."""
    found = max(min_value or divisor, int(v + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * v else found


class IntermediateLayerGetter(nn.ModuleDict):
    """The outputs of some children of a model whose children run one after another.

    Args:
        model: what has the children; those after the last one wanted are left out.
        return_layers: the name under which to give the output of each child.

    Raises:
        ValueError: for names of no child.
    """

    _version = 2

    def __init__(self, model: nn.Module, return_layers: dict[str, str]) -> None:
        children = dict(model.named_children())
        if not set(return_layers) <= set(children):
            raise ValueError("return_layers are not present in model")
        self_layers = {str(name): str(under) for name, under in return_layers.items()}
        names = list(children)
        last = max((names.index(name) for name in self_layers), default=len(names) - 1)
        super().__init__(OrderedDict((name, children[name]) for name in names[: last + 1]))
        self.return_layers = self_layers

    def forward(self, x: Tensor) -> Any:
        found = OrderedDict()
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                found[self.return_layers[name]] = x
        return found

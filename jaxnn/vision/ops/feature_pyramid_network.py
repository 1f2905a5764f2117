"""A pyramid of feature maps that all have the same channels.

Source: Lin et al. 2016, arXiv:1612.03144;
https://docs.pytorch.org/vision/stable/generated/torchvision.ops.FeaturePyramidNetwork.html
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.nn import functional as F

from .misc import Conv2dNormActivation

__all__ = ["ExtraFPNBlock", "FeaturePyramidNetwork", "LastLevelMaxPool", "LastLevelP6P7"]


class ExtraFPNBlock(nn.Module):
    """What adds levels to a pyramid: called with its levels, the maps they come from and their names."""

    def forward(
        self, results: list[Tensor], x: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:  # fmt: skip
        """The levels and their names, with those that it adds."""
        raise NotImplementedError(f"{type(self).__name__}.forward")


class LastLevelMaxPool(ExtraFPNBlock):
    """Adds every other place of the smallest level, as ``"pool"``."""

    def forward(  # type: ignore[override]  # torchvision's names
        self, x: list[Tensor], y: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        return [*x, F.max_pool2d(x[-1], kernel_size=1, stride=2, padding=0)], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Adds two levels by convolutions, ``"p6"`` and ``"p7"`` (Lin et al. 2017, arXiv:1708.02002)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for module in (self.p6, self.p7):
            nn.init.kaiming_uniform_(module.weight, a=1)
            nn.init.zeros_(module.bias)
        self.use_P5 = in_channels == out_channels

    def forward(self, p: list[Tensor], c: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        p6 = self.p6(p[-1] if self.use_P5 else c[-1])
        return [*p, p6, self.p7(F.relu(p6))], [*names, "p6", "p7"]


class FeaturePyramidNetwork(nn.Module):
    """Maps of falling size, each with what the smaller ones tell added.

    Args:
        in_channels_list: channels of each map.
        out_channels: of each level.
        extra_blocks: adds levels.
        norm_layer: makes the normalisation of a number of channels; None for none.

    Shape: a mapping from names to maps (N, C, H, W), the largest first -> an ordered one of levels.

    Raises:
        ValueError: for channels of 0; TypeError: for an `extra_blocks` of another class.
    """

    _version = 2

    def __init__(
        self, in_channels_list: Sequence[int], out_channels: int, extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.inner_blocks = nn.ModuleList()
        self.layer_blocks = nn.ModuleList()
        for channels in in_channels_list:
            if channels == 0:
                raise ValueError("in_channels=0 is currently not supported")
            for blocks, have, size in ((self.inner_blocks, channels, 1), (self.layer_blocks, out_channels, 3)):
                blocks.append(
                    Conv2dNormActivation(
                        have, out_channels, kernel_size=size, norm_layer=norm_layer, activation_layer=None
                    )
                )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if extra_blocks is not None and not isinstance(extra_blocks, ExtraFPNBlock):
            raise TypeError(f"extra_blocks should be of type ExtraFPNBlock not {type(extra_blocks)}")
        self.extra_blocks = extra_blocks

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        if (local_metadata.get("version") or 1) < 2:  # blocks were plain convolutions
            for blocks in ("inner_blocks", "layer_blocks"):
                for i in range(len(getattr(self, blocks))):
                    for kind in ("weight", "bias"):
                        old = f"{prefix}{blocks}.{i}.{kind}"
                        if old in state_dict:
                            state_dict[f"{prefix}{blocks}.{i}.0.{kind}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def forward(self, x: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        names, maps = list(x), list(x.values())
        above = self.inner_blocks[-1](maps[-1])
        levels = [self.layer_blocks[-1](above)]
        for i in range(len(maps) - 2, -1, -1):
            own = self.inner_blocks[i](maps[i])
            above = own + F.interpolate(above, size=own.shape[-2:], mode="nearest")
            levels.insert(0, self.layer_blocks[i](above))
        if self.extra_blocks is not None:
            levels, names = self.extra_blocks(levels, maps, names)
        return OrderedDict(zip(names, levels, strict=True))

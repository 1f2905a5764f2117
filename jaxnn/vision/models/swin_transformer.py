"""Swin transformers, the first version and the second.

Source: Liu et al. 2021, arXiv:2103.14030, and 2022, arXiv:2111.09883;
https://docs.pytorch.org/vision/stable/models/swin_transformer.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.nn import functional as F
from jaxnn.vision.ops.misc import MLP, Permute
from jaxnn.vision.ops.stochastic_depth import StochasticDepth

from .registry import builder
from .weights import WeightsEnum, imagenet
from .window_attention import ShiftedWindowAttention, ShiftedWindowAttentionV2, shifted_window_attention

__all__ = [
    "ShiftedWindowAttention", "ShiftedWindowAttentionV2", "SwinTransformer", "Swin_B_Weights", "Swin_S_Weights",
    "Swin_T_Weights", "Swin_V2_B_Weights", "Swin_V2_S_Weights", "Swin_V2_T_Weights", "shifted_window_attention", "swin_b",
    "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t",
]  # fmt: skip

_Maker = Callable[..., nn.Module]


def _neighbours(x: Tensor) -> Tensor:
    """(N, H, W, C) to (N, H / 2, W / 2, 4 C): each square of four places as one; odd sizes are padded with zeros."""
    height, width = x.shape[-3:-1]
    x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    corners = ((0, 0), (1, 0), (0, 1), (1, 1))
    return jaxnn.cat([x[..., down::2, across::2, :] for down, across in corners], -1)


class PatchMerging(nn.Module):
    """Half the size and twice the channels. Shape: (N, H, W, dim) -> (N, H / 2, W / 2, 2 dim)."""

    def __init__(self, dim: int, norm_layer: _Maker = nn.LayerNorm) -> None:
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(self.norm(_neighbours(x)))


class PatchMergingV2(nn.Module):
    """`PatchMerging` with the normalisation last."""

    def __init__(self, dim: int, norm_layer: _Maker = nn.LayerNorm) -> None:
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.reduction(_neighbours(x)))


class SwinTransformerBlock(nn.Module):
    """Attention within windows and two linear layers, each after a normalisation and beside a shortcut.

    Args:
        dim: channels.
        num_heads, window_size, shift_size, attention_dropout: of the attention.
        mlp_ratio: how many times more channels there are between the linear layers.
        dropout: the probability that an element becomes zero.
        stochastic_depth_prob: the probability that a row is left out.
        norm_layer: makes a normalisation of a size.
        attn_layer: makes the attention.

    Shape: (N, H, W, dim) -> the same.
    """

    def __init__(
        self, dim: int, num_heads: int, window_size: Sequence[int], shift_size: Sequence[int], mlp_ratio: float = 4.0,
        dropout: float = 0.0, attention_dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
        norm_layer: _Maker = nn.LayerNorm, attn_layer: _Maker = ShiftedWindowAttention,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = attn_layer(
            dim, window_size, shift_size, num_heads, attention_dropout=attention_dropout, dropout=dropout
        )
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        self.mlp = MLP(dim, [int(dim * mlp_ratio), dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class SwinTransformerBlockV2(SwinTransformerBlock):
    """`SwinTransformerBlock` with the normalisations last, and attention by cosines."""

    def __init__(
        self, dim: int, num_heads: int, window_size: Sequence[int], shift_size: Sequence[int], mlp_ratio: float = 4.0,
        dropout: float = 0.0, attention_dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
        norm_layer: _Maker = nn.LayerNorm, attn_layer: _Maker = ShiftedWindowAttentionV2,
    ) -> None:  # fmt: skip
        super().__init__(
            dim, num_heads, window_size, shift_size, mlp_ratio, dropout, attention_dropout, stochastic_depth_prob,
            norm_layer, attn_layer,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


class SwinTransformer(nn.Module):
    """Stages of blocks with attention within windows, each of half the size of the one before.

    Args:
        patch_size: height and width of a patch.
        embed_dim: channels of the first stage.
        depths, num_heads: of each stage, its blocks and their heads.
        window_size: height and width of a window.
        mlp_ratio: how many times more channels there are between the linear layers.
        dropout, attention_dropout: probabilities, of elements and of attention weights.
        stochastic_depth_prob: the probability that the last block is left out; it grows linearly from the first.
        num_classes: size of the result.
        norm_layer: makes a normalisation of a size, by default `LayerNorm` with eps 1e-5.
        block: makes a block, by default `SwinTransformerBlock`.
        downsample_layer: makes what stands between stages.

    Shape: (N, 3, H, W) -> (N, num_classes).
    """

    def __init__(
        self, patch_size: Sequence[int], embed_dim: int, depths: Sequence[int], num_heads: Sequence[int],
        window_size: Sequence[int], mlp_ratio: float = 4.0, dropout: float = 0.0, attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.1, num_classes: int = 1000, norm_layer: _Maker | None = None,
        block: _Maker | None = None, downsample_layer: _Maker = PatchMerging,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_classes = num_classes
        block = block or SwinTransformerBlock
        norm = norm_layer or partial(nn.LayerNorm, eps=1e-5)
        patch = (patch_size[0], patch_size[1])
        layers: list[nn.Module] = [
            nn.Sequential(nn.Conv2d(3, embed_dim, patch, stride=patch), Permute([0, 2, 3, 1]), norm(embed_dim))
        ]
        total, made = sum(depths), 0
        for stage, depth in enumerate(depths):
            dim = embed_dim * 2**stage
            blocks = []
            for i in range(depth):
                shift = [0 if i % 2 == 0 else size // 2 for size in window_size]
                left_out = stochastic_depth_prob * float(made) / (total - 1)
                blocks.append(
                    block(
                        dim,
                        num_heads[stage],
                        window_size=window_size,
                        shift_size=shift,
                        mlp_ratio=mlp_ratio,
                        dropout=dropout,
                        attention_dropout=attention_dropout,
                        stochastic_depth_prob=left_out,
                        norm_layer=norm,
                    )  # fmt: skip
                )
                made += 1
            layers.append(nn.Sequential(*blocks))
            if stage < len(depths) - 1:
                layers.append(downsample_layer(dim, norm))
        self.features = nn.Sequential(*layers)
        last = embed_dim * 2 ** (len(depths) - 1)
        self.norm = norm(last)
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(last, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.permute(self.norm(self.features(x)))
        return self.head(self.flatten(self.avgpool(x)))


def _made(
    embed_dim: int, depths: Sequence[int], num_heads: Sequence[int], window: int, stochastic_depth_prob: float,
    kwargs: dict[str, Any],
) -> SwinTransformer:  # fmt: skip
    probability = kwargs.pop("stochastic_depth_prob", stochastic_depth_prob)
    return SwinTransformer(
        [4, 4], embed_dim, depths, num_heads, [window, window], stochastic_depth_prob=probability, **kwargs
    )


def _made_v2(
    embed_dim: int,
    depths: Sequence[int],
    num_heads: Sequence[int],
    stochastic_depth_prob: float,
    kwargs: dict[str, Any],
) -> SwinTransformer:
    second = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}
    return _made(embed_dim, depths, num_heads, 8, stochastic_depth_prob, second | kwargs)


class Swin_T_Weights(WeightsEnum):
    """Checkpoints of `swin_t`."""

    IMAGENET1K_V1 = imagenet("swin_t-704ceda3.pth", 28288354, resize_size=232, min_size=224, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class Swin_S_Weights(WeightsEnum):
    """Checkpoints of `swin_s`."""

    IMAGENET1K_V1 = imagenet("swin_s-5e29d889.pth", 49606258, resize_size=246, min_size=224, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class Swin_B_Weights(WeightsEnum):
    """Checkpoints of `swin_b`."""

    IMAGENET1K_V1 = imagenet("swin_b-68c6b09e.pth", 87768224, resize_size=238, min_size=224, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class Swin_V2_T_Weights(WeightsEnum):
    """Checkpoints of `swin_v2_t`."""

    IMAGENET1K_V1 = imagenet("swin_v2_t-b137f0e2.pth", 28351570, 256, 260, min_size=256, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class Swin_V2_S_Weights(WeightsEnum):
    """Checkpoints of `swin_v2_s`."""

    IMAGENET1K_V1 = imagenet("swin_v2_s-637d8ceb.pth", 49737442, 256, 260, min_size=256, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class Swin_V2_B_Weights(WeightsEnum):
    """Checkpoints of `swin_v2_b`."""

    IMAGENET1K_V1 = imagenet("swin_v2_b-781e5279.pth", 87930848, 256, 272, min_size=256, bicubic=True)
    DEFAULT = IMAGENET1K_V1


@builder(Swin_T_Weights)
def swin_t(**kwargs: Any) -> SwinTransformer:
    """Swin tiny, with the arguments of the class after ``window_size``."""
    return _made(96, [2, 2, 6, 2], [3, 6, 12, 24], 7, 0.2, kwargs)


@builder(Swin_S_Weights)
def swin_s(**kwargs: Any) -> SwinTransformer:
    """Swin small."""
    return _made(96, [2, 2, 18, 2], [3, 6, 12, 24], 7, 0.3, kwargs)


@builder(Swin_B_Weights)
def swin_b(**kwargs: Any) -> SwinTransformer:
    """Swin base."""
    return _made(128, [2, 2, 18, 2], [4, 8, 16, 32], 7, 0.5, kwargs)


@builder(Swin_V2_T_Weights)
def swin_v2_t(**kwargs: Any) -> SwinTransformer:
    """Swin V2 tiny."""
    return _made_v2(96, [2, 2, 6, 2], [3, 6, 12, 24], 0.2, kwargs)


@builder(Swin_V2_S_Weights)
def swin_v2_s(**kwargs: Any) -> SwinTransformer:
    """Swin V2 small."""
    return _made_v2(96, [2, 2, 18, 2], [3, 6, 12, 24], 0.3, kwargs)


@builder(Swin_V2_B_Weights)
def swin_v2_b(**kwargs: Any) -> SwinTransformer:
    """Swin V2 base."""
    return _made_v2(128, [2, 2, 18, 2], [4, 8, 16, 32], 0.5, kwargs)

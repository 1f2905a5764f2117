"""Vision transformers.

Source: Dosovitskiy et al. 2020, arXiv:2010.11929; Xiao et al. 2021, arXiv:2106.14881 (the convolutional stem);
https://docs.pytorch.org/vision/stable/models/vision_transformer.html
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.nn import functional as F
from jaxnn.vision.ops.misc import MLP, Conv2dNormActivation

from .registry import builder, fixed
from .weights import WeightsEnum, imagenet

__all__ = [
    "ViT_B_16_Weights", "ViT_B_32_Weights", "ViT_H_14_Weights", "ViT_L_16_Weights", "ViT_L_32_Weights",
    "VisionTransformer", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32",
]  # fmt: skip

_Norm = Callable[..., nn.Module]
_LAYER_NORM = partial(nn.LayerNorm, eps=1e-6)


class ConvStemConfig(NamedTuple):
    """A convolution of a stem that stands in for the patches' projection."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: _Norm = nn.BatchNorm2d
    activation_layer: Callable[..., nn.Module] = nn.ReLU


class MLPBlock(MLP):
    """Two linear layers with GELU between them. Shape: (*, in_dim) -> the same."""

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=1e-6)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        if (local_metadata.get("version") or 1) < 2:  # as in the published files
            for old, new in (("linear_1", "0"), ("linear_2", "3")):
                for kind in ("weight", "bias"):
                    if f"{prefix}{old}.{kind}" in state_dict:
                        state_dict[f"{prefix}{new}.{kind}"] = state_dict.pop(f"{prefix}{old}.{kind}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class EncoderBlock(nn.Module):
    """Attention and two linear layers, each after a normalisation and beside a shortcut.

    Shape: (N, L, hidden_dim) -> the same.
    """

    def __init__(
        self, num_heads: int, hidden_dim: int, mlp_dim: int, dropout: float, attention_dropout: float,
        norm_layer: _Norm = _LAYER_NORM,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, dropout=attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        _three_dimensional(input)
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Learned positions, blocks, a normalisation. Shape: (N, seq_length, hidden_dim) -> the same."""

    def __init__(
        self, seq_length: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int, dropout: float,
        attention_dropout: float, norm_layer: _Norm = _LAYER_NORM,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pos_embedding = nn.Parameter(jaxnn.empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        shape = (num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        self.layers = nn.Sequential(
            OrderedDict((f"encoder_layer_{i}", EncoderBlock(*shape)) for i in range(num_layers))
        )
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        _three_dimensional(input)
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


def _three_dimensional(input: Tensor) -> None:
    if input.ndim != 3:
        raise AssertionError(f"Expected (batch_size, seq_length, hidden_dim) got {input.shape}")


class VisionTransformer(nn.Module):
    """A transformer over the patches of a picture and a token for its class.

    Args:
        image_size: height and width of the pictures.
        patch_size: height and width of a patch.
        num_layers, num_heads, hidden_dim, mlp_dim: of the encoder.
        dropout: the probability that an element becomes zero, after the positions and in the blocks.
        attention_dropout: that of an attention weight.
        num_classes: size of the result.
        representation_size: size of a layer before the last one; None for none.
        norm_layer: makes the normalisation of a size.
        conv_stem_configs: convolutions instead of the patches' projection.

    Shape: (N, 3, image_size, image_size) -> (N, num_classes).

    Raises:
        AssertionError: for pictures of another size, and sizes that are no multiple of the patches'.
    """

    def __init__(
        self, image_size: int, patch_size: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int,
        dropout: float = 0.0, attention_dropout: float = 0.0, num_classes: int = 1000,
        representation_size: int | None = None, norm_layer: _Norm = _LAYER_NORM,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if image_size % patch_size != 0:
            raise AssertionError("Input shape indivisible by patch size!")
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.num_classes = num_classes
        self.representation_size = representation_size
        self.norm_layer = norm_layer
        if conv_stem_configs is None:
            last = nn.Conv2d(3, hidden_dim, patch_size, stride=patch_size)
            self.conv_proj: nn.Module = last
        else:
            self.conv_proj, last = _stem(conv_stem_configs, hidden_dim)
        self.class_token = nn.Parameter(jaxnn.zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(
            self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer
        )
        heads: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is not None:
            heads["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            heads["act"] = nn.Tanh()
        heads["head"] = nn.Linear(representation_size or hidden_dim, num_classes)
        self.heads = nn.Sequential(heads)

        if conv_stem_configs is None:
            nn.init.trunc_normal_(last.weight, std=math.sqrt(1 / (last.in_channels * patch_size * patch_size)))
        else:
            nn.init.normal_(last.weight, mean=0.0, std=math.sqrt(2.0 / last.out_channels))
        nn.init.zeros_(last.bias)
        if representation_size is not None:
            nn.init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / hidden_dim))
            nn.init.zeros_(self.heads.pre_logits.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def _process_input(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) as patches (N, L, hidden_dim)."""
        for name, size in zip(("height", "width"), x.shape[2:], strict=True):
            if size != self.image_size:
                raise AssertionError(f"Wrong image {name}! Expected {self.image_size} but got {size}!")
        return self.conv_proj(x).flatten(2).permute(0, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self._process_input(x)
        x = jaxnn.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        return self.heads(self.encoder(x)[:, 0])


def _stem(configs: Sequence[ConvStemConfig], hidden_dim: int) -> tuple[nn.Sequential, nn.Conv2d]:
    """The convolutions of a stem, and the last of them."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for i, config in enumerate(configs):
        layers[f"conv_bn_relu_{i}"] = Conv2dNormActivation(
            channels, config.out_channels, config.kernel_size, config.stride, norm_layer=config.norm_layer,
            activation_layer=config.activation_layer,
        )  # fmt: skip
        channels = config.out_channels
    layers["conv_last"] = last = nn.Conv2d(channels, hidden_dim, 1)
    return nn.Sequential(layers), last


def interpolate_embeddings(
    image_size: int, patch_size: int, model_state: dict[str, Tensor], interpolation_mode: str = "bicubic",
    reset_heads: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """A checkpoint for pictures of another size: the learned positions are interpolated.

    Args:
        image_size, patch_size: of the model that shall load it.
        model_state: the checkpoint; its positions are replaced.
        interpolation_mode: of `functional.interpolate`.
        reset_heads: leave out the last layers, which a model for other classes has its own of.

    Raises:
        ValueError: for positions of another shape than (1, L, hidden_dim), or that are no square.
    """
    positions = model_state["encoder.pos_embedding"]
    count, length, width = positions.shape
    if count != 1:
        raise ValueError(f"Unexpected position embedding shape: {positions.shape}")
    have, want = math.isqrt(length - 1), image_size // patch_size
    if want * want == length - 1:
        return model_state
    if have * have != length - 1:
        raise ValueError(f"seq_length is not a perfect square: {have * have} instead of {length - 1}")
    grid = positions[:, 1:].permute(0, 2, 1).reshape(1, width, have, have)
    grid = F.interpolate(grid, size=want, mode=interpolation_mode, align_corners=True)
    grid = grid.reshape(1, width, want * want).permute(0, 2, 1)
    model_state["encoder.pos_embedding"] = jaxnn.cat([positions[:, :1], grid], dim=1)
    if reset_heads:
        return OrderedDict((key, value) for key, value in model_state.items() if not key.startswith("heads"))
    return model_state


def _decides(weights: WeightsEnum, kwargs: dict[str, Any]) -> None:
    fixed(kwargs, image_size=weights.meta["min_size"][0])


def _made(
    patch_size: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int, kwargs: dict[str, Any]
) -> VisionTransformer:
    size = kwargs.pop("image_size", 224)
    return VisionTransformer(size, patch_size, num_layers, num_heads, hidden_dim, mlp_dim, **kwargs)


class ViT_B_16_Weights(WeightsEnum):
    """Checkpoints of `vit_b_16`."""

    IMAGENET1K_V1 = imagenet("vit_b_16-c867db91.pth", 86567656, min_size=224)
    IMAGENET1K_SWAG_E2E_V1 = imagenet("vit_b_16_swag-9ac1b537.pth", 86859496, 384, 384, min_size=384, bicubic=True)
    IMAGENET1K_SWAG_LINEAR_V1 = imagenet(
        "vit_b_16_lc_swag-4e70ced5.pth", 86567656, 224, 224, min_size=224, bicubic=True
    )
    DEFAULT = IMAGENET1K_V1


class ViT_B_32_Weights(WeightsEnum):
    """Checkpoints of `vit_b_32`."""

    IMAGENET1K_V1 = imagenet("vit_b_32-d86f8d99.pth", 88224232, min_size=224)
    DEFAULT = IMAGENET1K_V1


class ViT_L_16_Weights(WeightsEnum):
    """Checkpoints of `vit_l_16`."""

    IMAGENET1K_V1 = imagenet("vit_l_16-852ce7e3.pth", 304326632, resize_size=242, min_size=224)
    IMAGENET1K_SWAG_E2E_V1 = imagenet("vit_l_16_swag-4f3808c9.pth", 305174504, 512, 512, min_size=512, bicubic=True)
    IMAGENET1K_SWAG_LINEAR_V1 = imagenet(
        "vit_l_16_lc_swag-4d563306.pth", 304326632, 224, 224, min_size=224, bicubic=True
    )
    DEFAULT = IMAGENET1K_V1


class ViT_L_32_Weights(WeightsEnum):
    """Checkpoints of `vit_l_32`."""

    IMAGENET1K_V1 = imagenet("vit_l_32-c7638314.pth", 306535400, min_size=224)
    DEFAULT = IMAGENET1K_V1


class ViT_H_14_Weights(WeightsEnum):
    """Checkpoints of `vit_h_14`."""

    IMAGENET1K_SWAG_E2E_V1 = imagenet("vit_h_14_swag-80465313.pth", 633470440, 518, 518, min_size=518, bicubic=True)
    IMAGENET1K_SWAG_LINEAR_V1 = imagenet(
        "vit_h_14_lc_swag-c1eb923e.pth", 632045800, 224, 224, min_size=224, bicubic=True
    )
    DEFAULT = IMAGENET1K_SWAG_E2E_V1


@builder(ViT_B_16_Weights, decides=_decides)
def vit_b_16(**kwargs: Any) -> VisionTransformer:
    """The base model with patches of 16; takes ``image_size=224`` and the arguments of the class after ``mlp_dim``."""
    return _made(16, 12, 12, 768, 3072, kwargs)


@builder(ViT_B_32_Weights, decides=_decides)
def vit_b_32(**kwargs: Any) -> VisionTransformer:
    """The base model with patches of 32."""
    return _made(32, 12, 12, 768, 3072, kwargs)


@builder(ViT_L_16_Weights, decides=_decides)
def vit_l_16(**kwargs: Any) -> VisionTransformer:
    """The large model with patches of 16."""
    return _made(16, 24, 16, 1024, 4096, kwargs)


@builder(ViT_L_32_Weights, decides=_decides)
def vit_l_32(**kwargs: Any) -> VisionTransformer:
    """The large model with patches of 32."""
    return _made(32, 24, 16, 1024, 4096, kwargs)


@builder(ViT_H_14_Weights, decides=_decides)
def vit_h_14(**kwargs: Any) -> VisionTransformer:
    """The huge model with patches of 14."""
    return _made(14, 32, 16, 1280, 5120, kwargs)

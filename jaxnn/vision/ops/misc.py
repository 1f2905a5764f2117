"""Building blocks of models of pictures.

Source: https://docs.pytorch.org/vision/stable/ops.html#layers
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor

__all__ = [
    "MLP", "Conv2dNormActivation", "Conv3dNormActivation", "ConvNormActivation", "FrozenBatchNorm2d", "Permute",
    "SqueezeExcitation",
]  # fmt: skip

#: What makes a layer.
Maker = Callable[..., nn.Module]


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and affine map never change: four buffers.

    Args:
        num_features: channels.
        eps: added to the variance.

    Shape: (N, num_features, H, W) -> the same.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.FrozenBatchNorm2d.html
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", jaxnn.ones(num_features))
        self.register_buffer("bias", jaxnn.zeros(num_features))
        self.register_buffer("running_mean", jaxnn.zeros(num_features))
        self.register_buffer("running_var", jaxnn.ones(num_features))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)  # of an ordinary batch normalisation
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        scale = (self.weight * (self.running_var + self.eps).rsqrt()).reshape(1, -1, 1, 1)
        return x * scale + (self.bias.reshape(1, -1, 1, 1) - self.running_mean.reshape(1, -1, 1, 1) * scale)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"


def _every(size: int | Sequence[int], count: int) -> Sequence[int]:
    return (size,) * count if isinstance(size, int) else size


class ConvNormActivation(nn.Sequential):
    """A convolution, a normalisation and an activation; `Conv2dNormActivation` says what the arguments are."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any = 3, stride: Any = 1, padding: Any = None,
        groups: int = 1, norm_layer: Maker | None = nn.BatchNorm2d, activation_layer: Maker | None = nn.ReLU,
        dilation: Any = 1, inplace: bool | None = True, bias: bool | None = None, conv_layer: Maker = nn.Conv2d,
    ) -> None:  # fmt: skip
        if padding is None:
            if isinstance(kernel_size, int) and isinstance(dilation, int):
                padding = (kernel_size - 1) // 2 * dilation
            else:
                count = len(dilation if isinstance(kernel_size, int) else kernel_size)
                pairs = zip(_every(kernel_size, count), _every(dilation, count), strict=True)
                padding = tuple((size - 1) // 2 * apart for size, apart in pairs)
        convolution = conv_layer(
            in_channels, out_channels, kernel_size, stride, padding, dilation=dilation, groups=groups,
            bias=norm_layer is None if bias is None else bias,
        )  # fmt: skip
        layers = [convolution]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**({} if inplace is None else {"inplace": inplace})))
        super().__init__(*layers)
        self.out_channels = out_channels


class Conv2dNormActivation(ConvNormActivation):
    """A two-dimensional convolution, a normalisation and an activation.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: of the convolution.
        padding: by default what keeps the size at stride 1.
        norm_layer: makes the normalisation of a number of channels; None for none.
        activation_layer: makes the activation; None for none.
        inplace: given to the activation, unless it is None.
        bias: of the convolution; by default where there is no normalisation.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.Conv2dNormActivation.html
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any = 3, stride: Any = 1, padding: Any = None,
        groups: int = 1, norm_layer: Maker | None = nn.BatchNorm2d, activation_layer: Maker | None = nn.ReLU,
        dilation: Any = 1, inplace: bool | None = True, bias: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, groups, norm_layer, activation_layer, dilation,
            inplace, bias, nn.Conv2d,
        )  # fmt: skip


class Conv3dNormActivation(ConvNormActivation):
    """A three-dimensional convolution, a normalisation and an activation, with `Conv2dNormActivation`'s arguments.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.Conv3dNormActivation.html
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any = 3, stride: Any = 1, padding: Any = None,
        groups: int = 1, norm_layer: Maker | None = nn.BatchNorm3d, activation_layer: Maker | None = nn.ReLU,
        dilation: Any = 1, inplace: bool | None = True, bias: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, groups, norm_layer, activation_layer, dilation,
            inplace, bias, nn.Conv3d,
        )  # fmt: skip


class SqueezeExcitation(nn.Module):
    """Scales each channel by what a small network makes of all channels' means (Hu et al. 2017, arXiv:1709.01507).

    Args:
        input_channels: channels.
        squeeze_channels: channels between the two layers.
        activation: makes the activation between them.
        scale_activation: makes the one that gives the scales.

    Shape: (N, input_channels, H, W) -> the same.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.SqueezeExcitation.html
    """

    def __init__(
        self, input_channels: int, squeeze_channels: int, activation: Maker = nn.ReLU,
        scale_activation: Maker = nn.Sigmoid,
    ) -> None:  # fmt: skip
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        squeezed = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(squeezed)) * input


class MLP(nn.Sequential):
    """Linear layers, each but the last with a normalisation and an activation, all with dropout.

    Args:
        in_channels: size of the input's last dimension.
        hidden_channels: sizes after each layer.
        norm_layer: makes the normalisation of a size; None for none.
        activation_layer: makes the activation; None for none.
        inplace: given to activations and dropouts, unless it is None.
        bias: whether the linear layers have one.
        dropout: the probability that an element becomes zero.

    Shape: (*, in_channels) -> (*, hidden_channels[-1]).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.MLP.html
    """

    def __init__(
        self, in_channels: int, hidden_channels: Sequence[int], norm_layer: Maker | None = None,
        activation_layer: Maker | None = nn.ReLU, inplace: bool | None = None, bias: bool = True, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        place: dict[str, Any] = {} if inplace is None else {"inplace": inplace}
        layers: list[nn.Module] = []
        sizes = [in_channels, *hidden_channels]
        for have, want in zip(sizes[:-2], sizes[1:-1], strict=True):
            layers.append(nn.Linear(have, want, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(want))
            if activation_layer is not None:
                layers.append(activation_layer(**place))
            layers.append(nn.Dropout(dropout, **place))
        layers += [nn.Linear(sizes[-2], sizes[-1], bias=bias), nn.Dropout(dropout, **place)]
        super().__init__(*layers)


class Permute(nn.Module):
    """The dimensions in another order.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.Permute.html
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(*self.dims)

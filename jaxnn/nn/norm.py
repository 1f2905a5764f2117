"""Normalization.

Source: https://docs.pytorch.org/docs/stable/nn.html#normalization-layers
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from flax import nnx

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.process.config import in_transformation
from jaxnn.nn.functional.cross_map import cross_map_lrn2d

from . import functional as F
from . import init
from .buffers import statistic
from .factory import empty, full
from .module import Module
from .parameter import Parameter

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "CrossMapLRN2d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "LayerNorm", "LocalResponseNorm", "RMSNorm",
]  # fmt: skip


class _Affine(Module):
    """What all have in common: a weight of ones and a bias of zeros, or neither.

    Args:
        bias: whether what is learned has a bias.
    """

    def _affine(self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        self.register_parameter("weight", Parameter(empty(shape, device, dtype)) if weight else None)
        self.register_parameter("bias", Parameter(empty(shape, device, dtype)) if bias else None)

    def reset_parameters(self) -> None:
        """Weight one, bias zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if getattr(self, "bias", None) is not None:
            init.zeros_(self.bias)


class _NormBase(_Affine):
    """Normalization by channel: ``(x - mean) / sqrt(variance + eps) * weight + bias``.

    Attributes:
        weight, bias: (C), ones and zeros at first, or None.
        running_mean, running_var: (C), buffers; None without running statistics.
    """

    _version = 2
    _jaxnn_flax_mode = "use_running_average"
    _jaxnn_statistics = ("running_mean", "running_var", "num_batches_tracked")

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: DeviceLike = None, dtype: dtype | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._affine((num_features,), affine, affine and bias, device, dtype)
        statistics: tuple[Any, ...] = (None, None, None)
        if track_running_stats:
            statistics = (
                statistic(full((num_features,), 0, device, dtype)), statistic(full((num_features,), 1, device, dtype)),
                statistic(full((), 0, device, dtypes.int64)),
            )  # fmt: skip
        for name, value in zip(("running_mean", "running_var", "num_batches_tracked"), statistics, strict=True):
            self.register_buffer(name, value)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight one, bias zero, no batches seen."""
        self.reset_running_stats()
        super().reset_parameters()

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        version = local_metadata.get("version", None)
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            # Version 1 did not count batches.
            state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _BatchNorm(_NormBase):
    """Normalization of each channel over the batch (https://arxiv.org/abs/1502.03167).

    In training the statistics are those of the batch, and go into the running ones, which evaluation uses.

    Raises:
        ValueError: when called with another number of dimensions, or in training with a single value for a channel.
    """

    _ranks: tuple[int, ...]
    _expected: str

    def _check_input_dim(self, input: Any) -> None:
        if input.dim() not in self._ranks:
            raise ValueError(f"expected {self._expected} input (got {input.dim()}D input)")

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input; in training the running statistics take part of the batch's."""
        self._check_input_dim(input)
        if in_transformation() and self.training and self.running_mean is not None:
            for held in (self.running_mean, self.running_var, self.num_batches_tracked):
                if isinstance(held, nnx.Variable):  # no plain tensor of functional_call
                    held._check_can_update()  # as Flax: no tracer goes to a module from outside the transformation
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                factor = 1.0 / float(self.num_batches_tracked)
        without = self.running_mean is None and self.running_var is None
        use_running = not self.training or self.track_running_stats
        return F.batch_norm(
            input, self.running_mean if use_running else None, self.running_var if use_running else None, self.weight,
            self.bias, self.training or without, factor, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Batch normalization of features or sequences (https://arxiv.org/abs/1502.03167).

    Shape: (N, C) or (N, C, L), the same in the result.

    Example:
        >>> layer = nn.BatchNorm1d(2)
        >>> layer(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
        tensor([[-1.0000, -1.0000],
                [ 1.0000,  1.0000]], grad_fn=<NativeBatchNormBackward0>)
        >>> layer.running_mean
        tensor([0.1000, 0.3000])

    Computes: `nn.functional.batch_norm`
    """

    _ranks, _expected = (2, 3), "2D or 3D"


class BatchNorm2d(_BatchNorm):
    """Batch normalization of images (https://arxiv.org/abs/1502.03167).

    Shape: (N, C, H, W), the same in the result.

    Example:
        >>> layer = nn.BatchNorm2d(3)
        >>> layer(torch.ones(2, 3, 4, 4)).shape
        torch.Size([2, 3, 4, 4])
        >>> list(layer.state_dict())
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']

    Computes: `nn.functional.batch_norm`
    """

    _ranks, _expected = (4,), "4D"


class BatchNorm3d(_BatchNorm):
    """Batch normalization of volumes (https://arxiv.org/abs/1502.03167).

    Shape: (N, C, D, H, W), the same in the result.

    Example:
        >>> nn.BatchNorm3d(3)(torch.ones(2, 3, 2, 2, 2)).shape
        torch.Size([2, 3, 2, 2, 2])

    Computes: `nn.functional.batch_norm`
    """

    _ranks, _expected = (5,), "5D"


class _InstanceNorm(_NormBase):
    """Normalization of each channel of each sample (https://arxiv.org/abs/1607.08022).

    Raises:
        ValueError: when called with another number of dimensions, or with a single value for a channel.
    """

    _dims: int

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: DeviceLike = None, dtype: dtype | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input, with or without a batch dimension."""
        n = self._dims
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")
        channels = input.size(input.dim() - n - 1)
        if channels != self.num_features and self.affine:
            raise ValueError(
                f"expected input's size at dim={input.dim() - n - 1} to match num_features ({self.num_features}), "
                f"but got: "
                f"{channels}."
            )
        if input.dim() == n + 1:
            return self._normalized(input.unsqueeze(0)).squeeze(0)
        return self._normalized(input)

    def _normalized(self, input: Any) -> Any:
        if in_transformation() and self.training and self.running_mean is not None:
            self.running_mean._check_can_update()
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, self.momentum if self.momentum is not None else 0.0,
            self.eps,
        )  # fmt: skip


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of sequences (https://arxiv.org/abs/1607.08022).

    Shape: (N, C, L) or (C, L), the same in the result.

    Example:
        >>> nn.InstanceNorm1d(1)(torch.tensor([[[0.0, 2.0]]]))
        tensor([[[-1.0000,  1.0000]]])

    Computes: `nn.functional.instance_norm`
    """

    _dims = 1


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of images (https://arxiv.org/abs/1607.08022).

    Shape: (N, C, H, W) or (C, H, W), the same in the result.

    Example:
        >>> nn.InstanceNorm2d(3, affine=True)(torch.ones(2, 3, 4, 4)).shape
        torch.Size([2, 3, 4, 4])

    Computes: `nn.functional.instance_norm`
    """

    _dims = 2


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of volumes (https://arxiv.org/abs/1607.08022).

    Shape: (N, C, D, H, W) or (C, D, H, W), the same in the result.

    Example:
        >>> nn.InstanceNorm3d(3)(torch.ones(2, 3, 2, 2, 2)).shape
        torch.Size([2, 3, 2, 2, 2])

    Computes: `nn.functional.instance_norm`
    """

    _dims = 3


def _as_shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, numbers.Integral) else tuple(shape)  # type: ignore[return-value]


class LayerNorm(_Affine):
    """Normalization over the last dimensions, whose sizes are ``normalized_shape`` (https://arxiv.org/abs/1607.06450).

    Args:
        normalized_shape: one integer for the last dimension, or a sequence.
        bias: whether to shift.

    Shape: (*, *normalized_shape) -> the same.

    Attributes:
        weight, bias: normalized_shape, ones and zeros at first, or None.

    Example:
        >>> nn.LayerNorm(2)(torch.tensor([[0.0, 2.0], [5.0, 1.0]]))
        tensor([[-1.0000,  1.0000],
                [ 1.0000, -1.0000]], grad_fn=<NativeLayerNormBackward0>)

    Computes: `nn.functional.layer_norm`
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._affine(self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Affine):
    """Normalization over groups of channels of each sample (https://arxiv.org/abs/1803.08494).

    Shape: (N, C, *), the same in the result.

    Attributes:
        weight, bias: (C), ones and zeros at first, or None.

    Raises:
        ValueError: for groups that do not divide the channels.

    Example:
        >>> nn.GroupNorm(2, num_channels=4)(torch.tensor([[0.0, 2.0, 5.0, 1.0]]))
        tensor([[-1.0000,  1.0000,  1.0000, -1.0000]],
               grad_fn=<NativeGroupNormBackward0>)

    Computes: `nn.functional.group_norm`
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: DeviceLike = None,
        dtype: dtype | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._affine((num_channels,), affine, affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        sizes = f"{self.num_groups}, {self.num_channels}"
        return f"{sizes}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class RMSNorm(_Affine):
    """Division by the root of the mean square over the last dimensions (https://arxiv.org/abs/1910.07467).

    Args:
        normalized_shape: one integer for the last dimension, or a sequence.
        eps: None: the smallest step of the input's type above 1.
        elementwise_affine: whether to scale by learned parameters.

    Shape: (*, *normalized_shape) -> the same.

    Attributes:
        weight: normalized_shape, ones at first, or None.

    Example:
        >>> nn.RMSNorm(2)(torch.tensor([[3.0, 4.0]]))
        tensor([[0.8485, 1.1314]], grad_fn=<MulBackward0>)

    Computes: `nn.functional.rms_norm`
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True,
        device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter(
            "weight", Parameter(empty(self.normalized_shape, device, dtype)) if elementwise_affine else None
        )
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """Division by a power of the sum of squares over neighbouring channels.

    Args:
        size: how many channels.
        alpha, beta, k: the divisor is ``(k + alpha * mean of squares) ** beta``.

    Shape: (N, C, *), the same in the result.

    Example:
        >>> nn.LocalResponseNorm(2, alpha=1.0)(torch.ones(1, 3, 1)).flatten()
        tensor([0.7378, 0.5946, 0.5946])

    Computes: `nn.functional.local_response_norm`
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """Division by the size of neighbouring channels, with the sums that PyTorch's layer of this name takes.

    Args:
        size: how many channels.
        alpha, beta, k: the divisor is ``(k + alpha / size * sum of squares) ** beta``.

    Shape: (N, C, H, W), the same in the result.

    Example:
        >>> nn.CrossMapLRN2d(3)(torch.ones(1, 4, 2, 2)).shape
        torch.Size([1, 4, 2, 2])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return cross_map_lrn2d(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"

"""Layers that take the number of their input's features or channels from the first input.

Until then their parameters have no shape; give the layer an input before an optimizer's first step.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.modules.lazy.LazyModuleMixin.html
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.kinds import dtypes

from . import factory
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from .parameter import BatchStat, UninitializedParameter, UninitializedStat, is_lazy
from .state_dict import foreign_tensor

__all__ = [
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyConv3d",
    "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d",
    "LazyInstanceNorm3d", "LazyLinear", "LazyModuleMixin",
]  # fmt: skip


def _infer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The hook of a lazy module's first call: give the parameters their shapes, then be a usual module."""
    module._infer_parameters(module, args, kwargs)


class LazyModuleMixin:
    """Makes a module lazy: at its first call `initialize_parameters` gets the arguments of ``forward`` and gives its
    uninitialized parameters and buffers their shapes; then its class becomes ``cls_to_become``, where there is one.

    A state_dict gives them their shapes too. Until then optimizers and conversions may take the parameters, operators
    may not. Stands before the module's class among the bases.
    """

    cls_to_become: Any = None
    _jaxnn_hook_tables: Any
    _parameters: Any
    _buffers: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_forward_pre_hook(_infer, with_kwargs=True)  # type: ignore[attr-defined]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize every uninitialized parameter and buffer, by the arguments of the first call."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module itself has no shape yet."""
        return any(is_lazy(t) for table in (self._parameters, self._buffers) for t in table.values())

    def _infer_parameters(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
        tables = module._jaxnn_hook_tables()
        for key in [k for k, hook in tables.forward_pre.items() if hook is _infer]:
            del tables.forward_pre[key], tables.forward_pre_with_kwargs[key]
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        lazy = {name: t for name, t in self._jaxnn_persistent().items() if is_lazy(t)}  # type: ignore[attr-defined]
        if not lazy:
            super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
            return
        for name, t in self._jaxnn_persistent().items():  # type: ignore[attr-defined]
            destination[prefix + name] = t if keep_vars or name in lazy else t.detach()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name, target in self._jaxnn_persistent().items():  # type: ignore[attr-defined]
            given = foreign_tensor(state_dict.get(prefix + name))
            if is_lazy(target) and given is not None and not is_lazy(given):
                target.materialize(tuple(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[misc]

    def _jaxnn_load_one(self, name: str, key: str, target: Any, value: Any, assign: bool, errors: list[str]) -> None:
        if not (is_lazy(target) and is_lazy(value)):
            super()._jaxnn_load_one(name, key, target, value, assign, errors)  # type: ignore[misc]


class LazyLinear(LazyModuleMixin, Linear):
    """`Linear` whose ``in_features`` is the size of the input's last dimension.

    Example:
        >>> layer = nn.LazyLinear(2)
        >>> layer(torch.ones(4, 3)).shape
        torch.Size([4, 2])
        >>> layer
        Linear(in_features=3, out_features=2, bias=True)
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new parameters, once there are some."""
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Any) -> None:  # type: ignore[override]
        """Take the number of features from the input."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))
            self.reset_parameters()
        if self.in_features == 0:
            self.in_features = self.weight.shape[-1]


class _LazyConv(LazyModuleMixin):
    """What lazy convolutions have in common; a kind of convolution follows among the bases."""

    _dims: int
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    groups: int
    transposed: bool
    weight: Any
    bias: Any

    def _later(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        """Replace the parameters without elements that the constructor made."""
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new parameters, once there are some."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        """Take the number of channels from the input."""
        if not self.has_uninitialized_params():
            return
        n = self._dims
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {type(self).__name__}, but got input of "
                f"size: {input.shape}"
            )
        self.in_channels = input.shape[input.dim() - n - 1]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        self.weight.materialize((first, second // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyConvNd(_LazyConv):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)
        self._later(out_channels, bias, device, dtype)


class _LazyConvTransposeNd(_LazyConv):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode, device, dtype
        )
        self._later(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConvNd, Conv1d):  # type: ignore[misc]
    """`Conv1d` whose ``in_channels`` is the number of the input's channels.

    Example:
        >>> layer = nn.LazyConv1d(8, kernel_size=3)
        >>> layer(torch.ones(2, 4, 10)).shape
        torch.Size([2, 8, 8])
        >>> layer
        Conv1d(4, 8, kernel_size=(3,), stride=(1,))
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvNd, Conv2d):  # type: ignore[misc]
    """`Conv2d` whose ``in_channels`` is the number of the input's channels.

    Example:
        >>> layer = nn.LazyConv2d(8, kernel_size=3)
        >>> layer(torch.ones(2, 4, 10, 10)).shape
        torch.Size([2, 8, 8, 8])
        >>> layer
        Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1))
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvNd, Conv3d):  # type: ignore[misc]
    """`Conv3d` whose ``in_channels`` is the number of the input's channels.

    Example:
        >>> nn.LazyConv3d(2, kernel_size=3)(torch.ones(1, 4, 3, 3, 3)).shape
        torch.Size([1, 2, 1, 1, 1])
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTransposeNd, ConvTranspose1d):  # type: ignore[misc]
    """`ConvTranspose1d` whose ``in_channels`` is the number of the input's channels.

    Example:
        >>> nn.LazyConvTranspose1d(2, kernel_size=2, stride=2)(torch.ones(1, 4, 5)).shape
        torch.Size([1, 2, 10])
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTransposeNd, ConvTranspose2d):  # type: ignore[misc]
    """`ConvTranspose2d` whose ``in_channels`` is the number of the input's channels.

    Example:
        >>> nn.LazyConvTranspose2d(2, kernel_size=2, stride=2)(torch.ones(1, 4, 5, 5)).shape
        torch.Size([1, 2, 10, 10])
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTransposeNd, ConvTranspose3d):  # type: ignore[misc]
    """`ConvTranspose3d` whose ``in_channels`` is the number of the input's channels.

    Example:
        >>> nn.LazyConvTranspose3d(2, kernel_size=2, stride=2)(torch.ones(1, 4, 2, 2, 2)).shape
        torch.Size([1, 2, 4, 4, 4])
    """

    cls_to_become = ConvTranspose3d


class _LazyNorm(LazyModuleMixin):
    """What lazy normalizations have in common; a kind of normalization follows among the bases."""

    num_features: int
    affine: bool
    track_running_stats: bool
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(0, eps, momentum, False, False, device, dtype)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(device=device, dtype=dtype)
        if track_running_stats:
            self.running_mean = UninitializedStat(device=device, dtype=dtype)
            self.running_var = UninitializedStat(device=device, dtype=dtype)
            self.num_batches_tracked = BatchStat(factory.full((), 0, device, dtypes.int64))

    def reset_parameters(self) -> None:
        """Weight one, bias zero, no batches seen, once there are channels."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Any) -> None:  # type: ignore[override]
        """Take the number of channels from the input."""
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        for t in (self.weight, self.bias, self.running_mean, self.running_var):
            if is_lazy(t):
                t.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):  # type: ignore[misc]
    """`BatchNorm1d` whose ``num_features`` is the number of the input's channels.

    Example:
        >>> layer = nn.LazyBatchNorm1d()
        >>> layer(torch.ones(2, 4)).shape, layer.num_features
        (torch.Size([2, 4]), 4)
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):  # type: ignore[misc]
    """`BatchNorm2d` whose ``num_features`` is the number of the input's channels.

    Example:
        >>> layer = nn.LazyBatchNorm2d()
        >>> layer(torch.ones(2, 4, 3, 3)).shape, layer.num_features
        (torch.Size([2, 4, 3, 3]), 4)
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):  # type: ignore[misc]
    """`BatchNorm3d` whose ``num_features`` is the number of the input's channels.

    Example:
        >>> layer = nn.LazyBatchNorm3d()
        >>> layer(torch.ones(2, 4, 2, 2, 2)).shape, layer.num_features
        (torch.Size([2, 4, 2, 2, 2]), 4)
    """

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):  # type: ignore[misc]
    """`InstanceNorm1d` whose ``num_features`` is the number of the input's channels.

    Example:
        >>> nn.LazyInstanceNorm1d()(torch.ones(2, 4, 5)).shape
        torch.Size([2, 4, 5])
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):  # type: ignore[misc]
    """`InstanceNorm2d` whose ``num_features`` is the number of the input's channels.

    Example:
        >>> nn.LazyInstanceNorm2d()(torch.ones(2, 4, 5, 5)).shape
        torch.Size([2, 4, 5, 5])
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):  # type: ignore[misc]
    """`InstanceNorm3d` whose ``num_features`` is the number of the input's channels.

    Example:
        >>> nn.LazyInstanceNorm3d()(torch.ones(2, 4, 2, 2, 2)).shape
        torch.Size([2, 4, 2, 2, 2])
    """

    cls_to_become = InstanceNorm3d

"""Batch normalization over a batch that several devices share.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.SyncBatchNorm.html
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.process.config import in_transformation
from jaxnn.core.registry import Arrays, op
from jaxnn.ops.processes.collectives import AllGather
from jaxnn.ops.processes.groups import WORLD, ProcessGroup

from .norm import _BatchNorm

__all__ = ["SyncBatchNorm"]


@op(method=False, name="sync_batch_norm_statistics")
def _statistics(input: Array, axis_name: str) -> tuple[Array, Array, Array]:
    """Mean, variance and number of elements of each channel over all devices of the mapped axis."""
    axes = (0, *range(2, input.ndim))
    x = input.astype(jnp.promote_types(input.dtype, jnp.float32))
    mean = lax.pmean(jnp.mean(x, axis=axes), axis_name)
    centred = x - mean.reshape(-1, *(1,) * (input.ndim - 2))
    var = lax.pmean(jnp.mean(jnp.square(centred), axis=axes), axis_name)
    return mean, var, lax.psum(jnp.asarray(input.size // input.shape[1], x.dtype), axis_name)


@op(method=False, name="sync_batch_norm_moments")
def _moments(input: Array) -> Array:
    """Mean and variance of each channel in this process, and how many elements a channel has: (2 channels + 1,)."""
    axes = (0, *range(2, input.ndim))
    x = input.astype(jnp.promote_types(input.dtype, jnp.float32))
    count = input.size // max(input.shape[1], 1)
    mean = jnp.sum(x, axis=axes) / max(count, 1)
    var = jnp.sum(jnp.square(x - mean.reshape(-1, *(1,) * (input.ndim - 2))), axis=axes) / max(count, 1)
    return jnp.concatenate([mean, var, jnp.full(1, count, x.dtype)])


@op(method=False, name="sync_batch_norm_gather")
def _combined(moments: Arrays) -> tuple[Array, Array, Array]:
    """Mean, variance and number of elements of each channel over all processes, from those of each."""
    parts = jnp.stack(moments)
    channels = (parts.shape[1] - 1) // 2
    counts = parts[:, -1:]
    total = jnp.sum(counts)
    mean = jnp.sum(parts[:, :channels] * counts, axis=0) / total
    within = parts[:, channels : 2 * channels] + jnp.square(parts[:, :channels] - mean)
    return mean, jnp.sum(within * counts, axis=0) / total, total


@op(method=False, name="sync_batch_norm")
def _normalized(input: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    shape = (-1, *(1,) * (input.ndim - 2))
    scale = lax.rsqrt(var + eps)
    if weight is not None:
        scale = scale * weight
    result = (input - mean.reshape(shape)) * scale.reshape(shape)
    if bias is not None:
        result = result + bias.reshape(shape)
    return result.astype(input.dtype)


class SyncBatchNorm(_BatchNorm):
    """`BatchNorm` of any rank over the whole batch.

    With a process group, in training the statistics are those of all processes' inputs, and gradients flow through them. Under
    `jax.jit` a batch that is sharded over devices is one array, and so are its statistics: this is `BatchNorm` there, and in one
    process. Under `jax.pmap`, `jax.shard_map` and `jax.vmap` with a named axis each program sees its own part.

    Args:
        process_group: the processes; by default those of `jaxnn.distributed.init_process_group`, if there are any. Inside a JAX
            transformation, the name of the axis to average over.

    Shape: (N, C, *), the same in the result.

    Raises:
        TypeError: for a ``process_group`` that is neither.
        ValueError: for fewer than 2 dimensions or no channels.

    Example:
        >>> net = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(2)))
        >>> net
        Sequential(
          (0): SyncBatchNorm(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
        )
        >>> net.eval()(torch.ones(1, 2)).shape
        torch.Size([1, 2])

    Computes: `nn.functional.batch_norm`
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, process_group: Any = None, device: DeviceLike = None,
        dtype: dtype | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        if process_group is not None and not isinstance(process_group, (str, ProcessGroup)):
            raise TypeError(f"SyncBatchNorm: process_group must be a group or the name of a mapped axis, but got {process_group!r}")
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input; in training the running statistics take part of the batch's."""
        self._check_input_dim(input)
        group: Any = self._group()
        if group is None or not (self.training or self.running_mean is None):
            return super().forward(input)
        if isinstance(group, str):
            mean, var, count = _statistics(input, group)
        else:
            mean, var, count = _combined(AllGather.apply(group, _moments(input)))
        if self.training and self.running_mean is not None:
            self.running_mean._check_can_update()
            self.num_batches_tracked.add_(1)
            factor = 1.0 / self.num_batches_tracked if self.momentum is None else self.momentum
            unbiased = var.detach() * (count / (count - 1))
            self.running_mean.copy_(self.running_mean + factor * (mean.detach() - self.running_mean))
            self.running_var.copy_(self.running_var + factor * (unbiased - self.running_var))
        return _normalized(input, mean, var, self.weight, self.bias, self.eps)

    def _group(self) -> Any:
        """What the statistics are taken over, besides this process's input."""
        group = self.process_group
        if isinstance(group, str):
            return group
        if not self.training or in_transformation():
            return None
        group = WORLD["group"] if group is None else group
        return None if group is None or group.size() == 1 else group

    def _check_input_dim(self, input: Any) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")
        if input.size(1) == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: Any = None) -> Any:
        """The module with a `SyncBatchNorm` in the place of every batch normalization in it, with the same tensors."""
        made = module
        if isinstance(module, _BatchNorm):
            made = cls(
                module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats,
                process_group, bias=module.bias is not None,
            )  # fmt: skip
            if module.affine:
                made.weight, made.bias = module.weight, module.bias
            made.running_mean, made.running_var = module.running_mean, module.running_var
            made.num_batches_tracked = module.num_batches_tracked
            made.training = module.training
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made

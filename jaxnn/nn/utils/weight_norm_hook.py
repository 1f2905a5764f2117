"""Weight normalisation recomputed by a hook before every forward.

Paper: Salimans and Kingma, 2016, https://arxiv.org/abs/1602.07868
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

import jax.numpy as jnp
from jax import Array

from jaxnn.core.registry import op
from jaxnn.nn.parameter import Parameter, is_lazy

__all__ = ["WeightNorm", "norm_except_dim", "remove_weight_norm", "weight_norm", "weight_norm_of"]

_Layer = TypeVar("_Layer", bound=Any)


def _norm(v: Array, dim: int) -> Array:
    """The 2-norm over all dimensions but one (-1: over all), kept broadcastable."""
    axes = None if dim == -1 else tuple(k for k in range(v.ndim) if k != dim % v.ndim)
    wide = v.astype(jnp.float32) if v.dtype.itemsize < 4 else v
    squares = jnp.sum(wide * wide, axis=axes, keepdims=dim != -1)
    # Where the norm is zero its gradient is zero, as PyTorch has it.
    safe = jnp.where(squares == 0, 1, squares)
    return jnp.where(squares == 0, 0, jnp.sqrt(safe)).astype(v.dtype)


@op(method=False, grad_name="WeightNormInterfaceBackward0")
def weight_norm_of(v: Array, g: Array, dim: int = 0) -> Array:
    """``g * v / norm(v)``, the norm over all dimensions but ``dim`` (-1: over all)."""
    return v * (g / _norm(v, dim))


@op(method=False, grad_name="NormExceptDimBackward0")
def norm_except_dim(v: Array, dim: int = 0) -> Array:
    """The 2-norm over all dimensions but ``dim`` (-1: over all)."""
    return _norm(v, dim)


class WeightNorm:
    """The hook: it sets the weight from ``NAME_g`` and ``NAME_v``."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Any) -> Any:
        """The weight as it follows from length and direction."""
        return weight_norm_of(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)

    @staticmethod
    def apply(module: Any, name: str, dim: int | None) -> WeightNorm:
        """Split a module's weight into length and direction, and register the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        made = WeightNorm(name, dim)
        weight = getattr(module, name)
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `WeightNorm` can't have uninitialized parameters. "
                "Make sure to run the dummy forward before applying weight normalization"
            )
        delattr(module, name)
        module.register_parameter(name + "_g", Parameter(norm_except_dim(weight, made.dim).detach()))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, made.compute_weight(module))
        module.register_forward_pre_hook(made)
        return made

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: _Layer, name: str = "weight", dim: int | None = 0) -> _Layer:
    """Make a parameter the product of a length ``NAME_g`` and a direction ``NAME_v``; deprecated by PyTorch.

    Args:
        dim: the dimension that keeps lengths of its own; None: one length.

    Raises:
        RuntimeError: for a parameter that is normalised already.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.weight_norm.html
    """
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning, stacklevel=2,
    )  # fmt: skip
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: _Layer, name: str = "weight") -> _Layer:
    """Undo `weight_norm`.

    Raises:
        ValueError: for a parameter that is not normalised.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.remove_weight_norm.html
    """
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")

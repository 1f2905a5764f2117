"""Spectral normalisation recomputed by a hook before every forward.

Paper: Miyato et al., 2018, https://arxiv.org/abs/1802.05957
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from jaxnn.core.gradient.modes import enable_grad, no_grad
from jaxnn.core.memory.tensor_base import aval
from jaxnn.nn import init
from jaxnn.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from jaxnn.nn.factory import empty
from jaxnn.nn.functional.norm import normalize
from jaxnn.nn.parameter import Parameter, is_lazy
from jaxnn.ops.linalg.products import mv

__all__ = ["SpectralNorm", "as_matrix", "output_dim", "power_iteration", "random_direction", "remove_spectral_norm",
           "spectral_norm"]  # fmt: skip

_Layer = TypeVar("_Layer", bound=Any)
_VERSION = 1


def output_dim(module: Any, dim: int | None) -> int:
    """The dimension of the outputs: the second of transposed convolutions' weights, else the first."""
    if dim is not None:
        return dim
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


def check_power_iterations(count: int) -> None:
    """Refuse a number of iterations below one."""
    if count <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={count}")


def as_matrix(weight: Any, dim: int) -> Any:
    """A weight with one dimension first and the others flattened."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.dim()) if d != dim))
    return weight.reshape(weight.shape[0], -1)


def random_direction(size: int, like: Any, eps: float) -> Any:
    """A random vector of length one."""
    drawn = init.normal_(empty((size,), like.device, like.dtype))
    with no_grad():
        return normalize(drawn, dim=0, eps=eps)


def power_iteration(matrix: Any, u: Any, v: Any, count: int, eps: float) -> tuple[Any, Any]:
    """Better approximations of the first singular vectors, ``v`` from ``u`` first."""
    for _ in range(count):
        v = normalize(mv(matrix.t(), u), dim=0, eps=eps)
        u = normalize(mv(matrix, v), dim=0, eps=eps)
    return u, v


class SpectralNorm:
    """The hook: it sets the weight to ``NAME_orig`` divided by its largest singular value."""

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        check_power_iterations(n_power_iterations)
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Any, do_power_iteration: bool) -> Any:
        """The normalised weight; the buffers ``NAME_u`` and ``NAME_v`` move on if asked."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                new_u, new_v = power_iteration(matrix, u, v, self.n_power_iterations, self.eps)
                u.copy_(new_u)
                v.copy_(new_v)
                u, v = u.clone(), v.clone()
        return weight / u.dot(mv(matrix, v))

    @staticmethod
    def apply(module: Any, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Register the hook and what it needs."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        made = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `SpectralNorm` can't have uninitialized parameters. "
                "Make sure to run the dummy forward before applying spectral normalization"
            )
        shape = tuple(aval(weight).shape)
        rows = shape[dim]
        u = random_direction(rows, weight, eps)
        v = random_direction(math.prod(shape) // rows, weight, eps)
        delattr(module, name)
        module.register_parameter(name + "_orig", weight)
        setattr(module, name, weight.data)
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(made)
        module._register_state_dict_hook(SpectralNormVersion(made))
        return made

    def remove(self, module: Any) -> None:
        """Make the normalised weight a parameter."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        delattr(module, self.name)
        for part in ("_u", "_v", "_orig"):
            delattr(module, self.name + part)
        with enable_grad():
            module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))


class SpectralNormVersion:
    """Notes in a state dict's metadata in what form the vectors are kept."""

    def __init__(self, hook: SpectralNorm) -> None:
        self.hook = hook

    def __call__(self, module: Any, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> None:
        versions = local_metadata.setdefault("spectral_norm", {})
        key = self.hook.name + ".version"
        if key in versions:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        versions[key] = _VERSION


def spectral_norm(
    module: _Layer, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> _Layer:
    """Divide a parameter by its largest singular value, which power iteration follows during training.

    Args:
        n_power_iterations: steps of the iteration at every forward.
        eps: the smallest length that a vector is divided by.
        dim: the dimension of the outputs; None: 1 for transposed convolutions, else 0.

    Raises:
        RuntimeError: for a parameter that is normalised already.
        ValueError: for less than one iteration.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.spectral_norm.html
    """
    SpectralNorm.apply(module, name, n_power_iterations, output_dim(module, dim), eps)
    return module


def remove_spectral_norm(module: _Layer, name: str = "weight") -> _Layer:
    """Undo `spectral_norm`; the parameter keeps its normalised value.

    Raises:
        ValueError: for a parameter that is not normalised.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.remove_spectral_norm.html
    """
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for key, hook in list(module._state_dict_hooks.items()):
        if isinstance(hook, SpectralNormVersion) and hook.hook.name == name:
            del module._state_dict_hooks[key]
    return module

"""PyTorch's own parametrizations: weight normalisation, spectral normalisation, orthogonal matrices.

Args:
    n_power_iterations: how many steps of the power iteration each forward in training takes.
    name: of the parameter.
"""

from __future__ import annotations

import enum
from typing import Any

import jax.numpy as jnp

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.registry import op
from jaxnn.nn import init
from jaxnn.nn.factory import empty
from jaxnn.nn.functional.norm import normalize
from jaxnn.nn.module import Module
from jaxnn.ops.linalg.products import mv
from jaxnn.ops.shapes.join import cat

from . import parametrize
from .orthogonal_maps import completed, factored, from_cayley, from_exponential, from_householder
from .spectral_norm_hook import as_matrix, check_power_iterations, output_dim, random_direction
from .weight_norm_hook import norm_except_dim, weight_norm_of

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _OrthMaps(enum.Enum):
    """How an orthogonal matrix comes from one without constraints."""

    matrix_exp = enum.auto()
    cayley = enum.auto()
    householder = enum.auto()


_MAPS = {
    _OrthMaps.matrix_exp: from_exponential, _OrthMaps.cayley: from_cayley, _OrthMaps.householder: from_householder,
}  # fmt: skip


@op(method=False, differentiable=False)
def _minus_identity(x: Any) -> Any:
    return jnp.broadcast_to(-jnp.eye(x.shape[-2], x.shape[-1], dtype=x.dtype), x.shape)


@op(method=False, differentiable=False)
def _furthest_from_orthogonal(x: Any) -> Any:
    gram = jnp.conj(jnp.swapaxes(x, -1, -2)) @ x
    return jnp.max(jnp.abs(gram - jnp.eye(gram.shape[-1], dtype=x.dtype)))


class _Orthogonal(Module):
    """A matrix with orthonormal columns, or rows if it is wide, from one without constraints."""

    base: Any

    def __init__(self, weight: Any, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map is _OrthMaps.householder:
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        """The orthogonal matrix."""
        rows, columns = X.shape[-2:]
        if rows < columns:
            X = X.mT
        made = _MAPS[self.orthogonal_map](X)
        if hasattr(self, "base"):
            made = self.base @ made
        return made.mT if rows < columns else made

    @no_grad()
    def right_inverse(self, Q: Any) -> Any:
        """The matrix to start from for ``Q`` (made orthogonal if it is not) to come out.

        Raises:
            NotImplementedError: for the exponential and Cayley's transform, which have no inverse here, without a base.
        """
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}."
            )
        rows, columns = Q.shape[-2:]
        wide = rows < columns
        if wide:
            Q = Q.mT
            rows, columns = columns, rows
        if not hasattr(self, "base"):
            if self.orthogonal_map is not _OrthMaps.householder:
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False."
                )
            made = factored(Q)
            return made.mT if wide else made
        if rows == columns:
            full = completed(Q) if not self._is_orthogonal(Q) else Q.clone()
        else:
            rest = init.normal_(empty((*Q.shape[:-1], rows - columns), Q.device, Q.dtype))
            full = completed(cat([Q, rest], -1))
        self.base = full
        made = _minus_identity(Q)
        return made.mT if wide else made

    @staticmethod
    def _is_orthogonal(q: Any) -> bool:
        described = aval(q)
        eps = 10 * described.shape[-2] * float(jnp.finfo(described.np).eps)
        return float(_furthest_from_orthogonal(q)) < eps


def _weight_of(module: Module, name: str) -> Any:
    weight = getattr(module, name, None)
    if not isinstance(weight, TensorBase):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Make a matrix (or a batch) of a module orthogonal: orthonormal columns, or rows if it is wide.

    Args:
        orthogonal_map: "matrix_exp", "cayley" or "householder"; None: the exponential for square and complex
            matrices, else Householder's reflections.
        use_trivialization: train the difference to a fixed orthogonal matrix, which any assignment sets anew.

    Raises:
        ValueError: for a name that the module lacks, a vector, or a map of another name.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.orthogonal.html
    """
    weight = _weight_of(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _OrthMaps.__members__:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    made = _Orthogonal(weight, _OrthMaps[orthogonal_map], use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)


class _WeightNorm(Module):
    """A tensor from its length and its direction."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """The tensor."""
        return weight_norm_of(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Length and direction of a tensor."""
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train length (``original0``) and direction (``original1``) of a tensor in its place.

    Args:
        dim: the dimension that keeps lengths of its own; None: one length.

    Paper: Salimans and Kingma, 2016, https://arxiv.org/abs/1602.07868

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.weight_norm.html
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def renamed(state_dict: Any, prefix: str, *rest: Any) -> None:
        # What the older weight_norm has written.
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(k in state_dict for k in old):
            for k, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{k}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(renamed)
    return module


class _SpectralNorm(Module):
    """A tensor divided by its largest singular value."""

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        ndim = weight.ndim
        if dim >= ndim or dim < -ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        check_power_iterations(n_power_iterations)
        self.dim = dim if dim >= 0 else dim + ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = as_matrix(weight, self.dim)
            rows, columns = matrix.shape
            self.register_buffer("_u", random_direction(rows, weight, eps))
            self.register_buffer("_v", random_direction(columns, weight, eps))
            self._power_method(matrix, 15)

    @no_grad()
    def _power_method(self, matrix: Any, count: int) -> None:
        u, v = self._u, self._v
        for _ in range(count):
            u = normalize(mv(matrix, v), dim=0, eps=self.eps)
            v = normalize(mv(matrix.mH, u), dim=0, eps=self.eps)
        self._u.copy_(u)
        self._v.copy_(v)

    def forward(self, weight: Any) -> Any:
        """The normalised tensor; in training the power iteration goes on."""
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / u.vdot(mv(matrix, v))

    def right_inverse(self, value: Any) -> Any:
        """The value itself."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a tensor by its largest singular value, which power iteration follows during training.

    Args:
        dim: the dimension of the outputs; None: 1 for transposed convolutions, else 0.

    Raises:
        ValueError: for a name that the module lacks, or less than one iteration.
        IndexError: for a dimension out of range.

    Paper: Miyato et al., 2018, https://arxiv.org/abs/1802.05957

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.spectral_norm.html
    """
    weight = _weight_of(module, name)
    made = _SpectralNorm(weight, n_power_iterations, output_dim(module, dim), eps)
    return parametrize.register_parametrization(module, name, made)

"""What the functions on matrices share: refusals, and reading whether a factorisation went through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.recorder import value_of

__all__ = [
    "LinAlgError", "adjoint", "check_info", "need_floating", "need_matrix", "need_routine", "need_square", "opposed", "scalar_name",
    "square_floating", "without_derivative",
]  # fmt: skip


class LinAlgError(RuntimeError):
    """Raised where a function on matrices fails because of the values: a singular matrix, say.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.LinAlgError.html
    """


def scalar_name(x: Array) -> str:
    """PyTorch's name of an array's element type, such as ``Float``."""
    return dtypes.SCALAR_NAMES[dtypes.of(np.dtype(x.dtype))]


def need_floating(x: Array, name: str, routine: str | None = None) -> None:
    """Refuse integers and 16-bit floats, the latter in the name of the routine that PyTorch looks for, if there is one.

    Raises:
        RuntimeError, NotImplementedError: in PyTorch's words.
    """
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(x)}")
    if routine is None and np.dtype(x.dtype).itemsize < 4:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {scalar_name(x)}")
    need_routine(x, routine or name)


def need_routine(x: Array, routine: str) -> None:
    """Refuse what is neither float32 nor float64 nor complex.

    Raises:
        NotImplementedError: in PyTorch's words.
    """
    if not jnp.issubdtype(x.dtype, jnp.inexact) or np.dtype(x.dtype).itemsize < 4:
        raise NotImplementedError(f"\"{routine}\" not implemented for '{scalar_name(x)}'")


def need_matrix(x: Array, name: str, letter: str = "A") -> None:
    """Refuse what has no rows and columns.

    Raises:
        RuntimeError: in PyTorch's words.
    """
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {letter} must have at least 2 dimensions.")


def need_square(x: Array, name: str, letter: str = "A") -> None:
    """Refuse anything but square matrices.

    Raises:
        RuntimeError: in PyTorch's words.
    """
    need_matrix(x, name, letter)
    if x.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"{name}: {letter} must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} matrices"
        )


def square_floating(x: Array, name: str, routine: str | None = None) -> None:
    """Refuse anything but square matrices of real or complex numbers.

    Raises:
        RuntimeError, NotImplementedError: in PyTorch's words.
    """
    need_square(x, name)
    need_floating(x, name, routine)


def adjoint(x: Array) -> Array:
    """The conjugate transpose."""
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def opposed(x: Array) -> Array:
    """The transpose."""
    return jnp.swapaxes(x, -1, -2)


def check_info(info: Any, name: str, message: str, kind: type[Exception] = LinAlgError) -> None:
    """Read the error codes of a factorisation and raise for the first that is not 0.

    This waits for the value, as PyTorch does; inside a JAX transformation, where there is none, nothing is checked.

    Raises:
        LinAlgError: ``message`` with ``{0}`` replaced by the code.
    """
    if in_transformation():
        return
    if isinstance(info, TensorBase):
        info = value_of(info, "linear algebra")
    if isinstance(info, jax.core.Tracer):
        return
    codes = np.asarray(info)
    failed = np.flatnonzero(codes)
    if failed.size:
        batch = f": (Batch element {failed[0]})" if codes.ndim else ""
        raise kind(f"{name}{batch}: {message.format(codes.ravel()[failed[0]])}")


def without_derivative(f: Callable[..., Any], message: str, kind: type[Exception] = RuntimeError) -> Callable[..., Any]:
    """``f`` with a derivative that raises when a backward reaches it, and not before."""
    guarded = jax.custom_vjp(f)

    def forward(*args: Any) -> Any:
        return f(*args), None

    def backward(_: Any, cotangents: Any) -> Any:
        raise kind(message)

    guarded.defvjp(forward, backward)
    return guarded

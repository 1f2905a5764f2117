"""Complex tensors and their parts: views of the same memory.

A conjugate is computed at once but shares its memory, so writing to it writes to what it conjugates; `is_conj` tells, as
in PyTorch, whether a tensor is such a view.

Args:
    abs, angle: absolute values and angles in radians.

Shape: (*) -> (*), the same.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval, steps_of
from jaxnn.core.registry import FUNCTIONS, METHODS, call, function, op
from jaxnn.ops.common.arguments import need_tensor, operator_of, shape
from jaxnn.ops.common.promotion import require_broadcast

from .strides import Layout, layout, rule

__all__ = [
    "conj", "conj_physical", "imag", "is_conj", "is_neg", "polar", "real", "resolve_conj", "resolve_neg", "view_as_complex",
    "view_as_real",
]  # fmt: skip


def _is_complex(x: Any) -> bool:
    return aval(x).dtype.is_complex if isinstance(x, TensorBase) else jnp.iscomplexobj(x)


# --- real and imaginary parts

_REAL = operator_of(
    "real", jnp.real, view=lambda base, new: lax.complex(new, jnp.imag(base)), grad_name="SelectBackward0"
)
_IMAG = operator_of(
    "imag", jnp.imag, view=lambda base, new: lax.complex(jnp.real(base), new), grad_name="SelectBackward0"
)
rule("real")(lambda before: Layout(before.shape, tuple(2 * s for s in before.strides), 2 * before.offset))
rule("imag")(lambda before: Layout(before.shape, tuple(2 * s for s in before.strides), 2 * before.offset + 1))


@function(method=False)
def real(input: Any) -> Any:
    """The real part, as a view; a real tensor itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.real.html
    """
    need_tensor(input, "real")
    return call(_REAL, (input,)) if _is_complex(input) else input


@function(method=False)
def imag(input: Any) -> Any:
    """The imaginary part, as a view.

    Raises:
        RuntimeError: for real tensors.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.imag.html
    """
    need_tensor(input, "imag")
    if not _is_complex(input):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return call(_IMAG, (input,))


def _set_real(self: Any, value: Any) -> None:
    _write(real(self), value)


def _set_imag(self: Any, value: Any) -> None:
    _write(imag(self), value)


def _write(part: Any, value: Any) -> None:
    METHODS["copy_" if isinstance(value, TensorBase) else "fill_"](part, value)


METHODS["real"] = property(real, _set_real, doc=real.__doc__)  # type: ignore[assignment]
METHODS["imag"] = property(imag, _set_imag, doc=imag.__doc__)  # type: ignore[assignment]

# --- pairs of real numbers


def _pairs(z: Array) -> Array:
    return jnp.stack((jnp.real(z), jnp.imag(z)), -1)


def _numbers(x: Array) -> Array:
    return lax.complex(x[..., 0], x[..., 1])


_AS_REAL = operator_of("view_as_real", _pairs, view=lambda base, new: _numbers(new))
_AS_COMPLEX = operator_of("view_as_complex", _numbers, view=lambda base, new: _pairs(new))
rule("view_as_real")(
    lambda before: Layout((*before.shape, 2), (*(2 * s for s in before.strides), 1), 2 * before.offset)
)
rule("view_as_complex")(
    lambda before: Layout(before.shape[:-1], tuple(s // 2 for s in before.strides[:-1]), before.offset // 2)
)


@function(method=False)
def view_as_real(input: Any) -> Any:
    """Complex numbers as pairs along a new last dimension of a view. Shapes: `(*)` to `(*, 2)`.

    Raises:
        RuntimeError: for real tensors and for conjugates that are not resolved.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.view_as_real.html
    """
    need_tensor(input, "view_as_real")
    if not _is_complex(input):
        raise RuntimeError("view_as_real is only supported for complex tensors")
    if is_conj(input):
        raise RuntimeError(
            "view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate tensor so you can view "
            "it as real, use self.resolve_conj(); however, be warned that the resulting tensor will NOT alias the original."
        )
    return call(_AS_REAL, (input,))


@function(method=False)
def view_as_complex(input: Any) -> Any:
    """Pairs along the last dimension as the complex numbers of a view. Shapes: `(*, 2)` to `(*)`.

    Raises:
        RuntimeError: for integers, another last dimension, and strides that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.view_as_complex.html
    """
    need_tensor(input, "view_as_complex")
    kind = aval(input).dtype if isinstance(input, TensorBase) else dtypes.of(input.dtype)
    if kind not in (dtypes.float32, dtypes.float64, dtypes.float16):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{dtypes.SCALAR_NAMES[kind]}"
        )
    sizes = shape(input)
    if not sizes:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if sizes[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if kind is dtypes.float16:
        raise NotImplementedError("view_as_complex(): complex32, of two float16, is not supported")
    if isinstance(input, TensorBase):
        found = layout(input)
        if found.strides[-1] != 1:
            raise RuntimeError("Tensor must have a last dimension with stride 1")
        if any(s % 2 for s in found.strides[:-1]):
            raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
        if found.offset % 2:
            raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return call(_AS_COMPLEX, (input,))


# --- polar coordinates


@jax.custom_jvp
def _from_polar(size: Array, angle: Array) -> Array:
    return lax.complex(size * jnp.cos(angle), size * jnp.sin(angle))


@_from_polar.defjvp
def _from_polar_jvp(primals: Any, tangents: Any) -> Any:
    # PyTorch takes the result's direction, which for a negative absolute value is the opposite of the angle's.
    (size, angle), (dsize, dangle) = primals, tangents
    found = _from_polar(size, angle)
    direction = _from_polar(jnp.sign(size), angle)
    return found, direction * dsize + 1j * found * dangle


@op(name="polar", method=False)
def polar(abs: Array, angle: Array) -> Array:
    """The complex numbers of these absolute values and angles, broadcast.

    Raises:
        RuntimeError: for types other than float32 and float64, or that differ.

    Shape: two that broadcast -> their common shape.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.polar.html
    """
    names = [dtypes.SCALAR_NAMES[dtypes.of(x.dtype)] for x in (abs, angle)]
    if names[0] not in ("Float", "Double", "Half") or names[1] not in ("Float", "Double", "Half"):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {names[0]} and {names[1]}"
        )
    if names[0] != names[1]:
        raise RuntimeError(
            f"Expected object of scalar type {names[0]} but got scalar type {names[1]} for second argument"
        )
    require_broadcast(abs.shape, angle.shape)
    return _from_polar(*jnp.broadcast_arrays(abs, angle))


FUNCTIONS["polar"] = polar

# --- conjugates

_CONJ = operator_of("conj", jnp.conj, view=lambda base, new: jnp.conj(new))
rule("conj")(lambda before: before)


@function
def conj(input: Any) -> Any:
    """The conjugate, as a view; a real tensor itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.conj.html
    """
    need_tensor(input, "conj")
    return call(_CONJ, (input,)) if _is_complex(input) else input


@op(name="conj_physical", inplace=True)
def conj_physical(input: Array) -> Array:
    """The conjugate, as a copy; a real tensor itself."""
    return jnp.conj(input) if jnp.iscomplexobj(input) else jnp.asarray(input)


def _signs(t: Any) -> tuple[bool, bool]:
    """Whether a tensor is the conjugate of its memory's numbers, and whether the negative of them."""
    conjugated = negative = False
    if isinstance(t, TensorBase):
        for step, _ in steps_of(t):
            if step is _CONJ:
                conjugated = not conjugated
            elif step is _IMAG or step is _REAL:
                negative = negative ^ (conjugated and step is _IMAG)
                conjugated = False
    return conjugated, negative


@function
def is_conj(input: Any) -> bool:
    """Whether the tensor is a view of the numbers that it conjugates.

    Shape: (*) -> one bool.
    """
    need_tensor(input, "is_conj")
    return _signs(input)[0]


@function
def is_neg(input: Any) -> bool:
    """Whether the tensor is a view of the negatives of its numbers: the imaginary part of a conjugate.

    Shape: (*) -> one bool.
    """
    need_tensor(input, "is_neg")
    return _signs(input)[1]


@function
def resolve_conj(input: Any) -> Any:
    """A copy of a conjugate that shares no memory with it; any other tensor itself."""
    need_tensor(input, "resolve_conj")
    return METHODS["clone"](input) if is_conj(input) else input


@function
def resolve_neg(input: Any) -> Any:
    """A copy of a negative view; any other tensor itself."""
    need_tensor(input, "resolve_neg")
    return METHODS["clone"](input) if is_neg(input) else input


FUNCTIONS["resolve_neg"] = METHODS["resolve_neg"] = resolve_neg

"""What the functional kernels share: PyTorch's names in messages, its common dtype, the precision they compute in."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval, is_view, known_array, stored, whole_of
from jaxnn.core.operator.bounds import bounds_of
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.readings import immediate_view
from jaxnn.ops.elementwise.unary import modulus

_C_NAMES = {
    "float32": "float",
    "float64": "double",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "int64": "long int",
    "int32": "int",
    "int16": "short int",
    "int8": "signed char",
    "uint8": "unsigned char",
    "bool": "bool",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def scalar_name(array: Array) -> str:
    """PyTorch's scalar type of an array in messages: Float, Double, Long, ..."""
    return dtypes.SCALAR_NAMES[dtypes.of(array.dtype)]


def c_name(array: Array) -> str:
    """The C++ type of an array's elements, which some of PyTorch's messages print: float, long int, ..."""
    name = jnp.dtype(array.dtype).name
    return _C_NAMES.get(name, name)


def size_text(shape: tuple[int, ...]) -> str:
    """A shape as PyTorch's C++ side prints it: [2, 3]."""
    return "[" + ", ".join(str(n) for n in shape) + "]"


def is_floating(array: Array) -> bool:
    """Whether an array has a real floating dtype."""
    return bool(jnp.issubdtype(array.dtype, jnp.floating))


def is_half(array: Array) -> bool:
    """Whether an array is float16 or bfloat16."""
    return is_floating(array) and jnp.dtype(array.dtype).itemsize == 2


def widen(array: Array) -> Array:
    """float16 and bfloat16 as float32, the precision in which PyTorch's CPU kernels compute; others unchanged."""
    return array.astype(np.float32) if is_half(array) else array


def float32_inside(kernel: Callable[..., Array]) -> Callable[..., Array]:
    """Make a kernel compute on float32 where its first argument is float16 or bfloat16, and round once at the end."""

    @functools.wraps(kernel)
    def wrapped(input: Array, *args: Any, **kwargs: Any) -> Array:
        result = kernel(widen(input), *args, **kwargs)
        return result.astype(input.dtype) if is_half(input) else result

    return wrapped


def normal_dim(dim: int, ndim: int) -> int:
    """`dim` counted from the front; PyTorch's IndexError when it is out of range (scalars have one dimension)."""
    size = max(ndim, 1)
    if not -size <= dim < size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")
    return dim % size


def require_float(array: Array, kernel: str) -> None:
    """Raise PyTorch's NotImplementedError when `kernel` gets an integer or boolean array."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(array)}'")


def require_broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Raise PyTorch's RuntimeError when two shapes do not broadcast."""
    for i in range(1, min(len(a), len(b)) + 1):
        if a[-i] != b[-i] and 1 not in (a[-i], b[-i]):
            raise RuntimeError(
                f"The size of tensor a ({a[-i]}) must match the size of tensor b ({b[-i]}) "
                f"at non-singleton dimension {max(len(a), len(b)) - i}"
            )


def promoted(*arrays: Array) -> tuple[Array, ...]:
    """The arrays in the dtype that PyTorch computes in: those without dimensions count only for their category."""
    wanted = dtypes.result_dtype(
        [dtypes.of(a.dtype) for a in arrays if a.ndim], [dtypes.of(a.dtype) for a in arrays if not a.ndim]
    ).np
    return tuple(a.astype(wanted) for a in arrays)


def promoted_to_float(*arrays: Array) -> tuple[tuple[Array, ...], Any]:
    """The arrays promoted (integers to the default floating type) and widened, and the dtype of the result."""
    arrays = promoted(*arrays)
    if not jnp.issubdtype(arrays[0].dtype, jnp.inexact):
        arrays = tuple(a.astype(dtypes.get_default_dtype().np) for a in arrays)
    return tuple(widen(a) for a in arrays), arrays[0].dtype


def require_real_float(array: Array, kernel: str) -> None:
    """Raise PyTorch's NotImplementedError when `kernel` gets anything but a real floating array."""
    if not is_floating(array):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(array)}'")


def absolute(array: Array) -> Array:
    """Absolute value whose derivative at 0 and NaN is 0, as in PyTorch; that of `jnp.abs` is 1 at 0."""
    return modulus(array) if is_floating(array) else jnp.abs(array)


def holds_jax_integers(value: Any) -> bool:
    """Whether int32 may stand for int64: in a JAX transformation, and for raw arrays where 64 bits are off."""
    return in_transformation() if isinstance(value, TensorBase) else jnp.result_type(int) != jnp.int64


def log_logistic(x: Array) -> Array:
    """log(1 / (1 + exp(-x))), where exp does not overflow."""
    return jnp.where(x < 0, x, 0) - jnp.log1p(jnp.exp(jnp.where(x < 0, x, -x)))


def known(value: Any) -> np.ndarray | None:
    """The numbers of an array or Tensor for a check of their range, or None.

    None under tracing, for Tensors that are not computed yet, and on accelerators: reading them there would wait.
    """
    waits = not isinstance(value, TensorBase)
    if not waits:
        if is_view(value):
            if in_transformation() or known(whole_of(value)) is None:
                return None
            return np.asarray(immediate_view(value))
        value = known_array(value)
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Array) or isinstance(value, jax.core.Tracer) or not value.is_fully_addressable:
        return None
    if next(iter(value.devices())).platform != "cpu" or not (waits or value.is_ready()):  # type: ignore[attr-defined]
        return None
    return np.asarray(value)


def within(indices: Any, low: int, high: int) -> bool:
    """Whether no integer of `indices` that is known lies outside [low, high)."""
    if isinstance(indices, TensorBase):
        described = stored(indices)
        if described.dtype.is_floating_point or described.dtype.is_complex:
            return True  # the kernel refuses the type
        if aval(indices).dtype is described.dtype:
            # Kept with the storage, so that a second look costs nothing; a view has no more than its storage has.
            bounds = bounds_of(whole_of(indices))
            if bounds is None or (bounds[0] >= low and bounds[1] < high):
                return True
            if not is_view(indices):
                return False
    values = known(indices)
    return values is None or not values.size or bool(values.min() >= low and values.max() < high)


@jax.custom_jvp
def value_of(value: Array, source: Array) -> Array:
    """`value`, with the gradient of `source`."""
    return value


@value_of.defjvp
def _value_of_jvp(primals: Any, tangents: Any) -> Any:
    return value_of(*primals), tangents[1]

"""Dtypes, bounds and conversions of random draws: what PyTorch refuses and with which words."""

import operator
import warnings
from collections.abc import Sequence

import ml_dtypes
import numpy as np

HALF, BFLOAT16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
_F32 = np.float32
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

# numpy dtype -> (PyTorch's ScalarType name, its C++ name, significand bits of a float or None)
_DTYPES: dict[np.dtype, tuple[str, str, int | None]] = {
    np.dtype(np.float32): ("Float", "float", 24),
    np.dtype(np.float64): ("Double", "double", 53),
    HALF: ("Half", "c10::Half", 11),
    BFLOAT16: ("BFloat16", "c10::BFloat16", 8),
    np.dtype(np.bool_): ("Bool", "bool", None),
    np.dtype(np.uint8): ("Byte", "unsigned char", None),
    np.dtype(np.int8): ("Char", "signed char", None),
    np.dtype(np.int16): ("Short", "short int", None),
    np.dtype(np.int32): ("Int", "int", None),
    np.dtype(np.int64): ("Long", "long int", None),
    np.dtype(np.uint16): ("UInt16", "short unsigned int", None),
    np.dtype(np.uint32): ("UInt32", "unsigned int", None),
    np.dtype(np.uint64): ("UInt64", "long unsigned int", None),
    np.dtype(np.complex64): ("ComplexFloat", "c10::complex<float>", None),
    np.dtype(np.complex128): ("ComplexDouble", "c10::complex<double>", None),
}
_BAREBONES = {np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.uint64)}


def describe(dtype: np.dtype) -> tuple[str, str, int | None]:
    """PyTorch's ScalarType name, its C++ name and the significand bits (None unless floating)."""
    return _DTYPES.get(dtype, (dtype.name, dtype.name, None))


def digits_of(dtype: np.dtype) -> int | None:
    """Significand bits of a real floating dtype, else None."""
    return describe(dtype)[2]


def require_float(dtype: np.dtype, kernel: str) -> None:
    """Raises the NotImplementedError of a PyTorch kernel that takes real floating dtypes only."""
    if digits_of(dtype) is None:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{describe(dtype)[0]}'")


def require_real(dtype: np.dtype, kernel: str, *, no_bool: bool = False) -> None:
    """Raises the NotImplementedError of a PyTorch kernel that takes real dtypes only."""
    if dtype.kind == "c" or dtype not in _DTYPES or dtype in _BAREBONES or (no_bool and dtype.kind == "b"):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{describe(dtype)[0]}'")


def sizes_of(shape: int | Sequence[int]) -> tuple[int, ...]:
    """The shape as a tuple; a negative size raises RuntimeError."""
    sizes = (operator.index(shape),) if not isinstance(shape, Sequence) else tuple(operator.index(s) for s in shape)
    for size in sizes:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(sizes)}")
    return sizes


def cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Converts float64 or int64 values as C++ does: the 16-bit floats are reached through float32."""
    if dtype.itemsize == 2 and digits_of(dtype):
        values = values.astype(_F32, copy=False)
    elif dtype.kind in "iu" and values.dtype.kind == "f":
        values = values.astype(np.int64)
    return values.astype(dtype, copy=False)


def real_part(dtype: np.dtype) -> np.dtype:
    """The dtype of the parts of a complex dtype."""
    return np.dtype(f"f{dtype.itemsize // 2}")


def check_order(low: int, high: int, casted: str) -> None:
    """Raises RuntimeError for an empty range of integers."""
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from'{casted} to be less than 'to'{casted}, but got from={low} >= to={high}"
        )


def _rounded(value: int, dtype: np.dtype) -> int:
    """An integer after rounding to a float dtype; one that leaves int64 gives the least, as x86 converts it."""
    with np.errstate(over="ignore"):
        rounded = float(cast(np.array(value), dtype))
    return int(rounded) if _INT64_MIN <= rounded <= _INT64_MAX - 1 else _INT64_MIN


def representable_from(low: int, dtype: np.dtype, digits: int) -> int:
    """The least integer that stays at or above `low` when it is rounded to a float dtype."""
    rounded = _rounded(low + 1, dtype)
    return rounded + (1 << (abs(low + 1).bit_length() - digits)) if rounded < low else low


def representable_to(high: int, dtype: np.dtype, digits: int) -> int:
    """The greatest end such that integers below it stay below `high` when they are rounded to a float dtype."""
    rounded = _rounded(high - 1, dtype)
    return rounded - (1 << (abs(high - 1).bit_length() - digits)) if rounded >= high else high


def check_random(low: int, last: int, dtype: np.dtype, digits: int | None) -> None:
    """Raises RuntimeError for a range that the dtype cannot hold, warns where a float has gaps in it."""
    if dtype.kind == "c" or dtype not in _DTYPES:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    if digits:
        greatest = float(ml_dtypes.finfo(dtype).max)
        least = -greatest
    elif dtype.kind == "b":
        least, greatest = 0, 1
    else:
        least, greatest = int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), _INT64_MAX)
    name = describe(dtype)[1]
    for label, value in (("from", low), ("to - 1", last)):
        if not least <= value <= greatest:
            raise RuntimeError(f"{label} is out of bounds for {name}")
    for label, value in (("from", low), ("to - 1", last)):
        if digits and abs(value) > 2**digits:
            warnings.warn(
                f"{label} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations {name} can "
                "support discrete uniform distribution only within this range.",
                UserWarning,
                stacklevel=4,
            )


def check_randperm(n: int, dtype: np.dtype) -> None:
    """Raises RuntimeError for a permutation that the dtype cannot hold."""
    digits = digits_of(dtype)
    if digits and dtype != BFLOAT16 and n > 2**digits + 1:
        limit = "2049" if digits == 11 else f"2^{digits}+1"
        raise RuntimeError(f"n cannot be greater than {limit} for {describe(dtype)[0]} type.")
    if dtype.kind in "iu" and n - 1 > np.iinfo(dtype).max:
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")


def check_uniform(a: float, b: float, dtype: np.dtype) -> None:
    """Raises RuntimeError for bounds of `uniform_` that are reversed or too wide for the dtype."""
    scalar_type, cpp_name, _ = describe(dtype)
    largest = float(ml_dtypes.finfo(dtype).max)
    for name, value in (("from", a), ("to", b)):
        if not -largest <= value <= largest:
            raise RuntimeError(f"{name} is out of bounds for {cpp_name}")
    if a > b:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={a:g} > to={b:g}")
    if b - a > largest:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{scalar_type}>::max(), but found to={b:g} and "
            f"from={a:g} which result in to-from to exceed the limit"
        )


def integer_range(low: int, high: int | None, dtype: np.dtype) -> tuple[int, int]:
    """The first and last integer that `random_(low, high)` draws in a dtype; `high=None` means the dtype's largest."""
    digits = digits_of(dtype)
    if high is not None:
        high = operator.index(high)
        if not (_INT64_MIN <= low <= _INT64_MAX and _INT64_MIN <= high <= _INT64_MAX):
            raise ValueError("Overflow when unpacking long long")
        check_order(low, high, "")
        if digits:
            low, high = representable_from(low, dtype, digits), representable_to(high, dtype, digits)
            check_order(low, high, " casted to dtype")
        last = high - 1
    elif digits:
        last, low = 2**digits, representable_from(low, dtype, digits)
        if low >= last:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, "
                f"but got from={low} > to_inc={last}"
            )
    elif dtype.kind == "c":
        raise RuntimeError("random_from_to_impl handles only integral, floating-point and boolean types")
    else:
        last = 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)
    check_random(low, last, dtype, digits)
    return low, last

"""`torch.testing`: comparing results, and making tensors to test with.

Args:
    actual, expected: what is compared.
    msg: the error's text, or a function that makes it.
    allow_subclasses, check_device, check_dtype, check_stride: what must agree beside the values.

Source: https://docs.pytorch.org/docs/stable/testing.html
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import Size
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval
from jaxnn.core.random import generator as random
from jaxnn.ops.common.placement import made
from jaxnn.ops.creation.from_data import tensor
from jaxnn.ops.memory.cast import finfo, iinfo

from .core.process.late import imported as _imported

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

#: (rtol, atol) that `assert_close` takes for each type; everything else is compared exactly.
_TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex32": (1e-3, 1e-5), "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip


class _Comparison:
    """The options of one `assert_close`."""

    def __init__(self, rtol: float | None, atol: float | None, equal_nan: bool, check: dict[str, bool]) -> None:
        if (rtol is None) != (atol is None):
            missing = "rtol" if rtol is None else "atol"
            raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
        self.rtol, self.atol, self.equal_nan, self.check = rtol, atol, equal_nan, check

    def tolerances(self, *names: str) -> tuple[float, float]:
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        found = [_TOLERANCES.get(n, (0.0, 0.0)) for n in names]
        return max(f[0] for f in found), max(f[1] for f in found)

    def run(self, actual: Any, expected: Any, path: str) -> str | None:
        """What differs, or None."""
        if isinstance(actual, (TensorBase, np.ndarray)) or isinstance(expected, (TensorBase, np.ndarray)):
            return self._tensors(actual, expected, path)
        if isinstance(actual, (str, bytes)) or isinstance(expected, (str, bytes)):
            raise _unsupported(actual, expected)
        if isinstance(actual, Mapping) and isinstance(expected, Mapping):
            return self._mappings(actual, expected, path)
        if isinstance(actual, Sequence) and isinstance(expected, Sequence):
            if len(actual) != len(expected):
                return f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{_at(path)}"
            for k, (a, b) in enumerate(zip(actual, expected, strict=True)):
                found = self.run(a, b, f"{path}[{k}]")
                if found:
                    return found
            return None
        if actual is None or expected is None:
            return None if actual is expected else f"None mismatch: {actual} is not {expected}{_at(path)}"
        if isinstance(actual, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)):
            return None if actual == expected else f"Booleans mismatch: {actual} is not {expected}{_at(path)}"
        if isinstance(actual, (int, float, complex)) and isinstance(expected, (int, float, complex)):
            if type(actual) is not type(expected) and self.check["dtype"]:
                return f"The (d)types do not match: {type(actual)} != {type(expected)}.{_at(path)}"
            names = {int: "int64", bool: "bool", float: "float64", complex: "complex128"}
            return self._scalars(actual, expected, self.tolerances(names[type(actual)], names[type(expected)]), path)
        raise _unsupported(actual, expected)

    def _mappings(self, actual: Mapping[Any, Any], expected: Mapping[Any, Any], path: str) -> str | None:
        missing = sorted(set(expected) - set(actual), key=str)
        extra = sorted(set(actual) - set(expected), key=str)
        if missing or extra:
            return (
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {missing}\nAdditional keys in the actual mapping: {extra}{_at(path)}"
            )
        for key in expected:
            found = self.run(actual[key], expected[key], f"{path}[{key!r}]")
            if found:
                return found
        return None

    def _tensors(self, actual: Any, expected: Any, path: str) -> str | None:
        arrays = isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray)
        tensors = isinstance(actual, TensorBase) and isinstance(expected, TensorBase)
        if not (arrays or tensors):
            raise _unsupported(actual, expected)
        if tensors and not self.check["subclasses"] and type(actual) is not type(expected):
            raise _unsupported(actual, expected)
        for what in ("shape", "device", "dtype", "stride"):
            if what in self.check and not self.check[what]:
                continue
            if what in ("device", "stride") and arrays:
                continue
            a, b = (getattr(t, what) for t in (actual, expected))
            if what == "stride":
                a, b = a(), b()
            if arrays and what == "shape":
                a, b = Size(a), Size(b)
            elif arrays:
                a, b = dtypes.of(a), dtypes.of(b)
            if a != b:
                return f"The values for attribute '{what}' do not match: {a} != {b}.{_at(path)}"
        names = [dtypes.of(t.dtype).name if arrays else aval(t).dtype.name for t in (actual, expected)]
        a, b = (t if arrays else _array(t) for t in (actual, expected))
        rtol, atol = self.tolerances(*names)
        if names[0] != names[1]:
            common = np.promote_types(a.dtype, b.dtype)
            a, b = a.astype(common), b.astype(common)
        return self._arrays(a, b, rtol, atol, path)

    def _arrays(self, a: np.ndarray, b: np.ndarray, rtol: float, atol: float, path: str) -> str | None:
        exact = rtol == 0 and atol == 0
        if exact and a.dtype.kind not in "fc":
            bad = a != b
        else:
            x, y = (_wide(v) for v in (a, b))
            with np.errstate(all="ignore"):
                near = (x == y) | (np.isfinite(y) & (np.abs(x - y) <= atol + rtol * np.abs(y)))
            if self.equal_nan:
                near |= np.isnan(x) & np.isnan(y)
            bad = ~near
        count = int(bad.sum())
        if not count:
            return None
        kind = "equal" if exact else "close"
        if a.ndim == 0:
            return self._scalars(a.item() if a.dtype.kind in "iufcb" else float(a),
                                 b.item() if b.dtype.kind in "iufcb" else float(b), (rtol, atol), path)  # fmt: skip
        x, y = (v.astype(np.int64) if v.dtype.kind in "iub" else _wide(v) for v in (a, b))
        with np.errstate(all="ignore"):
            absolute = np.abs(x - y)
            relative = absolute / np.abs(y)
        absolute, relative = np.where(bad, absolute, 0), np.where(bad, relative, 0)
        lines = [
            f"Tensor-likes are not {kind}!", "",
            f"Mismatched elements: {count} / {a.size} ({count / a.size:.1%})",
            _greatest("absolute", absolute, None if exact else atol),
            _greatest("relative", relative, None if exact else rtol),
        ]  # fmt: skip
        return "\n".join(lines) + _at(path)

    def _scalars(self, actual: Any, expected: Any, tolerances: tuple[float, float], path: str) -> str | None:
        rtol, atol = tolerances
        nan = cmath.isnan(actual) and cmath.isnan(expected)
        if actual == expected or (self.equal_nan and nan):
            return None
        difference = abs(actual - expected)
        if cmath.isfinite(expected) and difference <= atol + rtol * abs(expected):
            return None
        exact = rtol == 0 and atol == 0
        relative = difference / abs(expected) if expected != 0 else float("inf")
        allowed = ["", ""] if exact else [f" (up to {atol} allowed)", f" (up to {rtol} allowed)"]
        return (
            f"Scalars are not {'equal' if exact else 'close'}!\n\nExpected {expected} but got {actual}.\n"
            f"Absolute difference: {difference}{allowed[0]}\nRelative difference: {relative}{allowed[1]}{_at(path)}"
        )


def _array(t: TensorBase) -> np.ndarray:
    """A tensor's values; bfloat16 and the like as float32."""
    found = t.detach()
    if aval(t).dtype.name in ("bfloat16",) or aval(t).dtype.name.startswith("float8"):
        found = found.to(dtypes.float32)
    return found.numpy(force=True)


def _wide(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    return array.astype(np.float64)


def _greatest(what: str, values: np.ndarray, allowed: float | None) -> str:
    nans = np.isnan(values).reshape(-1)
    place = int(np.argmax(nans)) if nans.any() else int(np.argmax(values.reshape(-1)))
    where = tuple(int(k) for k in np.unravel_index(place, values.shape))
    found = values.reshape(-1)[place].item()
    return f"Greatest {what} difference: {found} at index {where}" + (
        "" if allowed is None else f" (up to {allowed} allowed)"
    )


def _at(path: str) -> str:
    return f"\n\nThe failure occurred for item {path}" if path else ""


def _unsupported(actual: Any, expected: Any) -> TypeError:
    return TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")


def assert_close(
    actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
    equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True,
    check_stride: bool = False, msg: str | Callable[[str], str] | None = None,
) -> None:  # fmt: skip
    """Assert that tensors, numbers, or nests of them are close: ``|actual - expected| <= atol + rtol * |expected|``.

    Args:
        rtol, atol: both or neither; the defaults depend on the type, whole numbers and bool are compared exactly.
        check_layout: all layouts are strided here.
        msg: the message, or a function of the message.

    Raises:
        AssertionError: says what differs, by how much, and where. TypeError: for what can't be compared.

    Source: https://docs.pytorch.org/docs/stable/testing.html#torch.testing.assert_close
    """
    check = {"subclasses": allow_subclasses, "device": check_device, "dtype": check_dtype, "stride": check_stride}
    found = _Comparison(rtol, atol, equal_nan, check).run(actual, expected, "")
    if found is not None:
        raise AssertionError(found if msg is None else msg(found) if callable(msg) else msg)


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True,
    msg: str = "",
) -> None:  # fmt: skip
    """`assert_close` under its deprecated name, which takes numbers and arrays for tensors."""
    a, b = (v if isinstance(v, TensorBase) else tensor(v) for v in (actual, expected))
    assert_close(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True, check_dtype=False, msg=msg or None)


def _bounds(low: float | None, high: float | None, kind: Any) -> tuple[Any, Any]:
    """The range of the values, its defaults filled in, within the type's own."""
    if kind is dtypes.bool:
        default: tuple[Any, Any] = (0, 2)
        lowest, highest = 0, 2
    elif kind.is_floating_point or kind.is_complex:
        default = (-9, 9)
        lowest, highest = _limits(kind)
    else:
        lowest, highest = _limits(kind)
        default = (0, 10) if lowest == 0 else (-9, 10)
    low = default[0] if low is None else low
    high = default[1] if high is None else high
    for name, v in (("low", low), ("high", high)):
        if v != v:
            raise ValueError(f"`{name}` cannot be NaN, but got {low=} and {high=}")
    if low == high and (kind.is_floating_point or kind.is_complex):
        return low, high
    if low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    low, high = max(low, lowest), min(high, highest)
    if not (kind.is_floating_point or kind.is_complex):
        low, high = int(np.ceil(low)), int(np.ceil(high))
    return low, high


def _limits(kind: Any) -> tuple[Any, Any]:
    """The least and the largest value of a type; of a complex type, of its parts."""
    info = finfo(kind) if kind.is_floating_point or kind.is_complex else iinfo(kind)
    return info.min, info.max


def _uniform(shape: tuple[int, ...], low: float, high: float, kind: Any, largest: float) -> np.ndarray:
    """Uniform numbers, also from a range that is wider than the type's largest number."""
    g = random.default_generator
    if high - low >= largest:
        return np.asarray(g.uniform(shape, low / 2, high / 2, kind) * 2, kind)
    return g.uniform(shape, low, high, kind)


def make_tensor(
    *shape: Any, dtype: Any, device: Any = None, low: float | None = None, high: float | None = None,
    requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """A tensor of random values from [low, high), by default [-9, 9), for whole numbers [-9, 10) (unsigned [0, 10)).

    Args:
        exclude_zero: zeros become the smallest positive value (of whole numbers and bool: one).
        noncontiguous: every second value of twice as many (strides belong to the compiler).

    Raises:
        ValueError: for an empty range, or gradients of whole numbers.

    Source: https://docs.pytorch.org/docs/stable/testing.html#torch.testing.make_tensor
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else tuple(shape)
    kind = dtypes.of(dtype)
    inexact = kind.is_floating_point or kind.is_complex
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"{noncontiguous=} and {memory_format=}"
        )
    if requires_grad and not inexact:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={kind}")
    least, largest = _bounds(low, high, kind)
    split = noncontiguous and np.prod(sizes, dtype=np.int64) > 1
    drawn = (*sizes[:-1], 2 * sizes[-1]) if split else sizes
    if kind.is_complex:
        part = np.dtype(np.float32 if np.dtype(kind.np).itemsize == 8 else np.float64)
        array = _uniform((*drawn, 2), least, largest, part, _limits(kind)[1]).view(kind.np)[..., 0]
    elif inexact:
        array = _uniform(drawn, least, largest, kind.np, _limits(kind)[1])
    else:
        array = random.default_generator.randint(int(least), int(largest), drawn, kind.np)
    if split:
        array = array[..., 1::2]
    if exclude_zero:
        small = finfo(kind).tiny if inexact else 1
        array = np.where(array == 0, np.asarray(small, kind.np), array)
    result = made(np.ascontiguousarray(array, kind.np), device)
    if memory_format is not None:
        result = result.clone(memory_format=memory_format)
    return result.requires_grad_() if requires_grad else result

_imported(__name__)

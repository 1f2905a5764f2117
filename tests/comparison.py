"""Whether two tensors agree: the one rule by which the tests compare numbers, and the one table of how near they must be.

    check(ours, theirs, "layer", "gradient 0")

Type and shape are equal, NaN stands where NaN stands, and ``|ours - theirs| <= absolute + relative * |theirs|``, element by element.
Tensors of either library, arrays of numpy's and JAX's, and numbers are taken; only types with a row in the table are compared by it,
any other (integers, booleans, text) is equal or not. PyTorch is not imported: the tests beside the newest JAX run without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Tolerance(NamedTuple):
    """How near numbers must be. ``of`` says what ``absolute`` is a part of: see `PARTS`."""

    relative: float
    absolute: float
    of: str = "one"


#: What an absolute tolerance is multiplied by, given the largest finite element of what PyTorch computed.
PARTS: dict[str, Callable[[float], float]] = {
    "one": lambda largest: 1.0,
    "largest": lambda largest: largest,
    "at least one": lambda largest: max(1.0, largest),
    "at most one": lambda largest: min(1.0, largest),
}

_SINGLE = ("float32", "complex64")
_DOUBLE = ("float64", "complex128")
_ALL = ("float16", "bfloat16", *_SINGLE, *_DOUBLE)


def _row(half: Any, bfloat: Any, single: Any, double: Any) -> dict[str, Tolerance]:
    """Tolerances by type, from those of the four precisions."""
    return dict(zip(_ALL, (Tolerance(*t) for t in (half, bfloat, single, single, double, double)), strict=True))


def _anywhere(relative: float, absolute: float, of: str = "one") -> dict[str, Tolerance]:
    """One tolerance for all types."""
    return dict.fromkeys(_ALL, Tolerance(relative, absolute, of))


#: Family -> type -> tolerance. They may only fall.
TOLERANCES: dict[str, dict[str, Tolerance]] = {
    # What `torch.testing.assert_close` asks: kernels, PyTorch's own databases.
    "assert_close": _row((1e-3, 1e-5), (1.6e-2, 1e-5), (1.3e-6, 1e-5), (1e-7, 1e-7)),
    # One operator: a few units of the last place, of the largest element where the small ones are what is left of large ones.
    "operator": _row(
        (1e-2, 1e-2, "at most one"), (1e-2, 1e-2, "at most one"), (2e-6, 2e-6, "at most one"), (1e-13, 1e-13, "at most one")
    ),
    # One layer: its products sum some hundred terms in an order of their own. Halves: not compared.
    "layer": {**dict.fromkeys(_SINGLE, Tolerance(2e-5, 2e-6)), **dict.fromkeys(_DOUBLE, Tolerance(1e-10, 1e-12))},
    # A layer with whatever numbers PyTorch's database gives it: sums round by their largest terms.
    "module": {
        **dict.fromkeys(_SINGLE, Tolerance(2e-5, 2e-6, "at least one")),
        **dict.fromkeys(_DOUBLE, Tolerance(1e-10, 1e-12, "at least one")),
    },
    # Parameters after steps of an optimizer, each relative to its largest entry; what the optimizer keeps has one more rounding.
    "optimizer": _anywhere(1e-5, 1e-5, "largest"),
    "optimizer state": _anywhere(2e-5, 2e-5, "largest"),
    # Ten steps with given gradients: half a unit in the last place of values around 1, a step.
    "ten steps": {
        **dict.fromkeys(_SINGLE, Tolerance(2e-6, 6e-7)), **dict.fromkeys(_DOUBLE, Tolerance(1e-12, 1.2e-15)),
        "bfloat16": Tolerance(2e-6, 0.04), "float16": Tolerance(2e-6, 0.005),
    },
    "ten steps of optax": _anywhere(2e-5, 6e-7),
    # A generative model's forward, and its parameters after three steps of two optimizers.
    "generative": {"float32": Tolerance(1e-5, 1e-5), "float64": Tolerance(1e-10, 1e-10)},
    "generative, trained": {"float32": Tolerance(1e-4, 1e-4), "float64": Tolerance(1e-10, 1e-10)},
    # Primitives as numpy runs them beside XLA, which contracts products and sums.
    "primitive": {
        name: Tolerance(relative, relative / 4)
        for name, relative in {
            "float16": 1e-3, "bfloat16": 1e-2, "float32": 4e-6, "complex64": 4e-6, "float64": 1e-12, "complex128": 1e-12,
        }.items()
    },
    # Short programs, compiled as one or run by operator; where one must be nearer it says so.
    "program": _anywhere(1e-5, 1e-6),
    # Random programs: `assert_close`, but sums round by their largest terms, which cancel in some elements.
    "random program": {
        name: Tolerance(relative, absolute, "at least one")
        for name, (relative, absolute) in {
            "float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "complex64": (1.3e-6, 1e-5),
            "float64": (1e-7, 1e-7), "complex128": (1e-7, 1e-7),
        }.items()
    },  # fmt: skip
    # Random calls: operands between 0 and 1; halves a few units of their last place.
    "random call": _row(
        (2e-3, 2e-3, "at least one"), (1.6e-2, 1.6e-2, "at least one"), (1e-5, 1e-5, "at least one"), (1e-7, 1e-7, "at least one")
    ),
    # A model of Flax's own layers beside one of ours, trained: their formulas round at other places.
    "flax": _anywhere(1e-4, 1e-5),
}


def dtype_of(value: Any) -> str:
    """The name of an element type: "float32", whichever library it is of."""
    return str(value.dtype).removeprefix("torch.")


def values(value: Any) -> np.ndarray:
    """The elements of a tensor or array, bfloat16 as float32."""
    if hasattr(value, "detach"):
        value = value.detach()
        value = (value.float() if dtype_of(value) == "bfloat16" else value).resolve_conj().numpy(force=True)
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def allowed(theirs: np.ndarray, tolerance: Tolerance) -> dict[str, float]:
    """The arguments of numpy's `allclose` for a tolerance and what PyTorch computed."""
    if tolerance.of == "one":
        return {"rtol": tolerance.relative, "atol": tolerance.absolute}
    size = np.abs(theirs, where=np.isfinite(theirs), out=np.zeros(theirs.shape)).max(initial=0.0)
    return {"rtol": tolerance.relative, "atol": tolerance.absolute * PARTS[tolerance.of](float(size))}


def close(ours: Any, theirs: Any, tolerance: Tolerance | None) -> bool:
    """Whether elements agree; without a tolerance they are equal."""
    a, b = values(ours), values(theirs)
    if tolerance is None:
        return bool((a == b).all())
    return a.shape == b.shape and np.allclose(a, b, **allowed(b, tolerance), equal_nan=True)


def check(
    ours: Any, theirs: Any, family: str, what: str = "value", tolerance: Tolerance | None = None,
    exact: Callable[[], Any] | None = None,
) -> None:  # fmt: skip
    """Assert that two tensors agree in type, shape and values.

    Args:
        family: the row of `TOLERANCES`.
        what: how messages begin.
        tolerance: instead of the table's, where a test knows better.
        exact: gives what PyTorch computes in double precision. Where two roundings of single precision are too far from each other ours is
            right if it agrees with that, by the same tolerance, or is nearer to it than PyTorch's in single precision.
    """
    assert dtype_of(ours) == dtype_of(theirs), f"{what}: {dtype_of(ours)}, PyTorch has {dtype_of(theirs)}"
    assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: {tuple(ours.shape)}, PyTorch has {tuple(theirs.shape)}"
    a, b = values(ours), values(theirs)
    near = tolerance or TOLERANCES[family].get(dtype_of(theirs))
    if near is None or a.dtype.kind not in "fc":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    limits = allowed(b, near)
    if exact is not None and not np.allclose(a, b, **limits, equal_nan=True):
        right = values(exact())
        agrees = np.allclose(a, right, **allowed(right, near), equal_nan=True)
        if agrees or np.abs(a - right).max() <= np.abs(b - right).max():
            return
    np.testing.assert_allclose(a, b, **limits, err_msg=what)

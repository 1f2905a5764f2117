"""Functions of lists of tensors, which optimizers call by names such as ``torch._foreach_add_``. A loop: it is one program anyway.

An operand beside the list is one number or 0-dim tensor for all, or a list with one for each.

Source: https://docs.pytorch.org/docs/stable/torch.html#foreach-operations
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .core.registry import FUNCTIONS, METHODS
from .linalg import vector_norm

__all__: list[str] = []

_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round rsqrt "
    "sigmoid sign sin sinh sqrt tan tanh trunc"
)
_BINARY = "add sub mul div pow maximum minimum clamp_min clamp_max"
_TERNARY = "addcmul addcdiv lerp"


def _listed(value: Any, name: str, n: int) -> list[Any]:
    """An operand for each of n tensors."""
    if not isinstance(value, (list, tuple)):
        return [value] * n
    if len(value) != n:
        raise RuntimeError(f"{name}: Tensor lists must have the same number of tensors, got {n} and {len(value)}")
    return list(value)


def _checked(self: Any, name: str) -> Sequence[Any]:
    if not isinstance(self, (list, tuple)):
        raise TypeError(f"{name}(): argument 'self' (position 1) must be tuple of Tensors, not {type(self).__name__}")
    if not self:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return self


def _put(f: Callable[..., Any], name: str, doc: str) -> None:
    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    globals()[name] = f
    __all__.append(name)


def _unary(short: str) -> None:
    plain, inplace = FUNCTIONS[short], METHODS[f"{short}_"]

    def new(self: Any) -> tuple[Any, ...]:
        return tuple(plain(t) for t in _checked(self, f"_foreach_{short}"))

    def write(self: Any) -> None:
        for t in _checked(self, f"_foreach_{short}_"):
            inplace(t)

    _put(new, f"_foreach_{short}", f"`{short}` of each.")
    _put(write, f"_foreach_{short}_", f"`{short}_` of each.")


def _binary(short: str) -> None:
    named = {"maximum": "clamp_min", "minimum": "clamp_max"}.get(short, short)
    plain = FUNCTIONS[named]

    def new(self: Any, other: Any = None, **options: Any) -> tuple[Any, ...]:
        name = f"_foreach_{short}"
        values = _listed(_operand(other, options), name, len(_checked(self, name)))
        return tuple(plain(t, v, **options) for t, v in zip(self, values, strict=True))

    def write(self: Any, other: Any = None, **options: Any) -> None:
        name = f"_foreach_{short}_"
        values = _listed(_operand(other, options), name, len(_checked(self, name)))
        for t, v in zip(self, values, strict=True):
            METHODS[f"{named}_"](t, v, **options)

    _put(new, f"_foreach_{short}", f"`{short}` of each with a number, a tensor, or one of a list.")
    _put(write, f"_foreach_{short}_", f"`{short}_` of each with a number, a tensor, or one of a list.")


def _operand(other: Any, options: dict[str, Any]) -> Any:
    for key in ("other", "scalar", "scalars", "exponent"):
        if key in options:
            return options.pop(key)
    return other


def _ternary(short: str) -> None:
    plain, inplace = FUNCTIONS[short], METHODS[f"{short}_"]
    scale = "weight" if short == "lerp" else "value"

    def rows(self: Any, name: str, *lists: Any) -> Any:
        n = len(_checked(self, name))
        return zip(self, *(_listed(v, name, n) for v in lists), strict=True)

    if short == "lerp":

        def new(self: Any, tensors1: Any, weight: Any) -> tuple[Any, ...]:
            return tuple(plain(*row) for row in rows(self, "_foreach_lerp", tensors1, weight))

        def write(self: Any, tensors1: Any, weight: Any) -> None:
            for t, *row in rows(self, "_foreach_lerp_", tensors1, weight):
                inplace(t, *row)
    else:

        def new(  # type: ignore[misc]
            self: Any, tensor1: Any, tensor2: Any, value: Any = 1, *, scalars: Any = None
        ) -> tuple[Any, ...]:
            found = rows(self, f"_foreach_{short}", tensor1, tensor2, _numbers(value if scalars is None else scalars))
            return tuple(plain(t, a, b, value=v) for t, a, b, v in found)

        def write(  # type: ignore[misc]
            self: Any, tensor1: Any, tensor2: Any, value: Any = 1, *, scalars: Any = None
        ) -> None:
            found = rows(self, f"_foreach_{short}_", tensor1, tensor2, _numbers(value if scalars is None else scalars))
            for t, a, b, v in found:
                inplace(t, a, b, value=v)

    _put(new, f"_foreach_{short}", f"`{short}` of each, with ``{scale}`` for all or one for each.")
    _put(write, f"_foreach_{short}_", f"`{short}_` of each, with ``{scale}`` for all or one for each.")


def _numbers(value: Any) -> Any:
    """The factors of a list of tensors: a tensor of several is one for each."""
    return value.tolist() if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1 else value


def _foreach_norm(self: Any, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:
    """The norm of each."""
    return tuple(vector_norm(t, ord, dtype=dtype) for t in _checked(self, "_foreach_norm"))


def _foreach_max(self: Any) -> tuple[Any, ...]:
    """The largest element of each."""
    return tuple(FUNCTIONS["max"](t) for t in _checked(self, "_foreach_max"))


def _foreach_copy_(self: Any, src: Any, non_blocking: bool = False) -> None:
    """Copy a list of tensors into another."""
    for t, v in zip(_checked(self, "_foreach_copy_"), _listed(src, "_foreach_copy_", len(self)), strict=True):
        METHODS["copy_"](t, v)


def _foreach_clone(self: Any, *, memory_format: Any = None) -> tuple[Any, ...]:
    """A copy of each."""
    return tuple(FUNCTIONS["clone"](t, memory_format=memory_format) for t in _checked(self, "_foreach_clone"))


def _foreach_zero_(self: Any) -> None:
    """Fill each with zeros."""
    for t in _checked(self, "_foreach_zero_"):
        METHODS["zero_"](t)


for _name in _UNARY.split():
    _unary(_name)
for _name in _BINARY.split():
    _binary(_name)
for _name in _TERNARY.split():
    _ternary(_name)
__all__ += ["_foreach_clone", "_foreach_copy_", "_foreach_max", "_foreach_norm", "_foreach_zero_"]

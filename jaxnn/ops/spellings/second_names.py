"""Methods that PyTorch also offers as functions, and in-place forms under their second names.

Source: https://docs.pytorch.org/docs/stable/torch.html
"""

from __future__ import annotations

import functools
from typing import Any

from jaxnn.core.kinds.device import device_of
from jaxnn.core.memory.inference import is_inference
from jaxnn.core.memory.tensor_base import aval
from jaxnn.core.record.write import check_writable
from jaxnn.core.registry import FUNCTIONS, METHODS, function, inplace_form
from jaxnn.ops.memory.memory_views import as_strided
from jaxnn.ops.shapes.shape import become

__all__ = ["is_signed"]


for _name in ("gcd", "lcm", "i0", "conj_physical"):
    METHODS.setdefault(_name + "_", inplace_form(METHODS[_name], _name))


@function(function=False)
def as_strided_(self: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Show the tensor's memory with other sizes and strides, in place."""
    check_writable(self)
    become(self, as_strided(self, size, stride, storage_offset))
    return self


@function(method=False)
def is_signed(input: Any) -> bool:
    """Whether the type has negative values.

    Shape: (*) -> one bool.
    """
    return aval(input).dtype.is_signed


@function(name="is_inference", method=False)
def _is_inference(input: Any) -> bool:
    """Whether a tensor was made within `inference_mode`.

    Shape: (*) -> one bool.
    """
    return is_inference(input)


@function(method=False)
def get_device(input: Any) -> int:
    """The number of the GPU, -1 on the CPU.

    Shape: (*) -> one int.
    """
    found = device_of(aval(input).placement)
    return -1 if found.type == "cpu" else found.index or 0


@function(method=False)
def detach(input: Any) -> Any:
    """The same memory without gradients.

    Shape: (*) -> (*), the same.
    """
    return input.detach()


@function(method=False)
def detach_(input: Any) -> Any:
    """Forget how a tensor was computed.

    Shape: (*) -> (*), the same.
    """
    return input.detach_()


_IN_PLACE = (
    "abs absolute acos acosh addmv arccos arccosh arcsin arcsinh arctan arctanh asin asinh as_strided atan atanh bitwise_not ceil "
    "clamp clamp_max clamp_min clip conj_physical cos cosh deg2rad erf erfc exp exp2 expm1 fill fix floor frac gcd i0 index_put "
    "lcm ldexp log log10 log1p log2 logit nan_to_num neg negative rad2deg reciprocal relu round rsqrt sigmoid sin sinc sinh sqrt "
    "square tan tanh trunc xlogy zero"
)


def _as_function(method: Any) -> Any:
    """An in-place method as a function: the tensor may be given as ``input=``."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return method(kwargs.pop("input"), *args, **kwargs) if not args and "input" in kwargs else method(*args, **kwargs)

    return call


for _name in _IN_PLACE.split():
    if _name + "_" in METHODS:
        FUNCTIONS.setdefault(_name + "_", _as_function(METHODS[_name + "_"]))

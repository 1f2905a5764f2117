"""Operators that refuse a Python number which the tensor's type can't hold, where others let it wrap around.

In PyTorch it depends on whether a kernel takes the number (``fill_(300)`` of a uint8 tensor raises) or a tensor made of it
(``t + 300`` wraps).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.arguments import Number
from jaxnn.core.operator.op import OPERATORS, Op
from jaxnn.ops.creation.factories import check_fits

__all__ = ["refuse_wide"]

#: Operator -> which of its arguments are such numbers. Those in `_WIDE` compute half-precision types in a wider one.
_TAKEN_AS_NUMBERS = {
    "add": (2,), "sub": (2,), "fill": (1,), "masked_fill": (2,), "index_fill": (3,), "scatter_value": (3,), "fill_diagonal": (1,),
    "copy_slices_basic": (1,), "fill_slices_whole": (1,), "index_put": (1,), "masked_set": (1,), "addcmul": (3,),
}  # fmt: skip
_WIDE = frozenset({"addcmul", "copy_slices_basic", "fill_slices_whole", "index_put", "masked_set", "where"})
#: Those whose result has a wider type where the number is of a higher category.
_PROMOTED = {"clamp": (1, 2), "clamp_min": (1,), "clamp_max": (1,), "where": (1, 2)}


def _checked(name: str, places: tuple[int, ...], promotes: bool, before: Callable[..., None] | None) -> Callable[..., None]:
    def check(*args: Any) -> None:
        for k in places:
            if k < len(args) and type(args[k]) is Number:
                first = () if name == "where" else args[:1]  # its condition takes no part
                others = [a for a in (*first, *(args[p] for p in places if p < len(args))) if isinstance(a, TensorBase)]
                kind = aval(others[-1] if promotes else others[0]).dtype if others else dtypes.bool
                if kind.is_floating_point and kind.itemsize < 4 and name in _WIDE:
                    continue
                if not promotes or dtypes.of(args[k].type)._category <= kind._category:
                    check_fits(args[k].value, kind)
        if before is not None:
            before(*args)

    return check


def refuse_wide(operator: Op, *places: int) -> None:
    """Make an operator refuse numbers at these places that the type of its first tensor can't hold."""
    operator.check = _checked(operator.name, places, False, operator.check)


for _name, _places in (*_TAKEN_AS_NUMBERS.items(), *_PROMOTED.items()):
    _op = OPERATORS[_name]
    _op.check = _checked(_name, _places, _name in _PROMOTED, _op.check)

"""How values of several processes become one.

Source: https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.ReduceOp
"""

from __future__ import annotations

from typing import Any

from ..core.memory.tensor_base import aval

__all__ = ["ReduceOp", "reduce_op"]


class _Op:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<RedOpType.{self.name}: {_ORDER.index(self.name)}>"

    def __reduce__(self) -> Any:
        return _op_named, (self.name,)


_ORDER = ["SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR"]


class ReduceOp:
    """How values of several processes become one."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = (_Op(n) for n in _ORDER)
    RedOpType = _Op


#: The same under its old name.
reduce_op = ReduceOp


def _op_named(name: str) -> Any:
    return getattr(ReduceOp, name)


def reduction_for(op: Any, tensor: Any) -> str:
    """The name of a reduction, for values of a tensor's type.

    Raises:
        TypeError: for what is no reduction.
        RuntimeError: bits of floats, the order of complex numbers.
    """
    if not isinstance(op, _Op):
        raise TypeError(f"op must be a ReduceOp, but got {op!r}")
    kind = aval(tensor).dtype
    if op.name.startswith("B") and (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with non-integral dtype")
    if op.name in ("MIN", "MAX", "PRODUCT") and kind.is_complex:
        raise ValueError(f"all_reduce does not support {op!r} on complex tensors")
    return op.name

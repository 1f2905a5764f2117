"""How values of several processes become one.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

from typing import Any

__all__ = ["ReduceOp"]


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


def _op_named(name: str) -> Any:
    return getattr(ReduceOp, name)

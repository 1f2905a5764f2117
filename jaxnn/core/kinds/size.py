"""The shape of a tensor, a tuple that prints as PyTorch's, and its layout."""

from __future__ import annotations

import math
from typing import Any

__all__ = [
    "Size", "jagged", "layout", "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc", "sparse_csr", "strided",
]  # fmt: skip


class Size(tuple):
    """A tuple of dimension sizes, printed ``torch.Size([2, 3])``."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return Size(found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self))

    def __mul__(self, times: Any) -> Size:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self) -> Any:
        return Size, (tuple(self),)


class layout:
    """How a tensor's elements are stored: ``jaxnn.strided``, ``jaxnn.sparse_coo`` or ``jaxnn.sparse_csr``."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __reduce__(self) -> str:
        return self._name


strided, sparse_coo, sparse_csr = layout("strided"), layout("sparse_coo"), layout("sparse_csr")
#: Layouts that no tensor has here.
sparse_csc, sparse_bsr, sparse_bsc, jagged = (layout(n) for n in ("sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"))

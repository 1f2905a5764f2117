"""Values of PyTorch's that code makes and compares, without a meaning here: enumerations."""

from __future__ import annotations

import enum
from typing import Any

from jaxnn.core.kinds.dtypes import dtype

__all__ = ["ABSENT_TYPES", "AbsentType", "members"]


def members(path: str, names: str) -> dict[str, Any]:
    """An enumeration under its full name."""
    module, _, name = path.rpartition(".")
    return {path: enum.Enum(name, names, module=module, qualname=name)}


class AbsentType(dtype):
    """An element type that no tensor has here: a value to compare with, and to have in tables."""

    __slots__ = ()

    def __init__(self, name: str, itemsize: int, category: int) -> None:
        self.name, self.itemsize, self._category = name, itemsize, category
        self.is_floating_point, self.is_complex, self.is_signed = category == 2, category == 3, not name.startswith(("uint", "quint"))

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self is other

    @property
    def np(self) -> Any:  # type: ignore[override]
        """Refuses.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"jaxnn lacks tensors of type torch.{self.name}")


#: Full name -> the type.
ABSENT_TYPES = {
    f"torch.{name}": AbsentType(name, size, category)
    for names, size, category in (
        ("complex32", 4, 3), ("qint8 quint8 quint4x2 quint2x4 uint1 uint2 uint3 uint4 uint5 uint6 uint7", 1, 1),
        ("int1 int2 int3 int4 int5 int6 int7", 1, 1), ("qint32", 4, 1),
    )
    for name in names.split()
}  # fmt: skip
ABSENT_TYPES["torch.chalf"] = ABSENT_TYPES["torch.complex32"]

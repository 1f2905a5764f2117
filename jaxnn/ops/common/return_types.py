"""Named results that print as PyTorch's: ``torch.return_types.max(values=..., indices=...)``."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

__all__ = ["return_type"]


def return_type(name: str, *fields: str) -> Any:
    """A named tuple class for the results of one operator."""

    def show(self: Any) -> str:
        inside = ",\n".join(f"{f}={value!r}" for f, value in zip(fields, self, strict=True))
        return f"torch.return_types.{name}(\n{inside})"

    base = namedtuple(name, fields)  # type: ignore[misc]
    made = type(name, (base,), {"__slots__": (), "__repr__": show, "__module__": __name__})
    globals()[name] = made  # where pickle looks for it
    return made

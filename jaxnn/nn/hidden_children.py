"""Children that Python asks ``__getattr__`` for.

jaxnn's modules keep children beside their other attributes, where Flax looks for them; so Python finds them there. PyTorch's
keep them apart, and `Module.__getattr__` finds them: a class that defines its own ``__getattr__`` or ``__getattribute__`` sees each
read of a child go by, and may act on it. For such classes alone, `HiddenChildren` stands behind all others in the order of bases,
and ends the usual search as PyTorch's ends.
"""

from __future__ import annotations

from typing import Any

from .flax_modes import FlaxModes
from .registered import own_dict

__all__ = ["HiddenChildren", "with_hidden_children"]

_OURS = FlaxModes.__getattr__


class HiddenChildren:
    """The usual search for attributes does not find children."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        registered = own_dict(self).get("_jaxnn_registered")
        if registered and name in registered and not any(name in vars(c) for c in type(self).__mro__):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return object.__getattribute__(self, name)


def with_hidden_children(order: list[type]) -> list[type]:
    """The order of a module class's bases, with `HiddenChildren` where one of them looks for attributes itself."""
    asked = next((vars(c)["__getattr__"] for c in order if "__getattr__" in vars(c)), _OURS)
    if HiddenChildren in order or (asked is _OURS and not any("__getattribute__" in vars(c) for c in order[:-1])):
        return order
    return [*order[:-1], HiddenChildren, object]

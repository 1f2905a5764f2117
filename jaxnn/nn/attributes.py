"""A module's ``__dict__`` as programs written for PyTorch know it.

jaxnn keeps the children beside the other attributes, where Flax looks for them. PyTorch keeps them in three mappings,
``__dict__["_parameters"]`` and its kin. Who asks decides: JAX's libraries get the dictionary, all others the view that is here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from flax import nnx

from jaxnn.core.process.internals import PytreeState

from .module_state import HOOK_TABLES, PARTS, from_pytorch, is_pytorch
from .registered import LiveMapping, RegisteredView, own_dict

__all__ = ["ModuleAttributes", "attributes_property"]

_INSIDE = frozenset({"jaxnn", "flax", "jax", "orbax"})
_SHOWN = (*PARTS, *HOOK_TABLES, "_is_full_backward_hook")
#: PyTorch's order.
_FIRST = (
    "training", "_parameters", "_buffers", "_non_persistent_buffers_set", "_backward_pre_hooks", "_backward_hooks",
    "_is_full_backward_hook", "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks", "_modules",
)  # fmt: skip


class ModuleAttributes(LiveMapping):
    """A module's attributes with its children in ``_parameters``, ``_buffers`` and ``_modules``. What is written is written to
    the module.
    """

    __slots__ = ("_module",)

    def __new__(cls, module: Any = ()) -> Any:
        """The view; of a mapping, as programs make one of the same type, a dictionary."""
        return super().__new__(cls) if isinstance(module, nnx.Module) else dict(module)

    def __init__(self, module: Any) -> None:
        self._module = module
        dict.update(self, {name: self[name] for name in self})  # for code in C, which asks the dictionary underneath

    def _is_plain(self, name: Any) -> bool:
        own = own_dict(self._module)
        hidden = isinstance(name, str) and name.startswith(("_jaxnn_", "_pytree__"))
        return name in own and not hidden and name not in own.get("_jaxnn_registered", ())

    def __iter__(self) -> Iterator[str]:
        plain = [name for name in list(own_dict(self._module)) if self._is_plain(name) and name not in _FIRST]
        return iter([*(name for name in _FIRST if name in self), *plain])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return self._is_plain(name) or (name in _SHOWN and "_jaxnn_registered" in own_dict(self._module))

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        if name in PARTS:
            return RegisteredView(self._module, PARTS[name])
        return getattr(self._module, name) if name in _SHOWN else own_dict(self._module)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        own = own_dict(self._module)
        if name in PARTS:
            own.setdefault("_jaxnn_registered", {})
            own.setdefault("_non_persistent_buffers_set", set())
            setattr(self._module, name, value)
        elif name in _SHOWN:
            setattr(self._module, name, value)
        else:
            own.get("_jaxnn_registered", {}).pop(name, None)
            own[name] = value
        dict.__setitem__(self, name, value)

    def __delitem__(self, name: str) -> None:
        if not self._is_plain(name):
            raise KeyError(name)
        del own_dict(self._module)[name]
        dict.pop(self, name, None)


def _read(self: Any) -> Any:
    frame = sys._getframe(1)
    while frame.f_code.co_name == "__getattribute__" and frame.f_back is not None:  # a class's own, and that of `HiddenChildren`
        frame = frame.f_back
    asks = frame.f_globals.get("__name__") or ""
    return own_dict(self) if asks.partition(".")[0] in _INSIDE else ModuleAttributes(self)


def _replace(self: Any, attributes: dict[str, Any]) -> None:
    found = dict(attributes)
    own = own_dict(self)
    own.clear()
    own.update(from_pytorch(found) if is_pytorch(found) else found)
    own.setdefault("_pytree__state", PytreeState())
    own.setdefault("_pytree__nodes", type(self)._pytree__nodes)


attributes_property: Any = property(_read, _replace)

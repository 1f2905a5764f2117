"""Live views of a module's parameters, buffers and submodules, in the order in which they were registered."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from flax import nnx

from jaxnn.core.memory.tensor_base import TensorBase

from .buffers import as_buffer

__all__ = ["LiveMapping", "RegisteredView", "own_dict", "put", "take"]


#: A module's dictionary itself, in which children lie under their names.
own_dict: Any = vars(nnx.Pytree)["__dict__"].__get__


def put(module: Any, kind: str, name: str, value: Any) -> None:
    """Register a child; one of the same kind is replaced in its place, one of another kind goes first."""
    own = own_dict(module)
    module._jaxnn_check_writable_here()
    registered = own["_jaxnn_registered"]
    if registered.get(name, kind) != kind:
        del registered[name]
        own.pop(name, None)
    if kind == "buffer" and isinstance(value, TensorBase):
        value = as_buffer(value, own.get(name))
    registered[name] = kind
    own[name] = value


def take(module: Any, name: str) -> Any:
    """Unregister a child and return it; in a module from outside a JAX transformation, an error of Flax's."""
    own = own_dict(module)
    module._jaxnn_check_writable_here()
    if own["_jaxnn_registered"].pop(name) == "buffer":
        own["_non_persistent_buffers_set"].discard(name)
    return own.pop(name)


if TYPE_CHECKING:
    _Mapping = dict[str, Any]
else:

    class _Mapping(MutableMapping, dict):
        """A dict whose every method goes through the five that a view defines."""

        __slots__ = ()


class _Keys(KeysView[str]):
    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))


class _Values(ValuesView[Any]):
    def __reversed__(self) -> Iterator[Any]:
        return reversed(list(self))


class _Items(ItemsView[str, Any]):
    def __reversed__(self) -> Iterator[tuple[str, Any]]:
        return reversed(list(self))


class LiveMapping(_Mapping):
    """What every live view of a module has besides the five methods that read and write."""

    __slots__ = ()

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def keys(self) -> Any:
        """The names, in both directions."""
        return _Keys(self)

    def values(self) -> Any:
        """The values, in both directions."""
        return _Values(self)

    def items(self) -> Any:
        """The names with the values, in both directions."""
        return _Items(self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Any) -> Any:
        return self.copy() | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return other | self.copy() if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Any) -> Any:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> Any:
        return dict, (self.copy(),)

    def copy(self) -> dict[str, Any]:
        """A dictionary of what is here."""
        return dict(self.items())

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(self.copy(), memo)

    def __repr__(self) -> str:
        return repr(dict(self.items()))


class RegisteredView(LiveMapping):
    """What ``module._parameters``, ``_buffers`` and ``_modules`` are: a dict, but writing to it changes the module.

    The dict underneath stays empty: everything is read from the module.
    """

    __slots__ = ("_kind", "_module")

    def __new__(cls, module: Any = (), kind: str | None = None) -> Any:
        """The view; of a mapping alone, as programs make one of the same type, a dictionary."""
        return dict(module) if kind is None else super().__new__(cls)

    def __init__(self, module: Any, kind: str) -> None:
        self._module = module
        self._kind = kind

    def __iter__(self) -> Iterator[str]:
        kind = self._kind
        return iter([k for k, found in own_dict(self._module)["_jaxnn_registered"].items() if found == kind])

    def __len__(self) -> int:
        return sum(found == self._kind for found in own_dict(self._module)["_jaxnn_registered"].values())

    def __contains__(self, name: object) -> bool:
        return own_dict(self._module)["_jaxnn_registered"].get(name) == self._kind

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return own_dict(self._module)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        put(self._module, self._kind, name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        take(self._module, name)

    def popitem(self) -> tuple[str, Any]:
        """Remove the last child."""
        name = next(reversed(self), None)
        if name is None:
            raise KeyError("popitem(): dictionary is empty")
        return name, self.pop(name)

    def move_to_end(self, name: str, last: bool = True) -> None:
        """Move a child to an end, as `collections.OrderedDict` does."""
        if name not in self:
            raise KeyError(name)
        registered = own_dict(self._module)["_jaxnn_registered"]
        kind = registered.pop(name)
        if last:
            registered[name] = kind
            return
        rest = dict(registered)
        registered.clear()
        registered[name] = kind
        registered.update(rest)


def view_property(kind: str) -> property:
    """The view as an attribute of `Module`; assigning a mapping replaces all children of the kind."""

    def read(self: Any) -> RegisteredView:
        if "_jaxnn_registered" not in own_dict(self):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '_{kind}s'")
        return RegisteredView(self, kind)

    def replace(self: Any, children: Any) -> None:
        children = dict(children)  # before anything is taken: `module._parameters |= ...` gives the view itself
        for name in RegisteredView(self, kind):
            take(self, name)
        for name, child in children.items():
            put(self, kind, name, child)

    return property(read, replace)

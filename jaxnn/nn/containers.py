"""Modules that hold modules or parameters in order or by name.

Source: https://docs.pytorch.org/docs/stable/nn.html#containers
"""

from __future__ import annotations

import operator
import warnings
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

from flax import nnx

from jaxnn.core.memory.tensor_base import Tensor, TensorBase

from .jax_function import jax_function
from .module import Module, typename
from .parameter import Parameter
from .registered import own_dict

__all__ = ["Container", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

#: What a container holds: modules, Flax's too. A `Sequential` also takes JAX functions, as `Any`: mypy runs into an endless
#: recursion where it compares `Module`, whose ``__call__`` is its ``forward``, with `Callable`.
Child: TypeAlias = Module | nnx.Module


def _position(index: Any, length: int) -> int:
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range")
    return index % length


class _Numbered(Module):
    """Submodules named '0', '1', ... (or, in a Sequential, as they were given)."""

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Module: ...
        @overload
        def __getitem__(self, index: slice) -> Self: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __delitem__(self, index: int | slice) -> None: ...

    def _replace(self, children: Iterable[Any]) -> None:
        self._modules = {str(k): child for k, child in enumerate(children)}

    def _name_at(self, index: Any) -> str:
        return list(self._modules)[_position(index, len(self))]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))

    def __dir__(self) -> list[str]:
        return [k for k in super().__dir__() if not k.isdigit()]

    def pop(self, key: int) -> Module:
        """Remove a submodule and return it."""
        taken = self[key]
        del self[key]
        return taken


class Container(Module):
    """The deprecated name of a `Module` with submodules given by keyword.

    Args:
        kwargs: submodules by name.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(action="ignore"):
        ...     nn.Container(act=nn.ReLU())
        Container(
          (act): ReLU()
        )
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        warnings.warn(
            "`nn.Container` is deprecated. All of its functionality is now implemented in `nn.Module`. Subclass that "
            "instead.",
            FutureWarning, stacklevel=2,
        )  # fmt: skip
        for name, module in kwargs.items():
            self.add_module(name, module)


class Sequential(_Numbered):
    """Submodules called one after the other, each with the result of the one before.

    ``Sequential(*modules)`` or ``Sequential(OrderedDict(name=module, ...))``.

    Args:
        args: the submodules, or one ordered dict of them.

    Shape: what the first takes -> what the last gives.

    Raises:
        TypeError: for anything but modules.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> net
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): ReLU()
        )
        >>> net(torch.ones(4, 2)).shape
        torch.Size([4, 3])
        >>> len(net), net[1]
        (2, ReLU())
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for k, module in enumerate(args):
                self.add_module(str(k), module)

    def forward(self, input: Any) -> Tensor:  # whatever the last one gives; nearly always a tensor
        """The input through all submodules."""
        own = own_dict(self)
        for name, kind in list(own["_jaxnn_registered"].items()):
            if kind == "module":
                child = own[name]
                # `isinstance(child, Module)` would go through Python's abstract base classes, at every layer.
                input = child(input) if hasattr(child, "_jaxnn_hooks") else jax_function(child)(input)
        return input

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._name_at(index)]

    def __setitem__(self, index: int, module: Child) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        if isinstance(index, slice):
            for name in list(self._modules)[index]:
                delattr(self, name)
        else:
            delattr(self, self._name_at(index))
        self._replace(list(self._modules.values()))

    def append(self, module: Child) -> Sequential:
        """Add a submodule at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Child) -> Sequential:
        """Add a submodule before the one at a position."""
        if not isinstance(module, nnx.Module):
            raise AssertionError(f"module should be of type: {Module}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        children = list(self._modules.values())
        children.insert(index + len(self) if index < 0 else index, module)
        self._replace(children)
        return self

    def extend(self, sequential: Iterable[Child]) -> Sequential:
        """Add submodules at the end."""
        for module in list(sequential):
            self.append(module)
        return self

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return self.extend(other)

    def _repeated(self, other: Any) -> list[Any]:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")
        return list(self) * other

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*self._repeated(other))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Sequential:
        self._replace(self._repeated(other))
        return self


def _list_text(items: list[str]) -> list[str]:
    """Lines ``(k): text``; equal neighbours share one line ``(0-2): 3 x text``."""
    groups: list[tuple[int, int, str]] = []
    for k, text in enumerate(items):
        if groups and groups[-1][2] == text:
            groups[-1] = (groups[-1][0], k, text)
        else:
            groups.append((k, k, text))
    return [f"({a}): {t}" if a == b else f"({a}-{b}): {b - a + 1} x {t}" for a, b, t in groups]


class ModuleList(_Numbered):
    """Submodules in a list, which have no ``forward`` of their own.

    Args:
        modules: the submodules.

    Example:
        >>> layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
        >>> layers.append(nn.ReLU())
        ModuleList(
          (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
          (3): ReLU()
        )
        >>> len(list(layers.parameters()))
        6
    """

    def __init__(self, modules: Iterable[Child] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self += modules

    def _name_at(self, index: Any) -> str:
        return str(_position(index, len(self)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[self._name_at(index)]

    def __setitem__(self, index: int, module: Child) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = [str(k) for k in range(len(self))[index]] if isinstance(index, slice) else [self._name_at(index)]
        for name in names:
            delattr(self, name)
        self._replace(list(self._modules.values()))

    def __iadd__(self, modules: Iterable[Child]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Child]) -> ModuleList:
        return type(self)(chain(self, other))

    def insert(self, index: int, module: Child) -> None:
        """Add a submodule before the one at a position."""
        children = list(self._modules.values())
        children.insert(index, module)
        self._replace(children)

    def append(self, module: Child) -> ModuleList:
        """Add a submodule at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Child]) -> ModuleList:
        """Add submodules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def __repr__(self) -> str:
        lines = _list_text([repr(m) for m in self])
        if not lines:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(" + "".join("\n  " + line.replace("\n", "\n  ") for line in lines) + "\n)"


class ModuleDict(Module):
    """Submodules by name, in the order of insertion, which have no ``forward`` of their own.

    Args:
        modules: a dict, or pairs of name and submodule.

    Example:
        >>> choices = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})
        >>> choices["tanh"](torch.zeros(2))
        tensor([0., 0.])
        >>> list(choices)
        ['relu', 'tanh']
    """

    def __init__(self, modules: Mapping[str, Child] | Iterable[tuple[str, Child]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Child) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all submodules."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove a submodule and return it."""
        taken = self[key]
        del self[key]
        return taken

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module]:
        """The names and submodules."""
        return self._modules.items()

    def values(self) -> ValuesView[Module]:
        """The submodules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Child] | ModuleDict | Iterable[tuple[str, Child]]) -> None:
        """Add or replace submodules from a mapping, a `ModuleDict` or pairs."""
        for key, module in _pairs(modules, "ModuleDict"):
            self[key] = module


def _pairs(given: Any, what: str) -> Iterator[tuple[Any, Any]]:
    if not isinstance(given, Iterable):
        name = "ParametersDict" if what == "ParameterDict" else what
        raise TypeError(
            f"{name}.update should be called with an iterable of key/value pairs, but got {type(given).__name__}"
        )
    if isinstance(given, (Mapping, ModuleDict, ParameterDict)):
        yield from list(given.items())
        return
    for k, pair in enumerate(given):
        if not isinstance(pair, Iterable):
            raise TypeError(f"{what} update sequence element #{k} should be Iterable; is{type(pair).__name__}")
        pair = list(pair)
        if len(pair) != 2:
            raise ValueError(f"{what} update sequence element #{k} has length {len(pair)}; 2 is required")
        yield pair[0], pair[1]


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, TensorBase) and not isinstance(value, Parameter) else value


def _entry_text(key: Any, value: Any, kind_of: Any) -> str:
    is_tensor = isinstance(value, TensorBase)
    if not is_tensor:
        return f"({key}): Object of type: {type(value).__name__}"
    where = "" if value.device.type == "cpu" else f" (GPU {value.device.index or 0})"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"({key}): {kind} containing: [{kind_of(value)} of size {'x'.join(map(str, value.shape))}{where}]"


def _entries_text(entries: Iterable[tuple[Any, Any]], kind_of: Any) -> str:
    return "\n".join(f"  {_entry_text(key, value, kind_of)}" for key, value in entries)


class ParameterList(Module):
    """Parameters (and anything else) in a list; tensors become parameters.

    Args:
        values: what goes into it.

    Example:
        >>> weights = nn.ParameterList([torch.ones(2), torch.zeros(3)])
        >>> [type(w).__name__ for w in weights]
        ['Parameter', 'Parameter']
        >>> [name for name, _ in weights.named_parameters()]
        ['0', '1']
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            made = type(self)()
            for k in range(len(self))[index]:
                made.append(self[k])
            return made
        return getattr(self, str(_position(index, len(self))))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(_position(index, len(self))), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[k] for k in range(len(self))])

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def __dir__(self) -> list[str]:
        return [k for k in super().__dir__() if not k.isdigit()]

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end."""
        self._size += 1
        self[len(self) - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add values at the end."""
        if not isinstance(values, Iterable) or isinstance(values, TensorBase):
            raise TypeError(f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return _entries_text(enumerate(self), lambda t: t.dtype)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """Parameters (and anything else) by name; tensors become parameters.

    Args:
        parameters: a dict, or pairs of name and value.

    Example:
        >>> weights = nn.ParameterDict({"scale": torch.ones(2)})
        >>> weights["shift"] = torch.zeros(2)
        >>> [name for name, _ in weights.named_parameters()]
        ['scale', 'shift']
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    @staticmethod
    def _attribute(key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(
                f"Index given to ParameterDict cannot be used as a key as it is not a string (type is "
                f"'{type(key).__name__}')."
                " Open an issue on github if you need non-string keys."
            )
        return key

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value: Any) -> None:
        key = self._attribute(key)
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, self._attribute(key))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """Another dictionary of the same parameters."""
        return ParameterDict(OrderedDict((k, self[k]) for k in self._keys))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a key, which is ``default`` from now on where it was missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Remove a value and return it."""
        taken = self[key]
        del self[key]
        return taken

    def popitem(self) -> tuple[str, Any]:
        """Remove the last entry and return it."""
        key, _ = self._keys.popitem()
        self._keys[key] = None
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or ``default``."""
        return self[key] if key in self else default

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A dictionary with one value under every key."""
        return ParameterDict((k, default) for k in keys)

    def keys(self) -> Any:
        """The names."""
        return self._keys.keys()

    def items(self) -> Any:
        """The names and values."""
        return [(k, self[k]) for k in self._keys]

    def values(self) -> Any:
        """The values."""
        return [self[k] for k in self._keys]

    def update(self, parameters: Any) -> None:
        """Add or replace values from a mapping, a `ParameterDict` or pairs."""
        pairs = list(_pairs(parameters, "ParameterDict"))
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            pairs.sort()
        for key, value in pairs:
            self[key] = value

    def extra_repr(self) -> str:
        return _entries_text(self.items(), typename)

    def __call__(self, input: Any) -> Any:
        raise RuntimeError("ParameterDict should not be called.")

    def __or__(self, other: ParameterDict) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        made = other.copy()
        made.update(self)
        return made

    def __ior__(self, other: ParameterDict) -> ParameterDict:
        self.update(other)
        return self

    def __copy__(self) -> ParameterDict:
        return self.copy()

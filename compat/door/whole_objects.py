"""``torch.save`` and ``torch.load`` as programs written for PyTorch use them: whole modules, and whatever else can be pickled.

`jaxnn.save` and `jaxnn.load` hold to data. A program behind the door may save its models whole, and reads them with
``weights_only=False``, by which it says that it trusts the file: everything that the file names is imported and called, as in
PyTorch. The files name PyTorch's classes and hold modules as PyTorch keeps them, so either library reads the other's.

Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#saving-and-loading-torch-nn-modules
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any, BinaryIO

from jaxnn import serialization
from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import layout
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.nn import Module, Parameter
from jaxnn.nn.module_state import to_pytorch
from jaxnn.torch_file import DtypeRecord, StorageRecord, load_records, save_records
from jaxnn.torch_file.globals import allowed_names
from jaxnn.torch_file.pickling import HANDLERS, Pickler
from jaxnn.torch_file.unpickle import Constructor, TypeName

from .class_names import homes
from .facade import Names, lacking

__all__ = ["load", "save"]

_NAMES = Names()
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, type)


class _Pickler(Pickler):
    """Writes any object that pickle does, under PyTorch's names."""

    _handlers = HANDLERS  # containers may hold what no file of data does

    def _other(self, value: Any) -> Callable[..., None]:
        return _Pickler._save_named if isinstance(value, _FUNCTIONS) or _named_in_torch(value) else _Pickler._save_any

    def _save_class(self, kind: Any) -> None:
        if kind is None:
            super()._save_class(kind)
        else:
            self._save(kind)

    def _save_named(self, value: Any) -> None:
        module, name = _named_in_torch(value) or (getattr(value, "__module__", None) or "__main__", value.__qualname__)
        _check_found(value, module, name)
        owner, _, own = name.rpartition(".")
        if owner:  # the name of a class in a class: protocol 2 has no names with dots
            self._call("builtins", "getattr", functools.reduce(getattr, owner.split("."), sys.modules[module]), own)
        else:
            self._global(module, own)

    def _save_any(self, value: Any) -> None:
        reduce = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(2) if reduce is None else reduce(value)
        if isinstance(parts, str):
            self._global(value.__module__, parts)
            return
        function, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        new = getattr(function, "__name__", "") == "__newobj__"
        self._save(arguments[0] if new else function)
        self._kept.append(arguments)
        self._save_tuple_of(arguments[1:] if new else arguments)
        self._out += b"\x81" if new else b"R"
        self._remember(id(value))
        if items is not None:
            self._items(items, b"e")
        if pairs is not None:
            self._items((part for pair in pairs for part in pair), b"u")
        if state is not None:
            if isinstance(value, Module) and isinstance(state, dict) and "_jaxnn_registered" in state:
                state = to_pytorch(state)
            self._kept.append(state)
            self._save(state)
            self._out += b"b"


@functools.cache
def _homes(loaded: int) -> dict[Any, str]:
    return homes(_NAMES)


def _named_in_torch(value: Any) -> tuple[str, str] | None:
    """The module and the name under which PyTorch knows an object of jaxnn's; None for what is not jaxnn's.

    Raises:
        PicklingError: PyTorch has no such object.
    """
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or not isinstance(value, _FUNCTIONS) and not callable(value):
        return None
    if module.partition(".")[0] not in ("jaxnn", "torch") or not hasattr(value, "__qualname__"):
        return None
    if isinstance(value, type) and module.startswith("torch"):  # `show_classes` has given it PyTorch's name already
        return module, value.__qualname__
    path = _homes(len(sys.modules)).get(value) if isinstance(value, type) else _function_path(value)
    if path is None:
        raise pickle.PicklingError(f"cannot save {value!r}: PyTorch has no object of this name")
    module, _, name = path.rpartition(".")
    return module, name


def _function_path(value: Any) -> str | None:
    name = value.__name__
    for module in ("torch.nn.functional", "torch", "torch.linalg", "torch.special", "torch.fft", "torch.nn.init"):
        if vars(_NAMES.module(module)).get(name) is value:
            return f"{module}.{name}"
    return None


def _check_found(value: Any, module: str, name: str) -> None:
    """Raise pickle's errors for what can't be found by its name."""
    if module.partition(".")[0] == "torch":
        return
    try:
        found = functools.reduce(getattr, name.split("."), sys.modules[module])
    except (KeyError, AttributeError):
        if "<locals>" in name:
            raise AttributeError(f"Can't pickle local object {name!r}") from None
        raise pickle.PicklingError(f"Can't pickle {value!r}: attribute lookup {name} on {module} failed") from None
    if found is not value:
        raise pickle.PicklingError(f"Can't pickle {value!r}: it's not the same object as {module}.{name}")


def _record(argument: Any) -> Any:
    """An argument of a tensor's constructor as it stands in a file: types that PyTorch's old storages lack, and layouts."""
    return serialization.to_record(argument, {}) if isinstance(argument, (dtypes.dtype, layout)) else argument


class _Unpickler(pickle.Unpickler):
    """Reads any object, PyTorch's as jaxnn's."""

    def __init__(self, stream: BinaryIO, load_storage: Any, size: int, made: Any) -> None:
        super().__init__(stream, encoding="utf-8")
        self._load_storage, self._made = load_storage, made
        self._known = allowed_names(size)

    def persistent_load(self, key: Any) -> Any:
        if type(key) is not tuple:
            raise pickle.UnpicklingError(f"persistent_load id must be tuple, but got {type(key).__name__}")
        if len(key) == 4 and key[0] == "module":  # the format before PyTorch 1.6 has the source of a class beside it
            return key[1]
        return self._load_storage(key)

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] != "torch":
            return super().find_class(module, name)
        full = f"{module}.{name}"
        if full in _REBUILD:
            return functools.partial(_REBUILD[full], self)
        known = self._known.get(full)
        if isinstance(known, DtypeRecord):
            return dtypes.of(known.name)
        if isinstance(known, TypeName) and name.endswith("Storage"):
            return known
        if isinstance(known, Constructor) and module in ("torch._utils", "torch.serialization"):
            return lambda *arguments: self._made(known.build(*map(_record, arguments)))
        if full == "torch._C._VariableFunctionsClass":
            return _NAMES.module("torch")
        if full == "torch._C.TensorBase":
            return TensorBase
        owner: Any = _NAMES.find("torch.nn.functional" if module == "torch._C._nn" else module)
        for part in name.split("."):
            owner = getattr(owner, part, None)
        if owner is None:
            raise pickle.UnpicklingError(f"the file names {full}: {lacking(full)}")
        return owner

    def parameter(self, data: Any, requires_grad: bool, hooks: Any, state: Any = None) -> Any:
        """A parameter around a tensor."""
        return _with_attributes(Parameter(data, requires_grad=requires_grad), state)

    def attributed(self, function: Any, kind: type, arguments: tuple, state: Any) -> Any:
        """A tensor of a class of its own, or with attributes."""
        made = function(*arguments)
        if kind not in (TensorBase, type(made)) and not isinstance(made, kind):
            made = made.as_subclass(kind)
        return _with_attributes(made, state)


def _with_attributes(tensor: Any, state: Any) -> Any:
    slots = None
    if isinstance(state, tuple):
        state, slots = state
    for name, value in {**(state or {}), **(slots or {})}.items():
        setattr(tensor, name, value)
    return tensor


_REBUILD: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_parameter": _Unpickler.parameter,
    "torch._utils._rebuild_parameter_with_state": _Unpickler.parameter,
    "torch._tensor._rebuild_from_type_v2": _Unpickler.attributed,
}


def save(
    obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, _use_new_zipfile_serialization: bool = True
) -> None:
    """Write any object to a file: `jaxnn.save` for data; modules and other objects as pickle writes them.

    Args:
        obj: anything that pickle takes: its classes and functions are found by their names.

    Raises:
        pickle.PicklingError, AttributeError: for a lambda, or what else can't be found by its name.
        NotImplementedError: for another pickle module than Python's, or another protocol.
    """
    serialization.check_pickle_module(pickle_module, "save")
    if pickle_protocol != 2:
        raise NotImplementedError("save: pickle_protocol other than 2")
    storages: dict[int, StorageRecord] = {}
    save_records(
        obj, f, lambda value: serialization.to_record(value, storages), legacy=not _use_new_zipfile_serialization,
        pickler_class=_Pickler,
    )  # fmt: skip


def load(
    f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None
) -> Any:
    """Read a file: `jaxnn.load`, which builds data only; with ``weights_only=False`` everything that the file names.

    Args:
        weights_only: False: the file is trusted. What it names is imported and called, as pickle does.
    """
    if weights_only is not False:
        return serialization.load(f, map_location, pickle_module, weights_only=weights_only, mmap=mmap)
    serialization.check_pickle_module(pickle_module, "load")
    serialization.check_mmap(f, mmap)

    def unpickle(stream: BinaryIO, load_storage: Any, size: int) -> Any:
        return _Unpickler(stream, load_storage, size, serialization.FromRecords(map_location)).load()

    return load_records(f, mmap=bool(mmap), unpickle=unpickle)


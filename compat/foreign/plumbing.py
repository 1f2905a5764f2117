"""Functions that PyTorch keeps for itself and packages use all the same. They do what PyTorch's do."""

from __future__ import annotations

import functools
import inspect
import re
import weakref
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, TypeAlias

import numpy as np

import jaxnn
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.nn.hooks import GLOBAL
from jaxnn.nn.parameter import is_lazy

__all__ = [
    "DEFAULT_PROTOCOL", "MAP_LOCATION", "_ParameterMeta", "DatasetKind", "DecoratorContextManager", "UninitializedTensorMixin",
    "WeakIdKeyDictionary", "WeakIdRef",
    "cast_long", "context_decorator", "device_index", "device_states", "element_size",
    "available_device_type", "flatten_dense_tensors", "gather", "generate_state", "get_device_module", "group_tensors", "is_namedtuple",
    "np_str_obj_array_pattern",
    "parallel_apply", "replicate", "scatter", "scatter_kwargs", "set_device_states", "shape_as_tensor", "swap_tensor",
    "unflatten_dense_tensors",
]  # fmt: skip


# --- constants

#: What `save` pickles with, and what `load` and `save` take, for annotations.
DEFAULT_PROTOCOL = 2
MAP_LOCATION: TypeAlias = Callable[..., Any] | jaxnn.device | str | dict[str, str] | None
#: The kinds of numpy's types that are no numbers.
np_str_obj_array_pattern = re.compile(r"[SaUO]")
_EXTRA_STATE_KEY_SUFFIX = "_extra_state"
#: The hooks of all modules, by number.
_global_forward_hooks, _global_forward_pre_hooks = GLOBAL.forward, GLOBAL.forward_pre
_global_backward_hooks, _global_backward_pre_hooks = GLOBAL.backward, GLOBAL.backward_pre
_global_buffer_registration_hooks = GLOBAL.buffer_registration
_global_module_registration_hooks = GLOBAL.module_registration
_global_parameter_registration_hooks = GLOBAL.parameter_registration

#: The class of the class of parameters.
_ParameterMeta = type(jaxnn.nn.Parameter)

# --- torch._utils and its kin


def flatten_dense_tensors(tensors: Sequence[Any]) -> Any:
    """All elements of tensors in one row."""
    return jaxnn.cat([t.reshape(-1) for t in tensors])


def unflatten_dense_tensors(flat: Any, tensors: Sequence[Any]) -> tuple[Any, ...]:
    """The parts of a row, each in the shape of a tensor."""
    parts = flat.split([t.numel() for t in tensors])
    return tuple(part.view(t.shape) for part, t in zip(parts, tensors, strict=True))


def element_size(dtype: Any) -> int:
    """Bytes of an element of a type."""
    return dtype.itemsize


def available_device_type() -> str | None:
    """The kind of accelerator that is here."""
    return "cuda" if jaxnn.cuda.is_available() else None


def device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """The number of a device.

    Raises:
        ValueError: for one without a number, unless ``optional``.
    """
    if isinstance(device, int):
        return device
    if device is None and optional:
        return 0
    found = jaxnn.device(device) if device is not None else None
    if found is not None and found.type == "cpu" and allow_cpu:
        return -1
    if found is None or (found.index is None and not optional):
        raise ValueError(f"Expected a device with an index, but got: {device}")
    return found.index or 0


def get_device_module(device: Any = None) -> Any:
    """``torch.cpu`` or ``torch.cuda``, by a device; None for the current one.

    Raises:
        RuntimeError: for a device that has no module.
    """
    kind = jaxnn.get_default_device().type if device is None else jaxnn.device(device).type
    if kind not in ("cpu", "cuda"):
        raise RuntimeError(f"Device '{kind}' does not have a corresponding module registered as 'torch.{kind}'.")
    return getattr(jaxnn, kind)


def group_tensors(lists: Sequence[Sequence[Any]], with_indices: bool = False) -> dict[Any, Any]:
    """Lists of tensors, of the same length, split by device and type of the first list's tensors."""
    groups: dict[Any, Any] = {}
    for k, first in enumerate(lists[0]):
        parts, places = groups.setdefault((first.device, first.dtype), ([[] for _ in lists], []))
        for part, values in zip(parts, lists, strict=True):
            part.append(values[k])
        if with_indices:
            places.append(k)
    return groups


def shape_as_tensor(tensor: Any) -> Any:
    """The shape as a tensor of integers."""
    return jaxnn.tensor(tuple(tensor.shape), dtype=jaxnn.int64)


def cast_long(tensor: Any, non_blocking: bool = False) -> Any:
    """The tensor as 64-bit integers."""
    return tensor.long()


# --- torch.utils


def device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The GPUs on which tensors lie, and the states of their random streams."""
    found = sorted({a.device.index or 0 for a in args if isinstance(a, TensorBase) and a.device.type == "cuda"})
    return found, [jaxnn.cuda.get_rng_state(k) for k in found]


def set_device_states(devices: Sequence[int], states: Sequence[Any], *, device_type: str | None = None) -> None:
    """Give GPUs the states of their random streams back."""
    for device, state in zip(devices, states, strict=True):
        jaxnn.cuda.set_rng_state(state, device)


def context_decorator(context: Any, function: Any) -> Any:
    """A function whose calls run in a context: a manager of one, or a function that makes it."""
    make = context if callable(context) and not hasattr(context, "__enter__") else lambda: context

    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with make():
            return function(*args, **kwargs)

    return decorated


class DecoratorContextManager:
    """A base of context managers that decorate functions, generator functions and classes, too."""

    def __call__(self, function: Any) -> Any:
        """The function, each of whose calls enters a clone of this manager."""
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)  # type: ignore[method-assign,misc]
            return function
        if inspect.isgeneratorfunction(function):
            return self._generator(function)
        return context_decorator(self.clone, function)

    def _generator(self, function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            inner, given = function(*args, **kwargs), None
            while True:
                try:
                    with self.clone():
                        made = inner.send(given)
                except StopIteration as end:
                    return end.value
                given = yield made

        return steps

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *_: Any) -> Any:
        raise NotImplementedError

    def clone(self) -> Any:
        """Another one with the same arguments."""
        return type(self)()


def generate_state(base_seed: int, worker_id: int) -> list[int]:
    """The seed of numpy in a worker: four numbers of 32 bits."""
    words = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(words).generate_state(4).tolist()


class DatasetKind:
    """Whether a data set is indexed (0) or iterated over (1)."""

    Map, Iterable = 0, 1


class _Lazy(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return is_lazy(value) if cls is UninitializedTensorMixin else super().__instancecheck__(value)


class UninitializedTensorMixin(metaclass=_Lazy):
    """What parameters and buffers without a shape are instances of."""


class WeakIdRef(weakref.ref):
    """A weak reference that compares by identity: tensors compare by their elements."""

    __slots__ = ("_id",)

    def __init__(self, key: Any, callback: Any = None) -> None:
        super().__init__(key, callback)  # type: ignore[call-arg]
        self._id = id(key)

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: object) -> bool:
        mine = self()
        return mine is other() if mine is not None and isinstance(other, WeakIdRef) else self is other


class WeakIdKeyDictionary(MutableMapping[Any, Any]):
    """A dictionary whose keys count by identity, and are dropped when nothing else holds them."""

    def __init__(self, dict: Any = None, ref_type: Any = WeakIdRef) -> None:
        self.ref_type = ref_type
        self.data: Any = {}
        self._drop = functools.partial(_dropped, weakref.ref(self))
        if dict is not None:
            self.update(dict)

    def __getitem__(self, key: Any) -> Any:
        return self.data[self.ref_type(key)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[self.ref_type(key, self._drop)] = value

    def __delitem__(self, key: Any) -> None:
        del self.data[self.ref_type(key)]

    def __contains__(self, key: Any) -> bool:
        return self.ref_type(key) in self.data

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return iter([k for k in (ref() for ref in list(self.data)) if k is not None])


def _dropped(table: Any, ref: Any) -> None:
    held = table()
    if held is not None:
        held.data.pop(ref, None)


def swap_tensor(module: Any, name: str, tensor: Any, allow_missing: bool = False) -> Any:
    """Put a tensor in the place of a module's parameter, buffer or attribute; None deletes it. Returns what was there.

    Raises:
        AttributeError: nothing is there, unless ``allow_missing``.
        TypeError: what is there, or is to be, is no tensor.
    """
    table = next((t for t in (module._parameters, module._buffers) if name in t), None)
    before = table[name] if table is not None else vars(module).get(name)
    if table is None and name not in vars(module) and not allow_missing:
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    for value in (before, tensor):
        if value is not None and not isinstance(value, TensorBase):
            raise TypeError(f"{value} is not an instance of torch.Tensor")
    if tensor is not None and table is not None:
        table[name] = tensor
    elif tensor is not None:
        setattr(module, name, tensor)
    elif table is not None:
        del table[name]
    elif name in vars(module):
        delattr(module, name)
    return before


# --- torch.nn.parallel


def is_namedtuple(value: Any) -> bool:
    """Whether a value is a named tuple."""
    return isinstance(value, tuple) and hasattr(value, "_asdict") and hasattr(value, "_fields")


def _rebuilt(like: Any, parts: Any) -> list[Any]:
    make = type(like) if not is_namedtuple(like) else lambda values: type(like)(*values)
    return [make(part) for part in parts]


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """Tensors in chunks, one for each device, in the containers that held them; everything else as often as it is."""
    count = len(target_gpus)
    if isinstance(inputs, TensorBase):
        chunks = inputs.chunk(count, dim)
        return tuple(c.to(t) for c, t in zip(chunks, target_gpus))
    if isinstance(inputs, (tuple, list)) and inputs:
        return _rebuilt(inputs, zip(*(scatter(v, target_gpus, dim) for v in inputs)))
    if isinstance(inputs, dict) and inputs:
        return _rebuilt(inputs, zip(*(scatter(item, target_gpus, dim) for item in inputs.items())))
    return [inputs for _ in target_gpus]


def scatter_kwargs(inputs: Any, kwargs: Any, target_gpus: Sequence[Any], dim: int = 0) -> tuple[Any, Any]:
    """`scatter` of positional and keyword arguments, filled up to the same number of devices."""
    parts = list(scatter(inputs, target_gpus, dim)) if inputs else []
    named = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    count = max(len(parts), len(named))
    parts += [() for _ in range(count - len(parts))]
    named += [{} for _ in range(count - len(named))]
    return tuple(parts), tuple(named)


def gather(outputs: Sequence[Any], target_device: Any, dim: int = 0) -> Any:
    """What `scatter` took apart, as one on a device."""
    first = outputs[0]
    if isinstance(first, TensorBase):
        if all(t.dim() == 0 for t in outputs) and dim == 0:
            outputs = [t.view(1) for t in outputs]
        return jaxnn.cat([t.to(target_device) for t in outputs], dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(o) != len(first) for o in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((k, gather([o[k] for o in outputs], target_device, dim)) for k in first)
    return _rebuilt(first, [[gather(parts, target_device, dim) for parts in zip(*outputs, strict=True)]])[0]


def replicate(network: Any, devices: Sequence[Any], detach: bool = False) -> list[Any]:
    """Copies of a module, one a device. On one device that is the module itself.

    Raises:
        NotImplementedError: for several devices: place the parameters with a sharding.
    """
    if len(devices) > 1:
        raise NotImplementedError("jaxnn lacks torch.nn.parallel.replicate on several devices: give parameters a sharding")
    return [network for _ in devices]


def parallel_apply(modules: Sequence[Any], inputs: Sequence[Any], kwargs_tup: Any = None, devices: Any = None) -> list[Any]:
    """Each module called with its arguments."""
    if len(modules) != len(inputs):
        raise AssertionError(f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}")
    named = kwargs_tup or [{}] * len(modules)
    return [
        m(*(i if isinstance(i, (list, tuple)) else (i,)), **k) for m, i, k in zip(modules, inputs, named, strict=True)
    ]

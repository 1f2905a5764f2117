"""Live modules, tensors and whatever holds them, from PyTorch to jaxnn and back: `from_torch` and `to_torch`."""

from __future__ import annotations

import collections
import enum
import types
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

import jaxnn
from jaxnn import nn
from jaxnn.core.kinds.device import device
from jaxnn.core.kinds.size import Size
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.nn import lazy
from jaxnn.nn.hooks import HookTables
from jaxnn.nn.utils.spectral_norm_hook import SpectralNorm, SpectralNormVersion
from jaxnn.support.packages import needed

from ..arrays import is_torch_tensor
from ..tensors import TensorsFromTorch, TensorsToTorch
from .code import CodeTranslator
from .names import LACKING, counterpart, is_of, name_of

__all__ = ["ConversionError", "from_torch", "to_torch"]

_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_CODE = (
    type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType, types.ModuleType,
    staticmethod, classmethod, property,
)  # fmt: skip
#: Modes that work as `with` blocks and decorators, and the attribute that each is made from.
_MODES = {"no_grad": None, "enable_grad": None, "inference_mode": "mode", "set_grad_enabled": "mode"}
#: Attributes that PyTorch's modules have for PyTorch alone, or that are made anew.
_OWN = {
    "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training", "_flat_weights", "_flat_weight_refs",
    "_load_hook", "_initialize_hook", "_is_full_backward_hook",
    "_jaxnn_registered", "_pytree__state", "_pytree__nodes", "_jaxnn_box", "_jaxnn_counted", "_jaxnn_hooks", "rngs",
}  # fmt: skip
#: What a class of ours keeps and PyTorch's does not.
_EXTRA: dict[str, dict[str, Any]] = {"AvgPool1d": {"divisor_override": None}, "DataParallel": {"dim": 0, "_spread_over": None}}
#: Wrappers around a model that belong to the processes of one library.
_WRAPPERS = {"DistributedDataParallel", "FullyShardedDataParallel"}


class ConversionError(TypeError):
    """A live object cannot be carried over; ``problems`` lists every reason, each with its place."""

    def __init__(self, problems: list[str], target: str) -> None:
        self.problems = problems
        super().__init__(f"cannot be carried over to {target}:\n  " + "\n  ".join(problems))


def from_torch(obj: Any) -> Any:
    """PyTorch's live objects as ours: modules, tensors, optimizers, their states, alone or inside dicts, lists and tuples.

    Tensors keep types (bfloat16, 0-dim int64, ...), strides, ``requires_grad``, gradients and shared memory (tied weights); they
    come to the CPU. A module becomes one of the same classes, with its weights, buffers, modes and attributes. A user's own
    class is made anew, its methods run against jaxnn; the class itself is left alone.

    Hooks of users on modules and tensors are left behind, as are the graphs of tensors that are no leaves. One warning names all of
    it, and the names of PyTorch's that the code uses and jaxnn lacks; they raise when they are reached.

    Args:
        obj: the object; what has nothing of PyTorch's in it is returned as it is.

    Raises:
        ConversionError: lists every part that has no counterpart (a TorchScript module, a quantized tensor, ...).

    Example:
        >>> compat.from_torch(torch.nn.Linear(3, 2))  # which stays as it was
        Linear(in_features=3, out_features=2, bias=True)
    """
    return _Conversion("torch")(obj)


def to_torch(obj: Any) -> Any:
    """Our modules and tensors as PyTorch's; the reverse of `from_torch`. A class that was made from a PyTorch class is that again.

    Raises:
        ConversionError: lists every part that has no counterpart in PyTorch.
        ModuleNotFoundError: without PyTorch.
    """
    needed("torch", "compat.to_torch", "torch")
    return _Conversion("jaxnn")(obj)


class _Conversion:
    """One conversion: what it made, so that one object becomes one, and what it could not carry over."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.code = CodeTranslator(source)
        self.code.value = self.value
        self.tensors: Any = TensorsFromTorch() if source == "torch" else TensorsToTorch()
        self.made: dict[int, tuple[Any, Any]] = {}
        self.path: list[str] = []
        self.problems: list[str] = []
        self.left: list[str] = []

    def __call__(self, obj: Any) -> Any:
        made = self.state(obj)
        code = [f"{name}{f', {where}' if where else ''}" for name, where in self.code.lacking_names.items()]
        if self.problems:
            raise ConversionError(self.problems + self.left + code, self.code.target)
        left = self.left + [f"{self.code.target} lacks {name}" for name in code]
        if left:
            warnings.warn(f"not carried over to {self.code.target}:\n  " + "\n  ".join(left), stacklevel=3)
        return made

    def _where(self, what: str) -> str:
        place = ".".join(self.path)
        return f"{place}: {what}" if place else what

    def _problem(self, what: str) -> None:
        self.problems.append(self._where(what))

    def _below(self, name: Any, value: Any) -> Any:
        self.path.append(str(name))
        try:
            return self.state(value)
        finally:
            self.path.pop()

    # --- values

    def is_tensor(self, value: Any) -> bool:
        """Whether a value is a tensor of the source library."""
        return is_torch_tensor(value) if self.source == "torch" else isinstance(value, TensorBase)

    def is_module(self, value: Any) -> bool:
        """Whether a value is a module of the source library."""
        if self.source == "jaxnn":
            return isinstance(value, nn.Module)
        return any(c.__module__ == "torch.nn.modules.module" and c.__name__ == "Module" for c in type(value).__mro__)

    def value(self, value: Any) -> Any:
        """A value that code refers to: containers stay what they are unless something in them has to be translated."""
        if isinstance(value, (list, dict, set, tuple, frozenset, collections.deque)) and not self.code.reaches(value):
            return value
        return self.state(value)

    def state(self, value: Any) -> Any:
        """A value that belongs to what is converted: containers and arrays are copied."""
        if isinstance(value, _SCALARS):
            return value
        known = self.made.get(id(value))
        if known is not None:
            return known[1]
        if self.is_tensor(value):
            return self._tensor(value)
        if self.is_module(value):
            return self._module(value)
        if isinstance(value, _CODE):
            return self.code.code(value)
        if isinstance(value, (list, tuple, dict, set, frozenset, collections.deque)):
            return self._container(value)
        if isinstance(value, np.ndarray):
            return self._keep(value, value.copy())
        if isinstance(value, weakref.ref):
            target = value()
            return value if target is None or not self.is_module(target) else weakref.ref(self.state(target))
        return self._object(value)

    def _keep(self, value: Any, made: Any) -> Any:
        self.made[id(value)] = value, made
        return made

    def _tensor(self, t: Any) -> Any:
        try:
            made = self.tensors(t)
        except (TypeError, NotImplementedError) as error:
            self._problem(f"{error}")
            return None
        for hook in self._hooks_of_tensor(t):
            self.left.append(self._where(f"the hook {getattr(hook, '__qualname__', type(hook).__qualname__)} of a tensor"))
        kinds = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.nn.parameter.UninitializedParameter",
                 "torch.nn.parameter.UninitializedBuffer"}  # fmt: skip
        if self.source == "torch" and f"{type(t).__module__}.{type(t).__qualname__}" not in kinds:
            self.left.append(self._where(f"the class {type(t).__qualname__} of a tensor"))
        return made

    def _hooks_of_tensor(self, t: Any) -> list[Any]:
        if self.source == "torch":
            tables = [t._backward_hooks, getattr(t, "_post_accumulate_grad_hooks", None)]
        else:
            tables = [(t._extra or {}).get("hooks"), (t._extra or {}).get("after")]
        return [hook for table in tables for hook in (table or {}).values()]

    def _container(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, dict):
            made: Any
            if isinstance(value, collections.defaultdict):
                made = collections.defaultdict(self.code.code(value.default_factory))
            else:
                made = kind() if kind in (dict, collections.OrderedDict) else None
            if made is None:
                return self._object(value)
            self._keep(value, made)
            made.update((self.state(k), self._below(k, v)) for k, v in value.items())
            if hasattr(value, "_metadata"):  # of a state_dict
                made._metadata = value._metadata
            return made
        if kind is list:
            made = self._keep(value, [])
            made.extend(self._below(k, v) for k, v in enumerate(value))
            return made
        if isinstance(value, tuple) and type(value).__name__ == "Size" and is_of(kind, self.source):
            return Size(value) if self.source == "torch" else _torch().Size(value)
        items = [self._below(k, v) for k, v in enumerate(value)]
        if hasattr(value, "_fields"):
            return self._keep(value, self.code.code(kind)(*items))
        if kind is collections.deque:
            return self._keep(value, collections.deque(items, value.maxlen))
        if kind in (tuple, set, frozenset):
            return self._keep(value, kind(items))
        return self._object(value)

    def _object(self, value: Any) -> Any:
        """An instance of some class."""
        kind = type(value)
        if is_of(kind, self.source):
            return self._of_library(value)
        if kind.__module__ == "builtins" or is_of(kind, self.code.target):
            return value
        try:
            changed = self.code.code(kind)
        except Exception as error:  # a user's metaclass may refuse
            self._problem(f"the class {kind.__qualname__}: {error}")
            return value
        own = getattr(value, "__dict__", None)
        slots = {n: getattr(value, n) for c in kind.__mro__ for n in _slots(c) if hasattr(value, n)}
        if own is None and not slots and changed is kind:
            return self.code.code(value)  # a functools.partial and the like
        if kind.__module__.partition(".")[0] in ("functools", "threading", "logging", "_thread"):
            return self.code.code(value)
        try:
            made = kind.__new__(kind) if changed is kind else changed.__new__(changed)
        except TypeError:
            return self.code.code(value)
        if isinstance(value, dict):
            dict.update(made, value)
        elif isinstance(value, list):
            list.extend(made, value)
        self._keep(value, made)
        new = {k: self._below(k, v) for k, v in (own or {}).items()}
        new_slots = {k: self._below(k, v) for k, v in slots.items()}
        parts = isinstance(value, (dict, list))
        if isinstance(value, dict):
            for k, v in value.items():
                dict.__setitem__(made, k, self._below(k, v))
        elif isinstance(value, list):
            list.__setitem__(made, slice(None), [self._below(k, v) for k, v in enumerate(value)])
        if changed is kind and not parts:
            old = {**(own or {}), **slots}
            if all(_untouched(old[k], v) for k, v in {**new, **new_slots}.items()):
                return self._keep(value, value)
        if own is not None:
            made.__dict__.update(new)
        for k, v in new_slots.items():
            object.__setattr__(made, k, v)
        return made

    def _of_library(self, value: Any) -> Any:
        """An instance of one of the source library's classes that is neither tensor nor module."""
        kind = type(value)
        found = counterpart(value, self.source)  # a type such as float32, a layout
        if found is not LACKING:
            return found
        if isinstance(value, enum.Enum) and counterpart(kind, self.source) is not LACKING:
            return counterpart(kind, self.source)[value.name]
        if any(c.__name__ in ("Optimizer", "LRScheduler") and is_of(c, self.source) for c in kind.__mro__):
            return self._training(value)
        if kind.__name__ == "dtype":
            self._problem(f"the type {value}")
            return None
        if kind.__name__ == "device":
            return device(str(value)) if self.source == "torch" else _torch().device(str(value))
        if kind.__name__ in ("finfo", "iinfo"):
            return counterpart(kind, self.source)(getattr(_torch() if self.source == "jaxnn" else jaxnn, value.dtype))
        if kind.__name__ == "ScriptFunction" and hasattr(value, "_torchdynamo_inline"):
            return self._keep(value, self.state(value._torchdynamo_inline))  # the function that was scripted
        if kind.__name__ == "Generator":
            self.left.append(self._where("a Generator's state"))
            made = counterpart(kind, self.source)()
            made.manual_seed(value.initial_seed())
            return self._keep(value, made)
        target = counterpart(kind, self.source)
        if kind.__name__ == "RemovableHandle":
            return None
        if target is LACKING or not hasattr(value, "__dict__"):
            self._problem(f"{self.code.target} lacks {name_of(kind, self.source)}")
            return None
        if kind.__name__ in _MODES:
            argument = _MODES[kind.__name__]
            return self._keep(value, target() if argument is None else target(getattr(value, argument)))
        if kind.__name__ == "autocast":
            return self._keep(value, target(value.device, dtype=self.state(value.fast_dtype), enabled=value._enabled))
        made = self._keep(value, object.__new__(target))
        made.__dict__.update((k, self._below(k, v)) for k, v in vars(value).items())
        return made

    def _training(self, value: Any) -> Any:
        """An optimizer of the library's own, made for the converted parameters; a scheduler only says what to do instead."""
        kind = type(value)
        target = counterpart(kind, self.source)
        if not hasattr(value, "param_groups") or target is LACKING:
            self._problem(f"a {kind.__name__}: make one of {self.code.target}'s and load the state_dict() of this one")
            return None
        groups = [{**g, "params": list(g["params"])} for g in value.param_groups]
        made = self._keep(value, target([self._below("param_groups", g) for g in groups]))
        made.defaults.update(self._below("defaults", value.defaults))
        made.load_state_dict(self._below("state", value.state_dict()))
        return made

    # --- modules

    def _module(self, module: Any) -> Any:
        if hasattr(module, "_orig_mod") and type(module).__name__ == "OptimizedModule":  # what torch.compile gives
            return self._keep(module, self.state(module._orig_mod))
        parametrized = type(module).__name__.startswith("Parametrized") and is_of(type(module), self.source)
        kind = type(module).__bases__[0] if parametrized else type(module)
        if any(c.__name__ in ("ScriptModule", "GraphModule") and is_of(c, "torch") for c in kind.__mro__):
            self._problem(f"a {kind.__name__}: its program is no Python source")
            return None
        if kind.__name__ in _WRAPPERS and is_of(kind, self.source):
            self._problem(f"a {kind.__name__}: carry over the model that it wraps, its `module`")
            return None
        target = self.code.code(kind)
        if not isinstance(target, type) or not issubclass(target, self._base()):
            self.code.lacking_names.pop(name_of(kind, self.source), None)
            self._problem(f"{self.code.target} lacks {name_of(kind, self.source)}")
            target = self._base()  # so that what lies below is looked at, too
        made = self._keep(module, object.__new__(target))
        own = vars(module)
        attributes = {k: v for k, v in own.items() if k not in _OWN and not k.endswith("_hooks") and "_hooks_" not in k}
        parts = {"parameter": module._parameters, "buffer": module._buffers, "module": module._modules}
        if self.source == "jaxnn":
            registered = own["_jaxnn_registered"]
            extra = _EXTRA.get(kind.__name__, {})
            attributes = {k: v for k, v in attributes.items() if k not in registered and k not in extra}
        hooks = [h for h in module._forward_pre_hooks.values() if is_of(type(h), self.source)]
        computed = {getattr(h, "name", getattr(h, "_tensor_name", None)) for h in hooks}  # before each call
        for k, v in attributes.items():
            if self.is_tensor(v) and not v.is_leaf and k not in computed:
                self.left.append(self._where(f"the graph of the tensor {k}"))
        plain = {k: self._below(k, v) for k, v in attributes.items()}
        children = {kind: {k: self._below(k, v) for k, v in part.items()} for kind, part in parts.items()}
        left_out = set(module._non_persistent_buffers_set)
        if self.source == "torch":
            registered = {k: kind for kind, part in children.items() for k in part}
            nn.Module.__setstate__(
                made,
                {"training": module.training, "_jaxnn_registered": registered, "_non_persistent_buffers_set": left_out,
                 **_EXTRA.get(kind.__name__, {}), **plain, **children["parameter"], **children["buffer"], **children["module"]},
            )  # fmt: skip
        else:
            made.__dict__.update(vars(_torch().nn.Module()))
            made.__dict__.update(plain, training=module.training, _non_persistent_buffers_set=left_out)
            made.__dict__.update(
                _parameters=children["parameter"], _buffers=children["buffer"], _modules=children["module"]
            )
            if isinstance(made, _torch().nn.RNNBase):
                made._init_flat_weights()
        self._hooks(module, made)
        if parametrized:
            self._parametrize(made)
        return made

    def _base(self) -> Any:
        return nn.Module if self.source == "torch" else _torch().nn.Module

    def _parametrize(self, made: Any) -> None:
        """Give a module the class on which properties stand for its parametrized tensors."""
        if self.source == "torch":
            from_lists = nn.utils.parametrize
            from_lists._new_class(made)  # type: ignore[attr-defined]
            type(made).__setattr__ = from_lists._assigned  # type: ignore[attr-defined, assignment]
            for name in made.parametrizations:
                from_lists._put_property(made, name)  # type: ignore[attr-defined]
            return
        parametrize = _torch().nn.utils.parametrize
        lists = made._modules.pop("parametrizations")
        parametrize._inject_new_class(made)
        made._modules["parametrizations"] = lists
        for name in lists:
            parametrize._inject_property(made, name)

    def _hooks(self, module: Any, made: Any) -> None:
        """Carry over the library's own hooks (weight_norm, pruning, lazy layers); name those of users."""
        for kind in HookTables.KINDS:
            if kind.endswith(("_with_kwargs", "_always_called")):
                continue
            for hook in list(getattr(module, f"_{kind}_hooks", {}).values()):
                if type(hook).__name__ in ("_WrappedHook", "WithModule"):  # around one that was registered for a state_dict
                    hook = hook.hook
                if _is_lazy_hook(hook):
                    continue
                if not is_of(type(hook), self.source) and not is_of(hook, self.source):
                    name = getattr(hook, "__qualname__", type(hook).__qualname__)
                    self.left.append(self._where(f"the {kind} hook {name}"))
                elif kind == "forward_pre":
                    self.path.append("forward_pre hook")
                    copied = self.state(hook)
                    self.path.pop()
                    if copied is not None:
                        made.register_forward_pre_hook(copied)
                        self._state_hooks(made, copied)
        if isinstance(made, lazy.LazyModuleMixin):
            if module.has_uninitialized_params():
                made.register_forward_pre_hook(lazy._infer, with_kwargs=True)  # type: ignore[attr-defined]
        elif self.source == "jaxnn" and isinstance(module, lazy.LazyModuleMixin) and module.has_uninitialized_params():
            made._load_hook = made._register_load_state_dict_pre_hook(made._lazy_load_hook)
            made._initialize_hook = made.register_forward_pre_hook(made._infer_parameters, with_kwargs=True)

    def _state_hooks(self, made: Any, hook: Any) -> None:
        """What stands beside the hook of spectral_norm: the version in the metadata of its state_dict."""
        if isinstance(hook, SpectralNorm):
            made._register_state_dict_hook(SpectralNormVersion(hook))
        elif self.source == "jaxnn" and type(hook).__name__ == "SpectralNorm":
            beside = _torch().nn.utils.spectral_norm.__globals__
            made._register_state_dict_hook(beside["SpectralNormStateDictHook"](hook))
            made._register_load_state_dict_pre_hook(beside["SpectralNormLoadStateDictPreHook"](hook))


def _is_lazy_hook(hook: Any) -> bool:
    name = getattr(hook, "__qualname__", "")
    return hook is lazy._infer or name.startswith("LazyModuleMixin.")


def _untouched(before: Any, after: Any) -> bool:
    """Whether a converted value says the same as before: containers are copied, so they are looked into."""
    if before is after:
        return True
    if type(before) is not type(after) or isinstance(before, np.ndarray):
        return type(before) is type(after) and isinstance(before, np.ndarray)
    if isinstance(before, dict):
        return len(before) == len(after) and all(k in after and _untouched(v, after[k]) for k, v in before.items())
    if isinstance(before, (list, tuple, collections.deque)):
        return len(before) == len(after) and all(map(_untouched, before, after))
    return isinstance(before, (set, frozenset)) and before == after


def _slots(kind: type) -> Iterator[str]:
    found = vars(kind).get("__slots__", ())
    yield from (n for n in ((found,) if isinstance(found, str) else found) if n not in ("__dict__", "__weakref__"))


def _torch() -> Any:
    import torch

    return torch

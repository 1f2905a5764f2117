"""Module hooks: what may be registered, on one module or on all, and a call that runs them.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.path.hook_handle import RemovableHandle
from jaxnn.core.process.config import state

from .backward_hooks import BackwardHooks
from .registered import own_dict

__all__ = [
    "GLOBAL", "HookMethods", "HookTables", "register_module_backward_hook",
    "register_module_buffer_registration_hook", "register_module_forward_hook", "register_module_forward_pre_hook",
    "register_module_full_backward_hook", "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook", "register_module_parameter_registration_hook",
]  # fmt: skip


class HookTables:
    """The hooks of one module, or those of all modules, by kind and in the order they run."""

    KINDS = (
        "forward_pre", "forward_pre_with_kwargs", "forward", "forward_with_kwargs", "forward_always_called", "backward",
        "backward_pre", "state_dict", "state_dict_pre", "load_state_dict_pre", "load_state_dict_post",
        "parameter_registration", "buffer_registration", "module_registration",
    )  # fmt: skip

    def __init__(self) -> None:
        for kind in self.KINDS:
            setattr(self, kind, OrderedDict())
        self.is_full_backward: bool | None = None
        self.active = False  # whether a call had hooks to run once: then it looks at the tables

    def __getattr__(self, name: str) -> Any:  # a pickle of an older version may lack a kind
        if name in HookTables.KINDS:
            made = self.__dict__[name] = OrderedDict()
            return made
        raise AttributeError(name)

    def add(self, kind: str, hook: Any, prepend: bool = False, also: tuple[str, ...] = ()) -> RemovableHandle:
        """Register a hook, and its number in the tables of flags ``also``."""
        table, flags = getattr(self, kind), [getattr(self, flag) for flag in also]
        handle = RemovableHandle(table, *flags)
        table[handle.id] = hook
        self.active = True
        for flag in flags:
            flag[handle.id] = True
        if prepend:
            table.move_to_end(handle.id, last=False)
        return handle

    def runs_at_calls(self) -> bool:
        """Whether a call of the module has hooks to run."""
        return bool(self.forward_pre or self.forward or self.backward or self.backward_pre)


#: The hooks of all modules.
GLOBAL = HookTables()


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` at every registration; what it returns is registered instead."""
    return GLOBAL.add("parameter_registration", hook)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` at every registration; what it returns is registered instead."""
    return GLOBAL.add("buffer_registration", hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` at every registration; what it returns is registered instead."""
    return GLOBAL.add("module_registration", hook)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before every module's forward."""
    return GLOBAL.add("forward_pre", hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after every module's forward."""
    return GLOBAL.add("forward", hook, also=_flags("forward", with_kwargs, always_call))


def _one_kind(tables: HookTables, full: bool, where: str) -> None:
    if tables.is_full_backward is (not full):
        raise RuntimeError(
            f"Cannot use both regular backward hooks and full backward hooks {where}. Please use only one of them."
        )
    tables.is_full_backward = full


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Like `register_module_full_backward_hook`, under its deprecated name."""
    _one_kind(GLOBAL, False, "as a global Module hook")
    return GLOBAL.add("backward", hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` when the gradients of a module's inputs are known."""
    _one_kind(GLOBAL, True, "as a global Module hook")
    return GLOBAL.add("backward", hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` when the gradients of a module's outputs are known."""
    return GLOBAL.add("backward_pre", hook)


def _flags(kind: str, with_kwargs: bool, always_call: bool = False) -> tuple[str, ...]:
    return (*((f"{kind}_with_kwargs",) if with_kwargs else ()), *((f"{kind}_always_called",) if always_call else ()))


def _table(kind: str) -> property:
    def read(self: Any) -> Any:
        return getattr(self._jaxnn_hook_tables(), kind)

    def replace(self: Any, table: Any) -> None:
        tables = self._jaxnn_hook_tables()
        setattr(tables, kind, table)
        tables.active = tables.active or bool(table)

    return property(read, replace)


def _is_full(self: Any) -> Any:
    return self._jaxnn_hooks and self._jaxnn_hooks.is_full_backward


def _set_full(self: Any, full: bool | None) -> None:
    if full is not _is_full(self):
        self._jaxnn_hook_tables().is_full_backward = full


class HookMethods:
    """The part of `Module` that registers hooks and calls them."""

    _jaxnn_hooks: HookTables | None = None

    _forward_pre_hooks = _table("forward_pre")
    _forward_pre_hooks_with_kwargs = _table("forward_pre_with_kwargs")
    _forward_hooks = _table("forward")
    _forward_hooks_with_kwargs = _table("forward_with_kwargs")
    _forward_hooks_always_called = _table("forward_always_called")
    _backward_hooks = _table("backward")
    _backward_pre_hooks = _table("backward_pre")
    _state_dict_hooks = _table("state_dict")
    _state_dict_pre_hooks = _table("state_dict_pre")
    _load_state_dict_pre_hooks = _table("load_state_dict_pre")
    _load_state_dict_post_hooks = _table("load_state_dict_post")
    _is_full_backward_hook = property(_is_full, _set_full)

    def _jaxnn_hook_tables(self) -> HookTables:
        tables = own_dict(self).get("_jaxnn_hooks")
        if tables is None:
            tables = own_dict(self)["_jaxnn_hooks"] = HookTables()
        return tables

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; what it returns replaces the arguments."""
        return self._jaxnn_hook_tables().add("forward_pre", hook, prepend, _flags("forward_pre", with_kwargs))

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns replaces the output."""
        return self._jaxnn_hook_tables().add("forward", hook, prepend, _flags("forward", with_kwargs, always_call))

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` in the backward pass; what it returns replaces ``grad_output``."""
        return self._jaxnn_hook_tables().add("backward_pre", hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` in the backward pass; what it returns replaces
        ``grad_input``.
        """
        _one_kind(self._jaxnn_hook_tables(), True, "on a single Module")
        return self._jaxnn_hook_tables().add("backward", hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Like `register_full_backward_hook`, under its deprecated name."""
        _one_kind(self._jaxnn_hook_tables(), False, "on a single Module")
        return self._jaxnn_hook_tables().add("backward", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before `state_dict` collects."""
        return self._jaxnn_hook_tables().add("state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after `state_dict` has collected."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return self._jaxnn_hook_tables().add("state_dict", hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously registered via "
                "register_state_dict_post_hook"
            )
        return self._jaxnn_hook_tables().add("state_dict", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, ...)`` before this module loads."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        return self._jaxnn_hook_tables().add("load_state_dict_pre", WithModule(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after `load_state_dict`."""
        return self._jaxnn_hook_tables().add("load_state_dict_post", hook)

    def _jaxnn_call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Forward with everything that is registered for it."""
        run = _HookedCall(self, args, kwargs)
        try:
            return run()
        except Exception:
            run.always_called()
            raise


class WithModule:
    """A hook that gets its module first. Weak, so that hooks make no cycle; a copied module is its copy's own."""

    def __init__(self, hook: Callable[..., Any], module: Any) -> None:
        self.hook = hook
        self.module = weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __reduce__(self) -> Any:
        return WithModule, (self.hook, self.module())


def _warn_of_missing_gradients(args: Any, result: Any) -> None:
    """What PyTorch says of modules whose former backward hooks do not get all gradients."""
    for values, what, which in (
        (result if isinstance(result, tuple) else (result,), "return a", "output"), (args, "take as input a", "input")
    ):  # fmt: skip
        if not all(isinstance(v, TensorBase) for v in values):
            warnings.warn(
                f"Using non-full backward hooks on a Module that does not {what} single Tensor or a tuple of Tensors is deprecated "
                f"and will be removed in future versions. This hook will be missing some of the grad_{which}. Please use "
                "register_full_backward_hook to get the documented behavior.",
                FutureWarning,
                stacklevel=5,
            )
            return
    if isinstance(result, tuple) and len({r.grad_fn for r in result} - {None}) > 1:
        warnings.warn(
            "Using a non-full backward hook when outputs are generated by different autograd Nodes is deprecated and will be "
            "removed in future versions. This hook will be missing some grad_output. Please use register_full_backward_hook to "
            "get the documented behavior.",
            FutureWarning,
            stacklevel=5,
        )


class _HookedCall:
    """One call of a module that has hooks."""

    def __init__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs = module, args, kwargs
        self.tables = [t for t in (GLOBAL, module._jaxnn_hooks) if t is not None]
        self.result: Any = None
        self.called: set[int] = set()

    def _each(self, kind: str) -> Iterator[tuple[HookTables, int, Any]]:
        for tables in self.tables:
            for key, hook in list(getattr(tables, kind).items()):
                yield tables, key, hook

    def __call__(self) -> Any:
        for tables, key, hook in self._each("forward_pre"):
            self._before(hook, key in tables.forward_pre_with_kwargs)
        backward = None
        if state.grad_enabled:
            hooks = [h for _, _, h in self._each("backward")]
            pre_hooks = [h for _, _, h in self._each("backward_pre")]
            if hooks or pre_hooks:
                full = all(t.is_full_backward is not False for t in self.tables)
                backward = BackwardHooks(self.module, hooks, pre_hooks, full)
                self.args = backward.on_inputs(self.args)
        self.result = self.module.forward(*self.args, **self.kwargs)
        for tables, key, hook in self._each("forward"):
            self.called.add(key)
            self._after(hook, key in tables.forward_with_kwargs)
        if backward is not None:
            if (backward.full or pre_hooks) and not isinstance(self.result, (TensorBase, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                    "received "
                    f"{type(self.result)}", stacklevel=4,
                )  # fmt: skip
            if not backward.full:
                _warn_of_missing_gradients(self.args, self.result)
            self.result = backward.on_outputs(self.result)
        return self.result

    def _before(self, hook: Any, with_kwargs: bool) -> None:
        if not with_kwargs:
            changed = hook(self.module, self.args)
            if changed is not None:
                self.args = changed if isinstance(changed, tuple) else (changed,)
            return
        changed = hook(self.module, self.args, self.kwargs)
        if changed is None:
            return
        if not (isinstance(changed, tuple) and len(changed) == 2):
            raise RuntimeError(
                f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
            )
        self.args, self.kwargs = changed

    def _after(self, hook: Any, with_kwargs: bool) -> None:
        given = (self.args, self.kwargs) if with_kwargs else (self.args,)
        changed = hook(self.module, *given, self.result)
        if changed is not None:
            self.result = changed

    def always_called(self) -> None:
        """After an error: the hooks with ``always_call`` that have not run yet; what they raise is only a warning."""
        for tables, key, hook in self._each("forward"):
            if key not in tables.forward_always_called or key in self.called:
                continue
            try:
                self._after(hook, key in tables.forward_with_kwargs)
            except Exception as error:
                which = "global module" if tables is GLOBAL else "module"
                warnings.warn(
                    f"{which} forward hook with ``always_call=True`` raised an exception that was silenced as another "
                    f"error was raised in forward: {error}", stacklevel=4,
                )  # fmt: skip

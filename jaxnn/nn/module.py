"""`Module`: PyTorch's module that is a `flax.nnx.Module`.

Parameters, buffers and submodules lie in the instance's ``__dict__`` under their own names; ``_jaxnn_registered`` knows their
kinds and order.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np
from flax import nnx

from jaxnn.core.kinds.device import device_of
from jaxnn.core.kinds.dtypes import SCALAR_NAMES
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.process.internals import PytreeState
from jaxnn.core.record.recorder import escaped_value
from jaxnn.core.run.cut import cut
from jaxnn.core.run.policy import END_OF_MODULE, note_path, runs_directly

from .attributes import attributes_property
from .buffers import without_registration
from .conversion import ConversionMethods
from .flax_modes import FlaxModes, asked_by_flax
from .foreign import adopted, below, is_foreign_module, is_foreign_variable, set_mode, tensors_below
from .graph_protocol import GraphProtocol
from .hooks import GLOBAL, HookMethods
from .jax_devices import operand, place_for
from .module_class import Call, ModuleMeta
from .module_state import from_pytorch, is_pytorch
from .parameter import BatchStat, Buffer, Parameter
from .plain_values import is_plain
from .registered import own_dict, put, take, view_property
from .state_dict import StateDictMethods

__all__ = ["Module"]

_Self = TypeVar("_Self", bound="Module")


def typename(value: Any) -> str:
    """A type as PyTorch's messages name it."""
    if isinstance(value, TensorBase):
        described = aval(value)
        where = "cuda." if device_of(described.placement).type == "cuda" else ""
        return f"torch.{where}{SCALAR_NAMES[described.dtype]}Tensor"
    kind = value if isinstance(value, type) else type(value)
    return kind.__qualname__ if kind.__module__ in ("builtins", "", None) else f"{kind.__module__}.{kind.__qualname__}"


def _indented(text: str) -> str:
    """All lines but the first two places to the right."""
    return text.replace("\n", "\n  ")


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)


def _is_raw(value: Any) -> bool:
    """Whether a value is an array that is a tensor to ``forward``: no random keys, no texts."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufcV"
    return isinstance(value, jax.Array) and not _is_key(value)


def _is_whole(value: Any) -> bool:
    """Whether a value goes to ``forward`` as it is: tensors, modules, Flax's random streams and other objects."""
    return isinstance(value, (TensorBase, nnx.Pytree, nnx.Variable))


def _own_children(module: Any, kind: str) -> Iterator[tuple[str, Any]]:
    """The names and tensors of one kind, without those of submodules of ours."""
    if not isinstance(module, Module):  # one of Flax's
        yield from ((path, t) for path, t in tensors_below(module) if isinstance(t, Parameter) == (kind == "parameter"))
        return
    own = own_dict(module)
    yield from [(name, own[name]) for name, found in own["_jaxnn_registered"].items() if found == kind]


class Module(
    GraphProtocol, HookMethods, StateDictMethods, ConversionMethods, FlaxModes, nnx.Module,
    metaclass=ModuleMeta, pytree=True,
):  # fmt: skip
    """The base class of all networks. Subclasses register children by assigning them and define ``forward``.

    A call with jax or numpy arrays gives jax arrays; a call with tensors gives tensors. Inside ``forward`` there are only
    tensors. Where a subclass sets ``call_super_init``, ``args`` and ``kwargs`` go to the next base's constructor.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = nn.Linear(3, 8)
        ...         self.out = nn.Linear(8, 2)
        ...
        ...     def forward(self, x):
        ...         return self.out(torch.relu(self.hidden(x)))
        >>> net = Net()
        >>> net(torch.ones(4, 3)).shape
        torch.Size([4, 2])
        >>> [name for name, _ in net.named_parameters()]
        ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']
    """

    _jaxnn_statistics: tuple[str, ...] = ()  # the buffers that are running statistics
    dump_patches: bool = False
    call_super_init: bool = False
    training: bool
    _jaxnn_registered: dict[str, str]

    _parameters = view_property("parameter")
    _buffers = view_property("buffer")
    _modules = view_property("module")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        kwargs.setdefault("pytree", True)  # flax does not inherit it
        super().__init_subclass__(**kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
                )
        own = own_dict(self)
        own["training"] = True
        own["_jaxnn_registered"] = {}
        own["_non_persistent_buffers_set"] = set()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    if TYPE_CHECKING:
        forward: Callable[..., Any]
        __call__ = Call()
    else:
        __dict__ = attributes_property

        def forward(self, *input: Any) -> Any:
            """What a call computes; every subclass defines it."""
            raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if state.module_depth:
                if self._jaxnn_hooks is None and not GLOBAL.active:
                    return self.forward(*args, **kwargs)
                return self._jaxnn_call_inside(args, kwargs)
            for a in args:
                if type(a) is not Tensor:
                    return self._jaxnn_outermost(args, kwargs)
            return self._jaxnn_run_outermost(args, kwargs)

    # --- calls

    def _jaxnn_call_inside(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hooks = self._jaxnn_hooks
        if (hooks is not None and hooks.runs_at_calls()) or GLOBAL.runs_at_calls():
            return self._jaxnn_call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _jaxnn_run_outermost(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        direct = bool(state.novel) and not state.grad_enabled and runs_directly(type(self))
        state.module_depth, state.direct = 1, direct
        try:
            result = self._jaxnn_call_inside(args, kwargs)
        finally:
            state.module_depth, state.direct = 0, False
        if not state.grad_enabled:
            rec = state.recording
            # Nothing to cut where a network without gradients (a teacher) works inside a step that has some.
            if (
                rec is not None and not rec.closed and not rec.grads and not in_transformation()
                and next(iter(self.parameters()), None) is not None
            ):  # fmt: skip
                state.new_path = False
                cut(END_OF_MODULE)
                if not direct:
                    note_path(type(self))
        return result

    def _jaxnn_outermost(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An outermost call whose arguments may hold raw arrays."""
        leaves = jax.tree.leaves((args, kwargs), is_leaf=_is_whole)
        if not any(_is_raw(v) or _is_key(v) for v in leaves):
            return self._jaxnn_run_outermost(args, kwargs)
        tensors_too = any(isinstance(v, TensorBase) for v in leaves)
        place = None if tensors_too or in_transformation() else place_for(self, leaves)
        wrapped = jax.tree.map(lambda v: operand(v, place) if _is_raw(v) else v, (args, kwargs), is_leaf=_is_whole)
        if tensors_too:
            return self._jaxnn_run_outermost(*wrapped)
        grad_enabled, state.grad_enabled = state.grad_enabled, False
        try:
            result = self._jaxnn_run_outermost(*wrapped)
        finally:
            state.grad_enabled = grad_enabled
        return jax.tree.map(
            lambda v: escaped_value(v) if isinstance(v, TensorBase) else v, result,
            is_leaf=_is_whole,
        )  # fmt: skip

    # --- registration

    def _jaxnn_check_name(self, kind: str, name: Any) -> None:
        """The checks that all kinds of children share."""
        if "_jaxnn_registered" not in own_dict(self):
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        exists = KeyError(f"attribute '{name}' already exists")
        if kind == "module" and self._jaxnn_is_taken(name, kind):  # PyTorch's order of the checks, which differs here
            raise exists
        if "." in name:
            raise KeyError(
                f'module name can\'t contain ".", got: {name}'
                if kind == "module"
                else f'{kind} name can\'t contain "."'
            )
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if self._jaxnn_is_taken(name, kind):
            raise exists

    def _jaxnn_is_taken(self, name: str, kind: str) -> bool:
        """Whether a name stands for something else already; Flax's own methods do not count, PyTorch has none such."""
        if own_dict(self)["_jaxnn_registered"].get(name) == kind or not hasattr(self, name):
            return False
        if name in own_dict(self):
            return True
        owner = next((c for c in type(self).__mro__ if name in vars(c)), None)
        return owner is None or not owner.__module__.startswith("flax.")

    def _jaxnn_hooked(self, kind: str, name: str, value: Any) -> Any:
        for hook in list(getattr(GLOBAL, f"{kind}_registration").values()):
            changed = hook(self, name, value)
            if changed is not None:
                value = changed
        return value

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state without being trained."""
        self._jaxnn_check_name("buffer", name)
        if tensor is not None and not isinstance(tensor, TensorBase):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        put(self, "buffer", name, self._jaxnn_hooked("buffer", name, tensor))
        left_out = own_dict(self)["_non_persistent_buffers_set"]
        left_out.discard(name) if persistent else left_out.add(name)

    def register_parameter(self, name: str, param: Any) -> None:
        """Add a parameter; None keeps the name without one."""
        self._jaxnn_check_name("parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{typename(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To "
                f"express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        put(self, "parameter", name, self._jaxnn_hooked("parameter", name, param) if param is not None else None)

    def add_module(self, name: str, module: Any) -> None:
        """Add a submodule, which may be one of Flax's."""
        if not isinstance(module, nnx.Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._jaxnn_check_name("module", name)
        put(self, "module", name, self._jaxnn_hooked("module", name, module))

    def register_module(self, name: str, module: Any) -> None:
        """`add_module` under its other name."""
        self.add_module(name, module)

    # --- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        own = own_dict(self)
        registered = own.get("_jaxnn_registered")
        kind = None if registered is None else registered.get(name)
        if kind is None and (type(value) is Tensor or not isinstance(value, (TensorBase, nnx.Module, nnx.Variable))):
            self._jaxnn_set_plain(name, value)
            return
        if is_foreign_variable(value):  # Flax's own: the tensor that takes its place
            value = adopted(value)
        if isinstance(value, Parameter):
            self._jaxnn_require_init(registered, "parameters")
            if kind != "parameter":
                self._jaxnn_forget(name)
            self.register_parameter(name, value)
        elif kind == "parameter":
            self._jaxnn_require_none(value, "parameter", name, "torch.nn.Parameter or None")
            self.register_parameter(name, value)
        elif isinstance(value, nnx.Module):
            self._jaxnn_require_init(registered, "module")
            if kind != "module":
                self._jaxnn_forget(name)
            put(self, "module", name, self._jaxnn_hooked("module", name, value))
        elif kind == "module":
            self._jaxnn_require_none(value, "child module", name, "torch.nn.Module or None")
            put(self, "module", name, self._jaxnn_hooked("module", name, None))
        elif isinstance(value, Buffer) and kind is None and not value.was_plain:
            self._jaxnn_require_init(registered, "buffer")
            self._jaxnn_forget(name)
            self.register_buffer(name, value, value.persistent)
        elif kind == "buffer":
            if value is not None and not isinstance(value, TensorBase):
                self._jaxnn_require_none(value, "buffer", name, "torch.nn.Buffer, torch.Tensor or None")
            if isinstance(value, Buffer) and not value.was_plain:
                self.register_buffer(name, value, value.persistent)
            else:
                put(self, "buffer", name, self._jaxnn_hooked("buffer", name, value))
        else:
            self._jaxnn_set_plain(name, without_registration(value))

    def _jaxnn_set_plain(self, name: str, value: Any) -> None:
        if name == self._jaxnn_flax_mode and name not in own_dict(self) and asked_by_flax(2):
            self.training = not value
            return
        if isinstance(value, dataclasses.Field) and "nnx_value" in value.metadata:
            self._jaxnn_set_marked(name, value)
            return
        if in_transformation() and not is_plain(value):
            self._jaxnn_check_writable_here()
        object.__setattr__(self, name, value)

    def _jaxnn_check_writable_here(self) -> None:
        """Refuse to change a module from outside the JAX transformation that runs now, as Flax does."""
        if in_transformation() and "_pytree__state" in own_dict(self):
            self._check_valid_context(lambda: f"Cannot mutate '{type(self).__name__}' from different trace level")

    @staticmethod
    def _jaxnn_require_init(registered: Any, what: str) -> None:
        if registered is None:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")

    @staticmethod
    def _jaxnn_require_none(value: Any, what: str, name: str, expected: str) -> None:
        if value is not None:
            raise TypeError(f"cannot assign '{typename(value)}' as {what} '{name}' ({expected} expected)")

    def _jaxnn_forget(self, name: str) -> None:
        if name in own_dict(self)["_jaxnn_registered"]:
            take(self, name)
        else:
            own_dict(self).pop(name, None)

    def __delattr__(self, name: str) -> None:
        if name in own_dict(self).get("_jaxnn_registered", ()):
            take(self, name)
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted(k for k in {*dir(type(self)), *own_dict(self)} if not k[:1].isdigit())

    # --- children by path

    def get_submodule(self, target: str) -> Module:
        """The submodule with a dotted path; "" is the module itself.

        Raises:
            AttributeError: when a part of the path is missing or no module.
        """
        found: Any = self
        for part in target.split(".") if target else ():
            if not hasattr(found, part):
                raise AttributeError(f"{found._get_name()} has no attribute `{part}`")
            found = getattr(found, part)
            if not isinstance(found, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module in the place of the one with a dotted path; with ``strict`` there has to be one."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def _jaxnn_get_tensor(self, target: str, kind: str, described: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if module._jaxnn_registered.get(name) != kind:
            raise AttributeError(f"`{name}` is not {described}")
        return getattr(module, name)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted path."""
        return self._jaxnn_get_tensor(target, "parameter", "an nn.Parameter")

    def get_buffer(self, target: str) -> Any:
        """The buffer with a dotted path."""
        return self._jaxnn_get_tensor(target, "buffer", "a buffer")

    # --- walking

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it with their paths; a shared one once."""
        for path, module in self._jaxnn_walk(set() if memo is None else memo, prefix, remove_duplicate):
            if isinstance(module, Module):
                yield path, module

    def _jaxnn_walk(self, memo: set[Any], prefix: str, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        """`named_modules`, and modules of Flax's among them."""
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        own = own_dict(self)
        for name in [k for k, kind in own["_jaxnn_registered"].items() if kind == "module"]:
            child = own[name]
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(child, Module):
                yield from child._jaxnn_walk(memo, path, remove_duplicate)
            elif child is not None and id(child) not in memo:  # an nnx.List has no hash
                if remove_duplicate:
                    memo.add(id(child))
                yield path, child
                for inner, _, found in below(child, path):
                    if isinstance(found, Module):
                        yield from found._jaxnn_walk(memo, inner, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names; a shared one once. Modules of Flax's are not among them."""
        seen = set()
        for name, child in self._modules.items():
            if isinstance(child, Module) and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self,
        get_members_fn: Callable[[Any], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        walk = self._jaxnn_walk(set(), prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in walk:
            for name, member in get_members_fn(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield f"{path}.{name}" if path else name, member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their paths; a tied one once."""
        yield from self._named_members(lambda m: _own_children(m, "parameter"), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """All buffers with their paths; a shared one once."""
        yield from self._named_members(lambda m: _own_children(m, "buffer"), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """All buffers."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def apply(self: _Self, fn: Callable[[Module], None]) -> _Self:
        """Call ``fn`` with every module below, then with this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- modes

    def train(self: _Self, mode: bool = True) -> _Self:  # type: ignore[override]
        """Set the training mode here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self._modules.values():
            if is_foreign_module(child):
                set_mode(child, mode)
            elif child is not None:
                child.train(mode)
        return self

    def eval(self: _Self) -> _Self:  # type: ignore[override]
        """Leave the training mode here and below."""
        return self.train(False)

    def requires_grad_(self: _Self, requires_grad: bool = True) -> _Self:
        """Make all parameters collect gradients, or stop."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zero."""
        for p in self.parameters():
            grad = p._grad
            if grad is None:
                continue
            if set_to_none:
                p._grad = None
                continue
            if grad.grad_fn is not None:
                grad.detach_()
            else:
                grad.requires_grad_(False)
            grad.zero_()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is left to do without arguments: plain calls run as compiled programs already.

        Raises:
            NotImplementedError: for any argument.
        """
        if args or kwargs:
            raise NotImplementedError(f"Module.compile: {', '.join(kwargs) or 'positional arguments'}")

    # --- description and copies

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What ``repr`` shows between the parentheses."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indented(repr(child))}" for name, child in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        body = "".join(f"\n  {line}" for line in lines + children)
        return f"{self._get_name()}({body}\n)" if body else f"{self._get_name()}()"

    def __str__(self) -> str:
        return repr(self)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in own_dict(self).items() if k not in ("_pytree__state", "_pytree__nodes", "_jaxnn_box")}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        own = own_dict(self)
        own["_pytree__state"] = PytreeState()
        own["_pytree__nodes"] = type(self)._pytree__nodes
        own.update(from_pytorch(attributes) if is_pytorch(attributes) else attributes)
        if "_jaxnn_registered" in own:
            own["_jaxnn_registered"] = dict(own["_jaxnn_registered"])  # `copy.copy` hands over the original's
        for name, kind in own.get("_jaxnn_registered", {}).items():
            if kind == "buffer" and type(own[name]) is Tensor:  # as a file holds it
                own[name] = (BatchStat if name in self._jaxnn_statistics else Buffer)._sharing(own[name], own[name]._cell)

    def __deepcopy__(self: _Self, memo: Any = None) -> _Self:
        made = type(self).__new__(type(self))
        memo = {} if memo is None else memo
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made

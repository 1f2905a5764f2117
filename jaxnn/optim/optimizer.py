"""The base of all optimizers: parameter groups, state, hooks, state_dicts.

Source: https://docs.pytorch.org/docs/stable/optim.html#torch.optim.Optimizer
"""

from __future__ import annotations

import copy
import functools
import itertools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import optax

from jaxnn.core.gradient.modes import enable_grad, no_grad
from jaxnn.core.memory.aval import Aval
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array, known_array
from jaxnn.core.path.hook_handle import RemovableHandle
from jaxnn.core.process.config import in_transformation
from jaxnn.core.process.internals import TraceContextError, current_jax_trace
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.run.cut import cut, cut_without_gradients
from jaxnn.core.run.policy import STEP
from jaxnn.ops.common.placement import MOVES, made, sharding_of

from .arguments import ParamsT
from .labels import Labels
from .step import Bucket, Rule, update

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]


class _Hooks:
    """The hooks of every optimizer's step."""

    def __init__(self) -> None:
        self.pre: OrderedDict[int, Any] = OrderedDict()
        self.post: OrderedDict[int, Any] = OrderedDict()


_GLOBAL = _Hooks()


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _add(owner: Any, kind: str, hook: Any, first: bool = False) -> RemovableHandle:
    hooks = getattr(owner, kind)
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if first:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before every step of every optimizer; gives a handle with ``remove()``."""
    return _add(_GLOBAL, "pre", hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after every step of every optimizer; gives a handle with ``remove()``."""
    return _add(_GLOBAL, "post", hook)


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """A ``step`` with the hooks around it and a cut at its end, once for a call however many classes take part."""

    @functools.wraps(step)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:
            return step(self, *args, **kwargs)
        if "_pre_hooks" not in self.__dict__:  # a wrapper around another optimizer that never called `__init__`
            made = step(self, *args, **kwargs)
            cut(STEP)
            return made
        self._stepping = True
        try:
            args = (self, *args)
            for hook in (*_GLOBAL.pre.values(), *self._pre_hooks.values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise RuntimeError(
                            f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                        )
                    args, kwargs = changed
            made = step(*args, **kwargs)
            for hook in (*self._post_hooks.values(), *_GLOBAL.post.values()):
                hook(self, args, kwargs)
        finally:
            self._stepping = False
        cut(STEP)
        return made

    return hooked


#: Past a parameter's own ``__setattr__``, which is Python: there are many of them in each step.
_set = object.__setattr__


class Optimizer:
    """Base class. A subclass says how a group is updated: `_bucket`, and which states a parameter has: `_states`.

    One of a user's own defines ``step``, as in PyTorch.

    Args:
        defaults: the options of groups that do not give them.

    Raises:
        TypeError: when ``params`` is no iterable of tensors or of groups.
        ValueError: when it is empty, or a parameter is given twice.

    Example:
        >>> class Descent(torch.optim.Optimizer):
        ...     def __init__(self, params, lr):
        ...         super().__init__(params, {"lr": lr})
        ...
        ...     @torch.no_grad()
        ...     def step(self):
        ...         for group in self.param_groups:
        ...             for p in group["params"]:
        ...                 p -= group["lr"] * p.grad
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Descent([w], lr=0.1)
        >>> w.square().sum().backward()
        >>> optimizer.step()
        >>> w.data
        tensor([ 0.8000, -1.6000])
    """

    #: The formula: see `Rule`.
    _update: Rule
    #: Entries of a parameter's state that are numbers and alike for all that took the same steps. They are kept on the
    #: host and are inputs of the step, like the rate.
    _counters: tuple[str, ...] = ("step",)
    #: What a group from an older state_dict may lack.
    _older: dict[str, Any] = {}
    _stepping = False
    #: How many tensors had been spread by a sharding at the last step.
    _moves = 0
    #: What was tracing when it was made.
    _trace: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _hooked(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        with no_grad():  # what a model's construction left pending would make the first step a program of its own
            cut_without_gradients("an optimizer's construction")
        self.defaults = defaults
        self._trace = current_jax_trace()
        self._pre_hooks: OrderedDict[int, Any] = OrderedDict()
        self._post_hooks: OrderedDict[int, Any] = OrderedDict()
        self._state_dict_pre: OrderedDict[int, Any] = OrderedDict()
        self._state_dict_post: OrderedDict[int, Any] = OrderedDict()
        self._load_pre: OrderedDict[int, Any] = OrderedDict()
        self._load_post: OrderedDict[int, Any] = OrderedDict()
        if isinstance(params, TensorBase):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params.type()}"
            )
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for k, group in enumerate(self.param_groups):
            text += f"\nParameter Group {k}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in ("_pre_hooks", "_post_hooks", "_state_dict_pre", "_state_dict_post", "_load_pre", "_load_post"):
            self.__dict__.setdefault(name, OrderedDict())
        for group in self.param_groups:
            for name, value in self._older.items():
                group.setdefault(name, value)

    def _check_writable_here(self) -> None:
        """Refuse to change, inside a JAX transformation, an optimizer from outside it."""
        if self._trace is not None and in_transformation() and self._trace != current_jax_trace():
            raise TraceContextError(f"Cannot mutate '{type(self).__name__}' from different trace level")

    # --- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with options of its own.

        Raises:
            TypeError: when the group or a parameter has the wrong type.
            ValueError: for a tensor that is no leaf, a missing option, a parameter that another group has.
        """
        self._check_writable_here()
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, TensorBase):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        given = list(params)
        params = [p[1] if isinstance(p, tuple) else p for p in given]
        names = [p[0] for p in given if isinstance(p, tuple)]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        group = param_group
        group["params"] = params
        if names:
            group["param_names"] = names
        for p in params:
            if not isinstance(p, TensorBase):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        if len(params) != len({id(p) for p in params}):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if 'param_names' in group else 'without'} names to the optimizer"
            )
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        if group.get("differentiable"):
            raise NotImplementedError(f"{type(self).__name__}: differentiable=True")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is None:
                    continue
                if set_to_none:
                    _set(p, "_grad", None)
                else:
                    if p._grad.requires_grad:
                        p._grad = p._grad.detach()
                    p._grad.zero_()

    # --- the step

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The state tensors that each parameter of a group has, besides the counters."""
        raise NotImplementedError

    def _options(self, group: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        """Keywords of the transformation that choose the formula; a change compiles another program."""
        raise NotImplementedError

    def _numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The transformation's positional arguments; a change costs nothing."""
        raise NotImplementedError

    def _first_counters(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The counters before the first step."""
        return (0.0,) * len(self._counters)

    def _next_counters(self, group: dict[str, Any], counters: tuple[float, ...]) -> tuple[float, ...]:
        """The counters after another step."""
        return tuple(c + 1 for c in counters)

    def _first_state(self, name: str, group: dict[str, Any], described: Aval) -> np.ndarray:
        """A state tensor before the first step."""
        return np.zeros(described.shape, described.np)

    def _transformation(self, group: dict[str, Any]) -> optax.GradientTransformation:
        return self._update.transformation(*self._numbers(group), **dict(self._options(group)))

    def as_optax(self) -> optax.GradientTransformation:
        """The update as an optax transformation, for `flax.nnx.Optimizer`, with the options that the groups have now.

        With several groups, the transformation recognises the parameters when it is initialised: give it the model's
        own arrays (as ``nnx.Optimizer(model, ..., wrt=nnx.Param)`` does) or the arrays of all groups in a flat list.

        Raises:
            NotImplementedError: for `LBFGS`, which evaluates the loss as often as it likes.
            ValueError: at its ``init``, when it is given something else than the groups' parameters.
        """
        if len(self.param_groups) == 1:
            return self._transformation(self.param_groups[0])
        transforms = {k: self._transformation(group) for k, group in enumerate(self.param_groups)}
        return optax.multi_transform(transforms, Labels([group["params"] for group in self.param_groups]))

    @_hooked
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient.

        Args:
            closure: computes the loss again, with gradients on, and returns it.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if self._moves != MOVES[0]:
            self._follow()
        buckets = []
        for group in self.param_groups:
            buckets += self._buckets(group)
        if buckets:
            update(buckets)
        return loss

    def _buckets(self, group: dict[str, Any]) -> list[Bucket]:
        """A group's parameters that have a gradient, apart by how many steps they have seen."""
        names, state = self._state_names(group), self.state
        if not names and not self._counters:
            params = [p for p in group["params"] if p._grad is not None]
            numbers = (*self._numbers(group), *self._read_counters({}))
            return [Bucket(self._update, ((), self._options(group)), numbers, params, [])] if params else []
        first = self._counters[0] if self._counters else ""
        by_counters: dict[tuple[float, ...], tuple[list[Any], list[Any]]] = {}
        mark: Any = None
        helds: list[Any] = []
        params = []
        for p in group["params"]:
            if p._grad is None:
                continue
            held = state[p]
            for n in names:
                if n not in held:
                    self._start(p, held, names, group)
                    break
            # Parameters that went through the same steps share the counters' objects.
            if mark is None or held.get(first) is not mark:
                if first and first not in held:
                    self._start(p, held, names, group)
                mark = held.get(first)
                params, helds = by_counters.setdefault(self._read_counters(held), ([], []))
            params.append(p)
            helds.append(held)
        made = []
        for counters, (params, helds) in by_counters.items():
            options = (names, self._options(group))
            states = [[held[n] for held in helds] for n in names]
            made.append(Bucket(self._update, options, (*self._numbers(group), *counters), params, states))
            if self._counters:
                self._write_counters(helds, self._next_counters(group, counters))
        return made

    def _start(self, p: Any, held: dict[str, Any], names: tuple[str, ...], group: dict[str, Any]) -> None:
        """Give a parameter its first state."""
        described = aval(p)
        for n, value in zip(self._counters, self._first_counters(group), strict=True):
            if n not in held:
                held[n] = self._counter(value)
        for n in names:
            if n not in held:
                first = self._first_state(n, group, described)
                spread = sharding_of(p) if first.shape == tuple(described.shape) else None
                held[n] = host_array(first, described.placement) if spread is None else made(first, spread)

    def _follow(self) -> None:
        """Bring the states to where their parameters are, which were spread since the last step."""
        self._moves = MOVES[0]
        for p, held in self.state.items():
            where = sharding_of(p) if isinstance(p, TensorBase) else None
            for name, value in held.items() if where is not None else ():
                if isinstance(value, TensorBase) and name not in self._counters:
                    held[name] = _beside(p, value)

    def _counter(self, value: float) -> Any:
        """A counter as the state holds it."""
        return tensor_of(np.array(value, np.float32))

    def _read_counters(self, held: dict[str, Any]) -> tuple[float, ...]:
        return tuple(_number(held[n]) for n in self._counters)

    def _write_counters(self, helds: list[dict[str, Any]], values: tuple[float, ...]) -> None:
        made = {n: self._counter(v) for n, v in zip(self._counters, values, strict=True)}
        for held in helds:  # one object for all: `state_dict` hands out copies
            held.update(made)

    # --- hooks

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step."""
        return _add(self, "_pre_hooks", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step."""
        return _add(self, "_post_hooks", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before `state_dict`."""
        return _add(self, "_state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after `state_dict`; what it returns replaces the result."""
        return _add(self, "_state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before `load_state_dict`; what it returns replaces the argument."""
        return _add(self, "_load_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after `load_state_dict`."""
        return _add(self, "_load_post", hook, prepend)

    # --- state_dicts

    def state_dict(self) -> dict[str, Any]:
        """State and options in PyTorch's layout, parameters by number."""
        for hook in self._state_dict_pre.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {}
        for p, held in self.state.items():
            key = numbers[id(p)] if isinstance(p, TensorBase) else p
            state[key] = dict(held)
            for n in self._counters:
                if n in held:
                    counted = self._counter(_number(held[n]))
                    state[key][n] = counted.to(held[n].dtype) if isinstance(held[n], TensorBase) else counted
        found: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._state_dict_post.values():
            changed = hook(self, found)
            found = found if changed is None else changed
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over state and options; PyTorch's tensors, numpy arrays and ours are taken.

        Raises:
            ValueError: when the groups do not fit.
        """
        self._check_writable_here()
        state_dict = dict(state_dict)
        for hook in self._load_pre.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups, saved = self.param_groups, state_dict["param_groups"]
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        by_number = dict(zip(
            itertools.chain.from_iterable(s["params"] for s in saved),
            itertools.chain.from_iterable(g["params"] for g in groups), strict=True,
        ))  # fmt: skip
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, held in state_dict["state"].items():
            p = by_number.get(key)
            if p is None:
                state[key] = held
            else:
                state[p] = {n: _loaded(p, n, v) for n, v in held.items()}
        loaded = []
        for g, s in zip(groups, saved, strict=True):
            group = copy.deepcopy({k: v for k, v in s.items() if k != "params"})
            if "param_names" in g:
                group.setdefault("param_names", g["param_names"])
            loaded.append({**group, "params": g["params"]})
        self.__setstate__({"state": state, "param_groups": loaded})
        for hook in self._load_post.values():
            hook(self)


def _number(value: Any) -> float:
    """A counter as a Python number; one that the step has written is read without a copy."""
    if not isinstance(value, TensorBase):
        return float(value)
    array = known_array(value)
    return value.item() if array is None else float(array)


def _loaded(p: Any, name: str, value: Any) -> Any:
    """A saved state value on the parameter's device and of its type, except for the number of steps: itself, where it is that."""
    if isinstance(value, dict):
        return {n: _loaded(p, name, v) for n, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_loaded(p, name, v) for v in value)
    if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    if isinstance(value, np.ndarray):
        value = tensor_of(value.copy())
    if not isinstance(value, TensorBase):
        return value
    with no_grad():
        if name == "step":
            return value.to("cpu")
        dtype = aval(p).dtype
        return _beside(p, value.to(dtype) if dtype.is_floating_point else value)


def _beside(p: Any, value: Any) -> Any:
    """A state tensor where its parameter is; one of the parameter's shape is spread alike."""
    spread = sharding_of(p)
    if spread is None:
        return value.to(p.device)
    if aval(value).shape != aval(p).shape:
        return value.to(aval(p).placement) if aval(value).placement != aval(p).placement else value
    now = sharding_of(value)
    return value if now is not None and now.is_equivalent_to(spread, value.dim()) else value.to(spread)


def _use_grad_for_differentiable(step: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of ``step`` in optimizers of other packages: gradients are on in it only for ``differentiable``."""

    @functools.wraps(step)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with enable_grad() if self.defaults.get("differentiable") else no_grad():
            return step(self, *args, **kwargs)

    return call


def _default_to_fused_or_foreach(params: Any, differentiable: bool, use_fused: bool = False) -> tuple[bool, bool]:
    """Neither: a step is one program anyway."""
    return False, False

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

from jaxnn.core.engine import cut
from jaxnn.core.grad_mode import enable_grad, no_grad
from jaxnn.core.handle import TensorBase, aval, host_array
from jaxnn.core.immediate import tensor_of

from .step import Bucket, update

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

_global_pre: OrderedDict[int, Any] = OrderedDict()
_global_post: OrderedDict[int, Any] = OrderedDict()
_hook_ids = itertools.count()


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class _Handle:
    """Removes a hook."""

    def __init__(self, hooks: Any, key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Remove the hook; a second call does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()


def _add(hooks: Any, hook: Any, first: bool = False) -> _Handle:
    key = next(_hook_ids)
    hooks[key] = hook
    if first:
        hooks.move_to_end(key, last=False)
    return _Handle(hooks, key)


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> _Handle:
    """Call ``hook(optimizer, args, kwargs)`` before every step of every optimizer."""
    return _add(_global_pre, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> _Handle:
    """Call ``hook(optimizer, args, kwargs)`` after every step of every optimizer."""
    return _add(_global_post, hook)


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """A ``step`` with the hooks around it and a cut at its end, once for a call however many classes take part."""

    @functools.wraps(step)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:
            return step(self, *args, **kwargs)
        self._stepping = True
        try:
            args = (self, *args)
            for hook in (*_global_pre.values(), *self._pre_hooks.values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise RuntimeError(
                            f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                        )
                    args, kwargs = changed
            made = step(*args, **kwargs)
            for hook in (*self._post_hooks.values(), *_global_post.values()):
                hook(self, args, kwargs)
        finally:
            self._stepping = False
        cut("optimizer.step()")
        return made

    return hooked


class Optimizer:
    """Base class. A subclass says how a group is updated: `_bucket`, and which states a parameter has: `_states`.

    Raises:
        TypeError: when ``params`` is no iterable of tensors or of groups.
        ValueError: when it is empty, or a parameter is given twice.
    """

    #: Names of the state tensors that a parameter of a group has, beside ``step``.
    _counts_steps = True
    #: What a group from an older state_dict may lack.
    _older: dict[str, Any] = {}
    _stepping = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _hooked(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
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
        groups = list(params)
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

    # --- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with options of its own.

        Raises:
            TypeError: when the group or a parameter has the wrong type.
            ValueError: for a tensor that is no leaf, a missing option, a parameter that another group has.
        """
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
            if aval(p).dtype.is_complex:
                raise NotImplementedError(f"{type(self).__name__}: complex parameters")
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
                    p._grad = None
                else:
                    if p._grad._cell.source is not None:
                        p._grad = p._grad.detach()
                    p._grad.zero_()

    # --- the step

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The state tensors that each parameter of a group has, each of the parameter's shape."""
        raise NotImplementedError

    def _rule(self, group: dict[str, Any], steps: float) -> tuple[Callable[..., Any], Any, tuple[float, ...]]:
        """The formula for parameters of a group after ``steps`` steps, its flags and its numbers: see `Bucket`."""
        raise NotImplementedError

    def as_optax(self) -> optax.GradientTransformation:
        """The update as an optax transformation, for `flax.nnx.Optimizer`, with the first group's options."""
        raise NotImplementedError

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
        buckets = []
        for group in self.param_groups:
            buckets += self._buckets(group)
        if buckets:
            update(buckets)
        return loss

    def _buckets(self, group: dict[str, Any]) -> list[Bucket]:
        """A group's parameters that have a gradient, apart by how many steps they have seen."""
        names = self._state_names(group)
        by_steps: dict[float, list[Any]] = {}
        state = self.state
        for p in group["params"]:
            if p._grad is None:
                continue
            held = state[p] if names or self._counts_steps else {}
            if not held or any(n not in held for n in names):
                self._start(p, held, names)
            by_steps.setdefault(self._steps_of(held), []).append(p)
        made = []
        for steps, params in by_steps.items():
            formula, flags, numbers = self._rule(group, steps)
            states = [[state[p][n] for p in params] for n in names]
            made.append(Bucket(formula, flags, numbers, params, states))
            self._count(params, steps)
        return made

    def _start(self, p: Any, held: dict[str, Any], names: tuple[str, ...]) -> None:
        """Give a parameter its first state: zeros, and no steps."""
        described = aval(p)
        if self._counts_steps:
            held.setdefault("step", _step_tensor(0.0))
        for n in names:
            if n not in held:
                held[n] = host_array(np.zeros(described.shape, described.np), described.placement)

    def _steps_of(self, held: dict[str, Any]) -> float:
        if not self._counts_steps:
            return 0.0
        step = held["step"]
        if not isinstance(step, TensorBase):
            return float(step)
        buffer = step._storage.buf
        return float(buffer.array) if buffer is not None and step._storage.rec is None else step.item()

    def _count(self, params: list[Any], steps: float) -> None:
        if self._counts_steps:
            step = _step_tensor(steps + 1)  # one for all: `state_dict` hands out copies
            for p in params:
                self.state[p]["step"] = step

    # --- hooks

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> _Handle:
        """Call ``hook(optimizer, args, kwargs)`` before every step."""
        return _add(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> _Handle:
        """Call ``hook(optimizer, args, kwargs)`` after every step."""
        return _add(self._post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> _Handle:
        """Call ``hook(optimizer)`` before `state_dict`."""
        return _add(self._state_dict_pre, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> _Handle:
        """Call ``hook(optimizer, state_dict)`` after `state_dict`; what it returns replaces the result."""
        return _add(self._state_dict_post, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> _Handle:
        """Call ``hook(optimizer, state_dict)`` before `load_state_dict`; what it returns replaces the argument."""
        return _add(self._load_pre, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> _Handle:
        """Call ``hook(optimizer)`` after `load_state_dict`."""
        return _add(self._load_post, hook, prepend)

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
            if self._counts_steps and "step" in held:
                state[key]["step"] = _step_tensor(self._steps_of(held))
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


def _step_tensor(value: float) -> Any:
    return tensor_of(np.array(value, np.float32))


def _loaded(p: Any, name: str, value: Any) -> Any:
    """A saved state value as ours: on the parameter's device and of its type, except for the number of steps."""
    if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    if isinstance(value, np.ndarray):
        value = tensor_of(value.copy())
    if not isinstance(value, TensorBase):
        return value
    with no_grad():
        value = value.detach().clone()
        if name == "step":
            return value.to("cpu")
        return value.to(device=p.device, dtype=p.dtype if aval(p).dtype.is_floating_point else None)

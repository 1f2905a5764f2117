"""`FullyShardedDataParallel`: a wrapper that divides its module's parameters over a mesh, as `fully_shard` does without one.

Parameters stay one global tensor each, where PyTorch makes one flat tensor of them: what ``use_orig_params=True`` gives there.

Source: https://docs.pytorch.org/docs/stable/fsdp.html
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import META
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.nn.containers import ModuleDict, ModuleList
from jaxnn.nn.module import Module
from jaxnn.nn.parameter import Parameter
from jaxnn.nn.utils import clip_grad_norm_
from jaxnn.support.trees import map_leaves

from .api import (
    BackwardPrefetch,
    CPUOffload,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    LocalOptimStateDictConfig,
    LocalStateDictConfig,
    MixedPrecision,
    ShardedOptimStateDictConfig,
    ShardedStateDictConfig,
    ShardingStrategy,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)  # fmt: skip
from .full_parameters import full_tensors, whole
from .fully_shard import ShardedState, called, divide
from .meshes import mesh_for
from .optimizer_states import OptimizerStates, OptimStateKeyType
from .policies import MixedPrecisionPolicy
from .wrap import wrap_below

__all__ = [
    "BackwardPrefetch", "CPUOffload", "FullOptimStateDictConfig", "FullStateDictConfig", "FullyShardedDataParallel",
    "LocalOptimStateDictConfig", "LocalStateDictConfig", "MixedPrecision", "OptimStateKeyType", "ShardedOptimStateDictConfig",
    "ShardedStateDictConfig", "ShardingStrategy", "StateDictConfig", "StateDictSettings", "StateDictType",
]  # fmt: skip

_WRAPPED = "_fsdp_wrapped_module"
#: The kind of state_dict -> what it may be told, of a model and of an optimizer.
_CONFIGS: dict[StateDictType, tuple[Any, Any]] = {
    StateDictType.FULL_STATE_DICT: (FullStateDictConfig, FullOptimStateDictConfig),
    StateDictType.LOCAL_STATE_DICT: (LocalStateDictConfig, LocalOptimStateDictConfig),
    StateDictType.SHARDED_STATE_DICT: (ShardedStateDictConfig, ShardedOptimStateDictConfig),
}
_DEFAULT = StateDictSettings(StateDictType.FULL_STATE_DICT, FullStateDictConfig(), FullOptimStateDictConfig())


class FullyShardedDataParallel(Module, OptimizerStates):
    """Calls ``module``, whose parameters, gradients and optimizer states are divided over a mesh.

    A call takes this process's inputs and gives its outputs; gradients are those of the mean over the processes. Names of
    state_dicts are those of the module without wrappers. Parameters are divided as `fully_shard` says.

    Args:
        module: what to call.
        process_group: the processes; for the hybrid strategies a pair: those that divide, those that replicate.
        sharding_strategy: FULL_SHARD by default.
        cpu_offload: whether parameters are on the host; accepted on CPUs.
        auto_wrap_policy: which submodules are wrapped first: a `ModuleWrapPolicy`, a `CustomPolicy`, or a function (see `wrap`).
        backward_prefetch, forward_prefetch, limit_all_gathers: hints; XLA decides when parameters are gathered.
        mixed_precision: the types in which the module computes.
        ignored_modules: modules whose parameters are replicated.
        param_init_fn: called with each module that has parameters on ``meta``, to make them; by default ``reset_parameters``.
        device_id: the device, whose type the mesh has.
        sync_module_states: whether to begin with the parameters and buffers of process 0.
        use_orig_params: a hint; parameters are always the module's own.
        ignored_states: parameters, or modules, that are replicated.
        device_mesh: of one dimension; of two for the hybrid strategies. All devices by default.

    Raises:
        ValueError: for arguments that exclude each other, modules that are wrapped already, and meshes that do not fit the strategy.
        TypeError: for ignored modules or states of other types.
        NotImplementedError: for ``cpu_offload`` on accelerators, and ``keep_low_precision_grads``.

    Source: https://docs.pytorch.org/docs/stable/fsdp.html#torch.distributed.fsdp.FullyShardedDataParallel
    """

    def __init__(
        self, module: Any, process_group: Any = None, sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: CPUOffload | None = None, auto_wrap_policy: Any = None,
        backward_prefetch: BackwardPrefetch | None = BackwardPrefetch.BACKWARD_PRE, mixed_precision: MixedPrecision | None = None,
        ignored_modules: Iterable[Any] | None = None, param_init_fn: Any = None, device_id: Any = None,
        sync_module_states: bool = False, forward_prefetch: bool = False, limit_all_gathers: bool = True,
        use_orig_params: bool = False, ignored_states: Iterable[Any] | None = None, device_mesh: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        modules, parameters = _ignored(module, ignored_modules, ignored_states)
        mesh = mesh_for(module, strategy, process_group, device_mesh, device_id)
        precision = mixed_precision or MixedPrecision()
        if precision.keep_low_precision_grads:
            raise NotImplementedError("MixedPrecision(keep_low_precision_grads=True) is not supported")
        if cpu_offload is not None and cpu_offload.offload_params and mesh.device_type != "cpu":
            raise NotImplementedError("FullyShardedDataParallel(cpu_offload=CPUOffload(True)) is not supported on accelerators")
        if strategy is ShardingStrategy.NO_SHARD:
            warnings.warn("The `NO_SHARD` sharding strategy is deprecated. If having issues, please use `DistributedDataParallel` "
                          "instead.", FutureWarning, stacklevel=2)  # fmt: skip
        if auto_wrap_policy is not None:
            options = {
                "sharding_strategy": strategy, "cpu_offload": cpu_offload, "backward_prefetch": backward_prefetch,
                "mixed_precision": mixed_precision, "param_init_fn": param_init_fn, "device_id": device_id,
                "sync_module_states": sync_module_states, "forward_prefetch": forward_prefetch, "limit_all_gathers": limit_all_gathers,
                "use_orig_params": use_orig_params, "ignored_states": parameters, "process_group": process_group,
                "device_mesh": device_mesh,
            }  # fmt: skip
            _wrap_submodules(module, auto_wrap_policy, modules, options, precision)
        elif isinstance(module, (ModuleList, ModuleDict)) and type(module).forward is Module.forward:
            warnings.warn(
                f"FSDP will not all-gather parameters for containers that do not implement forward: {module}", stacklevel=2
            )
        _make_parameters(module, param_init_fn)
        if sync_module_states and jax.process_count() > 1:
            _take_those_of_first(module)
        policy = MixedPrecisionPolicy(precision.param_dtype)
        self._fsdp: ShardedState = divide(
            module, mesh, policy, {id(p) for p in parameters}, whole=strategy is ShardingStrategy.NO_SHARD
        )
        self._fsdp_wrapped_module = module
        self.sharding_strategy, self.mixed_precision = strategy, precision
        self.process_group, self._device_mesh = process_group, mesh
        self._is_root: bool | None = None
        self._widens = False  # inputs to float32, outputs back
        self._summoned = False
        self._settings: StateDictSettings | None = None
        self._first_types: dict[int, Any] = {}
        self._register_state_dict_hook(_saved)
        self.register_load_state_dict_pre_hook(_loading)

    @property
    def module(self) -> Any:
        """What is wrapped."""
        return self._fsdp_wrapped_module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == _WRAPPED:
                raise
            return getattr(self._fsdp_wrapped_module, name)

    def __getitem__(self, key: Any) -> Any:
        return self._fsdp_wrapped_module[key]

    # --- calls

    def _begin(self) -> None:
        """The outermost wrapper is the one that is used first."""
        if self._is_root is not None:
            return
        for m in self.fsdp_modules(self):
            m._is_root = m is self
            kind = m.mixed_precision.buffer_dtype
            for b in _own_buffers(m) if kind is not None else ():
                if b.is_floating_point() and b.dtype is not kind:
                    m._first_types[id(b)] = b.dtype
                    b.data = b.data.to(kind)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives for this process's inputs."""
        self._begin()
        precision = self.mixed_precision
        casts = precision.cast_root_forward_inputs if self._is_root else precision.cast_forward_inputs
        state = self._fsdp._replace(policy=MixedPrecisionPolicy(precision.param_dtype, cast_forward_inputs=casts))
        before: list[Any] = []
        if self._widens:
            args, kwargs = map_leaves(lambda t: _widened(t, before), args), map_leaves(lambda t: _widened(t, before), kwargs)
        result = called(self._fsdp_wrapped_module, state, self._fsdp_wrapped_module, args, kwargs)
        if before:
            result = map_leaves(lambda t: t.to(before[0]) if isinstance(t, TensorBase) and t.is_floating_point() else t, result)  # type: ignore[attr-defined]
        return result

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A hint: gradients that are accumulated are reduced in each backward, with the same sum.

        Raises:
            RuntimeError: for a wrapper inside another one.
        """
        self._begin()
        if not self._is_root:
            raise RuntimeError("`no_sync()` on inner FSDP instances is not supported. Please call `no_sync()` on root FSDP module.")
        yield

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Any:
        """Scale all gradients down to a norm; gives the norm that they had, of all parts.

        Raises:
            RuntimeError: for a wrapper inside another one.
        """
        self._begin()
        if not self._is_root:
            raise RuntimeError("`clip_grad_norm_()` should only be called on the root FSDP instance")
        norm: Any = clip_grad_norm_(self.parameters(), max_norm, norm_type)
        return whole([norm.detach()])[0]

    def register_comm_hook(self, state: object, hook: Any) -> None:
        """Refuses.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("FullyShardedDataParallel.register_comm_hook: XLA moves the bytes, within one program")

    def check_is_root(self) -> bool:
        """Whether this wrapper is the outermost."""
        self._begin()
        return bool(self._is_root)

    @staticmethod
    def fsdp_modules(module: Any, root_only: bool = False) -> list[FullyShardedDataParallel]:
        """The wrappers of a model, itself among them; or those alone that are in no other."""
        found = [m for m in module.modules() if isinstance(m, FullyShardedDataParallel)]
        if not root_only:
            return found
        inside = {id(m) for outer in found for m in outer.modules() if m is not outer}
        return [m for m in found if id(m) not in inside]

    # --- whole parameters

    @staticmethod
    @contextlib.contextmanager
    def summon_full_params(
        module: Any, recurse: bool = True, writeback: bool = True, rank0_only: bool = False, offload_to_cpu: bool = False,
        with_grads: bool = False,
    ) -> Iterator[None]:  # fmt: skip
        """A block in which parameters are whole, in each process; a call for all of them.

        Args:
            module: a model with wrappers in it.
            recurse: whether those below the outermost count.
            writeback: whether what is written to them stays; each process's part counts.
            rank0_only: whether only process 0 gets them.
            offload_to_cpu: whether they are on the CPU.
            with_grads: whether gradients are whole, too.

        Raises:
            NotImplementedError: for ``writeback`` with ``rank0_only``, and ``with_grads`` with ``offload_to_cpu``.
        """
        if writeback and rank0_only:
            raise NotImplementedError("writeback=True and rank0_only=True is not supported")
        if with_grads and offload_to_cpu:
            raise NotImplementedError(f"with_grads={with_grads}, offload_to_cpu={offload_to_cpu} is not supported")
        units = FullyShardedDataParallel.fsdp_modules(module, root_only=not recurse)
        for unit in units:
            unit._begin()
        held = [p for unit in units for p in _own_parameters(unit)]
        with full_tensors(held, writeback, rank0_only, offload_to_cpu, with_grads):
            for unit in units:
                unit._summoned = True
            try:
                yield
            finally:
                for unit in units:
                    unit._summoned = False

    def apply(self, fn: Any) -> FullyShardedDataParallel:
        """Call ``fn`` with every module below, then with this one; their parameters are whole meanwhile."""
        if self._summoned:
            return super().apply(fn)
        with self.summon_full_params(self):
            super().apply(fn)
        return self

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """All parameters with their names; while they are whole, names are those without wrappers."""
        for name, p in super().named_parameters(*args, **kwargs):
            yield name.replace(f"{_WRAPPED}.", "") if self._summoned else name, p

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """All buffers with their names, as `named_parameters`."""
        for name, b in super().named_buffers(*args, **kwargs):
            yield name.replace(f"{_WRAPPED}.", "") if self._summoned else name, b

    # --- state_dicts

    @staticmethod
    def set_state_dict_type(
        module: Any, state_dict_type: StateDictType, state_dict_config: Any = None, optim_state_dict_config: Any = None
    ) -> StateDictSettings:
        """Choose what state_dicts of a model are from now on. Returns what they were.

        Raises:
            RuntimeError: for configurations of another type.
            NotImplementedError: for LOCAL_STATE_DICT.
        """
        if state_dict_type is StateDictType.LOCAL_STATE_DICT:
            raise NotImplementedError("StateDictType.LOCAL_STATE_DICT is not supported, SHARDED_STATE_DICT holds each process's parts")
        configs = []
        for what, wanted, given in zip(("state_dict", "optim_state_dict"), _CONFIGS[state_dict_type],
                                       (state_dict_config, optim_state_dict_config), strict=True):  # fmt: skip
            made = wanted() if given is None else given
            if type(made) is not wanted:
                raise RuntimeError(f"Expected {what}_config of type {wanted} but got {type(made)}")
            configs.append(made)
        before = FullyShardedDataParallel.get_state_dict_type(module)
        for m in FullyShardedDataParallel.fsdp_modules(module):
            m._settings = StateDictSettings(state_dict_type, *configs)
        return before

    @staticmethod
    def get_state_dict_type(module: Any) -> StateDictSettings:
        """What state_dicts of a model are."""
        units = FullyShardedDataParallel.fsdp_modules(module, root_only=True)
        return (units[0]._settings if units else None) or _DEFAULT

    @staticmethod
    @contextlib.contextmanager
    def state_dict_type(
        module: Any, state_dict_type: StateDictType, state_dict_config: Any = None, optim_state_dict_config: Any = None
    ) -> Iterator[None]:
        """A block in which state_dicts of a model are what `set_state_dict_type` would make them."""
        units = FullyShardedDataParallel.fsdp_modules(module)
        before = [m._settings for m in units]
        FullyShardedDataParallel.set_state_dict_type(module, state_dict_type, state_dict_config, optim_state_dict_config)
        try:
            yield
        finally:
            for m, settings in zip(units, before, strict=True):
                m._settings = settings

    @contextlib.contextmanager
    def spread_states(self) -> Iterator[None]:
        """A block in which this wrapper's state_dict has its tensors as they lie, whatever was chosen."""
        before = self._settings
        self._settings = StateDictSettings(
            StateDictType.SHARDED_STATE_DICT, ShardedStateDictConfig(), ShardedOptimStateDictConfig(offload_to_cpu=False)
        )
        try:
            yield
        finally:
            self._settings = before


def _ignored(module: Any, modules: Iterable[Any] | None, states: Iterable[Any] | None) -> tuple[set[Any], list[Any]]:
    """The modules and the parameters that are left alone."""
    if modules is not None and states is not None:
        raise ValueError("Cannot pass both ignored_modules and ignored_states at the same time. Please just pass ignored_states.")
    given, parameters = list(modules or ()), []
    for m in given:
        if not isinstance(m, Module):
            raise ValueError(f"ignored_modules expects nn.Module list elements but got type {type(m)}")
    found = list(states or ())
    if found and all(isinstance(s, Module) for s in found):
        given = found
    elif all(isinstance(s, Parameter) for s in found):
        parameters = found
    else:
        raise ValueError(
            f"ignored_states expects all nn.Parameter or all nn.Module list elements but got types {sorted({str(type(s)) for s in found})}"
        )
    if any(isinstance(m, FullyShardedDataParallel) for m in given):
        raise ValueError("`ignored_modules` should not include FSDP modules")
    below = {m for one in given for m in one.modules()}
    return below, parameters + [p for m in below for p in m.parameters(recurse=False)]


def _wrap_submodules(module: Any, policy: Any, ignored: set[Any], options: dict[str, Any], precision: MixedPrecision) -> None:
    for name, m in module.named_modules():
        if isinstance(m, FullyShardedDataParallel):
            raise ValueError(f"FSDP auto wrapping requires modules to not already have FSDP applied but found {name} in\n{module}")
    mixed = any(kind is not None for kind in (precision.param_dtype, precision.reduce_dtype, precision.buffer_dtype))
    kept = tuple(precision._module_classes_to_ignore) if mixed else ()
    apart = [m for m in module.modules() if isinstance(m, kept)] if kept else []
    if apart:
        warnings.warn(
            "Both mixed precision and an auto_wrap_policy were specified to FSDP, where the wrapped module has submodules of type:\n"
            f"{ {type(m) for m in apart} }\nThese modules will be wrapped as separate FSDP instances with mixed precision disabled.",
            stacklevel=3,
        )
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if child in apart and child not in ignored:
                    made = FullyShardedDataParallel(child, **{**options, "mixed_precision": None})
                    made._widens = True
                    setattr(parent, name, made)
                    ignored = {*ignored, made, child}
    own = {id(p) for p in options["ignored_states"]}
    wrap_below(module, policy, FullyShardedDataParallel, ignored, own, options)


def _make_parameters(module: Any, param_init_fn: Any) -> None:
    """Give values to what lies on ``meta``, module by module."""
    for m in module.modules():
        own = [*m.parameters(recurse=False), *m.buffers(recurse=False)]
        if not any(aval(t).placement is META for t in own):
            continue
        if param_init_fn is not None:
            param_init_fn(m)
            continue
        if not hasattr(m, "reset_parameters"):
            raise RuntimeError(
                f"{type(m).__name__} has parameters on the meta device and no reset_parameters(): pass `param_init_fn` to FSDP"
            )
        m.to_empty(device="cpu", recurse=False)
        with no_grad():
            m.reset_parameters()


def _take_those_of_first(module: Any) -> None:
    """Make parameters and buffers what process 0 has."""
    found = [t for t in (*module.parameters(), *module.buffers()) if isinstance(aval(t).placement, jax.Device)]
    with x64(True):
        values = multihost_utils.broadcast_one_to_all([np.asarray(value_of(t)) for t in found])
    with no_grad():
        for t, value in zip(found, values, strict=True):
            t.data = tensor_of(np.asarray(value))


def _own_parameters(unit: FullyShardedDataParallel) -> list[Any]:
    inner = unit._fsdp_wrapped_module
    return [inner.get_submodule(path).__dict__[name] for path, name in unit._fsdp.managed]


def _own_buffers(unit: FullyShardedDataParallel) -> list[Any]:
    inside = {id(b) for m in unit.fsdp_modules(unit) if m is not unit for b in m.buffers()}
    return [b for b in unit.buffers() if id(b) not in inside]


def _widened(t: Any, before: list[Any]) -> Any:
    if not isinstance(t, TensorBase) or not t.is_floating_point():  # type: ignore[attr-defined]
        return t
    before.append(aval(t).dtype)
    return t.to(dtypes.float32)  # type: ignore[attr-defined]


def _saved(module: Any, state_dict: Any, prefix: str, local_metadata: Any) -> Any:
    """After a state_dict was collected: names without the wrapper, tensors as was chosen."""
    module._begin()
    chosen = module._settings or _DEFAULT
    inner = f"{prefix}{_WRAPPED}."
    mine = {k: state_dict.pop(k) for k in list(state_dict) if k.startswith(inner)}
    kinds = {name: module._first_types.get(id(b)) for name, b in module._fsdp_wrapped_module.named_buffers()}
    for k, t in mine.items():
        kind = kinds.get(k[len(inner) :])
        mine[k] = t.to(kind) if kind is not None else t
    if chosen.state_dict_type is StateDictType.FULL_STATE_DICT:
        mine = dict(zip(mine, whole(list(mine.values()), chosen.state_dict_config.offload_to_cpu), strict=True))
        if getattr(chosen.state_dict_config, "rank0_only", False) and jax.process_index():
            mine = {}
    elif chosen.state_dict_config.offload_to_cpu:
        mine = {k: t.cpu() for k, t in mine.items()}
    for k, t in mine.items():
        state_dict[prefix + k[len(inner) :]] = t
    if hasattr(state_dict, "_metadata"):
        state_dict._metadata.pop(prefix[:-1] + ("." if prefix else "") + _WRAPPED, None)
    return state_dict


def _loading(module: Any, state_dict: Any, prefix: str, *others: Any) -> None:
    """Before a state_dict is loaded: names with the wrapper."""
    inner = f"{prefix}{_WRAPPED}."
    for k in [k for k in state_dict if k.startswith(prefix) and not k.startswith(inner)]:
        state_dict[inner + k[len(prefix) :]] = state_dict.pop(k)

"""State_dicts of models and optimizers by names, whatever they are wrapped in and however they are spread.

Source: https://docs.pytorch.org/docs/stable/distributed.checkpoint.html#torch.distributed.checkpoint.state_dict.get_state_dict
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.device import META
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.optim.optimizer import Optimizer

from ..tensor.dtensor import is_on_mesh

__all__ = [
    "StateDictOptions", "get_model_state_dict", "get_optimizer_state_dict", "get_state_dict", "set_model_state_dict",
    "set_optimizer_state_dict", "set_state_dict",
]  # fmt: skip


@dataclass
class StateDictOptions:
    """What a state_dict holds.

    Attributes:
        full_state_dict: whole tensors, not spread ones.
        cpu_offload: tensors on the CPU; with ``full_state_dict`` only process 0 gets any.
        ignore_frozen_params: without parameters that require no gradient.
        keep_submodule_prefixes: True.
        strict: whether the keys must be exactly the model's.
        broadcast_from_rank0: process 0 has the state, the others get it.
        flatten_optimizer_state_dict: one flat dictionary of an optimizer's state, with names of parameters in the keys.
        dsd_fqn_modifiers: ``"_fqn_modifiers"``.
    """

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


_WRAPPERS = re.compile(r"(^|\.)(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)(?=\.)")


def _plain(name: str, model: Any) -> str:
    """A name without what wrappers add to it."""
    name = _WRAPPERS.sub(r"\1", name).replace("..", ".").lstrip(".")
    return name.removeprefix("module.") if type(model).__name__ in ("DistributedDataParallel", "DataParallel") else name


def _options(options: StateDictOptions | None, submodules: Any = None) -> StateDictOptions:
    found = options or StateDictOptions()
    if submodules:
        raise NotImplementedError("get_state_dict(submodules=...) is not supported, take the submodule's own state_dict")
    if not found.keep_submodule_prefixes:
        raise NotImplementedError("StateDictOptions(keep_submodule_prefixes=False) is not supported")
    if found.dsd_fqn_modifiers != StateDictOptions.dsd_fqn_modifiers:
        raise NotImplementedError("StateDictOptions(dsd_fqn_modifiers=...) is not supported")
    return found


def _shown(value: Any, options: StateDictOptions) -> Any:
    """A value as the options ask for it."""
    if isinstance(value, dict):
        return {k: _shown(v, options) for k, v in value.items()}
    if not isinstance(value, TensorBase):
        return value
    shown: Any = value.detach()  # type: ignore[attr-defined]
    if options.full_state_dict and is_on_mesh(value):
        shown = shown.full_tensor()
    if options.cpu_offload:
        if options.full_state_dict:
            return tensor_of(np.array(value_of(shown)))
        shown = shown.cpu()
    return shown


def _left_out(options: StateDictOptions) -> bool:
    return options.full_state_dict and options.cpu_offload and jax.process_index() != 0


def _spread_state(model: Any) -> Any:
    """A model's state_dict of tensors as they lie, where `FullyShardedDataParallel` would gather them."""
    with contextlib.ExitStack() as blocks:
        for m in model.modules():
            if hasattr(type(m), "spread_states"):
                blocks.enter_context(m.spread_states())
        return model.state_dict()


def get_model_state_dict(model: Any, *, submodules: Any = None, options: StateDictOptions | None = None) -> dict[str, Any]:
    """A model's state_dict, its keys without what wrappers add; a call for all processes.

    Args:
        model: the model.
        submodules: None.
        options: what it holds.
    """
    chosen = _options(options, submodules)
    frozen = {_plain(n, model) for n, p in model.named_parameters() if not p.requires_grad} if chosen.ignore_frozen_params else ()
    found = {_plain(k, model): _shown(v, chosen) for k, v in _spread_state(model).items()}
    return {} if _left_out(chosen) else {k: v for k, v in found.items() if k not in frozen}


def named_parameters_of(model: Any) -> dict[int, str]:
    """The names of a model's parameters without what wrappers add, by identity."""
    return {id(p): _plain(n, model) for n, p in model.named_parameters()}


def _several(optimizers: Any) -> list[Any]:
    return [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)


def begin(optimizer: Any) -> None:
    """Give an optimizer that has not stepped its first state: what a checkpoint is read into."""
    if optimizer.state:
        return
    for group in optimizer.param_groups:
        try:
            names = optimizer._state_names(group)
        except NotImplementedError:  # its state has another form (LBFGS)
            continue
        for p in group["params"]:
            if p.requires_grad and (names or optimizer._counters):
                optimizer._start(p, optimizer.state[p], names, group)


def get_optimizer_state_dict(
    model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The state_dict of an optimizer, or of several, with names of parameters instead of numbers; a call for all processes.

    Args:
        model: whose parameters they update.
        optimizers: one, or several.
        submodules: None.
        options: what it holds.

    Returns:
        ``{"state": {name: {...}}, "param_groups": [{"params": [name, ...], ...}]}``, or one flat dictionary.
    """
    chosen = _options(options, submodules)
    names = named_parameters_of(model)
    state: dict[str, Any] = {}
    groups: list[Any] = []
    for optimizer in _several(optimizers):
        begin(optimizer)
        params = [p for group in optimizer.param_groups for p in group["params"]]
        saved = optimizer.state_dict()
        for number, held in saved["state"].items():
            state[names[id(params[number])]] = _shown(held, chosen)
        groups += [{**g, "params": [names[id(params[n])] for n in g["params"]]} for g in saved["param_groups"]]
    if _left_out(chosen):
        return {}
    if not chosen.flatten_optimizer_state_dict:
        return {"state": state, "param_groups": groups}
    flat = {f"state.{name}.{key}": value for name, held in state.items() for key, value in held.items()}
    for g in groups:
        for name in g["params"]:
            flat |= {f"param_groups.{name}.{key}": value for key, value in g.items() if key != "params"}
    return flat


def get_state_dict(
    model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`get_model_state_dict` and `get_optimizer_state_dict`."""
    return (
        get_model_state_dict(model, submodules=submodules, options=options),
        get_optimizer_state_dict(model, optimizers, submodules=submodules, options=options),
    )


def _from_first(value: Any, like: TensorBase) -> Any:
    """Process 0's value, on all."""
    described = aval(like)
    with x64(True):
        mine = np.zeros(tuple(described.shape), described.np) if value is None else np.asarray(value_of(value))
        return tensor_of(np.asarray(multihost_utils.broadcast_one_to_all(mine)))


def set_model_state_dict(model: Any, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None) -> Any:
    """Load a state_dict, whole or spread, into a model; its tensors stay spread as they are. Returns the keys that do not fit.

    Args:
        model: the model; one on ``meta`` takes the tensors of the state_dict as they are.
        model_state_dict: by names without what wrappers add.
        options: ``strict``, and ``broadcast_from_rank0``.
    """
    chosen = _options(options)
    given = dict(model_state_dict)
    own = {_plain(k, model): (k, t) for k, t in _spread_state(model).items()}
    if chosen.broadcast_from_rank0 and jax.process_count() > 1:
        given = {k: _from_first(given.get(k), t) for k, (_, t) in own.items()}
    frozen = {_plain(n, model) for n, p in model.named_parameters() if not p.requires_grad} if chosen.ignore_frozen_params else ()
    for k in frozen:
        given.setdefault(k, own[k][1])
    empty = any(aval(t).placement is META for _, t in own.values())
    return model.load_state_dict({own[k][0] if k in own else k: v for k, v in given.items()}, strict=chosen.strict, assign=empty)


def set_optimizer_state_dict(
    model: Any, optimizers: Any, optim_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> None:
    """Load what `get_optimizer_state_dict` gave, flat or not; states are spread as their parameters are.

    Args:
        model: whose parameters they update.
        optimizers: one, or several.
        optim_state_dict: by names of parameters.
        options: as for `get_optimizer_state_dict`.

    Raises:
        KeyError: for a parameter that the state does not know.
        NotImplementedError: for ``broadcast_from_rank0`` with several processes.
    """
    chosen = _options(options)
    if chosen.broadcast_from_rank0 and jax.process_count() > 1:
        raise NotImplementedError("set_optimizer_state_dict: StateDictOptions(broadcast_from_rank0=True) with several processes")
    names = named_parameters_of(model)
    with no_grad():
        for optimizer in _several(optimizers):
            optimizer.load_state_dict(numbered(optimizer, names, optim_state_dict))


def numbered(optimizer: Any, names: dict[int, str], given: dict[str, Any]) -> dict[str, Any]:
    """The part of a state that one optimizer has, with numbers of parameters."""
    flat = "param_groups" not in given
    state: dict[int, Any] = {}
    groups = []
    number = 0
    for group in optimizer.param_groups:
        mine = [names[id(p)] for p in group["params"]]
        if flat:
            prefix = f"param_groups.{mine[0]}."
            options = {k[len(prefix) :]: v for k, v in given.items() if k.startswith(prefix)}
        else:
            options = next((g for g in given["param_groups"] if set(mine) & set(g["params"])), None)
            if options is None:
                raise KeyError(f"set_optimizer_state_dict: no group of the state has {mine[0]!r}")
        groups.append({**options, "params": list(range(number, number + len(mine)))})
        for name in mine:
            held = _flat_state(given, name) if flat else given["state"].get(name)
            if held:
                state[number] = dict(held)
            number += 1
    return {"state": state, "param_groups": groups}


def _flat_state(given: dict[str, Any], name: str) -> dict[str, Any]:
    prefix = f"state.{name}."
    return {k[len(prefix) :]: v for k, v in given.items() if k.startswith(prefix)}


def set_state_dict(
    model: Any, optimizers: Any, *, model_state_dict: dict[str, Any], optim_state_dict: dict[str, Any],
    options: StateDictOptions | None = None,
) -> Any:  # fmt: skip
    """`set_model_state_dict` and `set_optimizer_state_dict`. Returns the model's keys that do not fit."""
    found = set_model_state_dict(model, model_state_dict, options=options)
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return found



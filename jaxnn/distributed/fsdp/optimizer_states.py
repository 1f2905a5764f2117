"""State_dicts of optimizers of a `FullyShardedDataParallel`, by names of parameters.

Args:
    model: the model, with wrappers in it.
    optim: the optimizer of its parameters.
    optim_input: a hint; the optimizer knows its parameters.
    group: a hint; the parameters know their mesh.

Source: https://docs.pytorch.org/docs/stable/fsdp.html
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import jax

from jaxnn.core.memory.tensor_base import TensorBase

from ..checkpoint.state_dict import named_parameters_of, numbered
from ..objects import broadcast_object_list
from .api import FullOptimStateDictConfig, StateDictType
from .full_parameters import whole

__all__ = ["OptimStateKeyType", "OptimizerStates"]


class OptimStateKeyType(Enum):
    """How an optimizer's state_dict calls parameters."""

    PARAM_NAME = auto()
    PARAM_ID = auto()


class OptimizerStates:
    """The functions of `FullyShardedDataParallel` for optimizers."""

    @staticmethod
    def optim_state_dict(model: Any, optim: Any, optim_state_dict: Any = None, group: Any = None) -> dict[str, Any]:
        """An optimizer's state_dict with names, its tensors as `set_state_dict_type` says; a call for all processes.

        Args:
            optim_state_dict: what ``optim.state_dict()`` gave.
        """
        settings = model.get_state_dict_type(model)
        config = settings.optim_state_dict_config
        full = settings.state_dict_type is StateDictType.FULL_STATE_DICT
        return _named(model, optim, optim_state_dict, full, config.offload_to_cpu, getattr(config, "rank0_only", False))

    @staticmethod
    def optim_state_dict_to_load(
        model: Any, optim: Any, optim_state_dict: dict[str, Any], is_named_optimizer: bool = False, load_directly: bool = False,
        group: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """What ``optim.load_state_dict`` takes, of what `optim_state_dict` gave; states come to lie as their parameters.

        Args:
            optim_state_dict: of any kind; with ``rank0_only`` process 0 alone may have one, the others an empty one.
            is_named_optimizer: False.
            load_directly: whether the optimizer loads it at once.

        Raises:
            NotImplementedError: for ``is_named_optimizer``.
        """
        if is_named_optimizer:
            raise NotImplementedError("optim_state_dict_to_load(is_named_optimizer=True) is not supported")
        config = model.get_state_dict_type(model).optim_state_dict_config
        if isinstance(config, FullOptimStateDictConfig) and config.rank0_only:
            optim_state_dict = _those_of_first(optim_state_dict)
        found = _to_load(model, optim, optim_state_dict)
        if load_directly:
            optim.load_state_dict(found)
        return found

    @staticmethod
    def full_optim_state_dict(
        model: Any, optim: Any, optim_input: Any = None, rank0_only: bool = True, group: Any = None
    ) -> dict[str, Any]:
        """An optimizer's state_dict with names, of whole tensors on the CPU; with ``rank0_only`` empty but for process 0."""
        return _named(model, optim, None, True, True, rank0_only)

    @staticmethod
    def sharded_optim_state_dict(model: Any, optim: Any, group: Any = None) -> dict[str, Any]:
        """An optimizer's state_dict with names, of spread tensors."""
        return _named(model, optim, None, False, False, False)

    @staticmethod
    def shard_full_optim_state_dict(
        full_optim_state_dict: dict[str, Any], model: Any, optim_input: Any = None, optim: Any = None
    ) -> dict[str, Any]:
        """What ``optim.load_state_dict`` takes, of what `full_optim_state_dict` gave in each process."""
        return _to_load(model, _needed(optim), full_optim_state_dict)

    @staticmethod
    def scatter_full_optim_state_dict(
        full_optim_state_dict: dict[str, Any] | None, model: Any, optim_input: Any = None, optim: Any = None, group: Any = None
    ) -> dict[str, Any]:
        """What ``optim.load_state_dict`` takes, of what `full_optim_state_dict` gave in process 0."""
        return _to_load(model, _needed(optim), _those_of_first(full_optim_state_dict))

    @staticmethod
    def flatten_sharded_optim_state_dict(sharded_optim_state_dict: dict[str, Any], model: Any, optim: Any) -> dict[str, Any]:
        """What ``optim.load_state_dict`` takes, of what `sharded_optim_state_dict` gave."""
        return _to_load(model, optim, sharded_optim_state_dict)

    @staticmethod
    def rekey_optim_state_dict(
        optim_state_dict: dict[str, Any], optim_state_key_type: OptimStateKeyType, model: Any, optim_input: Any = None, optim: Any = None
    ) -> dict[str, Any]:
        """The same state_dict with names of parameters, or with their numbers.

        Raises:
            ValueError: for another type of key.
        """
        names = list(named_parameters_of(model).values())
        if optim is not None:
            by_id = named_parameters_of(model)
            names = [by_id[id(p)] for g in optim.param_groups for p in g["params"]]
        if optim_state_key_type is OptimStateKeyType.PARAM_NAME:
            table: dict[Any, Any] = dict(enumerate(names))
        elif optim_state_key_type is OptimStateKeyType.PARAM_ID:
            table = {name: k for k, name in enumerate(names)}
        else:
            raise ValueError(f"Invalid optim_state_key_type: {optim_state_key_type}")
        groups = [{**g, "params": sorted(table.get(k, k) for k in g["params"])} for g in optim_state_dict["param_groups"]]
        return {"state": {table.get(k, k): v for k, v in optim_state_dict["state"].items()}, "param_groups": groups}


def _needed(optim: Any) -> Any:
    if optim is None:
        raise ValueError("expected the optimizer as `optim`, which knows its parameters")
    return optim


def _to_load(model: Any, optim: Any, given: dict[str, Any]) -> dict[str, Any]:
    """A state with numbers of parameters, its tensors copied, as PyTorch's are when it flattens them: an optimizer that loads a
    state takes the tensors themselves, which may be those of another one.
    """
    found = numbered(optim, named_parameters_of(model), given)
    state = {
        n: {k: v.detach().clone() if isinstance(v, TensorBase) else v for k, v in held.items()} for n, held in found["state"].items()
    }
    return {**found, "state": state}


def _named(model: Any, optim: Any, given: Any, full: bool, on_cpu: bool, rank0_only: bool) -> dict[str, Any]:
    names = named_parameters_of(model)
    saved = optim.state_dict() if given is None else given
    params = [names[id(p)] for group in optim.param_groups for p in group["params"]]
    flat = [(params[n], key, value) for n, held in saved["state"].items() for key, value in held.items()]
    tensors = [k for k, (_, _, value) in enumerate(flat) if isinstance(value, TensorBase)]
    values: list[Any] = [value for _, _, value in flat]
    if full:
        for k, t in zip(tensors, whole([values[k] for k in tensors], on_cpu), strict=True):
            values[k] = t
    elif on_cpu:
        for k in tensors:
            values[k] = values[k].cpu()
    if full and rank0_only and jax.process_index():
        return {}
    state: dict[str, Any] = {}
    for (name, key, _), value in zip(flat, values, strict=True):
        state.setdefault(name, {})[key] = value
    return {"state": state, "param_groups": [{**g, "params": [params[n] for n in g["params"]]} for g in saved["param_groups"]]}


def _those_of_first(state: Any) -> Any:
    """Process 0's tree of tensors and plain values, in all."""
    held = [state]
    if jax.process_count() > 1:
        broadcast_object_list(held, 0)
    return held[0]

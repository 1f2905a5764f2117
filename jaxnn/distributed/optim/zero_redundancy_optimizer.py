"""ZeRO: each process updates some of the parameters, keeps their states alone, and sends them to the others.

Source: https://arxiv.org/abs/1910.02054; https://docs.pytorch.org/docs/stable/distributed.optim.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.nn.parallel.join import Join, Joinable, JoinHook
from jaxnn.ops.processes import collectives as bodies
from jaxnn.ops.processes.groups import arrays_of, assign, exchange
from jaxnn.optim.optimizer import Optimizer

from ..objects import gather_object
from ..process_group import get_global_rank, member

__all__ = ["ZeroRedundancyOptimizer"]


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """An optimizer in each process for its part of the parameters; gradients are the same in all, as under `DistributedDataParallel`.

    A parameter belongs to one process; the largest are given away first, each to the process that has least.

    Args:
        params: parameters or groups of them, of one type.
        optimizer_class: the optimizer.
        process_group: the processes; None: all.
        parameters_as_bucket_view: a hint.
        overlap_with_ddp: False.
        defaults: the optimizer's options.

    Raises:
        TypeError, ValueError: for other parameters, parameters of different types, no process group.
        NotImplementedError: for ``overlap_with_ddp``.
    """

    _counters = ()

    def __init__(
        self, params: Any, optimizer_class: type[Optimizer], process_group: Any = None, parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False, **defaults: Any,
    ) -> None:  # fmt: skip
        if overlap_with_ddp:
            raise NotImplementedError("ZeroRedundancyOptimizer(overlap_with_ddp=True) is not supported")
        params = _checked(params)
        self.optim: Any = None
        super().__init__(params, defaults)
        self.process_group = member(process_group)
        self.world_size, self.rank = self.process_group.size(), self.process_group.rank()
        self.parameters_as_bucket_view = parameters_as_bucket_view
        self._all_state_dicts: list[dict[str, Any]] = []
        self._parts = self._divided()
        self.optim = optimizer_class(self._groups_of(self.rank), **defaults)  # type: ignore[arg-type]
        self._take_options(self.optim.param_groups, self.param_groups)

    def _divided(self) -> list[list[list[Any]]]:
        """For each group the parameters of each process."""
        sizes = [0] * self.world_size
        made = []
        for group in self.param_groups:
            parts: list[list[Any]] = [[] for _ in sizes]
            for p in sorted(group["params"], key=lambda p: p.numel(), reverse=True):
                rank = sizes.index(min(sizes))
                parts[rank].append(p)
                sizes[rank] += p.numel()
            made.append(parts)
        return made

    def _groups_of(self, rank: int) -> list[dict[str, Any]]:
        return [{**g, "params": parts[rank]} for g, parts in zip(self.param_groups, self._parts, strict=True)]

    def _take_options(self, source: list[dict[str, Any]], target: list[dict[str, Any]]) -> None:
        for a, b in zip(source, target, strict=True):
            b.update({k: v for k, v in a.items() if k != "params"})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with options of its own; in all processes."""
        super().add_param_group(param_group)
        if self.optim is not None:
            self._parts = self._divided()
            self.optim.add_param_group(self._groups_of(self.rank)[-1])

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Update this process's parameters, and take the others' from the others.

        Args:
            closure: computes the loss again; goes to the optimizer, as ``kwargs`` do.
        """
        Join.notify_join_context(self)
        self._take_options(self.param_groups, self.optim.param_groups)
        loss = self.optim.step(**kwargs) if closure is None else self.optim.step(closure=closure, **kwargs)
        self._take_options(self.optim.param_groups, self.param_groups)
        if self.world_size > 1:
            for rank in range(self.world_size):
                params = [p for parts in self._parts for p in parts[rank]]
                arrays = exchange(self.process_group, bodies.broadcast, arrays_of(params, "parameters"), rank) if params else []
                for p, array in zip(params, arrays, strict=True):
                    assign(p, array)
        return loss

    # --- uneven inputs

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What a process does that has no more inputs: steps, with the gradients that it has."""
        return _Steps(self)

    @property
    def join_device(self) -> Any:
        """Where the parameters are."""
        return self.param_groups[0]["params"][0].device

    @property
    def join_process_group(self) -> Any:
        """The processes."""
        return self.process_group

    # --- state_dicts

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Bring all processes' states to one, whose `state_dict` has them then; all have to call it.

        Args:
            to: its rank in the group.
        """
        self._take_options(self.param_groups, self.optim.param_groups)
        held: list[Any] = [None] * self.world_size
        target = get_global_rank(self.process_group, to)
        if self.world_size == 1:
            held[0] = self.optim.state_dict()
        else:
            gather_object(self.optim.state_dict(), held if self.rank == to else None, target, self.process_group)
        self._all_state_dicts = held if self.rank == to else []

    def state_dict(self) -> dict[str, Any]:
        """The state of all parameters, as it was at the last `consolidate_state_dict`.

        Raises:
            RuntimeError: there was none to this process.
        """
        if not self._all_state_dicts:
            raise RuntimeError(
                "Optimizer state has not been consolidated on this rank. "
                f"Please call `consolidate_state_dict(to={self.rank})` on all ranks beforehand if you meant to save the global state."
            )
        found: dict[int, Any] = {}
        for rank, local in enumerate(self._all_state_dicts):
            for group, packed in zip(self._groups_of(rank), local["param_groups"], strict=True):
                for p, number in zip(group["params"], packed["params"], strict=True):
                    if number in local["state"]:
                        found[id(p)] = local["state"][number]
        ordered = [p for g in self.param_groups for p in g["params"]]
        self.state = defaultdict(dict, {p: found[id(p)] for p in ordered if id(p) in found})
        try:
            return super().state_dict()
        finally:
            self.state = defaultdict(dict)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options, and the states of this process's parameters, from the state of all."""
        super().load_state_dict(state_dict)
        for parts in self._parts:
            for p in parts[self.rank]:
                if p in self.state:
                    self.optim.state[p] = self.state[p]
        self.state = defaultdict(dict)
        self._take_options(self.param_groups, self.optim.param_groups)


class _Steps(JoinHook):
    """Takes part in the others' steps."""

    def __init__(self, owner: ZeroRedundancyOptimizer) -> None:
        self.owner = owner

    def main_hook(self) -> None:
        self.owner.step()


def _checked(params: Any) -> list[Any]:
    """Parameters or groups, as a list."""
    if isinstance(params, TensorBase):
        raise TypeError(f"`params` argument should be an iterable of Tensors, but got {params.type()}")  # type: ignore[attr-defined]
    try:
        found = list(params)
    except TypeError as error:
        raise TypeError(f"`params` argument should be an iterable of Tensors or dicts, but got {type(params).__name__}") from error
    if not found:
        raise ValueError("ZeroRedundancyOptimizer got an empty parameter list")
    if not all(isinstance(p, TensorBase) for p in found) and not all(isinstance(p, dict) for p in found):
        raise TypeError("`params` argument should be an iterable of Tensors or dicts")
    if any(isinstance(p, dict) and "params" not in p for p in found):
        raise ValueError(
            "Each parameter group passed-in via `params` must have a 'params' key mapping to the parameters in the group"
        )
    tensors: list[Any] = []
    for entry in found:
        if isinstance(entry, dict):
            entry["params"] = [entry["params"]] if isinstance(entry["params"], TensorBase) else list(entry["params"])
            tensors += entry["params"]
        else:
            tensors.append(entry)
    kinds = list(dict.fromkeys(p.dtype for p in tensors))
    if len(kinds) > 1:
        names = [f"torch.{str(k).removeprefix('torch.')}" for k in kinds]
        raise ValueError(
            f"ZeroRedundancyOptimizer only supports using the same dense type for all parameters but got both {names[0]} and {names[1]}"
        )
    return found

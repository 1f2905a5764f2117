"""`DistributedDataParallel`: one module in each of several processes, whose gradients are averaged when backward ends.

Each process runs programs of its own on its own batch, so a loss is that of this process, as in PyTorch, and what one process reads
or prints concerns no other. They meet in three programs that have nothing but a collective in them: parameters and buffers at the
start, buffers before a forward, gradients at the end of a backward. All lie at fixed places of the loop.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.device import device as device_type
from jaxnn.core.kinds.device import device_of
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation, state, x64
from jaxnn.core.run.policy import GRADIENTS
from jaxnn.ops.processes import collectives as bodies
from jaxnn.ops.processes.groups import ProcessGroup, arrays_of, assign, default_group, exchange, tensor_over
from jaxnn.ops.shapes.join import cat

from ..module import Module
from .grad_bucket import GradBucket, bucketed, split
from .join import Join, Joinable, JoinHook

__all__ = ["DistributedDataParallel"]

_MEGABYTE = 1 << 20
_UNFINISHED = (
    "Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that your module has "
    "parameters that were not used in producing loss. You can enable unused parameter detection by passing the keyword argument "
    "`find_unused_parameters=True` to `torch.nn.parallel.DistributedDataParallel`, and by making sure all `forward` function outputs "
    "participate in calculating loss. Parameters which did not receive grad for rank {rank}: {names}"
)


class DistributedDataParallel(Module, Joinable):
    """Calls ``module``, and averages its parameters' gradients over the processes when a backward ends.

    The keys of its state_dict start with ``module.``, as PyTorch's do. At the start all processes take the parameters and buffers
    of rank 0; before a forward that leads to a backward they take its buffers again.

    Args:
        module: what to call; a parameter of it requires a gradient.
        device_ids, output_device: None, or the one GPU that the module is on.
        dim: a hint.
        broadcast_buffers: whether forward starts with the buffers of rank 0.
        init_sync: whether to start with the parameters and buffers of rank 0.
        process_group: the processes; by default those of `jaxnn.distributed.init_process_group`.
        bucket_cap_mb: about how many megabytes of gradients are sent together; 25 by default.
        find_unused_parameters: whether parameters may be without a gradient in some processes or all. This reads, in each step,
            which are.
        static_graph: whether the same parameters are used in every step; which are is then read in the first one only.
        gradient_as_bucket_view, check_reduction, delay_all_reduce_named_params, skip_all_reduce_unused_params: hints.
        param_to_hook_all_reduce, mixed_precision, device_mesh: None.

    Raises:
        ValueError: there is no process group, or the module is not on the device that is named.
        RuntimeError: no parameter requires a gradient, or parameters have other shapes in another process.
        NotImplementedError: for an argument that has no meaning here.
    """

    def __init__(
        self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
        broadcast_buffers: bool = True, init_sync: bool = True, process_group: Any = None,
        bucket_cap_mb: float | None = None, find_unused_parameters: bool = False, check_reduction: bool = False,
        gradient_as_bucket_view: bool = False, static_graph: bool = False, delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None, mixed_precision: Any = None, device_mesh: Any = None,
        skip_all_reduce_unused_params: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value in (("param_to_hook_all_reduce", param_to_hook_all_reduce), ("mixed_precision", mixed_precision),
                            ("device_mesh", device_mesh)):  # fmt: skip
            if value is not None:
                raise NotImplementedError(f"DistributedDataParallel({name}=...) is not supported")
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameters that require a gradient."
            )
        if bucket_cap_mb is not None and bucket_cap_mb < 0:
            raise ValueError(f"bucket_cap_mb must not be negative, but got {bucket_cap_mb}")
        self.module = module
        self.process_group = default_group() if process_group is None else process_group
        self.device_ids, self.output_device = _checked_devices(module, device_ids, output_device)
        self.dim = dim
        self.device = next(p for p in module.parameters() if p.requires_grad).device
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters
        self.bucket_bytes_cap = int((25 if bucket_cap_mb is None else bucket_cap_mb) * _MEGABYTE)
        self.require_backward_grad_sync = True
        self.require_forward_param_sync = True
        self.gradient_as_bucket_view, self.static_graph = gradient_as_bucket_view, static_graph
        self.parameters_to_ignore = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        self._join_initial = True
        self._reducer = Reducer(self)
        if init_sync and self.process_group.size() > 1:
            self._reducer.check_shapes()
            self._reducer.broadcast([*self._reducer.all_parameters(), *self._reducer.buffers()])

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module gives for this process's inputs."""
        reducer = self._reducer
        if reducer.alone:
            return self.module(*inputs, **kwargs)
        if in_transformation():
            raise NotImplementedError(
                "DistributedDataParallel inside a JAX transformation: it averages gradients when backward() ends. Arrays over a mesh "
                "of all processes' devices need no wrapper there"
            )
        syncs = state.grad_enabled and self.require_backward_grad_sync
        if syncs:
            reducer.check_finished()
        active = Join.notify_join_context(self)
        reducer.count = self.process_group.size() if active is None or self._join_initial else active
        self._sync_buffers(active is not None, True)
        if active is not None:
            reducer.total(int(syncs), "SUM")
        result = self.module(*inputs, **kwargs)
        self.require_forward_param_sync = syncs
        if syncs:
            reducer.expect()
        return result

    def _sync_buffers(self, joining: bool, mine: bool) -> None:
        """Take the buffers of rank 0; where inputs are uneven, of the last process that has some."""
        if self.require_forward_param_sync and self.broadcast_buffers and self._reducer.buffers():
            source = self._reducer.total(self.process_group.rank() if mine else -1, "MAX") if joining else 0
            self._reducer.broadcast(self._reducer.buffers(), source)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block in which gradients are not averaged: they add up in this process until a backward outside of it."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False
    ) -> Any:
        """A block in which processes may have different numbers of inputs: those without take part with zeros.

        Args:
            divide_by_initial_world_size: whether means are over all processes, or over those that still have inputs.
            enable: False makes the block do nothing.
            throw_on_early_termination: whether all raise a RuntimeError as soon as one has no more inputs.
        """
        return Join(
            [self], enable, throw_on_early_termination, divide_by_initial_world_size=divide_by_initial_world_size
        )

    def join_hook(self, **kwargs: Any) -> Any:
        """What a process does that has no more inputs."""
        if self._reducer.hook is not None:
            raise NotImplementedError("DistributedDataParallel.join with a communication hook")
        self._join_initial = kwargs.get("divide_by_initial_world_size", True)
        return _WithoutInputs(self)

    @property
    def join_device(self) -> Any:
        """Where the parameters are."""
        return self.device

    @property
    def join_process_group(self) -> Any:
        """The processes."""
        return self.process_group

    def register_comm_hook(self, state: object, hook: Any) -> None:
        """Let ``hook(state, bucket)`` decide how gradients are sent.

        It is called at the end of a backward for each `GradBucket`, the last parameters' first, and returns a future of the flat
        tensor that the gradients become. It divides by the number of processes itself.

        Raises:
            TypeError: for what can't be called.
            ValueError: for a hook whose annotations are other types.
            RuntimeError: for a second hook.

        Source: https://docs.pytorch.org/docs/stable/ddp_comm_hooks.html
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        signature = inspect.signature(hook)
        given = signature.parameters.get("bucket")
        if given is not None and given.annotation not in (inspect.Parameter.empty, GradBucket, "GradBucket", "dist.GradBucket"):
            raise ValueError("Communication hook: bucket annotation should be dist.GradBucket.")
        if self._reducer.hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self._reducer.hook = functools.partial(hook, state)
        if self._reducer.alone:
            self._reducer.watch()


class _WithoutInputs(JoinHook):
    """Takes part in the collectives of the processes that still have inputs."""

    def __init__(self, owner: DistributedDataParallel) -> None:
        self.owner = owner

    def main_hook(self) -> None:
        owner = self.owner
        owner._sync_buffers(True, False)
        owner.require_forward_param_sync = bool(owner._reducer.total(0, "SUM"))
        if owner.require_forward_param_sync:
            owner._reducer.average_nothing()

    def post_hook(self, is_last_joiner: bool) -> None:
        reducer = self.owner._reducer
        source = reducer.total(reducer.group.rank() if is_last_joiner else -1, "MAX")
        reducer.broadcast([*reducer.all_parameters(), *reducer.buffers()], source)


def _checked_devices(module: Any, device_ids: Any, output_device: Any) -> tuple[Any, Any]:
    """The number of the GPU that a module is on, as a list; None on the CPU."""
    kinds = {device_of(p._storage.aval.placement) for p in module.parameters()}
    if not device_ids and output_device is None:
        return None, None
    if len({d.type for d in kinds}) != 1:
        raise ValueError(
            f"DistributedDataParallel's input module must be on the same type of devices, but input module parameters locate in {kinds}."
        )
    if len(device_ids or ()) > 1 or len(kinds) > 1 or next(iter(kinds)).type == "cpu":
        raise ValueError(
            "DistributedDataParallel device_ids and output_device arguments only work with single-device/multiple-device GPU modules or "
            f"CPU modules, but got device_ids {device_ids}, output_device {output_device}, and module parameters {kinds}."
        )
    numbers = [device_type(d).index or 0 for d in (device_ids or [output_device])]
    return numbers, numbers[0] if output_device is None else device_type(output_device).index or 0


class Reducer:
    """What a `DistributedDataParallel` knows of its gradients: which have come since the last forward, and whether to average them."""

    def __init__(self, owner: DistributedDataParallel) -> None:
        anything: Any = owner  # mypy never ends comparing a module with a function
        self.owner = weakref.proxy(anything)
        self.group: ProcessGroup = owner.process_group
        self.alone = self.group.size() == 1
        self.expecting = False
        self.ready: set[int] = set()
        self.scheduled = False
        self.count = self.group.size()  # what sums are divided by
        self.used: Any = None  # with a static graph: which parameters some process uses
        ignored = owner.parameters_to_ignore
        self.names, self.parameters = [], []
        for name, p in owner.module.named_parameters():
            if p.requires_grad and name not in ignored:
                self.names.append(name)
                self.parameters.append(p)
        self.hook: Any = None  # a communication hook
        if not self.alone:
            self.watch()

    def watch(self) -> None:
        """Be told of gradients."""
        self.alone = False
        for k, p in enumerate(self.parameters):
            p.register_post_accumulate_grad_hook(functools.partial(_came, weakref.ref(self), k))

    def __deepcopy__(self, memo: Any) -> Any:
        raise NotImplementedError("a copy of a DistributedDataParallel: copy its module, and wrap the copy")

    __reduce__: Any = __deepcopy__

    def all_parameters(self) -> list[Any]:
        """The module's parameters, those without gradients among them."""
        return [p for n, p in self.owner.module.named_parameters() if n not in self.owner.parameters_to_ignore]

    def buffers(self) -> list[Any]:
        """The module's buffers."""
        return [b for n, b in self.owner.module.named_buffers() if n not in self.owner.parameters_to_ignore]

    # --- values of rank 0

    def check_shapes(self) -> None:
        """Compare the parameters' shapes and types with those of rank 0.

        Raises:
            RuntimeError: in each process whose are others.
        """
        described = [f"{n} {list(aval(p).shape)} {aval(p).dtype}" for n, p in self.owner.module.named_parameters()]
        mine = np.frombuffer("\n".join(described).encode(), np.uint8)
        (sizes,) = exchange(self.group, bodies.all_gathered, [np.asarray([mine.size], np.int64)])
        longest = int(np.asarray(sizes).max())
        (texts,) = exchange(self.group, bodies.all_gathered, [np.pad(mine, (0, longest - mine.size))])
        theirs = [bytes(row[: int(n)]).decode().split("\n") for row, n in zip(np.asarray(texts), np.asarray(sizes)[:, 0], strict=True)]
        for rank, other in enumerate(theirs):
            if other != described:
                pairs = [(a, b) for a, b in zip(described, other, strict=False) if a != b]
                text = f"{pairs[0][0]} here, {pairs[0][1]} there" if pairs else f"{len(described)} here, {len(other)} there"
                raise RuntimeError(
                    f"DDP expects same model across all ranks, but Rank {self.group.rank()} and rank {rank} have other parameters: {text}"
                )

    def broadcast(self, tensors: Sequence[TensorBase], src: int = 0) -> None:
        """Make tensors what a process has."""
        if tensors:
            arrays = exchange(self.group, bodies.broadcast, arrays_of(tensors, "parameters and buffers of rank 0"), src)
            for t, array in zip(tensors, arrays, strict=True):
                assign(t, array)

    # --- gradients

    def expect(self) -> None:
        """After a forward: a backward's gradients are to be averaged."""
        self.expecting, self.ready = True, set()

    def check_finished(self) -> None:
        """Before a forward.

        Raises:
            RuntimeError: some gradients of the last backward have come and others have not.
        """
        if self.ready:
            missing = [n for k, n in enumerate(self.names) if k not in self.ready]
            raise RuntimeError(_UNFINISHED.format(rank=self.group.rank(), names=", ".join(missing)))

    def came(self, k: int) -> None:
        """The gradient of a parameter has been added to."""
        if not self.expecting:
            return
        if k in self.ready:
            raise RuntimeError(
                f"Expected to mark a variable ready only once. Parameter {self.names[k]} has got a gradient twice since the last forward"
            )
        self.ready.add(k)
        if not self.scheduled:
            self.scheduled = True
            state.last_callbacks.append(self.finish)

    def finish(self) -> None:
        """At the end of a backward: average, if all gradients have come."""
        self.scheduled = False
        if len(self.ready) == len(self.parameters) and not self.owner.find_unused_parameters:
            self.average(range(len(self.parameters)))
        elif self.owner.find_unused_parameters or self.owner.static_graph:
            self.average(self.find_used())
        else:
            return
        self.expecting, self.ready = False, set()

    def find_used(self) -> list[int]:
        """Which parameters some process has a gradient of."""
        if self.used is None or not self.owner.static_graph:
            mine = np.asarray([k in self.ready for k in range(len(self.parameters))], np.int32)
            (used,) = exchange(self.group, bodies.all_reduced, [mine], "SUM")
            self.used = np.flatnonzero(np.asarray(used)).tolist()
        return self.used

    def average_nothing(self) -> None:
        """Take part in the others' mean, with zeros; this process's gradients stay."""
        which = self.find_used() if self.owner.find_unused_parameters else range(len(self.parameters))
        described = [aval(self.parameters[k]) for k in which]
        with x64(True):
            zeros = [jnp.zeros(tuple(d.shape), d.np) for d in described]
        if zeros:
            exchange(self.group, bodies.mean_of_buckets, zeros, self.owner.bucket_bytes_cap, self.group.size())

    def total(self, value: int, op: str) -> int:
        """A number of each process, reduced."""
        (found,) = exchange(self.group, bodies.all_reduced, [np.asarray([value], np.int32)], op)
        return int(np.asarray(found)[0])

    def average(self, which: Sequence[int]) -> None:
        """Make gradients their mean over the processes; one that this process has not counts as zeros."""
        parameters = [self.parameters[k] for k in which]
        if not parameters:
            return
        for p in parameters:
            if p._grad is not None and not isinstance(p._grad, TensorBase):
                raise NotImplementedError("DistributedDataParallel: sparse gradients")
        if self.hook is not None:
            self._hooked(parameters)
            return
        have = [p._grad for p in parameters if p._grad is not None]
        arrays = iter(arrays_of(have, GRADIENTS))
        with x64(True):
            given = [
                jnp.zeros(tuple(aval(p).shape), aval(p).np) if p._grad is None else next(arrays) for p in parameters
            ]
        means = exchange(self.group, bodies.mean_of_buckets, given, self.owner.bucket_bytes_cap, self.count)
        for p, mean in zip(parameters, means, strict=True):
            if p._grad is None:
                p._grad = tensor_over(mean, aval(p))
            else:
                assign(p._grad, mean)


    def _hooked(self, parameters: Sequence[Any]) -> None:
        """Make gradients what the communication hook says; one that this process has not counts as zeros."""
        with no_grad():
            for p in parameters:
                if p._grad is None:
                    p._grad = p.detach() * 0
            groups = bucketed(parameters, self.owner.bucket_bytes_cap)
            buckets = [GradBucket(k, len(groups), cat([p._grad.reshape(-1) for p in g]), g) for k, g in enumerate(groups)]
            for future, members in zip([self.hook(bucket) for bucket in buckets], groups, strict=True):
                for p, found in zip(members, split(future.wait(), members), strict=True):
                    p._grad.copy_(found)


def _came(reducer: Any, k: int, parameter: Any) -> None:
    found = reducer()
    if found is not None:
        found.came(k)

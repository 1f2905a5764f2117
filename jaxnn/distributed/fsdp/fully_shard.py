"""`fully_shard`: parameters, gradients and optimizer states in parts, one on each device.

A parameter stays one global tensor whose array is spread over a mesh. XLA gathers it where it is used and reduces its gradient
to the parts, in one program for the whole step, and overlaps both with computing; when to gather and to free is its choice.

Source: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnn.core.kinds.device import META
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.nn.containers import ModuleDict, ModuleList
from jaxnn.nn.module import Module
from jaxnn.support.trees import map_leaves

from ..device_mesh import DeviceMesh, current_mesh, world_mesh
from ..tensor.dtensor import distribute_parameter, is_on_mesh, layout_of
from ..tensor.local_parts import to_local
from ..tensor.placement_types import Placement, Replicate, Shard
from .policies import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy

__all__ = ["FSDPModule", "ShardedState", "UnshardHandle", "called", "divide", "fully_shard", "register_fsdp_forward_method"]


class ShardedState(NamedTuple):
    """What a module was told."""

    mesh: DeviceMesh
    policy: MixedPrecisionPolicy
    managed: tuple[tuple[str, str], ...]  # (path of the submodule, name) of the parameters that are cast


class UnshardHandle:
    """What ``unshard(async_op=True)`` gives."""

    def wait(self) -> None:
        """Return at once."""


def _hint(name: str, doc: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> None:
        if args and not isinstance(args[0], (bool, int, float)):
            raise ValueError(f"{name}() expects a bool or a number, got {type(args[0]).__name__}")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"A hint: {doc}"
    return method


def _refused(name: str, why: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"FSDPModule.{name}: {why}")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Refuses: {why}.\n\nRaises:\n    NotImplementedError: always."
    return method


_BYTES = "XLA moves the bytes"


class FSDPModule:
    """What `fully_shard` makes of a module's class: ``FSDPLinear`` of ``Linear``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return called(self, self._fsdp, super().__call__, args, kwargs)  # type: ignore[misc, attr-defined]

    def unshard(self, async_op: bool = False) -> UnshardHandle | None:
        """A hint: XLA gathers parameters where a program uses them."""
        return UnshardHandle() if async_op else None

    def reshard(self) -> None:
        """A hint: between programs parameters are always in parts."""

    def set_modules_to_forward_prefetch(self, modules: Any) -> None:
        """A hint: XLA decides what is gathered early."""
        _modules(modules)

    def set_modules_to_backward_prefetch(self, modules: Any) -> None:
        """A hint: XLA decides what is gathered early."""
        _modules(modules)

    def set_post_optim_event(self, event: Any) -> None:
        """A hint: programs run in order."""

    def set_gradient_divide_factor(self, factor: float) -> None:
        """Refuses another factor than the mesh's size: gradients are those of the loss as the script computes it.

        Raises:
            NotImplementedError: for another factor.
        """
        if factor != self._fsdp.mesh.size():  # type: ignore[attr-defined]
            raise NotImplementedError("FSDPModule.set_gradient_divide_factor: scale the loss, which is one global tensor")

    set_reduce_scatter_divide_factor = set_gradient_divide_factor
    set_is_last_backward = _hint("set_is_last_backward", "gradients are reduced in each backward")
    set_requires_gradient_sync = _hint(
        "set_requires_gradient_sync", "gradients that are accumulated are reduced in each backward, with the same sum"
    )
    set_requires_all_reduce = _hint("set_requires_all_reduce", "as `set_requires_gradient_sync`")
    set_reshard_after_forward = _hint("set_reshard_after_forward", "XLA decides what stays gathered")
    set_reshard_after_backward = _hint("set_reshard_after_backward", "XLA decides what stays gathered")
    set_unshard_in_backward = _hint("set_unshard_in_backward", "XLA gathers what it needs")
    set_reduce_scatter_unused_params = _hint("set_reduce_scatter_unused_params", "unused parameters have no gradient")
    set_reduce_scatter_max_input_buffers = _hint("set_reduce_scatter_max_input_buffers", _BYTES)
    set_separate_reduce_scatter_group = _hint("set_separate_reduce_scatter_group", _BYTES)
    set_force_sum_reduction_for_comms = _hint("set_force_sum_reduction_for_comms", _BYTES)
    set_allocate_memory_from_process_group_for_comm = _hint("set_allocate_memory_from_process_group_for_comm", _BYTES)
    reset_iter_state = _hint("reset_iter_state", "there is no state of an iteration")
    set_all_reduce_hook = _refused("set_all_reduce_hook", f"{_BYTES}, within one program")
    set_custom_all_gather = _refused("set_custom_all_gather", _BYTES)
    set_custom_reduce_scatter = _refused("set_custom_reduce_scatter", _BYTES)
    set_symm_mem_for_comm = _refused("set_symm_mem_for_comm", _BYTES)


def _modules(modules: Any) -> None:
    for m in modules:
        if not isinstance(m, FSDPModule):
            raise ValueError(f"FSDP prefetching expects FSDP modules but got {type(m)}:\n{m}")


@functools.cache
def _sharded_class(cls: type) -> type:
    return type(cls)(f"FSDP{cls.__name__}", (FSDPModule, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})


def called(module: Any, state: ShardedState, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A module's call: its inputs on the mesh, its parameters and inputs in the policy's type.

    Inputs of this process alone give outputs of this process, as in PyTorch; a loss of them is this process's, too.
    """
    policy = state.policy
    wanted = policy.param_dtype if policy.cast_forward_inputs else None
    rows: list[tuple[int, int]] = []  # of this process, of all

    def given(leaf: Any) -> Any:
        if not isinstance(leaf, TensorBase):
            return leaf
        placed: Any = placed_batch(leaf, state.mesh)
        if placed is not leaf and jax.process_count() > 1 and placed.dim():
            rows.append((aval(leaf).shape[0], placed.shape[0]))
        return placed.to(wanted) if wanted is not None and placed.is_floating_point() else placed

    def returned(leaf: Any) -> Any:
        if not isinstance(leaf, TensorBase):
            return leaf
        found: Any = leaf
        if policy.output_dtype is not None and found.is_floating_point():
            found = found.to(policy.output_dtype)
        return local_rows(found, state.mesh, *rows[0]) if rows else found

    args, kwargs = map_leaves(given, args), map_leaves(given, kwargs)
    owners = [(module.get_submodule(path).__dict__, name) for path, name in state.managed if policy.param_dtype]
    held = [(own, name, own[name]) for own, name in owners]
    try:
        for own, name, p in held:
            if p.is_floating_point():
                own[name] = p.to(policy.param_dtype)
        made = call(*args, **kwargs)
    finally:
        for own, name, p in held:
            own[name] = p
    return map_leaves(returned, made) if rows or policy.output_dtype is not None else made


def _rows(mesh: DeviceMesh) -> Any:
    """The sharding that divides the first dimension over all of a mesh."""
    return mesh.sharding(mesh.axes[0] if mesh.ndim == 1 else mesh.axes)


def local_rows(t: Any, mesh: DeviceMesh, mine: int, all_rows: int) -> Any:
    """This process's rows of an output, whose gradient is that of the mean over the processes. All of an output without rows."""
    if is_on_mesh(t) and t.dim() and t.shape[0] % all_rows == 0:
        return to_local(t.to(_rows(mesh)), mine / all_rows)
    return to_local(t)


def placed_batch(t: Any, mesh: DeviceMesh) -> Any:
    """A batch on a mesh, its first dimension spread over all of it: the rows of this process beside those of the others. What is
    on several devices already stays, and with one process a batch that the mesh does not divide is replicated.
    """
    if in_transformation() or isinstance(aval(t).placement, jax.sharding.Sharding) or aval(t).placement is META:
        return t
    if mesh.jax_mesh.size == 1:
        return t
    rows = _rows(mesh) if t.dim() else mesh.sharding()
    if rows.is_fully_addressable:
        return t.to(rows if not t.dim() or t.shape[0] % mesh.size() == 0 else mesh.sharding())
    with x64(True):
        return tensor_of(jax.make_array_from_process_local_data(rows, np.asarray(value_of(t))))


def _placement(p: Any, parts: int, chosen: Any) -> Placement:
    """The dimension along which a parameter is divided: the one chosen, or the first that the mesh divides."""
    if chosen is not None:
        if not isinstance(chosen, Shard):
            raise ValueError(f"shard_placement_fn should return a Shard or None, got {chosen!r}")
        return chosen
    for dim, n in enumerate(p.shape):
        if n % parts == 0 and n:
            return Shard(dim)
    return Replicate()


def _own(module: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """The parameters of a module that no `fully_shard` below it has."""
    for name, p in module.named_parameters(recurse=False):
        yield path, name, p
    for name, child in module.named_children():
        if "_fsdp" not in child.__dict__:
            yield from _own(child, f"{path}.{name}" if path else name)


def fully_shard(
    module: Any, *, mesh: DeviceMesh | None = None, reshard_after_forward: bool | int | None = None, shard_placement_fn: Any = None,
    mp_policy: MixedPrecisionPolicy = MixedPrecisionPolicy(), offload_policy: OffloadPolicy = OffloadPolicy(),  # noqa: B008
    ignored_params: set[Any] | None = None, dp_mesh_dims: Any = None,
) -> Any:  # fmt: skip
    """Divide a module's parameters over a mesh, in place; gradients and optimizer states are divided alike.

    A parameter is divided along its first dimension that the mesh divides, which is dimension 0 but for odd sizes (PyTorch pads
    these); one without any is replicated. A call of the module puts its inputs on the mesh, their first dimension divided.
    The loss is that of the global batch: gradients are PyTorch's for means over the batch.

    Args:
        module: a module, or a list of modules; it keeps its objects, its class is a subclass of `FSDPModule` from then on.
        mesh: of one dimension; of two, the first replicates and the second divides. All devices by default.
        reshard_after_forward: a hint; XLA decides what stays gathered.
        shard_placement_fn: called with a parameter, gives the `Shard` by which it is divided, or None.
        mp_policy: the types in which the module computes.
        offload_policy: an `OffloadPolicy`.
        ignored_params: parameters that are replicated.
        dp_mesh_dims: None.

    Raises:
        ValueError: for a container without a forward, a mesh of more dimensions, other values of ``reshard_after_forward``.
        AssertionError: for a module that has been sharded already.
        NotImplementedError: for ``CPUOffloadPolicy`` on accelerators, and ``dp_mesh_dims``.

    Source: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
    """
    if isinstance(module, (list, tuple)):
        for m in module:
            fully_shard(
                m, mesh=mesh, reshard_after_forward=reshard_after_forward, shard_placement_fn=shard_placement_fn, mp_policy=mp_policy,
                offload_policy=offload_policy, ignored_params=ignored_params, dp_mesh_dims=dp_mesh_dims,
            )  # fmt: skip
        return module
    if isinstance(module, (ModuleList, ModuleDict)) and type(module).forward is Module.forward:
        raise ValueError(f"fully_shard does not support containers that do not implement forward: {module}")
    if isinstance(module, FSDPModule):
        raise AssertionError(
            "Each distinct composable distributed API can only be applied to a module once. fully_shard has already been applied "
            f"to the following module:\n{module}"
        )
    if dp_mesh_dims is not None:
        raise NotImplementedError("fully_shard(dp_mesh_dims=...) is not supported, pass a slice of the mesh")
    mesh = mesh or current_mesh() or world_mesh()
    if isinstance(offload_policy, CPUOffloadPolicy) and mesh.device_type != "cpu":
        raise NotImplementedError("fully_shard(offload_policy=CPUOffloadPolicy()) is not supported on accelerators")
    if mesh.ndim not in (1, 2):
        raise ValueError(f"fully_shard expects a 1D or 2D DeviceMesh but got {mesh}")
    _check_reshard(reshard_after_forward, mesh.size(mesh.ndim - 1))
    ignored = {id(p) for p in ignored_params or ()}
    state = divide(module, mesh, mp_policy, ignored, shard_placement_fn)
    module.__class__ = _sharded_class(type(module))  # type: ignore[arg-type]
    module.__dict__["_fsdp"] = state
    return module


def divide(
    module: Any, mesh: DeviceMesh, policy: MixedPrecisionPolicy, ignored: set[int] = frozenset(), choose: Any = None,  # type: ignore[assignment]
    whole: bool = False,
) -> ShardedState:  # fmt: skip
    """Put the parameters of a module that no wrapper below it has on a mesh, divided, and its buffers, replicated.

    Args:
        module: the module.
        mesh: of one dimension; of two, the first replicates and the second divides.
        policy: the types in which it computes.
        ignored: the ids of parameters that are replicated and keep their type.
        choose: called with a parameter, gives the `Shard` by which it is divided, or None.
        whole: whether all parameters are replicated.
    """
    parts = mesh.size(mesh.ndim - 1)
    managed = list(_own(module))
    for _, _, p in managed:
        chosen = choose(p) if choose is not None else None
        kept = whole or id(p) in ignored
        divided = Replicate() if kept else _placement(p, _parts_left(p, mesh, parts), chosen)
        distribute_parameter(p, mesh, (*(Replicate(),) * (mesh.ndim - 1), divided))
    for b in module.buffers():
        if layout_of(b) is None:
            distribute_parameter(b, mesh, (Replicate(),) * mesh.ndim)
    return ShardedState(mesh, policy, tuple((path, name) for path, name, p in managed if id(p) not in ignored))


def _parts_left(p: Any, mesh: DeviceMesh, parts: int) -> int:
    """Into how many parts a dimension has to be divided: with those of other axes of the mesh."""
    found = layout_of(p)
    if found is None or found[0].jax_mesh != mesh.jax_mesh:
        return parts
    for axis, placement in zip(found[0].axes, found[1], strict=True):
        if axis not in mesh.axes and isinstance(placement, Shard):
            parts *= mesh.jax_mesh.shape[axis]
    return parts


def _check_reshard(value: Any, parts: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if not isinstance(value, int):
        raise ValueError(f"reshard_after_forward should be a bool or an int representing the group size to reshard to, not {value}")
    if value < 1 or parts % value:
        raise ValueError(f"If passing reshard_after_forward as an int, it should be a factor of {parts}, not {value}")


def register_fsdp_forward_method(module: Any, method_name: str) -> None:
    """Let a method take its inputs and parameters as a module's call does.

    Raises:
        ValueError: for a method that the module does not have.
    """
    if not isinstance(module, FSDPModule):
        return
    if not hasattr(module, method_name):
        raise ValueError(f"{type(module)} does not have a method {method_name}")
    method = getattr(module, method_name)

    @functools.wraps(method)
    def run(*args: Any, **kwargs: Any) -> Any:
        return called(module, module._fsdp, method, args, kwargs)  # type: ignore[attr-defined]

    module.__dict__[method_name] = run

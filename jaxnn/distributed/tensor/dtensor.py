"""`DTensor`: a tensor that is spread over a mesh. One global array, whose parts JAX's runtime moves.

Every tensor on a mesh that `DeviceMesh` made is one, results of operators, parameters and gradients, too: ``isinstance(t, DTensor)``
asks where it lies. Beside it a plain tensor counts as replicated, where PyTorch refuses to mix them.

Source: https://docs.pytorch.org/docs/stable/distributed.tensor.html
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds import printing
from jaxnn.core.kinds.device import META, put
from jaxnn.core.memory.tensor_base import TensorBase, alias, aval
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.nn.parameter import Parameter
from jaxnn.ops.common.placement import sharding_of
from jaxnn.ops.creation import factories as creation
from jaxnn.ops.random import draws as random
from jaxnn.utils.sharding import place

from ..device_mesh import DeviceMesh, current_mesh, mesh_of, world_mesh
from .local_parts import FromLocal, Reduced, check_reductions, part, processes_along, to_local
from .placement_types import Partial, Placement, Replicate, Shard, normalised, placements_of, spec_of

__all__ = ["DTensor", "distribute_module", "distribute_tensor", "empty", "full", "ones", "rand", "randn", "zeros"]

#: What lies on a mesh of one device: JAX knows the device only. By identity: the tensor, its mesh and placements.
_alone: dict[int, tuple[Any, DeviceMesh, tuple[Placement, ...]]] = {}


def mark(t: Any, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> None:
    """Note the mesh of a tensor where its array does not tell."""
    if mesh.jax_mesh.size == 1:
        key = id(t)
        _alone[key] = (weakref.ref(t, lambda _: _alone.pop(key, None)), mesh, placements)


#: What `Partial` made: its value is the reduced one, and this process's summand is kept here. By identity, as above.
_partial: dict[int, tuple[Any, DeviceMesh, tuple[Placement, ...], Any]] = {}


def _mark_partial(t: Any, mesh: DeviceMesh, placements: tuple[Placement, ...], summand: Any) -> Any:
    key = id(t)
    _partial[key] = (weakref.ref(t, lambda _: _partial.pop(key, None)), mesh, placements, summand)
    return t


def _partial_of(t: Any) -> Any:
    """What is known of a tensor that `Partial` made: its mesh, placements and this process's summand; or None."""
    found = _partial.get(id(t))
    return found[1:] if found is not None and found[0]() is t else None


def layout_of(t: Any) -> tuple[DeviceMesh, tuple[Placement, ...]] | None:
    """The mesh and the placements of a tensor; None for one that lies on no mesh. Runs what is recorded."""
    partial = _partial_of(t)
    if partial is not None:
        return partial[:2]
    mesh = mesh_of(aval(t).placement)
    if mesh is not None:
        sharding = sharding_of(t) if t._view is None else None
        if sharding is None:
            sharding = value_of(t).sharding
        return mesh, placements_of(mesh, sharding)
    if aval(t).placement is META and isinstance(t, nnx.Variable):
        told = getattr(t._raw_value, "sharding", None)
        mesh = mesh_of(told)
        if mesh is not None and told is not None:
            return mesh, placements_of(mesh, told)
    found = _alone.get(id(t))
    return found[1:] if found is not None and found[0]() is t else None


def is_on_mesh(t: Any) -> bool:
    """Whether a tensor is what PyTorch calls a DTensor."""
    if not isinstance(t, TensorBase):
        return False
    where = aval(t).placement
    return mesh_of(where) is not None or ((where is META or bool(_alone)) and layout_of(t) is not None)


class _Kind(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return is_on_mesh(instance)


class DTensor(TensorBase, metaclass=_Kind):
    """A tensor on a mesh of devices. It is made by `distribute_tensor` and `DTensor.from_local`.

    Attributes:
        device_mesh: the mesh; of all dimensions for what was placed on a slice of it.
        placements: for each dimension of the mesh, `Shard`, `Replicate` or `Partial`.
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("DTensor(): use distribute_tensor() or DTensor.from_local()")

    @staticmethod
    def from_local(
        local_tensor: Any, device_mesh: DeviceMesh | None = None, placements: Sequence[Any] | None = None, *,
        run_check: bool = False, shape: Any = None, stride: Any = None, grad_placements: Any = None,
    ) -> Any:  # fmt: skip
        """One global tensor of what each process has; gradients flow back.

        Args:
            local_tensor: this process's part: of all its devices, where PyTorch's is of its one.
            device_mesh: the mesh; by default that of ``with mesh:``, or all devices.
            placements: by dimension of the mesh; `Replicate` by default, and then all processes have the same. What `Partial`
                gives is reduced over the processes at once; gradients come to each summand as they are.
            run_check: compare the replicas between processes, if there are several.
            shape, stride: None; the parts say it, they are equal and contiguous.
            grad_placements: None; gradients lie as XLA finds best.

        Raises:
            NotImplementedError: for ``stride``, ``grad_placements`` and other reductions than sum, avg, product, max and min.
            ValueError: for a ``shape`` that is not that of the parts.
        """
        _unsupported("DTensor.from_local", stride=stride, grad_placements=grad_placements)
        mesh = device_mesh or current_mesh() or world_mesh()
        wanted = normalised(mesh, placements, local_tensor.dim(), "DTensor.from_local", partial=True)
        sharding = mesh.sharding(*spec_of(mesh, wanted, local_tensor.dim()))
        if run_check and jax.process_count() > 1 and any(isinstance(p, Replicate) for p in wanted):
            multihost_utils.assert_equal(np.asarray(value_of(local_tensor)), "DTensor.from_local: replicas differ")
        partial = _partial_axes(mesh, wanted)
        if sharding.is_fully_addressable:
            found = local_tensor.to(sharding)
        elif partial:
            found = Reduced.apply(local_tensor, sharding, tuple(partial.items()))
        else:
            found = FromLocal.apply(local_tensor, sharding)
        if shape is not None and tuple(shape) != tuple(found.shape):
            raise ValueError(f"DTensor.from_local: the parts make a tensor of shape {list(found.shape)}, not {list(shape)}")
        if partial:
            return _mark_partial(alias(found), mesh, wanted, local_tensor)
        return _noted(found, local_tensor, mesh, wanted)


def _partial_axes(mesh: DeviceMesh, placements: Sequence[Placement]) -> dict[str, str]:
    """The axes of a mesh along which a tensor lies in summands, and how they are reduced."""
    found = {axis: p.reduce_op for axis, p in zip(mesh.axes, placements, strict=True) if isinstance(p, Partial)}
    check_reductions(found.values())
    return found


def _unsupported(function: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise NotImplementedError(f"{function}({name}=...) is not supported")


def _noted(found: Any, given: Any, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> Any:
    if mesh.jax_mesh.size == 1:
        found = alias(found) if found is given else found
        mark(found, mesh, placements)
    return found


# --- what only tensors on a mesh have


class _OnMesh:
    """An attribute that tensors have where they lie on a mesh, and else not."""

    def __init__(self, name: str, get: Callable[[Any], Any]) -> None:
        self.name, self.get, self.__doc__ = name, get, get.__doc__

    def __get__(self, t: Any, owner: Any = None) -> Any:
        if t is None:
            return self
        if not is_on_mesh(t):
            raise AttributeError(f"'{type(t).__name__}' object has no attribute '{self.name}'")
        return self.get(t)


def _layout(t: Any) -> tuple[DeviceMesh, tuple[Placement, ...]]:
    found = layout_of(t)
    assert found is not None
    return found


def _redistribute(
    t: Any, device_mesh: DeviceMesh | None = None, placements: Sequence[Any] | None = None, *, async_op: bool = False,
    forward_dtype: Any = None, backward_dtype: Any = None,
) -> Any:  # fmt: skip
    """The tensor in other placements; part of the program where it is recorded in one, and gradients flow back.

    ``async_op`` is a hint, nothing blocks. Raises NotImplementedError for another mesh, and types; RuntimeError for `Partial`.
    """
    _unsupported("DTensor.redistribute", forward_dtype=forward_dtype, backward_dtype=backward_dtype)
    mesh = mesh_of(aval(t).placement) or _layout(t)[0]
    if device_mesh is not None and device_mesh.jax_mesh != mesh.jax_mesh:
        raise NotImplementedError("Cross device mesh comm not supported yet!")
    if placements is None:
        raise RuntimeError("placements is needed for redistribute!")
    mesh = device_mesh or mesh
    wanted = normalised(mesh, placements, t.dim(), "DTensor.redistribute", partial=True)
    before = _partial_of(t)
    if before is not None and before[1] == wanted:
        return _mark_partial(alias(t), *before)
    for new, old in zip(wanted, _layout(t)[1], strict=False):
        if isinstance(new, Partial):
            raise RuntimeError(f"Can not redistribute from {old} to {new}, redistributing to Partial is for internal use only!")
    t = t if before is None else alias(t)  # which is no summand
    return _noted(t.to(mesh.sharding(*spec_of(mesh, wanted, t.dim()))), t, mesh, wanted)


def _full_tensor(t: Any, *, grad_placements: Any = None) -> Any:
    """All of the tensor on every device; a call for all processes."""
    _unsupported("DTensor.full_tensor", grad_placements=grad_placements)
    mesh = mesh_of(aval(t).placement)
    return alias(t) if mesh is None else alias(t).to(mesh.sharding())


def _to_local(t: Any, *, grad_placements: Any = None) -> Any:
    """What this process's devices hold: with one process, all of it."""
    _unsupported("DTensor.to_local", grad_placements=grad_placements)
    partial = _partial_of(t)
    return to_local(t) if partial is None else alias(partial[2])


def _bound(f: Callable[..., Any]) -> Callable[[Any], Any]:
    def get(t: Any) -> Any:
        return f.__get__(t)

    get.__doc__ = f.__doc__
    return get


for _name, _get in {
    "device_mesh": lambda t: _layout(t)[0],
    "placements": lambda t: _layout(t)[1],
    "_local_tensor": lambda t: _to_local(t).detach(),
    "redistribute": _bound(_redistribute),
    "full_tensor": _bound(_full_tensor),
    "to_local": _bound(_to_local),
}.items():
    setattr(TensorBase, _name, _OnMesh(_name, _get))


def _shown(t: Any) -> str | None:
    """A tensor on a mesh as PyTorch prints it: with this process's part of it."""
    if not is_on_mesh(t):
        return None
    mesh, placements = _layout(t)
    if aval(t).placement is META:
        local = f"tensor(..., device='meta', size={tuple(t.shape)})"
    else:
        partial = _partial_of(t)
        value = value_of(t if partial is None else partial[2], "print")
        whole = isinstance(value, np.ndarray) or value.is_fully_addressable
        local = repr(tensor_of(np.asarray(value) if whole else part(value)))
    return f"DTensor(local_tensor={local}, device_mesh={mesh}, placements={placements})"


printing.forms.append(_shown)


# --- making them


def distribute_tensor(
    tensor: Any, device_mesh: DeviceMesh | None = None, placements: Sequence[Any] | None = None, *, src_data_rank: int | None = 0
) -> Any:
    """A tensor spread over a mesh; a leaf, which requires gradients if the tensor does.

    Args:
        tensor: all of it.
        device_mesh: the mesh; by default that of ``with mesh:``, or all devices.
        placements: by dimension of the mesh; `Replicate` by default.
        src_data_rank: the process whose tensor counts; None where all have the same.

    Raises:
        ValueError: for another number of placements, and a dimension that the mesh does not divide.
        NotImplementedError: for a `Partial` with another reduction than sum, avg, max and min.

    Source: https://docs.pytorch.org/docs/stable/distributed.tensor.html#torch.distributed.tensor.distribute_tensor
    """
    mesh = device_mesh or current_mesh() or world_mesh()
    wanted = normalised(mesh, placements, tensor.dim(), "distribute_tensor", partial=True)
    sharding = mesh.sharding(*spec_of(mesh, wanted, tensor.dim()))
    partial = _partial_axes(mesh, wanted)
    with no_grad():
        if src_data_rank is not None and jax.process_count() > 1 and aval(tensor).placement is not META:
            with x64(True):
                array = multihost_utils.broadcast_one_to_all(
                    np.asarray(value_of(tensor)), is_source=jax.process_index() == src_data_rank
                )
                found: Any = tensor_of(put(np.asarray(array), sharding))
        else:
            found = tensor.detach().to(sharding)
    if isinstance(tensor, Parameter):
        found = Parameter(found, requires_grad=tensor.requires_grad)
    elif tensor.requires_grad:
        found = found.requires_grad_()
    if partial:
        share = math.prod(processes_along(mesh.jax_mesh, axis) for axis, name in partial.items() if name == "sum")
        return _mark_partial(found, mesh, wanted, found.to_local().detach() / share)
    return _noted(found, tensor, mesh, wanted)


def distribute_parameter(p: Any, mesh: DeviceMesh, placements: Sequence[Any]) -> None:
    """Spread a parameter or buffer over the dimensions of a mesh, in place; along the others it stays as it is."""
    wanted = normalised(mesh, placements, p.dim(), "distribute")
    before = layout_of(p)
    root = mesh._root
    kept = dict(zip(root.axes, before[1], strict=True)) if before is not None and before[0].jax_mesh == mesh.jax_mesh else {}
    # Who came first divides first: a part of a tensor-parallel weight is divided further.
    ordered = [(axis, kept[axis]) for axis in root.axes if axis in kept and axis not in mesh.axes]
    ordered += list(zip(mesh.axes, wanted, strict=True))
    axes: list[list[str]] = [[] for _ in range(p.dim())]
    for axis, placement in ordered:
        if isinstance(placement, Shard):
            axes[placement.dim].append(axis)
    place(p, mesh.sharding(*(None if not names else names[0] if len(names) == 1 else tuple(names) for names in axes)))
    found = dict(ordered)
    mark(p, root, tuple(found.get(axis, Replicate()) for axis in root.axes))


def distribute_module(
    module: Any, device_mesh: DeviceMesh | None = None, partition_fn: Any = None, input_fn: Any = None, output_fn: Any = None
) -> Any:
    """Spread a module's parameters over a mesh, in place; what ``partition_fn`` leaves is replicated.

    Args:
        module: the module.
        device_mesh: the mesh; by default that of ``with mesh:``, or all devices.
        partition_fn: called with each submodule's name, the submodule and the mesh.
        input_fn: called as ``input_fn(module, inputs, mesh)`` before each call of the module; what it returns are the inputs.
        output_fn: called as ``output_fn(module, outputs, mesh)`` after each call.

    Source: https://docs.pytorch.org/docs/stable/distributed.tensor.html#torch.distributed.tensor.distribute_module
    """
    mesh = device_mesh or current_mesh() or world_mesh()
    for name, child in module.named_modules():
        if partition_fn is not None:
            partition_fn(name, child, mesh)
        for t in (*child.parameters(recurse=False), *child.buffers(recurse=False)):
            if not is_on_mesh(t):
                distribute_parameter(t, mesh, [Replicate()] * mesh.ndim)
    if input_fn is not None:
        module.register_forward_pre_hook(lambda m, inputs: input_fn(m, inputs, mesh))
    if output_fn is not None:
        module.register_forward_hook(lambda m, inputs, outputs: output_fn(m, outputs, mesh))
    return module


def _made(
    name: str, make: Callable[..., Any], size: tuple[Any, ...], requires_grad: bool, dtype: Any, layout: Any, device_mesh: Any,
    placements: Any,
) -> Any:  # fmt: skip
    if layout is not None and str(layout) != "torch.strided":
        raise NotImplementedError(f"{name}(): layout={layout} is not supported, tensors are strided")
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    mesh = device_mesh or current_mesh() or world_mesh()
    wanted = normalised(mesh, placements, len(shape), name)
    found = make(shape, dtype=dtype, device=mesh.sharding(*spec_of(mesh, wanted, len(shape))))
    found = _noted(found, None, mesh, wanted)
    return found.requires_grad_() if requires_grad else found


def _factory(name: str, make: Callable[..., Any], doc: str) -> Any:
    def create(
        *size: Any, requires_grad: bool = False, dtype: Any = None, layout: Any = None, device_mesh: Any = None, placements: Any = None
    ) -> Any:
        return _made(name, make, size, requires_grad, dtype, layout, device_mesh, placements)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"{doc}, spread over a mesh."
    return create


zeros = _factory("zeros", creation.zeros, "A tensor of zeros")  # type: ignore[attr-defined]
ones = _factory("ones", creation.ones, "A tensor of ones")  # type: ignore[attr-defined]
empty = _factory("empty", creation.empty, "A tensor without values")  # type: ignore[attr-defined]
rand = _factory("rand", random.rand, "Numbers drawn uniformly in [0, 1)")  # type: ignore[attr-defined]
randn = _factory("randn", random.randn, "Numbers of the normal distribution")  # type: ignore[attr-defined]


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, requires_grad: bool = False, device_mesh: Any = None,
    placements: Any = None,
) -> Any:  # fmt: skip
    """A tensor of one number, spread over a mesh."""

    def make(shape: Any, dtype: Any, device: Any) -> Any:
        return creation.full(shape, fill_value, dtype=dtype, device=device)

    return _made("full", make, (size,), requires_grad, dtype, layout, device_mesh, placements)

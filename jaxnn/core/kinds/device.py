"""Devices with PyTorch's names, answered by what JAX has: ``cpu``, ``cuda`` (any GPU), ``xla`` (TPU).

Args:
    type: 'cpu', 'cuda' or 'meta', with or without a number.
    index: which of them.
    where: a device or a sharding.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

__all__ = [
    "META", "DeviceLike", "automatic", "automatic_mesh",
    "area_of", "check_fits", "default_placement", "device", "device_of", "get_default_device",
    "jax_default_device", "jax_devices", "placement_of", "put", "put_all", "set_default_device",
]  # fmt: skip

#: Every type that PyTorch's constructor takes; a value of any of them can be made, compared and passed around.
_TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan", "mps",
    "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip
_PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "xla": "tpu"}
_NAMES = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "rocm": "cuda", "tpu": "xla"}


class _Meta:
    """The placement of tensors that have a shape and a type but no values."""

    platform = "meta"

    @property
    def device_set(self) -> set[Any]:
        """Itself, as a sharding's devices."""
        return {self}

    def __repr__(self) -> str:
        return "META"

    def __reduce__(self) -> str:
        return "META"


META: Any = _Meta()


class device:
    """Where a tensor lives: ``device('cpu')``, ``device('cuda', 1)``, ``device('cuda:1')``.

    Raises:
        RuntimeError: for a type that does not exist; a device that is absent raises when it is first used.
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            given: Any = type
            type, index = given.type, given.index if index is None else index
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = ("cuda", type) if index is None else (type, index)
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' (position 1) must be str, not {type.__class__.__name__}")
        name, colon, number = type.partition(":")
        if colon:
            if index is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed explicitly: {type}"
                )
            if not number.isdecimal():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        if name not in _TYPES:
            raise RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of device string: {name}")
        if index is not None and index < 0:
            raise RuntimeError(f"Device index must not be negative, got {index}")
        self.type = name
        self.index = index

    def __repr__(self) -> str:
        return (
            f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> Any:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        _chosen.stack.append(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        _chosen.stack.pop()

    def jax_device(self) -> Any:
        """JAX's device of this name; `META` for ``meta``.

        Raises:
            RuntimeError: when the machine has none, with PyTorch's words.
        """
        if self.type == "meta":
            return META
        found = jax_devices(self.type)
        index = self.index or 0
        if not found:
            if self.type == "cuda":
                raise RuntimeError("Found no NVIDIA driver on your system: JAX sees no GPU, only "
                                   f"{sorted({d.platform for d in jax.devices()})}.")  # fmt: skip
            raise RuntimeError(f"Could not run on the '{self.type}' backend: JAX has no such device here, only "
                               f"{', '.join(repr(t) for t in _PLATFORMS if jax_devices(t))} (and 'meta' for shapes alone).")  # fmt: skip
        if index >= len(found) and not _one_of_several(found):
            raise RuntimeError(f"{self.type.upper()} error: invalid device ordinal: {self}, there are {len(found)}")
        return found[0 if _one_of_several(found) else index]


#: What stands for a device in an argument; a sharding spreads a tensor over several.
DeviceLike: TypeAlias = device | str | int | Sharding | None


@functools.cache
def jax_devices(type: str) -> list[jax.Device]:
    """The local devices of one type; empty when JAX has none."""
    if type not in _PLATFORMS:
        return []
    try:
        return list(jax.local_devices(backend=_PLATFORMS[type]))
    except RuntimeError:
        return []


@functools.cache
def device_of(placement: Any) -> device:
    """The device that a placement (a JAX device, or a sharding over several) is shown as."""
    if isinstance(placement, jax.Device):
        found = placement
    else:  # one of this process's, if there is one
        found = next(iter(getattr(placement, "addressable_devices", None) or placement.device_set))
    name = _NAMES.get(found.platform, found.platform)
    if name in ("cpu", "meta"):
        return device(name)
    here = jax_devices(name)
    if _one_of_several(here):
        return device(name, int(os.environ.get("LOCAL_RANK", 0)))
    return device(name, here.index(found) if found in here else found.local_hardware_id)


def _one_of_several(devices: list[jax.Device]) -> bool:
    """Whether these devices are the only one that a launcher has left to this of several processes: it has any number there."""
    return len(devices) == 1 and devices[0].platform != "cpu" and jax.process_count() > 1


def placement_of(where: Any) -> Any:
    """Where to put what a user makes with ``device=``: the JAX device for None, a string, an index or a device; a sharding
    as it is.
    """
    if where is None:
        where = _chosen.stack[-1]
        if where is None:
            return default_placement()
    if isinstance(where, Sharding):
        return automatic(where)
    if isinstance(where, (jax.Device, _Meta)):
        return where
    return device(where).jax_device()


def automatic(sharding: Sharding) -> Sharding:
    """A sharding over the same devices whose axes XLA may spread results over by itself.

    `jax.make_mesh` makes explicit axes unless it is told otherwise: there every operator has to say how its result is spread, and
    PyTorch's do not.
    """
    if not isinstance(sharding, NamedSharding) or not isinstance(sharding.mesh, Mesh):
        return sharding
    mesh = automatic_mesh(sharding.mesh)
    return sharding if mesh is sharding.mesh else NamedSharding(mesh, sharding.spec, memory_kind=sharding.memory_kind)


@functools.cache
def automatic_mesh(mesh: Mesh) -> Mesh:
    """The same mesh with automatic axes in place of explicit ones."""
    if not any(t is AxisType.Explicit for t in mesh.axis_types):
        return mesh
    types = tuple(AxisType.Auto if t is AxisType.Explicit else t for t in mesh.axis_types)
    return Mesh(mesh.devices, mesh.axis_names, axis_types=types)


def area_of(sharding: Sharding) -> Any:
    """The placement of tensors whose arrays have a sharding: its device, or its mesh as a sharding that replicates, so that
    tensors that are spread over the same devices in different ways are operands of one program.
    """
    if len(sharding.device_set) == 1:
        return next(iter(sharding.device_set))
    return NamedSharding(sharding.mesh, PartitionSpec()) if isinstance(sharding, NamedSharding) else sharding


def check_fits(shape: tuple[int, ...], sharding: Sharding, name: str = "") -> None:
    """Refuse a sharding that has more entries than a tensor has dimensions, or an axis that does not divide one.

    Raises:
        ValueError: with the shape, the dimension and the axis.
    """
    if not isinstance(sharding, NamedSharding):
        return
    about = f"{name}: " if name else ""
    if len(sharding.spec) > len(shape):
        raise ValueError(f"{about}{sharding.spec} has {len(sharding.spec)} entries, a tensor of shape {list(shape)} "
                         f"{len(shape)} dimensions")  # fmt: skip
    for dim, axes in enumerate(sharding.spec):
        names = _names(axes)
        parts = math.prod(sharding.mesh.shape[n] for n in names)
        if shape[dim] % parts:
            raise ValueError(f"{about}dimension {dim} of shape {list(shape)} cannot be divided into {parts} parts, as axis "
                             f"{' and '.join(map(repr, names))} of the mesh {dict(sharding.mesh.shape)} asks")  # fmt: skip


class _Chosen(threading.local):
    """Where a thread's factories put tensors when nothing is said; the innermost ``with device(...)`` last."""

    def __init__(self) -> None:
        self.stack: list[device | Sharding | None] = [None]


_chosen = _Chosen()


def set_default_device(where: Any, /) -> None:
    """Put this thread's new tensors on a device, or spread them as a sharding says, when nothing is said; None for the CPU again.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_default_device.html
    """
    _chosen.stack[0] = where if where is None or isinstance(where, Sharding) else device(where)


def get_default_device() -> device:
    """Where new tensors go when nothing is said."""
    chosen = _chosen.stack[-1]
    return device_of(chosen) if isinstance(chosen, Sharding) else chosen or device("cpu")


def put(array: Any, placement: Any, *, beside: bool = False) -> jax.Array:
    """An array on a device, or spread by a sharding. Where JAX would put it anyway it stays uncommitted: a program compiled for
    inputs without a place would be compiled again for inputs with one.

    A sharding over devices of several processes takes of each process's array, which are alike, what belongs to its devices.

    Args:
        beside: it is to lie where other operands do, also on the explicit axes of a program of JAX's.

    Raises:
        ValueError: for a sharding that does not fit the shape.
    """
    if not isinstance(placement, Sharding):
        return jax.device_put(array) if placement == jax_default_device() else jax.device_put(array, placement)
    if not beside:
        placement = automatic(placement)
    placement = _settled(placement, array)
    check_fits(array.shape, placement)
    if not placement.is_fully_addressable and (isinstance(array, np.ndarray) or array.is_fully_addressable):
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, placement, host.__getitem__)
    return jax.device_put(array, placement)


def put_all(arrays: Sequence[Any], placement: Any) -> Sequence[jax.Array]:
    """Several arrays as `put` places each beside other operands, on a device in one call: a third of the time."""
    if isinstance(placement, Sharding):
        return [put(a, placement, beside=True) for a in arrays]
    made = jax.device_put(arrays) if placement == jax_default_device() else jax.device_put(arrays, placement)
    return made  # type: ignore[no-any-return]


def _names(axes: Any) -> tuple[str, ...]:
    """The axes of a dimension."""
    if axes is None or axes is PartitionSpec.UNCONSTRAINED:
        return ()
    return (axes,) if isinstance(axes, str) else tuple(axes)


def _settled(placement: Sharding, array: Any) -> Sharding:
    """A sharding without free dimensions, which only a program has: in these an array keeps the axes that the others leave to it."""
    if not isinstance(placement, NamedSharding) or PartitionSpec.UNCONSTRAINED not in placement.spec:
        return placement
    now = getattr(array, "sharding", None)
    spec = [*(now.spec if isinstance(now, NamedSharding) and now.mesh.shape == placement.mesh.shape else ()), *[None] * array.ndim]
    taken = {n for axes in placement.spec for n in _names(axes)}
    found = []
    for wanted, have in zip(placement.spec, spec, strict=False):
        if wanted is PartitionSpec.UNCONSTRAINED:
            names = tuple(n for n in _names(have) if n not in taken)
            wanted = names[0] if len(names) == 1 else names or None
        found.append(wanted)
    return NamedSharding(placement.mesh, PartitionSpec(*found))


def jax_default_device() -> jax.Device:
    """Where JAX puts a new array: its setting ``jax_default_device``, or else its first device."""
    chosen: Any = jax.config.jax_default_device  # type: ignore[attr-defined]
    return _first(None) if chosen is None else _first(chosen) if isinstance(chosen, str) else chosen


@functools.cache
def _first(platform: str | None) -> jax.Device:
    return jax.local_devices(backend=platform)[0]


@functools.cache
def default_placement() -> jax.Device:
    """The CPU, as in PyTorch, also where there is an accelerator."""
    return jax.local_devices(backend="cpu")[0]

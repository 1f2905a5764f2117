"""Meshes of devices, with PyTorch's names over `jax.sharding.Mesh`.

PyTorch's mesh counts processes, each with one device. This one counts devices: with 8 of them in one process
``init_device_mesh("cpu", (8,))`` is a mesh of 8; where each process has one device, both are the same.

Source: https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.device_mesh.init_device_mesh
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxnn.ops.creation.from_data import tensor

from ..core.kinds.device import META, device_of
from .process_group import is_initialized, new_group

__all__ = ["DeviceMesh", "init_device_mesh"]

_PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "xla": "tpu"}
#: The meshes that were made, by JAX's mesh: tensors on them are what PyTorch calls DTensors.
_made: dict[Mesh, DeviceMesh] = {}


def devices_of_type(device_type: str) -> list[Any]:
    """The devices of a type, of all processes, in JAX's order: a mesh names them by their place here."""
    try:
        return list(jax.devices(_PLATFORMS.get(device_type, device_type)))
    except RuntimeError:
        raise RuntimeError(
            f"DeviceMesh: JAX has no {device_type} device here, only {sorted({d.platform for d in jax.devices()})}"
        ) from None


class DeviceMesh:
    """An array of devices whose dimensions may have names; a slice of it (``mesh["tp"]``) is a mesh, too.

    Args:
        device_type: ``"cpu"``, ``"cuda"`` or ``"xla"``.
        mesh: numbers of devices, as an array or nested lists; each number at most once.
        mesh_dim_names: a name for each dimension; needed for slices.
        backend_override: None, JAX has one way for each platform.

    Attributes:
        device_type, mesh_dim_names, ndim, shape: as PyTorch's.
        mesh: the numbers of the devices, an int32 tensor.

    Raises:
        RuntimeError: for more devices than there are, and names that do not fit.
        NotImplementedError: for ``backend_override``.
    """

    def __init__(
        self, device_type: str, mesh: Any = None, *, mesh_dim_names: Sequence[str] | None = None,
        backend_override: Any = None, _init_backend: bool = True, _root: DeviceMesh | None = None,
        _axes: tuple[int, ...] | None = None, _numbers: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        if backend_override is not None:
            raise NotImplementedError("DeviceMesh(backend_override=...) is not supported, JAX moves the bytes")
        if _root is not None:
            assert _axes is not None and _numbers is not None
            self._root, self._axes, self._numbers = _root, _axes, _numbers
            self.device_type, self.mesh_dim_names = device_type, mesh_dim_names and tuple(mesh_dim_names)
            self.jax_mesh: Mesh = _root.jax_mesh
            return
        if mesh is None:
            raise TypeError("DeviceMesh(): `mesh` is needed, the numbers of the devices")
        self.device_type = device_type
        self._numbers = np.asarray(mesh.numpy() if hasattr(mesh, "numpy") else mesh).astype(np.int32)
        self.mesh_dim_names = None if mesh_dim_names is None else tuple(mesh_dim_names)
        self._root, self._axes = self, tuple(range(self._numbers.ndim))
        if self.mesh_dim_names is not None and len(self.mesh_dim_names) != self._numbers.ndim:
            raise RuntimeError(
                "mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): "
                f"{len(self.mesh_dim_names)} and len(mesh_shape):{self._numbers.ndim}."
            )
        devices = devices_of_type(device_type)
        if self._numbers.size > len(devices):
            raise RuntimeError(
                f"Mesh should not be bigger than default world size {len(devices)}, but found {self._numbers.size} ranks!"
            )
        if len(set(self._numbers.flat)) != self._numbers.size or self._numbers.min() < 0 or self._numbers.max() >= len(devices):
            raise RuntimeError(f"DeviceMesh: expected different numbers from 0 to {len(devices) - 1}, got {self._numbers.tolist()}")
        names = self.mesh_dim_names or tuple(f"dim_{k}" for k in range(self._numbers.ndim))
        chosen = np.array([devices[n] for n in self._numbers.flat], object).reshape(self._numbers.shape)
        self.jax_mesh = Mesh(chosen, names, axis_types=(AxisType.Auto,) * len(names))
        _made.setdefault(self.jax_mesh, self)

    # --- what it is

    @property
    def mesh(self) -> Any:
        """The numbers of the devices."""
        return tensor(self._numbers)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._numbers.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of devices along each dimension."""
        return self._numbers.shape

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of JAX's mesh that the dimensions are."""
        names = self.jax_mesh.axis_names
        return tuple(names[k] for k in self._axes)

    def size(self, mesh_dim: int | None = None) -> int:
        """The number of devices: of all, or along a dimension."""
        return self._numbers.size if mesh_dim is None else self._numbers.shape[mesh_dim]

    def __repr__(self) -> str:
        names = self.mesh_dim_names
        sizes = [str(n) if names is None else f"{names[k]}={n}" for k, n in enumerate(self.shape)]
        inner = sizes[0] + ("," if names is None else "") if len(sizes) == 1 else ", ".join(sizes)
        steps = tuple(n // self._numbers.itemsize for n in np.ascontiguousarray(self._root._numbers).strides)
        stride = tuple(steps[k] for k in self._axes) if self._root is not self else steps
        return f"DeviceMesh(({inner}), '{self.device_type}', stride={stride})"

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, DeviceMesh)
            and (self.jax_mesh, self._axes, self.device_type) == (other.jax_mesh, other._axes, other.device_type)
            and self.mesh_dim_names == other.mesh_dim_names
        )

    def __hash__(self) -> int:
        return hash((self.jax_mesh, self._axes, self.device_type))

    def __enter__(self) -> DeviceMesh:
        _current.append(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        _current.pop()

    # --- slices

    def __getitem__(self, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        """The mesh of some dimensions, in the order that they have here: those devices with which this process's first one
        shares the others.

        Raises:
            KeyError: for a name that the mesh does not have, and another order.
            RuntimeError: for a mesh without names.
        """
        if self.mesh_dim_names is None:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else tuple(mesh_dim_names)
        if names == self.mesh_dim_names:
            return self
        if any(n not in self.mesh_dim_names for n in names):
            raise KeyError(f"Invalid mesh_dim_names {names} specified. Valid mesh_dim_names are {list(self.mesh_dim_names)}.")
        dims = [self.mesh_dim_names.index(n) for n in names]
        if dims != sorted(set(dims)):
            raise KeyError(f"Invalid mesh_dim_names {names} specified. Mesh dim indices should be in ascending order.")
        here = self.get_coordinate() or (0,) * self.ndim
        numbers = self._numbers[tuple(slice(None) if k in dims else here[k] for k in range(self.ndim))]
        return DeviceMesh(
            self.device_type, mesh_dim_names=names, _root=self._root, _axes=tuple(self._axes[k] for k in dims), _numbers=numbers
        )

    def _flatten(self, mesh_dim_name: str | None = None) -> DeviceMesh:
        """Refuses: a tensor lies on the axes of one mesh of JAX's; several of them may share a dimension of a tensor.

        Raises:
            NotImplementedError: for more than one dimension.
        """
        if self.ndim == 1:
            name = mesh_dim_name or (self.mesh_dim_names or self.axes)[0]
            return DeviceMesh(
                self.device_type, mesh_dim_names=(name,), _root=self._root, _axes=self._axes, _numbers=self._numbers
            )
        raise NotImplementedError("DeviceMesh._flatten of several dimensions: pass the mesh of all of them instead")

    # --- processes

    def get_rank(self) -> int:
        """The number of this process."""
        return jax.process_index()

    def get_coordinate(self) -> tuple[int, ...] | None:
        """Where this process's first device stands; None where it has none."""
        devices = devices_of_type(self.device_type)
        for place in np.ndindex(*self._numbers.shape):
            if devices[self._numbers[place]].process_index == jax.process_index():
                return place
        return None

    def _dim(self, mesh_dim: int | str | None, what: str = "") -> int:
        if mesh_dim is None:
            if self.ndim > 1:
                raise RuntimeError(
                    f"Found the DeviceMesh have {self.ndim} dimensions",
                    "Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1." + what,
                )
            return 0
        if isinstance(mesh_dim, str):
            if mesh_dim not in (self.mesh_dim_names or ()):
                raise KeyError(f"Mesh dimension '{mesh_dim}' does not exist.",
                               f"Available mesh dimensions are: mesh_dim_names={self.mesh_dim_names}")  # fmt: skip
            return (self.mesh_dim_names or ()).index(mesh_dim)
        return mesh_dim

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """Where this process's first device stands along a dimension.

        Raises:
            RuntimeError: for several dimensions and none given, and where this process has no device.
        """
        dim, here = self._dim(mesh_dim), self.get_coordinate()
        if here is None:
            raise RuntimeError("DeviceMesh.get_local_rank: this process has no device of the mesh")
        return here[dim]

    def _is_current_rank_part_of_mesh(self) -> bool:
        return self.get_coordinate() is not None

    def get_group(self, mesh_dim: int | str | None = None) -> Any:
        """The group of the processes that this one's first device meets along a dimension.

        Raises:
            RuntimeError: without `init_process_group`, and for several dimensions and none given.
        """
        dim = self._dim(mesh_dim, " If you want to get the list of all the ProcessGroups in the DeviceMesh,"
                                  "please use `get_all_groups()` instead.")  # fmt: skip
        if not is_initialized():
            raise RuntimeError("DeviceMesh process groups not initialized! Call init_process_group first.")
        here = list(self.get_coordinate() or (0,) * self.ndim)
        devices = devices_of_type(self.device_type)
        found = set()
        for k in range(self.shape[dim]):
            here[dim] = k
            found.add(devices[self._numbers[tuple(here)]].process_index)
        return new_group(sorted(found))

    def get_all_groups(self) -> list[Any]:
        """The group of each dimension."""
        return [self.get_group(k) for k in range(self.ndim)]

    # --- for tensors

    def sharding(self, *spec: Any) -> NamedSharding:
        """JAX's sharding with these entries over the mesh's axes."""
        return NamedSharding(self.jax_mesh, PartitionSpec(*spec))


#: The meshes that ``with mesh:`` has entered.
_current: list[DeviceMesh] = []


def current_mesh() -> DeviceMesh | None:
    """The innermost ``with mesh:``."""
    return _current[-1] if _current else None


def init_device_mesh(
    device_type: str, mesh_shape: tuple[int, ...], *, mesh_dim_names: tuple[str, ...] | None = None, backend_override: Any = None
) -> DeviceMesh:
    """A mesh of the first devices of a type, in JAX's order.

    Args:
        device_type: ``"cpu"``, ``"cuda"`` or ``"xla"``.
        mesh_shape: the number of devices along each dimension.
        mesh_dim_names: a name for each.
        backend_override: None.

    Raises:
        RuntimeError: for more devices than there are, names that do not fit, a type with an index.

    Example:
        >>> init_device_mesh("cpu", (1,), mesh_dim_names=("dp",))
        DeviceMesh((dp=1), 'cpu', stride=(1,))
    """
    if mesh_dim_names is not None:
        if len(set(mesh_dim_names)) != len(mesh_dim_names):
            raise RuntimeError(
                f"Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names {tuple(mesh_dim_names)}"
            )
        if len(mesh_shape) != len(mesh_dim_names):
            raise RuntimeError(
                "mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): "
                f"{len(mesh_dim_names)} and len(mesh_shape):{len(mesh_shape)}."
            )
    if not device_type.isalpha():
        raise RuntimeError(
            f"Device type with index is not supported but got {device_type}. ",
            "If you maintained a 'torch.device' object, it's recommended to pass in 'device.type'.",
        )
    numbers = np.arange(math.prod(mesh_shape), dtype=np.int32).reshape(mesh_shape)
    return DeviceMesh(device_type, numbers, mesh_dim_names=mesh_dim_names, backend_override=backend_override)


def world_mesh() -> DeviceMesh:
    """The mesh of all devices of JAX's default platform, in one dimension."""
    first = jax.devices()[0]
    return init_device_mesh(device_of(jax.local_devices()[0]).type, (len(jax.devices(first.platform)),))


def mesh_of(placement: Any) -> DeviceMesh | None:
    """The mesh that a tensor's placement belongs to, if it was made here."""
    if placement is META or not isinstance(placement, NamedSharding):
        return None
    return _made.get(placement.mesh)  # type: ignore[arg-type]

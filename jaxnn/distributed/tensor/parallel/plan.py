"""A plan put on a module.

Source: https://docs.pytorch.org/docs/stable/distributed.tensor.parallel.html#torch.distributed.tensor.parallel.parallelize_module
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from ...device_mesh import DeviceMesh, current_mesh, world_mesh
from .style import ParallelStyle

__all__ = ["loss_parallel", "parallelize_module"]


def parallelize_module(
    module: Any, device_mesh: DeviceMesh | None = None, parallelize_plan: Any = None, *, src_data_rank: int | None = 0
) -> Any:
    """Spread a module over a mesh of one dimension by a plan, in place.

    Args:
        module: the module.
        device_mesh: the mesh, or a slice of one: by default that of ``with mesh:``, or all devices.
        parallelize_plan: a style for the module, or a table from names of submodules, each part of which may be a pattern
            (``layers.*.fc1``), to styles.
        src_data_rank: a hint; parameters are alike on all processes.

    Raises:
        TypeError: for another plan.
        ValueError: for a mesh of several dimensions.
        NotImplementedError: for a style that the submodule is not made for.
    """
    mesh = device_mesh or current_mesh() or world_mesh()
    if parallelize_plan is None:
        warnings.warn("No parallelize_plan is provided and auto-parallel is not supported at the moment, so this parallelize_module "
                      "call will do nothing.", stacklevel=2)  # fmt: skip
        return module
    if isinstance(parallelize_plan, ParallelStyle):
        _needs_one(mesh)
        parallelize_plan.src_data_rank = src_data_rank
        return parallelize_plan._apply(module, mesh)
    if not isinstance(parallelize_plan, dict):
        raise TypeError("Expect Union[ParallelStyle, Dict[str, ParallelStyle]] for parallelize_plan, "
                        f"{type(parallelize_plan)} found!")  # fmt: skip
    for path, style in parallelize_plan.items():
        found = list(_at(module, path.split("."))) if path else [module]
        if not found:
            warnings.warn(f"Parallelize plan key '{path}' could not be resolved: no submodule of {module} has that name, skipping this "
                          "plan entry.", stacklevel=2)  # fmt: skip
        for child in found:
            parallelize_module(child, mesh, style, src_data_rank=src_data_rank)
    return module


def _needs_one(mesh: DeviceMesh) -> None:
    if mesh.ndim != 1:
        raise ValueError(
            "`placements` must have the same length as `device_mesh.ndim`! Found placements length: 1, and device_mesh.ndim: "
            f"{mesh.ndim}."
        )


def _at(module: Any, parts: list[str]) -> Iterator[Any]:
    """The submodules of a path whose parts may be patterns."""
    for name, child in module.named_children():
        if fnmatch(name, parts[0]):
            if len(parts) == 1:
                yield child
            else:
                yield from _at(child, parts[1:])


@contextlib.contextmanager
def loss_parallel() -> Iterator[None]:
    """A hint: XLA computes the cross entropy of scores that are spread over their classes without gathering them, or not."""
    yield

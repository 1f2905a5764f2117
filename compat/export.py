"""A model as a file of StableHLO, which runs without its source, jaxnn or PyTorch: `export` and `load_exported`.

Args:
    path: the file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value
from jaxnn.export.comparisons import equal_after_all, noted, sizes_by_name
from jaxnn.support.packages import needed
from jaxnn.torch_file import replacing

from .arrays import is_torch_tensor, torch_to_numpy
from .live import as_jax

__all__ = ["ExportedModel", "export", "load_exported"]

PLATFORMS = ("cpu", "cuda", "tpu")


class ExportedModel:
    """A compiled model: called with arrays or tensors, it gives what the model gave. Its weights are in it.

    Attributes:
        exported: JAX's own object (`jax.export.Exported`); ``exported.mlir_module()`` is the StableHLO text.
    """

    def __init__(self, exported: Any) -> None:
        self.exported = exported

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms that it runs on."""
        return tuple(self.exported.platforms)

    @property
    def inputs(self) -> list[str]:
        """Type and shape of each array that a call takes, such as ``float32[batch,3,224,224]``."""
        return [f"{np.dtype(a.dtype).name}[{','.join(map(str, a.shape))}]" for a in self.exported.in_avals]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result: arrays, or tensors where tensors were given. Numbers of 64 bits are taken as the file has them.

        Raises:
            ValueError: for other shapes, types or arguments than the model was exported for.
        """
        leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=lambda v: isinstance(v, TensorBase))
        asked = any(isinstance(v, TensorBase) for v in leaves)
        arrays = [escaped_value(v) if isinstance(v, TensorBase) else np.asarray(v) for v in leaves]
        if len(arrays) == len(self.exported.in_avals):
            arrays = [_narrowed(a, aval.dtype) for a, aval in zip(arrays, self.exported.in_avals)]
        args, kwargs = jax.tree.unflatten(tree, arrays)
        result = self.exported.call(*args, **kwargs)
        return jax.tree.map(tensor_of, result) if asked else result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file that `load_exported` reads, and `jax.export.deserialize` without jaxnn. An old file stays until it is complete."""
        _need_flatbuffers()
        with replacing(path) as stream:
            stream.write(bytes(self.exported.serialize()))

    def __repr__(self) -> str:
        return f"ExportedModel({', '.join(self.inputs)}; {', '.join(self.platforms)})"


def _need_flatbuffers() -> None:
    needed("flatbuffers", "a file of an exported model", "jaxnn-torch[export]")


def _narrowed(array: Any, wanted: Any) -> Any:
    """Indices of 64 bits as the program has them, where JAX computes in 32 bits."""
    if array.dtype in (np.int64, np.float64) and array.dtype != wanted and np.dtype(wanted).kind == array.dtype.kind:
        return array.astype(wanted)
    return array


def _array(value: Any) -> Any:
    if is_torch_tensor(value):
        return torch_to_numpy(value)
    return escaped_value(value) if isinstance(value, TensorBase) else value


def export(
    model: Any, *example: Any, batch: str | None = "batch", shapes: Sequence[str] | None = None,
    constraints: Sequence[str] = (), platforms: Sequence[str] = PLATFORMS, **keywords: Any,
) -> ExportedModel:  # fmt: skip
    """Export a model's forward, with its weights, as StableHLO for several platforms and any batch size.

    Args:
        model: a module of jaxnn's or of PyTorch's, in evaluation.
        example: arguments of ``forward``; tensors and arrays say types and shapes, everything else is part of the program.
        batch: the name of the first dimension of every array, which is left open; None fixes the shapes. The arrays whose first
            dimension is that of the first array have it.
        shapes: the shape of each array instead, as `jax.export.symbolic_shape` reads it: ``["batch, 3, height, width", "batch, _"]``
            ("_" is the example's size).
        constraints: what is known of the open sizes, such as "height >= 16": a model may compare them.
        platforms: of "cpu", "cuda", "rocm" and "tpu"; each need not be there now.
        keywords: keyword arguments of ``forward``.

    Raises:
        ValueError: for a model in training mode, shapes that are not one for each array, or a model that compares an open size with
            the example's.
        ModuleNotFoundError: when the model is saved, without the package flatbuffers: ``pip install 'jaxnn-torch[export]'``.

    Example:
        >>> model = compat.export(jaxnn.nn.Linear(3, 2).eval(), jaxnn.ones(1, 3))
        >>> model(jaxnn.ones(5, 3)).shape  # ``model.save(path)`` writes what `jax.export.deserialize` reads without this library
        torch.Size([5, 2])
    """
    if getattr(model, "training", False):
        raise ValueError("export: the model is in training mode: call model.eval() first")
    f = as_jax(model)
    leaves, tree = jax.tree.flatten(
        (example, keywords), is_leaf=lambda v: isinstance(v, TensorBase) or is_torch_tensor(v)
    )
    leaves = [_array(v) for v in leaves]
    where = [k for k, v in enumerate(leaves) if hasattr(v, "shape") and hasattr(v, "dtype")]
    arrays = [leaves[k] for k in where]
    if not arrays:
        raise ValueError("export: there is no tensor or array among the example's arguments")
    if shapes is None:
        size = arrays[0].shape[0] if arrays[0].ndim else None
        shapes = []
        for a in arrays:
            first = batch if batch is not None and a.ndim and a.shape[0] == size else None
            shapes.append(", ".join(map(str, a.shape if first is None else (first, *a.shape[1:]))))
    if len(shapes) != len(arrays):
        raise ValueError(f"export: {len(shapes)} shapes for {len(arrays)} arrays")
    specs = jax_export.symbolic_args_specs([_spec(a) for a in arrays], list(shapes), constraints=list(constraints))

    def program(*args: Any, **kwargs: Any) -> Any:
        result = f(f.params, *args, **kwargs)
        return jax.tree.map(
            lambda r: r.astype(jax.dtypes.canonicalize_dtype(r.dtype)) if hasattr(r, "dtype") else r, result
        )

    for k, spec in zip(where, specs):
        leaves[k] = spec
    args, kwargs = jax.tree.unflatten(tree, leaves)
    given = _WithoutStatics(args, kwargs)
    compiled = jax.jit(lambda *a, **kw: program(*given.args(a), **given.kwargs(kw)))
    described = [s.shape for s in specs]
    with noted(described) as differences:
        exported = jax_export.export(compiled, platforms=tuple(platforms))(*given.dynamic_args, **given.dynamic_kwargs)
    equal = equal_after_all(differences, sizes_by_name(described, [a.shape for a in arrays]))
    if equal is not None:
        raise ValueError(
            f"export: the model asks whether {equal} is zero, which it is for the example and need not be for other sizes: fix this "
            "size (batch=None, shapes=...)"
        )
    return ExportedModel(exported)


def _spec(a: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(tuple(a.shape), jax.dtypes.canonicalize_dtype(a.dtype))


class _WithoutStatics:
    """Arguments apart: those with arrays in them, and those without, which are part of the program."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._args, self._kwargs = args, kwargs
        self.dynamic_args = [a for a in args if _has_arrays(a)]
        self.dynamic_kwargs = {k: v for k, v in kwargs.items() if _has_arrays(v)}

    def args(self, dynamic: Sequence[Any]) -> list[Any]:
        """All positional arguments."""
        given = iter(dynamic)
        return [next(given) if _has_arrays(a) else a for a in self._args]

    def kwargs(self, dynamic: dict[str, Any]) -> dict[str, Any]:
        """All keyword arguments."""
        return {**self._kwargs, **dynamic}


def _has_arrays(value: Any) -> bool:
    return any(isinstance(v, jax.ShapeDtypeStruct) for v in jax.tree.leaves(value))


def load_exported(path: str | os.PathLike[str]) -> ExportedModel:
    """The model in a file that `ExportedModel.save` wrote. Neither its source nor PyTorch is needed.

    Raises:
        FileNotFoundError: when there is no such file.
        ModuleNotFoundError: without the package flatbuffers: ``pip install 'jaxnn-torch[export]'``.
    """
    _need_flatbuffers()
    with open(path, "rb") as stream:
        return ExportedModel(jax_export.deserialize(bytearray(stream.read())))

"""Spreading tensors and models over several devices: one table of rules, put on a model in one call.

    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    place(model, {r".*fc1.weight": P("model", None), r".*fc2.weight": P(None, "model")}, mesh)

A tensor is one global array; its sharding says which part of it each device holds. The same loop runs on it as one program.

Source: https://docs.jax.dev/en/latest/sharded-computation.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.device import META, check_fits, put
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import x64
from jaxnn.nn.module import Module

__all__ = ["abstract_state", "place", "specs"]

_T = TypeVar("_T")


def place(target: _T, where: Any, mesh: Mesh | None = None) -> _T:
    """Spread a tensor, or all parameters and buffers of a model, over several devices, in place.

    The tensors stay the same objects; gradients go with them, and an optimizer brings its states along at its next step. A model
    without values (of ``device="meta"``, or of `nnx.eval_shape`) is told where its values shall be, for `abstract_state`.

    Args:
        target: a tensor, a `jaxnn.nn.Module`, or any `flax.nnx` module.
        where: a `jax.sharding.Sharding` for all; or, for a model, a table from patterns to `PartitionSpec`, with ``mesh``: the
            first pattern that matches the whole of a tensor's name (``blocks.0.fc1.weight``) counts, and what none matches is
            replicated; or a mesh alone: then the ``out_sharding`` of each variable counts, as in `nnx.get_named_sharding`.
        mesh: whose axes the table names.

    Returns:
        ``target``.

    Raises:
        ValueError: for a pattern that matches nothing, an axis that the mesh does not have or that does not divide its dimension,
            and more entries than dimensions.
        TypeError: for other targets and placements.

    Example:
        >>> mesh = jax.make_mesh((1,), ("model",))
        >>> layer = place(jaxnn.nn.Linear(4, 2), {"weight": PartitionSpec("model", None)}, mesh)
    """
    if isinstance(where, Mesh):
        if mesh is not None:
            raise TypeError("place(): with a mesh instead of a table there is no second mesh")
        where, mesh = None, where
    elif isinstance(where, Sharding):
        if mesh is not None:
            raise TypeError("place(): a sharding has a mesh of its own, mesh= goes with a table of rules")
    elif not isinstance(where, Mapping):
        raise TypeError(f"place(): expected a sharding, a mesh or a table of rules, got {type(where).__name__}")
    elif mesh is None:
        raise TypeError("place(): a table of rules needs mesh=, whose axes it names")
    if isinstance(target, TensorBase):
        if not isinstance(where, Sharding):
            raise TypeError("place(): a tensor takes a jax.sharding.Sharding; tables and meshes are for models")
        _move(target, where)
    elif isinstance(target, (Module, nnx.Module)):
        named = list(_named(target))
        shardings = [where] * len(named) if isinstance(where, Sharding) else _chosen(named, where, mesh)
        for (names, t), sharding in zip(named, shardings, strict=True):  # all or none
            check_fits(tuple(t.shape), sharding, names[0])
        for (_, t), sharding in zip(named, shardings, strict=True):
            _move(t, sharding)
    else:
        raise TypeError(f"place(): expected a tensor or a module, got {type(target).__name__}")
    return target


def specs(model: Any) -> dict[str, PartitionSpec | None]:
    """How each tensor of a model is spread, by name; None for what lies on one device."""
    found = {}
    for names, t in _named(model):
        sharding = _sharding(t)
        found[names[0]] = sharding.spec if isinstance(sharding, NamedSharding) else None
    return found


def abstract_state(model: Any) -> Any:
    """The model's `nnx.state` as shapes, types and shardings, without values: what Orbax restores a checkpoint by.

    Of a model without values that `place` has told where they shall be, or of one with values.
    """

    def described(value: Any) -> Any:
        if isinstance(value, jax.ShapeDtypeStruct) or not hasattr(value, "dtype"):
            return value
        return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=value.sharding)

    return jax.tree.map(described, nnx.state(model))


def _named(model: Any) -> Iterator[tuple[list[str], Any]]:
    """The tensors of a model, each once, with its names."""
    names: dict[int, list[str]] = {}
    tensors: dict[int, Any] = {}
    if isinstance(model, Module):
        entries: Any = (
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        )
    else:
        entries = ((".".join(map(str, path)), v) for path, v in nnx.to_flat_state(nnx.state(model, _is_array)))
    for name, t in entries:
        names.setdefault(id(t), []).append(name)
        tensors[id(t)] = t
    yield from ((names[key], t) for key, t in tensors.items())


def _is_array(path: Any, value: Any) -> bool:
    held = value.get_raw_value() if isinstance(value, nnx.Variable) else value
    return hasattr(held, "shape") and not jax.dtypes.issubdtype(held.dtype, jax.dtypes.prng_key)


def _chosen(named: list[tuple[list[str], Any]], table: Mapping[str, Any] | None, mesh: Any) -> list[NamedSharding]:
    """The sharding of each tensor by a table, or by the variables' own metadata."""
    if table is None:
        found = [nnx.get_partition_spec(t).get_raw_value() if isinstance(t, nnx.Variable) else None for _, t in named]
        return [_on(mesh, names[0], spec) for (names, _), spec in zip(named, found, strict=True)]
    patterns = {re.compile(pattern): spec for pattern, spec in table.items()}
    for pattern, spec in patterns.items():
        _on(mesh, pattern.pattern, spec)
        if not any(pattern.fullmatch(name) for names, _ in named for name in names):
            known = ", ".join(names[0] for names, _ in named[:6])
            raise ValueError(f"place(): the rule {pattern.pattern!r} matches no tensor; names are whole, as in {known}")
    chosen = []
    for names, _ in named:
        spec = next((s for pattern, s in patterns.items() if any(pattern.fullmatch(n) for n in names)), None)
        chosen.append(_on(mesh, names[0], spec))
    return chosen


def _on(mesh: Mesh, name: str, spec: Any) -> NamedSharding:
    if spec is None:
        spec = PartitionSpec()
    elif not isinstance(spec, PartitionSpec):
        if not isinstance(spec, (tuple, list)):
            raise TypeError(f"place(): {name}: expected a PartitionSpec, got {type(spec).__name__}")
        spec = PartitionSpec(*spec)
    for axes in spec:
        for axis in (axes,) if isinstance(axes, str) else axes or ():
            if axis not in mesh.axis_names:
                raise ValueError(f"place(): {name}: {spec} names the axis {axis!r}, the mesh has {list(mesh.axis_names)}")
    return NamedSharding(mesh, spec)


def _sharding(t: Any) -> Any:
    if isinstance(t, TensorBase):
        held = t._raw_value if isinstance(t, nnx.Variable) else None
        if aval(t).placement is META:
            return getattr(held, "sharding", None)
        return None if held is None else held.sharding
    return getattr(t.get_raw_value(), "sharding", None)


def _move(t: Any, sharding: Sharding) -> None:
    if not isinstance(t, TensorBase):  # a variable of Flax's
        held = t.get_raw_value()
        if isinstance(held, jax.ShapeDtypeStruct):
            t.set_raw_value(jax.ShapeDtypeStruct(held.shape, held.dtype, sharding=sharding))
            return
        with x64(True):
            t.set_raw_value(put(held, sharding))
        return
    if aval(t).placement is META:
        if not isinstance(t, nnx.Variable):
            raise ValueError("place(): a tensor of the meta device has no place; parameters and buffers can be told one")
        check_fits(tuple(aval(t).shape), sharding)
        t._raw_value = jax.ShapeDtypeStruct(tuple(aval(t).shape), aval(t).np, sharding=sharding)
        return
    with no_grad():
        t.data = t.data.to(sharding)  # type: ignore[attr-defined]
        if t._grad is not None:
            t._grad = t._grad.to(sharding)

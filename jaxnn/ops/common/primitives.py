"""How the kernels make JAX primitives of their own: one definition, and a formulation a platform."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir


class _Lowering(threading.local):
    for_export = False


_lowering = _Lowering()


def lowering_for_export() -> bool:
    """Whether the program that is being lowered is to be kept in a file and run elsewhere."""
    return _lowering.for_export


def make_primitive(
    name: str,
    plain: Callable[..., Any],
    on_cpu: Callable[..., Any] | None = None,
    *,
    multiple_results: bool = False,
    leading_batch: bool = False,
) -> Primitive:
    """A primitive that computes `plain(*arrays, **static)`.

    `plain` uses JAX's own operations: it defines shapes and `vmap`, and runs on accelerators and wherever several
    devices share the program. `on_cpu` computes the same and is what a single CPU runs. Derivatives are the caller's
    to add. With `leading_batch`, more leading dimensions, the same for all arrays, are more of the same work.
    """
    primitive = Primitive(name)
    primitive.multiple_results = multiple_results

    def abstract(*avals: Any, **static: Any) -> Any:
        structs = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in avals]
        with jax.enable_x64(True):
            out = jax.eval_shape(functools.partial(plain, **static), *structs)
        made = [jax.core.ShapedArray(o.shape, o.dtype) for o in jax.tree.leaves(out)]
        return made if multiple_results else made[0]

    def batch(operands: Any, dims: Any, **static: Any) -> Any:
        if leading_batch:
            size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
            operands = [leading(o, d, size) for o, d in zip(operands, dims, strict=True)]
            out = primitive.bind(*operands, **static)
        else:
            out = jax.vmap(functools.partial(plain, **static), in_axes=tuple(dims))(*operands)
        return (out, [0] * len(out)) if multiple_results else (out, 0)

    def lower(ctx: Any, *operands: Any, fast: Callable[..., Any] | None, **static: Any) -> Any:
        # A fence hides its inside from the partitioner: several devices get the plain formulation.
        alone = getattr(ctx.module_context.axis_context, "num_devices", None) == 1
        chosen = fast if fast is not None and alone else plain

        def run(*values: Any) -> Any:
            # A program may be lowered outside the context that it was traced in.
            with jax.enable_x64(True):
                return chosen(*values, **static)

        before, _lowering.for_export = _lowering.for_export, ctx.module_context.lowering_parameters.for_export
        try:
            return mlir.lower_fun(run, multiple_results=multiple_results)(ctx, *operands)
        finally:
            _lowering.for_export = before

    primitive.def_impl(lambda *operands, **static: _run(primitive, tuple(static))(*operands, **static))
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, functools.partial(lower, fast=None))
    if on_cpu is not None:
        mlir.register_lowering(primitive, functools.partial(lower, fast=on_cpu), platform="cpu")
    return primitive


def leading(operand: Any, dim: int | None, size: int) -> Any:
    """An operand of a `vmap` of `size` with the mapped dimension in front, also where it has none."""
    if dim is None:
        return jnp.broadcast_to(operand, (size, *operand.shape))
    return jnp.moveaxis(operand, dim, 0)


@functools.cache
def _run(primitive: Primitive, static: tuple[str, ...]) -> Callable[..., Any]:
    return jax.jit(primitive.bind, static_argnames=static)


def has_at_least(count: int, size: Any) -> bool:
    """Whether a size is that large; of an open one nothing is known."""
    return type(size) is int and size >= count


def on_a_mesh(*arrays: Any) -> bool:
    """Whether an array's type says how it is sharded; our primitives know no such types, JAX's operations do."""
    return any(not jax.typeof(a).sharding.mesh.empty for a in arrays)

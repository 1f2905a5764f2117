"""A user's `Function` inside a JAX transformation: `jax.grad` and its kin go through its ``backward``, not through what
``forward`` computes.

Its outputs come from a `jax.custom_vjp`. What it saved are residuals; an output among them is the differentiable output, an input
the input, so second derivatives are those of the function, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..memory.tensor_base import TensorBase, aval
from ..process.config import x64
from ..record.at_once import tensor_of
from ..run.interpret import conj
from .modes import no_grad

__all__ = ["custom"]


def custom(
    forward: Callable[..., Any], pulled: Callable[..., Any], fitted: Callable[..., Any], args: tuple[Any, ...],
    values: dict[int, Any],
) -> list[Any]:  # fmt: skip
    """The arrays of a function's tensor outputs, differentiable through its backward.

    Args:
        forward: from arguments to (ctx, outputs as a tuple).
        pulled: from ctx and the gradients of the outputs to those of the arguments.
        fitted: brings a gradient to the form of an argument: (gradient, description, number of the argument).
        args: the arguments; those in ``values`` are tensors with these arrays.
    """
    places = list(values)
    layout: dict[str, Any] = {}

    def outputs_of(arrays: tuple[Any, ...]) -> tuple[Any, list[Any], list[Any]]:
        given = list(args)
        for k, array in zip(places, arrays, strict=True):
            given[k] = tensor_of(array)
        ctx, outputs = forward(given)
        return ctx, given, [t for t in outputs if isinstance(t, TensorBase)]

    def arrays_of(tensors: list[Any]) -> tuple[Any, ...]:
        return tuple(jnp.asarray(t.__jax_array__()) for t in tensors)

    @jax.custom_vjp
    def run(*arrays: Any) -> tuple[Any, ...]:
        return arrays_of(outputs_of(arrays)[2])

    def ahead(*arrays: Any) -> Any:
        ctx, given, outputs = outputs_of(arrays)
        results = run(*arrays)
        others: list[Any] = []

        def noted(t: Any) -> Any:
            if not isinstance(t, TensorBase):
                return ("as it is", t)
            for kind, known in (("output", outputs), ("input", [given[k] for k in places])):
                for k, candidate in enumerate(known):
                    if candidate is t:
                        return (kind, k)
            others.append(jax.lax.stop_gradient(t.__jax_array__()))
            return ("other", len(others) - 1)

        saved = [noted(t) for t in ctx._given]
        layout["ctx"] = ctx
        layout["saved"] = saved
        layout["attributes"] = {n: noted(v) for n, v in vars(ctx).items() if isinstance(v, TensorBase)}
        layout["outputs"] = [aval(t) for t in outputs]
        return results, (arrays, results, others)

    def back(kept: Any, cotangents: Any) -> Any:
        arrays, results, others = kept

        def tensor(note: Any) -> Any:
            kind, k = note
            if kind == "as it is":
                return k
            return tensor_of({"input": arrays, "output": results, "other": others}[kind][k])

        with x64(True), no_grad():
            ctx = copy.copy(layout["ctx"])
            ctx._given = tuple(tensor(note) for note in layout["saved"])
            for name, note in layout["attributes"].items():
                setattr(ctx, name, tensor(note))
            grads = [
                tensor_of(jnp.zeros(tuple(a.shape), a.np) if ct.dtype == jax.dtypes.float0 else conj(ct))
                for ct, a in zip(cotangents, layout["outputs"], strict=True)
            ]
            found = pulled(ctx, grads)
            made: list[Any] = []
            for k, array in zip(places, arrays, strict=True):
                described = aval(tensor_of(array))
                if not (described.dtype.is_floating_point or described.dtype.is_complex):
                    made.append(np.zeros(array.shape, jax.dtypes.float0))
                elif found[k] is None:
                    made.append(jnp.zeros(array.shape, array.dtype))
                else:
                    made.append(conj(jnp.asarray(fitted(found[k], described, k).__jax_array__())))
        return tuple(made)

    run.defvjp(ahead, back)
    with x64(True):
        return list(run(*values.values()))

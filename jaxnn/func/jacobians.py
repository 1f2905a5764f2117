"""`jacrev`, `jacfwd`, `hessian`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array
from jaxnn.core.record.at_once import tensor_of
from jaxnn.support.trees import flatten, unflatten

from .reverse import linearize, select, vjp
from .vectorize import vmap

__all__ = ["hessian", "jacfwd", "jacrev"]


def _basis(like: Any) -> Any:
    """The unit vectors of a tensor's space, one for each element."""
    described = aval(like)
    count = described.shape.numel()
    rows = np.eye(count, dtype=described.np).reshape(count, *described.shape)
    return host_array(rows, described.placement) if count else tensor_of(rows, described.placement)


def _unwrapped(tree: Any, argnums: Any) -> Any:
    """The first of a tuple where one argument was asked for by its number."""
    return tree[0] if isinstance(argnums, int) else tree


def jacrev(
    func: Callable[..., Any], argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """A function that gives the Jacobian of ``func`` by some of its arguments, row by row in reverse mode.

    Returns:
        A nest like the output of nests like the arguments, each of shape output's + argument's.

    Args:
        chunk_size: so many rows at a time.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jacrev.html
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")
    if _preallocate_and_copy:
        raise NotImplementedError("jacrev: _preallocate_and_copy")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        partial, selected = select(func, argnums, args, kwargs)
        if has_aux:
            result, pull, aux = vjp(partial, *selected, has_aux=True)
        else:
            result, pull = vjp(partial, *selected)
        outputs = flatten(result)
        flat = flatten(selected)
        rows = []
        for k, o in enumerate(outputs):

            def row(ct: Any, k: int = k) -> Any:
                cts = [ct if j == k else p.new_zeros(p.shape) for j, p in enumerate(outputs)]
                return tuple(flatten(pull(unflatten(result, cts))))

            found = vmap(row, chunk_size=chunk_size)(_basis(o))
            made = [g.reshape((*o.shape, *p.shape)) for g, p in zip(found, flat, strict=True)]
            rows.append(_unwrapped(unflatten(selected, made), argnums))
        jacobian = unflatten(result, rows)
        return (jacobian, aux) if has_aux else jacobian

    return wrapped


def jacfwd(
    func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """A function that gives the Jacobian of ``func`` by some of its arguments, column by column in forward mode.

    Returns:
        A nest like the output of nests like the arguments, each of shape output's + argument's.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jacfwd.html
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        partial, selected = select(func, argnums, args, kwargs)
        aux: list[Any] = []

        def without_aux(*given: Any) -> Any:
            result = partial(*given)
            if not has_aux:
                return result
            if not (isinstance(result, tuple) and len(result) == 2):
                raise RuntimeError("jacfwd: output of function f should be a tuple: (output, aux) if has_aux is True")
            aux.append(result[1])
            return result[0]

        result, push = linearize(without_aux, *selected)
        outputs = flatten(result)
        flat = flatten(selected)
        columns = []
        for k, p in enumerate(flat):

            def column(tangent: Any, k: int = k) -> Any:
                tangents = [tangent if j == k else q.new_zeros(q.shape) for j, q in enumerate(flat)]
                return tuple(flatten(push(*unflatten(selected, tangents))))

            found = vmap(column, randomness=randomness)(_basis(p))
            columns.append(
                [g.movedim(0, -1).reshape((*o.shape, *p.shape)) for g, o in zip(found, outputs, strict=True)]
            )
        made = [_unwrapped(unflatten(selected, [c[j] for c in columns]), argnums) for j in range(len(outputs))]
        jacobian = unflatten(result, made)
        if not has_aux:
            return jacobian
        return jacobian, unflatten(aux[0], [a.detach() if isinstance(a, TensorBase) else a for a in flatten(aux[0])])

    return wrapped


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives of ``func`` by some of its arguments: `jacfwd` of `jacrev`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.hessian.html
    """
    return jacfwd(jacrev(func, argnums), argnums)

"""One recorded operator updates all parameters of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxnn.core.config import in_transformation
from jaxnn.core.engine import Number, open_recording, record_into
from jaxnn.core.grad_mode import no_grad
from jaxnn.core.handle import TensorBase, aval
from jaxnn.core.inplace import put_through
from jaxnn.core.registry import Op, call

__all__ = ["Bucket", "update"]


class Bucket(NamedTuple):
    """Parameters that are updated by one formula with the same hyperparameters."""

    formula: Callable[..., Any]  # (numbers, flags, params, grads, states) -> (params, states), on arrays
    flags: Any  # hashable; a change compiles another program
    numbers: tuple[float, ...]  # inputs of the program; a change costs nothing
    params: Sequence[TensorBase]
    states: Sequence[Sequence[TensorBase]]  # for each kind of state, one tensor a parameter


def _kernel(params: Any, grads: Any, states: Any, numbers: Any, layout: Any) -> Any:
    new_params: list[Any] = []
    new_states: list[Any] = []
    at = 0
    for (formula, flags, count), held, given in zip(layout, states, numbers, strict=True):
        ps, gs = list(params[at : at + count]), list(grads[at : at + count])
        at += count
        made, kept = formula(given, flags, ps, gs, [list(s) for s in held])
        new_params += [m.astype(p.dtype) for m, p in zip(made, ps, strict=True)]
        for ms, ss in zip(kept, held, strict=True):
            new_states += [m.astype(s.dtype) for m, s in zip(ms, ss, strict=True)]
    return tuple(jnp.asarray(x) for x in new_params + new_states)


_UPDATE = Op("optimizer_step", _kernel, lists=True)


def update(buckets: Sequence[Bucket]) -> None:
    """Record the update of all buckets: one operator for each device that parameters are on."""
    placements: dict[Any, list[Bucket]] = {}
    for bucket in buckets:
        placements.setdefault(aval(bucket.params[0]).placement, []).append(bucket)
    for placement, group in placements.items():
        params = [p for b in group for p in b.params]
        grads = tuple(p._grad for p in params)
        states = tuple(tuple(tuple(kind) for kind in b.states) for b in group)
        numbers = tuple(tuple(Number(float(n)) for n in b.numbers) for b in group)
        layout = tuple((b.formula, b.flags, len(b.params)) for b in group)
        targets = [*params, *(s for b in group for kind in b.states for s in kind)]
        args = (tuple(params), grads, states, numbers, layout)
        with no_grad():
            if in_transformation() or any(t._view is not None for t in targets):
                for target, made in zip(targets, call(_UPDATE, args), strict=True):
                    put_through(target, made)
            else:
                open_recording(placement)
                record_into(_UPDATE, args, targets)

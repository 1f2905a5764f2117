"""One recorded operator updates all parameters of a step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn.core.memory.tensor_base import TensorBase, aval, memory_key
from jaxnn.core.operator.arguments import Number
from jaxnn.core.operator.op import Op
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.overlap import share_elements
from jaxnn.core.registry import replace
from jaxnn.core.run.cut import cut, open_recording
from jaxnn.core.run.policy import PART_OF_STEP, UPDATE

__all__ = ["Bucket", "Rule", "as_real", "of_type", "update"]


class Rule:
    """An optax transformation as a step runs it, on the state that the parameters hold.

    Args:
        transformation: makes the `optax.GradientTransformation` from numbers and keyword options.
        state: its state, a NamedTuple: first the numbers that `Optimizer` counts, then the state tensors by name.
        counters: how many numbers.
    """

    def __init__(self, transformation: Callable[..., Any], state: Any, counters: int = 1) -> None:
        self.transformation, self.state, self.counters = transformation, state, counters

    def __call__(self, numbers: Any, options: Any, params: Any, grads: Any, states: Any) -> Any:
        names, keywords = options
        at = len(numbers) - self.counters
        empty = dict.fromkeys(self.state._fields[self.counters :], ())
        held = self.state(*numbers[at:], **{**empty, **dict(zip(names, states, strict=True))})
        changes, kept = self.transformation(*numbers[:at], **dict(keywords)).update(grads, held, params)
        return [p + c for p, c in zip(params, changes, strict=True)], [getattr(kept, n) for n in names]


class Bucket(NamedTuple):
    """Parameters that are updated by one rule with the same hyperparameters."""

    rule: Callable[..., Any]  # (numbers, options, params, grads, states) -> (params, states), on arrays
    options: Any  # hashable; a change compiles another program
    numbers: tuple[float, ...]  # inputs of the program; a change costs nothing
    params: Sequence[TensorBase]
    states: Sequence[Sequence[TensorBase]]  # for each kind of state, one tensor a parameter


def as_real(array: Any) -> Any:
    """A complex array as its real and imaginary parts, which PyTorch's optimizers update apart."""
    return jnp.stack([array.real, array.imag], -1) if jnp.iscomplexobj(array) else array


def of_type(array: Any, like: Any) -> Any:
    """The reverse of `as_real`, in the type of another array."""
    if jnp.iscomplexobj(like):
        array = jax.lax.complex(array[..., 0], array[..., 1])
    return array.astype(like.dtype)


class _Part(NamedTuple):
    """A bucket in the operator's flat arguments."""

    rule: Callable[..., Any]
    options: Any
    params: int  # how many of each
    kinds: int
    numbers: int


class _Layout(NamedTuple):
    """A static argument in one piece: a plain tuple would be searched for tensors at every step."""

    parts: tuple[_Part, ...]


def _after(numbers: Any, gradient: Any) -> list[Any]:
    """The numbers, as something that can't be known before a gradient is.

    Parameters are updated in their own memory. XLA first copies each that the backward reads too, unless the update depends on
    what was read; what the first parameter's gradient is made of has read, as a rule, all others. Adds zero, in a way that
    XLA does not see through.
    """
    if not gradient.size:
        return list(numbers)
    one = lax.reshape(lax.slice(gradient, (0,) * gradient.ndim, (1,) * gradient.ndim), ())
    zero = jnp.where((one != one) & (one == one), 1.0, 0.0)  # without a type of its own, as the numbers
    return [n + zero for n in numbers]


def _kernel(params: Any, grads: Any, states: Any, numbers: Any, layout: _Layout) -> Any:
    numbers = _after(numbers, grads[0])
    new_params: list[Any] = []
    new_states: list[Any] = []
    following_param, following_state, following_number = iter(zip(params, grads, strict=True)), iter(states), iter(numbers)
    for part in layout.parts:
        pairs = list(itertools.islice(following_param, part.params))
        held = [list(itertools.islice(following_state, part.params)) for _ in range(part.kinds)]
        given = tuple(itertools.islice(following_number, part.numbers))
        kinds = [[as_real(s) for s in kind] for kind in held]
        made, kept = part.rule(given, part.options, [as_real(p) for p, _ in pairs], [as_real(g) for _, g in pairs], kinds)
        new_params += [of_type(m, p) for m, (p, _) in zip(made, pairs, strict=True)]
        for ms, ss in zip(kept, held, strict=True):
            new_states += [of_type(m, s) for m, s in zip(ms, ss, strict=True)]
    return tuple(jnp.asarray(x) for x in new_params + new_states)


_UPDATE = Op(UPDATE, _kernel, lists=True)

#: A step of more parameters than this is no part of the program that computed their gradients.
MANY = 256
#: Then so many are updated by a program. XLA's time grows with the square of a program's results: on 2 cores 64
#: parameters took 0.3 s, 256 took 0.9 and 4,000 took 39.
PIECE = 64


def update(buckets: Sequence[Bucket]) -> None:
    """Record the update of all buckets: one operator for each device that parameters are on, several for many."""
    placements: dict[Any, list[Bucket]] = {}
    for bucket in buckets:
        placements.setdefault(aval(bucket.params[0]).placement, []).append(bucket)
    for placement, group in placements.items():
        params = [p for b in group for p in b.params]
        if len({memory_key(p) for p in params}) < len(params) and share_elements(params):
            for bucket in group:  # each sees what the one before it has written
                for k, p in enumerate(bucket.params):
                    _update([bucket._replace(params=[p], states=[[kind[k]] for kind in bucket.states])], placement)
            continue
        if sum([len(b.params) for b in group]) <= MANY or in_transformation():
            _update(group, placement)
            continue
        # Every piece is a recording of its own: pieces of the same shapes find the same program.
        open_recording(placement)
        cut(PART_OF_STEP)
        for piece in _pieces(group):
            _update([piece], placement)
            cut(PART_OF_STEP)


def _pieces(buckets: Sequence[Bucket]) -> Iterator[Bucket]:
    """Buckets of at most `PIECE` parameters, as many as possible of one shape."""
    for bucket in buckets:
        alike: dict[Any, list[int]] = {}
        for k, p in enumerate(bucket.params):
            alike.setdefault(aval(p), []).append(k)
        rest: list[int] = []
        pieces: list[list[int]] = []
        for places in alike.values():
            whole = len(places) // PIECE * PIECE
            pieces += [places[at : at + PIECE] for at in range(0, whole, PIECE)]
            rest += places[whole:]
        for places in (*pieces, *(rest[at : at + PIECE] for at in range(0, len(rest), PIECE))):
            params = [bucket.params[k] for k in places]
            states = [[kind[k] for k in places] for kind in bucket.states]
            yield bucket._replace(params=params, states=states)


def _update(group: Sequence[Bucket], placement: Any) -> None:
    """Record the update of buckets on one device."""
    params: list[TensorBase] = []
    states: list[TensorBase] = []
    numbers: list[Number] = []
    parts: list[_Part] = []
    for rule, options, given, some, kinds in group:
        params += some
        for kind in kinds:
            states += kind
        numbers += map(Number, map(float, given))
        parts.append(_Part(rule, options, len(some), len(kinds), len(given)))
    grads = tuple([p._grad for p in params])
    args = (tuple(params), grads, tuple(states), tuple(numbers), _Layout(tuple(parts)))
    replace(_UPDATE, args, params + states, placement)

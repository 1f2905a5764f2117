"""The steps of a recurrent layer in one direction, with derivatives of their own.

A step is written so that XLA's CPU compiler makes one vectorised loop of the gates: the sigmoid of all at once, contiguous,
where a sigmoid of each slice becomes loops of single numbers (a step of an LSTM of 32 x 128 takes 0.6 of the time).

The derivatives are linear in what each gate's argument changes by, with factors that need no step to be known. For the LSTM:

    dz_t = dgates_t + dW h_{t-1} + W dh_{t-1}
    dc_t = f dc_{t-1} + k_i dz_i + k_f dz_f + k_g dz_g        dh_t = k_o dz_o + k_c dc_t

So all factors, and all of dW h_{t-1}, are computed for all steps at once, and the transpose has one product for the gradient of W
instead of one a step. They are rules of forward mode, which JAX transposes, differentiates again and batches.

Args:
    gates: (T, N, gates * hidden), what the input adds to the gates, with all biases that stand beside it.
    weight: (gates * hidden, hidden), the recurrent one; of an LSTM in half precision beside float32 for all else, products are of halves.
    hidden, cell: (N, hidden), the state before.
    reverse: from the last step to the first.

Returns the hidden states of all steps, (T, N, hidden), and the last state.

Sources: https://doi.org/10.1162/neco.1997.9.8.1735 (LSTM), https://arxiv.org/abs/1406.1078 (GRU),
https://doi.org/10.1207/s15516709cog1402_1 (Elman)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.operator.half_sums import HALVES
from jaxnn.core.operator.unfused import unfused
from jaxnn.ops.common.primitives import make_primitive, on_a_mesh

__all__ = ["product", "run_elman", "run_gru", "run_lstm"]


def product(x: Array, weight: Array) -> Array:
    """In the type of `x`, from operands in the type of `weight`."""
    halves = HALVES if weight.dtype != x.dtype else None
    return lax.dot_general(x.astype(weight.dtype), weight, (((x.ndim - 1,), (1,)), ((), ())), halves, x.dtype)


def _before(states: Array, first: Array, reverse: bool) -> Array:
    """The states that enter the steps."""
    return jnp.concatenate([states[1:], first[None]] if reverse else [first[None], states[:-1]])


# --- LSTM


def _lstm_step(state: tuple[Array, Array], gates: Array, weight: Array) -> tuple[Array, Array, Array, Array]:
    """The next state, the sigmoid of all four gates, and the tanh of the third."""
    hidden, cell = state
    z = gates + product(hidden, weight)
    opened = jax.nn.sigmoid(z)
    enter, forget, _, leave = jnp.split(opened, 4, -1)
    new = jnp.tanh(jnp.split(z, 4, -1)[2])
    cell = forget * cell + enter * new
    return leave * jnp.tanh(cell), cell, opened, new


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def run_lstm(gates: Array, weight: Array, hidden: Array, cell: Array, reverse: bool) -> tuple[Array, Array, Array]:
    """An LSTM's states; the last state is hidden and cell."""

    def advance(state: tuple[Array, Array], now: Array) -> Any:
        new = _lstm_step(state, now, weight)[:2]
        return new, new[0]

    last, states = lax.scan(advance, (hidden, cell), gates, reverse=reverse)
    return states, *last


@run_lstm.defjvp
def _lstm_tangents(reverse: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    gates, weight, hidden, cell = primals
    d_gates, d_weight, d_hidden, d_cell = tangents

    def advance(state: tuple[Array, Array], now: Array) -> Any:
        new = _lstm_step(state, now, weight)
        return new[:2], new

    last, (states, cells, opened, new) = lax.scan(advance, (hidden, cell), gates, reverse=reverse)
    enter, forget, _, leave = jnp.split(opened, 4, -1)
    shown = jnp.tanh(cells)
    factors = (
        new * enter * (1 - enter),
        _before(cells, cell, reverse) * forget * (1 - forget),
        enter * (1 - new * new),
        shown * leave * (1 - leave),
    )
    through = leave * (1 - shown * shown)
    moved = jnp.split(d_gates + product(_before(states, hidden, reverse), d_weight), 4, -1)
    weights = jnp.split(weight, 4, 0)

    def follow(state: tuple[Array, Array], now: Any) -> Any:
        d_hidden, d_cell = state
        moved, factors, forget, through = now
        # One product a gate: transposed, its gradients need not be joined at every step.
        each = [f * (m + product(d_hidden, w)) for f, m, w in zip(factors, moved, weights, strict=True)]
        d_cell = forget * d_cell + each[0] + each[1] + each[2]
        d_hidden = each[3] + through * d_cell
        return (d_hidden, d_cell), d_hidden

    d_last, d_states = lax.scan(follow, (d_hidden, d_cell), (moved, factors, forget, through), reverse=reverse)
    return (states, *last), (d_states, *d_last)


# --- GRU


#: Where nothing but the next state is asked for, XLA would compute the sigmoids within it, as single numbers: twice the time.
_OPENED = make_primitive("opened_gates", jax.nn.sigmoid, partial(unfused, jax.nn.sigmoid), leading_batch=True)


def _gru_step(
    hidden: Array, gates: Array, weight: Array, bias: Array, sigmoid: Callable[[Array], Array] = jax.nn.sigmoid
) -> tuple[Array, Array, Array, Array, Array]:
    """The next state, the reset and the update gate, the tanh, and what the reset gate multiplies."""
    from_state = product(hidden, weight) + bias
    opened = sigmoid(gates + from_state)
    reset, update, _ = jnp.split(opened, 3, -1)
    held = jnp.split(from_state, 3, -1)[2]
    new = jnp.tanh(jnp.split(gates, 3, -1)[2] + reset * held)
    return (hidden - new) * update + new, reset, update, new, held


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def run_gru(gates: Array, weight: Array, bias: Array, hidden: Array, reverse: bool) -> tuple[Array, Array]:
    """The states of gated recurrent units whose reset gate multiplies the state's product with the weight and its ``bias``."""
    sigmoid = jax.nn.sigmoid if on_a_mesh(gates, weight, hidden) else _OPENED.bind

    def advance(state: Array, now: Array) -> Any:
        new = _gru_step(state, now, weight, bias, sigmoid)[0]
        return new, new

    last, states = lax.scan(advance, hidden, gates, reverse=reverse)
    return states, last


@run_gru.defjvp
def _gru_tangents(reverse: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    gates, weight, bias, hidden = primals
    d_gates, d_weight, d_bias, d_hidden = tangents

    def advance(state: Array, now: Array) -> Any:
        new = _gru_step(state, now, weight, bias)
        return new[0], new

    last, (states, reset, update, new, held) = lax.scan(advance, hidden, gates, reverse=reverse)
    before = _before(states, hidden, reverse)
    to_new = (1 - update) * (1 - new * new)
    factors = (to_new * held * reset * (1 - reset), (before - new) * update * (1 - update), to_new * reset)
    by_input, by_state = jnp.split(d_gates, 3, -1), jnp.split(product(before, d_weight) + d_bias, 3, -1)
    # The input's part of the third gate stands outside the reset gate.
    moved = factors[0] * (by_input[0] + by_state[0]) + factors[1] * (by_input[1] + by_state[1])
    moved = moved + to_new * by_input[2] + factors[2] * by_state[2]
    weights = jnp.split(weight, 3, 0)

    def follow(d_hidden: Array, now: Any) -> Any:
        moved, factors, update = now
        each = [f * product(d_hidden, w) for f, w in zip(factors, weights, strict=True)]
        d_hidden = update * d_hidden + moved + each[0] + each[1] + each[2]
        return d_hidden, d_hidden

    d_last, d_states = lax.scan(follow, d_hidden, (moved, factors, update), reverse=reverse)
    return (states, last), (d_states, d_last)


# --- one gate


@partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def run_elman(gates: Array, weight: Array, hidden: Array, relu: bool, reverse: bool) -> tuple[Array, Array]:
    """The states of units of one gate, which is the next state: its tanh, or its relu."""

    def advance(state: Array, now: Array) -> Any:
        z = now + product(state, weight)
        new = jax.nn.relu(z) if relu else jnp.tanh(z)
        return new, new

    last, states = lax.scan(advance, hidden, gates, reverse=reverse)
    return states, last


@run_elman.defjvp
def _elman_tangents(relu: bool, reverse: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    gates, weight, hidden = primals
    d_gates, d_weight, d_hidden = tangents
    states, last = run_elman(gates, weight, hidden, relu, reverse)
    slope = (states > 0).astype(states.dtype) if relu else 1 - states * states
    moved = slope * (d_gates + product(_before(states, hidden, reverse), d_weight))

    def follow(d_hidden: Array, now: tuple[Array, Array]) -> Any:
        moved, slope = now
        d_hidden = moved + slope * product(d_hidden, weight)
        return d_hidden, d_hidden

    d_last, d_states = lax.scan(follow, d_hidden, (moved, slope), reverse=reverse)
    return (states, last), (d_states, d_last)

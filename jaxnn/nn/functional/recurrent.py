"""Recurrent layers and cells: a call is one operator, its steps a `lax.scan`.

Sources: https://doi.org/10.1207/s15516709cog1402_1 (Elman), https://doi.org/10.1162/neco.1997.9.8.1735 (LSTM),
https://arxiv.org/abs/1406.1078 (GRU), https://arxiv.org/abs/1402.1128 (LSTM with projections); the variants are those of
https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers

Args:
    arguments: the operands in PyTorch's order, by position.
    named: the same by name.
    hx: the state before.
    w_ih, w_hh: the weights of input and state.
    b_ih, b_hh: the biases.

Shape: input (T, N, in) or packed, states (layers, N, hidden) -> results (T, N, hidden) and the last states; of cells
(N, in), (N, hidden) -> the next state.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.registry import Arrays, Operand, function, op
from jaxnn.nn.functional.common import is_floating, is_half, scalar_name
from jaxnn.nn.functional.linear import affine
from jaxnn.nn.functional.recurrent_kernels import product, run_elman, run_gru, run_lstm
from jaxnn.ops.random.masks import bernoulli_mask

__all__ = [
    "gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell", "run_layers",
]  # fmt: skip

#: The state before the step (of LSTM two arrays) and what the input adds to the gates; then the recurrent weights.
Step = Callable[[tuple[Array, ...], Array, Array, Array | None, Array | None], tuple[Array, ...]]


# --- one step


def _tanh_step(
    state: tuple[Array, ...], gates: Array, w_hh: Array, b_hh: Array | None, w_hr: Array | None
) -> tuple[Array, ...]:
    return (jnp.tanh(gates + affine(state[0], w_hh, b_hh)),)


def _relu_step(
    state: tuple[Array, ...], gates: Array, w_hh: Array, b_hh: Array | None, w_hr: Array | None
) -> tuple[Array, ...]:
    return (jax.nn.relu(gates + affine(state[0], w_hh, b_hh)),)


def _lstm_step(
    state: tuple[Array, ...], gates: Array, w_hh: Array, b_hh: Array | None, w_hr: Array | None
) -> tuple[Array, ...]:
    hidden, cell = state
    enter, forget, new, leave = jnp.split(gates + affine(hidden, w_hh, b_hh), 4, -1)
    cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
    hidden = jax.nn.sigmoid(leave) * jnp.tanh(cell)
    return (hidden if w_hr is None else affine(hidden, w_hr, None), cell)


def _gru_step(
    state: tuple[Array, ...], gates: Array, w_hh: Array, b_hh: Array | None, w_hr: Array | None
) -> tuple[Array, ...]:
    (hidden,) = state
    reset, update, new = jnp.split(gates, 3, -1)
    # PyTorch's variant: the reset gate acts on the product with the weights, not on the state that enters it.
    reset_h, update_h, new_h = jnp.split(affine(hidden, w_hh, b_hh), 3, -1)
    update = jax.nn.sigmoid(update + update_h)
    new = jnp.tanh(new + jax.nn.sigmoid(reset + reset_h) * new_h)
    return ((hidden - new) * update + new,)


# --- layers


def _scan(
    step: Step, x: Array, state: tuple[Array, ...], weights: tuple[Array | None, ...], valid: Array | None,
    reverse: bool,
) -> tuple[Array, tuple[Array, ...]]:  # fmt: skip
    """One direction of one layer on `(time, batch, features)`: the states at every step, and the last state.

    ``valid`` of shape `(time, batch)` says where sequences are; elsewhere the state stays, so that in either direction
    it is the first that enters a sequence and the last that leaves it.
    """
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    assert w_ih is not None and w_hh is not None
    if step is _lstm_step and valid is None and w_hr is None and x.dtype != jnp.float16:
        return _lstm(x, state, w_ih, w_hh, b_ih, b_hh, reverse)
    gates = affine(x, w_ih, b_ih)
    if valid is None and not is_half(x) and step is not _lstm_step:  # halves are rounded where PyTorch rounds them
        if step is _gru_step:
            states, final = run_gru(gates, w_hh, jnp.zeros(len(w_hh), w_hh.dtype) if b_hh is None else b_hh, *state, reverse)
        else:
            states, final = run_elman(gates if b_hh is None else gates + b_hh, w_hh, *state, step is _relu_step, reverse)
        return states, (final,)

    def advance(state: tuple[Array, ...], inputs: tuple[Array, Array | None]) -> Any:
        now, inside = inputs
        new = step(state, now, w_hh, b_hh, w_hr)
        if inside is not None:
            new = tuple(jnp.where(inside[:, None], n, s) for n, s in zip(new, state, strict=True))
        return new, new[0]

    last, states = lax.scan(advance, state, (gates, valid), reverse=reverse)
    return states, last


def _lstm(
    x: Array, state: tuple[Array, ...], w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, reverse: bool
) -> tuple[Array, tuple[Array, ...]]:
    """`_scan` of a plain LSTM. In bfloat16 gates and cells are float32, as in PyTorch's kernel of oneDNN; PyTorch has none in
    float16, where it rounds after each operator.
    """
    if is_half(x):
        gates = product(x.astype(jnp.float32), w_ih)
        gates = gates if b_ih is None else gates + b_ih
    else:
        gates = affine(x, w_ih, b_ih)
    gates = gates if b_hh is None else gates + b_hh
    states, *final = run_lstm(gates, w_hh, *(s.astype(gates.dtype) for s in state), reverse)
    return states.astype(x.dtype), tuple(f.astype(x.dtype) for f in final)


def _grouped(params: tuple[Array, ...], biases: bool, cells: int) -> list[tuple[Array | None, ...]]:
    """The weights of each direction of each layer: w_ih, w_hh, b_ih, b_hh, w_hr."""
    each = len(params) // max(cells, 1)
    if each * cells != len(params) or each - 2 * biases not in (2, 3):
        raise RuntimeError(f"got an incorrect number of RNN parameters: {len(params)} for {cells} cells")
    groups = []
    for k in range(0, len(params), each):
        w_ih, w_hh, *rest = params[k : k + each]
        pair = rest[:2] if biases else [None, None]
        groups.append((w_ih, w_hh, *pair, rest[-1] if each - 2 * biases == 3 else None))
    return groups


def _check_layers(
    input: Array, hx: tuple[Array, ...], params: tuple[Array, ...], groups: list[tuple[Array | None, ...]]
) -> None:
    for first, second in (*((input, p) for p in params), *((h, params[1]) for h in hx)):
        if first.dtype != second.dtype:
            raise RuntimeError(
                f"mat1 and mat2 must have the same dtype, but got {scalar_name(first)} and {scalar_name(second)}"
            )
    if not is_floating(input):
        raise NotImplementedError(f"recurrent layers are not implemented for '{scalar_name(input)}'")
    weight = groups[0][0]
    assert weight is not None
    if input.shape[-1] != weight.shape[1]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({prod(input.shape[:-1])}x{input.shape[-1]} and "
            f"{weight.shape[1]}x{weight.shape[0]})"
        )


def packed_places(batch_sizes: Array, batch: int, total: int) -> tuple[Array, Array, Array]:
    """Where packed rows lie: the row of each step and sequence, whether there is one, and for each row its place.

    The first two have the shape `(time, batch)`; a place is the index into these, flattened.
    """
    sizes = batch_sizes.astype(jnp.int32)
    ends = jnp.cumsum(sizes, dtype=jnp.int32)
    starts = ends - sizes
    sequences = jnp.arange(batch, dtype=jnp.int32)
    rows = jnp.arange(total, dtype=jnp.int32)
    steps = jnp.searchsorted(ends, rows, side="right").astype(jnp.int32)
    cells = steps * batch + rows - jnp.take(starts, steps, mode="clip")
    return starts[:, None] + sequences, sequences < sizes[:, None], cells


def _layers(
    step: Step, input: Array, hx: tuple[Array, ...], params: tuple[Array, ...], masks: tuple[Array, ...], keep: Any,
    batch_sizes: Array | None, batch: int | None, biases: bool, num_layers: int, bidirectional: bool, batch_first: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """All layers: what the last one puts out, and the last states of all, stacked."""
    directions = 2 if bidirectional else 1
    groups = _grouped(params, biases, num_layers * directions)
    _check_layers(input, hx, params, groups)
    x, valid, cells = input, None, None
    alone = batch_sizes is None and input.ndim == 2
    if batch_sizes is not None:
        batch = hx[0].shape[1] if hx else batch
        assert batch is not None
        rows, valid, cells = packed_places(batch_sizes, batch, len(input))
        x = jnp.where(valid[..., None], jnp.take(input, rows, axis=0, mode="clip"), 0)
        masks = tuple(jnp.take(m, rows, axis=0, mode="clip") for m in masks)
    elif alone:
        x, hx = input[:, None], tuple(h[:, None] for h in hx)
    elif batch_first:
        x = jnp.swapaxes(input, 0, 1)
    if x.shape[0] == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    last: list[tuple[Array, ...]] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            weights = groups[len(last)]
            state = tuple(h[len(last)] for h in hx) or _zeros(step, x, weights)
            states, final = _scan(step, x, state, weights, valid, reverse=direction == 1)
            outputs.append(states)
            last.append(final)
        x = outputs[0] if directions == 1 else jnp.concatenate(outputs, -1)
        if masks and layer < num_layers - 1:
            x = x * (masks[layer].astype(x.dtype) / jnp.asarray(keep))
    finals = tuple(jnp.stack(each) for each in zip(*last, strict=True))
    if cells is not None:
        return jnp.take(x.reshape(-1, x.shape[-1]), cells, axis=0, mode="clip"), *finals
    if alone:
        return x[:, 0], *(f[:, 0] for f in finals)
    return (jnp.swapaxes(x, 0, 1) if batch_first else x), *finals


def _zeros(step: Step, x: Array, weights: tuple[Array | None, ...]) -> tuple[Array, ...]:
    _, w_hh, _, _, w_hr = weights
    assert w_hh is not None
    hidden = jnp.zeros((x.shape[1], w_hh.shape[1]), x.dtype)
    if step is not _lstm_step:
        return (hidden,)
    return hidden, hidden if w_hr is None else jnp.zeros((x.shape[1], w_hr.shape[1]), x.dtype)


def _operator(name: str, step: Step) -> Any:
    def layers(
        input: Array, hx: Arrays, params: Arrays, masks: Arrays, keep: Operand, batch_sizes: Array | None,
        batch: int | None, biases: bool, num_layers: int, bidirectional: bool, batch_first: bool,
    ) -> tuple[Array, ...]:  # fmt: skip
        return _layers(
            step, input, hx, params, masks, keep, batch_sizes, batch, biases, num_layers, bidirectional, batch_first
        )

    return op(layers, name=name, method=False, grad_name="StackBackward0")


_OPERATORS = {
    "lstm": _operator("lstm", _lstm_step),
    "gru": _operator("gru", _gru_step),
    "rnn_tanh": _operator("rnn_tanh", _tanh_step),
    "rnn_relu": _operator("rnn_relu", _relu_step),
}


@op(method=False, differentiable=False)
def _layer_output(input: Array, shape: tuple[int, ...]) -> Array:
    """Something of the shape of what a layer puts out, all zero."""
    return jnp.zeros(shape, input.dtype)


def run_layers(
    kind: str, input: Any, batch_sizes: Any, hx: tuple[Any, ...], params: Any, has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool = False, batch: int | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """The layers of one kind ("lstm", "gru", "rnn_tanh" or "rnn_relu"): outputs, and the last state or states.

    Args:
        batch_sizes: None for padded input; for packed input how many sequences each step has.
        hx: the first states; without any they are zero, and packed input needs ``batch``, the number of sequences.
        params: for each layer and direction w_ih, w_hh, with biases b_ih, b_hh, with a projection w_hr.

    Dropout follows each layer but the last. Its masks come from PyTorch's stream, layer by layer, time first.
    """
    masks: tuple[Any, ...] = ()
    keep = 1.0
    if train and dropout and num_layers > 1:
        directions = 1 + bidirectional
        projection = 4 if has_biases else 2
        projected = len(params) > projection * num_layers * directions
        width = params[projection].shape[0] if projected else params[1].shape[1]
        sizes = tuple(input.shape)
        if batch_sizes is None:
            sizes = (sizes[0], 1) if len(sizes) == 2 else sizes[1::-1] if batch_first else sizes[:2]
        else:
            sizes = sizes[:1]
        like = _layer_output(input, (*sizes, width * directions))
        if dropout < 1:
            keep = 1 - dropout
            masks = tuple(bernoulli_mask(like, keep) for _ in range(num_layers - 1))
        else:
            masks = (like,) * (num_layers - 1)
    return _OPERATORS[kind](
        input, hx, tuple(params), masks, keep, batch_sizes, batch, has_biases, num_layers, bidirectional, batch_first
    )


def _function(kind: str, states: int) -> Any:
    def layers(input: Any, *arguments: Any, **named: Any) -> tuple[Any, ...]:
        packed = "batch_sizes" in named or (
            isinstance(arguments[0], TensorBase)
            and (states == 2 or (len(arguments) > 1 and isinstance(arguments[1], TensorBase)))
        )
        return (_packed if packed else _padded)(input, *arguments, **named)

    def _padded(
        input: Any, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool,
    ) -> tuple[Any, ...]:  # fmt: skip
        hx = tuple(hx) if states == 2 else (hx,)
        return run_layers(
            kind, input, None, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first
        )

    def _packed(
        data: Any, batch_sizes: Any, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float,
        train: bool, bidirectional: bool,
    ) -> tuple[Any, ...]:  # fmt: skip
        hx = tuple(hx) if states == 2 else (hx,)
        return run_layers(kind, data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)

    layers.__name__ = layers.__qualname__ = kind
    layers.__doc__ = f"""`run_layers` of kind {kind!r}, called as ``torch.{kind}``: two overloads, for padded and packed input.

    ``(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`` or
    ``(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)``.
    """
    return function(layers, method=False)


lstm = _function("lstm", 2)
gru = _function("gru", 1)
rnn_tanh = _function("rnn_tanh", 1)
rnn_relu = _function("rnn_relu", 1)


# --- cells


def _check_cell(input: Array, hx: tuple[Array, ...], w_ih: Array, w_hh: Array) -> None:
    for other, name in ((w_ih, "mat2"), (w_hh, "mat2"), *((h, "mat1") for h in hx)):
        if other.dtype != input.dtype:
            pair = (input, other) if name == "mat2" else (other, w_hh)
            raise RuntimeError(
                f"mat1 and mat2 must have the same dtype, but got {scalar_name(pair[0])} and {scalar_name(pair[1])}"
            )
    x, *states = ((1, *a.shape) if input.ndim == 1 else a.shape for a in (input, *hx))
    if x[1] != w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {x[1]} expected {w_ih.shape[1]}")
    for k, shape in enumerate(states):
        if shape[0] != x[0]:
            raise RuntimeError(f"Input batch size {x[0]} doesn't match hidden{k} batch size {shape[0]}")
        if len(shape) < 2:
            raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1)")
        if shape[1] != w_hh.shape[1]:
            raise RuntimeError(f"hidden{k} has inconsistent hidden_size: got {shape[1]}, expected {w_hh.shape[1]}")


def _cell(
    step: Step, input: Array, hx: tuple[Array, ...], w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None
) -> tuple[Array, ...]:
    _check_cell(input, hx, w_ih, w_hh)
    if not hx:
        zeros = jnp.zeros((*input.shape[:-1], w_hh.shape[1]), input.dtype)
        hx = (zeros, zeros) if step is _lstm_step else (zeros,)
    return step(hx, affine(input, w_ih, b_ih), w_hh, b_hh, None)


def _cell_operator(name: str, step: Step, grad_name: str) -> Any:
    def cell(
        input: Array, hx: Array | None, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
    ) -> Array:
        return _cell(step, input, () if hx is None else (hx,), w_ih, w_hh, b_ih, b_hh)[0]

    cell.__doc__ = f"""One step of `{name.removesuffix("_cell")}`: the next state; a state None is zero.

    Shapes: input `(N, in)` or `(in)`, hx `(N, hidden)` or `(hidden)`. Raises RuntimeError for sizes that do not fit.
    """
    return function(op(cell, name=name, method=False, grad_name=grad_name), name=name, method=False)


rnn_tanh_cell = _cell_operator("rnn_tanh_cell", _tanh_step, "TanhBackward0")
rnn_relu_cell = _cell_operator("rnn_relu_cell", _relu_step, "ReluBackward0")
gru_cell = _cell_operator("gru_cell", _gru_step, "AddBackward0")


@op(method=False, grad_name="AddBackward0")
def lstm_cell(
    input: Array, hx: Arrays, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> tuple[Array, ...]:
    """One step of `lstm`: the next hidden state and the next cell state; without states in ``hx`` they are zero.

    Shapes: input `(N, in)` or `(in)`, states `(N, hidden)` or `(hidden)`. Raises RuntimeError for sizes that do not fit.
    """
    return _cell(_lstm_step, input, hx, w_ih, w_hh, b_ih, b_hh)


function(lstm_cell, name="lstm_cell", method=False)

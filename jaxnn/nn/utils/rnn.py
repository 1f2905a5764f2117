"""Sequences of different lengths: padded to one length, or packed without padding.

Packed data holds step after step, each with the sequences that are that long. How many they are, and so the shapes, are
values: a step with new lengths is another program. Small ones run in numpy, operator by operator; the executables of large ones are
compiled for each number of rows and of steps.

Args:
    lengths: of each sequence.
    sequences: a list of tensors (L, *).
    sequence, packed_sequences: a `PackedSequence`.
    padded_sequences: (T, N, *) or (N, T, *).
    padding_value: what stands after the end.
    padding_side: 'right' or 'left'.
    permutation: a vector of all numbers below its size.

Source: https://docs.pytorch.org/docs/stable/nn.html#utility-functions (PackedSequence and below)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds.device import device_of
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import state
from jaxnn.core.record.recorder import escaped_value
from jaxnn.core.registry import Arrays, Operand, op
from jaxnn.nn.functional.common import known
from jaxnn.nn.functional.recurrent import packed_places
from jaxnn.ops.common.placement import made

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence",
    "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence_(NamedTuple):
    """The fields of a `PackedSequence`."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


def _on_host(values: Any) -> np.ndarray | None:
    """The numbers of tensors that are there already and carry no gradient, so that no program need be compiled."""
    return None if state.grad_enabled and values.requires_grad else known(values)


class PackedSequence(PackedSequence_):
    """Sequences without padding; made by `pack_padded_sequence` and `pack_sequence`.

    ``data`` holds the steps one after the other, ``batch_sizes`` (int64, on the CPU) the number of sequences that each
    step has. ``sorted_indices`` tells how the sequences were sorted by length, ``unsorted_indices`` how to undo it; both
    are None when they came sorted.

    Raises:
        ValueError: for ``batch_sizes`` that are not on the CPU.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.PackedSequence.html
    """

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if batch_sizes is None and data is not None:  # JAX rebuilds containers with placeholders or None in them
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if isinstance(batch_sizes, TensorBase) and device_of(aval(batch_sizes).placement).type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. They "
                "should be instantiated by functions like pack_sequence and pack_padded_sequence in nn.utils.rnn. "
                "https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        if unsorted_indices is None and isinstance(sorted_indices, (TensorBase, jax.Array)):
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Any) -> PackedSequence:
        if data is self.data:
            return self
        there = [None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(data, self.batch_sizes, *there)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data converted as by `Tensor.to`, the indices on its device; itself when nothing changes."""
        return self._with(self.data.to(*args, **kwargs))

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Data and indices on a GPU."""
        return self._with(self.data.cuda(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Data and indices on the CPU."""
        return self._with(self.data.cpu(*args, **kwargs))

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self._with(self.data.double())

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self._with(self.data.float())

    def half(self) -> PackedSequence:
        """The data as float16."""
        return self._with(self.data.half())

    def long(self) -> PackedSequence:
        """The data as int64."""
        return self._with(self.data.long())

    def int(self) -> PackedSequence:
        """The data as int32."""
        return self._with(self.data.int())

    def short(self) -> PackedSequence:
        """The data as int16."""
        return self._with(self.data.short())

    def char(self) -> PackedSequence:
        """The data as int8."""
        return self._with(self.data.char())

    def byte(self) -> PackedSequence:
        """The data as uint8."""
        return self._with(self.data.byte())

    def pin_memory(self) -> PackedSequence:
        """Not supported, as for tensors."""
        raise NotImplementedError("PackedSequence.pin_memory() is not supported")

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return False


def number_of_sequences(packed: Any) -> Any:
    """How many sequences are packed.

    Raises:
        RuntimeError: inside a JAX transformation when only values tell it.
    """
    if packed.sorted_indices is not None:
        return packed.sorted_indices.shape[0]
    if not packed.batch_sizes.shape[0]:
        return 0
    sizes = escaped_value(packed.batch_sizes) if isinstance(packed.batch_sizes, TensorBase) else packed.batch_sizes
    if isinstance(sizes, jax.core.Tracer):
        raise RuntimeError(
            "inside a JAX transformation the number of packed sequences is not known: pack with enforce_sorted=False, "
            "whose sorted_indices tell it"
        )
    return int(np.asarray(sizes)[0])


@op(method=False, differentiable=False, name="invert_permutation")
def _inverted(permutation: Array) -> Array:
    return jnp.zeros_like(permutation).at[permutation].set(jnp.arange(len(permutation), dtype=permutation.dtype))


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes one; None for None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.invert_permutation.html
    """
    if permutation is None:
        return None
    there = known(permutation)
    if there is None or not isinstance(permutation, TensorBase):
        return _inverted(permutation)
    return made(np.argsort(there).astype(there.dtype), device_of(aval(permutation).placement))


def _lengths(lengths: Any) -> np.ndarray:
    """Lengths as integers on the host."""
    if isinstance(lengths, TensorBase):
        lengths = escaped_value(lengths)
    elif isinstance(lengths, (list, tuple)):
        lengths = [n.item() if isinstance(n, TensorBase) else n for n in lengths]
    return np.asarray(lengths).astype(np.int64)


@op(method=False, name="_pack_padded_sequence", grad_name="PackPaddedSequenceBackward0")
def _rows(input: Array, rows: Array) -> Array:
    return jnp.take(input.reshape(-1, *input.shape[2:]), rows, axis=0, mode="clip")


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Drop the padding of padded sequences.

    Shapes: input `(T, B, *)`, with ``batch_first`` `(B, T, *)`; lengths `(B)`, decreasing unless ``enforce_sorted`` is
    False. Raises RuntimeError for lengths that are not sorted, not positive, above T or not B.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html
    """
    counts = _lengths(lengths)
    if not isinstance(input, TensorBase):
        raise TypeError(f"pack_padded_sequence(): argument 'input' must be Tensor, not {type(input).__name__}")
    if counts.ndim != 1:
        raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {counts.ndim}D lengths")
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1)")
    batch, steps = shape[:2] if batch_first else shape[1::-1]
    if 0 in shape:
        raise RuntimeError("Cannot pack empty tensors.")
    if counts.shape != (batch,):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {counts.size} (batch_size={batch})"
        )
    order = None if enforce_sorted else np.argsort(-counts, kind="stable")
    if order is not None:
        counts = counts[order]
    if counts[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if (np.diff(counts) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do "
            "not need ONNX exportability."
        )
    if counts[0] > steps:
        raise RuntimeError(f"Expected lengths of at most {steps}, the length of the input, but got {counts[0]}")
    inside = np.arange(counts[0])[:, None] < counts
    step, sequence = np.nonzero(inside)
    if order is not None:
        sequence = order[sequence]
    device = input.device
    rows = sequence * steps + step if batch_first else step * batch + sequence
    there = _on_host(input)
    data = _rows(input, made(rows, device)) if there is None else made(there.reshape(-1, *shape[2:])[rows], device)
    indices = (None, None) if order is None else (made(order, device), made(np.argsort(order), device))
    return PackedSequence(data, made(inside.sum(1), "cpu"), *indices)


@op(method=False, name="_pad_packed_sequence", grad_name="CopySlices")
def _padded(
    data: Array, batch_sizes: Array, unsorted: Array | None, value: Operand, batch: int, steps: int, batch_first: bool
) -> Array:
    rows, inside, _ = packed_places(batch_sizes, batch, len(data))
    rows, inside = (jnp.pad(a, ((0, steps - len(batch_sizes)), (0, 0))) for a in (rows, inside))
    if unsorted is not None:
        rows, inside = rows[:, unsorted], inside[:, unsorted]
    if batch_first:
        rows, inside = rows.T, inside.T
    inside = inside.reshape(*inside.shape, *(1,) * (data.ndim - 1))
    return jnp.where(inside, jnp.take(data, rows, axis=0, mode="clip"), jnp.asarray(value).astype(data.dtype))


@op(method=False, differentiable=False)
def _packed_lengths(batch_sizes: Array, unsorted: Array | None, batch: int) -> Array:
    counts = (jnp.arange(batch) < batch_sizes[:, None]).sum(0, dtype=batch_sizes.dtype)
    return counts if unsorted is None else counts[unsorted]


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """The padded sequences, in their first order, and their lengths: the inverse of `pack_padded_sequence`.

    Shapes: `(T, B, *)`, with ``batch_first`` `(B, T, *)`, where T is the greatest length or ``total_length``; `(B)`.
    Raises ValueError for a ``total_length`` below the greatest length.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_packed_sequence.html
    """
    sizes = sequence.batch_sizes
    steps = sizes.shape[0]
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    batch = number_of_sequences(sequence)
    unsorted = sequence.unsorted_indices
    data = sequence.data
    padded = _padded(data, sizes.to(data.device), unsorted, padding_value, batch, steps, batch_first)
    return padded, _packed_lengths(sizes, None if unsorted is None else unsorted.to("cpu"), batch)


def _check_sequences(sequences: tuple[Any, ...], padding_side: str) -> None:
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    for k, s in enumerate(sequences):
        if not isinstance(s, TensorBase):
            raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(s).__name__}")
    first = tuple(sequences[0].shape)
    for s in sequences:
        shape = tuple(s.shape)
        if not shape:
            raise RuntimeError("pad_sequence: expected sequences of at least one dimension, but got one without any")
        if shape[1:] != first[1:]:
            where = next((d for d, (a, b) in enumerate(zip(first[1:], shape[1:], strict=False)) if a != b), None)
            if where is None or len(shape) != len(first):
                raise RuntimeError(f"pad_sequence: sequences differ in more than their length: {first} and {shape}")
            raise RuntimeError(
                f"The size of tensor a ({first[1 + where]}) must match the size of tensor b ({shape[1 + where]}) at "
                f"non-singleton dimension {where + 1}"
            )


@op(method=False, name="pad_sequence", grad_name="CopySlices")
def _stacked(sequences: Arrays, value: Operand, batch_first: bool, left: bool) -> Array:
    longest = max(len(s) for s in sequences)
    first = sequences[0]
    value = jnp.asarray(value).astype(first.dtype)

    def padded(s: Array) -> Array:
        missing = longest - len(s)
        widths = ((missing, 0) if left else (0, missing), *((0, 0),) * (s.ndim - 1))
        return jnp.pad(s.astype(first.dtype), widths, constant_values=value)

    return jnp.stack([padded(s) for s in sequences], 0 if batch_first else 1)


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Stack sequences of different lengths, padded on one side to the longest.

    Shapes: each `(L, *)`; result `(T, B, *)`, with ``batch_first`` `(B, T, *)`. Raises RuntimeError for no sequences and
    for sequences that differ in more than their length.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_sequence.html
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = sequences.unbind(0) if isinstance(sequences, TensorBase) else tuple(sequences)
    _check_sequences(sequences, padding_side)
    left = padding_side == "left"
    there = [_on_host(s) for s in sequences]
    if any(s is None for s in there):
        return _stacked(sequences, padding_value, batch_first, left)
    longest = max(len(s) for s in there)  # type: ignore[arg-type]
    result = np.full((len(there), longest, *sequences[0].shape[1:]), padding_value, aval(sequences[0]).np)
    for row, s in zip(result, there, strict=True):
        row[slice(longest - len(s), None) if left else slice(len(s))] = s  # type: ignore[arg-type]
    return made(result if batch_first else np.ascontiguousarray(np.swapaxes(result, 0, 1)), sequences[0].device)


@op(method=False, name="_unpad_sequence", grad_name="IndexBackward0")
def _sequence(padded: Array, index: Operand, length: int, batch_first: bool) -> Array:
    return jnp.take(padded, jnp.asarray(index), axis=0 if batch_first else 1, mode="clip")[:length]


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences that were padded, as a list.

    Shapes: `(T, B, *)`, with ``batch_first`` `(B, T, *)`; lengths `(B)`.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpad_sequence.html
    """
    batch = padded_sequences.shape[0 if batch_first else 1]
    counts = _lengths(lengths)
    if len(counts) != batch:
        raise ValueError(f"unpad_sequence: got {batch} sequences but {len(counts)} lengths")
    return [_sequence(padded_sequences, k, int(n), batch_first) for k, n in enumerate(counts)]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences `(L, *)`, sorted by decreasing length unless ``enforce_sorted`` is False.

    Raises RuntimeError for no sequences and for lengths that are not sorted.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_sequence.html
    """
    sequences = list(sequences)
    lengths = [s.size(0) for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences of a `PackedSequence`, in their first order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpack_sequence.html
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)

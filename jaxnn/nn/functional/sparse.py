"""Tables looked up by index.

Args:
    weight: (V, D): the table.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.record.write import write_back
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import holds_jax_integers, is_floating, scalar_name, value_of, widen, within
from jaxnn.nn.functional.distance import vector_norm
from jaxnn.ops.common.arguments import need_tensor


def _check_table(indices: Array, weight: Array) -> None:
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices.dtype not in (jnp.int64, jnp.int32):
        got = "CPUBoolType" if indices.dtype == jnp.bool_ else f"torch.{scalar_name(indices)}Tensor"
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {got} instead (while checking arguments for embedding)"
        )
    if weight.shape[0] == 0 and indices.size:
        raise RuntimeError("index_select(): self indexing axis dim should be positive")
    _require_in_range(indices, weight)


def _require_in_range(indices: Any, weight: Any, *static: Any) -> None:
    """PyTorch's IndexError where the indices are known."""
    if len(weight.shape) == 2 and weight.shape[0] and indices.dtype.itemsize >= 4 and not within(indices, 0, weight.shape[0]):
        raise IndexError("index out of range in self")


def _rows(weight: Array, indices: Array) -> Array:
    # An index out of range that was not known early enough for an error gives NaN, a negative one too.
    return jnp.asarray(weight).at[jnp.where(indices < 0, weight.shape[0], indices)].get(mode="fill")


@op(method=False, name="embedding", check=_require_in_range)
def _embedding(input: Array, weight: Array, padding_idx: int, scale_grad_by_freq: bool) -> Array:
    _check_table(input, weight)
    rows = _rows(weight, input)
    if not is_floating(weight):
        return rows
    if scale_grad_by_freq:
        counts = jnp.zeros(weight.shape[0], weight.dtype).at[input].add(1)[input]
        rows = value_of(lax.stop_gradient(rows), rows / counts[..., None])
    if padding_idx >= 0:
        rows = jnp.where((input == padding_idx)[..., None], lax.stop_gradient(rows), rows)
    return rows


@op(method=False, differentiable=False)
def _renormalized(weight: Array, indices: Array, max_norm: float, norm_type: float) -> Array:
    """The table with those rows that `indices` names scaled down to `max_norm` where they are longer."""
    _check_table(indices, weight)
    rows = widen(_rows(weight, indices))
    norms = vector_norm(rows, norm_type, (-1,), keepdim=True)
    scaled = jnp.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    return value_of(lax.stop_gradient(jnp.asarray(weight).at[indices].set(scaled.astype(weight.dtype))), weight)


def limited_rows(weight: Any, input: Any, max_norm: float, norm_type: float) -> Any:
    """The table with the rows in use scaled to at most a norm: in place for a tensor, a new table for a raw array."""
    scaled = _renormalized(weight, input, max_norm=max_norm, norm_type=norm_type)
    if not hasattr(weight, "detach"):
        return scaled
    write_back(weight.detach(), scaled)
    return weight


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of `weight` that `input` names.

    Rows named by `padding_idx` get no gradient. With `max_norm` the rows in use are first scaled, in `weight` itself,
    to at most this norm (a raw array cannot be changed: there the scaled rows are used). `scale_grad_by_freq` divides
    gradients by the number of times a row occurs. `sparse` is a hint: gradients are dense, with the same values.

    Shapes: input `(*)` of integers, weight `(V, D)`; result `(*, D)`.
    Raises IndexError for an index out of range (NaN where the indices are known too late), RuntimeError for inputs of
    another kind, AssertionError for a `padding_idx` outside the table.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html
    """
    need_tensor(weight, "embedding", "weight")
    rows = weight.shape[0] if len(weight.shape) else 0
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    if max_norm is not None:
        weight = limited_rows(weight, input, float(max_norm), float(norm_type))
    return _embedding(
        input,
        weight,
        padding_idx=-1 if padding_idx is None else padding_idx,
        scale_grad_by_freq=bool(scale_grad_by_freq),
    )


def _require_classes(input: Any, num_classes: int) -> None:
    """PyTorch's RuntimeError where the classes are known."""
    if not within(input, 0, 1 << 63):
        raise RuntimeError("Class values must be non-negative.")
    if not within(input, 0, num_classes):
        raise RuntimeError("Class values must be smaller than num_classes.")


@op(method=False, name="one_hot", check=_require_classes)
def _one_hot(input: Array, num_classes: int) -> Array:
    _require_classes(input, num_classes)
    return (input[..., None] == jnp.arange(num_classes, dtype=input.dtype)).astype(input.dtype)


@op(method=False)
def _largest(input: Array) -> Array:
    return jnp.max(input)


def one_hot(input: Any, num_classes: int = -1) -> Any:
    """1 at the class that each element names, 0 elsewhere; without `num_classes` one more than the largest of them.

    Shapes: `(*)` of int64 to `(*, num_classes)`. Without `num_classes` the values are needed at once, so that it cannot
    run inside a JAX transformation.
    Raises RuntimeError for other dtypes and classes out of range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.one_hot.html
    """
    need_tensor(input, "one_hot")
    kind = input.dtype.name
    if kind != "int64" and not (kind == "int32" and holds_jax_integers(input)):
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    empty = 0 in tuple(input.shape)
    if empty and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if num_classes == -1:
        num_classes = max(int(_largest(input)) + 1, 0)
    return _one_hot(input, num_classes=num_classes)

"""Cross entropy of a linear layer's output, at once or a piece of the batch at a time."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.registry import op
from jaxnn.nn.functional.class_loss import _cross_entropy, cross_entropy
from jaxnn.nn.functional.common import holds_jax_integers, is_half, known, within
from jaxnn.nn.functional.linear import linear
from jaxnn.nn.functional.reduction import checked_reduction

_POLICIES = ("accurate", "balanced", "compact", "auto")


@dataclasses.dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How `linear_cross_entropy` goes through the batch in pieces, so that the scores of all of it never exist at once.

    Args:
        allow_retain_graph: in PyTorch, allows a second backward; here it always works.
        batch_chunk_size: rows a piece; None leaves the choice to `chunking_method`.
        chunking_method: 'aspect_ratio', 'aspect_ratio:N' (pieces whose scores are at most N times as large as the
            input), 'auto', which is 'aspect_ratio:2', or None: one piece.
        acc_policy: with 'compact' the weight's gradient of float16 and bfloat16 adds up in that type, else in float32.
        acc_dtype: the type in which it adds up, in place of the policy's.

    Raises ValueError for a value that is none of these.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear_cross_entropy.html
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: dtypes.dtype | None = None

    def __post_init__(self) -> None:
        size, kind = self.batch_chunk_size, self.acc_dtype
        if size is not None and (not isinstance(size, int) or size <= 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size}")
        if self.chunking_method is not None and self.chunking_method != "auto":
            name, colon, ratio = self.chunking_method.partition(":")
            if name != "aspect_ratio" or (colon and not (ratio.isdecimal() and int(ratio) > 0)):
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        if self.acc_policy not in _POLICIES:
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        allowed = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)
        if kind is not None and kind not in allowed:
            raise ValueError(
                f"acc_dtype must be one of {{None, {', '.join(map(str, allowed))}}}, got {kind!r}. "
                "Pass acc_dtype=None to let the op pick automatically."
            )

    def rows(self, batch: int, features: int, classes: int) -> int:
        """The number of rows in a piece."""
        if self.batch_chunk_size is not None:
            return max(min(self.batch_chunk_size, batch), 1)
        if self.chunking_method is None:
            return max(batch, 1)
        method = "aspect_ratio:2" if self.chunking_method == "auto" else self.chunking_method
        ratio = int(method.partition(":")[2] or 1)
        pieces = -(-classes // max(features * ratio, 1))
        return max(-(-batch // max(pieces, 1)), 1)


def _require_in_range(
    input: Any, linear_weight: Any, target: Any, linear_bias: Any, weight: Any, ignore_index: int, *rest: Any
) -> None:
    """PyTorch's RuntimeError where the target's values are known."""
    classes = linear_weight.shape[0]
    if within(target, 0, classes):
        return
    values = known(target)
    if values is not None:
        wrong = values[(values != ignore_index) & ((values < 0) | (values >= classes))]
        if wrong.size:
            raise RuntimeError(f"index {wrong.flat[0]} is out of bounds for dimension 1 with size {classes}")


@op(method=False, name="linear_cross_entropy", grad_name="NllLossBackward0", check=_require_in_range)
def _by_pieces(
    input: Array, linear_weight: Array, target: Array, linear_bias: Array | None, weight: Array | None, ignore_index: int,
    reduction: str, rows: int, acc_dtype: dtypes.dtype,
) -> Array:  # fmt: skip
    dtype = input.dtype
    unbatched = input.ndim == 1
    x, y = (input[None], target.reshape(1)) if unbatched else (input, target)
    count = x.shape[0]
    # Each piece adds to the weight's gradient, in the type that the weight comes in.
    w = linear_weight.astype(acc_dtype.np)
    b = None if linear_bias is None else linear_bias.astype(acc_dtype.np)
    pieces = -(-count // rows)
    fill = pieces * rows - count
    x = jnp.pad(x, ((0, fill), (0, 0))).reshape(pieces, rows, x.shape[1])
    y = jnp.pad(y, (0, fill), constant_values=ignore_index).reshape(pieces, rows)

    @jax.checkpoint
    def losses(rows_x: Array, rows_y: Array) -> Array:
        logits = linear.raw(rows_x, w.astype(dtype), None if b is None else b.astype(dtype))
        return _cross_entropy.raw(logits, rows_y, weight, ignore_index, "none", 0.0)

    _, each = lax.scan(lambda carry, piece: (carry, losses(*piece)), None, (x, y))
    each = each.reshape(-1)[:count]
    if reduction == "none":
        return each[0] if unbatched else each
    total = jnp.sum(each.astype(jnp.float32) if is_half(each) else each)
    if reduction == "mean":
        kept = target.reshape(-1) != ignore_index
        if weight is None:
            total = total / jnp.sum(kept)
        else:
            scale = lax.stop_gradient(weight)[jnp.where(kept, target.reshape(-1), 0)]
            total = total / jnp.sum(jnp.where(kept, scale, 0).astype(total.dtype))
    return total.astype(dtype)


def _accumulation(options: LinearCrossEntropyOptions, kind: dtypes.dtype) -> dtypes.dtype:
    """The type in which gradients of the weight add up."""
    half = kind in (dtypes.float16, dtypes.bfloat16)
    if options.acc_dtype is None:
        return dtypes.float32 if half and options.acc_policy != "compact" else kind
    if options.acc_dtype is not kind and not (half and options.acc_dtype is dtypes.float32):
        raise RuntimeError(
            "linear_cross_entropy supports float32 acc_dtype with float16/bfloat16 inputs, but got "
            f"{options.acc_dtype} acc_dtype and {kind} inputs."
        )
    return options.acc_dtype


def _check_shapes(input: Any, linear_weight: Any, linear_bias: Any) -> None:
    shape, wide = tuple(input.shape), tuple(linear_weight.shape)
    if len(shape) not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {len(shape)}")
    if len(wide) < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {len(wide)}")
    if shape[-1] != wide[-1]:
        raise RuntimeError(
            f"expected equal input and linear_weight last dimensions (in_features), got {shape[-1]} and {wide[-1]}, "
            "respectively"
        )
    if len(wide) > 2 and len(shape) == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {wide} requires batched input, (N, {shape[-1]}), got "
            f"unbatched input with shape {shape}"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != wide[:-1]:
        raise RuntimeError(f"expected linear_bias shape {wide[:-1]}, got {tuple(linear_bias.shape)}")


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Any:
    """`cross_entropy` of `linear`, with `options` a piece of the batch at a time.

    Shapes: input `(N, in)` or `(in)`, linear_weight `(C, *, in)`, linear_bias `(C, *)`, weight `(C)`; target as
    `cross_entropy` takes it for scores `(N, C, *)`. What cannot be done in pieces (probabilities, label smoothing, more
    dimensions than C) is done at once, with a warning.
    Raises RuntimeError for shapes that do not fit, ValueError for an unknown reduction.

    Args:
        linear_weight, linear_bias: of the linear layer.
        weight: a factor of each class.
        options: how to go through the batch in pieces.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear_cross_entropy.html
    """
    _check_shapes(input, linear_weight, linear_bias)
    shape, wide = tuple(input.shape), tuple(linear_weight.shape)
    classes, more = wide[0], wide[1:-1]
    probabilities = not target.dtype.name.startswith(("int", "uint", "bool"))
    indices = target.dtype.name == "int64" or (target.dtype.name == "int32" and holds_jax_integers(target))
    if probabilities and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    if options is not None:
        if reduction in ("mean", "sum", "none") and label_smoothing == 0 and indices and not more:
            kind = dtypes.of(input.dtype)
            rows = options.rows(shape[0] if len(shape) == 2 else 1, shape[-1], classes)
            checked_reduction(reduction)
            return _by_pieces(
                input, linear_weight, target, linear_bias, weight, ignore_index=ignored, reduction=reduction, rows=rows,
                acc_dtype=_accumulation(options, kind),
            )  # fmt: skip
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in {'mean','sum','none'}, "
            "label_smoothing == 0, target.dtype == int64, out_features == (). "
            f"Got reduction={reduction!r}, label_smoothing={label_smoothing}, target.dtype={target.dtype}, "
            f"out_features={more}, tracing=False, "
            f"linear_bias.shape={None if linear_bias is None else tuple(linear_bias.shape)}.",
            stacklevel=2,
        )
    if more:
        flat = linear_weight.reshape(-1, wide[-1])
        logits = linear(input, flat, None if linear_bias is None else linear_bias.reshape(-1))
        logits = logits.reshape(shape[0], classes, *more)
    else:
        logits = linear(input, linear_weight, linear_bias)
    return cross_entropy(
        logits, target, weight=weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing
    )

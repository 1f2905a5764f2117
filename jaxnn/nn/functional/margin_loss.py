"""Losses that ask for a margin between what should be large and what should be small.

Args:
    input1, input2: what is compared.
    anchor, positive, negative: the positive is to be closer to the anchor than the negative.
    distance_function: takes two tensors and gives their distances.
    weight: (C): a factor of each class.
    p: the exponent of the hinge, or of the norm that is the distance.

Shape: two that broadcast -> a scalar, or one number an element (a sample, for losses over classes or vectors) with
``reduction="none"``.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import Size
from jaxnn.core.registry import Operand, op
from jaxnn.nn.functional.common import (
    holds_jax_integers,
    is_floating,
    promoted,
    promoted_to_float,
    require_broadcast,
    require_real_float,
    scalar_name,
    size_text,
    widen,
    within,
)
from jaxnn.nn.functional.constants import constant, refuse_gradient
from jaxnn.nn.functional.distance import pairwise_distance
from jaxnn.nn.functional.reduction import checked_reduction, last_operator, reduced
from jaxnn.ops.common.arguments import need_tensor


def _at_least_zero(x: Array) -> Array:
    """max(0, x) whose derivative at 0 is 1 and at NaN 0, as that of PyTorch's clamp."""
    return jnp.where(x < 0, 0, jnp.where(jnp.isnan(x), lax.stop_gradient(x), x))


def _mean_of_floats(loss: Array, reduction: str) -> None:
    if reduction == "mean" and not is_floating(loss):
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {scalar_name(loss)}"
        )


# --- pairs of vectors --------------------------------------------------------------------------------------------


@op(method=False, name="cosine_embedding_loss", grad_name=last_operator("AddBackward0"))
def _cosine_embedding_loss(input1: Array, input2: Array, target: Array, margin: Operand, reduction: str) -> Array:
    shapes = f"but found inputs with sizes {size_text(input1.shape)} and {size_text(input2.shape)}."
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim == 1 and (input1.ndim != 2 or input2.ndim != 2):
        raise RuntimeError(f"1D target tensor expects 2D input tensors, {shapes}")
    if target.ndim == 0 and (input1.ndim != 1 or input2.ndim != 1):
        raise RuntimeError(f"0D target tensor expects 1D input tensors, {shapes}")
    require_broadcast(input1.shape, input2.shape)
    (a, b), dtype = promoted_to_float(input1, input2)
    # PyTorch's constant here, another than in cosine_similarity.
    squares = (jnp.sum(a * a, axis=-1) + 1e-12) * (jnp.sum(b * b, axis=-1) + 1e-12)
    cosine = jnp.sum(a * b, axis=-1) / jnp.sqrt(squares)
    require_broadcast(target.shape, cosine.shape)
    apart = _at_least_zero(cosine - margin)
    loss = jnp.where(target == 1, 1 - cosine, 0) + jnp.where(target == -1, apart, 0)
    return reduced(loss, reduction).astype(dtype)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """1 - cos for pairs with target 1, max(0, cos - margin) for pairs with target -1.

    Shapes: inputs `(N, D)` with target `(N)`, or `(D)` with `()`.
    Raises RuntimeError for other shapes, ValueError for an unknown reduction.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    return _cosine_embedding_loss(input1, input2, constant(target), margin, reduction=reduction)


@op(method=False, name="margin_ranking_loss", grad_name=last_operator("ClampMinBackward0"))
def _margin_ranking_loss(input1: Array, input2: Array, target: Array, margin: Operand, reduction: str) -> Array:
    require_broadcast(input1.shape, input2.shape)
    require_broadcast(jnp.broadcast_shapes(input1.shape, input2.shape), target.shape)
    if target.dtype == jnp.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    if all(jnp.issubdtype(x.dtype, jnp.integer) for x in (input1, input2, target)):  # in their own type, where bytes wrap around
        a, b = promoted(input1, input2)
        product, difference = promoted(-target, a - b)
        loss = (product * difference).astype(dtypes.get_default_dtype().np)
        return reduced(_at_least_zero(loss + margin), reduction).astype(loss.dtype)
    (a, b, y), dtype = promoted_to_float(input1, input2, target)
    return reduced(_at_least_zero(-y * (a - b) + margin), reduction).astype(dtype)


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, -target (input1 - input2) + margin).

    Shapes: three of the same rank that broadcast.
    Raises RuntimeError for other shapes, ValueError for an unknown reduction.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    if not len(input1.shape) == len(input2.shape) == len(target.shape):
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {Size(input1.shape)}, input2: {Size(input2.shape)}, target: {Size(target.shape)} "
        )
    return _margin_ranking_loss(input1, input2, target, margin, reduction=reduction)


# --- one number a target -----------------------------------------------------------------------------------------


@op(method=False, name="hinge_embedding_loss", grad_name=last_operator("AddBackward0"))
def _hinge_embedding_loss(input: Array, target: Array, margin: Operand, reduction: str) -> Array:
    require_broadcast(target.shape, input.shape)
    x = widen(input)
    apart = _at_least_zero(jnp.asarray(margin).astype(x.dtype) - x)
    loss = jnp.where(target != 1, apart, 0) + jnp.where(target != -1, x, 0)
    _mean_of_floats(loss, reduction)
    return reduced(loss, reduction).astype(loss.dtype if not is_floating(input) else input.dtype)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The input for target 1, max(0, margin - input) for target -1.

    Shapes: two that broadcast. Raises RuntimeError for other shapes, ValueError for an unknown reduction.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    return _hinge_embedding_loss(input, constant(target), margin, reduction=reduction)


@op(method=False, name="soft_margin_loss")
def _soft_margin_loss(input: Array, target: Array, reduction: str) -> Array:
    require_broadcast(input.shape, target.shape)
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        raise RuntimeError(f"result type Float can't be cast to the desired output type {scalar_name(input)}")
    shape = jnp.broadcast_shapes(input.shape, target.shape)
    if shape != input.shape:
        raise RuntimeError(
            f"output with shape {size_text(input.shape)} doesn't match the broadcast shape {size_text(shape)}"
        )
    x = widen(input)
    loss = jnp.log1p(jnp.exp(-x * lax.stop_gradient(target.astype(x.dtype))))
    return reduced(loss, reduction).astype(input.dtype)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """log(1 + exp(-target input)), targets being 1 and -1.

    Raises RuntimeError for a target that does not broadcast to the input, ValueError for an unknown reduction.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    refuse_gradient("soft_margin_loss", "target", target)
    return _soft_margin_loss(input, target, reduction=reduction)


# --- classes -----------------------------------------------------------------------------------------------------


def _require_classes(input: Array) -> None:
    """PyTorch's RuntimeError for anything but a vector or a matrix of scores."""
    if input.ndim > 2 or (input.ndim and input.shape[-1] == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {size_text(input.shape)}"
        )


def _require_long(target: Any) -> None:
    if target.dtype.name != "int64" and not (target.dtype.name == "int32" and holds_jax_integers(target)):
        name = dtypes.SCALAR_NAMES[dtypes.of(target.dtype)]
        raise RuntimeError(f"expected scalar type Long but found {name}")


def _require_class_range(input: Any, target: Any, *rest: Any) -> None:
    """PyTorch's RuntimeError where the target's values are known."""
    if not within(target, 0, input.shape[-1] if input.shape else 1):
        raise RuntimeError("target out of range")


@op(method=False, name="multi_margin_loss", check=_require_class_range)
def _multi_margin_loss(
    input: Array, target: Array, weight: Array | None, margin: Operand, p: int, reduction: str
) -> Array:
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    _require_classes(input)
    rows = jnp.atleast_2d(input)
    batch, classes = rows.shape
    if target.ndim > 1 or target.size != batch:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{batch}], but got {size_text(target.shape)}. "
            f"Input has shape {size_text(input.shape)}."
        )
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {size_text(weight.shape)}")
    if not is_floating(input) or jnp.dtype(input.dtype).itemsize == 2:
        raise NotImplementedError(f"\"multi_margin_loss_cpu_kernel\" not implemented for '{scalar_name(input)}'")
    if weight is not None and weight.dtype != input.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(input)} but found {scalar_name(weight)}")
    _require_class_range(input, target)
    index = target.reshape(batch, 1)
    wrong = (index < 0) | (index >= classes)
    index = jnp.where(wrong, 0, index)
    gap = jnp.asarray(margin).astype(input.dtype) - jnp.take_along_axis(rows, index, axis=1) + rows
    counts = (gap > 0) & (jnp.arange(classes) != index)
    gap = jnp.where(counts, gap, 0)
    loss = gap if p == 1 else gap * gap
    if weight is not None:
        loss = loss * lax.stop_gradient(weight)[index]
    # A wrong target that was not known early enough for an error gives NaN.
    loss = jnp.where(wrong[:, 0], jnp.nan, jnp.sum(loss, axis=1) / classes)
    if reduction == "none":
        return loss.reshape(target.shape) if input.ndim < 2 else loss
    return reduced(loss, reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean over classes j other than the target y of max(0, margin - input[y] + input[j])^p, scaled by weight[y].

    Shapes: input `(N, C)` with target `(N)`, or `(C)` with `()`; weight `(C)`.
    Raises ValueError for another p than 1 and 2 and an unknown reduction, RuntimeError for shapes and dtypes that do
    not fit and targets out of range.
    """
    need_tensor(target, "multi_margin_loss", "target", 2)
    reduction = checked_reduction(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None:
        if len(weight.shape) != 1:
            raise ValueError("weight must be one-dimensional")
        refuse_gradient("multi_margin_loss", "weight", weight)
    _require_long(target)
    return _multi_margin_loss(input, target, weight, margin, p=p, reduction=reduction)


def _require_label_range(input: Any, target: Any, reduction: str) -> None:
    """PyTorch's RuntimeError where the target's values are known."""
    if not within(target, -1, input.shape[-1] if input.shape else 1):
        raise RuntimeError("argument #2 'target' is out of range")


@op(method=False, name="multilabel_margin_loss", check=_require_label_range)
def _multilabel_margin_loss(input: Array, target: Array, reduction: str) -> Array:
    _require_classes(input)
    if target.shape != input.shape and not (input.ndim < 2 and target.ndim < 2 and target.size == input.size):
        raise RuntimeError(
            f"inconsistent target size: {size_text(target.shape)} for input of size: {size_text(input.shape)}"
        )
    if not is_floating(input) or jnp.dtype(input.dtype).itemsize == 2:
        raise NotImplementedError(
            f"\"multilabel_margin_loss_forward_out_frame\" not implemented for '{scalar_name(input)}'"
        )
    _require_label_range(input, target, reduction)
    rows, labels = jnp.atleast_2d(input), jnp.atleast_2d(target)
    batch, classes = rows.shape
    given = jnp.cumprod(labels >= 0, axis=1).astype(bool)  # up to the first -1
    index = jnp.where(given, labels, 0)
    is_label = jnp.zeros((batch, classes), bool).at[jnp.arange(batch)[:, None], index].max(given)
    gap = 1 - jnp.take_along_axis(rows, index, axis=1)[:, :, None] + rows[:, None, :]
    counts = (gap > 0) & given[:, :, None] & ~is_label[:, None, :]
    loss = jnp.sum(jnp.where(counts, gap, 0), axis=(1, 2)) / classes
    return reduced(loss if input.ndim == 2 else loss[0], reduction)


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The sum over labels y and other classes j of max(0, 1 - input[y] + input[j]), divided by the number of classes.

    Shapes: input and target `(N, C)` or `(C)`; a row's labels end at its first -1.
    Raises RuntimeError for shapes and dtypes that do not fit and labels out of range, ValueError for an unknown
    reduction.
    """
    need_tensor(target, "multilabel_margin_loss", "target", 2)
    reduction = checked_reduction(reduction, size_average, reduce)
    _require_long(target)
    return _multilabel_margin_loss(input, target, reduction=reduction)


@op(method=False, name="multilabel_soft_margin_loss", grad_name=last_operator("DivBackward0"))
def _multilabel_soft_margin_loss(input: Array, target: Array, weight: Array | None, reduction: str) -> Array:
    if target.dtype == jnp.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    require_real_float(input, "log_sigmoid_cpu")
    require_broadcast(target.shape, input.shape)
    if weight is not None:
        require_broadcast(jnp.broadcast_shapes(input.shape, target.shape), weight.shape)
    arrays = promoted(*(a for a in (input, target, weight) if a is not None))
    x, y, *scale = (widen(a) for a in arrays)
    # log(sigmoid(x)) is min(x, 0) - log1p(exp(-|x|)), that of -x the same less x.
    rest = jnp.log1p(jnp.exp(jnp.where(x < 0, x, -x)))
    others = 1 - y if jnp.issubdtype(target.dtype, jnp.inexact) else (1 - target).astype(y.dtype)  # which wraps around
    loss = y * (rest - jnp.where(x < 0, x, 0)) + others * (rest + jnp.where(x < 0, 0, x))
    for factor in scale:
        loss = loss * factor
    if input.ndim == 0:
        raise IndexError("Dimension specified as -1 but tensor has no dimensions")
    loss = jnp.sum(loss, axis=-1) / input.shape[-1]
    return reduced(loss, reduction).astype(arrays[0].dtype)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The binary cross entropy of the sigmoid, as a mean over the classes, the last dimension.

    Shapes: input and target `(*, C)`; weight broadcasts to them.
    Raises RuntimeError for shapes that do not fit, ValueError for an unknown reduction.
    """
    if size_average is not None or reduce is not None:
        reduction = checked_reduction(reduction, size_average, reduce)
    elif reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return _multilabel_soft_margin_loss(input, target, weight, reduction=reduction)


# --- triplets ----------------------------------------------------------------------------------------------------


def _require_one_rank(anchor: Any, positive: Any, negative: Any) -> None:
    a, p, n = (len(t.shape) for t in (anchor, positive, negative))
    if not a == p == n:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            f"but got: anchor {a}D, positive {p}D, and negative {n}D inputs"
        )


def _require_positive(margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")


@op(method=False, name="triplet_margin_loss", grad_name=last_operator("ClampMinBackward0"))
def _of_distances(near: Array, far: Array, crossed: Array | None, margin: Operand, reduction: str) -> Array:
    if crossed is not None:
        require_broadcast(far.shape, crossed.shape)
        far = jnp.minimum(far, crossed)
    require_broadcast(near.shape, far.shape)
    return reduced(_at_least_zero(widen(near) - widen(far) + margin), reduction).astype(
        jnp.promote_types(near.dtype, far.dtype)
    )


@op(method=False, name="triplet_margin_loss", grad_name=last_operator("ClampMinBackward0"))
def _triplet_margin_loss(
    anchor: Array, positive: Array, negative: Array, margin: Operand, p: float, eps: float, swap: bool, reduction: str
) -> Array:
    near = pairwise_distance.raw(anchor, positive, p, eps)
    far = pairwise_distance.raw(anchor, negative, p, eps)
    crossed = pairwise_distance.raw(positive, negative, p, eps) if swap else None
    return _of_distances.raw(near, far, crossed, margin, reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, |anchor - positive| - |anchor - negative| + margin), with p-norms over the last dimension.

    `swap` takes the distance of positive and negative where it is the smaller one.
    Shapes: three of `(N, D)` or `(D)` that broadcast.
    Raises RuntimeError for ranks that differ, ValueError for a margin that is not positive and an unknown reduction.
    Source: https://bmva-archive.org.uk/bmvc/2016/papers/paper119/index.html
    """
    for k, (name, x) in enumerate((("anchor", anchor), ("positive", positive), ("negative", negative))):
        need_tensor(x, "triplet_margin_loss", name, k + 1)
    reduction = checked_reduction(reduction, size_average, reduce)
    _require_positive(margin)
    _require_one_rank(anchor, positive, negative)
    return _triplet_margin_loss(
        anchor, positive, negative, margin, p=float(p), eps=float(eps), swap=bool(swap), reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """`triplet_margin_loss` with any function of two tensors as distance; `pairwise_distance` where none is given.

    Raises RuntimeError for ranks that differ, ValueError for a margin that is not positive and an unknown reduction.

    Args:
        anchor, positive, negative: the positive is to be closer to the anchor than the negative.
        distance_function: takes two tensors and gives their distances.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    _require_positive(margin)
    _require_one_rank(anchor, positive, negative)
    distance: Any = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    return _of_distances(near, far, distance(positive, negative) if swap else None, margin, reduction=reduction)

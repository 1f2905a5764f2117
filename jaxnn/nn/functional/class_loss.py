"""Losses over classes: negative log likelihood and cross entropy.

Shapes: input `(C)`, `(N, C)` or `(N, C, d1, ...)`; target, class indices, the same without the classes, or (cross
entropy only) class probabilities of the input's shape. The result is a scalar, or one number a target with
`reduction="none"`.

Args:
    weight: (C): a factor of each class.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import (
    holds_jax_integers,
    is_floating,
    known,
    normal_dim,
    promoted,
    require_real_float,
    scalar_name,
    size_text,
    widen,
    within,
)
from jaxnn.nn.functional.constants import refuse_gradient
from jaxnn.nn.functional.reduction import checked_reduction, reduced


def _check_target_shape(input: Array, target: Array) -> None:
    if input.ndim < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {input.ndim})")
    batch = target.shape[0] if target.ndim else 0
    if input.ndim == 1:
        if target.ndim == 1 and batch != 1:
            raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {batch}")
    elif input.shape[0] != batch:
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({batch}).")
    if input.ndim <= 2:
        if target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        return
    expected = (input.shape[0], *input.shape[2:])
    if input.ndim == 4 and target.ndim != 3:
        raise RuntimeError(
            f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {target.ndim}"
        )
    if tuple(target.shape) != expected:
        if input.ndim == 4:
            raise RuntimeError(
                f"size mismatch (got input: {size_text(input.shape)} , target: {size_text(target.shape)}"
            )
        raise RuntimeError(f"Expected target size {size_text(expected)}, got {size_text(target.shape)}")


def _check_indices(input: Array, target: Array, weight: Array | None) -> None:
    """PyTorch's errors for a target of class indices."""
    _check_target_shape(input, target)
    if target.dtype not in (jnp.int64, jnp.int32, jnp.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {scalar_name(target)}")
    spatial = input.ndim > 2
    require_real_float(input, "nll_loss2d_forward_out_frame" if spatial else "nll_loss_out_frame")
    if weight is None:
        return
    classes = input.shape[_class_dim(input)]
    if weight.shape != (classes,):
        if spatial:
            raise RuntimeError("weight tensor should be defined either for all or no classes")
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {size_text(weight.shape)}"
        )
    if weight.dtype != input.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(input)} but found {scalar_name(weight)}")


def _class_dim(input: Array) -> int:
    return 0 if input.ndim == 1 else 1


def _require_in_range(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float = 0.0
) -> None:
    """PyTorch's IndexError where the target's values are known."""
    if not input.shape or tuple(input.shape) == tuple(target.shape):
        return
    classes = input.shape[0 if len(input.shape) == 1 else 1]
    if within(target, 0, classes):
        return
    values = known(target)
    if values is None or values.dtype.kind not in "iu":
        return
    wrong = (values != ignore_index) & ((values < 0) | (values >= classes))
    if wrong.any():
        raise IndexError(f"Target {values[wrong][0]} is out of bounds.")


def _classes_of(input: Array, target: Array, ignore_index: int) -> tuple[Array, Array, Array]:
    """The target as indices that are all valid, which of them count, and which were out of range."""
    target = target.astype(jnp.int32) if target.dtype == jnp.uint8 else target
    counts = target != ignore_index
    wrong = counts & ((target < 0) | (target >= input.shape[_class_dim(input)]))
    return jnp.where(counts & ~wrong, target, 0).astype(jnp.int32), counts, wrong


@jax.custom_jvp
def _pick(values: Array, index: Array) -> Array:
    """values[n, index[n, ...], ...] for every position of index.

    Its derivative compares instead of indexing, so that the gradient is a select, which XLA joins with the softmax's, and no scatter.
    """
    if values.ndim == 1:
        return values[index.reshape(())]
    return jnp.take_along_axis(values, index[:, None], axis=1, mode="promise_in_bounds").squeeze(1)


@_pick.defjvp
def _pick_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Any]) -> tuple[Array, Array]:
    values, index = primals
    axis = _class_dim(values)
    places = index.reshape(()) if values.ndim == 1 else index[:, None]
    there = lax.broadcasted_iota(index.dtype, values.shape, axis) == places
    return _pick(values, index), jnp.sum(jnp.where(there, tangents[0], 0), axis)


def _reduce_indexed(loss: Array, counts: Array, wrong: Array, scale: Array | None, reduction: str) -> Array:
    """PyTorch's mean is weighted: divided by the weights of the targets that count. Wrong targets that were
    not known early enough for an error give NaN.
    """
    if loss.ndim < counts.ndim:
        counts, wrong = counts[0], wrong[0]
        scale = scale if scale is None else scale.reshape(())
    share = counts.astype(loss.dtype) if scale is None else jnp.where(counts, scale, 0)
    loss = jnp.where(counts, jnp.where(wrong, jnp.nan, loss if scale is None else loss * scale), 0)
    if reduction == "mean":
        return jnp.sum(loss) / jnp.sum(share)
    return reduced(loss, reduction)


def _scale(weight: Array | None, index: Array) -> Array | None:
    return None if weight is None else lax.stop_gradient(widen(weight))[index]


def _nll_grad_name(static: list[Any], avals: list[Any], reduction_at: int = -1) -> str:
    ndim = 2 if avals[0] is None else len(avals[0].shape)
    if static[reduction_at] == "none" and ndim not in (1, 2, 4):
        return "ViewBackward0"
    return "NllLossBackward0" if ndim <= 2 else "NllLoss2DBackward0"


@op(method=False, name="nll_loss", grad_name=_nll_grad_name, check=_require_in_range)
def _nll_loss(input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str) -> Array:
    _check_indices(input, target, weight)
    _require_in_range(input, target, weight, ignore_index, reduction)
    index, counts, wrong = _classes_of(input, target, ignore_index)
    loss = _reduce_indexed(-_pick(widen(input), index), counts, wrong, _scale(weight, index), reduction)
    return loss.astype(input.dtype)


def _cross_entropy_grad_name(static: list[Any], avals: list[Any]) -> str:
    reduction, label_smoothing = static[-2:]
    if avals[0] is not None and avals[1] is not None and tuple(avals[0].shape) == tuple(avals[1].shape):
        return "DivBackward1" if reduction == "mean" else "NegBackward0"
    if label_smoothing > 0:
        return "AddBackward0"
    return _nll_grad_name(static, avals, reduction_at=-2)


def _log_probabilities(input: Array, dim: int) -> Array:
    shifted = input - lax.stop_gradient(jnp.max(input, axis=dim, keepdims=True, initial=-jnp.inf))
    return shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis=dim, keepdims=True))


def _with_probabilities(
    input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Array:
    if not is_floating(target):
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {scalar_name(target)}"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dim = _class_dim(input)
    classes = input.shape[dim]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {size_text(weight.shape)}"
        )
    arrays = promoted(*(a for a in (input, target, weight) if a is not None))
    dtype = arrays[0].dtype
    x, y, *weights = (widen(a) for a in arrays)
    if label_smoothing > 0:
        y = y * (1 - label_smoothing) + label_smoothing / max(classes, 1)
    scaled = _log_probabilities(widen(input), dim) * y
    if weights:
        scaled = scaled * weights[0].reshape(-1, *(1,) * (input.ndim - 1 - dim))
    loss = -jnp.sum(scaled, axis=dim)
    if reduction == "mean":
        # Over the targets, that is over everything but the classes.
        return (jnp.sum(loss) / loss.size).astype(dtype) if input.size else jnp.full((), jnp.nan, dtype)
    return reduced(loss, reduction).astype(dtype)


def _with_smoothed_indices(
    input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Array:
    """The given class keeps 1 - label_smoothing, the rest is spread evenly over all classes (their weights too)."""
    dim = _class_dim(input)
    log_p = _log_probabilities(input, dim)
    index, counts, wrong = _classes_of(input, target, ignore_index)
    scale = _scale(weight, index)
    nll = _reduce_indexed(-_pick(log_p, index), counts, wrong, scale, reduction)
    if weight is not None:
        log_p = log_p * lax.stop_gradient(weight).reshape(-1, *(1,) * (input.ndim - 1 - dim))
    even = jnp.where(counts.reshape(log_p.shape[:dim] + log_p.shape[dim + 1 :]), -jnp.sum(log_p, axis=dim), 0)
    if reduction == "mean":
        share = counts.astype(input.dtype) if scale is None else jnp.where(counts, scale, 0)
        even = jnp.sum(even) / jnp.sum(share)
    else:
        even = reduced(even, reduction)
    return (1 - label_smoothing) * nll + (label_smoothing / input.shape[dim]) * even


@op(method=False, name="cross_entropy", grad_name=_cross_entropy_grad_name, check=_require_in_range)
def _cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Array:
    if input.shape == target.shape or label_smoothing > 0:
        if input.shape == target.shape and not is_floating(target):
            raise RuntimeError(
                f"Expected floating point type for target with class probabilities, got {scalar_name(target)}"
            )
        if label_smoothing > 1:
            raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if input.shape == target.shape:
        return _with_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    require_real_float(input, "log_softmax_lastdim_kernel_impl")
    if input.ndim == 0:
        normal_dim(1, 0)
    _check_indices(input, target, weight)
    _require_in_range(input, target, weight, ignore_index, reduction)
    x, weight = widen(input), None if weight is None else widen(weight)
    if label_smoothing > 0:
        loss = _with_smoothed_indices(x, target, weight, ignore_index, reduction, label_smoothing)
        return loss.astype(input.dtype)
    # One number a target is picked before the logarithm is subtracted: the log probabilities are never formed.
    dim = _class_dim(x)
    index, counts, wrong = _classes_of(x, target, ignore_index)
    top = lax.stop_gradient(jnp.max(x, axis=dim, keepdims=True, initial=-jnp.inf))
    log_sum = jnp.log(jnp.sum(jnp.exp(x - top), axis=dim))
    loss = log_sum - (_pick(x, index) - top.squeeze(dim)) if x.shape[dim] else jnp.zeros_like(log_sum)
    return _reduce_indexed(loss, counts, wrong, _scale(weight, index), reduction).astype(input.dtype)


def _require_tensors(name: str, **arguments: Any) -> None:
    for position, (argument, value) in enumerate(arguments.items(), 1):
        if not hasattr(value, "shape"):
            raise TypeError(
                f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {type(value).__name__}"
            )


def _require_long(input: Any, target: Any) -> None:
    """PyTorch refuses int32; JAX's own integers, which a JAX transformation and raw arrays bring along, are that."""
    if target.dtype.name == "int32" and not holds_jax_integers(target) and tuple(target.shape) != tuple(input.shape):
        raise RuntimeError("expected target dtype to be Long or Byte, but got Int")


def _refuse_weight(input: Any, target: Any, weight: Any) -> None:
    """PyTorch has no derivative by the weights of classes; of probabilities it has."""
    if weight is not None and tuple(target.shape) != tuple(input.shape):
        refuse_gradient("nll_loss_forward" if len(input.shape) < 3 else "nll_loss2d_forward", "weight", weight)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Minus the input, log probabilities, at the target's classes; `weight` scales each class.

    Targets equal to `ignore_index` count nothing; the mean is divided by the weights of those that count.
    Raises IndexError for a target out of range, ValueError and RuntimeError for shapes and dtypes that do not fit.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    _require_tensors("nll_loss_nd", input=input, target=target)
    _require_long(input, target)
    _refuse_weight(input, target, weight)
    return _nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross entropy of the softmax of the input with target classes, or with target probabilities.

    Targets equal to `ignore_index` count nothing; the mean over classes is divided by the weights of those that
    count, that over probabilities by the number of targets. `label_smoothing` mixes the uniform distribution in.
    Raises IndexError for a target out of range, ValueError and RuntimeError for shapes and dtypes that do not fit.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    _require_tensors("cross_entropy_loss", input=input, target=target)
    _require_long(input, target)
    _refuse_weight(input, target, weight)
    return _cross_entropy(
        input,
        target,
        weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )

"""Losses that compare elements: regression, binary cross entropy, Kullback-Leibler divergence.

Each public function checks what it was asked for and warns as PyTorch does; the kernel of the same name computes.

Args:
    weight: a factor of each element's loss, of the input's shape.
    beta, delta: the difference from which on the loss is linear.
    log_target: the target is given as logarithms, too.

Shape: (*), (*) of the same shape -> (), or (*) with ``reduction="none"``.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions
"""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import xlogy

from jaxnn.core.kinds.size import Size
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import (
    absolute,
    is_floating,
    known,
    log_logistic,
    promoted,
    require_broadcast,
    require_real_float,
    scalar_name,
    size_text,
    widen,
)
from jaxnn.nn.functional.constants import refuse_gradient
from jaxnn.nn.functional.reduction import checked_reduction, reduced, warn_of_broadcast
from jaxnn.ops.elementwise.derivatives import with_slopes

# --- kernels -----------------------------------------------------------------------------------------------------


def _operands(input: Array, target: Array, kernel: str) -> tuple[Array, Array, Any]:
    """Both promoted and widened, and the dtype of the result."""
    require_broadcast(input.shape, target.shape)
    # Broadcast first: a scalar counts like any other operand when the common dtype is chosen.
    input, target = promoted(*jnp.broadcast_arrays(input, target))
    require_real_float(input, kernel)
    return widen(input), widen(target), input.dtype


def _last(
    by_reduction: dict[str, str], weighted: dict[str, str], reduction_at: int = -1
) -> Callable[[list[Any], list[Any]], str]:
    """Names the last of the operators that PyTorch composes a loss from."""

    def grad_name(static: list[Any], avals: list[Any]) -> str:
        return (weighted if len(avals) > 2 else by_reduction)[static[reduction_at]]

    return grad_name


_WEIGHTED = {"mean": "DivBackward0", "sum": "SumBackward0", "none": "MulBackward0"}


def _weighted(loss: Array, weight: Array | None, reduction: str) -> Array:
    """PyTorch's weighted mean divides by the sum of the weights."""
    if weight is None:
        return reduced(loss, reduction)
    weight = widen(weight)
    if reduction == "mean":
        return jnp.sum(loss * weight) / jnp.sum(weight)
    return reduced(loss * weight, reduction)


def _result(loss: Array, dtype: Any, weight: Array | None) -> Array:
    return loss.astype(dtype if weight is None else jnp.promote_types(dtype, weight.dtype))


@op(
    method=False,
    name="l1_loss",
    grad_name=_last({"mean": "MeanBackward0", "sum": "SumBackward0", "none": "AbsBackward0"}, _WEIGHTED),
)
def _l1_loss(input: Array, target: Array, weight: Array | None, reduction: str) -> Array:
    require_broadcast(input.shape, target.shape)
    if input.dtype == target.dtype == jnp.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )
    input, target = promoted(*jnp.broadcast_arrays(input, target))
    loss = absolute(widen(input) - widen(target))
    dtype = loss.dtype if jnp.issubdtype(input.dtype, jnp.complexfloating) else input.dtype
    if reduction == "mean" and weight is None and not is_floating(loss):
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {scalar_name(loss)}"
        )
    if reduction == "sum" and not is_floating(loss):
        return jnp.sum(loss, dtype=jnp.int64)
    return _result(_weighted(loss, weight, reduction), dtype, weight)


@op(
    method=False,
    name="mse_loss",
    grad_name=_last(dict.fromkeys(("mean", "sum", "none"), "MseLossBackward0"), _WEIGHTED),
)
def _mse_loss(input: Array, target: Array, weight: Array | None, reduction: str) -> Array:
    x, y, dtype = _operands(input, target, "mse_cpu")
    return _result(_weighted(jnp.square(x - y), weight, reduction), dtype, weight)


@op(method=False, name="smooth_l1_loss", grad_name="SmoothL1LossBackward0")
def _smooth_l1_loss(input: Array, target: Array, reduction: str, beta: float) -> Array:
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    x, y, dtype = _operands(input, target, "smooth_l1_cpu")
    distance = absolute(x - y)
    far = distance >= beta
    near = jnp.where(far, 0, distance)  # what is not taken stays finite, or its derivative times 0 is NaN
    loss = jnp.where(far, distance - 0.5 * beta, 0.5 * near * near / beta)
    return reduced(loss, reduction).astype(dtype)


@op(
    method=False,
    name="huber_loss",
    grad_name=_last(
        dict.fromkeys(("mean", "sum", "none"), "HuberLossBackward0"),
        {"mean": "MeanBackward0", "sum": "SumBackward0", "none": "MulBackward0"},
        reduction_at=-2,
    ),
)
def _huber_loss(input: Array, target: Array, weight: Array | None, reduction: str, delta: float) -> Array:
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    require_broadcast(input.shape, target.shape)
    common, _ = promoted(*jnp.broadcast_arrays(input, target))
    if common.dtype != input.dtype and not (is_floating(common) and is_floating(input)):
        raise RuntimeError(
            f"result type {scalar_name(common)} can't be cast to the desired output type {scalar_name(input)}"
        )
    x, y, _ = _operands(input, target, "huber_cpu")
    distance = absolute(x - y)
    far = distance > delta
    near = jnp.where(far, 0, distance)  # what is not taken stays finite, or its derivative times 0 is NaN
    loss = jnp.where(far, delta * (distance - 0.5 * delta), 0.5 * near * near)
    if weight is not None:
        loss = loss * widen(weight)
    return _result(reduced(loss, reduction), input.dtype, weight)


@jax.custom_jvp
def _bce(x: Array, y: Array) -> Array:
    return (y - 1) * jnp.maximum(jnp.log1p(-x), -100) - y * jnp.maximum(jnp.log(x), -100)


def _bce_jvp(primals: Any, tangents: Any) -> Any:
    """PyTorch clamps the logarithms in the value, the denominator in the derivative by x, nothing in that by y."""
    (x, y), (dx, dy) = primals, tangents
    zero = jax.custom_derivatives.SymbolicZero
    parts = []
    if type(dx) is not zero:
        parts.append((x - y) / jnp.maximum((1 - x) * x, 1e-12) * dx)
    if type(dy) is not zero:
        parts.append((jnp.log1p(-x) - jnp.log(x)) * dy)
    return _bce(x, y), sum(parts) if parts else jnp.zeros_like(x)


_bce.defjvp(_bce_jvp, symbolic_zeros=True)


def _require_unit(input: Any, target: Any, weight: Any, reduction: str) -> None:
    """PyTorch's RuntimeError where the values are known."""
    for which, array in (("input", input), ("target", target)):
        values = known(array)
        if values is not None and not ((values >= 0) & (values <= 1)).all():
            raise RuntimeError(f"all elements of {which} should be between 0 and 1")


def _require_expandable(weight: Array, shape: tuple[int, ...]) -> None:
    if len(weight.shape) > len(shape):
        raise RuntimeError(
            f"output with shape {size_text(shape)} doesn't match the broadcast shape {size_text(weight.shape)}"
        )


@op(method=False, name="binary_cross_entropy", check=_require_unit)
def _binary_cross_entropy(input: Array, target: Array, weight: Array | None, reduction: str) -> Array:
    if weight is not None:
        for i in range(1, min(weight.ndim, target.ndim) + 1):
            if weight.shape[-i] not in (1, target.shape[-i]):
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {weight.shape[-i]} at -{i}! "
                    f"Mismatching argument at index 1 had {Size(weight.shape)}; "
                    f"but expected shape should be broadcastable to {size_text(target.shape)}"
                )
        _require_expandable(weight, input.shape)
    if input.dtype != target.dtype:
        raise RuntimeError(f"Found dtype {scalar_name(target)} but expected {scalar_name(input)}")
    require_real_float(input, "binary_cross_entropy")
    _require_unit(input, target, weight, reduction)
    loss = _bce(widen(input), widen(target))
    if weight is not None:
        loss = loss * lax.stop_gradient(widen(weight).astype(loss.dtype))
    return reduced(loss, reduction).astype(input.dtype)


_loss_of_logits = with_slopes(
    lambda x, y: (1 - y) * x - log_logistic(x), lambda found, x, y: lax.logistic(x) - y, lambda found, x, y: -x
)
_scaled_loss_of_logits = with_slopes(
    lambda x, y, scale: (1 - y) * x - ((scale - 1) * y + 1) * log_logistic(x),
    lambda found, x, y, scale: (scale * y + 1 - y) * lax.logistic(x) - scale * y,
    lambda found, x, y, scale: log_logistic(-x) - scale * log_logistic(x),
    None,
)


@op(method=False, name="binary_cross_entropy_with_logits")
def _binary_cross_entropy_with_logits(
    input: Array, target: Array, weight: Array | None, reduction: str, pos_weight: Array | None
) -> Array:
    if target.dtype == jnp.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )
    if pos_weight is not None:
        require_broadcast(pos_weight.shape, target.shape)
        _require_expandable(pos_weight, input.shape)
    require_real_float(input, "log_sigmoid_cpu")
    if not is_floating(target):
        raise RuntimeError(
            f"result type {scalar_name(input)} can't be cast to the desired output type {scalar_name(target)}"
        )
    if weight is not None:
        require_broadcast(input.shape, weight.shape)
        _require_expandable(weight, input.shape)
    x, y = promoted(input, target)
    dtype = target.dtype  # PyTorch computes in the memory of 1 - target
    x, y = widen(x), widen(y)
    if pos_weight is None:
        loss = _loss_of_logits(x, y)
    else:
        loss = _scaled_loss_of_logits(x, y, widen(pos_weight).astype(x.dtype))
    if weight is not None:
        loss = loss * lax.stop_gradient(widen(weight).astype(x.dtype))
    return reduced(loss, reduction).astype(dtype)


def _kl_div_grad_name(static: list[Any], avals: list[Any]) -> str:
    reduction, log_target = static
    if reduction == "none":
        return "MulBackward0" if log_target else "SubBackward0"
    if reduction == "batchmean":
        return "SumBackward0" if avals[0] is not None and not avals[0].shape else "DivBackward0"
    return "MeanBackward0" if reduction == "mean" else "SumBackward0"


@op(method=False, name="kl_div", grad_name=_kl_div_grad_name)
def _kl_div(input: Array, target: Array, reduction: str, log_target: bool) -> Array:
    for array in (input, target):
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise RuntimeError("kl_div: Complex inputs not supported.")
        if not is_floating(array):
            raise RuntimeError("kl_div: Integral inputs not supported.")
    require_broadcast(target.shape, input.shape)
    x, y = promoted(input, target)
    dtype = x.dtype
    x, y = widen(x), widen(y)
    loss = jnp.exp(y) * (y - x) if log_target else xlogy(y, y) - y * x
    if reduction == "batchmean":
        total = jnp.sum(loss)
        return (total / input.shape[0] if input.ndim else total).astype(dtype)
    return reduced(loss, reduction).astype(dtype)


# --- functions ---------------------------------------------------------------------------------------------------


def _check_weight(input: Any, weight: Any) -> None:
    if weight is not None and tuple(weight.shape) != tuple(input.shape):
        raise ValueError("Weights and input must have the same size.")


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Absolute differences. The mean with weights is divided by their sum.

    Raises ValueError for an unknown reduction and for weights of another size.
    """
    warn_of_broadcast(input, target)
    reduction = checked_reduction(reduction, size_average, reduce)
    _check_weight(input, weight)
    return _l1_loss(input, target, weight, reduction=reduction)


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Squared differences. The mean with weights is divided by their sum.

    Raises ValueError for an unknown reduction and for weights of another size.
    """
    warn_of_broadcast(input, target)
    reduction = checked_reduction(reduction, size_average, reduce)
    _check_weight(input, weight)
    return _mse_loss(input, target, weight, reduction=reduction)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """Squares divided by 2 beta for differences below beta, absolute differences less beta / 2 above.

    Raises RuntimeError for a negative beta, ValueError for an unknown reduction.
    """
    warn_of_broadcast(input, target)
    reduction = checked_reduction(reduction, size_average, reduce)
    if beta == 0:
        return _l1_loss(input, target, None, reduction=reduction)
    return _smooth_l1_loss(input, target, reduction=reduction, beta=beta)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """Half the squares of differences up to delta, delta times (difference - delta / 2) above.

    Raises RuntimeError when delta is not positive, ValueError for an unknown reduction and weights of another size.
    """
    warn_of_broadcast(input, target)
    reduction = checked_reduction(reduction)
    _check_weight(input, weight)
    return _huber_loss(input, target, weight, reduction=reduction, delta=delta)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Cross entropy of probabilities with targets between 0 and 1; logarithms are limited to -100.

    Raises ValueError when the shapes differ or the reduction is unknown, RuntimeError for values outside [0, 1].
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    if tuple(target.shape) != tuple(input.shape):
        raise ValueError(
            f"Using a target size ({Size(target.shape)}) that is different to the input size ({Size(input.shape)}) "
            "is deprecated. Please ensure they have the same size."
        )
    refuse_gradient("binary_cross_entropy", "weight", weight)
    return _binary_cross_entropy(input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Cross entropy of the sigmoid of the input, stable for large logits; `pos_weight` scales the positive targets.

    Raises ValueError when the shapes differ or the reduction is unknown.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    if tuple(target.shape) != tuple(input.shape):
        raise ValueError(f"Target size ({Size(target.shape)}) must be the same as input size ({Size(input.shape)})")
    refuse_gradient("binary_cross_entropy_with_logits", "weight", weight)
    refuse_gradient("binary_cross_entropy_with_logits", "pos_weight", pos_weight)
    return _binary_cross_entropy_with_logits(input, target, weight, reduction=reduction, pos_weight=pos_weight)


def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """Divergence of the target's distribution from the input's, which is given as logarithms.

    `batchmean` divides the sum by the size of the first dimension.
    Raises ValueError for an unknown reduction, RuntimeError for integers.
    """
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    reduction = checked_reduction(reduction, size_average, reduce, also=("batchmean",))
    return _kl_div(input, target, reduction=reduction, log_target=log_target)

"""Connectionist temporal classification.

Source: https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import is_floating, known, scalar_name, value_of
from jaxnn.nn.functional.reduction import reduced
from jaxnn.ops.common.arguments import need_tensor

_CHECKING = "(while checking arguments for ctc_loss_allocate_outputs)"


def _log_sum(*terms: Array) -> Array:
    """log(sum(exp(terms))), whose derivatives are 0 where every term is minus infinity."""
    top = lax.stop_gradient(jnp.maximum(jnp.maximum(terms[0], terms[1]), terms[-1]))
    nothing = top == -jnp.inf
    base = jnp.where(nothing, 0, top)
    total = sum(jnp.exp(t - base) for t in terms)
    return jnp.where(nothing, -jnp.inf, base + jnp.log(jnp.where(nothing, 1, total)))


def _negative_log_likelihood(
    log_probs: Array, labels: Array, input_lengths: Array, target_lengths: Array, blank: int
) -> Array:
    """Minus the log probability of each sequence of labels: the forward recursion over time, in log space.

    The states are blank, label, blank, label, ..., blank. Before the first step only the first state is possible,
    which may lead to the first label at once.
    """
    steps, batch, _ = log_probs.shape
    width = labels.shape[1]
    states = jnp.full((batch, 2 * width + 1), blank, labels.dtype).at[:, 1::2].set(labels)
    emitted = jnp.take_along_axis(log_probs, jnp.broadcast_to(states, (steps, *states.shape)), axis=2)
    # A blank between two labels may be left out when they differ.
    skips = jnp.zeros(states.shape, bool).at[:, 3::2].set(labels[:, 1:] != labels[:, :-1])
    impossible = jnp.full((batch, 2), -jnp.inf, log_probs.dtype)
    start = jnp.full(states.shape, -jnp.inf, log_probs.dtype).at[:, 0].set(0)

    def step(alpha: Array, at: tuple[Array, Array]) -> tuple[Array, Any]:
        time, emission = at
        shifted = jnp.concatenate([impossible, alpha], axis=1)
        before, two_before = shifted[:, 1:-1], jnp.where(skips, shifted[:, :-2], -jnp.inf)
        new = _log_sum(alpha, before, two_before) + emission
        return jnp.where((time < input_lengths)[:, None], new, alpha), None

    alpha, _ = lax.scan(step, start, (jnp.arange(steps), emitted))
    last = 2 * target_lengths[:, None]
    end = jnp.take_along_axis(alpha, last, axis=1)[:, 0]
    before_end = jnp.take_along_axis(alpha, jnp.maximum(last - 1, 0), axis=1)[:, 0]
    return -_log_sum(end, jnp.where(target_lengths > 0, before_end, -jnp.inf))


def _ctc_grad_name(static: list[Any], avals: list[Any]) -> str:
    zero_infinity, reduction, batched = static[-3:]
    if reduction != "none":
        return {"mean": "MeanBackward0", "sum": "SumBackward0"}[reduction]
    return ("WhereBackward0" if zero_infinity else "CtcLossBackward0") if batched else "SqueezeBackward1"


@op(method=False, name="ctc_loss", grad_name=_ctc_grad_name)
def _ctc_loss(
    log_probs: Array, targets: Array, places: Array | None, input_lengths: Array, target_lengths: Array, blank: int,
    zero_infinity: bool, reduction: str, batched: bool,
) -> Array:  # fmt: skip
    if not is_floating(log_probs) or jnp.dtype(log_probs.dtype).itemsize == 2:
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{scalar_name(log_probs)}'")
    input_lengths, target_lengths = (n.reshape(-1).astype(jnp.int32) for n in (input_lengths, target_lengths))
    if not batched:
        log_probs = log_probs[:, None]
    labels = targets.astype(jnp.int32)
    if not labels.size:
        labels = jnp.full((log_probs.shape[1], 1), blank)
    elif places is not None:
        labels = jnp.take(labels, places, axis=0, mode="clip")
    labels = jnp.where(jnp.arange(labels.shape[1]) < target_lengths[:, None], labels, blank)
    loss = _negative_log_likelihood(log_probs, labels, input_lengths, target_lengths, blank)
    # PyTorch's gradient is that by what a log-softmax made the input of, which differs from the one by the input alone
    # by its exponential; a loss that is infinite has NaN.
    times = jnp.arange(log_probs.shape[0])[:, None, None] < input_lengths[:, None]
    mass = jnp.sum(jnp.where(times, jnp.exp(log_probs), 0), axis=(0, 2))
    infinite = loss == jnp.inf
    unless = 0 if zero_infinity else jnp.nan
    loss = value_of(
        jnp.where(infinite, 0, loss) if zero_infinity else loss,
        jnp.where(infinite, 0, loss) + jnp.where(infinite, unless, 1) * mass,
    )
    if reduction == "mean":
        return jnp.mean(loss / jnp.maximum(target_lengths, 1))
    return reduced(loss if batched or reduction != "none" else loss[0], reduction)


def _lengths(value: Any, name: str, like: Any) -> tuple[Any, np.ndarray | None]:
    """Lengths as a tensor (or array), and their numbers where they are known."""
    if not hasattr(value, "shape"):
        values = np.asarray(value, np.int64).reshape(-1)
        if isinstance(like, TensorBase):
            return tensor_of(values, aval(like).placement), values
        with x64(True):
            return jnp.asarray(values), values
    if not value.dtype.name.startswith(("int", "uint")):
        raise RuntimeError(f"{name} must be integral")
    values = known(value)
    if values is None and isinstance(value, TensorBase) and not in_transformation():
        values = np.asarray(value.tolist(), np.int64)
    return value, None if values is None else values.reshape(-1)


def _check_lengths(name: str, values: np.ndarray | None, most: int | None) -> None:
    if values is None or not values.size:
        return
    if values.min() < 0:
        raise RuntimeError(f"Expected {name} to have value at least 0, but got value {values.min()} {_CHECKING}")
    if most is not None and values.max() > most:
        over = values[values > most][0]
        raise RuntimeError(f"Expected {name} to have value at most {most}, but got value {over} {_CHECKING}")


def _require_size(size: int, dim: int, wanted: int, at_least: bool = False) -> None:
    if size < wanted or (size != wanted and not at_least):
        text = f"size at least {wanted}" if at_least else f"size {wanted}"
        raise RuntimeError(
            f"Expected tensor to have {text} at dimension {dim}, but got size {size} for argument #2 'targets' "
            f"{_CHECKING}"
        )


def _places(lengths: np.ndarray | None, target_lengths: Any, total: int, like: Any) -> Any:
    """Where each sequence's labels lie among concatenated targets, one row a sequence.

    The rows' width goes up in powers of two, so that other lengths seldom compile again.
    """
    if lengths is None:  # lengths inside a JAX transformation
        return (target_lengths.cumsum(0) - target_lengths).reshape(-1, 1) + np.arange(max(total, 1))
    width = 1 << max(int(lengths.max(initial=1)) - 1, 0).bit_length()
    places = (np.cumsum(lengths) - lengths)[:, None] + np.arange(width)
    if isinstance(like, TensorBase):
        return tensor_of(places, aval(like).placement)
    with x64(True):
        return jnp.asarray(places)


def _is_lengths(value: Any) -> bool:
    return hasattr(value, "shape") or isinstance(value, (tuple, list))


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Minus the log probability that the labels are what is left of a path through time without repeats and blanks.

    Shapes: log_probs `(T, N, C)` or `(T, C)`, from a log-softmax; targets `(N, S)` padded, or `(sum of lengths)`
    concatenated; lengths `(N)`, tensors or tuples. `mean` divides by the target lengths first. `zero_infinity` makes
    infinite losses and their gradients zero.
    Raises RuntimeError for shapes, lengths and a blank that do not fit, ValueError for an unknown reduction.

    Args:
        log_probs: log-probabilities of each step.
        targets: the labels.
        input_lengths, target_lengths: of each sample.
        zero_infinity: make infinite losses and their gradients zero.
    """
    need_tensor(log_probs, "ctc_loss", "log_probs")
    need_tensor(targets, "ctc_loss", "targets", 2)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if (
        not (_is_lengths(input_lengths) and _is_lengths(target_lengths))
        or hasattr(input_lengths, "shape") != hasattr(target_lengths, "shape")
    ):  # fmt: skip
        raise TypeError(
            "ctc_loss() received an invalid combination of arguments: input_lengths and target_lengths must both be "
            f"Tensors or both tuples of ints, got {type(input_lengths).__name__} and {type(target_lengths).__name__}"
        )
    shape, given = tuple(log_probs.shape), tuple(targets.shape)
    if 0 in shape:
        raise RuntimeError("log_probs tensor must not be empty")
    batched = len(shape) != 2
    inputs, known_inputs = _lengths(input_lengths, "input_lengths", log_probs)
    wanted, known_targets = _lengths(target_lengths, "target_lengths", log_probs)
    if len(shape) not in (2, 3):
        # PyTorch has added a batch dimension by then.
        raise RuntimeError(
            f"Expected 3-dimensional tensor, but got {len(shape) + 1}-dimensional tensor for argument #1 'log_probs' "
            f"{_CHECKING}"
        )
    batch = shape[1] if batched else 1
    if not 0 <= blank < shape[-1]:
        raise RuntimeError("blank must be in label range")
    for name, lengths in (("input_lengths", inputs), ("target_lengths", wanted)):
        if int(np.prod(tuple(lengths.shape))) != batch:
            raise RuntimeError(f"{name} must be of size batch_size")
    _check_lengths("target_lengths", known_targets, None)
    places = None
    if len(given) == 1:
        if known_targets is not None:
            _require_size(given[0], 0, int(known_targets.sum()))
        places = _places(known_targets, wanted, given[0], targets)
    elif len(given) == 2:
        _require_size(given[0], 0, batch)
        if known_targets is not None:
            _require_size(given[1], 1, int(known_targets.max(initial=0)), at_least=True)
    else:
        raise RuntimeError(
            f"Expected 1 to 2 dimensions, but got {len(given)}-dimensional tensor for argument #2 'targets' {_CHECKING}"
        )
    _check_lengths("input_lengths", known_inputs, shape[0])
    return _ctc_loss(
        log_probs, targets, places, inputs, wanted, blank=int(blank), zero_infinity=bool(zero_infinity),
        reduction=reduction, batched=batched,
    )  # fmt: skip

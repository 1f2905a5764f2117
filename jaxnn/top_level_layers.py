"""Functions of layers that PyTorch also has at its top level, some with another order of arguments.

Args:
    options: those of the function of this name in `nn.functional`.
    args: the same by position.
    pad: two numbers for each dimension from the last one.
    use_input_stats: whether to normalize by the input's own statistics.
    cudnn_enabled: a hint.
    p: the probability of a zero.
    train: whether to act as in training.
    alpha: minus the value that large negative inputs approach.
    lower, upper: the range of the slopes.
    threshold: the limit that x is compared with.
    log_probs, targets, input_lengths, target_lengths, zero_infinity: those of `nn.functional.ctc_loss`.
    log_input, full, log_target: those of the function of this name in `nn.functional`.
    anchor, positive, negative: the positive is to be closer to the anchor than the negative.
    reduction: 0 none, 1 mean, 2 sum.
    weight, running_mean, running_var, value: those of the function of this name in `nn.functional`.

Shape: as the function of this name in `nn.functional`.

Source: https://docs.pytorch.org/docs/stable/torch.html
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from .core.memory.tensor_base import TensorBase
from .core.operator.type_errors import integer_of
from .core.registry import function
from .nn import functional as F

__all__ = [
    "adaptive_max_pool1d",
    "batch_norm",
    "constant_pad_nd",
    "embedding",
    "feature_alpha_dropout",
    "feature_dropout",
    "instance_norm",
    "threshold",
]

#: `Reduction` as a number, as PyTorch's own dispatcher passes it.
_REDUCTIONS = {1: "mean", 2: "sum"}


@function(method=False)
def batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float,
    cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.batch_norm` with all arguments by position; ``cudnn_enabled`` is a hint."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@function(method=False)
def instance_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.instance_norm` with all arguments by position; ``cudnn_enabled`` is a hint."""
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@function(method=False)
def embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    """`nn.functional.embedding` with the table first; a ``padding_idx`` that names no row means none."""
    chosen = padding_idx if 0 <= padding_idx < len(weight) else None
    return F.embedding(indices, weight, chosen, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


@function(method=False, out=True)
def threshold(input: Any, threshold: float, value: float) -> Any:
    """`nn.functional.threshold`, which takes ``out=`` here."""
    return F.threshold(input, threshold, value)


@function(method=False)
def constant_pad_nd(input: Any, pad: Sequence[int], value: Any = 0) -> Any:
    """`nn.functional.pad` with a constant; a negative integer wraps around in an unsigned type."""
    if type(value) is int and value < 0 and isinstance(input, TensorBase) and str(input.dtype).startswith("torch.uint"):
        value += 256**input.dtype.itemsize
    return F.pad(input, tuple(pad), "constant", value)


@function(method=False)
def feature_dropout(input: Any, p: float, train: bool) -> Any:
    """Drop whole channels, whatever the number of dimensions behind them."""
    return F.dropout2d(input, p, train)


@function(method=False)
def feature_alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """`nn.functional.feature_alpha_dropout`."""
    return F.feature_alpha_dropout(input, p, train)


def _in_place(name: str, f: Callable[..., Any]) -> None:
    def write(input: Any, *args: Any, **options: Any) -> Any:
        return f(input, *args, inplace=True, **options)

    write.__name__ = write.__qualname__ = name + "_"
    write.__doc__ = f"In-place version of `nn.functional.{name}`."
    own = inspect.signature(f)
    write.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[p for p in own.parameters.values() if p.name not in ("inplace", "out")]
    )
    function(write, name=name + "_", method=False)


for _name in ("celu", "selu", "threshold", "dropout", "alpha_dropout", "rrelu", "feature_alpha_dropout"):
    if hasattr(F, _name):
        _in_place(_name, getattr(F, _name))


def _loss(name: str, tensors: int, *keywords: str) -> None:
    f = getattr(F, name)

    def compute(*args: Any, **options: Any) -> Any:
        options.update(zip(keywords, args[tensors:], strict=False))
        number = options.get("reduction", 0)
        if isinstance(number, TensorBase):
            number = integer_of(number, name, "reduction", tensors + len(keywords) - 1)
        if type(number) is not int:
            raise TypeError(f"{name}(): argument 'reduction' must be int, not {type(number).__name__}")
        options["reduction"] = _REDUCTIONS.get(number, "none")
        return f(*args[:tensors], **options)

    compute.__name__ = compute.__qualname__ = name
    own = inspect.signature(f).parameters
    shown = [*list(own.values())[:tensors], *(own[k] for k in keywords)]
    compute.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(default=0) if p.name == "reduction" else p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in shown]
    )
    compute.__doc__ = f"`nn.functional.{name}` with ``reduction`` as a number: 0 none (also by default), 1 mean, 2 sum."
    function(compute, name=name, method=False)


_loss("kl_div", 2, "reduction", "log_target")
_loss("binary_cross_entropy_with_logits", 2, "weight", "pos_weight", "reduction")
_loss("hinge_embedding_loss", 2, "margin", "reduction")
_loss("poisson_nll_loss", 2, "log_input", "full", "eps", "reduction")
_loss("cosine_embedding_loss", 3, "margin", "reduction")
_loss("margin_ranking_loss", 3, "margin", "reduction")
_loss("triplet_margin_loss", 3, "margin", "p", "eps", "swap", "reduction")
_loss("ctc_loss", 4, "blank", "reduction", "zero_infinity")
for _name in ("channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "rrelu"):
    if hasattr(F, _name):
        function(getattr(F, _name), name=_name, method=False)


@function(method=False)
def adaptive_max_pool1d(input: Any, output_size: Any) -> Any:
    """`nn.functional.adaptive_max_pool1d` with the places of the largest elements."""
    return F.adaptive_max_pool1d(input, output_size, return_indices=True)

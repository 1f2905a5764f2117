"""Attention.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
"""

import warnings
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import Size
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.operator.half_sums import HALVES
from jaxnn.core.registry import Operand, op
from jaxnn.nn.functional import flash_attention as flash
from jaxnn.nn.functional.common import c_name, is_floating, require_broadcast, scalar_name, size_text, widen
from jaxnn.nn.functional.linear import linear
from jaxnn.ops.common.arguments import need_tensor
from jaxnn.ops.linalg.products import matmul
from jaxnn.ops.random.masks import bernoulli_mask

# What happens to the weights: nothing, elements are dropped by a mask, all are dropped.
_KEPT, _MASKED, _DROPPED = range(3)


def _kind_of_dropout(p: float) -> int:
    return _KEPT if p <= 0.0 else _DROPPED if p == 1.0 else _MASKED


def _drop(weights: Array, keep: Array | None, p: Any, dropout: int) -> Array:
    if dropout == _MASKED and keep is not None:
        return weights * (keep.astype(weights.dtype) / (1 - jnp.asarray(p)))
    return weights * 0 if dropout == _DROPPED else weights


def _weighted(scores: Array, value: Array, keep: Array | None, p: Any, dropout: int) -> Array:
    """Softmax of the scores times the values; zeros where every score of a row is minus infinity.

    Rows are divided by their sum after the product with the values, which are narrower than the scores.
    """
    top = lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True, initial=-jnp.inf))
    weights = jnp.exp(scores - jnp.where(top == -jnp.inf, 0, top))
    total = jnp.sum(weights, axis=-1, keepdims=True)
    kept = _drop(weights, keep, p, dropout).astype(value.dtype)
    return _product(kept, value, scores.dtype) / jnp.where(total == 0, 1, total)


def _product(a: Array, b: Array, result: Any) -> Array:
    """A product whose sums are taken in `result`, a wider type than its operands' or their own; gradients multiply as it does."""
    return matmul(a, b) if a.dtype == result else jnp.matmul(a, b, precision=HALVES, preferred_element_type=result)


# --- scaled_dot_product_attention --------------------------------------------------------------------------------


def _check_operands(query: Array, key: Array, value: Array, attn_mask: Array | None, is_causal: bool) -> None:
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got "
            f"query.dtype: {c_name(query)} key.dtype: {c_name(key)} and value.dtype: {c_name(value)} instead."
        )
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got "
            f"query.dim: {query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if attn_mask is not None:
        if attn_mask.dtype not in (jnp.bool_, jnp.float32, query.dtype):
            raise RuntimeError(
                "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                f"attn_mask.dtype: {c_name(attn_mask)} and  query.dtype: {c_name(query)} instead."
            )
        if is_causal:
            raise RuntimeError(
                "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
            )
    if not is_floating(query):
        if jnp.issubdtype(query.dtype, jnp.complexfloating):
            raise NotImplementedError(f"\"softmax_lastdim_kernel_impl\" not implemented for '{scalar_name(query)}'")
        if query.ndim == 2:
            raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: float != {c_name(query)}")
        raise RuntimeError(f"expected scalar type Float but found {scalar_name(query)}")


def _for_each_query_head(query: Array, *others: Array) -> tuple[Array, ...]:
    """Keys or values of grouped heads, repeated for each query head of the group."""
    if min(a.ndim for a in (query, *others)) < 3:
        raise IndexError("Dimension out of range (expected to be in range of [-2, 1], but got -3)")
    heads = query.shape[-3]
    if any(o.shape[-3] == 0 or heads % o.shape[-3] for o in others):
        raise RuntimeError("Number of heads in key and value must divide the number of heads in ")
    return tuple(o if o.shape[-3] == heads else jnp.repeat(o, heads // o.shape[-3], axis=-3) for o in others)


def _masked(scores: Array, attn_mask: Array | None, is_causal: bool) -> Array:
    if is_causal:
        rows, columns = (lax.broadcasted_iota(jnp.int32, scores.shape[-2:], d) for d in (0, 1))
        return jnp.where(columns <= rows, scores, -jnp.inf)
    if attn_mask is None:
        return scores
    if attn_mask.dtype == jnp.bool_:
        attn_mask = jnp.where(attn_mask, 0.0, -jnp.inf).astype(scores.dtype)
    require_broadcast(scores.shape, attn_mask.shape)
    shape = jnp.broadcast_shapes(scores.shape, attn_mask.shape)
    if shape != scores.shape:
        raise RuntimeError(
            f"output with shape {size_text(scores.shape)} doesn't match the broadcast shape {size_text(shape)}"
        )
    return scores + attn_mask.astype(scores.dtype)


def _scores(
    query: Array, key: Array, value: Array, attn_mask: Array | None, is_causal: bool, scale: Any, enable_gqa: bool,
    narrow: bool = False,
) -> tuple[Array, Array]:  # fmt: skip
    """The scores before the softmax, and the values for each query head; `narrow` multiplies halves as halves."""
    _check_operands(query, key, value, attn_mask, is_causal)
    wide = jnp.promote_types(query.dtype, jnp.float32)
    if not narrow:
        query, key, value = widen(query), widen(key), widen(value)
    if enable_gqa:
        key, value = _for_each_query_head(query, key, value)
    if scale is None:
        scale = 1 / sqrt(query.shape[-1]) if query.shape[-1] else 0.0
    transposed = jnp.swapaxes(key, -1, -2)
    if query.dtype == wide:
        scores = matmul(query * scale, transposed)
    else:
        scores = _product(query, transposed, wide) * jnp.asarray(scale, wide)
    return _masked(scores, attn_mask, is_causal), value


@op(method=False, differentiable=False)
def _scores_like(
    query: Array, key: Array, value: Array, attn_mask: Array | None, is_causal: bool, enable_gqa: bool
) -> Array:
    """Something of the scores' shape."""
    return jnp.zeros(_scores(query, key, value, attn_mask, is_causal, None, enable_gqa)[0].shape, query.dtype)


def _attention_grad_name(static: list[Any], avals: list[Any]) -> str:
    """PyTorch has one node for four dimensions without dropout; else the last product names it."""
    ndim = len(avals[0].shape)
    if ndim == 4 and static[-1] == _KEPT:
        return "ScaledDotProductFlashAttentionForCpuBackward0"
    return "MmBackward0" if ndim == 2 else "UnsafeViewBackward0"


@op(method=False, name="scaled_dot_product_attention", grad_name=_attention_grad_name)
def _attention(
    query: Array, key: Array, value: Array, attn_mask: Array | None, keep: Array | None, dropout_p: Operand,
    scale: Operand, is_causal: bool, enable_gqa: bool, fused: float | None, accelerated: bool, dropout: int,
) -> Array:  # fmt: skip
    if fused is not None and flash.fits(query, key, value, is_causal):
        if enable_gqa or query.shape[1] == key.shape[1]:
            return flash.flash_attention(query, key, value, fused, is_causal)
    scores, values = _scores(query, key, value, attn_mask, is_causal, scale, enable_gqa, accelerated)
    return _weighted(scores, values, keep, dropout_p, dropout).astype(query.dtype)


def _kind_of_device(operand: Any) -> str:
    """PyTorch's name for what a tensor lies on; for a raw array, for what JAX runs on."""
    if isinstance(operand, TensorBase):
        return operand.device.type
    return {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Compute `softmax(query key^T scale + mask) value`, with dropout of the weights.

    A boolean `attn_mask` is true where a key takes part; a floating one is added to the scores. A query whose keys are
    all masked gets zeros. `scale` is 1 / sqrt(E) by default. With `enable_gqa`, groups of query heads share the heads of
    keys and values. Dropout does not depend on a training mode.

    Shapes: query `(*, L, E)`, key `(*, S, E)`, value `(*, S, Ev)`, attn_mask broadcast to `(*, L, S)`; result
    `(*, L, Ev)`. Raises RuntimeError when sizes, dtypes or options do not fit.

    Args:
        query, key, value: what is compared, what it is compared with, and what is averaged.
        attn_mask: which keys take part, or what is added to the scores.
        is_causal: a query sees only keys up to its own place.
        scale: a factor of the scores.

    Source: https://arxiv.org/abs/1706.03762, https://arxiv.org/abs/2305.13245 (grouped heads)
    """
    need_tensor(query, "scaled_dot_product_attention", "query")
    for name, flag in (("is_causal", is_causal), ("enable_gqa", enable_gqa)):
        if not isinstance(flag, bool):
            raise TypeError(
                f"scaled_dot_product_attention(): argument '{name}' must be bool, not {type(flag).__name__}"
            )
    if dropout_p > 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p:g}")
    dropout, keep = _kind_of_dropout(dropout_p), None
    if dropout == _MASKED:
        keep = bernoulli_mask(_scores_like(query, key, value, attn_mask, is_causal, enable_gqa), 1 - dropout_p)
    place = _kind_of_device(query)
    fused = None
    if place == "cuda" and attn_mask is None and dropout == _KEPT and query.shape[-1] and flash.available():
        fused = 1 / sqrt(query.shape[-1]) if scale is None else float(scale)
    return _attention(
        query, key, value, attn_mask, keep, dropout_p if dropout else None, scale, is_causal, enable_gqa, fused,
        place != "cpu", dropout,
    )  # fmt: skip


# --- masks of multi_head_attention_forward -----------------------------------------------------------------------


@op(method=False, name="masked_fill", differentiable=False)
def _additive(mask: Array, dtype: dtypes.dtype) -> Array:
    return jnp.where(mask, -jnp.inf, 0.0).astype(dtype.np)


def additive_mask(mask: Any, name: str, like: Any, other: Any = None, other_name: str = "") -> Any:
    """A mask to add to scores: minus infinity, in the dtype of `like`, where a boolean one is true; others unchanged.

    Warns when the other mask has another dtype. Raises AssertionError for masks of integers.
    """
    if mask is None:
        return None
    kind = dtypes.of(mask.dtype)
    if kind is not dtypes.bool and not kind.is_floating_point:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and kind is not dtypes.of(other.dtype):
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    return _additive(mask, dtypes.of(like.dtype)) if kind is dtypes.bool else mask


# --- multi_head_attention_forward --------------------------------------------------------------------------------


def _check_ranks(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any, num_heads: int) -> None:
    rank = query.ndim
    if rank not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor")
    start = f"For {'batched' if rank == 3 else 'unbatched'} ({rank}-D) `query`, expected "
    if key.ndim != rank or value.ndim != rank:
        raise AssertionError(
            f"{start}`key` and `value` to be {rank}-D but found {key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.ndim != rank - 1:
        raise AssertionError(
            f"{start}`key_padding_mask` to be `None` or {rank - 1}-D but found {key_padding_mask.ndim}-D tensor instead"
        )
    if attn_mask is None:
        return
    if attn_mask.ndim not in (2, 3):
        raise AssertionError(f"{start}`attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.ndim}-D tensor instead")
    shape = (num_heads, query.shape[0], key.shape[0])
    if rank == 2 and attn_mask.ndim == 3 and tuple(attn_mask.shape) != shape:
        raise AssertionError(f"Expected `attn_mask` shape to be {shape} but got {Size(attn_mask.shape)}")


def _check_projections(
    query: Array, key: Array, value: Array, embed_dim: int, num_heads: int, separate: bool,
    in_proj_weight: Array | None, weights: tuple[Array | None, ...],
) -> None:  # fmt: skip
    given = query.shape[-1]
    if given != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got {given}")
    if given % num_heads:
        raise AssertionError(f"embed_dim {given} not divisible by num_heads {num_heads}")
    if separate:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {Size(key.shape[:2])} do not match value's {Size(value.shape[:2])}"
            )
        for name, weight in zip("qkv", weights, strict=True):
            if weight is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        for name, weight, source in zip(("query", "key", "value"), weights, (query, key, value), strict=True):
            if weight is not None and weight.shape != (given, source.shape[-1]):
                raise AssertionError(
                    f"expecting {name} weights shape of {(given, source.shape[-1])}, but got {Size(weight.shape)}"
                )
        return
    if key.shape != value.shape:
        raise AssertionError(f"key shape {Size(key.shape)} does not match value shape {Size(value.shape)}")
    if in_proj_weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")


def _projected(
    query: Array, key: Array, value: Array, weight: Array | None, bias: Array | None,
    weights: tuple[Array | None, ...], same: int,
) -> tuple[Array, ...]:  # fmt: skip
    """Queries, keys and values; as one product where they come from one tensor (`same`: 3 all, 2 key and value)."""
    biases = (None,) * 3 if bias is None else tuple(jnp.split(bias, 3))
    if weight is None:
        return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
    width = query.shape[-1]
    if same == 3:
        return tuple(jnp.split(linear(query, weight, bias), 3, axis=-1))
    first = linear(query, weight[:width], biases[0])
    if same == 2:
        both = linear(key, weight[width:], None if bias is None else bias[width:])
        return (first, *jnp.split(both, 2, axis=-1))
    second = linear(key, weight[width : 2 * width], biases[1])
    return first, second, linear(value, weight[2 * width :], biases[2])


def _check_attn_mask(mask: Array, batches: int, length: int, sources: int) -> None:
    wanted = (length, sources) if mask.ndim == 2 else (batches, length, sources)
    if mask.shape != wanted:
        raise RuntimeError(f"The shape of the {mask.ndim}D attn_mask is {Size(mask.shape)}, but should be {wanted}.")


def _longer(mask: Array | None) -> Array | None:
    """A mask with one more key, which takes part."""
    return None if mask is None else jnp.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, 1)])


def _check_static(static: Array, name: str, batches: int, width: int) -> None:
    for d, wanted in ((0, batches), (2, width)):
        if static.shape[d] != wanted:
            raise AssertionError(f"expecting {name}.size({d}) of {wanted}, but got {static.shape[d]}")


def _heads(x: Array, batches: int, width: int) -> Array:
    """(S, N, E) as (N * heads, S, E / heads)."""
    if x.size != x.shape[0] * batches * width:
        raise RuntimeError(f"shape '[{x.shape[0]}, {batches}, {width}]' is invalid for input of size {x.size}")
    return x.reshape(x.shape[0], batches, width).swapaxes(0, 1)


def _merged_masks(attn_mask: Array | None, padding: Array | None, n: int, heads: int, sources: int) -> Array | None:
    """Both masks as one to add to scores (N * heads, L, S)."""
    if attn_mask is not None and attn_mask.ndim == 2:
        attn_mask = attn_mask[None]
    if padding is None:
        return attn_mask
    for d, wanted in enumerate((n, sources)):
        if padding.shape[d] != wanted:
            raise AssertionError(f"Expected key_padded_mask.shape[{d}] to be {wanted}, but got {padding.shape[d]}")
    padding = jnp.repeat(padding, heads, axis=0)[:, None]
    return padding if attn_mask is None else attn_mask + padding


def _multi_head_grad_name(static: list[Any], avals: list[Any]) -> str:
    return "ViewBackward0" if len(avals[0].shape) == 3 else "SqueezeBackward1"


@op(method=False, name="multi_head_attention_forward", grad_name=_multi_head_grad_name)
def _multi_head_attention(
    query: Array, key: Array, value: Array, in_proj_weight: Array | None, in_proj_bias: Array | None,
    q_proj_weight: Array | None, k_proj_weight: Array | None, v_proj_weight: Array | None, bias_k: Array | None,
    bias_v: Array | None, out_proj_weight: Array, out_proj_bias: Array | None, static_k: Array | None,
    static_v: Array | None, attn_mask: Array | None, key_padding_mask: Array | None, keep: Array | None,
    dropout_p: Operand, embed_dim: int, num_heads: int, add_zero_attn: bool, need_weights: bool, is_causal: bool,
    separate: bool, same: int, dropout: int,
) -> Any:  # fmt: skip
    """The result, and with `need_weights` the weights of every head."""
    batched = query.ndim == 3
    if not batched:
        query, key, value = query[:, None], key[:, None], value[:, None]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
    length, n, width = query.shape
    weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    _check_projections(query, key, value, embed_dim, num_heads, separate, in_proj_weight, weights)
    head, batches = width // num_heads, n * num_heads
    packed = None if separate else in_proj_weight
    q, k, v = _projected(query, key, value, packed, in_proj_bias, weights, same)
    if attn_mask is not None:
        _check_attn_mask(attn_mask, batches, length, key.shape[0])
    if (bias_k is None) != (bias_v is None):
        raise AssertionError(
            "bias_k is set but bias_v is None" if bias_v is None else "bias_v is set but bias_k is None"
        )
    if bias_k is not None and bias_v is not None:
        for name, static in (("key", static_k), ("value", static_v)):
            if static is not None:
                raise AssertionError(f"bias cannot be added to static {name}.")
        k, v = (jnp.concatenate([x, jnp.tile(b, (1, n, 1))]) for x, b in ((k, bias_k), (v, bias_v)))
        attn_mask, key_padding_mask = _longer(attn_mask), _longer(key_padding_mask)
    q = _heads(q, batches, head)
    for name, static in (("static_k", static_k), ("static_v", static_v)):
        if static is not None:
            _check_static(static, name, batches, head)
    k = _heads(k, batches, head) if static_k is None else static_k
    v = _heads(v, batches, head) if static_v is None else static_v
    if add_zero_attn:
        k, v = (jnp.pad(x, [(0, 0), (0, 1), (0, 0)]) for x in (k, v))
        attn_mask, key_padding_mask = _longer(attn_mask), _longer(key_padding_mask)
    mask = _merged_masks(attn_mask, key_padding_mask, n, num_heads, k.shape[1])
    if need_weights:
        if mask is not None and mask.dtype != q.dtype:
            names = f"input {c_name(mask)}, batch1: {c_name(q)}, batch2: {c_name(k)}"
            raise RuntimeError(f"Input dtypes must be the same, got: {names}")
        scores = matmul(widen(q) * sqrt(1.0 / head), jnp.swapaxes(widen(k), 1, 2))
        shares = _drop(jax.nn.softmax(_masked(scores, mask, False), axis=-1), keep, dropout_p, dropout)
        attended = matmul(shares, widen(v))
    else:
        scores, values = _scores(q, k, v, mask, is_causal, None, False)
        attended = _weighted(scores, values, keep, dropout_p, dropout)
    attended = attended.astype(q.dtype).swapaxes(0, 1).reshape(length, n, width)
    result = linear(attended, out_proj_weight, out_proj_bias)
    result = result if batched else result[:, 0]
    if not need_weights:
        return result
    shares = shares.astype(q.dtype).reshape(n, num_heads, length, k.shape[1])
    return result, (shares if batched else shares[0])


def _average_grad_name(static: list[Any], avals: list[Any]) -> str:
    return "MeanBackward1" if len(avals[0].shape) == 4 else "SqueezeBackward1"


@op(method=False, name="mean", grad_name=_average_grad_name)
def _over_heads(weights: Array) -> Array:
    return jnp.mean(widen(weights), axis=-3).astype(weights.dtype)


@op(method=False, differentiable=False)
def _zeros(like: Array, shape: tuple[int, ...]) -> Array:
    return jnp.zeros(shape, like.dtype)


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """Project, attend in every head, and project again; also the weights, or None without `need_weights`.

    True in a boolean mask keeps a key out; a floating one is added to the scores. A query whose keys are all kept out
    gets NaN with `need_weights`, else zeros. `is_causal` says that `attn_mask` is causal, which then need not be read.

    Shapes: query `(L, N, E)` or `(L, E)`, key and value `(S, N, E)` or `(S, E)` (`kdim`, `vdim` with separate weights),
    key_padding_mask `(N, S)` or `(S)`, attn_mask `(L, S)` or `(N heads, L, S)`, static_k and static_v
    `(N heads, S, E / heads)`; result `(L, N, E)` or `(L, E)`, weights `(N, L, S)` or `(L, S)`, with a dimension of heads
    before `L` without `average_attn_weights`.
    Raises AssertionError or RuntimeError when sizes, dtypes or options do not fit.

    Args:
        query, key, value: what is compared, what it is compared with, and what is averaged.
        embed_dim_to_check: E.
        in_proj_weight, in_proj_bias: (3 E, E) and (3 E): the projections in one.
        bias_k, bias_v: (1, 1, E): added to the sequences, or None.
        add_zero_attn: add a key and value of zeros.
        out_proj_weight, out_proj_bias: the projection of the result.
        key_padding_mask: which keys to leave out of each sample.
        need_weights: also give the weights.
        attn_mask: which pairs to leave out, or what is added to the scores.
        use_separate_proj_weight: take the next three and not ``in_proj_weight``.
        q_proj_weight, k_proj_weight, v_proj_weight: the projections one by one.
        static_k, static_v: keys and values in place of projected ones.

    Source: https://arxiv.org/abs/1706.03762
    """
    _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    padding = additive_mask(key_padding_mask, "key_padding_mask", query, attn_mask, "attn_mask")
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    is_causal = is_causal and padding is None and not need_weights
    mask = None if is_causal else additive_mask(attn_mask, "attn_mask", query)
    dropout, keep = _kind_of_dropout(dropout_p) if training else _KEPT, None
    if dropout_p > 1.0 and dropout:
        raise (ValueError if need_weights else RuntimeError)(
            f"dropout probability has to be between 0 and 1, but got {dropout_p}"
        )
    if dropout == _MASKED:
        sources = key.shape[0] + (bias_k is not None) if static_k is None else static_k.shape[1]
        batches = (query.shape[1] if query.ndim == 3 else 1) * num_heads
        keep = bernoulli_mask(_zeros(query, (batches, query.shape[0], sources + bool(add_zero_attn))), 1 - dropout_p)
    same = 1 if key is not value else 3 if query is key else 2
    made = _multi_head_attention(
        query, key, value, in_proj_weight, in_proj_bias, q_proj_weight, k_proj_weight, v_proj_weight, bias_k, bias_v,
        out_proj_weight, out_proj_bias, static_k, static_v, mask, padding, keep, dropout_p if dropout else None,
        embed_dim_to_check, num_heads, bool(add_zero_attn), bool(need_weights), bool(is_causal),
        bool(use_separate_proj_weight), same, dropout,
    )  # fmt: skip
    if not need_weights:
        return made, None
    result, weights = made
    return result, (_over_heads(weights) if average_attn_weights else weights)

"""Layers that Flax has, too: `to_flax` and `from_flax`, with the weights in the other's layout.

Kernels are (in, out) and HWIO there; inputs have their channels last. What a layer of the one does and the other's cannot is refused
by its name.

Args:
    layer: a layer of Flax's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnn import nn
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value

__all__ = ["from_flax", "to_flax"]

_CONVS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TURNED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)

_exact_gelu = functools.partial(jax.nn.gelu, approximate=False)
#: Activations: our layer, what it needs to be, and JAX's function.
_FUNCTIONS: list[tuple[Any, Callable[[Any], bool], Callable[..., Any]]] = [
    (nn.ReLU, lambda m: True, jax.nn.relu),
    (nn.ReLU6, lambda m: True, jax.nn.relu6),
    (nn.SiLU, lambda m: True, jax.nn.silu),
    (nn.GELU, lambda m: m.approximate == "none", _exact_gelu),
    (nn.GELU, lambda m: m.approximate == "tanh", jax.nn.gelu),
    (nn.Sigmoid, lambda m: True, jax.nn.sigmoid),
    (nn.Tanh, lambda m: True, jnp.tanh),
    (nn.ELU, lambda m: m.alpha == 1.0, jax.nn.elu),
    (nn.LeakyReLU, lambda m: m.negative_slope == 0.01, jax.nn.leaky_relu),
    (nn.Hardtanh, lambda m: (m.min_val, m.max_val) == (-1.0, 1.0), jax.nn.hard_tanh),
    (nn.Softplus, lambda m: m.beta == 1.0 and m.threshold == 20.0, jax.nn.softplus),
    (nn.LogSigmoid, lambda m: True, jax.nn.log_sigmoid),
    (nn.Hardswish, lambda m: True, jax.nn.hard_swish),
    (nn.Hardsigmoid, lambda m: True, jax.nn.hard_sigmoid),
    (nn.Mish, lambda m: True, jax.nn.mish),
    (nn.SELU, lambda m: True, jax.nn.selu),
    (nn.Softsign, lambda m: True, jax.nn.soft_sign),
]  # fmt: skip


def _refuse(layer: Any, what: str) -> NoReturn:
    raise ValueError(f"{type(layer).__name__}: {what}, which the other library's layer does not have")


def _need(layer: Any, **wanted: Any) -> None:
    """Refuse a layer with other settings than these."""
    for name, value in wanted.items():
        if getattr(layer, name) != value:
            _refuse(layer, f"{name}={getattr(layer, name)!r}")


def _fill(target: Any, **arrays: Any) -> Any:
    for name, array in arrays.items():
        if array is not None:
            variable = getattr(target, name)
            if tuple(variable.shape) != tuple(array.shape):
                raise ValueError(f"{type(target).__name__}.{name} has shape {tuple(variable.shape)}, not {tuple(array.shape)}")
            variable[...] = array
    return target


def _value(t: Any) -> Any:
    return None if t is None else escaped_value(t)


def _kernel(weight: Any) -> Any:
    """OIHW to HWIO; of a Linear (out, in) to (in, out)."""
    w = escaped_value(weight)
    return jnp.transpose(w, (*range(2, w.ndim), 1, 0))


def _tensor(array: Any) -> Any:
    return tensor_of(jnp.asarray(array))


# --- ours to Flax's


def _linear(m: Any, rngs: Any) -> Any:
    made = nnx.Linear(m.in_features, m.out_features, use_bias=m.bias is not None, param_dtype=m.weight.dtype.np, rngs=rngs)
    return _fill(made, kernel=_kernel(m.weight), bias=_value(m.bias))


def _conv(m: Any, rngs: Any) -> Any:
    padding: Any = m.padding.upper() if isinstance(m.padding, str) else [(p, p) for p in m.padding]
    if m.padding_mode == "circular" and m.padding == "same":
        padding = "CIRCULAR"
    else:
        _need(m, padding_mode="zeros")
    made = nnx.Conv(
        m.in_channels, m.out_channels, m.kernel_size, m.stride, padding=padding, kernel_dilation=m.dilation,
        feature_group_count=m.groups, use_bias=m.bias is not None, param_dtype=m.weight.dtype.np, rngs=rngs,
    )  # fmt: skip
    return _fill(made, kernel=_kernel(m.weight), bias=_value(m.bias))


def _turned_kernel(weight: Any) -> Any:
    """(in, out, H, W) to HWIO, flipped: Flax correlates where PyTorch takes a convolution's gradient."""
    w = escaped_value(weight)
    return jnp.flip(jnp.transpose(w, (*range(2, w.ndim), 0, 1)), tuple(range(w.ndim - 2)))


def _conv_transpose(m: Any, rngs: Any) -> Any:
    _need(m, groups=1, padding_mode="zeros")
    reach = [d * (k - 1) for k, d in zip(m.kernel_size, m.dilation)]
    padding = [(r - p, r - p + o) for r, p, o in zip(reach, m.padding, m.output_padding)]
    made = nnx.ConvTranspose(
        m.in_channels, m.out_channels, m.kernel_size, m.stride, padding=padding, kernel_dilation=m.dilation,
        use_bias=m.bias is not None, param_dtype=m.weight.dtype.np, rngs=rngs,
    )  # fmt: skip
    return _fill(made, kernel=_turned_kernel(m.weight), bias=_value(m.bias))


def _embedding(m: Any, rngs: Any) -> Any:
    _need(m, padding_idx=None, max_norm=None, scale_grad_by_freq=False, sparse=False)
    made = nnx.Embed(m.num_embeddings, m.embedding_dim, param_dtype=m.weight.dtype.np, rngs=rngs)
    return _fill(made, embedding=escaped_value(m.weight))


def _batch_norm(m: Any, rngs: Any) -> Any:
    _need(m, track_running_stats=True)
    if m.momentum is None:
        _refuse(m, "momentum=None")
    made = nnx.BatchNorm(
        m.num_features, use_running_average=not m.training, momentum=1 - m.momentum, epsilon=m.eps, use_bias=m.affine,
        use_scale=m.affine, param_dtype=m.running_mean.dtype.np, use_fast_variance=False, rngs=rngs,
    )  # fmt: skip
    return _fill(made, scale=_value(m.weight), bias=_value(m.bias), mean=_value(m.running_mean), var=_value(m.running_var))


def _one_size(m: Any) -> int:
    if len(m.normalized_shape) != 1:
        _refuse(m, f"normalized_shape={tuple(m.normalized_shape)}")
    return m.normalized_shape[0]


def _layer_norm(m: Any, rngs: Any) -> Any:
    kind = {} if m.weight is None else {"param_dtype": m.weight.dtype.np}
    made = nnx.LayerNorm(
        _one_size(m), epsilon=m.eps, use_bias=m.bias is not None, use_scale=m.weight is not None, use_fast_variance=False, rngs=rngs,
        **kind,
    )  # fmt: skip
    return _fill(made, scale=_value(m.weight), bias=_value(m.bias))


def _rms_norm(m: Any, rngs: Any) -> Any:
    kind = np.float32 if m.weight is None else m.weight.dtype.np
    eps = float(jnp.finfo(kind).eps) if m.eps is None else m.eps
    made = nnx.RMSNorm(_one_size(m), epsilon=eps, use_scale=m.weight is not None, param_dtype=kind, rngs=rngs)
    return _fill(made, scale=_value(m.weight))


def _group_norm(m: Any, rngs: Any) -> Any:
    kind = {} if m.weight is None else {"param_dtype": m.weight.dtype.np}
    made = nnx.GroupNorm(
        m.num_channels, m.num_groups, epsilon=m.eps, use_bias=m.bias is not None, use_scale=m.weight is not None,
        use_fast_variance=False, rngs=rngs, **kind,
    )  # fmt: skip
    return _fill(made, scale=_value(m.weight), bias=_value(m.bias))


def _instance_norm(m: Any, rngs: Any) -> Any:
    _need(m, track_running_stats=False)
    made = nnx.InstanceNorm(
        m.num_features, epsilon=m.eps, use_bias=m.affine, use_scale=m.affine, use_fast_variance=False, rngs=rngs
    )
    return _fill(made, scale=_value(m.weight), bias=_value(m.bias))


def _prelu(m: Any, rngs: Any) -> Any:
    _need(m, num_parameters=1)
    made = nnx.PReLU(param_dtype=m.weight.dtype.np)
    made.negative_slope[...] = escaped_value(m.weight)[0]
    return made


def _dropout(m: Any, rngs: Any) -> Any:
    return nnx.Dropout(m.p, deterministic=not m.training, rngs=rngs)


def _attention(m: Any, rngs: Any) -> Any:
    _need(m, add_zero_attn=False, bias_k=None, _qkv_same_embed_dim=True, batch_first=True)
    bias = m.in_proj_bias is not None
    made = nnx.MultiHeadAttention(
        m.num_heads, m.embed_dim, use_bias=bias, dropout_rate=m.dropout, deterministic=not m.training, decode=False,
        param_dtype=m.in_proj_weight.dtype.np, rngs=rngs,
    )  # fmt: skip
    heads = (m.num_heads, m.head_dim)
    weights = jnp.split(escaped_value(m.in_proj_weight), 3)
    biases = jnp.split(escaped_value(m.in_proj_bias), 3) if bias else [None] * 3
    for part, w, b in zip((made.query, made.key, made.value), weights, biases):
        _fill(part, kernel=w.T.reshape(-1, *heads), bias=None if b is None else b.reshape(heads))
    _fill(made.out, kernel=escaped_value(m.out_proj.weight).T.reshape(*heads, -1), bias=_value(m.out_proj.bias))
    return made


def _sequential(m: Any, rngs: Any) -> Any:
    return nnx.Sequential(*(_layer_to_flax(child, rngs) for child in m))


_TO_FLAX: dict[Any, Callable[[Any, Any], Any]] = {
    nn.Linear: _linear, **dict.fromkeys(_CONVS.values(), _conv), **dict.fromkeys(_TURNED.values(), _conv_transpose),
    nn.Embedding: _embedding, **dict.fromkeys(_BATCH_NORMS, _batch_norm), nn.LayerNorm: _layer_norm, nn.RMSNorm: _rms_norm,
    nn.GroupNorm: _group_norm, **dict.fromkeys(_INSTANCE_NORMS, _instance_norm), nn.PReLU: _prelu, nn.Dropout: _dropout,
    nn.MultiheadAttention: _attention, nn.Sequential: _sequential,
}  # fmt: skip


def _layer_to_flax(module: Any, rngs: Any) -> Any:
    make = _TO_FLAX.get(type(module))
    if make is not None:
        return make(module, rngs)
    if type(module) is nn.Identity:
        return _identity
    for kind, fits, function in _FUNCTIONS:
        if type(module) is kind and fits(module):
            return function
    raise TypeError(f"to_flax: Flax has no layer like {module!r}")


def _identity(x: Any) -> Any:
    return x


def to_flax(module: nn.Module, rngs: nnx.Rngs | None = None) -> Any:
    """Flax's own layer for one of ours, with its weights: kernels (in, out) and HWIO, inputs with their channels last.

    Linear, convolutions and transposed ones, Embedding, the norms, PReLU, Dropout, MultiheadAttention (``batch_first``), activations
    (JAX's functions) and Sequential of these. Running variances go on by Flax's rule, which does not correct for the bias.

    Args:
        module: the layer; it is left as it is.
        rngs: for dropout; seed 0 without it.

    Raises:
        TypeError: for a layer that Flax does not have.
        ValueError: for a setting that Flax's layer does not have.
    """
    return _layer_to_flax(module, nnx.Rngs(0) if rngs is None else rngs)


# --- Flax's to ours


def _kind(variable: Any) -> Any:
    from_numpy = np.dtype(variable.dtype)
    return tensor_of(np.zeros(0, from_numpy)).dtype


def _set(module: Any, **tensors: Any) -> Any:
    state = {name: _tensor(array) for name, array in tensors.items() if array is not None}
    module.load_state_dict(state, strict=False)
    missing = [n for n in module.state_dict() if n not in state and n != "num_batches_tracked"]
    if missing:
        raise ValueError(f"{type(module).__name__}: {', '.join(missing)} has no counterpart")
    return module


def _array(variable: Any) -> Any:
    return None if variable is None else variable[...]


def _pairs(padding: Any, kernel: Any, layer: Any) -> Any:
    """Padding that is the same on both sides, as we have it."""
    if isinstance(padding, str):
        if padding in ("SAME", "VALID", "CIRCULAR"):
            return "valid" if padding == "VALID" else "same"
        _refuse(layer, f"padding={padding!r}")
    if isinstance(padding, int):
        return (padding,) * len(kernel)
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in padding]
    if any(a != b for a, b in pairs):
        _refuse(layer, f"padding={padding!r}")
    return tuple(a for a, _ in pairs)


def _tuple(value: Any, n: int) -> tuple[int, ...]:
    return (1 if value is None else value,) * n if value is None or isinstance(value, int) else tuple(value)


def _from_linear(m: Any) -> Any:
    made = nn.Linear(m.in_features, m.out_features, m.bias is not None, dtype=_kind(m.kernel))
    return _set(made, weight=_array(m.kernel).T, bias=_array(m.bias))


def _from_conv(m: Any) -> Any:
    n = len(m.kernel_size)
    if n not in _CONVS or m.mask is not None or set(_tuple(m.input_dilation, n)) != {1}:
        _refuse(m, "kernel_size, mask or input_dilation")
    padding = _pairs(m.padding, m.kernel_size, m)
    stride = _tuple(m.strides, n)
    if padding == "same" and set(stride) != {1}:
        _refuse(m, "padding='SAME' with strides")
    made = _CONVS[n](
        m.in_features, m.out_features, tuple(m.kernel_size), stride, padding, _tuple(m.kernel_dilation, n), m.feature_group_count,
        m.bias is not None, "circular" if m.padding == "CIRCULAR" else "zeros", dtype=_kind(m.kernel),
    )  # fmt: skip
    return _set(made, weight=jnp.transpose(_array(m.kernel), (n + 1, n, *range(n))), bias=_array(m.bias))


def _from_conv_transpose(m: Any) -> Any:
    n = len(m.kernel_size)
    if n not in _TURNED or m.mask is not None or m.transpose_kernel or isinstance(m.padding, str):
        _refuse(m, f"padding={m.padding!r}, transpose_kernel={m.transpose_kernel} or a mask")
    dilation = _tuple(m.kernel_dilation, n)
    reach = [d * (k - 1) for k, d in zip(m.kernel_size, dilation)]
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in ([m.padding] * n if isinstance(m.padding, int) else m.padding)]
    padding = tuple(r - a for r, (a, _) in zip(reach, pairs))
    extra = tuple(b - a for a, b in pairs)
    if min(padding) < 0 or min(extra) < 0:
        _refuse(m, f"padding={m.padding!r}")
    made = _TURNED[n](
        m.in_features, m.out_features, tuple(m.kernel_size), _tuple(m.strides, n), padding, extra, 1, m.bias is not None, dilation,
        dtype=_kind(m.kernel),
    )  # fmt: skip
    kernel = jnp.flip(_array(m.kernel), tuple(range(n)))
    return _set(made, weight=jnp.transpose(kernel, (n, n + 1, *range(n))), bias=_array(m.bias))


def _from_embed(m: Any) -> Any:
    return _set(nn.Embedding(m.num_embeddings, m.features, dtype=_kind(m.embedding)), weight=_array(m.embedding))


def _from_batch_norm(m: Any, dims: int = 2) -> Any:
    affine = m.scale is not None
    if affine != (m.bias is not None):
        _refuse(m, "a scale without a bias, or the reverse")
    made = _BATCH_NORMS[dims - 1](m.num_features, m.epsilon, round(1 - m.momentum, 12), affine, dtype=_kind(m.mean))
    made.train(not m.use_running_average)
    return _set(made, weight=_array(m.scale), bias=_array(m.bias), running_mean=_array(m.mean), running_var=_array(m.var))


def _from_layer_norm(m: Any) -> Any:
    if m.scale is None and m.bias is not None:
        _refuse(m, "a bias without a scale")
    kind = None if m.scale is None else _kind(m.scale)
    made = nn.LayerNorm(m.num_features, m.epsilon, m.scale is not None, m.bias is not None, dtype=kind)
    return _set(made, weight=_array(m.scale), bias=_array(m.bias))


def _from_rms_norm(m: Any) -> Any:
    held = m.scale
    made = nn.RMSNorm(m.num_features, m.epsilon, held is not None, dtype=None if held is None else _kind(held))
    return _set(made, weight=_array(held))


def _from_group_norm(m: Any) -> Any:
    if (m.scale is None) != (m.bias is None):
        _refuse(m, "a scale without a bias, or the reverse")
    held = m.scale
    if held is None:
        _refuse(m, "no number of channels, being without scale and bias")
    kind = _kind(held)
    made = nn.GroupNorm(m.num_groups, held.size, m.epsilon, dtype=kind)
    return _set(made, weight=_array(m.scale), bias=_array(m.bias))


def _from_dropout(m: Any) -> Any:
    return nn.Dropout(m.rate).train(not m.deterministic)


def _from_prelu(m: Any) -> Any:
    return _set(nn.PReLU(dtype=_kind(m.negative_slope)), weight=_array(m.negative_slope).reshape(1))


def _from_attention(m: Any) -> Any:
    if m.qkv_features != m.in_features or m.out_features != m.in_features or m.normalize_qk:
        _refuse(m, "qkv_features, out_features or normalize_qk")
    width, bias = m.in_features, m.query.bias is not None
    made = nn.MultiheadAttention(width, m.num_heads, m.dropout_rate, bias, batch_first=True, dtype=_kind(m.query.kernel))
    made.train(not m.deterministic)
    parts = (m.query, m.key, m.value)
    state = {"in_proj_weight": jnp.concatenate([_array(p.kernel).reshape(width, -1).T for p in parts])}
    state["out_proj.weight"] = _array(m.out.kernel).reshape(-1, width).T
    if bias:
        state["in_proj_bias"] = jnp.concatenate([_array(p.bias).reshape(-1) for p in parts])
        state["out_proj.bias"] = _array(m.out.bias)
    return _set(made, **state)


def _from_sequential(m: Any) -> Any:
    dims = 1
    made = []
    for layer in m.layers:
        if isinstance(layer, (nnx.Conv, nnx.ConvTranspose)):
            dims = len(layer.kernel_size)
        made.append(_from_batch_norm(layer, dims) if isinstance(layer, nnx.BatchNorm) else from_flax(layer))
    return nn.Sequential(*made)


_FROM_FLAX: dict[Any, Callable[[Any], Any]] = {
    nnx.Linear: _from_linear, nnx.Conv: _from_conv, nnx.ConvTranspose: _from_conv_transpose, nnx.Embed: _from_embed,
    nnx.BatchNorm: _from_batch_norm, nnx.LayerNorm: _from_layer_norm, nnx.RMSNorm: _from_rms_norm, nnx.GroupNorm: _from_group_norm,
    nnx.Dropout: _from_dropout, nnx.PReLU: _from_prelu, nnx.MultiHeadAttention: _from_attention, nnx.Sequential: _from_sequential,
}  # fmt: skip


def from_flax(layer: Any) -> nn.Module:
    """Our layer for one of Flax's own, with its weights; the reverse of `to_flax`.

    A BatchNorm becomes `BatchNorm2d`, in a Sequential that of the convolution before it.

    Raises:
        TypeError: for a layer that we do not have.
        ValueError: for a setting that our layer does not have.
    """
    make = _FROM_FLAX.get(type(layer))
    if make is not None:
        return make(layer)
    if layer is _identity:
        return nn.Identity()
    for kind, fits, function in _FUNCTIONS:
        if layer is function or (function is _exact_gelu and _is_exact_gelu(layer)):
            made = kind("tanh") if kind is nn.GELU and function is jax.nn.gelu else kind()
            if fits(made):
                return made
    raise TypeError(f"from_flax: there is no layer like {layer!r} here")


def _is_exact_gelu(f: Any) -> bool:
    return isinstance(f, functools.partial) and f.func is jax.nn.gelu and f.keywords == {"approximate": False} and not f.args

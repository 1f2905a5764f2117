"""Batch normalisation in evaluation folded into the layer before it.

Args:
    conv, linear, bn: the layers.
    conv_w, conv_b, linear_w, linear_b: weight and bias of the first layer.
    bn_rm, bn_rv, bn_eps, bn_w, bn_b: running mean and variance, eps, weight and bias of the normalisation.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.nn.parameter import Parameter
from jaxnn.ops.elementwise.unary import rsqrt

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

_Layer = TypeVar("_Layer")


def _fused(
    weight: Any, bias: Any, mean: Any, variance: Any, eps: float, scale: Any, shift: Any, per_output: list[int]
) -> tuple[Parameter, Parameter]:
    weight_type, bias_type = weight.dtype, weight.dtype if bias is None else bias.dtype
    bias = mean.new_zeros(mean.shape) if bias is None else bias
    scale = mean.new_ones(mean.shape) if scale is None else scale
    shift = mean.new_zeros(mean.shape) if shift is None else shift
    factor = scale * rsqrt(variance + eps)
    fused_weight = (weight * factor.reshape(per_output)).to(dtype=weight_type)
    fused_bias = ((bias - mean) * factor + shift).to(dtype=bias_type)
    return Parameter(fused_weight, weight.requires_grad), Parameter(fused_bias, bias.requires_grad)


def fuse_conv_bn_weights(
    conv_w: TensorBase, conv_b: Any, bn_rm: TensorBase, bn_rv: TensorBase, bn_eps: float, bn_w: Any, bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Weight and bias of a convolution that does what convolution and batch normalisation did.

    Args:
        transpose: the convolution is transposed, its output channels lie in the second dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fusion.fuse_conv_bn_weights.html
    """
    shape = [1] * len(aval(conv_w).shape)
    shape[1 if transpose else 0] = -1
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_weights(
    linear_w: TensorBase, linear_b: Any, bn_rm: TensorBase, bn_rv: TensorBase, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer that does what linear layer and batch normalisation did.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fusion.fuse_linear_bn_weights.html
    """
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def _check_eval(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_eval(conv: _Layer, bn: Any, transpose: bool = False) -> _Layer:
    """A copy of a convolution with the batch normalisation after it folded in; both must be in evaluation.

    Raises:
        AssertionError: for a module that is training.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fusion.fuse_conv_bn_eval.html
    """
    _check_eval(conv, bn)
    fused: Any = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: _Layer, bn: Any) -> _Layer:
    """A copy of a linear layer with the batch normalisation after it folded in; both must be in evaluation.

    Raises:
        AssertionError: for a module that is training, or as many features as neither broadcasts to.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fusion.fuse_linear_bn_eval.html
    """
    _check_eval(linear, bn)
    fused: Any = copy.deepcopy(linear)
    if fused.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused

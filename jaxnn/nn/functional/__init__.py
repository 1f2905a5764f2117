"""`torch.nn.functional`: one family a file.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html
"""

import sys as _sys
from inspect import isfunction as _isfunction

from jaxnn.core.operator.overrides import SPACES as _SPACES
from jaxnn.core.operator.overrides import asking as _asking
from jaxnn.core.operator.type_errors import Checks as _Checks

from .activation import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
from .attention import multi_head_attention_forward, scaled_dot_product_attention
from .bags import embedding_bag
from .class_loss import cross_entropy, nll_loss
from .conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from .ctc import ctc_loss
from .distance import cosine_similarity, pairwise_distance, pdist
from .dropouts import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from .folding import fold, unfold
from .grid import affine_grid, grid_sample
from .gumbel import gumbel_softmax
from .likelihood_loss import gaussian_nll_loss, poisson_nll_loss
from .linear import bilinear, linear
from .linear_cross_entropy_loss import linear_cross_entropy
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from .margin_loss import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .norm import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, normalize, rms_norm
from .padding import pad
from .pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from .pool_with_places import (
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d_with_indices,
    max_pool1d_with_indices,
    max_pool2d_with_indices,
    max_pool3d_with_indices,
)
from .power_pool import lp_pool1d, lp_pool2d, lp_pool3d
from .random_pool import (
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
)
from .resample import interpolate, upsample, upsample_bilinear, upsample_nearest
from .shuffle import channel_shuffle, native_channel_shuffle, pixel_shuffle, pixel_unshuffle
from .sparse import embedding, one_hot
from .time_conv import conv_tbc
from .unpool import max_unpool1d, max_unpool2d, max_unpool3d

__all__ = [
    "affine_grid", "channel_shuffle", "embedding_bag", "fold", "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices", "fractional_max_pool3d", "fractional_max_pool3d_with_indices", "grid_sample",
    "interpolate", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "unfold", "upsample", "upsample_bilinear",
    "upsample_nearest",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d_with_indices",
    "conv_tbc", "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "alpha_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "batch_norm", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "celu_",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "elu_",
    "embedding", "feature_alpha_dropout", "gaussian_nll_loss", "gelu", "glu", "group_norm", "gumbel_softmax", "hardshrink",
    "hardsigmoid", "hardswish",
    "hardtanh", "hardtanh_", "hinge_embedding_loss", "huber_loss", "instance_norm", "kl_div", "l1_loss", "layer_norm", "leaky_relu",
    "leaky_relu_", "linear", "linear_cross_entropy",
    "local_response_norm", "log_softmax", "logsigmoid", "margin_ranking_loss", "max_pool1d", "max_pool2d",
    "max_pool3d", "mish", "mse_loss", "multi_head_attention_forward", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "nll_loss", "normalize", "one_hot", "pad",
    "pairwise_distance", "pdist", "poisson_nll_loss",
    "prelu", "relu", "relu6", "relu_", "rms_norm", "rrelu", "rrelu_", "scaled_dot_product_attention", "selu", "selu_",
    "sigmoid", "silu",
    "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink",
    "threshold", "threshold_", "triplet_margin_loss", "triplet_margin_with_distance_loss",
]  # fmt: skip

#: What PyTorch calls as methods: its messages count the arguments behind the tensor.
_METHODS = ("log_softmax", "softmax", "softmin")

#: What PyTorch has in Python, where a wrong type shows as an attribute that it lacks.
_IN_PYTHON = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "dropout1d", "dropout2d", "dropout3d", "embedding_bag", "glu",
    "huber_loss", "instance_norm", "interpolate", "l1_loss", "log_softmax", "mse_loss", "sigmoid", "smooth_l1_loss", "softmax",
    "softmin", "softsign", "tanh", "tanhshrink", "upsample", "upsample_bilinear", "upsample_nearest",
)  # fmt: skip

for _name in __all__:
    _value = globals()[_name]
    if _isfunction(_value) and getattr(getattr(_value, "op", None), "name", None) != _name:
        _home = _sys.modules[_value.__module__]
        globals()[_name] = _asked = _asking(_value, _name, _Checks(_name, _value, int(_name in _METHODS), _name in _IN_PYTHON))
        if getattr(_home, _value.__name__, None) is _value:  # where pickle finds it
            setattr(_home, _value.__name__, _asked)

_SPACES["jaxnn.nn."] = globals()

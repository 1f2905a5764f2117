"""``torch.nn.modules``: the classes of `jaxnn.nn` under the names of the files that PyTorch keeps them in.

    from jaxnn.nn.modules.batchnorm import _BatchNorm

Source: https://github.com/pytorch/pytorch/tree/main/torch/nn/modules
"""

from __future__ import annotations

import sys
import types
from typing import Any

from jaxnn.nn import adaptive as _adaptive
from jaxnn.nn import conv as _conv
from jaxnn.nn import dropout as _dropout
from jaxnn.nn import hooks as _hooks
from jaxnn.nn import lazy as _lazy
from jaxnn.nn import loss as _loss
from jaxnn.nn import norm as _norm
from jaxnn.nn import padding as _padding
from jaxnn.nn import pooling as _pooling
from jaxnn.nn import state_dict as _state_dict

from . import utils as utils

#: What PyTorch's files hold of the public classes.
_PUBLIC = {
    "activation": (
        "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish "
        "MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink "
        "Softsign Tanh Tanhshrink Threshold"
    ),
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d SyncBatchNorm",
    "channelshuffle": "ChannelShuffle",
    "container": "Container ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "conv": (
        "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d LazyConv3d "
        "LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d"
    ),
    "distance": "CosineSimilarity PairwiseDistance",
    "dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": (
        "InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d"
    ),
    "lazy": "",
    "linear": "Bilinear Identity LazyLinear Linear",
    "loss": (
        "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss HingeEmbeddingLoss "
        "HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss MarginRankingLoss MultiLabelMarginLoss "
        "MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d PoissonNLLLoss SmoothL1Loss SoftMarginLoss "
        "TripletMarginLoss TripletMarginWithDistanceLoss"
    ),
    "module": "Module",
    "normalization": "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "padding": (
        "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d "
        "ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d "
        "ZeroPad3d"
    ),
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": (
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d "
        "AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d MaxPool1d "
        "MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d"
    ),
    "rnn": "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "sparse": "Embedding EmbeddingBag",
    "transformer": (
        "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer"
    ),
    "upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}

#: What they hold besides: base classes, which code checks against, and functions.
_BESIDES: dict[str, dict[str, Any]] = {
    "adaptive": {"_ASMoutput": _adaptive._ASMoutput},
    "batchnorm": {"_BatchNorm": _norm._BatchNorm, "_LazyNormBase": _lazy._LazyNorm, "_NormBase": _norm._NormBase},
    # PyTorch's `_ConvNd` is the base of both kinds of convolutions.
    "conv": {"_ConvNd": _conv._ConvBase, "_ConvTransposeNd": _conv._ConvTransposeNd},
    "dropout": {"_DropoutNd": _dropout._DropoutNd},
    "instancenorm": {"_InstanceNorm": _norm._InstanceNorm},
    "lazy": {"LazyModuleMixin": _lazy.LazyModuleMixin},
    "loss": {"_Loss": _loss._Loss, "_WeightedLoss": _loss._WeightedLoss},
    "module": {
        "_IncompatibleKeys": _state_dict._IncompatibleKeys,
        **{name: getattr(_hooks, name) for name in _hooks.__all__ if name.startswith("register_module_")},
    },
    "padding": {n: v for n, v in vars(_padding).items() if n.startswith("_") and n.endswith("Nd")},
    "pooling": {n: v for n, v in vars(_pooling).items() if n.startswith("_") and n.endswith("Nd")},
}
_OWNER = {name: file for file, names in _PUBLIC.items() for name in names.split()}
__all__: list[str] = []
__all__ += list(_OWNER)


def _of_nn(name: str, module: str) -> Any:
    """A class of `jaxnn.nn`, which is being imported while this package is."""
    found = getattr(sys.modules["jaxnn.nn"], name, None)
    if found is None:
        raise AttributeError(f"module '{module}' has no attribute '{name}': jaxnn lacks torch.nn.{name}")
    return found


class _File(types.ModuleType):
    """One of PyTorch's files."""

    def __init__(self, file: str) -> None:
        super().__init__(f"{__name__}.{file}", f"``torch.nn.modules.{file}``.")
        self.__all__ = _PUBLIC[file].split()
        vars(self).update(_BESIDES.get(file, {}))

    def __getattr__(self, name: str) -> Any:
        if _OWNER.get(name) != self.__name__.rpartition(".")[2]:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        return _of_nn(name, self.__name__)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *self.__all__})


for _file in _PUBLIC:
    sys.modules[f"{__name__}.{_file}"] = globals()[_file] = _File(_file)


def __getattr__(name: str) -> Any:
    if name not in _OWNER:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return _of_nn(name, __name__)

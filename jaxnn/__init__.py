"""PyTorch's ``nn`` API on JAX and Flax.

import jaxnn as torch          # the shape of torch
from jaxnn import nn           # torch.nn; the same classes are at top level too: jaxnn.Linear
from jaxnn import compat       # PyTorch's files and live objects
"""

from __future__ import annotations

import math as _math
import os as _os
import sys as _sys
import typing as _typing
from inspect import isfunction as _isfunction
from typing import Any

from .core.process.late import uncollected as _uncollected

with _uncollected():
    from . import __config__ as __config__
    from . import (
        accelerator,
        amp,
        autograd,
        backends,
        cpu,
        cuda,
        fft,
        func,
        futures,
        linalg,
        nn,
        ops,
        optim,
        overrides,
        random,
        sparse,
        special,
        storage,
        top_level_layers,
        torch_version,
        types,
        utils,
        version,
    )
from .amp import GradScaler, autocast
from .amp.switches import *  # noqa: F403
from .autograd import is_anomaly_check_nan_enabled, is_anomaly_enabled, set_anomaly_enabled
from .backends import get_float32_matmul_precision, set_float32_matmul_precision
from .checks import *  # noqa: F403
from .control_flow import cond, while_loop
from .core.gradient.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .core.kinds.device import device, get_default_device, set_default_device
from .core.kinds.dtypes import ALIASES as _ALIASES
from .core.kinds.dtypes import ALL as _ALL
from .core.kinds.dtypes import dtype, get_default_dtype, set_default_dtype
from .core.kinds.printing import set_printoptions
from .core.kinds.size import Size, layout, sparse_coo, sparse_csr, strided
from .core.memory.tensor_base import Tensor
from .core.operator.keyword_names import with_other_names as _with_other_names
from .core.operator.overrides import asking as _asking
from .core.operator.overrides import disabled as DisableTorchFunctionSubclass
from .core.operator.type_errors import with_type_errors as _with_type_errors
from .core.process.late import at_first_use as _at_first_use
from .core.process.late import finishers as _finishers
from .core.random.generator import Generator
from .core.registry import FUNCTIONS as _FUNCTIONS
from .core.registry import function as _function
from .core.run.cut import cut_all as finish
from .core.run.policy import set_execution_mode
from .core.run.statistics import engine_statistics, reset_engine_statistics
from .core.tensor import bind_methods as _bind_methods
from .cuda import OutOfMemoryError
from .docstrings import complete_imported as _complete_docstrings
from .docstrings import complete_late as _complete_late
from .foreach import *  # noqa: F403
from .func import vmap
from .futures import Future
from .missing_names import name_for_pickle as _name_for_pickle
from .missing_names import name_the_missing as _name_the_missing
from .missing_names import name_the_missing_late as _name_the_missing_late
from .nn import *  # noqa: F403  (jaxnn.Linear is jaxnn.nn.Linear)
from .nn import Trainable
from .nn.jax_devices import follow_jax_default_device
from .nn.jax_function import jax_function
from .process_switches import *  # noqa: F403  (threads, deterministic algorithms, compile)
from .serialization import load, save
from .storage import TypedStorage, UntypedStorage
from .version import __version__ as __version__

if _typing.TYPE_CHECKING:  # at first use
    from . import distributed, hub, library, masked, multiprocessing, profiler, quasirandom, signal, testing

for _name in ("softmax", "log_softmax"):
    _function(getattr(special, _name), name=_name, out=True)
for _name in ("prelu", "hardshrink"):
    _function(getattr(nn.functional, _name), name=_name)
for _name in (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "max_pool1d", "max_pool2d",
    "max_pool3d", "avg_pool1d", "adaptive_avg_pool1d", "dropout", "alpha_dropout", "celu", "selu",
    "bilinear", "layer_norm", "group_norm", "rms_norm", "cosine_similarity", "pairwise_distance", "pdist",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle",
):  # fmt: skip
    _function(getattr(nn.functional, _name), name=_name, method=False)
_bind_methods()
_name_the_missing(
    [
        nn,
        nn.functional,
        nn.init,
        nn.utils,
        optim,
        optim.lr_scheduler,
        autograd,
        autograd.graph,
        cuda,
        fft,
        func,
        linalg,
        overrides,
        special,
        utils,
    ]
)
globals().update({t.name: t for t in _ALL} | _ALIASES)
_FUNCTIONS.update({_name: _with_other_names(_name, _value) for _name, _value in _FUNCTIONS.items()})
_FUNCTIONS.update({
    _name: _asking(_value, _name) for _name, _value in _FUNCTIONS.items()
    if _isfunction(_value) and getattr(getattr(_value, "op", None), "name", None) != _name and _name != "is_tensor"
})  # fmt: skip
globals().update(_FUNCTIONS)
for _module in (linalg, fft, special):
    for _name in _module.__all__:
        _value = getattr(_module, _name)
        if _isfunction(_value) and not hasattr(_value, "op"):
            _value = _with_type_errors(_name, _value, method=False)
        setattr(_module, _name, _with_other_names(_name, _value, first=("input", "x")))

_name_for_pickle([nn.functional, linalg, fft, special, _sys.modules[__name__]])

inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None


def _assert(condition: Any, message: str) -> None:
    """``assert`` as a function, which models call as ``torch._assert``. Raises AssertionError."""
    if not condition:
        raise AssertionError(message)


#: Imported at first use: few programs need them. `_FOREIGN` are the namespaces for source written for PyTorch.
_LATE = (
    "compat", "distributed", "distributions", "export", "hub", "library", "masked", "multiprocessing", "profiler", "quasirandom", "signal",
    "testing", "vision",
)  # fmt: skip
_FOREIGN = ("_C", "compiler", "fx", "jit")
__path__ = [*globals()["__path__"], _os.path.join(_os.path.dirname(__file__), "compat", "foreign", "namespaces")]
__getattr__, __dir__ = _at_first_use(__name__, (*_LATE, *_FOREIGN))

__all__ = [
    "DisableTorchFunctionSubclass", "Future", "Generator", "GradScaler", "OutOfMemoryError", "Size", "Tensor",
    "Trainable", "TypedStorage", "UntypedStorage", "accelerator", "amp", "autocast", "autograd", "backends", "cond",
    "cpu", "cuda", "device", "distributed", "dtype", "enable_grad", "engine_statistics", "fft", "finish",
    "follow_jax_default_device", "func", "futures", "get_default_device", "get_default_dtype",
    "get_float32_matmul_precision", "hub", "inference_mode", "masked", "quasirandom", "is_anomaly_check_nan_enabled", "is_anomaly_enabled",
    "is_grad_enabled", "is_inference_mode_enabled", "jax_function", "top_level_layers", "layout", "library", "linalg",
    "load", "multiprocessing", "nn", "no_grad", "ops", "optim", "overrides", "profiler", "random", "reset_engine_statistics",
    "save", "set_anomaly_enabled", "set_default_device", "set_default_dtype", "set_execution_mode",
    "set_float32_matmul_precision", "set_grad_enabled", "set_printoptions", "signal", "sparse",
    "sparse_coo", "sparse_csr", "special", "storage", "strided",
    "testing", "torch_version", "types", "utils", "version", "vmap", "while_loop",
]  # fmt: skip

_complete_docstrings()
_finishers += [_complete_late, _name_the_missing_late]

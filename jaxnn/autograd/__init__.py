"""``jaxnn.autograd``: gradients as functions, user-defined operators, and checks of both.

Source: https://docs.pytorch.org/docs/stable/autograd.html
"""

from jaxnn.core.gradient.backward import backward, grad
from jaxnn.core.gradient.modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from jaxnn.core.gradient.saved_tensor import SavedTensor

from . import forward_ad, functional, grad_mode, graph
from .anomaly_mode import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_anomaly_enabled,
    set_detect_anomaly,
)
from .function import Function, FunctionCtx
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .threads import is_multithreading_enabled, set_multithreading_enabled
from .variable import Variable

__all__ = [
    "Function", "FunctionCtx", "GradcheckError", "SavedTensor", "Variable", "backward", "detect_anomaly", "enable_grad", "forward_ad",
    "functional", "grad", "grad_mode", "gradcheck", "gradgradcheck", "graph", "inference_mode", "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled", "is_multithreading_enabled", "no_grad", "set_anomaly_enabled", "set_detect_anomaly",
    "set_grad_enabled", "set_multithreading_enabled",
]  # fmt: skip

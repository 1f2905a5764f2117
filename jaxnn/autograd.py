"""``jaxnn.autograd``: gradients as functions, and user-defined operators."""

from .core.autograd import backward, grad
from .core.function import Function, FunctionCtx
from .core.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "FunctionCtx",
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]

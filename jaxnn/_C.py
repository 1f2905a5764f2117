"""The few names of PyTorch's binding that programs with subclasses of Tensor import."""

from .core.handle import _disabled as _disabled_torch_function_impl
from .core.overrides import disabled as DisableTorchFunction
from .core.overrides import disabled as DisableTorchFunctionSubclass

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl"]

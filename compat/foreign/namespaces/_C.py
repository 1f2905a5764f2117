"""The few names of PyTorch's binding that programs with subclasses of Tensor import."""

import sys

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.memory.tensor_base import _disabled as _disabled_torch_function_impl
from jaxnn.core.operator.overrides import disabled as DisableTorchFunction
from jaxnn.core.operator.overrides import disabled as DisableTorchFunctionSubclass
from jaxnn.namespaces import lacking

#: The class of the class of tensors.
_TensorMeta = type(TensorBase)

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass", "_TensorMeta", "_disabled_torch_function_impl"]

__getattr__ = lacking(sys.modules[__name__])

"""The few names of PyTorch's binding that programs with subclasses of Tensor import."""

import sys
import weakref
from typing import Any

from jaxnn.autograd.forward_ad import _is_fwd_grad_enabled, _set_fwd_grad_enabled
from jaxnn.core.gradient.modes import is_grad_enabled, set_grad_enabled
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.memory.tensor_base import _disabled as _disabled_torch_function_impl
from jaxnn.core.operator.overrides import disabled as DisableTorchFunction
from jaxnn.core.operator.overrides import disabled as DisableTorchFunctionSubclass
from jaxnn.missing_names import lacking
from jaxnn.nn.conversion import _parsed


class _nn:
    """``torch._C._nn``."""

    @staticmethod
    def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
        """Device, type, whether not to wait, and memory format among the arguments of `Module.to`."""
        other = args[0] if args and isinstance(args[0], TensorBase) else kwargs.get("tensor")
        if other is not None:
            return other.device, other.dtype, False, None
        device, dtype, memory_format = _parsed(*args, **kwargs)
        return device, dtype, bool(kwargs.get("non_blocking", False)), memory_format


class _WeakTensorRef:
    """A tensor that may be gone."""

    def __init__(self, tensor: TensorBase) -> None:
        self._held = weakref.ref(tensor)

    def expired(self) -> bool:
        """Whether it is gone."""
        return self._held() is None


def _set_grad_enabled(mode: bool) -> None:
    """Turn gradients on or off."""
    set_grad_enabled(mode)


#: The class of the class of tensors.
_TensorMeta = type(TensorBase)

__all__ = [
    "DisableTorchFunction", "DisableTorchFunctionSubclass", "_TensorMeta", "_WeakTensorRef", "_disabled_torch_function_impl",
    "_is_fwd_grad_enabled", "_nn", "_set_fwd_grad_enabled", "_set_grad_enabled", "is_grad_enabled",
]  # fmt: skip

__getattr__ = lacking(sys.modules[__name__])

"""Arrays of other libraries, by DLPack.

Source: https://docs.pytorch.org/docs/stable/dlpack.html
"""

from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.ops.memory.numpy_memory import from_dlpack

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Any, /) -> Any:
    """A DLPack capsule of a tensor, which another library takes once. Libraries of today take the tensor itself.

    Raises:
        TypeError: for anything but a tensor.
    """
    if not isinstance(tensor, TensorBase):
        raise TypeError(f"to_dlpack(): argument 'tensor' must be Tensor, not {type(tensor).__name__}")
    return tensor.__dlpack__()  # type: ignore[attr-defined]

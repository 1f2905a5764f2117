"""Arrays of other libraries, by DLPack.

Source: https://docs.pytorch.org/docs/stable/dlpack.html
"""

from jaxnn.ops.numpy_memory import from_dlpack

__all__ = ["from_dlpack"]

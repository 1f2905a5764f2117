"""What registering a hook returns, under PyTorch's path."""

from jaxnn.core.path.hook_handle import RemovableHandle

__all__ = ["RemovableHandle"]

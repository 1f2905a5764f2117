"""The door: packages and programs written for PyTorch run on jaxnn, unchanged."""

from . import whole_objects
from .facade import instead
from .opening import Door, install, torch_alias

for _module in ("torch", "torch.serialization"):
    instead(_module, save=whole_objects.save, load=whole_objects.load)

__all__ = ["Door", "install", "torch_alias"]

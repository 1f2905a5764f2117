"""The door: packages and programs written for PyTorch run on jaxnn, unchanged."""

from .opening import Door, install, torch_alias

__all__ = ["Door", "install", "torch_alias"]

"""Calls drawn from PyTorch's schemas, on PyTorch and on jaxnn."""

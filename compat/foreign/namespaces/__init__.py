"""Namespaces that exist for source written for PyTorch only. This folder is on `jaxnn`'s path: ``jaxnn.jit`` is ``jit.py``."""

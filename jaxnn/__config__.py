"""``torch.__config__``: what the library was built with.

Source: https://docs.pytorch.org/docs/stable/config_mod.html
"""

from __future__ import annotations

import flax
import jax
import jaxlib

from .process_switches import get_num_threads
from .torch_version import API_VERSION

__all__ = ["parallel_info", "show"]


def show() -> str:
    """The versions of what computes here, and its devices."""
    return (
        f"jaxnn with the API of PyTorch {API_VERSION}:\n  - JAX {jax.__version__}, jaxlib {jaxlib.__version__}, Flax {flax.__version__}\n"
        f"  - devices: {', '.join(str(d) for d in jax.devices())}\n"
    )


def parallel_info() -> str:
    """The number of threads that was asked for."""
    return f"threads: {get_num_threads()}, XLA sizes its pool when it starts\n"

"""The two questions of ``torch.distributed`` that programs ask first. Several devices and processes are JAX's shardings.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

__all__ = ["is_available", "is_initialized"]


def is_available() -> bool:
    """False: there are no process groups. See `jax.distributed` and `jax.sharding`."""
    return False


def is_initialized() -> bool:
    """False: there are no process groups."""
    return False

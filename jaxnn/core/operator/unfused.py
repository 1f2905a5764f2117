"""Fences: parts of a program that XLA:CPU must not fuse into their surroundings.

XLA:CPU copies cheap producers into every consumer, also into slow concatenations, and `optimization_barrier` does not
stop it. A call that is not inlined does. Fences change speed only, never values, and belong only in code that is
lowered for the CPU: they hide a computation from the fusion that GPUs and TPUs live by, and from XLA's convolution
rewrites (never fence `lax.conv`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def unfused(function: Callable[..., Any], *operands: Any) -> Any:
    """`function(*operands)` as a call of its own in the compiled program."""

    def body(*values: Any) -> Any:
        # Calls inside the body would inherit the attribute, and pay for a fence of their own.
        with set_xla_metadata(inlineable="true"):
            return function(*values)

    with set_xla_metadata(inlineable="false"):
        return jax.jit(body)(*operands)

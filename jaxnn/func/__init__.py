"""`torch.func`: functions that transform functions.

Source: https://docs.pytorch.org/docs/stable/func.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .jacobians import hessian, jacfwd, jacrev
from .modules import functional_call, replace_all_batch_norm_modules_, stack_module_state
from .reverse import grad, grad_and_value, jvp, linearize, vjp
from .vectorize import vmap

__all__ = [
    "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap",
]  # fmt: skip


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """Not implemented: recordings hold no mutation that could be removed.

    Raises:
        NotImplementedError: always.

    Args:
        remove: 'mutations' or 'mutations_and_views'.
    """
    raise NotImplementedError("torch.func.functionalize")

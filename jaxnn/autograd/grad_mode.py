"""The gradient modes, where PyTorch keeps them.

Source: https://docs.pytorch.org/docs/stable/autograd.html#locally-disabling-gradient-computation
"""

from jaxnn.core.gradient.modes import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]

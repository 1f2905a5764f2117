"""Optimizers with PyTorch's names, arguments and numbers; each is an optax transformation underneath."""

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from .sgd import SGD

__all__ = [
    "SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler",
    "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook",
]  # fmt: skip

"""Wrappers that say what a module keeps for its backward: only its inputs, or all of it on the CPU.

Args:
    mod, module, model: the module; what is wrapped keeps its parameters, and the keys of its state_dict.

Source: https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

import enum
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from jaxnn.autograd.graph import save_on_cpu
from jaxnn.nn.module import Module
from jaxnn.utils.checkpoint import checkpoint

from ...fsdp.wrap import lambda_auto_wrap_policy, wrap_below

__all__ = [
    "ActivationWrapper", "CheckpointImpl", "CheckpointWrapper", "OffloadWrapper", "apply_activation_checkpointing", "checkpoint_wrapper",
    "offload_wrapper",
]  # fmt: skip

_WRAPPED = "_checkpoint_wrapped_module"
_CHECKPOINT_PREFIX = _WRAPPED + "."


class CheckpointImpl(enum.Enum):
    """Which of the two ways of `jaxnn.utils.checkpoint.checkpoint`."""

    REENTRANT, NO_REENTRANT = 1, 2


class ActivationWrapper(Module, ABC):
    """Base of both wrappers: attributes, items and names of parameters are those of the module that is wrapped."""

    def __init__(self, mod: Any) -> None:
        super().__init__()
        self._checkpoint_wrapped_module = mod
        self._register_state_dict_hook(_saved)
        self.register_load_state_dict_pre_hook(_loading)

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == _WRAPPED:
                raise
            return getattr(self._checkpoint_wrapped_module, name)

    def __getitem__(self, key: Any) -> Any:
        return self._checkpoint_wrapped_module[key]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """The module's parameters, under the names that they have in it."""
        for name, p in super().named_parameters(*args, **kwargs):
            yield name.replace(_CHECKPOINT_PREFIX, ""), p


def _saved(module: Any, state_dict: Any, prefix: str, *others: Any) -> Any:
    """After a state_dict is made: names without the wrapper."""
    inner = prefix + _CHECKPOINT_PREFIX
    for k in [k for k in state_dict if k.startswith(inner)]:
        state_dict[prefix + k[len(inner) :]] = state_dict.pop(k)
    return state_dict


def _loading(module: Any, state_dict: Any, prefix: str, *others: Any) -> None:
    """Before a state_dict is loaded: names with the wrapper."""
    for k in [k for k in state_dict if k.startswith(prefix)]:
        state_dict[prefix + _CHECKPOINT_PREFIX + k[len(prefix) :]] = state_dict.pop(k)


class OffloadWrapper(ActivationWrapper):
    """Calls a module; what its backward needs is kept on the CPU."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with save_on_cpu(pin_memory=True):
            return self._checkpoint_wrapped_module(*args, **kwargs)


class CheckpointWrapper(ActivationWrapper):
    """Calls a module that keeps its inputs alone, and is computed again in the backward.

    Args:
        checkpoint_impl: the way of `jaxnn.utils.checkpoint.checkpoint`.
        checkpoint_fn: a function ``(module, *args, **kwargs)`` to call instead of it.
        checkpoint_fn_kwargs: its further arguments.
    """

    def __init__(
        self, mod: Any, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT, checkpoint_fn: Any = None,
        **checkpoint_fn_kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(mod)
        self.checkpoint_impl = checkpoint_impl
        if checkpoint_fn is None:
            checkpoint_fn = checkpoint
            checkpoint_fn_kwargs = {"use_reentrant": checkpoint_impl is CheckpointImpl.REENTRANT, **checkpoint_fn_kwargs}
        self.checkpoint_fn = functools.partial(checkpoint_fn, **checkpoint_fn_kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        module = self._checkpoint_wrapped_module
        if self.checkpoint_impl is not CheckpointImpl.REENTRANT or not kwargs:
            return self.checkpoint_fn(module, *args, **kwargs)
        names, count = tuple(kwargs), len(args)  # that way takes arguments by position alone

        def called(*everything: Any) -> Any:
            return module(*everything[:count], **dict(zip(names, everything[count:], strict=True)))

        return self.checkpoint_fn(called, *args, *kwargs.values())


def offload_wrapper(module: Any) -> Any:
    """The module in an `OffloadWrapper`."""
    return OffloadWrapper(module)


def checkpoint_wrapper(
    module: Any, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT, checkpoint_fn: Any = None, **checkpoint_fn_kwargs: Any
) -> Any:
    """The module in a `CheckpointWrapper`, whose arguments these are.

    Args:
        checkpoint_impl, checkpoint_fn, checkpoint_fn_kwargs: see there.
    """
    return CheckpointWrapper(module, checkpoint_impl, checkpoint_fn, **checkpoint_fn_kwargs)


def apply_activation_checkpointing(
    model: Any, checkpoint_wrapper_fn: Callable[..., Any] = checkpoint_wrapper, check_fn: Callable[[Any], bool] = lambda _: True,
    auto_wrap_policy: Any = None,
) -> None:  # fmt: skip
    """Wrap submodules in place, the innermost first; the model itself is not wrapped.

    Args:
        checkpoint_wrapper_fn: what wraps a module.
        check_fn: whether a module is wrapped.
        auto_wrap_policy: one of `jaxnn.distributed.fsdp.wrap`, instead of ``check_fn``.
    """
    policy = functools.partial(lambda_auto_wrap_policy, lambda_fn=check_fn) if auto_wrap_policy is None else auto_wrap_policy
    wrap_below(model, policy, checkpoint_wrapper_fn, set(), set(), {})

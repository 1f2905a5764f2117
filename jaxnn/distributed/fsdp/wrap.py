"""Which modules of a model are wrapped: policies, and wrapping by hand.

A policy is a function of a module, asked in two ways. ``recurse=True``: shall the modules below be looked at? ``recurse=False``:
shall this one be wrapped? `ModuleWrapPolicy` and `CustomPolicy` say it by class and by function.

Args:
    module: the module that the policy is asked about.
    recurse: which question it is.
    nonwrapped_numel: the number of elements of its parameters that are not in a wrapped module below.

Source: https://docs.pytorch.org/docs/stable/fsdp.html
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jaxnn.nn.attention_layers import MultiheadAttention
from jaxnn.nn.containers import ModuleDict, ModuleList
from jaxnn.nn.module import Module

__all__ = [
    "CustomPolicy", "ModuleWrapPolicy", "always_wrap_policy", "enable_wrap", "lambda_auto_wrap_policy", "size_based_auto_wrap_policy",
    "transformer_auto_wrap_policy", "wrap",
]  # fmt: skip


class _Policy(ABC):
    """A policy that is not a function: it chooses the modules of a whole model."""

    @abstractmethod
    def chosen(self, root: Any, ignored: set[Any], options: dict[str, Any]) -> dict[Any, dict[str, Any]]:
        """The modules to wrap, each with the arguments of its wrapper."""


class ModuleWrapPolicy(_Policy):
    """Wraps the modules of some classes."""

    def __init__(self, module_classes: Iterable[type]) -> None:
        self._module_classes = set(module_classes)
        self._module_classes_str = str(self._module_classes)

    def chosen(self, root: Any, ignored: set[Any], options: dict[str, Any]) -> dict[Any, dict[str, Any]]:
        """The modules of these classes."""
        classes = tuple(self._module_classes)
        return {m: options for m in root.modules() if m not in ignored and isinstance(m, classes)}

    def __call__(self, module: Any, recurse: bool, *args: Any, **kwargs: Any) -> bool:
        return _module_wrap_policy(module, recurse, -1, self._module_classes)

    def __repr__(self) -> str:
        return f"{super().__repr__()}({self._module_classes_str})"


class CustomPolicy(_Policy):
    """Wraps the modules for which a function gives True, or a dictionary of arguments that its wrapper has of its own."""

    def __init__(self, lambda_fn: Callable[[Any], bool | dict[str, Any]]) -> None:
        self._lambda_fn = lambda_fn

    def chosen(self, root: Any, ignored: set[Any], options: dict[str, Any]) -> dict[Any, dict[str, Any]]:
        """The modules that the function says.

        Raises:
            ValueError: it gives something else.
        """
        found = {}
        for m in root.modules():
            if m in ignored:
                continue
            answer = self._lambda_fn(m)
            if not isinstance(answer, (dict, bool)):
                raise ValueError(
                    f"The lambda_fn passed to CustomPolicy should return False/True or a kwarg dict, but it returned {answer}"
                )
            if answer:
                found[m] = {**options, **(answer if isinstance(answer, dict) else {})}
        return found


def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """True: each module is wrapped."""
    return True


def _module_wrap_policy(module: Any, recurse: bool, nonwrapped_numel: int, module_classes: set[type]) -> bool:
    return recurse or isinstance(module, tuple(module_classes))


def transformer_auto_wrap_policy(module: Any, recurse: bool, nonwrapped_numel: int, transformer_layer_cls: set[type]) -> bool:
    """Modules of some classes."""
    return _module_wrap_policy(module, recurse, nonwrapped_numel, transformer_layer_cls)


def lambda_auto_wrap_policy(module: Any, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable[[Any], bool]) -> bool:
    """Modules for which ``lambda_fn`` gives True."""
    return recurse or lambda_fn(module)


def size_based_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, min_num_params: int = 100_000_000,
    force_leaf_modules: set[type] | None = None, exclude_wrap_modules: set[type] | None = None,
) -> bool:  # fmt: skip
    """Modules with many parameters.

    Args:
        min_num_params: how many elements, at least.
        force_leaf_modules: classes whose submodules are not wrapped; `MultiheadAttention` by default.
        exclude_wrap_modules: classes that are not wrapped; `ModuleList` and `ModuleDict` by default.
    """
    leaves = (MultiheadAttention,) if force_leaf_modules is None else tuple(force_leaf_modules)
    excluded = (ModuleList, ModuleDict) if exclude_wrap_modules is None else tuple(exclude_wrap_modules)
    return nonwrapped_numel >= min_num_params and not isinstance(module, leaves if recurse else excluded)


def _or_policy(module: Any, recurse: bool, nonwrapped_numel: int, policies: Iterable[Callable[..., bool]]) -> bool:
    return any(p(module=module, recurse=recurse, nonwrapped_numel=nonwrapped_numel) for p in policies)


def wrap_below(
    root: Any, policy: Any, wrapper: Callable[..., Any], ignored: set[Any], ignored_parameters: set[int], options: dict[str, Any]
) -> None:
    """Wrap the submodules of a model that a policy chooses, in place, the innermost first; the model itself is not asked about."""
    if isinstance(policy, _Policy):
        chosen = policy.chosen(root, ignored, options)
        chosen.pop(root, None)
        _wrap_chosen(root, chosen, wrapper, set())
    else:
        _wrap_asked(root, policy, wrapper, ignored, ignored_parameters, options)


def _wrap_chosen(module: Any, chosen: dict[Any, dict[str, Any]], wrapper: Callable[..., Any], seen: set[Any]) -> None:
    for name, child in list(module.named_children()):
        if child in seen:
            continue
        seen.add(child)
        _wrap_chosen(child, chosen, wrapper, seen)
        if child in chosen:
            setattr(module, name, wrapper(child, **chosen[child]))


def _wrap_asked(
    module: Any, policy: Any, wrapper: Callable[..., Any], ignored: set[Any], ignored_parameters: set[int], options: dict[str, Any]
) -> int:
    """Wrap below a module. Returns how many elements of its parameters are wrapped now."""
    total = _elements(module, ignored_parameters)
    wrapped = 0
    if not policy(module=module, recurse=True, nonwrapped_numel=total):
        return 0
    for name, child in list(module.named_children()):
        if child in ignored:
            continue
        size = _elements(child, ignored_parameters)
        inside = _wrap_asked(child, policy, wrapper, ignored, ignored_parameters, options)
        if policy(module=child, recurse=False, nonwrapped_numel=size - inside):
            setattr(module, name, wrapper(child, **options))
            inside = size
        wrapped += inside
    return wrapped


def _elements(module: Any, ignored: set[int]) -> int:
    return sum(p.numel() for p in module.parameters() if id(p) not in ignored)


#: The wrappers and arguments of the open `enable_wrap` blocks.
_enabled: list[tuple[Callable[..., Any], dict[str, Any]]] = []


@contextlib.contextmanager
def enable_wrap(*, wrapper_cls: Any, **wrapper_kwargs: Any) -> Iterator[None]:
    """A block in which `wrap` wraps.

    Args:
        wrapper_cls: the wrapper.
        wrapper_kwargs: its arguments.
    """
    _enabled.append((wrapper_cls, wrapper_kwargs))
    try:
        yield
    finally:
        _enabled.pop()


def wrap(module: Module, **wrap_overrides: Any) -> Any:
    """Wrap a module, inside of `enable_wrap`; elsewhere give it back.

    Args:
        wrap_overrides: arguments instead of those that the block has.
    """
    if not _enabled:
        return module
    wrapper, options = _enabled[-1]
    return wrapper(module, **{**options, **wrap_overrides})

"""Modules as functions: `functional_call`, `stack_module_state`, and batch normalisation without statistics.

Args:
    models: a list of modules of one kind.
    root: the module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxnn.nn.module import Module
from jaxnn.nn.norm import _BatchNorm
from jaxnn.nn.utils import stateless
from jaxnn.ops.shapes.join import stack

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def functional_call(
    module: Module, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: dict[str, Any] | None = None, *,
    tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """Call a module with some of its parameters and buffers replaced for the time of the call.

    Args:
        parameter_and_buffer_dicts: tensors by their paths, in one dictionary or several with different keys.
        tie_weights: a tensor that the module has under several names is replaced under all of them.
        strict: the names must be exactly those of all parameters and buffers.

    Raises:
        ValueError: for a key in several dictionaries, or different tensors for one tied tensor.
        RuntimeError: for missing or unexpected names, with ``strict``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        given = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, (list, tuple)):
        if not all(isinstance(d, dict) for d in parameter_and_buffer_dicts):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        names = [n for d in parameter_and_buffer_dicts for n in d]
        repeated = [n for n in dict.fromkeys(names) if names.count(n) > 1]
        if repeated:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        given = {n: t for d in parameter_and_buffer_dicts for n, t in d.items()}
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(parameter_and_buffer_dicts)}"
        )
    return stateless.functional_call(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of several modules of one kind, each stacked along a new first dimension.

    Raises:
        RuntimeError: for no modules, different classes, or different modes.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.stack_module_state.html
    """
    found = list(models)
    if not found:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in found) or not any(m.training for m in found)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(m) is type(found[0]) for m in found):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def stacked(tensors: list[Any]) -> Any:
        wanted = [t.requires_grad for t in tensors]
        if any(w != wanted[0] for w in wanted):
            raise RuntimeError("Expected parameters or buffers from different models to have the same .requires_grad")
        return stack([t.detach() for t in tensors]).detach().requires_grad_(wanted[0])

    parameters = [dict(m.named_parameters()) for m in found]
    buffers = [dict(m.named_buffers()) for m in found]
    return (
        {n: stacked([p[n] for p in parameters]) for n in parameters[0]},
        {n: stacked([b[n] for b in buffers]) for n in buffers[0]},
    )


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Make all batch normalisations of a module keep no running statistics, which `vmap` can't update.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.replace_all_batch_norm_modules_.html
    """
    for layer in root.modules():
        if isinstance(layer, _BatchNorm):
            layer.running_mean = None
            layer.running_var = None
            layer.num_batches_tracked = None
            layer.track_running_stats = False
    return root

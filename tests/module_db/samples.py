"""PyTorch's own samples of modules (`module_db`), turned into calls of jaxnn's."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.testing._internal.common_modules import module_db

import jaxnn
import jaxnn.compat

ROWS = {info.name.removeprefix("nn."): info for info in module_db}


def _ours_of_module(module: torch.nn.Module) -> Any:
    """A layer that a sample passes to a constructor, built again with its arguments."""
    attention = module.self_attn
    p = next(module.parameters())
    made = getattr(jaxnn.nn, type(module).__name__)(
        attention.embed_dim, attention.num_heads, module.linear1.out_features, module.dropout.p,
        layer_norm_eps=module.norm1.eps, batch_first=attention.batch_first, norm_first=module.norm_first,
        bias=module.linear1.bias is not None, activation=to_ours(module.activation), dtype=to_ours(p.dtype),
    )  # fmt: skip
    made.load_state_dict(module.state_dict())
    return made.train(module.training)


def to_ours(x: Any) -> Any:
    """Tensors, types, devices, functions and containers of PyTorch as jaxnn's."""
    if isinstance(x, torch.nn.Module):
        return _ours_of_module(x)
    if isinstance(x, torch.Tensor):
        made = jaxnn.compat.from_torch(x.detach())
        return made.requires_grad_() if x.requires_grad else made
    if isinstance(x, torch.dtype):
        return getattr(jaxnn, str(x).removeprefix("torch."))
    if isinstance(x, torch.device):
        return jaxnn.device(str(x))
    if isinstance(x, torch.nn.utils.rnn.PackedSequence):
        return jaxnn.nn.utils.rnn.PackedSequence(*(to_ours(part) for part in x))
    if dataclasses.is_dataclass(x):  # a layer's options
        named = {f.name: to_ours(getattr(x, f.name)) for f in dataclasses.fields(x)}
        return getattr(jaxnn.nn, type(x).__name__)(**named)
    if isinstance(x, (tuple, list)):
        return type(x)(to_ours(y) for y in x)
    if isinstance(x, dict):
        return {k: to_ours(v) for k, v in x.items()}
    if callable(x) and getattr(x, "__module__", "").startswith("torch"):
        return getattr(jaxnn.nn.functional if hasattr(torch.nn.functional, x.__name__) else jaxnn, x.__name__)
    return x


def _leaves(x: Any) -> Any:
    """The same arguments, their tensors leaves of the graph."""
    if isinstance(x, torch.Tensor):
        return x.detach().requires_grad_(x.requires_grad)
    if isinstance(x, (tuple, list)):
        return type(x)(_leaves(y) for y in x)
    return {k: _leaves(v) for k, v in x.items()} if isinstance(x, dict) else x


def samples(info: Any, dtype: torch.dtype, training: bool, limit: int | None) -> list[Any]:
    """A row's samples with fixed random inputs: (constructor arguments, call arguments), each (args, kwargs)."""
    torch.manual_seed(5)
    made = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)
    found = []
    for sample in made:
        if sample.forward_input is not None:
            found.append(((sample.constructor_input.args, sample.constructor_input.kwargs),
                          _leaves((sample.forward_input.args, sample.forward_input.kwargs))))  # fmt: skip
        if len(found) == limit:
            break
    return found

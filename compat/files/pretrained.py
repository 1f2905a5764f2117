"""`from_pretrained`: weights from files straight into a model that has none yet."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

from jaxnn import nn
from jaxnn.core.kinds.device import device as device_type
from jaxnn.core.kinds.dtypes import dtype as dtype_type

from .weights import open_weights

__all__ = ["from_pretrained"]


def from_pretrained(
    path: str | os.PathLike[str], model: Any, *, strict: bool = True, key: str | None = None,
    dtype: dtype_type | None = None, device: Any = None, rename: Callable[[str], str | None] | None = None, mmap: bool = False,
) -> Any:  # fmt: skip
    """Load weights into a model, whose own tensors are replaced: made on ``meta`` it needs memory for the weights alone.

    Tensors are read one by one. Tied parameters stay tied, and one name in the file is enough for them.

    Args:
        path: a file or folder, see `open_weights`.
        model: a module, made under ``with jaxnn.device("meta")`` to save memory; or a function that makes one, which is called
            with the contents of ``config.json`` on ``meta``.
        strict: the names must be exactly those of the model; otherwise a warning lists the missing and the unexpected ones.
        key: of PyTorch's files, the path of the state_dict in it.
        dtype: convert floating point tensors to this type as they are read.
        device: put the tensors there; the CPU by default.
        rename: from a name in the file to the model's, None for one to be left out.
        mmap: leave the numbers in the file until they are used.

    Returns:
        The model, in evaluation.

    Raises:
        RuntimeError: lists the names that are missing or unexpected, and the shapes that don't fit.
        FileNotFoundError: see `open_weights`.

    Example:
        >>> model = compat.from_pretrained("llama", lambda config: Llama(config["hidden_size"]))  # doctest: +SKIP
    """
    weights = open_weights(path, key=key, mmap=mmap)
    if not isinstance(model, nn.Module):
        with device_type("meta"):
            model = model(weights.config)
    where = None if device is None else device_type(device)
    state = {}
    for name in weights:
        target = name if rename is None else rename(name)
        if target is None:
            continue
        t = weights[name].detach()
        if dtype is not None and t.is_floating_point():
            t = t.to(dtype)
        state[target] = t if where is None else t.to(where)
    groups = [[n for n, _, _ in group] for group in _tied(model)]
    for names in groups:
        found = next((state[n] for n in names if n in state), None)
        if found is not None:
            state.update((n, found) for n in names if n not in state)
    ties = _tied(model)
    incompatible = model.load_state_dict(state, strict=strict, assign=True)
    del state
    for group in ties:
        _, owner, last = group[0]
        kept = owner.__dict__[last]
        for _, other, name in group[1:]:
            setattr(other, name, kept)
    if not strict and (incompatible.missing_keys or incompatible.unexpected_keys):
        warnings.warn(f"from_pretrained: {incompatible}", stacklevel=2)
    left = [n for n, t in [*model.named_parameters(), *model.named_buffers()] if t.is_meta]
    if left:
        warnings.warn(
            f"from_pretrained: the file does not hold {', '.join(left)}, which stay on meta: give them values before a call",
            stacklevel=2,
        )
    return model.eval()


def _tied(model: nn.Module) -> list[list[tuple[str, Any, str]]]:
    """The places (name, owner, own name) of each parameter or buffer that has several."""
    places: dict[int, list[tuple[str, Any, str]]] = {}
    for path, owner in model.named_modules(remove_duplicate=False):
        for name, t in [*owner._parameters.items(), *owner._buffers.items()]:
            if t is not None:
                places.setdefault(id(t), []).append((f"{path}.{name}" if path else name, owner, name))
    return [found for found in places.values() if len(found) > 1]

"""What pickles of modules hold: PyTorch's ``__dict__`` of a module, as our own state and back.

Source: the attributes that https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html keeps per module, as its pickles
show them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .hooks import HookTables

__all__ = ["HOOK_TABLES", "PARTS", "from_pytorch", "is_pytorch", "to_pytorch"]

#: Made anew on either side.
_DERIVED = frozenset(
    {"_flat_weights", "_flat_weight_refs", "_is_full_backward_hook", "_jaxnn_hooks", "_jaxnn_counted", "_jaxnn_registered"}
)
PARTS = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "module"}
#: The tables of hooks, by PyTorch's names. Registrations have them for all modules only.
HOOK_TABLES = {
    "_" + (kind if kind.endswith(("_with_kwargs", "_always_called")) else f"{kind}_hooks")
    .replace("_with_kwargs", "_hooks_with_kwargs").replace("_always_called", "_hooks_always_called"): kind
    for kind in HookTables.KINDS if not kind.endswith("_registration")
}  # fmt: skip


def is_pytorch(state: Any) -> bool:
    """Whether a pickled state is that of one of PyTorch's modules."""
    return isinstance(state, dict) and "_modules" in state and "_jaxnn_registered" not in state


def from_pytorch(state: dict[str, Any]) -> dict[str, Any]:
    """Our state of a module from PyTorch's."""
    ours = {k: v for k, v in state.items() if k not in _DERIVED and k not in PARTS and k not in HOOK_TABLES}
    registered: dict[str, str] = {}
    for part, kind in PARTS.items():
        for name, value in state.get(part, {}).items():
            registered[name], ours[name] = kind, value
    ours["_jaxnn_registered"] = registered
    ours.setdefault("_non_persistent_buffers_set", set())
    tables = HookTables()
    for name, kind in HOOK_TABLES.items():
        getattr(tables, kind).update(state.get(name) or {})
    if any(getattr(tables, kind) for kind in HOOK_TABLES.values()):
        tables.is_full_backward, tables.active = state.get("_is_full_backward_hook"), True
        ours["_jaxnn_hooks"] = tables
    return ours


def to_pytorch(state: dict[str, Any]) -> dict[str, Any]:
    """PyTorch's state of a module from ours."""
    registered, tables = state["_jaxnn_registered"], state.get("_jaxnn_hooks") or HookTables()
    theirs: dict[str, Any] = {"training": state["training"]}
    for part, kind in PARTS.items():
        theirs[part] = {name: state[name] for name, its in registered.items() if its == kind}
    theirs["_non_persistent_buffers_set"] = set(state["_non_persistent_buffers_set"])
    theirs["_is_full_backward_hook"] = tables.is_full_backward
    for name, kind in HOOK_TABLES.items():
        theirs[name] = OrderedDict(getattr(tables, kind))
    if "_flat_weights_names" in state:  # a recurrent layer's list of them
        theirs["_flat_weights"] = [state[name] for name in state["_flat_weights_names"]]
    theirs.update((k, v) for k, v in state.items() if k not in registered and k not in _DERIVED and k not in theirs)
    return theirs

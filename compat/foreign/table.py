"""Every name of PyTorch's that is here for foreign source only: module -> (reason, kind -> names). `making.KINDS` has the kinds."""

from __future__ import annotations

import typing
from typing import Any

__all__ = ["CONSTANTS", "TABLE"]

TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "torch._dynamo": (
        "nothing is compiled from source",
        {
            "decorator": "disable allow_in_graph assume_constant_result disallow_in_graph forbid_in_graph graph_break",
            "nothing": "mark_static_address mark_dynamic mark_static maybe_mark_dynamic reset reset_code_caches",
            "false": "is_compiling",
            "class": "OptimizedModule",
            "refusing": "export explain optimize",
        },
    ),
    "torch.jit": (
        "there is no TorchScript, what is scripted runs as the Python that it is",
        {
            "decorator": "_overload _overload_method _script_if_tracing",
            "nothing": "enable_onednn_fusion set_fusion_strategy",
            "false": "onednn_fusion_enabled",
            "class": "ScriptFunction TopLevelTracedModule TracedModule CompilationUnit",
            "base": "ScriptModule RecursiveScriptModule",
            "constant": "Error TracerWarning",
            "identity": "optimize_for_inference freeze",
            "refusing": "load save trace trace_module fork wait jit_module_from_flatbuffer save_jit_module_to_flatbuffer",
        },
    ),
    "torch.jit.annotations": (
        "types are for the compiler of TorchScript",
        {"constant": "List Dict Optional Tuple Any BroadcastingList1 BroadcastingList2 BroadcastingList3"},
    ),
}


class JitError(RuntimeError):
    """What TorchScript raises: nothing here does."""


class TracerWarning(Warning):
    """What TorchScript's tracer warns with: nothing here does."""


class _BroadcastingList:
    """``BroadcastingList2[int]`` in an annotation is a list of its type."""

    def __getitem__(self, kind: Any) -> Any:
        return list[kind]


#: The values of the names of kind "constant".
CONSTANTS: dict[str, Any] = {
    "torch.jit.Error": JitError,
    "torch.jit.TracerWarning": TracerWarning,
    **{f"torch.jit.annotations.{name}": getattr(typing, name) for name in ("List", "Dict", "Optional", "Tuple", "Any")},
    **{f"torch.jit.annotations.BroadcastingList{n}": _BroadcastingList() for n in (1, 2, 3)},
}

"""Classes that print under PyTorch's names, in a process that runs a program written for PyTorch.

`python -m jaxnn` asks for it. `type(module)` prints `<class 'torch.nn.modules.linear.Linear'>`; pickles of tensors and modules
keep jaxnn's names, so that they can be read without a door.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from types import ModuleType
from typing import Any

from jaxnn.ops.common import return_types

from .facade import Facade, Names
from .paths import ELSEWHERE, OWN, PATHS, PRIVATE

__all__ = ["homes", "show_classes"]

#: Classes that PyTorch keeps in a module which has no facade of its own.
_HOMES = {
    "torch.Generator": "torch._C", "torch.autograd.SavedTensor": "torch._C._autograd",
    "torch.autograd.set_multithreading_enabled": "torch.autograd.grad_mode",
    "torch.nn.LinearCrossEntropyOptions": "torch.nn.modules.linear_cross_entropy_options",
    "torch.profiler.profile": "torch.profiler.profiler", "torch.profiler.record_function": "torch.autograd.profiler",
}  # fmt: skip
#: Modules that only pass on what lies elsewhere.
_PASSED_ON = frozenset(
    {"torch.types", "torch._tensor", "torch._functorch.vmap", "torch.functional", "torch.autograd.variable", "torch.nn.common_types"}
)

_shown: dict[type, str] = {}


def _repr(cls: type) -> str:
    return f"<class '{_shown[cls]}'>" if cls in _shown else type.__repr__(cls)


def homes(names: Names) -> dict[type, str]:
    """Each public class -> the name under which PyTorch knows it: that of the deepest module which lists it."""
    found: dict[type, str] = {}
    for path in sorted({*PATHS, *ELSEWHERE}, key=lambda p: (p.count("."), p)):
        if path in _PASSED_ON or not _is_loaded(path):
            continue
        module = names.find(path)
        if not isinstance(module, Facade):
            continue
        hidden = {*OWN.get(path, "").split(), *PRIVATE.get(path, "").split()}
        listed = {*vars(module), *getattr(vars(module)["_facade"][0], "__all__", ())}  # some are made at first use
        for name in sorted(listed - {"_facade"}):
            value = getattr(module, name, None)
            if isinstance(value, type) and value.__module__.partition(".")[0] == "jaxnn" and value.__name__ == name:
                if name not in hidden or value not in found:
                    found[value] = f"{_HOMES.get(f'{path}.{name}', path)}.{name}"
    return found


def _is_loaded(path: str) -> bool:
    """Whether showing a module's classes imports nothing."""
    if path in ELSEWHERE:
        return all(home in sys.modules for home in ELSEWHERE[path])
    if path.startswith("torch.nn.modules."):
        return True
    return isinstance(sys.modules.get("jaxnn" + path.removeprefix("torch")), ModuleType)


def show_classes(names: Names) -> None:
    """From now on jaxnn's public classes print as PyTorch's, also those of modules that are imported later."""
    _show(names)
    place = names.on_new

    def placed(path: str, module: Any) -> None:
        place(path, module)
        names.on_new = place  # looking makes further modules
        try:
            _show(names)
        finally:
            names.on_new = placed

    names.on_new = placed


def _show(names: Names) -> None:
    found: dict[Any, str] = homes(names)
    found.update({c: f"torch.return_types.{n}" for n, c in vars(return_types).items() if isinstance(c, type)})
    for cls, name in found.items():
        _shown.setdefault(cls, name)
        kind: Any = type(cls)
        if kind in (type, ABCMeta):
            cls.__module__ = name.rpartition(".")[0]
        elif kind.__repr__ is not _repr:
            kind.__repr__ = _repr

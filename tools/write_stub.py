"""Write the stubs by which editors and type checkers see what is bound at import: methods of Tensor, functions of namespaces.

python tools/write_stub.py            write the files
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from stub_types import HEADER, definition, qualified

ROOT = Path(__file__).resolve().parent.parent
_PROPERTIES = {
    "shape": "Size", "dtype": "dtype", "device": "device", "ndim": "int", "itemsize": "int", "nbytes": "int",
    "requires_grad": "bool", "grad": "Tensor | None", "is_leaf": "bool", "retains_grad": "bool", "_version": "int",
    "output_nr": "int", "data": "Tensor", "T": "Tensor", "mT": "Tensor", "H": "Tensor", "mH": "Tensor", "real": "Tensor",
    "imag": "Tensor", "names": "tuple[None, ...]", "layout": "layout", "grad_fn": "GradFn | None", "_base": "Tensor | None",
    "name": "None",
}  # fmt: skip
_COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_OBJECT = ("__len__", "__hash__", "__repr__", "__str__", "__format__", "__reduce_ex__")


def tensor_stub() -> str:
    """The methods of Tensor."""
    from jaxnn.core.memory.tensor_base import TensorBase

    lines = [*HEADER, "", "class TensorMethods:", "    def __init__(self, *args: Any, **kwargs: Any) -> None: ..."]
    for name in sorted(n for n in dir(TensorBase) if n not in dir(object) or n in _OBJECT or n in _COMPARISONS):
        value = inspect.getattr_static(TensorBase, name)
        if isinstance(value, property):
            lines += [f"    @property\n    def {name}(self) -> {qualified(_PROPERTIES.get(name, 'bool'))}: ..."]
            if value.fset is not None:
                lines += [f"    @{name}.setter\n    def {name}(self, value: Any) -> None: ..."]
        elif isinstance(value, staticmethod):
            lines += [f"    @staticmethod\n    def {name}(*args: Any, **kwargs: Any) -> Any: ..."]
        elif callable(value) and name not in ("__getattr__", "__setattr__"):
            ignore = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
            # PyTorch's methods have no `out`.
            lines += [f"    {line}{ignore}" for line in definition(name, value, True, ("out",))]
    return "\n".join(lines) + "\n"


def return_types_stub() -> str:
    """The named results."""
    from jaxnn.ops.common import return_types

    lines = ['"""Written by tools/write_stub.py; do not edit."""', "", "from typing import Any, NamedTuple", "",
             "from jaxnn.core.memory.tensor_base import Tensor", "", "def return_type(name: str, *fields: str) -> Any: ..."]  # fmt: skip
    for name, kind in sorted(vars(return_types).items()):
        if isinstance(kind, type) and issubclass(kind, tuple):
            lines += ["", f"class {name}(NamedTuple):", *(f"    {field}: Tensor" for field in kind._fields)]
    return "\n".join(lines) + "\n"


def _names(module: Any) -> list[str]:
    if module.__name__ != "jaxnn":
        return sorted({*module.__all__})
    # Other modules are there or not, depending on what has been imported; some of its own are imported at first use.
    plain = {n for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, ModuleType)}
    return sorted(plain | set(module.__all__))


def namespace_stub(name: str) -> str:
    """The public names of a module."""
    module = importlib.import_module(name)
    lines: list[str] = []
    for n in _names(module):
        value = getattr(module, n)
        if n in ("annotations", "Tensor"):
            continue
        home, own = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        importable = isinstance(home, str) and home != name and _is_written(home, own, value)
        if isinstance(value, ModuleType):
            parent, _, leaf = value.__name__.rpartition(".")
            lines.append(f"from {parent} import {leaf} as {n}")
        elif inspect.isfunction(value) and home is not None and _is_bound(value, name):
            lines += definition(n, value)
        elif importable:
            lines.append(f"from {home} import {own} as {n}")
        elif inspect.isfunction(value):
            lines += definition(n, value)
        else:
            lines.append(f"{n}: {_constant(value)}")
    if name == "jaxnn":
        lines += [*(f"from jaxnn import {name} as {name}" for name in ("compat", "distributions", "vision")), "__version__: builtins.str"]
    return "\n".join([*HEADER, "", *sorted(line for line in lines if line.startswith("from ")), "",
                      *(line for line in lines if not line.startswith("from "))]) + "\n"  # fmt: skip


def _is_written(home: str, own: str, value: Any) -> bool:
    """Whether a module's source says a name, so that a checker finds it there."""
    module = sys.modules.get(home)
    if getattr(module, own, None) is not value or getattr(module, "__file__", None) is None:
        return False
    source = inspect.getsource(module)  # type: ignore[arg-type]
    return f"class {own}" in source or f"def {own}(" in source


def _is_bound(f: Any, name: str) -> bool:
    """Whether a function is one whose source says less than its kernel: it was made by a decorator."""
    from jaxnn.core.registry import FUNCTIONS

    return f in FUNCTIONS.values() or name != "jaxnn"


def _constant(value: Any) -> str:
    kind = type(value)
    if kind.__name__ == "dtype":
        return "_dtype"
    return f"builtins.{kind.__name__}" if kind.__module__ == "builtins" and value is not None else "Any"


#: File -> what stands in it.
STUBS: dict[Path, Any] = {
    ROOT / "jaxnn" / "core" / "memory" / "tensor_methods.pyi": tensor_stub,
    ROOT / "jaxnn" / "ops" / "common" / "return_types.pyi": return_types_stub,
    ROOT / "jaxnn" / "__init__.pyi": lambda: namespace_stub("jaxnn"),
    ROOT / "jaxnn" / "nn" / "functional" / "__init__.pyi": lambda: namespace_stub("jaxnn.nn.functional"),
    ROOT / "jaxnn" / "linalg.pyi": lambda: namespace_stub("jaxnn.linalg"),
    ROOT / "jaxnn" / "fft.pyi": lambda: namespace_stub("jaxnn.fft"),
    ROOT / "jaxnn" / "special.pyi": lambda: namespace_stub("jaxnn.special"),
}

if __name__ == "__main__":
    for path, text in STUBS.items():
        path.write_text(text())

"""Write jaxnn/core/tensor.pyi: every method of Tensor, for editors and type checkers. Methods are bound at import, so they read none.

python tools/write_stub.py            write the file
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

STUB = Path(__file__).resolve().parent.parent / "jaxnn" / "core" / "tensor.pyi"
_PROPERTIES = {
    "shape": "Size", "dtype": "dtype", "device": "device", "ndim": "int", "itemsize": "int", "nbytes": "int",
    "requires_grad": "bool", "grad": "Tensor | None", "is_leaf": "bool", "retains_grad": "bool", "_version": "int",
    "output_nr": "int", "data": "Tensor", "T": "Tensor", "mT": "Tensor", "H": "Tensor", "mH": "Tensor", "real": "Tensor",
    "imag": "Tensor", "names": "tuple[None, ...]", "layout": "Any", "grad_fn": "Any",
}  # fmt: skip
_RETURNS = {
    "__len__": "int", "__bool__": "bool", "__int__": "int", "__float__": "float", "__complex__": "complex",
    "__hash__": "int", "__index__": "int", "__repr__": "str", "__str__": "str", "__format__": "str",
    "__contains__": "bool", "__iter__": "Iterator[Tensor]", "size": "Any", "dim": "int", "ndimension": "int",
    "numel": "int", "nelement": "int", "element_size": "int", "item": "Any", "tolist": "Any", "numpy": "np.ndarray",
    "__array__": "np.ndarray", "backward": "None", "retain_grad": "None", "stride": "Any", "storage_offset": "int",
    "data_ptr": "int", "is_contiguous": "bool", "is_floating_point": "bool", "is_complex": "bool", "is_signed": "bool",
    "get_device": "int", "equal": "bool", "allclose": "bool", "register_hook": "Any",
    "register_post_accumulate_grad_hook": "Any", "__reduce_ex__": "Any", "__deepcopy__": "Any", "__dlpack__": "Any",
    "__dlpack_device__": "Any", "__jax_array__": "Any", "__getitem__": "Tensor", "__setitem__": "None",
}  # fmt: skip


def _parameters(f: Any) -> str:
    parts, keyword = [], False
    given = inspect.signature(f).parameters.values()
    for k, p in enumerate(p for p in given if p.name != "out"):  # PyTorch's methods have none
        name = "self" if k == 0 else p.name
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{name}: Any")
            keyword = True
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{name}: Any")
        else:
            if p.kind is p.KEYWORD_ONLY and not keyword:
                parts.append("*")
                keyword = True
            parts.append(name if k == 0 else f"{name}: Any" + ("" if p.default is p.empty else " = ..."))
    return ", ".join(parts)


def stub() -> str:
    """The text of the stub."""
    from jaxnn.core.handle import TensorBase

    lines = [
        '"""Written by tools/write_stub.py; do not edit."""', "", "from collections.abc import Iterator",
        "from typing import Any", "", "import numpy as np", "", "from .device import device", "from .dtypes import dtype",
        "from .size import Size", "", "__all__: list[str]", "", "def bind_methods() -> None: ...",
        "def from_parts(kind: type, storage: Any, steps: Any, requires_grad: bool) -> Any: ...",
        "def _copied(s: Any, memo: dict[int, Any]) -> Any: ...", "def __getattr__(name: str) -> Any: ...", "",
        "# Inside the class, `bool` and `int` are methods.", "_bool = bool", "_int = int", "_float = float", "", "class Tensor:",
        "    def __init__(self, *args: Any, **kwargs: Any) -> None: ...",
    ]  # fmt: skip
    names = sorted(
        n
        for n in dir(TensorBase)
        if n not in dir(object) or n in _RETURNS or n in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
    )
    for name in names:
        value = inspect.getattr_static(TensorBase, name)
        if isinstance(value, property):
            lines += [f"    @property\n    def {name}(self) -> {_PROPERTIES.get(name, 'bool')}: ..."]
            if value.fset is not None:
                lines += [f"    @{name}.setter\n    def {name}(self, value: Any) -> None: ..."]
        elif callable(value) and name not in ("__class__", "__init__", "__new__"):
            ignore = "  # type: ignore[override]" if name in ("__eq__", "__ne__", "__format__") else ""
            lines.append(f"    def {name}({_parameters(value)}) -> {_RETURNS.get(name, 'Tensor')}: ...{ignore}")
    text = "\n".join(lines) + "\n"
    return re.sub(r"-> (bool|int|float):", r"-> _\1:", text)


if __name__ == "__main__":
    STUB.write_text(stub())

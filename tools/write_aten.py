"""Write ``compat/foreign/aten_names.py``: the operators of PyTorch's ``torch.ops.aten``, which packages name without calling them.

python tools/write_aten.py          needs PyTorch
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import torch

TARGET = Path(__file__).parent.parent / "compat" / "foreign" / "aten_names.py"
HEAD = '''"""The names of ``torch.ops.aten``. What no function of jaxnn stands behind can be named, and refuses to be called.

Written by ``tools/write_aten.py``.
"""

__all__ = ["ATEN_NAMES", "OVERLOADS"]

'''


def lines(name: str, values: set[str]) -> str:
    """A frozen set of words."""
    return f"{name} = frozenset(\n    \"\"\"\n" + "\n".join(textwrap.wrap(" ".join(sorted(values)), 130)) + '\n""".split()\n)\n'


if __name__ == "__main__":
    schemas = [s for s in torch._C._jit_get_all_schemas() if s.name.startswith("aten::")]
    names = {s.name.removeprefix("aten::") for s in schemas}
    overloads = {s.overload_name for s in schemas if s.overload_name} | {"default"}
    TARGET.write_text(HEAD + lines("ATEN_NAMES", names) + "\n" + lines("OVERLOADS", overloads))

"""Write ``compat/door/imported.py``: the names that files of PyTorch's import from each other, as code takes them from there.

python tools/write_imported.py          needs PyTorch; prints how many names changed
"""

from __future__ import annotations

import collections
import importlib
import textwrap
import types
from pathlib import Path

from jaxnn.compat.door.facade import Names
from jaxnn.compat.door.paths import ELSEWHERE, OWN, PATHS, PRIVATE

TARGET = Path(__file__).parent.parent / "compat" / "door" / "imported.py"
HEAD = '''"""Names that a file of PyTorch's imports from another one, and that code written for PyTorch takes from there.

Written by ``tools/write_imported.py`` from PyTorch's modules: the path, where the names are at home, and the names.
"""

__all__ = ["IMPORTED"]

IMPORTED = {
'''


def found() -> dict[str, dict[str, list[str]]]:
    """Path -> home -> the names that PyTorch's module of this path has from there, and jaxnn's home has too."""
    names, made = Names(), collections.defaultdict(lambda: collections.defaultdict(list))
    for path in sorted((PATHS | set(ELSEWHERE)) - {"torch"}):
        try:
            theirs = importlib.import_module(path)
        except ImportError:
            continue
        ours = names.find(path)
        if not isinstance(ours, types.ModuleType):
            continue  # an object of switches
        listed = {*vars(ours), *PRIVATE.get(path, "").split(), *getattr(ours, "__all__", ())} - set(OWN.get(path, "").split())
        for name, value in sorted(vars(theirs).items()):
            if name.startswith("__") or name in listed or not isinstance(value, (type, types.FunctionType)):
                continue
            if not value.__module__.startswith("torch") or value.__qualname__ != name:
                continue
            for home in (value.__module__, value.__module__.rpartition(".")[0], "torch", "torch.nn.functional"):
                module = names.find(home) if home else None
                if home and getattr(importlib.import_module(home), name, None) is not value:
                    continue
                if isinstance(module, types.ModuleType) and module is not ours and name in {*vars(module), *PRIVATE.get(home, "").split()}:
                    made[path][home].append(name)
                    break
    return made


def text() -> str:
    """The file."""
    lines = [HEAD]
    for path, homes in found().items():
        for home, names in homes.items():
            parts = textwrap.wrap(" ".join(names), 120)
            shown = f'"{parts[0]}"' if len(f"{path}{home}{parts[0]}") < 120 and len(parts) == 1 else "(\n" + "".join(
                f'        "{p}{" " if k < len(parts) - 1 else ""}"\n' for k, p in enumerate(parts)
            ) + "    )"
            lines.append(f'    "{path} {home}": {shown},\n')
    return "".join(lines) + "}\n"


if __name__ == "__main__":
    before = TARGET.read_text() if TARGET.exists() else ""
    TARGET.write_text(text())
    print("unchanged" if TARGET.read_text() == before else f"wrote {TARGET}")

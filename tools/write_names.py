"""Write docs/pytorch_names.md, the names of PyTorch's that exist for foreign source, from the table in compat/foreign.

python tools/write_names.py            write the page
"""

from __future__ import annotations

from pathlib import Path

from jaxnn.compat.door.paths import PATHS
from jaxnn.compat.foreign.making import KINDS
from jaxnn.compat.foreign.table import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "pytorch_names.md"
HEAD = """# PyTorch's names under `import torch`

While a door is open (`python -m jaxnn script.py`, `compat.install`, `compat.torch_alias`), `torch` shows three kinds of names.

- *Real*: jaxnn's own of the same name. What is missing raises `AttributeError` or `ImportError`: "jaxnn lacks torch.X".
- *Harmless*: what is asked for is nothing to do, or the true answer is no. Decorators of compilers give the function back; counts of
  devices that JAX has not are 0.
- *Refusing*: it can be imported, subclassed where it is a class, and compared against. Calling it, or making an instance, raises
  `NotImplementedError` with the reason. What would change results is never harmless.

`torch.ops.aten.NAME` is jaxnn's function of that name, `torch.ops.NAMESPACE.NAME` what `library.custom_op` registered;
`torch.ops.load_library` raises `OSError`. `torch._dynamo.config` and `torch._inductor.config` hold what they are told.

This page is written by `tools/write_names.py`.
"""


def page() -> str:
    """The page's text."""
    lines = [HEAD, "## Real namespaces", "", ", ".join(f"`{p}`" for p in sorted(PATHS)), "", "## Harmless and refusing", "",
             "| module | harmless | refusing | why |", "|---|---|---|---|"]  # fmt: skip
    for path, (why, kinds) in sorted(TABLE.items()):
        cells = [
            ", ".join(f"`{n}`" for kind, names in kinds.items() if KINDS[kind][0] == way for n in names.split())
            for way in ("harmless", "refusing")
        ]
        lines.append(f"| `{path}` | {' | '.join(cells)} | {why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())

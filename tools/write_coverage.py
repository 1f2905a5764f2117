"""Write docs/coverage.md: how much of PyTorch is here, by the tables that the tests run. A test asks that the page is current.

python tools/write_coverage.py         write the page
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "coverage.md"
HEAD = """# Coverage

Counted from the tables that the tests run; what is missing or left out has its reason. `tests/compat/test_packages.py` lists the
packages written for PyTorch that run unmodified. This page is written by `tools/write_coverage.py`, and a test asks that it is current.
"""


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def _names() -> str:
    from tests.structure import gaps
    from tests.structure.test_completeness import LISTED, NAMESPACES, names

    rows, total, missing = [], 0, 0
    for space in NAMESPACES:
        every = names(space)
        lacking = [n for n in every if n in LISTED[space]]
        rows.append((f"`{space}`", len(every), len(every) - len(lacking), len(lacking)))
        total, missing = total + len(every), missing + len(lacking)
    rows.append(("all", total, total - missing, missing))
    why: Counter[str] = Counter()
    for reasons in gaps.GAPS.values():
        why.update({reason: len(text.split()) for reason, text in reasons.items()})
    return (
        "\n## Public names\n\n`tests/structure/gaps.py` lists every missing name; the lists may only shrink.\n\n"
        + _table(("namespace", "in PyTorch", "here", "not"), rows)
        + "\n"
        + _table(("why not", "names"), [(reason, n) for reason, n in why.most_common()])
    )


def _databases() -> str:
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db
    from torch.testing._internal.common_optimizers import optim_db

    from tests.opdb import gaps

    every = [f"{op.name}-{op.variant_test_name}" if op.variant_test_name else op.name for op in op_db]
    left = {name: why for name in every if (why := gaps.reason(name)) is not None}
    configurations = sum(len(info.optim_inputs_func("cpu")) for info in optim_db)
    return (
        "\n## PyTorch's own tables of samples\n\nA row that is run gets PyTorch's samples on both libraries; values, types, shapes and "
        "gradients are compared.\n\n"
        + _table(
            ("table", "rows", "run", "left out"),
            [
                ("`op_db`, operators", len(every), len(every) - len(left), len(left)),
                ("`module_db`, layers", len(module_db), len(module_db), 0),
                (f"`optim_db`, optimizers ({configurations} configurations)", len(optim_db), len(optim_db), 0),
            ],
        )
        + "\n"
        + _table(("rows of `op_db` left out", "why"), [(f"`{n}`", why) for n, why in left.items() if n in gaps.GAPS])
        + "\n"
        + _table(
            ("families left out", "why", "rows"),
            [
                (f"`{p}...`", why, sum(n.startswith(p) and not n.startswith("__") and n not in gaps.GAPS for n in left))
                for p, why in gaps.FAMILIES.items()
            ],
        )
    )


def text() -> str:
    """The page."""
    return HEAD + _names() + _databases()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(text())

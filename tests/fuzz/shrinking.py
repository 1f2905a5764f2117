"""Making a failing program small, and printing it as a script."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from . import prelude
from .comparing import Difference
from .running import run

_NAME = re.compile(r"\b[a-z]\d+\b")


def shrunk(statements: list[str], fails: Callable[[list[str]], bool], tries: int = 150) -> list[str]:
    """A program of which nothing can be left out without losing the difference; `fails` says whether one still has it."""
    left = tries

    def still(candidate: list[str]) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and fails(candidate)

    size = max(len(statements) // 2, 1)
    while True:
        k = len(statements) - size
        while k > -size:
            candidate = statements[: max(k, 0)] + statements[k + size :]
            if len(candidate) < len(statements) and still(candidate):
                statements = candidate
            k -= size
        if size == 1:
            break
        size = max(size // 2, 1)
    before = None
    while before != statements and left > 0:
        before = statements
        for k in range(len(statements) - 1, -1, -1):
            for simpler in _simpler(statements, k):
                if still(simpler):
                    statements = simpler
                    break
    return statements


def _simpler(statements: list[str], k: int) -> list[list[str]]:
    """Programs with a simpler statement for the one at `k`."""
    text = statements[k]
    lines = text.splitlines()
    found: list[list[str]] = []
    if len(lines) > 1:
        found += [[*lines[:n], *lines[n + 1 :]] for n in range(len(lines)) if not lines[n].startswith("with ")]
        if lines[0].startswith(("with ", "if ")):
            found.append([line.removeprefix("    ") for line in lines[1:]])
    made = re.fullmatch(r"([a-z]\d+) = .*", text)
    programs = [[*statements[:k], "\n".join(new), *statements[k + 1 :]] for new in found if new]
    if made and len(lines) == 1:
        # The variable away, and what it was made of in its place.
        rest = statements[:k] + statements[k + 1 :]
        for name in dict.fromkeys(_NAME.findall(text.partition("=")[2])):
            programs.append([re.sub(rf"\b{made[1]}\b", name, s) for s in rest])
    return [p for p in programs if _is_python(p)]


def _is_python(statements: list[str]) -> bool:
    try:
        for s in statements:
            compile(s, "", "exec")
    except SyntaxError:
        return False
    return True


def script(statements: list[str], difference: Difference, title: str) -> str:
    """A program as a script: `python FILE jaxnn`, `python FILE torch`."""
    text = "\n".join(statements)
    lines = [f"# {title}", *(f"# {line}" for line in str(difference).splitlines()), "import importlib", "import sys"]
    lines += prelude.HEADER.splitlines()
    lines += ["", 'torch = importlib.import_module(sys.argv[1] if len(sys.argv) > 1 else "jaxnn")']
    lines += ["torch.manual_seed(0)"]
    lines += [prelude.PIECES[name].rstrip("\n") for name in prelude.used_by(text)]
    theirs = run(statements, torch)
    for k, (statement, (raised, _)) in enumerate(zip(statements, theirs.steps, strict=True)):
        lines.append(f"# statement {k}")
        if raised or (difference.step == k and difference.kind.startswith("exception")):
            lines += ["try:", *(f"    {line}" for line in statement.splitlines())]
            lines += ["except Exception as error:", f'    print("statement {k}:", type(error).__name__, error)']
        else:
            lines.append(statement)
    lines += [
        "for name in sorted(set(_NAMES) & set(globals())):".replace("_NAMES", repr(sorted(set(_NAME.findall(text))))),
        "    t = globals()[name]",
        "    print(name, t)",
        "    if isinstance(t, torch.Tensor):",
        '        print("   ", t.dtype, t.requires_grad, t.is_leaf, t._version, t.grad if t.is_leaf or t.retains_grad else None)',
        "print(log)",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"

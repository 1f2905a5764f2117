"""``python -m jaxnn check``: names of PyTorch's that source code uses and jaxnn lacks, found without running it."""

from __future__ import annotations

import argparse
import ast
import functools
import os
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .foreign import rows
from .foreign.making import KINDS
from .live.names import LACKING, resolve

__all__ = ["Finding", "check", "main"]

_ROOT = "torch"


@dataclass(frozen=True, order=True)
class Finding:
    """A name that jaxnn lacks: where it stands, and its full name.

    ``refuses`` says that the name is there, for source that mentions it, and raises when it is called as it is at this place.
    """

    path: str
    line: int
    name: str
    refuses: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name}{' refuses to run' if self.refuses else ''}"


class _Names(ast.NodeVisitor):
    """Follows what names stand for: ``import torch.nn.functional as F``, ``from torch import nn``, ``relu = F.relu``."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, str | None]] = [{}]
        self.found: list[tuple[int, str, bool]] = []

    # --- what stands for what

    def _bind(self, name: str, full: str | None) -> None:
        self.scopes[-1][name] = full

    def _full(self, node: ast.AST) -> str | None:
        """The full name of an expression below torch."""
        if isinstance(node, ast.Name):
            return next((s[node.id] for s in reversed(self.scopes) if node.id in s), None)
        if isinstance(node, ast.Attribute):
            owner = self._full(node.value)
            return owner and f"{owner}.{node.attr}"
        return None

    def _note(self, line: int, full: str) -> None:
        if not _exists(full):
            self.found.append((line, full, False))

    # --- imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.partition(".")[0] != _ROOT:
                self._bind(alias.asname or alias.name.partition(".")[0], None)
                continue
            self._bind(alias.asname or _ROOT, alias.name if alias.asname else _ROOT)
            self._note(node.lineno, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or (node.module or "").partition(".")[0] != _ROOT:
            for alias in node.names:
                self._bind(alias.asname or alias.name, None)
            return
        for alias in node.names:
            if alias.name == "*":
                self._note(node.lineno, str(node.module))
                continue
            full = f"{node.module}.{alias.name}"
            self._bind(alias.asname or alias.name, full)
            self._note(alias.lineno, full)

    # --- uses

    def visit_Call(self, node: ast.Call) -> None:
        full = self._full(node.func)
        if full in _refusing():
            self.found.append((node.lineno, str(full), True))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        full = self._full(node)
        if full is None:
            self.generic_visit(node)
        elif isinstance(node.ctx, ast.Load):
            self._note(node.lineno, full)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        full = self._full(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(target.id, full)
            else:
                self._forget(target)
                self.visit(target)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._bind(node.id, None)

    def _forget(self, target: ast.AST) -> None:
        for part in ast.walk(target):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self._bind(part.id, None)

    # --- scopes

    def _scope(self, node: Any, arguments: ast.arguments | None) -> None:
        self.scopes.append({})
        if arguments is not None:
            for a in ast.walk(arguments):
                if isinstance(a, ast.arg):
                    self._bind(a.arg, None)
        body = node.body
        for part in body if isinstance(body, list) else [body]:
            self.visit(part)
        self.scopes.pop()

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults, node.returns):
            if part is not None:
                self.visit(part)
        for a in ast.walk(node.args):
            if isinstance(a, ast.arg) and a.annotation is not None:
                self.visit(a.annotation)
        self._bind(node.name, None)
        self._scope(node, node.args)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in (*node.args.defaults, *node.args.kw_defaults):
            if part is not None:
                self.visit(part)
        self._scope(node, node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self.visit(part)
        self._bind(node.name, None)
        self._scope(node, None)

    def visit_If(self, node: ast.If) -> None:
        test = self._full(node.test) or (node.test.id if isinstance(node.test, ast.Name) else "")
        if test.rpartition(".")[2] != "TYPE_CHECKING":  # never runs
            self.visit(node.test)
            for part in node.body:
                self.visit(part)
        for part in node.orelse:
            self.visit(part)


@functools.cache
def _refusing() -> frozenset[str]:
    """The names that can be imported and refuse to be called."""
    return frozenset(path for path, kind, _ in rows() if KINDS[kind][0] == "refusing")


def _exists(full: str) -> bool:
    """Whether jaxnn has a name of PyTorch's, or the object that it is an attribute of is no module or class of ours."""
    parts = full.split(".")[1:]
    if parts[:1] == ["classes"]:  # those of C++ libraries, which have to be loaded before one can be asked for
        return True
    for count in range(1, len(parts) + 1):
        found = resolve(".".join(parts[:count]))
        if found is LACKING:
            owner = resolve(".".join(parts[: count - 1]))
            # Attributes of values (torch.float32.itemsize, torch.pi.real) and of tensors' results can't be known.
            return not isinstance(owner, (type, ModuleType))
    return True


def check(path: str | os.PathLike[str]) -> Iterator[Finding]:
    """The names of ``torch`` in a source file, or in all below a folder, that jaxnn lacks; each place once.

    Raises:
        SyntaxError: for a file that is no Python.
        FileNotFoundError: when there is no such path.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
            for name in sorted(files):
                if name.endswith(".py"):
                    yield from check(os.path.join(folder, name))
        return
    with tokenize.open(path) as stream:
        source = stream.read()
    names = _Names()
    names.visit(ast.parse(source, path))
    seen: set[Any] = set()
    for line, name, refuses in sorted(names.found):
        # A name below one that is missing at the same place says nothing more.
        if (line, name) not in seen and not any(name.startswith(n + ".") for at, n in seen if at == line):
            seen.add((line, name))
            yield Finding(path, line, name, refuses)


def main(arguments: list[str]) -> int:
    """Check files and folders. Returns the exit status: 1 where something is lacking, 2 where a file cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxnn check",
        description="Find the names of torch that jaxnn lacks in Python source, without running it. Exit status: 0 none, 1 some, "
        "2 for a file that cannot be read.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder with files below it")
    given = parser.parse_args(arguments)
    count, names, status = 0, set(), 0
    for path in given.paths:
        try:
            for found in check(path):
                print(found)
                count += 1
                names.add(found.name)
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            print(f"python -m jaxnn check: {path}: {error}", file=sys.stderr)
            status = 2
    if count:
        print(f"{len(names)} names of torch that jaxnn lacks, at {count} places")
    return status or int(bool(count))

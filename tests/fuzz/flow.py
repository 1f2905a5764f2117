"""Which variables of a program a statement may have had to do with."""

from __future__ import annotations

import re

__all__ = ["connected", "names_of", "reached", "variable"]

_NAME = re.compile(r"\b[a-z]\d+\b")


def names_of(statement: str) -> set[str]:
    """The variables that a statement names."""
    return set(_NAME.findall(statement))


def variable(where: str) -> str:
    """The variable that a part of a program's state belongs to: ``t3`` of ``t3``, ``m0`` of ``m0.weight``, ``log`` of ``log[2]``."""
    return re.split(r"[.\[ ]", where)[0]


def reached(statements: list[str], pattern: str) -> set[str]:
    """The variables that statements of a kind name, and all that later statements name together with one of these."""
    found: set[str] = set()
    for statement in statements:
        names = names_of(statement)
        if re.search(pattern, statement) or names & found:
            found |= names
            if re.search(r"\blog\b", statement):
                found.add("log")
    return found


def connected(statements: list[str], pattern: str) -> set[str]:
    """`reached`, and what these were made of: a gradient flows there."""
    logs = re.compile(r"\blog\b|noted|note_|read_call|stepped")
    groups = [names_of(s) | ({"log"} if logs.search(s) else set()) for s in statements]
    found: set[str] = set()
    for statement, names in zip(statements, groups, strict=True):
        if re.search(pattern, statement):
            found |= names
    before = -1
    while before != len(found):
        before = len(found)
        for names in groups:
            if names & (found - {"log"}):
                found |= names
    return found

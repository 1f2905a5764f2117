"""Rules of differences that are known: what one is told of a difference, and the table that `rule` fills."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .comparing import Difference
from .flow import connected, names_of, reached, variable
from .running import Raised


class Case(NamedTuple):
    """A difference in its program, and the names of the rules that explained earlier ones of the same run."""

    statements: list[str]
    difference: Difference
    earlier: list[str]
    refused: tuple[str, ...] = ()  # the statements before it that ran a backward and raised on both sides
    shapes: tuple[int, ...] = ()  # the shape of what differs
    dtype: str = ""  # and its type

    @property
    def text(self) -> str:
        """The whole program."""
        return "\n".join(self.statements)

    @property
    def statement(self) -> str:
        """The statement after which the runs differ; empty where only the end tells."""
        return "" if self.difference.step is None else self.statements[self.difference.step]

    @property
    def end(self) -> int:
        """How many statements had run."""
        return len(self.statements) if self.difference.step is None else self.difference.step + 1

    def differing(self) -> set[str]:
        """The variables that differ: those of the statement, where that alone raised."""
        if self.difference.where == "the statement":
            return names_of(self.statement) if self.statement else set()
        return {variable(self.difference.where)}

    def after(self, pattern: str) -> bool:
        """Whether what differs was named, until then, by such a statement, or together with something that was."""
        return bool(self.differing() & reached(self.statements[: self.end], pattern))

    def around(self, pattern: str) -> bool:
        """Whether a value or a gradient could flow between such a statement and what differs."""
        return bool(self.differing() & connected(self.statements, pattern))

    def differs_in_name(self) -> bool:
        """Whether two nodes, or two texts of tensors, are equal but for the name of a node."""
        sides = self.difference.ours, self.difference.theirs
        if self.difference.kind == "grad_fn":
            return None not in sides
        if all(isinstance(side, str) and re.fullmatch(r"\w+Backward\w*|CopySlices", side) for side in sides):
            return True
        bare = [re.sub(r",\s+grad_fn=<\w+>", "", str(side)) for side in (self.difference.ours, self.difference.theirs)]
        return self.difference.kind == "number or text" and bare[0].split() == bare[1].split()

    def differs_in_flags(self) -> bool:
        """Whether two texts of tensors are equal but for what they say of gradients."""
        sides = (self.difference.ours, self.difference.theirs)
        bare = [re.sub(r",\s+(requires_grad=True|grad_fn=<\w+>)", "", str(side)).split() for side in sides]
        return self.difference.kind == "printed" and bare[0] == bare[1]

    def raised(self, text: str, ours: bool = False) -> bool:
        """Whether PyTorch (or our side) alone raised something with this text."""
        mine, other = self.difference.ours, self.difference.theirs
        one, none = (mine, other) if ours else (other, mine)
        return isinstance(one, Raised) and not isinstance(none, Raised) and re.search(text, one.text) is not None


#: Kinds of differences in numbers.
VALUES = ("value", "printed", "gradient", "number or text")
GRADIENT = r"grad\(|create_graph|\.grad\b"
#: Statements that walk a graph.
WALKS = re.compile(r"backward\(|autograd\.grad\(")

#: Name -> rule.
RULES: dict[str, Callable[[Case], bool]] = {}


def rule(name: str) -> Callable[[Callable[[Case], bool]], Callable[[Case], bool]]:
    """A known difference."""

    def keep(f: Callable[[Case], bool]) -> Callable[[Case], bool]:
        RULES[name] = f
        return f

    return keep

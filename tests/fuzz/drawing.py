"""Drawing random programs. A program is drawn while PyTorch runs it, so that most statements fit what is there.

Each program has moods: some kinds of statements come often in it and others never, and a few of its tensors are used much
more than the rest. So statements meet: writes through views of a tensor that has a hook, say.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import torch

from .running import attempt, fresh

LARGEST = 36  # elements of a tensor that is used again
GREATEST = 1e5  # a program ends where a value is greater

Rule = Callable[["Draw"], "str | None"]

#: Kind of statement -> [(weight, rule)].
RULES: dict[str, list[tuple[float, Rule]]] = {}


def rule(kind: str, weight: float = 1.0) -> Callable[[Rule], Rule]:
    """A way to draw a statement: a function of the drawing that returns the statement, or None where nothing fits."""

    def keep(f: Rule) -> Rule:
        RULES.setdefault(kind, []).append((weight, f))
        return f

    return keep


class Draw:
    """A program that is being drawn, and its state on PyTorch."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = fresh(torch)
        self.statements: list[str] = []
        self.count: dict[str, int] = {}
        self.heat: dict[str, float] = {}
        self.moods = {kind: self.random.choice([0, 0.3, 1, 1, 3, 6]) for kind in sorted(RULES)}
        self.moods["leaf"] = max(self.moods["leaf"], 0.3)
        self.moods["backward"] = max(self.moods["backward"], 1)

    # ---- choices

    def one(self, *options: Any) -> Any:
        """One of the options."""
        return self.random.choice(options)

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.random.random() < probability

    def new(self, letter: str = "t") -> str:
        """A new name."""
        k = self.count.get(letter, 0)
        self.count[letter] = k + 1
        self.heat[f"{letter}{k}"] = self.random.expovariate(1.0) + (3 if self.chance(0.1) else 0)
        return f"{letter}{k}"

    def pick(self, fits: Callable[[torch.Tensor], bool] = lambda t: True) -> str | None:
        """The name of a tensor that fits; now and then of one that does not."""
        if self.chance(0.02):
            fits = lambda t: True
        found = [
            n for n, t in self.names.items()
            if n in self.heat and isinstance(t, torch.Tensor) and t.numel() <= LARGEST and _fits(fits, t)
        ]  # fmt: skip
        if not found:
            return None
        late = {n: 1 + k / len(found) for k, n in enumerate(found)}
        return self.random.choices(found, [self.heat[n] * late[n] for n in found])[0]

    def other(self, kind: type | tuple[type, ...]) -> str | None:
        """The name of a module, an optimizer, ..."""
        found = [n for n, t in self.names.items() if n in self.heat and isinstance(t, kind)]
        return self.random.choices(found, [self.heat[n] for n in found])[0] if found else None

    def tensor(self, name: str) -> Any:
        """The tensor of a name."""
        return self.names[name]

    def operand(self, like: torch.Tensor | None = None) -> str:
        """A tensor or a number, that broadcasts with another one."""
        if like is None or self.chance(0.25):
            return self.number()

        def fits(t: torch.Tensor) -> bool:
            try:
                return torch.broadcast_shapes(t.shape, like.shape).numel() <= LARGEST
            except RuntimeError:
                return False

        return self.pick(fits) or self.number()

    def number(self) -> str:
        """A Python number."""
        return self.one("2", "0.5", "-1.0", "3", "0.25", "1.5", "-0.75", "1", "0", "True")

    def values(self, shape: tuple[int, ...], dtype: str) -> str:
        """The literal of a tensor's values; some are equal, some zero."""
        if 0 in shape and shape.index(0) == 0:
            return "[]"
        if shape:
            return "[" + ", ".join(self.values(shape[1:], dtype) for _ in range(shape[0])) + "]"
        if dtype == "bool":
            return self.one("True", "False")
        if dtype.startswith("int") or dtype == "uint8":
            return str(self.random.randint(0, 4) if dtype == "uint8" else self.random.randint(-3, 4))
        return str(self.random.randint(-12, 12) / 4)

    def dtype(self) -> str:
        """A type; float64 mostly, so that rounding tells nothing."""
        names = ["float64", "float32", "int64", "bool", "int32", "complex128", "uint8", "bfloat16"]
        return self.random.choices(names, [14, 5, 3, 1.5, 0.7, 2, 0.5, 0.4])[0]

    def shape(self) -> tuple[int, ...]:
        """A size; small, and of few kinds, so that tensors meet."""
        shapes = [(2, 3), (3,), (), (3, 3), (2,), (3, 2), (1, 3), (2, 1, 3), (6,), (0,), (0, 3), (2, 0), (1,)]
        return self.random.choices(shapes, [10, 6, 4, 5, 2, 3, 2, 2, 2, 0.5, 0.7, 0.4, 1])[0]

    # ---- statements

    def add(self, statement: str) -> None:
        """Append a statement and run it."""
        self.statements.append(statement)
        attempt(statement, self.names)

    def draw(self, kinds: list[str] | None = None) -> str | None:
        """A statement of a random kind."""
        chosen = kinds or list(self.moods)
        weights = [max(self.moods[k], 0.3) if kinds else self.moods[k] * KINDS[k] for k in chosen]
        kind = self.random.choices(chosen, weights)[0]
        found = RULES[kind]
        return self.random.choices([f for _, f in found], [w for w, _ in found])[0](self)

    def too_great(self) -> bool:
        """Whether values have grown so much that only rounding would be compared."""
        return any(n in self.heat and isinstance(t, torch.Tensor) and _fits(_great, t) for n, t in self.names.items())


def _fits(asked: Callable[[torch.Tensor], bool], t: torch.Tensor) -> bool:
    """The answer of a question on a tensor; False where PyTorch refuses, as it does for outputs of `split` written to."""
    try:
        return bool(asked(t))
    except RuntimeError:
        return False


def _great(t: torch.Tensor) -> bool:
    seen = [t, t.grad] if t.is_leaf and t.grad is not None else [t]
    return any(v.is_floating_point() and v.numel() and bool(v.detach().abs().max() > GREATEST) for v in seen)


#: How often each kind comes where the mood is 1.
KINDS = {
    "leaf": 2.5, "unary": 4, "binary": 5, "reduction": 2.5, "view": 5, "write": 5, "mode": 1.5, "hook": 2.5, "backward": 3,
    "grad": 1.5, "function": 1.2, "module": 1.5, "call": 2.5, "module hook": 1.2, "optimizer": 1.5, "step": 3.5, "copy": 1.2,
    "read": 2.5, "error": 1, "graph": 2,
}  # fmt: skip


def program(seed: int) -> list[str]:
    """The program of a seed: 5 to 40 statements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draw = Draw(seed)
        length = draw.random.choice([6, 10, 15, 20, 30, 40])
        for _ in range(draw.one(1, 2, 3)):
            statement = draw.draw(["leaf"])
            if statement:
                draw.add(statement)
        for _ in range(4 * length):
            if len(draw.statements) >= length:
                break
            statement = draw.draw()
            if statement:
                draw.add(statement)
                if draw.too_great():
                    break
        if not any("backward" in s for s in draw.statements):
            statement = draw.draw(["backward"])
            if statement:
                draw.add(statement)
        return draw.statements

"""Where two runs of a program differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from tests import comparison

from .running import Printed, Raised, Seen

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)")


class Difference(NamedTuple):
    """One thing that is not the same: what kind of thing, at which statement (None: at the end), where, and both sides."""

    kind: str
    step: int | None
    where: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        place = "at the end" if self.step is None else f"after statement {self.step}"
        return f"{self.kind}, {place}, of {self.where}:\n  jaxnn   {self.ours}\n  PyTorch {self.theirs}"


def close(ours: Any, theirs: Any) -> bool:
    """Equality of numbers at `torch.testing.assert_close`'s tolerances, of anything else exactly."""
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return False
        if ours.dtype.kind in "biu":
            return bool((ours == theirs).all())
        return comparison.close(ours, theirs, comparison.TOLERANCES["random program"][theirs.dtype.name])
    if isinstance(ours, Printed) and isinstance(theirs, Printed):
        return ours == theirs or _close_texts(ours, theirs)
    if isinstance(ours, float) and isinstance(theirs, float):
        return comparison.close(ours, theirs, comparison.TOLERANCES["assert_close"]["float32"])
    return type(ours) is type(theirs) and bool(ours == theirs)


def _close_texts(ours: str, theirs: str) -> bool:
    """Whether two printed tensors differ only in the last digit of numbers."""
    a, b = _NUMBER.findall(ours), _NUMBER.findall(theirs)
    if _NUMBER.sub("#", ours).split() != _NUMBER.sub("#", theirs).split() or len(a) != len(b):
        return False
    return bool(np.allclose(np.array(a, float), np.array(b, float), rtol=1e-3, atol=1.1e-4, equal_nan=True))


def _prints(value: np.ndarray, ours: str, theirs: str) -> bool:
    """Whether PyTorch prints our numbers as we do: rounding near zero may change the form of a text."""
    bare = [re.sub(r",\s*(dtype|grad_fn|requires_grad)=[^)]*\)$", ")", text) for text in (ours, theirs)]
    ends = [text[len(short) - 1 :].split() for text, short in zip((ours, theirs), bare, strict=True)]
    again = re.sub(r",\s*dtype=[^)]*\)$", ")", str(torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))))
    return ends[0] == ends[1] and bare[0].removeprefix("Parameter containing:\n") == again


def differences(ours: Seen, theirs: Seen) -> Iterator[Difference]:
    """Everything that differs, in the order of the program; what comes behind an exception of one side is not looked at."""
    begun: dict[str, int] = {}
    for step, ((raised, found), (expected, wanted)) in enumerate(zip(ours.steps, theirs.steps, strict=True)):
        if (raised and raised.type) != (expected and expected.type):
            kind = f"exception {raised and raised.type} for {expected and expected.type}"
            yield Difference(kind, step, "the statement", raised, expected)
            return
        yield from _differing(_counted(found, begun, 0), _counted(wanted, begun, 1), step)
    yield from _differing(ours.values, theirs.values, None)


def _counted(found: dict[str, Any], begun: dict[str, int], side: int) -> dict[str, Any]:
    """The flags with versions counted from where a tensor was first seen: PyTorch writes to some results while it makes them."""
    counted = {}
    for name, flags in found.items():
        if isinstance(flags, tuple) and not isinstance(flags, Raised):
            own = dict(flags)
            first = begun.setdefault(f"{name} {side}", own["_version"])
            own["_version"] -= first
            flags = tuple(own.items())
        counted[name] = flags
    return counted


def _differing(ours: dict[str, Any], theirs: dict[str, Any], step: int | None) -> Iterator[Difference]:
    for name in theirs:
        if name not in ours:
            yield Difference("missing", step, name, None, theirs[name])
            continue
        a, b = ours[name], theirs[name]
        if isinstance(a, Raised) or isinstance(b, Raised):
            if not (isinstance(a, Raised) and isinstance(b, Raised) and a.type == b.type):
                yield Difference("exception at a look", step, name, a, b)
        elif type(a) is not type(b):
            yield Difference("type", step, name, a, b)
        elif isinstance(b, tuple):
            values = dict(a).get("value")
            for (what, x), (_, y) in zip(a, b, strict=True):
                if not (close(x, y) or (isinstance(x, Printed) and values is not None and _prints(values, x, y))):
                    yield Difference(what, step, name, x, y)
        elif not close(a, b):
            yield Difference("number or text", step, name, a, b)
    for name in ours:
        if name not in theirs:
            yield Difference("extra", step, name, ours[name], None)

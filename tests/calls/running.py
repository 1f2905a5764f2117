"""A call on one library, and where two outcomes differ."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

import jaxnn
from tests.comparison import TOLERANCES, close
from tests.fuzz.running import TooLong, limited

SECONDS = 8  # of the processor's time, for one call on one library


class Part(NamedTuple):
    """One thing in a result: what it is, and its value."""

    kind: str
    dtype: str
    shape: tuple[int, ...]
    value: Any


class Outcome(NamedTuple):
    """What a call did: the type and text of what it raised, or the structure and parts of what it gave."""

    raised: str
    text: str
    structure: str
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        if self.raised:
            return f"{self.raised}: {self.text}"
        return self.structure + " ".join(
            f"{p.kind} {p.dtype}{list(p.shape)} {np.asarray(p.value).ravel()[:6].tolist()}" for p in self.parts
        )


#: The order of differences: the worst first.
KINDS = ("value", "structure", "dtype", "shape", "refused", "accepted", "exception")


def operand(library: Any) -> Any:
    """What makes the tensors of a call: values by type, shape and seed alone, the same in both libraries."""

    def x(dtype: str, *shape: int, seed: int = 0) -> Any:
        random = np.random.default_rng(seed)
        values: np.ndarray = random.random(shape) * 0.8 + 0.1
        if dtype == "bool":
            values = values > 0.5
        elif dtype.startswith("complex"):
            values = values + 1j * random.random(shape)
        elif not dtype.startswith(("float", "bfloat")):
            values = random.integers(0, 3, shape)
        return library.tensor(values.tolist(), dtype=getattr(library, dtype)).reshape(shape)

    return x


def outcome(library: Any, call: str) -> Outcome:
    """Run a call."""
    library.manual_seed(0)
    try:
        with warnings.catch_warnings(), limited(SECONDS):
            warnings.simplefilter("ignore")
            return _seen(eval(call, {"t": library, "x": operand(library)}), library)
    except TooLong:
        return Outcome("TooLong", "", "", ())
    except Exception as error:
        return Outcome(type(error).__name__.removeprefix("_"), str(error).partition("\n")[0][:200], "", ())


def _seen(made: Any, library: Any) -> Outcome:
    parts: list[Part] = []
    structure = _walk(made, library, parts)
    return Outcome("", "", structure, tuple(parts))


def _walk(made: Any, library: Any, parts: list[Part]) -> str:
    """Collect the parts of a result, and say how they are nested."""
    if isinstance(made, (list, tuple)) and type(made).__name__ != "Size":
        name = type(made).__name__
        return f"{name}({', '.join(_walk(part, library, parts) for part in made)})"
    if isinstance(made, library.Tensor):
        parts.append(Part("Tensor", str(made.dtype).rpartition(".")[2], tuple(made.shape), _value(made, library)))
    elif isinstance(made, (bool, int, float, complex, str, type(None))):
        parts.append(Part(type(made).__name__, "", (), made))
    else:
        parts.append(Part(type(made).__name__, "", (), str(made).replace("jaxnn", "torch") if "object at" not in str(made) else ""))
    return ""


def _value(t: Any, library: Any) -> Any:
    if t.layout != library.strided or t.device.type == "meta":
        return None
    t = t.detach().resolve_conj().resolve_neg()
    return t.to(library.float32).numpy() if t.dtype in (library.bfloat16, library.float16) else t.numpy().copy()


_TOLERANCES = TOLERANCES["random call"]


def difference(ours: Outcome, theirs: Outcome, values: bool = True, least: float = 0.0) -> str:
    """The kind of difference, or nothing; ``least`` is the tolerance of the type that operands are rounded to."""
    if ours.raised != theirs.raised:
        return "exception" if ours.raised and theirs.raised else "refused" if ours.raised else "accepted"
    if ours.raised:
        return ""
    if ours.structure != theirs.structure or [p.kind for p in ours.parts] != [p.kind for p in theirs.parts]:
        return "structure"
    for p, q in zip(ours.parts, theirs.parts, strict=True):
        if p.dtype != q.dtype or p.shape != q.shape:
            return "dtype" if p.dtype != q.dtype else "shape"
        if values and not _close(p, q, least):
            return "value"
    return ""


def _close(p: Part, q: Part, least: float) -> bool:
    if p.value is None or q.value is None or isinstance(q.value, (str, bool)):
        return bool(p.value is q.value or p.value == q.value)
    if q.dtype not in _TOLERANCES and q.kind not in ("float", "complex"):
        return close(p.value, q.value, None)
    near = _TOLERANCES[q.dtype or "float32"]
    wider = max(near.relative, least)
    return close(p.value, q.value, near._replace(relative=wider, absolute=wider))


def compare(call: str, values: bool = True) -> tuple[str, Outcome, Outcome]:
    """The kind of difference of a call, and both outcomes, ours first."""
    theirs = outcome(torch, call)
    ours = outcome(jaxnn, call)
    least = max((near.relative for name, near in _TOLERANCES.items() if f"'{name}'" in call), default=0.0)
    return difference(ours, theirs, values, least), ours, theirs

"""Running one program on one library, and writing down everything that can be seen of it."""

from __future__ import annotations

import contextlib
import functools
import re
import signal
import unittest.mock
import warnings
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils import checkpoint

import jaxnn
from jaxnn.core.run.cut import cut, immediate_mode

from . import prelude

#: How our side runs: a name -> the context in which a program runs.
WAYS = {
    "programs": contextlib.nullcontext,
    "operators": immediate_mode,
}

_NODE = re.compile(r",\s+grad_fn=<(\w+)>")

SECONDS = 120  # of the processor's time, for one program on one library


class Raised(NamedTuple):
    """An exception that a statement, or a look at a value, ended in."""

    type: str
    text: str


class Seen(NamedTuple):
    """What a program did: for each statement its exception and the flags of every tensor, then all values at the end."""

    steps: list[tuple[Raised | None, dict[str, Any]]]
    values: dict[str, Any]


class Printed(str):
    """A text with numbers in it."""


class TooLong(BaseException):
    """A program that does not come to an end."""


def _alarm(*_: Any) -> None:
    raise TooLong


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `TooLong` after so many seconds of the processor's time."""
    before = signal.signal(signal.SIGPROF, _alarm)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@functools.cache
def _names(library: Any) -> dict[str, Any]:
    return prelude.namespace(library)


@functools.lru_cache(50_000)
def compiled(statement: str) -> CodeType:
    """A statement's code."""
    return compile(statement, "<fuzzed>", "exec")


def fresh(library: Any) -> dict[str, Any]:
    """The names of a new program, with the random stream at its start."""
    names = dict(_names(library))
    names["log"].clear()
    library.manual_seed(0)
    return names


def attempt(statement: str, names: dict[str, Any]) -> Raised | None:
    """Run a statement; what it raised."""
    try:
        exec(compiled(statement), names)
    except Exception as error:
        return Raised(type(error).__name__, str(error).partition("\n")[0][:200])
    return None


def run(statements: list[str], library: Any, way: str = "programs") -> Seen:
    """Run a program and write down what it does."""
    with warnings.catch_warnings(), limited(SECONDS), WAYS[way]() if library is jaxnn else contextlib.nullcontext():
        warnings.simplefilter("ignore")
        names = fresh(library)
        steps = []
        for statement in statements:
            raised = attempt(statement, names)
            steps.append((raised, _look(names, library, flags)))
        seen = Seen(steps, _look(names, library, values))
        names.clear()
        if library is jaxnn:
            cut("end of a random program")
        return seen


class _CopiedAgain(checkpoint._recomputation_hook):  # type: ignore[misc, name-defined]
    """What a checkpoint's function saves when it runs again, as it is at that moment."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        pack = self.pack_hook
        self.pack_hook = lambda t: pack(_snapshot(t))


def _snapshot(t: torch.Tensor) -> torch.Tensor:
    return t.detach().clone()


def _snapshot_with_flag(t: torch.Tensor) -> torch.Tensor:
    """One that a reentrant checkpoint takes for what it was given: it asks whether that requires gradients."""
    return _snapshot(t).requires_grad_(t.requires_grad)


def run_to_the_end(statements: list[str]) -> Seen:
    """Run a program on PyTorch whose checkpoints don't stop their functions early."""
    with checkpoint.set_checkpoint_early_stop(False):
        return run(statements, torch)


def run_with_snapshots(statements: list[str]) -> Seen:
    """Run a program on PyTorch so that a backward gets the values that its operators saw.

    Ours always does (docs/differences.md); PyTorch notices some writes and raises, and computes with what is there after
    the others.
    """
    kept = f"saved_tensors_hooks({_SNAPSHOT}, lambda t: t)"
    statements = [
        s.replace("lambda t: t.numpy(", f"lambda t: ({_SNAPSHOT})(t).numpy(").replace("save_on_cpu()", kept) for s in statements
    ]
    reentrant = "use_reentrant=True" in "".join(statements)
    pack = _snapshot_with_flag if reentrant else _snapshot
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), checkpoint.set_checkpoint_early_stop(False):
        with unittest.mock.patch.object(checkpoint, "_recomputation_hook", _CopiedAgain):
            return run(statements, torch)


_SNAPSHOT = "lambda t: t.detach().clone()"


def _user_names(names: dict[str, Any]) -> list[str]:
    return [n for n in names if n[0] in "abcdefghijklmnopqrstuvwxyz" and n[-1].isdigit()]


def _look(names: dict[str, Any], library: Any, observe: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in [*_user_names(names), "log"]:
        try:
            _walk(name, names[name], library, observe, found, 0)
        except Exception as error:
            found[name] = Raised(type(error).__name__, str(error)[:200])
    return found


def _walk(name: str, value: Any, library: Any, observe: Any, found: dict[str, Any], depth: int) -> None:
    """Observe a variable, and the parts of containers, modules and optimizers."""
    if isinstance(value, library.Tensor):
        try:
            found[name] = observe(value)
        except Exception as error:
            found[name] = Raised(type(error).__name__, str(error)[:200])
    elif isinstance(value, (list, tuple)) and depth < 6:
        found[name + " length"] = len(value)
        for k, part in enumerate(value):
            _walk(f"{name}[{k}]", part, library, observe, found, depth + 1)
    elif isinstance(value, dict) and depth < 6:
        found[name + " keys"] = [str(k) for k in value]
        for key, part in value.items():
            _walk(f"{name}[{key!r}]", part, library, observe, found, depth + 1)
    elif isinstance(value, library.nn.Module):
        found[name + " training"] = value.training
        for key, part in (*value.named_parameters(), *value.named_buffers()):
            _walk(f"{name}.{key}", part, library, observe, found, depth + 1)
    elif isinstance(value, library.optim.Optimizer):
        if observe is values:
            state = value.state_dict()
            _walk(f"{name}.state_dict()", state, library, observe, found, depth + 1)
    elif isinstance(value, (bool, int, float, complex, str, type(None))):
        found[name] = value


def flags(t: Any) -> Any:
    """What is known of a tensor without its value."""
    return (
        ("shape", tuple(t.shape)),
        ("dtype", str(t.dtype).rpartition(".")[2]),
        ("requires_grad", t.requires_grad),
        ("is_leaf", t.is_leaf),
        ("_version", t._version),
        ("has grad", t.is_leaf and t.grad is not None),
        ("strides", tuple(t.stride())),
    )


def array(t: Any) -> np.ndarray:
    """A tensor's value, in a type that numpy has."""
    t = t.detach()
    if str(t.dtype).endswith("bfloat16"):
        t = t.float()
    return np.array(t.resolve_conj().numpy())


def values(t: Any) -> Any:
    """A tensor's value, text and gradient."""
    grad = t.grad if t.is_leaf or t.retains_grad else None
    text = str(t)
    return (
        ("value", array(t)),
        ("printed", Printed(_NODE.sub("", text))),
        ("grad_fn", next(iter(_NODE.findall(text)), None)),
        ("gradient", None if grad is None else array(grad)),
        ("gradient's dtype", None if grad is None else str(grad.dtype).rpartition(".")[2]),
        ("gradient's requires_grad", None if grad is None else grad.requires_grad),
    )

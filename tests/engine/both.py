"""Run one program on real PyTorch and on jaxnn and compare what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import jaxnn
from tests.comparison import TOLERANCES, Tolerance, check, close


def plain(value: Any) -> Any:
    """A program's result as numpy arrays, numbers and strings, whichever library made it."""
    if isinstance(value, (torch.Tensor, jaxnn.Tensor)):
        return np.asarray(value.detach().cpu().numpy())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def attempt(f: Callable[[], Any]) -> Any:
    """What a part of a program returns, or the text of its error."""
    try:
        return f()
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        return f"{type(error).__name__}: {error}"


def outcome(program: Callable[[Any], Any], library: Any) -> Any:
    """What a program returns, or the type of its error."""
    try:
        library.manual_seed(0)
        return plain(program(library))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, NotImplementedError):
            raise
        return type(error).__name__


def _near(rtol: float | None) -> Tolerance:
    own = TOLERANCES["program"]["float32"]
    return own if rtol is None else own._replace(relative=rtol)


def agree(ours: Any, theirs: Any, rtol: float | None = None) -> None:
    """Assert that two results are equal up to rounding, and of the same type and shape."""
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(ours, np.ndarray):
        check(ours, theirs, "program", tolerance=_near(rtol))
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), (ours, theirs)
        for a, b in zip(ours, theirs, strict=True):
            agree(a, b, rtol)
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for k in ours:
            agree(ours[k], theirs[k], rtol)
    elif isinstance(ours, float):
        assert close(ours, theirs, _near(rtol)), (ours, theirs)
    else:
        assert ours == theirs


def same(program: Callable[[Any], Any]) -> None:
    """Assert that a program does the same on both."""
    agree(outcome(program, jaxnn), outcome(program, torch))

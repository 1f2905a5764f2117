"""Run the same code on PyTorch and on jaxnn and compare everything a user can see.

    parity(lambda torch, x, y: x + y, X, Y)

Inputs are numpy arrays (tensors in the function, floating ones with gradients) or anything else, passed as it is.
Compared: values, types, shapes, requires_grad, the names of grad_fn, printed text, gradients, and the type of an error.
"""

from __future__ import annotations

import itertools
import os
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import jaxnn
from jaxnn.core.run.policy import set_execution_mode
from tests.comparison import TOLERANCES, Tolerance, check, dtype_of, values

#: Every how many comparisons a program is compiled as a whole, too. JAXNN_BOTH=1 compiles all.
WHOLE_EVERY = 1 if os.environ.get("JAXNN_BOTH") else 3
_compared = itertools.count()


def tensors(module: Any, inputs: tuple[Any, ...], grad: bool) -> list[Any]:
    """The inputs as tensors of `module`."""
    made = []
    for x in inputs:
        if isinstance(x, np.ndarray):
            if x.dtype.name == "bfloat16":
                t = module.tensor(x.tolist(), dtype=module.bfloat16).reshape(x.shape)
            else:
                t = module.from_numpy(x.copy())
            made.append(t.requires_grad_() if grad and x.dtype.kind in "fcV" else t)
        else:
            made.append(x)
    return made


def _is_tensor(x: Any) -> bool:
    return isinstance(x, (torch.Tensor, jaxnn.Tensor))


def _outputs(result: Any) -> list[Any]:
    """The tensors of a result, in order."""
    if _is_tensor(result):
        return [result]
    if isinstance(result, (tuple, list)):
        return [t for r in result for t in _outputs(r)]
    return []


def _backward(outputs: list[Any]) -> None:
    """Gradients with a cotangent that differs from element to element."""
    total = None
    for t in outputs:
        if not t.requires_grad:
            continue
        weight = 0.5 + np.arange(t.numel(), dtype=np.float64).reshape(tuple(t.shape)) % 7 / 8
        module = torch if isinstance(t, torch.Tensor) else jaxnn
        weight = module.from_numpy(np.asarray(weight))
        part = t.real * weight - t.imag * (weight + 1) if t.is_complex() else t * weight
        total = part.sum() if total is None else total + part.sum()
    if total is not None and total.requires_grad:
        total.backward()


def _run(
    module: Any, f: Callable[..., Any], inputs: tuple[Any, ...], grad: bool
) -> tuple[Any, list[Any], Exception | None]:
    given = tensors(module, inputs, grad)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = f(module, *given)
            if grad:
                _backward(_outputs(result))
            [t.shape for t in _outputs(result)]
            [np.asarray(t.detach().cpu().tolist()) for t in _outputs(result)]
    except Exception as error:
        return None, given, error
    return result, given, None


def close(ours: Any, theirs: Any, what: str, rtol: float | None = None, atol: float | None = None) -> None:
    """Assert that two tensors agree in type, shape and values, by the table or by what is given."""
    near = TOLERANCES["operator"].get(dtype_of(theirs))
    if near is not None and (rtol is not None or atol is not None):
        relative = near.relative if rtol is None else rtol
        near = Tolerance(relative, relative, near.of) if atol is None else Tolerance(relative, atol)
    check(ours, theirs, "operator", what, near)


_ADDRESS = re.compile(r" object at 0x[0-9a-f]+")
_NUMBER = re.compile(r"[-+ \n]|\d+\.?\d*(e[+-]\d+)?|\[|\]|,")


def _same(ours: Any, theirs: Any, text: bool, names: bool, options: dict[str, Any]) -> None:
    if _is_tensor(theirs):
        assert isinstance(ours, jaxnn.Tensor), f"{ours!r}, PyTorch has {theirs!r}"
        close(ours, theirs, "value", **options)
        assert ours.requires_grad == theirs.requires_grad, (
            f"requires_grad {ours.requires_grad}, PyTorch {theirs.requires_grad}"
        )
        if names:
            mine, other = (None if t.grad_fn is None else t.grad_fn.name() for t in (ours, theirs))
            assert mine == other, f"grad_fn {mine}, PyTorch {other}"
        if text and names:
            a, b = _ADDRESS.sub("", repr(ours)), _ADDRESS.sub("", repr(theirs))
            exact = np.array_equal(values(ours), values(theirs), equal_nan=ours.dtype.is_floating_point)
            assert a == b if exact else _NUMBER.sub("", a) == _NUMBER.sub("", b), f"prints {a}, PyTorch {b}"
        return
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs), f"{len(ours)} results, PyTorch has {len(theirs)}"
        assert type(ours).__name__ == type(theirs).__name__ or not hasattr(theirs, "values"), type(ours)
        for a, b in zip(ours, theirs, strict=True):
            _same(a, b, text, names, options)
        return
    if isinstance(theirs, (torch.dtype, torch.device, torch.Size)):
        assert str(ours) == str(theirs), f"{ours}, PyTorch has {theirs}"
        return
    if isinstance(theirs, float):
        np.testing.assert_allclose(ours, theirs, rtol=options.get("rtol") or 2e-6)
        return
    assert type(ours) is type(theirs) and ours == theirs, f"{ours!r}, PyTorch has {theirs!r}"


def modes() -> tuple[str, ...]:
    """The ways in which a comparison runs: operator by operator, and every so often compiled as a whole, too."""
    return ("operators", "whole") if next(_compared) % WHOLE_EVERY == 0 else ("operators",)


def parity(
    f: Callable[..., Any], *inputs: Any, grad: bool = True, rtol: float | None = None, atol: float | None = None,
    text: bool = True, names: bool = True, message: str | None = None, grad_rtol: float | None = None,
) -> None:  # fmt: skip
    """Assert that ``f(torch, *inputs)`` and ``f(jaxnn, *inputs)`` agree.

    Args:
        f: takes the module (`torch` or `jaxnn`) and the inputs.
        grad: also compare the gradients of the floating inputs.
        text: also compare printed text (its numbers only where the values are equal).
        names: also compare the names of grad_fn.
        message: what both errors say; a case without it may not raise in PyTorch.
    """
    theirs, their_inputs, their_error = _run(torch, f, inputs, grad)
    for mode in modes():
        set_execution_mode(mode)
        try:
            ours, our_inputs, our_error = _run(jaxnn, f, inputs, grad)
        finally:
            set_execution_mode("auto")
        if their_error is not None or our_error is not None:
            if our_error is not None and (their_error is None or message is None):
                raise our_error
            assert their_error is not None
            assert our_error is not None, f"PyTorch raises {their_error!r}"
            assert message is not None, f"PyTorch raises {their_error!r}: say so with message="
            assert type(our_error) is type(their_error), f"{our_error!r}, PyTorch raises {their_error!r}"
            for error in (their_error, our_error):
                assert message in str(error), f"{error!r} does not say {message!r}"
            continue
        assert message is None, "nothing is raised"
        _same(ours, theirs, text, names, {"rtol": rtol, "atol": atol})
        if grad:
            for k, (a, b) in enumerate(zip(our_inputs, their_inputs, strict=True)):
                if isinstance(b, torch.Tensor) and b.is_leaf and b.requires_grad:
                    assert (a.grad is None) == (b.grad is None), f"gradient {k}: {a.grad}, PyTorch has {b.grad}"
                    if b.grad is not None:
                        close(a.grad, b.grad, f"gradient {k}", rtol=grad_rtol or rtol, atol=atol)

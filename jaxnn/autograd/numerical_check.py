"""Gradients beside finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.core import autograd, dtypes
from jaxnn.core import generator as random
from jaxnn.core.grad_mode import no_grad
from jaxnn.core.handle import TensorBase, aval, host_array

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient that disagrees with finite differences."""


def _tensors(made: Any) -> list[Any]:
    found = list(made) if isinstance(made, (tuple, list)) else [made]
    if any(not isinstance(t, TensorBase) for t in found):
        raise GradcheckError("gradcheck: the function must return a Tensor or a sequence of Tensors")
    return found


def _differentiable(made: Any) -> list[Any]:
    return [t for t in _tensors(made) if t.requires_grad]


def _of_array(array: np.ndarray, like: Any) -> Any:
    return host_array(np.ascontiguousarray(array, aval(like).np), aval(like).placement)


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(f"gradcheck: {name}={value}")


class _Checked:
    """A function and the inputs that it is checked by."""

    def __init__(self, func: Callable[..., Any], inputs: Any) -> None:
        self.func = func
        self.inputs = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        self.moving = [k for k, t in enumerate(self.inputs) if isinstance(t, TensorBase) and t.requires_grad]
        if not self.moving:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
            )
        for k in self.moving:
            if self.inputs[k].is_complex():
                raise NotImplementedError("gradcheck: complex inputs")
            if self.inputs[k].dtype is not dtypes.float64:
                warnings.warn(
                    f"Input #{k} requires gradient and is not a double precision floating point or complex. This check will "
                    "likely fail if all the inputs are not of double precision floating point or complex. ",
                    stacklevel=4,
                )

    def values(self, place: int, array: np.ndarray) -> list[np.ndarray]:
        """The outputs with one input replaced."""
        changed = list(self.inputs)
        changed[place] = _of_array(array, self.inputs[place]).requires_grad_()
        made = self.func(*changed)
        return [np.asarray(t.detach().tolist(), np.float64).reshape(tuple(t.shape)) for t in _differentiable(made)]

    def numerical(self, place: int, eps: float, count: int) -> list[np.ndarray]:
        """For each output, its Jacobian (rows: elements of the input) by central differences."""
        start = np.asarray(self.inputs[place].detach().tolist(), np.float64).reshape(tuple(self.inputs[place].shape))
        rows: list[list[np.ndarray]] = [[] for _ in range(count)]
        for k in range(start.size):
            ends = []
            for step in (eps, -eps):
                moved = start.copy()
                moved.reshape(-1)[k] += step
                ends.append(self.values(place, moved))
            for j, (a, b) in enumerate(zip(*ends, strict=True)):
                rows[j].append((a - b).reshape(-1) / (2 * eps))
        return [np.array(r).reshape(start.size, -1) for r in rows]

    def analytical(self, output: Any, place: int) -> np.ndarray:
        """One output's Jacobian by backward."""
        described = aval(output)
        count = described.shape.numel()
        t = self.inputs[place]
        rows = []
        for k in range(count):
            unit = np.zeros(count, described.np)
            unit[k] = 1
            ct = host_array(unit.reshape(described.shape), described.placement)
            (g,) = autograd.grad(output, t, ct, retain_graph=True, allow_unused=True)
            if g is None:
                rows.append(np.zeros(t.numel()))
                continue
            if g.dtype is not t.dtype:
                raise GradcheckError(f"Gradient has dtype {g.dtype}, its input {t.dtype}")
            rows.append(np.asarray(g.detach().tolist(), np.float64).reshape(-1))
        return np.array(rows).reshape(count, t.numel()).T


def _check(checked: _Checked, eps: float, atol: float, rtol: float, nondet_tol: float) -> None:
    outputs = _differentiable(checked.func(*checked.inputs))
    if not outputs:
        with no_grad():
            made = _tensors(checked.func(*checked.inputs))
        for place in checked.moving:
            for o, numerical in zip(made, _numerical_of_all(checked, place, eps, len(made)), strict=True):
                if o.dtype.is_floating_point and np.abs(numerical).max(initial=0) > atol:
                    raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    for place in checked.moving:
        numerical = checked.numerical(place, eps, len(outputs))
        for j, o in enumerate(outputs):
            analytical = checked.analytical(o, place)
            again = checked.analytical(o, place)
            if np.abs(analytical - again).max(initial=0) > nondet_tol:
                raise GradcheckError(
                    f"Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
                    f"different values, although analytical gradient matches numerical gradient. The tolerance for "
                    f"nondeterminism was {nondet_tol}."
                )
            if not np.allclose(analytical, numerical[j], rtol, atol):
                raise GradcheckError(
                    f"Jacobian mismatch for output {j} with respect to input {place},\nnumerical:{numerical[j]}\n"
                    f"analytical:{analytical}\n"
                )


def _numerical_of_all(checked: _Checked, place: int, eps: float, count: int) -> list[np.ndarray]:
    """Finite differences of outputs that require no gradients."""
    func = checked.func

    def attached(*inputs: Any) -> Any:
        return [t.detach().requires_grad_() if t.dtype.is_floating_point else t for t in _tensors(func(*inputs))]

    try:
        checked.func = attached
        return checked.numerical(place, eps, count)
    finally:
        checked.func = func


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False, masked: bool | None = None,
) -> bool:  # fmt: skip
    """Whether a function's gradients by its inputs (best of float64) agree with central differences.

    Args:
        check_undefined_grad: nothing is left to check: missing gradients count as zeros in every backward.
        check_grad_dtypes: gradients of another type than their inputs never pass.

    Raises:
        GradcheckError: where they do not agree, unless ``raise_exception=False``.
        ValueError: when no input requires gradients.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
    """
    _refuse(
        check_batched_grad=check_batched_grad, check_batched_forward_grad=check_batched_forward_grad,
        check_forward_ad=check_forward_ad, fast_mode=fast_mode, masked=masked,
    )  # fmt: skip
    if not check_backward_ad:
        raise ValueError("gradcheck: at least one of check_forward_ad and check_backward_ad must be True")
    try:
        _check(_Checked(func, inputs), eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
    rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0,
    check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False, masked: bool = False,
) -> bool:  # fmt: skip
    """Whether the gradients of a function's gradients agree with central differences.

    Args:
        grad_outputs: cotangents of the outputs; None: random ones.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradgradcheck.html
    """
    _refuse(gen_non_contig_grad_outputs=gen_non_contig_grad_outputs, check_fwd_over_rev=check_fwd_over_rev)
    if not check_rev_over_rev:
        raise ValueError("gradgradcheck: check_rev_over_rev=False leaves nothing to check")
    given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    if grad_outputs is None:
        outputs = _differentiable(func(*given))
        cts = [
            _of_array(random.default_generator.normal(tuple(o.shape), 0.0, 1.0, np.float64), o).requires_grad_()
            for o in outputs
        ]
    else:
        cts = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    count = len(cts)

    def gradients(*both: Any) -> Any:
        inner, ct = both[: len(given)], both[len(given) :]
        moving = [t for t in inner if isinstance(t, TensorBase) and t.requires_grad]
        outputs = _differentiable(func(*inner))[:count]
        found = autograd.grad(outputs, moving, list(ct), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients, (*given, *cts), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
        fast_mode=fast_mode, masked=masked or None,
    )  # fmt: skip

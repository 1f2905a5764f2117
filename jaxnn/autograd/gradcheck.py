"""Gradients beside finite differences.

Args:
    nondet_tol: a hint: results do not vary here.
    raise_exception: raise where they differ, instead of giving False.
    check_backward_ad: False skips the backward.
    check_undefined_grad, check_grad_dtypes, check_batched_grad, check_rev_over_rev: further checks.
    fast_mode: compare along one random direction.
    masked: of sparse inputs only the elements that they hold are moved, and only the gradients of these are looked at; without it
        all are.
    eps: the step of the differences.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.core.gradient import backward
from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import sparse_coo, strided
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array
from jaxnn.core.random import generator as random
from jaxnn.core.registry import FUNCTIONS

from .forward_ad import dual_level, make_dual, unpack_dual

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient that disagrees with finite differences."""


def _tensors(made: Any) -> list[Any]:
    found = list(made) if isinstance(made, (tuple, list)) else [made]
    if any(not isinstance(t, TensorBase) for t in found):
        raise GradcheckError("gradcheck: the function must return a Tensor or a sequence of Tensors")
    if any(t.layout is not strided for t in found):
        raise ValueError(
            "Sparse output is not supported at gradcheck yet. Please call to_dense(masked_grad=...) on the output of fn for gradcheck."
        )
    return found


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (tuple, list)) else [given]


def _inexact(t: Any) -> bool:
    return t.dtype.is_floating_point or t.dtype.is_complex


def _differentiable(made: Any) -> list[Any]:
    return [t for t in _tensors(made) if t.requires_grad]


def _of_array(array: np.ndarray, like: Any) -> Any:
    shaped = np.asarray(array).reshape(tuple(aval(like).shape)).astype(aval(like).np, order="C")
    return host_array(shaped, aval(like).placement)


def _numbers(t: Any) -> np.ndarray:
    """The elements in double precision, flat."""
    kind = np.complex128 if t.dtype.is_complex else np.float64
    return np.asarray(t.detach().tolist(), kind).reshape(-1)


def _refuse(of: str, **options: Any) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(f"{of}: {name}={value}")


#: A tensor as real numbers: its elements, of complex ones the real parts, then the imaginary parts.
def _real(t: Any) -> np.ndarray:
    x = _numbers(t)
    return np.concatenate([x.real, x.imag]) if t.dtype.is_complex else x


def _from_real(values: np.ndarray, like: Any) -> Any:
    if not like.dtype.is_complex:
        return _of_array(values, like)
    half = len(values) // 2
    return _of_array(values[:half] + 1j * values[half:], like)


def _values_of(t: Any) -> Any:
    """The elements that a tensor holds, as a strided tensor."""
    if t.layout is strided:
        return t.detach()
    held = t.detach()
    return held.coalesce().values() if held.layout is sparse_coo else held.values()


def _with_values(t: Any, values: Any) -> Any:
    """A leaf like a sparse tensor that holds other elements."""
    held = t.detach()
    if held.layout is sparse_coo:
        made = FUNCTIONS["sparse_coo_tensor"](held.coalesce().indices(), values, tuple(t.shape), is_coalesced=True)
    else:
        made = FUNCTIONS["sparse_csr_tensor"](held.crow_indices(), held.col_indices(), values, tuple(t.shape))
    return made.requires_grad_()


def _all_held(t: Any) -> Any:
    """A leaf like a sparse tensor that holds all of its elements, the zeros too."""
    ones = FUNCTIONS["ones"](tuple(t.shape))
    like = ones.to_sparse() if t.layout is sparse_coo else ones.to_sparse_csr()
    return _with_values(like, t.detach().to_dense().reshape(-1))


class _Checked:
    """A function and the inputs that it is checked by. All Jacobians are real: rows are input coordinates, columns output ones."""

    def __init__(self, func: Callable[..., Any], inputs: Any, masked: bool = False) -> None:
        self.func = func
        self.inputs = [
            _all_held(t) if isinstance(t, TensorBase) and t.layout is not strided and t.requires_grad and not masked else t
            for t in _listed(inputs)
        ]
        self.moving = [k for k, t in enumerate(self.inputs) if isinstance(t, TensorBase) and t.requires_grad]
        if not self.moving:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
            )
        for k in self.moving:
            t = self.inputs[k]
            if t.layout is strided and any(step == 0 and n > 1 for step, n in zip(t.stride(), t.shape, strict=True)):
                raise RuntimeError(
                    f"The {k}th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping "
                    "to be able to compute the numerical gradients correctly. You should call .contiguous on the input "
                    "before passing it to gradcheck."
                )
            if t.dtype not in (dtypes.float64, dtypes.complex128):
                warnings.warn(
                    f"Input #{k} requires gradient and is not a double precision floating point or complex. This check will "
                    "likely fail if all the inputs are not of double precision floating point or complex. ",
                    stacklevel=4,
                )

    def outputs(self) -> list[Any]:
        """The outputs that require gradients."""
        found = _differentiable(self.func(*self.inputs))
        self.described = [(tuple(o.shape), o.dtype) for o in found]
        return found

    def _need_same(self, found: list[Any]) -> None:
        for t, (sizes, kind) in zip(found, self.described, strict=False):
            for what, was, now in (("shape", sizes, tuple(t.shape)), ("dtype", kind, t.dtype)):
                if was != now:
                    raise AssertionError(
                        f"Expected `func` to return outputs with the same {what} when inputs are perturbed, but got {was} and {now}"
                    )

    def values(self, place: int, coordinates: np.ndarray, all_outputs: bool = False) -> list[np.ndarray]:
        """The outputs with other numbers in one input: in its own memory, since the function may read that, too."""
        t = self.inputs[place]
        if t.layout is not strided:
            moved = _with_values(t, _from_real(coordinates, _values_of(t)))
            return self._seen(self.func(*self.inputs[:place], moved, *self.inputs[place + 1 :]), all_outputs)
        before = t.detach().clone()
        with no_grad():
            t.data.copy_(_from_real(coordinates, t))
        try:
            return self._seen(self.func(*self.inputs), all_outputs)
        finally:
            with no_grad():
                t.data.copy_(before)

    def _seen(self, made: Any, all_outputs: bool) -> list[np.ndarray]:
        found = [t for t in _tensors(made) if _inexact(t)] if all_outputs else _differentiable(made)
        self._need_same(found)
        return [_real(t) for t in found]

    def coordinates(self, place: int) -> np.ndarray:
        """What an input is moved by, as real numbers."""
        return _real(_values_of(self.inputs[place]))

    def numerical(self, place: int, directions: np.ndarray, eps: float, all_outputs: bool = False) -> list[np.ndarray]:
        """For each output its derivatives in some directions of an input (a row each), by central differences."""
        start = self.coordinates(place)
        rows = []
        for direction in directions:
            ends = [self.values(place, start + step * direction, all_outputs) for step in (eps, -eps)]
            rows.append([(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)])
        return [np.array(column).reshape(len(directions), column[0].size) for column in zip(*rows, strict=True)]

    def backward(self, output: Any, place: int, cotangents: np.ndarray, dtypes_too: bool = False) -> np.ndarray:
        """The gradients of an input for some cotangents of an output (a row each)."""
        t = self.inputs[place]
        if t.layout is not strided:
            t = t.plain  # what it holds
        rows = []
        for cotangent in cotangents:
            (g,) = backward.grad(output, t, _from_real(cotangent, output), retain_graph=True, allow_unused=True)
            if g is not None and dtypes_too and g.dtype is not t.dtype:
                raise GradcheckError(f"Gradient has dtype {g.dtype}, its input {t.dtype}")
            rows.append(np.zeros(self.coordinates(place).size) if g is None else _real(g))
        return np.array(rows).reshape(len(cotangents), self.coordinates(place).size)

    def forward(self, place: int, directions: np.ndarray) -> list[np.ndarray]:
        """For each output its derivatives in some directions of an input (a row each), by forward mode.

        The function is given dual numbers that require no gradients.
        """
        rows = []
        moves = [o.requires_grad for o in _tensors(self.func(*self.inputs))]
        for direction in directions:
            with dual_level():
                changed = [t.detach() if isinstance(t, TensorBase) else t for t in self.inputs]
                for k in self.moving:
                    size = _real(changed[k]).size
                    changed[k] = make_dual(changed[k], _from_real(direction if k == place else np.zeros(size), changed[k]))
                made = [o for o, moving in zip(_tensors(self.func(*changed)), moves, strict=True) if moving]
                parts = [unpack_dual(o).tangent for o in made]
                rows.append([np.zeros_like(_real(o)) if p is None else _real(p) for o, p in zip(made, parts, strict=True)])
        return [np.array(column).reshape(len(directions), column[0].size) for column in zip(*rows, strict=True)]


class _Settings:
    def __init__(self, **options: Any) -> None:
        self.__dict__.update(options)


def _directions(size: int, fast: bool) -> np.ndarray:
    """The unit vectors, or in fast mode one random direction of length 1."""
    if not fast:
        return np.eye(size)
    drawn = random.default_generator.normal((size,), 0.0, 1.0, np.float64)
    return (drawn / max(float(np.linalg.norm(drawn)), 1e-300))[None]


def _compare(analytical: np.ndarray, numerical: np.ndarray, j: int, place: int, how: str, s: Any) -> None:
    if not np.allclose(analytical, numerical, s.rtol, s.atol, equal_nan=True):
        fast = "\nThe above quantities relating the numerical and analytical jacobians are computed in fast mode." if s.fast else ""
        raise GradcheckError(
            f"Jacobian{how} mismatch for output {j} with respect to input {place},\nnumerical:{numerical}\n"
            f"analytical:{analytical}\n{fast}"
        )


def _check(checked: _Checked, s: Any) -> None:
    outputs = checked.outputs()
    if not outputs:
        _check_constant(checked, s)
        return
    for place in checked.moving:
        ways = _directions(checked.coordinates(place).size, s.fast)
        numerical = checked.numerical(place, ways, s.eps)
        if len(numerical) != len(outputs):
            numerical = [np.zeros((len(ways), _real(o).size)) for o in outputs]
        for j, o in enumerate(outputs if s.backward_ad else ()):
            ends = _directions(_real(o).size, s.fast)
            pulled = checked.backward(o, place, ends, s.grad_dtypes)
            again = checked.backward(o, place, ends)
            if np.abs(pulled - again).max(initial=0) > s.nondet_tol:
                raise GradcheckError(
                    f"Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
                    f"different values, although analytical gradient matches numerical gradient. The tolerance for "
                    f"nondeterminism was {s.nondet_tol}."
                )
            if s.fast:
                _compare(pulled @ ways.T, ends @ numerical[j].T, j, place, "", s)
            else:
                _compare(pulled.T, numerical[j], j, place, "", s)
        if s.batched_grad:
            _check_batched(checked, outputs, place)
        if s.forward_ad:
            for j, pushed in enumerate(checked.forward(place, ways)):
                _compare(pushed, numerical[j], j, place, " computed with forward mode", s)


def _check_batched(checked: _Checked, outputs: list[Any], place: int) -> None:
    t = checked.inputs[place]
    for o in outputs:
        cts = [_from_real(random.default_generator.normal((_real(o).size,), 0.0, 1.0, np.float64), o) for _ in range(2)]
        one = [backward.grad(o, t, ct, retain_graph=True, allow_unused=True)[0] for ct in cts]
        batch = _stacked(cts, o)
        (several,) = backward.grad(o, t, batch, retain_graph=True, allow_unused=True, is_grads_batched=True)
        if several is None:
            continue
        for k, g in enumerate(one):
            if not np.allclose(_real(several[k]), _real(g)):
                raise GradcheckError("While verifying batched gradients: is_grads_batched gives other gradients than a loop")


def _stacked(cts: list[Any], like: Any) -> Any:
    rows = np.stack([_numbers(ct).reshape(tuple(aval(like).shape)) for ct in cts]).astype(aval(like).np)
    return host_array(rows, aval(like).placement)


def _check_constant(checked: _Checked, s: Any) -> None:
    """Outputs that require no gradients must not depend on the inputs."""
    made = [t for t in _tensors(checked.func(*checked.inputs)) if _inexact(t)]
    for place in checked.moving:
        ways = _directions(checked.coordinates(place).size, s.fast)
        numerical = checked.numerical(place, ways, s.eps, all_outputs=True)
        for _, found in zip(made, numerical, strict=True):
            if np.abs(found).max(initial=0) > s.atol:
                raise GradcheckError("Numerical gradient for function expected to be zero")


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False, masked: bool | None = None,
) -> bool:  # fmt: skip
    """Whether a function's gradients by its inputs (best of float64 or complex128) agree with central differences.

    Args:
        check_undefined_grad: nothing is left to check: missing gradients count as zeros in every backward.
        check_grad_dtypes: gradients of another type than their inputs do not pass.
        check_batched_grad: also whether `grad` with ``is_grads_batched`` gives the same.
        check_forward_ad: also the derivatives of forward mode; ``check_backward_ad=False`` leaves the others out.
        fast_mode: one random direction of each input and each output, in the place of all of them.

    Raises:
        GradcheckError: where they do not agree, unless ``raise_exception=False``.
        ValueError: when no input requires gradients.
        NotImplementedError: for ``check_batched_forward_grad``, and of sparse inputs for ``check_forward_ad`` and
            ``check_batched_grad``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    _refuse("gradcheck", check_batched_forward_grad=check_batched_forward_grad)
    if any(isinstance(t, TensorBase) and t.layout is not strided for t in _listed(inputs)):
        _refuse("gradcheck of sparse tensors", check_forward_ad=check_forward_ad, check_batched_grad=check_batched_grad)
    settings = _Settings(
        eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol, grad_dtypes=check_grad_dtypes, fast=fast_mode,
        batched_grad=check_batched_grad, forward_ad=check_forward_ad, backward_ad=check_backward_ad,
    )  # fmt: skip
    try:
        _check(_Checked(func, inputs, bool(masked)), settings)
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
        gen_non_contig_grad_outputs: has no meaning here: values have one layout.
        check_fwd_over_rev: forward mode through the gradients; ``check_rev_over_rev=False`` leaves the other way out.

    Raises:
        AssertionError: when both ways are left out.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradgradcheck.html
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    given = _listed(inputs)
    if grad_outputs is None:
        outputs = _differentiable(func(*given))
        cts = [
            _from_real(random.default_generator.normal((_real(o).size,), 0.0, 1.0, np.float64), o).requires_grad_()
            for o in outputs
        ]
    else:
        cts = _listed(grad_outputs)
    count = len(cts)
    moves = [isinstance(t, TensorBase) and t.requires_grad for t in (*given, *cts)]

    def gradients(*both: Any) -> Any:
        both = tuple(t.requires_grad_() if wanted else t for t, wanted in zip(both, moves, strict=True))
        inner, ct = both[: len(given)], both[len(given) :]
        moving = [t for t in inner if isinstance(t, TensorBase) and t.requires_grad]
        outputs = _differentiable(func(*inner))[:count]
        found = backward.grad(outputs, moving, list(ct), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients, (*given, *cts), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev, fast_mode=fast_mode, masked=masked or None,
    )  # fmt: skip

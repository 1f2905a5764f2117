"""Jacobians, Hessians and their products with vectors, of functions on tensors.

Args:
    v: the vector, shaped as the inputs.
    vectorize: all rows at once.
    outer_jacobian_strategy: 'reverse-mode' or 'forward-mode'.

Source: https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.core.gradient import backward
from jaxnn.core.gradient.modes import enable_grad
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.recorder import value_of
from jaxnn.func.jacobians import jacfwd
from jaxnn.func.vectorize import vmap
from jaxnn.ops.shapes.join import stack

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

_NO_GRADIENT = (
    "Output {} of the user-provided function does not require gradients. The outputs must be computed in a "
    "differentiable manner from the input when running in strict mode."
)
_FLAT = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input {} is "
    "independent of the input. This is not allowed in strict mode. You should ensure that your function is twice "
    "differentiable and that the jacobian depends on the inputs (this would be violated by a linear function for example)."
)


def _tuple(given: Any, what: str, of: str) -> tuple[bool, tuple[Any, ...]]:
    """Whether a tuple was given, and its tensors."""
    named = "outputs of the user-provided function" if what == "outputs" else what
    many = isinstance(given, tuple)
    found = given if many else (given,)
    for k, t in enumerate(found):
        if not isinstance(t, TensorBase):
            if many:
                raise TypeError(
                    f"The {named} given to {of} must be either a Tensor or a tuple of Tensors but the value at index {k} "
                    f"has type {type(t)}."
                )
            raise TypeError(
                f"The {named} given to {of} must be either a Tensor or a tuple of Tensors but the given {named} has type "
                f"{type(t)}."
            )
    return many, found


def _one(many: bool, found: Any) -> Any:
    return tuple(found) if many else found[0]


class _Run:
    """The function on inputs that require gradients."""

    def __init__(self, func: Callable[..., Any], inputs: Any, of: str, create_graph: bool, strict: bool) -> None:
        self.create = create_graph
        self.many, given = _tuple(inputs, "inputs", of)
        with enable_grad():
            self.inputs = tuple(
                t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_() for t in given
            )
            self.many_outputs, self.outputs = _tuple(func(*self.inputs), "outputs", of)
        if strict:
            for k, o in enumerate(self.outputs):
                if not o.requires_grad:
                    raise RuntimeError(_NO_GRADIENT.format(k))

    def gradients(self, outputs: Any, cotangents: Any, create: bool) -> list[Any]:
        """Gradients of the inputs, None where there are none."""
        return _gradients(outputs, self.inputs, cotangents, create)

    def finished(self, many: bool, found: Any) -> Any:
        """Results for the caller, with a graph only if it asked for one."""
        return _one(many, list(found) if self.create else [t.detach() for t in found])


def _gradients(outputs: Any, inputs: Any, cotangents: Any, create: bool) -> list[Any]:
    pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    if in_transformation():
        for o, _ in pairs:  # what was recorded outside is cut outside, and walked from its tape
            value_of(o)
    with enable_grad():
        return list(
            backward.grad([o for o, _ in pairs], inputs, [c for _, c in pairs], retain_graph=True, create_graph=create,
                          allow_unused=True)
        )  # fmt: skip


def _filled(found: list[Any], like: Any) -> list[Any]:
    return [t.new_zeros(t.shape).detach() if g is None else g for g, t in zip(found, like, strict=True)]


def _vector(v: Any, like: tuple[Any, ...], many: bool, of: str, missing: str) -> list[Any]:
    """The vector to multiply by, checked; ones where there is only one element."""
    if v is None:
        if len(like) != 1 or like[0].nelement() != 1:
            raise RuntimeError(missing)
        return [like[0].new_ones(like[0].shape).detach()]
    _, found = _tuple(v, "v", of)
    if len(found) != len(like):
        if many:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(found)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for k, (a, t) in enumerate(zip(found, like, strict=True)):
        if a.shape != t.shape:
            where = f"Entry {k} in " if many else ""
            raise RuntimeError(f"{where}v has invalid size: should be {t.shape} but got {a.shape}.")
    return list(found)


_ONE_OUTPUT = (
    "The vector v can only be None if the user-provided function returns a single Tensor with a single element."
)
_ONE_INPUT = (
    "The vector v can only be None if the input to the user-provided function is a single Tensor with a single element."
)


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The outputs of a function, and the product of a vector with its Jacobian.

    Args:
        v: of the form of the outputs; may be left out for one element.
        create_graph: the results can be differentiated further.
        strict: raise where an output does not depend on an input, instead of giving zeros.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.vjp.html
    """
    run = _Run(func, inputs, "vjp", create_graph, strict)
    given = _vector(v, run.outputs, run.many_outputs, "vjp", _ONE_OUTPUT)
    if v is None:
        _need_real(run.outputs[0])
    found = run.gradients(run.outputs, given, create_graph)
    if strict:
        for k, g in enumerate(found):
            if g is None:
                raise RuntimeError(
                    f"The output of the user-provided function is independent of input {k}. This is not allowed in strict "
                    "mode."
                )
    return run.finished(run.many_outputs, run.outputs), run.finished(run.many, _filled(found, run.inputs))


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The outputs of a function, and the product of its Jacobian with a vector.

    Args:
        v: of the form of the inputs; may be left out for one element.

    The product is the gradient of the vector-Jacobian product, which is linear in its vector.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.jvp.html
    """
    run = _Run(func, inputs, "jvp", create_graph, strict)
    given = _vector(v, run.inputs, run.many, "jvp", _ONE_INPUT)
    found = _pushed(run.outputs, run.inputs, given, create_graph)
    if strict and any(g is None for g in found):
        raise RuntimeError(
            "The output of the user-provided function is independent of the inputs. This is not allowed in strict mode."
        )
    return run.finished(run.many_outputs, run.outputs), run.finished(run.many_outputs, _filled(found, run.outputs))


def _pushed(outputs: Any, inputs: Any, tangents: list[Any], create: bool) -> list[Any]:
    """The derivatives of outputs in a direction, None for outputs that do not depend on the inputs."""
    moving = [o for o in outputs if o.requires_grad]
    ends = [o.new_zeros(o.shape).detach().requires_grad_() for o in moving]
    first = _gradients(moving, inputs, ends, True) if moving else []
    pairs = [(g, t) for g, t in zip(first, tangents, strict=False) if g is not None and g.requires_grad]
    found = iter(_gradients([g for g, _ in pairs], ends, [t for _, t in pairs], create) if moving else ())
    return [next(found) if o.requires_grad else None for o in outputs]


def _unit_vectors(like: Any) -> list[Any]:
    described = aval(like)
    count = described.shape.numel()
    rows = np.eye(count, dtype=described.np).reshape(count, *described.shape)
    return [host_array(row, described.placement) for row in rows]


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Jacobian of a function: for each output and each input a tensor of shape output's + input's.

    Args:
        vectorize: all rows at once by `vmap`, instead of one backward for each.
        strategy: "reverse-mode", or with ``vectorize`` "forward-mode".

    Raises:
        RuntimeError: for an output that does not depend on an input, with ``strict``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.jacobian.html
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than '
            'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        return _forward_jacobian(func, inputs, create_graph, strict, vectorize)
    if strict and vectorize:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. Please "
            "either set `strict=False` or `vectorize=False`."
        )
    run = _Run(func, inputs, "jacobian", create_graph, strict)
    jacobian = []
    for k, o in enumerate(run.outputs):
        if vectorize and o.numel() and o.requires_grad:

            def row(ct: Any, o: Any = o) -> Any:
                return tuple(_filled(run.gradients([o], [ct], create_graph), run.inputs))

            columns = list(vmap(row)(stack(_unit_vectors(o))))
        else:
            columns = _rows(run, o, k, strict)
        jacobian.append([c.reshape((*o.shape, *t.shape)) for c, t in zip(columns, run.inputs, strict=True)])
    return _one(run.many_outputs, [run.finished(run.many, row) for row in jacobian])


def _rows(run: _Run, output: Any, number: int, strict: bool) -> list[Any]:
    """The Jacobian of one output by each input, a row for each element, by one backward a row."""
    rows = []
    if output.numel():
        _need_real(output)
    for ct in _unit_vectors(output):
        found = run.gradients([output], [ct], run.create)
        if strict:
            for k, g in enumerate(found):
                if g is None:
                    raise RuntimeError(
                        f"Output {number} of the user-provided function is independent of input {k}. This is not allowed "
                        "in strict mode."
                    )
                if run.create and not g.requires_grad:
                    raise RuntimeError(
                        f"The jacobian of the user-provided function is independent of input {k}. This is not allowed in "
                        "strict mode when create_graph=True."
                    )
        rows.append(_filled(found, run.inputs))
    if not rows:
        return [t.new_zeros((0, *t.shape)) for t in run.inputs]
    return [stack([r[k] for r in rows]) for k in range(len(run.inputs))]


def _forward_jacobian(func: Any, inputs: Any, create_graph: bool, strict: bool, vectorize: bool) -> Any:
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for `vectorize=True`."
        )
    if strict:
        raise RuntimeError(
            'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported together. '
            'Please either set `strict=False` or `strategy="reverse-mode"`.'
        )
    many, given = _tuple(inputs, "inputs", "jacobian")
    if not create_graph:
        given = tuple(t.detach() for t in given)
    found = jacfwd(func, tuple(range(len(given))))(*given)
    many_outputs = isinstance(found[0], tuple)
    rows = [tuple(t if create_graph else t.detach() for t in row) for row in (found if many_outputs else (found,))]
    return _one(many_outputs, [_one(many, row) for row in rows])


def _scalar(func: Callable[..., Any], of: str) -> Callable[..., Any]:
    """The function, checked to return a tensor of one element."""

    def checked(*inputs: Any) -> Any:
        out = func(*inputs)
        many, outputs = _tuple(out, "outputs", of)
        if many:
            raise RuntimeError(f"The function given to {of} should return a single Tensor")
        if outputs[0].nelement() != 1:
            raise RuntimeError(f"The Tensor returned by the function given to {of} should contain a single element")
        _need_real(outputs[0])
        return outputs[0].reshape(())

    return checked


def _need_real(output: Any) -> None:
    """Refuse the gradient of a complex number without a cotangent.

    Raises:
        RuntimeError: for a complex output that depends on an input.
    """
    if output.requires_grad and output.is_complex():
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype}")


def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Hessian of a function of one element: for each pair of inputs a tensor of shape first's + second's.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.hessian.html
    """
    many, given = _tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    checked = _scalar(func, "hessian")

    def first(*inner: Any) -> Any:
        with enable_grad():
            out = checked(*inner)
            if strict and not out.requires_grad:
                raise RuntimeError(_NO_GRADIENT.format(0))
            found = _gradients([out], inner, [out.new_ones(out.shape).detach()], True)
            if strict:
                for k, g in enumerate(found):
                    if g is None:
                        raise RuntimeError(
                            f"Output 0 of the user-provided function is independent of input {k}. This is not allowed in "
                            "strict mode."
                        )
                    if not g.requires_grad:
                        raise RuntimeError(_FLAT.format(k))
        return tuple(_filled(found, inner))

    found = jacobian(first, given, create_graph, strict, vectorize, outer_jacobian_strategy)
    return tuple(found) if many else found[0][0]


def _product(func: Any, inputs: Any, v: Any, create_graph: bool, strict: bool, of: str, transposed: bool) -> Any:
    run = _Run(_scalar(func, of), inputs, of, create_graph, strict)
    given = _vector(v, run.inputs, run.many, of, _ONE_INPUT)
    ones = [run.outputs[0].new_ones(run.outputs[0].shape).detach()]
    first = _filled(run.gradients(run.outputs, ones, True), run.inputs)
    if strict:
        for k, g in enumerate(first):
            if not g.requires_grad:
                raise RuntimeError(_FLAT.format(k))
    if transposed:
        found = run.gradients(first, given, create_graph)
    else:
        found = _pushed(first, run.inputs, given, create_graph)
    # The value and the product belong to the caller's shapes again.
    value = run.outputs[0]
    return run.finished(False, [value]), run.finished(run.many, _filled(found, run.inputs))


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The output of a function of one element, and the product of a vector with its Hessian.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.vhp.html
    """
    return _product(func, inputs, v, create_graph, strict, "vhp", True)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The output of a function of one element, and the product of its Hessian with a vector.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.hvp.html
    """
    return _product(func, inputs, v, create_graph, strict, "hvp", False)

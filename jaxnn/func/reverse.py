"""`grad`, `grad_and_value`, `vjp`, `jvp` and `linearize`, on the engine's recorded backward.

The function runs on copies of its inputs that start a graph of their own; an outer transformation, or a later
``backward()``, sees through the copies. Nothing is read, so a gradient joins the program around it.
A Jacobian-vector product is the gradient of the vector-Jacobian product, which is linear in its vector.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

from jaxnn.core.gradient import backward
from jaxnn.core.gradient.modes import enable_grad, no_grad
from jaxnn.core.memory.cell import Leaf
from jaxnn.core.memory.tensor_base import TensorBase, is_view, source_of
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.record.recorder import value_of
from jaxnn.support.gates import closed, gated
from jaxnn.support.gradient_leaves import reached
from jaxnn.support.trees import flatten, form, unflatten

__all__ = ["Inputs", "grad", "grad_and_value", "jvp", "linearize", "select", "vjp"]


class _Levels(threading.local):
    """The inputs of the transformations whose functions are running in this thread, the innermost last."""

    def __init__(self) -> None:
        self.running: list[Level] = []


_levels = _Levels()
#: The leaves that transformations have made.
_made: weakref.WeakSet[Leaf] = weakref.WeakSet()


def start_of_graph(t: Any) -> Any:
    """A tensor made a leaf that no caller knows of: a graph that leads to nothing else is none of theirs."""
    t.requires_grad_()
    _made.add(source_of(t)[0])
    return t


class Level:
    """The leaves by which something is being differentiated; as a context, while it runs."""

    def __init__(self, ends: list[Any]) -> None:
        self.own = {id(source_of(end)[0]) for end in ends}

    def __enter__(self) -> None:
        _levels.running.append(self)

    def __exit__(self, *exception: Any) -> None:
        _levels.running.pop()


class Inputs(Level):
    """Tensors that a function is differentiated by: where gradients arrive, and what the function gets.

    As a context: the function is running.
    """

    def __init__(self, tensors: list[Any]) -> None:
        super().__init__([])
        self.outer = state.grad_enabled
        self.ends: list[Any] = []
        with enable_grad():
            for t in tensors:
                if not isinstance(t, TensorBase):
                    raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
                if self.outer and t.requires_grad:
                    self.ends.append(gated(t))
                else:
                    end = start_of_graph(t.detach().clone() if is_view(t) else t.detach())
                    self.own.add(id(source_of(end)[0]))
                    self.ends.append(end)
            # A further copy, so that the function may write to its inputs.
            self.given = [end.clone() for end in self.ends]

    def gradients(self, outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """The gradients of the inputs, zeros where an output does not depend on one."""
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
        for o, c in zip(outputs, cotangents, strict=True):
            if c is not None and c.shape != o.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[0] has a shape of {c.shape} and output[0] has a shape of {o.shape}."
                )
        if not pairs:
            return [end.new_zeros(end.shape).detach() for end in self.ends]
        if in_transformation():
            for o, _ in pairs:  # what was recorded outside is cut outside, and walked from its tape
                value_of(o)
        with self, closed(self.ends):  # a function that the walk runs again meets the levels that it ran in
            found = backward.grad(
                [o for o, _ in pairs], self.ends, [c for _, c in pairs], retain_graph=True, create_graph=True,
                allow_unused=True,
            )  # fmt: skip
        return [end.new_zeros(end.shape).detach() if g is None else g for g, end in zip(found, self.ends, strict=True)]

    def released(self, tensors: list[Any]) -> list[Any]:
        """Results as the caller gets them: with a graph only if it leads to a leaf of the caller, or of a transformation
        that is still running.
        """
        needed = {leaf for level in _levels.running if level is not self for leaf in level.own}

        def keeps(t: Any) -> bool:
            return any(id(leaf) in needed or leaf not in _made for leaf in reached([t]))

        with no_grad():
            return [
                t.detach()
                if isinstance(t, TensorBase) and t.requires_grad and not (self.outer and keeps(t))
                else t
                for t in tensors
            ]


def numbers_of(argnums: Any, count: int) -> tuple[int, ...]:
    """Argument positions, checked."""
    if isinstance(argnums, bool) or not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    made = []
    for k in numbers:
        if not isinstance(k, int):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(k)}")
        if not -count <= k < count:
            raise RuntimeError(f"Got argnum={k}, but only {count} positional inputs")
        made.append(k % count)
    if len(set(made)) != len(made):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return tuple(made)


def select(f: Callable[..., Any], argnums: Any, args: Any, kwargs: Any) -> tuple[Callable[..., Any], Any]:
    """A function of the selected arguments alone, and these arguments as a tuple."""
    numbers = numbers_of(argnums, len(args))

    def partial(*selected: Any) -> Any:
        full = list(args)
        for k, value in zip(numbers, selected, strict=True):
            full[k] = value
        return f(*full, **kwargs)

    return partial, tuple(args[k] for k in numbers)


def _split_aux(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def _released_tree(inputs: Inputs, tree: Any) -> Any:
    return unflatten(tree, inputs.released(flatten(tree)))


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of ``func`` (a scalar) by some of its arguments, and its value.

    Args:
        argnums: the argument, or a tuple of arguments, to differentiate by; each may be a nest of tensors.
        has_aux: ``func`` returns (scalar, anything else); then the result is (gradient, (scalar, anything else)).

    Raises:
        RuntimeError: when ``func`` does not return a scalar tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.grad_and_value.html
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        partial, selected = select(func, argnums, args, kwargs)
        inputs = Inputs(flatten(selected))
        with enable_grad(), inputs:
            result = partial(*unflatten(selected, inputs.given))
            out, aux = _split_aux(result, has_aux, "grad_and_value(f)(*args)")
            if not isinstance(out, TensorBase):
                raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(out)}")
            if out.dim() != 0:
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
                    f"{out.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            found = inputs.gradients([out], [None])
        gradients = unflatten(selected, inputs.released(found))
        value = inputs.released([out])[0]
        if isinstance(argnums, int):
            gradients = gradients[0]
        return (gradients, (value, _released_tree(inputs, aux))) if has_aux else (gradients, value)

    return wrapped


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of ``func`` (a scalar) by some of its arguments.

    Args:
        argnums: the argument, or a tuple of arguments, to differentiate by; each may be a nest of tensors.
        has_aux: ``func`` returns (scalar, anything else); then the result is (gradient, anything else).

    Raises:
        RuntimeError: when ``func`` does not return a scalar tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.grad.html
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return wrapped


def _outputs(result: Any, what: str) -> list[Any]:
    leaves = flatten(result)
    for leaf in leaves:
        if not isinstance(leaf, TensorBase):
            raise RuntimeError(
                f"{what}: expected f(*primals) to return only tensors, got unsupported type {type(leaf)}"
            )
    return leaves


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``func``, and the function that pulls cotangents of its outputs back to its inputs.

    Returns:
        ``(output, vjp_fn)``, with ``has_aux`` ``(output, vjp_fn, aux)``; ``vjp_fn`` takes cotangents in the form of the
        output and returns a tuple of gradients, one for each of ``primals``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.vjp.html
    """
    inputs = Inputs(flatten(primals))
    with enable_grad(), inputs:
        result, aux = _split_aux(func(*unflatten(primals, inputs.given)), has_aux, "vjp(f, *primals)")
    outputs = _outputs(result, "vjp(f, *primals)")

    def vjp_fn(cotangents: Any) -> Any:
        given = flatten(cotangents)
        if repr(form(cotangents)) != repr(form(result)):
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {form(cotangents)}, primal output: {form(result)}"
            )
        with enable_grad():
            found = inputs.gradients(outputs, given)
        return unflatten(primals, inputs.released(found))

    value = unflatten(result, inputs.released(outputs))
    return (value, vjp_fn, _released_tree(inputs, aux)) if has_aux else (value, vjp_fn)


class _Linear:
    """The derivative of outputs by inputs as a linear function of tangents, from the gradient of the gradient."""

    def __init__(self, inputs: Inputs, outputs: list[Any]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.moving = [o for o in outputs if o.requires_grad]
        with enable_grad():
            self.cotangents = Inputs([o.new_zeros(o.shape).detach() for o in self.moving])
            self.gradients = inputs.gradients(self.moving, self.cotangents.given) if self.moving else []

    def __call__(self, tangents: list[Any]) -> list[Any]:
        with enable_grad(), self.inputs:
            found = iter(self.cotangents.gradients(self.gradients, tangents) if self.moving else ())
        return [next(found) if o.requires_grad else o.new_zeros(o.shape).detach() for o in self.outputs]


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """The value of ``func`` and its derivative in the direction of ``tangents``.

    Args:
        primals: a tuple of the arguments.
        tangents: their directions, in the same form.
        strict: raise when an output does not depend on any input.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jvp.html
    """
    name = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{name}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    if repr(form(primals)) != repr(form(tangents)):
        raise RuntimeError(
            f"{name}: Expected primals and tangents to have the same python structure. For example, if primals is a "
            f"tuple of 3 tensors, tangents also must be. Got primals with structure {form(primals)} and tangents with "
            f"structure {form(tangents)}"
        )
    flat, directions = flatten(primals), flatten(tangents)
    if not flat:
        raise RuntimeError(f"{name}: Expected primals to contain at least one Tensor.")
    inputs = Inputs(flat)
    for p, t in zip(flat, directions, strict=True):
        if p.shape != t.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
                f"supported. Tensor is of size {list(p.shape)} while the given forward gradient is of size {list(t.shape)}."
            )
    with enable_grad(), inputs:
        result, aux = _split_aux(func(*unflatten(primals, inputs.given)), has_aux, name)
    outputs = _outputs(result, name)
    if strict and not all(o.requires_grad for o in outputs):
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed "
            "with strict=True."
        )
    derivative = _Linear(inputs, outputs)
    found = unflatten(result, inputs.released(derivative(directions)))
    value = unflatten(result, inputs.released(outputs))
    return (value, found, _released_tree(inputs, aux)) if has_aux else (value, found)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of ``func``, and its derivative there as a function of tangents.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.linearize.html
    """
    flat = flatten(primals)
    inputs = Inputs(flat)
    with enable_grad(), inputs:
        result = func(*unflatten(primals, inputs.given))
    outputs = _outputs(result, "linearize(f, *primals)")
    derivative = _Linear(inputs, outputs)

    def jvp_fn(*tangents: Any) -> Any:
        if repr(form(tangents)) != repr(form(primals)):
            raise RuntimeError(
                f"Expected the tangents {form(tangents)} to have the same argspec as the primals {form(primals)}"
            )
        directions = flatten(tangents)
        for k, (p, t) in enumerate(zip(flat, directions, strict=True)):
            if p.shape != t.shape:
                raise RuntimeError(
                    f"tangent:{k} with shape {t.shape} in flattened pytree doesn't match the shape {p.shape} of the "
                    "corresponding primal."
                )
        return unflatten(result, inputs.released(derivative(directions)))

    return unflatten(result, inputs.released(outputs)), jvp_fn

"""User-defined operators with their own backward.

Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from typing import Any

import jax
import numpy as np

from ..memory.buffer import Buffer
from ..memory.cell import NOWHERE, Cell, Leaf
from ..memory.storage import Storage
from ..memory.tensor_base import TensorBase, alias, aval, count_write, has_own_source, wrap
from ..memory.tensor_base import tracked as is_tracked
from ..memory.view import View
from ..operator.op import OPERATORS
from ..path.recording import Recording
from ..path.tensor_hooks import follow
from ..process.config import in_transformation, state
from ..record import at_once
from ..record.recorder import materialised, value_of
from ..record.shared_memory import shows
from ..record.write import put_through, whole_view
from ..record.write_guards import FUNCTION, SEVERAL, Guard, check_guarded, check_inplace
from ..run.cut import cut_graph, hold
from . import backward
from .function_forward import push, tangents_of, without_tangents
from .function_in_jax import custom
from .modes import GradMode, enable_grad, no_grad
from .operators import TWICE, call, zeros
from .roots import fitted_gradient
from .saved_hooks import Packed
from .saved_tensor import SavedTensor

__all__ = ["Function", "FunctionCtx", "FunctionNode"]


class _Saved:
    """A tensor that a `Function` keeps: as it was then, and where its gradient went."""

    def __init__(self, t: Any, output: int | None) -> None:
        self.output = output  # the number of the function's output that it is
        self.given = None if output is not None else t  # outputs would hold the node that holds them
        self.version = t._storage.version
        self.value = _frozen(t)
        self.packed = None if state.saving is None else Packed(t, self.value)
        if self.packed is not None:
            self.given = self.value = None

    def unpacked(self, node: Any) -> Any:
        """The tensor, with its place in the graph."""
        if self.packed is not None:
            return self.packed.unpacked(None if self.output is None else Cell(node, self.output))
        if self.output is not None:
            return alias(self.value, Cell(node, self.output, own_source=self.value._view is not None))
        if self.given._storage.version == self.version:
            return self.given
        return self.value  # written to since: the value that forward saw


def _frozen(t: TensorBase) -> Any:
    """A tensor as it is now, whatever is written to it later. Its value is known: a `Function` cuts."""
    s = t._storage
    if in_transformation() or s.rec is not None:
        return at_once.frozen(t)
    held = Storage(None, 0, s.aval, None)
    held.buf = Buffer(value_of(wrap(s)), False) if shows(s) else s.buf
    cell = t._cell
    kept = wrap(held)
    kept._cell = Cell(cell.source, cell.source_idx, has_own_source(t))
    if t._view is not None:
        kept._view = View(t._view.steps, t._view.aval, guard=t._view.guard)
    return kept


class FunctionCtx:
    """What a `Function`'s forward keeps for its backward."""

    def __init__(self) -> None:
        self._given: tuple[Any, ...] = ()
        self._saved: tuple[Any, ...] | None = ()
        self._node: Any = lambda: None
        self._dirty: tuple[Any, ...] = ()
        self._fixed: tuple[Any, ...] = ()
        self._materialize = True
        self._materialize_non_diff_grads = True
        self._pushing = False  # whether jvp runs
        self.saved_for_forward: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for backward."""
        for k, t in enumerate(tensors):
            if t is not None and not isinstance(t, TensorBase):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {k} is of type {type(t).__name__}"
                )
        self._given = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for ``jvp``."""
        for k, t in enumerate(tensors):
            if t is not None and not isinstance(t, TensorBase):
                raise TypeError(
                    f"save_for_forward can only save variables, but argument {k} is of type {type(t).__name__}"
                )
        self.saved_for_forward = tensors

    def _keep(self, node: FunctionNode, outputs: tuple[Any, ...]) -> None:
        """After forward: what was saved, as it is now."""
        self._node = weakref.ref(node)
        numbers = {id(t): k for k, t in enumerate(outputs) if isinstance(t, TensorBase) and t._cell.source is node}
        self._saved = tuple(None if t is None else _Saved(t, numbers.get(id(t))) for t in self._given)
        self._given = ()

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was kept.

        Raises:
            RuntimeError: after a backward has freed it.
        """
        if self._pushing:
            return self.saved_for_forward
        if self._saved is None:
            raise RuntimeError(TWICE)
        if self._given:
            return self._given
        node = self._node()
        return tuple(None if s is None else s.unpacked(node) for s in self._saved)

    @property
    def _raw_saved_tensors(self) -> tuple[SavedTensor, ...]:
        """What was kept, each to be packed by hooks of its own."""
        kept = self.saved_tensors
        return tuple(self._raw(k, t) for k, t in enumerate(kept))

    def _raw(self, k: int, t: Any) -> SavedTensor:
        saved: Any = self._saved[k] if self._saved else None

        def keep(packed: Packed) -> None:
            saved.packed, saved.given, saved.value = packed, None, None

        return SavedTensor._made(lambda: t, keep, lambda: getattr(saved, "packed", None) is not None)

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """The former name of `saved_tensors`."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward has changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs carry no gradient."""
        self._fixed = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach backward as zeros (the default) or as None."""
        self._materialize = value


class FunctionNode:
    """A `Function` that was applied."""

    def __init__(
        self, kind: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], cells: list[Any], count: int
    ) -> None:
        self.kind = kind
        self.ctx = ctx
        self.cells = cells  # for each argument: where its gradient goes, or None
        self.inputs = [None if c is None else aval(a) for a, c in zip(args, cells, strict=True)]
        self.count = count
        self.name = f"{kind.__name__}Backward"
        self.is_tensor = [isinstance(a, TensorBase) for a in args]
        self.order = (next(Recording._orders), 0)
        self.hooks: dict[Any, Any] = {}
        self.outputs: list[Any] = []
        self.fixed: set[int] = set()  # the outputs that are marked as non-differentiable

    def backward(self, cts: dict[int, Any], create: bool, retain: bool) -> list[tuple[Any, Any]]:
        """The gradients of the arguments."""
        grads = [
            cts[k] if k in cts else zeros(v, v.placement) if self._materializes(k) else None
            for k, v in enumerate(self.outputs)
        ]
        with GradMode(create):
            found = self.kind._pulled(self.ctx, *grads)
        found = _checked(found, self.is_tensor, self.name)
        if not retain:
            self.release()
        with GradMode(create):
            return [
                (c, g if c.source is NOWHERE else self._fitted(g, k))
                for k, (c, g) in enumerate(zip(self.cells, found, strict=False))
                if c is not None and g is not None
            ]

    def release(self) -> None:
        """Forget what was saved."""
        self.ctx._saved = None if self.ctx._saved else ()

    def _materializes(self, k: int) -> bool:
        """Whether a gradient that is missing counts as zeros."""
        if self.outputs[k] is None or not self.ctx._materialize:
            return False
        return k not in self.fixed or self.ctx._materialize_non_diff_grads

    def _fitted(self, grad: Any, index: int) -> Any:
        if grad.is_sparse and self.inputs[index].placement != aval(grad).placement:
            grad = grad.to_dense()  # that of a dense tensor is dense
        return fitted(grad, self.inputs[index], index, self.name)


def fitted(grad: Any, expected: Any, index: int, name: str) -> Any:
    """A gradient in its input's type, and in its shape where broadcasting explains the difference."""
    described = aval(grad)
    if described.shape != expected.shape:
        try:
            fits = np.broadcast_shapes(tuple(described.shape), tuple(expected.shape)) == tuple(described.shape)
        except ValueError:
            fits = False
        if not fits:
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {index} - got {list(described.shape)} but "
                f"expected shape compatible with {list(expected.shape)}"
            )
        grad = call(OPERATORS["sum_to"], (grad, tuple(expected.shape)))
    return fitted_gradient(grad, expected)


def _checked(found: Any, is_tensor: list[bool], name: str) -> tuple[Any, ...]:
    """What a backward returned: one gradient or None for each argument."""
    if not isinstance(found, tuple):
        found = (found,)
    count = len(is_tensor)
    if len(found) < count or any(g is not None for g in found[count:]):
        raise RuntimeError(
            f"function {name} returned an incorrect number of gradients (expected {count}, got {len(found)})"
        )
    for k, (g, tensor) in enumerate(zip(found, is_tensor, strict=False)):
        if g is not None and not tensor:
            raise RuntimeError(
                f"function {name} returned a gradient different than None at position {k + 1}, but the corresponding "
                "forward input was not a Variable"
            )
        if g is not None and not isinstance(g, TensorBase):
            raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
    return found


class Function:
    """Base of user-defined operators: static methods ``forward(ctx, *args)`` and ``backward(ctx, *grads)``; call ``apply``."""

    #: For PyTorch's programs: `vmap` goes through forward and backward without a rule.
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke them on "
            "the class itself. Instantiating an autograd function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function with "
            "static forward method. (Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the inputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Compute the tangents of the outputs, in forward mode."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """PyTorch's rule for its `vmap`. Here `vmap` goes through forward and backward and asks for none."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set generate_vmap_rule=True."
        )

    #: Whether a JAX transformation differentiates forward itself: for functions of the library's own that take results.
    _transparent = False

    @classmethod
    def _pulled(cls, ctx: Any, *grads: Any) -> Any:
        """``backward``, or under its other name ``vjp``."""
        named = getattr(cls, "vjp", None)
        if named is None:
            return cls.backward(ctx, *grads)
        if cls.backward is not Function.backward:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one of "
                "them."
            )
        return named(ctx, *grads)

    @classmethod
    def _forward(cls, ctx: FunctionCtx, args: tuple[Any, ...]) -> Any:
        with no_grad():
            if not hasattr(cls, "setup_context"):
                return cls.forward(ctx, *args)
            made = cls.forward(*args)
            cls.setup_context(ctx, args, made)  # type: ignore[attr-defined]
            return made

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record that gradients go through backward."""
        if hasattr(cls, "setup_context"):
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        elif kwargs:
            raise TypeError("apply() takes no keyword arguments")
        ctx = FunctionCtx()
        needs = tuple(isinstance(a, TensorBase) and is_tracked(a) for a in args)
        ctx.needs_input_grad = needs
        tracked = state.grad_enabled and any(needs)
        cells = [_target(a) if tracked and n else None for a, n in zip(args, needs, strict=True)]
        values = {}
        if in_transformation() and not cls._transparent:
            values = {k: value_of(a) for k, a in enumerate(args) if isinstance(a, TensorBase)}
        tangents = tangents_of(args)
        with without_tangents():
            made = cls._forward(ctx, args)
        given = outputs = made if isinstance(made, tuple) else (made,)
        for d in ctx._dirty:
            if not any(t is d for t in outputs):
                raise RuntimeError(
                    "Some elements marked as dirty during the forward method were not returned as output. The inputs that are "
                    "modified inplace must all be outputs of the Function."
                )
            count_write(d)
            if tracked:
                collects = type(d._cell.source) is Leaf and d._cell.source.tensor() is d
                if d._view is not None and len(d._view.steps) > d._view.own and not collects:
                    d._grad = None
                check_inplace(d, True, "has been used" if d._view is None or collects else "is being used")
        if any(isinstance(v, jax.core.Tracer) for v in values.values()):
            outputs = cls._in_jax(ctx, args, values, outputs)
        if not tracked:
            tensors = [a for a in args if isinstance(a, TensorBase)]
            outputs = tuple(
                whole_view(t, t._cell if state.grad_enabled else Cell())
                if any(t is a for a in tensors) and not any(t is d for d in ctx._dirty)
                else t
                for t in outputs
            )
            if not in_transformation():
                for k, t in enumerate(outputs):
                    if isinstance(t, TensorBase) and t._view is not None:
                        t._view.guard = Guard(FUNCTION, k, made_without=True)
        else:
            node = FunctionNode(cls, ctx, args, cells, len(outputs))
            if not in_transformation():
                cut_graph("autograd.Function")
            outputs = _connected(node, args, outputs)
        if tangents is not None:
            push(cls, ctx, args, tangents, given, outputs)
        return outputs if isinstance(made, tuple) else outputs[0] if not isinstance(made, list) else made


    @classmethod
    def _in_jax(
        cls, ctx: FunctionCtx, args: tuple[Any, ...], values: dict[int, Any], outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The outputs with values that a JAX transformation differentiates by ``backward``."""
        name = f"{cls.__name__}Backward"

        def forward(given: list[Any]) -> Any:
            inner = FunctionCtx()
            inner.needs_input_grad = tuple(
                isinstance(a, TensorBase) and (aval(a).dtype.is_floating_point or aval(a).dtype.is_complex) for a in args
            )
            made = cls._forward(inner, tuple(given))
            return inner, made if isinstance(made, tuple) else (made,)

        def pulled(inner: FunctionCtx, grads: list[Any]) -> Any:
            given = iter(grads)
            full = [next(given) if isinstance(t, TensorBase) else None for t in outputs]
            return _checked(cls._pulled(inner, *full), [isinstance(a, TensorBase) for a in args], name)

        arrays = iter(custom(forward, pulled, lambda g, a, k: fitted(g, a, k, name), args, values))
        results = []
        for t in outputs:
            if not isinstance(t, TensorBase):
                results.append(t)
                continue
            array = next(arrays)
            if any(t is f for f in ctx._fixed):
                array = jax.lax.stop_gradient(array)
            made = at_once.tensor_of(array)
            if any(t is d for d in ctx._dirty):
                with no_grad():
                    put_through(t, made)
                results.append(t)
            else:
                ctx._given, ctx._fixed = (
                    tuple(made if held is t else held for held in group) for group in (ctx._given, ctx._fixed)
                )
                results.append(made)
        return tuple(results)


def _connected(node: FunctionNode, args: tuple[Any, ...], outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The outputs of a function as tensors whose gradients go to its node."""
    ctx, results = node.ctx, []
    kind = SEVERAL if len(outputs) > 1 else FUNCTION
    for k, t in enumerate(outputs):
        node.outputs.append(aval(t) if isinstance(t, TensorBase) else None)
        if not isinstance(t, TensorBase):
            results.append(t)
            continue
        described = node.outputs[-1]
        is_input = any(t is a for a in args)
        is_dirty = any(t is d for d in ctx._dirty)
        if any(t is f for f in ctx._fixed):
            node.fixed.add(k)
        carries = described.dtype.is_floating_point or described.dtype.is_complex
        if not carries or k in node.fixed:
            results.append(whole_view(t, Cell()) if is_input and not is_dirty else t)
        elif is_dirty:
            _rebase(t, node, k)
            results.append(t)
        elif is_input:
            passed = whole_view(t, Cell(node, k, own_source=True))
            passed._view.guard = Guard(kind, k)
            results.append(passed)
        else:
            t._cell = Cell(node, k, own_source=t._view is not None)
            if t._view is not None:
                t._view.guard, t._view.created = Guard(kind, k), t._storage.known_version
            results.append(t)
    ctx._keep(node, tuple(results))
    return tuple(results)


def _rebase(t: TensorBase, node: FunctionNode, place: int) -> None:
    """Make a function the maker of an input that it has written to, whose gradient is another one from now on."""
    t._grad = None
    if t._view is None:
        t._cell.source, t._cell.source_idx = node, place
        follow(t._cell)
        return
    if in_transformation():
        t._cell = Cell(node, place, own_source=True)
        return
    written = wrap(_frozen(materialised(t))._storage)
    written._cell = Cell(node, place)
    t._storage.version -= 1  # counted already
    t._storage.quiet -= t._cell.apart
    with enable_grad():
        put_through(t, written)


def _target(t: TensorBase) -> Cell:
    if t._view is not None:
        check_guarded(t)
        key = backward.view_key(t)
        cell = Cell(key) if not isinstance(key, tuple) else Cell(*key)
    else:
        cell = Cell(t._cell.source, t._cell.source_idx)
    hold(cell)
    return cell

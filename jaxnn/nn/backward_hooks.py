"""The backward hooks around one call of a module: its differentiable inputs pass through one node, its outputs through another.

The nodes are the identity. The one behind the outputs meets their gradients first and calls the pre-hooks; the one in front of
the inputs meets theirs last and calls the hooks.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.register_full_backward_hook
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.gradient.operators import zeros
from jaxnn.core.memory.cell import Cell
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.op import Op
from jaxnn.core.path.node_hooks import hook_result
from jaxnn.core.path.tensor_hooks import on_node
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.write import whole_view
from jaxnn.core.record.write_guards import FUNCTION, SEVERAL, Guard
from jaxnn.core.registry import call
from jaxnn.core.run.cut import hold
from jaxnn.ops.memory.strides import rule

__all__ = ["BackwardHooks"]

_NAME = "BackwardHookFunctionBackward"
_IDENTITY = Op("backward_hook", lambda tensors: tuple(tensors), grad_name=_NAME, lists=True)
_SAME = Op("backward_hook_output", lambda x: x, view=lambda base, new: new, grad_name=_NAME)
rule("backward_hook_output")(lambda before: before)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


class BackwardHooks:
    """The hooks and pre-hooks of one call, and what they have been told so far.

    Args:
        full: whether the tensors that a module gets and returns may not be written to, as under full backward hooks.
    """

    def __init__(self, module: Any, hooks: list[Any], pre_hooks: list[Any], full: bool) -> None:
        self.module, self.hooks, self.pre_hooks, self.full = module, hooks, pre_hooks, full
        self.described: dict[int, Any] = {}  # of the tensors among the arguments
        self.count = 0  # of the arguments
        self.moving: list[int] = []  # the places of those with gradients
        self.grad_outputs: tuple[Any, ...] | None = None

    def _through(self, values: tuple[Any, ...], hook: Any) -> tuple[tuple[Any, ...], list[int]]:
        """The values with the differentiable tensors passed on by one node, and where these are."""
        places = [k for k, v in enumerate(values) if isinstance(v, TensorBase) and v.requires_grad]
        if not places:
            return values, places
        passed = call(_IDENTITY, (tuple(values[k] for k in places),))
        on_node(passed[0], hook)
        changed = list(values)
        for number, (k, t) in enumerate(zip(places, passed, strict=True)):
            changed[k] = t
            if self.full and not in_transformation():
                cell = Cell(t._cell.source, t._cell.source_idx, own_source=True)
                hold(cell)
                changed[k] = whole_view(values[k], cell, _SAME)
                changed[k]._view.guard = Guard(SEVERAL if len(places) > 1 else FUNCTION, number)
        return tuple(changed), places

    def on_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments for forward."""
        self.count = len(args)
        self.described = {k: aval(a) for k, a in enumerate(args) if isinstance(a, TensorBase)}
        args, self.moving = self._through(args, self._input_gradients)
        return args

    def on_outputs(self, result: Any) -> Any:
        """The result for the caller."""
        single = isinstance(result, TensorBase)
        if not single and not isinstance(result, tuple):
            return result
        values, self.outputs = self._through((result,) if single else result, self._output_gradients)
        self.output_count = len(values)
        return (
            values[0] if single else type(result)(values) if not hasattr(result, "_fields") else type(result)(*values)
        )

    def _output_gradients(self, cts: list[Any]) -> list[Any]:
        given = dict(zip(self.outputs, cts, strict=True))
        grads = tuple(given.get(k) for k in range(self.output_count))
        for hook in self.pre_hooks:
            changed = hook(self.module, grads)
            if changed is not None:
                grads = self._checked(_as_tuple(changed), grads, "Backward pre hook", "grad_output")
        self.grad_outputs = grads
        if not self.moving:
            self._without_inputs()
        return [grads[k] for k in self.outputs]

    def _without_inputs(self) -> None:
        nothing = (None,) * self.count
        for hook in self.hooks:
            changed = hook(self.module, nothing, self.grad_outputs)
            if changed is not None and not (isinstance(changed, tuple) and all(g is None for g in changed)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None for all "
                    "gradients."
                )
        self.grad_outputs = None

    def _input_gradients(self, cts: list[Any]) -> list[Any]:
        if self.grad_outputs is None:  # the gradient came past the outputs
            return cts
        given = {k: ct for k, ct in zip(self.moving, cts, strict=True) if ct is not None}
        before = grads = tuple(
            None if k not in self.described
            else given[k] if k in given else zeros(self.described[k], self.described[k].placement)
            for k in range(self.count)
        )  # fmt: skip
        for hook in self.hooks:
            changed = hook(self.module, grads, self.grad_outputs)
            if changed is not None:
                grads = self._checked(_as_tuple(changed), grads, "Backward hook", "grad_input")
        self.grad_outputs = None
        for k in self.described:
            if grads[k] is not None:
                hook_result(before[k], grads[k], "hook")
        return [grads[k] for k in self.moving]

    def _checked(self, changed: tuple[Any, ...], grads: tuple[Any, ...], what: str, which: str) -> tuple[Any, ...]:
        if len(changed) != len(grads):
            raise RuntimeError(
                f"{what} returned an invalid number of {which}, got {len(changed)}, but expected {len(grads)}"
            )
        return changed

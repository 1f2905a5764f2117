"""The graph behind tensors: its nodes and edges, hooks on several tensors, and hooks on what operators keep.

Source: https://docs.pytorch.org/docs/stable/autograd.html#autograd-graph
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxnn.core.gradient import saved_hooks
from jaxnn.core.gradient.edge import GradientEdge
from jaxnn.core.gradient.function import FunctionCtx
from jaxnn.core.gradient.grad_fn import GradFn, node_of_reading
from jaxnn.core.memory.tensor_base import TensorBase, count_write, has_own_source
from jaxnn.core.path.hook_handle import RemovableHandle
from jaxnn.core.process.config import state

__all__ = [
    "GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge",
    "increment_version", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip


class _NodeMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, (GradFn, FunctionCtx))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, (GradFn, FunctionCtx))


class Node(metaclass=_NodeMeta):
    """What all nodes of the graph are instances of: ``isinstance(t.grad_fn, Node)``.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.Node
    """

    def __new__(cls) -> Any:
        raise TypeError("Can't instantiate abstract class Node: nodes are made by operators")


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The place of the graph where a tensor's gradient arrives; it stands for the tensor in `grad` and `backward`.

    Raises:
        RuntimeError: for a tensor that requires no gradient.
        AssertionError: for a view that was made without gradients, whose gradient goes nowhere.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.get_gradient_edge
    """
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node = node_of_reading(tensor)
    if node is None:
        raise AssertionError("Expected gradient function to be set")
    return GradientEdge(node, tensor.output_nr, tensor._cell if tensor._view is None or has_own_source(tensor) else None)


def increment_version(tensor: Any) -> None:
    """Count a write to a tensor, or to each of several, that autograd has not seen.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.increment_version
    """
    for t in (tensor,) if isinstance(tensor, TensorBase) else tensor:
        count_write(t)


class saved_tensors_hooks:
    """Within the block, tensors that operators keep for their backward go through ``pack_hook``, and back through ``unpack_hook``.

    Every operator with a gradient is a program of its own there: for looking and for offloading, not for speed.

    Raises:
        RuntimeError: within `disable_saved_tensors_hooks`; when ``pack_hook`` writes to what it is given.
        TypeError: from the backward, when ``unpack_hook`` returns something else than a tensor.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.saved_tensors_hooks
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._open: list[Any] = []

    def __enter__(self) -> None:
        block = saved_hooks.saving(self.pack_hook, self.unpack_hook)
        block.__enter__()
        self._open.append(block)

    def __exit__(self, *exception: Any) -> None:
        self._open.pop().__exit__(None, None, None)


class save_on_cpu(saved_tensors_hooks):
    """Keep tensors for the backward in the CPU's memory.

    Args:
        pin_memory, device_type: hints.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.save_on_cpu
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: (t.device, t.cpu()), lambda packed: packed[1].to(packed[0]))


class disable_saved_tensors_hooks:
    """Refuse `saved_tensors_hooks` within the block, with a message.

    Args:
        error_message: of the RuntimeError.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.disable_saved_tensors_hooks
    """

    def __init__(self, error_message: str) -> None:
        self._message = error_message
        self._before: list[Any] = []

    def __enter__(self) -> None:
        if state.saving is not None:
            raise RuntimeError(self._message)
        self._before.append(state.saving_refused)
        state.saving_refused = self._message

    def __exit__(self, *exception: Any) -> None:
        state.saving_refused = self._before.pop()


class _MultiHandle(RemovableHandle):
    """Removes the hooks of several tensors."""

    def __init__(self, handles: Sequence[Any]) -> None:
        super().__init__(OrderedDict())
        self._handles = list(handles)

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


def register_multi_grad_hook(tensors: Sequence[Any], fn: Callable[..., Any], *, mode: str = "all") -> RemovableHandle:
    """Call ``fn`` once a backward has computed gradients of several tensors.

    Args:
        mode: "all": with the list of gradients (None for tensors that the backward did not reach), at the end of a backward that
            reached one at least; "any": with the first gradient.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.register_multi_grad_hook
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    if mode == "all" and not all(t.requires_grad for t in tensors):
        raise AssertionError("Expected gradient function to be set")
    handles: list[Any] = []
    passes: dict[int, list[Any]] = {}  # by the list of callbacks of the backward

    def reached(k: int, grad: Any) -> None:
        callbacks = state.callbacks
        found = passes.get(id(callbacks))
        if found is not None:
            found[k] = grad if found[k] is None else found[k] + grad
            return
        found = passes[id(callbacks)] = [None] * len(tensors)
        found[k] = grad
        if mode == "any":
            fn(grad)
        callbacks.append(lambda: finish(id(callbacks)))

    def finish(number: int) -> None:
        found = passes.pop(number)
        if mode == "all":
            fn(found)

    for k, t in enumerate(tensors):
        if not t.requires_grad:
            continue
        handles.append(t.register_hook(lambda grad, k=k: reached(k, grad)))
    return _MultiHandle(handles)


class _Allowed:
    """What `allow_mutation_on_saved_tensors` gives."""

    def clear(self) -> None:
        """Nothing is kept that could be dropped."""


_allowing: list[Any] = []


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_Allowed]:
    """Allow writes to tensors that a backward needs: here they always are, since an operator keeps the value that it saw.

    Raises:
        RuntimeError: within another such block.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.allow_mutation_on_saved_tensors
    """
    if _allowing:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    _allowing.append(True)
    try:
        yield _Allowed()
    finally:
        _allowing.pop()

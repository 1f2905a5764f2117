"""Places of the graph that stand for the tensors they belonged to, in `autograd.grad` and `backward`."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..memory.cell import Freed, Leaf
from ..memory.tensor_base import aval
from ..path.recording import Recording

__all__ = ["GradientEdge"]


class GradientEdge(NamedTuple):
    """An edge of the graph: a node and which of its results.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.GradientEdge
    """

    node: Any
    output_nr: int
    ownership_token: Any = None

    def _key(self) -> Any:
        """Where gradients arrive."""
        source = self.node._source
        if source is None:
            raise NotImplementedError(f"GradientEdge of {self.node.name()}, the node of a view: use get_gradient_edge(tensor)")
        if isinstance(source, Leaf):
            return source
        return source, self._place() if type(source) is Recording or isinstance(source, Freed) else self.output_nr

    def _place(self) -> int:
        """The place in a recording: each of several views that PyTorch makes by one node has a node of its own."""
        node, place = self.node._source.node, self.node._place
        while node.start > place or not node.avals:
            node = node.parent
        return place + self.output_nr if node.stop - node.start > 1 else place  # type: ignore[no-any-return]

    def _described(self) -> Any:
        """The description of the tensor that belonged here."""
        source, place = self.node._source, self.node._place
        if isinstance(source, Leaf):
            return aval(source.tensor())  # type: ignore[arg-type]
        if type(source) is not Recording:
            return source.outputs[self.output_nr]
        node: Any = source.node
        while node.start > place or not node.avals:
            node = node.parent
        return node.avals[self._place() - node.start]

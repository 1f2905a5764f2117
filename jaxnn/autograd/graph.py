"""``torch.autograd.graph``: the nodes that `Tensor.grad_fn` gives.

Source: https://docs.pytorch.org/docs/stable/autograd.html#autograd-graph
"""

from jaxnn.core.grad_fn import GradFn as Node

__all__ = ["Node"]

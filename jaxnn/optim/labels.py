"""Which group a parameter belongs to, for optax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.record.recorder import escaped_value

__all__ = ["Labels"]


class Labels:
    """The group of every leaf of a tree of parameters, as `optax.multi_transform` asks for it.

    Recognised once, at the transformation's ``init``: by the arrays that the groups' parameters hold, or, where the
    leaves are other arrays, by their order and shapes. Later trees (gradients, traced values) have the same order.

    Raises:
        ValueError: when the leaves are not the groups' parameters.
    """

    def __init__(self, groups: Sequence[Sequence[TensorBase]]) -> None:
        self.params = [p for group in groups for p in group]
        self.numbers = [k for k, group in enumerate(groups) for _ in group]
        self.found: list[int] | None = None

    def __call__(self, tree: Any) -> Any:
        leaves, structure = jax.tree.flatten(tree)
        if self.found is None or len(self.found) != len(leaves):
            self.found = self._recognised(leaves)
        return jax.tree.unflatten(structure, self.found)

    def _recognised(self, leaves: list[Any]) -> list[int]:
        by_array = {id(escaped_value(p)): k for p, k in zip(self.params, self.numbers, strict=True)}
        found = [by_array.get(id(leaf)) for leaf in leaves]
        if None not in found:
            return found  # type: ignore[return-value]
        shapes = [tuple(aval(p).shape) for p in self.params]
        if any(k is not None for k in found) or [tuple(leaf.shape) for leaf in leaves] != shapes:
            raise ValueError(
                f"as_optax: {len(leaves)} arrays are not the {len(shapes)} parameters of the optimizer's groups; "
                "give init the model that the optimizer was made for, or the parameters in the groups' order"
            )
        return self.numbers

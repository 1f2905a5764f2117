"""A module as a pure function of JAX's: `as_jax`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxnn import nn
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import x64
from jaxnn.core.record.recorder import escaped_value

from .convert import from_torch

__all__ = ["PureFunction", "as_jax"]


class PureFunction:
    """``f(params, *inputs)``: a module's forward with its parameters given, for `jax.jit`, `jax.grad` and `jax.vmap`.

    Attributes:
        params: the parameters' arrays by their names in ``state_dict``; a tied one once.
        buffers: the buffers' arrays by name.
        module: the module in its present modes; later changes of them are not seen.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        graphdef, state = nnx.split(module)
        self._graphdef = graphdef
        flat = nnx.to_flat_state(state)
        names = {id(t): name for name, t in [*module.named_parameters(), *module.named_buffers()]}
        self._paths = [path for path, _ in flat]
        variables = [_variable(module, path) for path in self._paths]
        #: For each leaf of the state: the name of a parameter or buffer, or None for another thing (a stream of keys).
        self._names = [names.get(id(v)) for v in variables]
        self._others = [None if name is not None else _held(v) for name, v in zip(self._names, variables)]
        self.params: dict[str, jax.Array] = {n: escaped_value(p) for n, p in module.named_parameters()}
        self.buffers: dict[str, jax.Array] = {n: escaped_value(b) for n, b in module.named_buffers()}

    def __call__(self, params: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The module's result. What the call does to buffers is dropped; `apply` gives it.

        Args:
            params: arrays by name, as `params`; names that are missing are taken from there.
            args, kwargs: the arguments of ``forward``; arrays where it takes tensors.
        """
        return self.apply(params, self.buffers, *args, **kwargs)[0]

    def apply(
        self, params: Mapping[str, Any], buffers: Mapping[str, Any], *args: Any, key: Any = None, **kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:  # fmt: skip
        """The module's result, and its buffers after the call (running statistics).

        Args:
            key: a key of `jax.random` for dropout; without it a training module draws the same masks at every call.

        Raises:
            KeyError: for a name that the module does not have.
        """
        for name in (*params, *buffers):
            if name not in self.params and name not in self.buffers:
                raise KeyError(f"{name}: the module has no such parameter or buffer")
        given = {**self.params, **self.buffers, **params, **buffers}
        leaves = []
        for k, (name, held) in enumerate(zip(self._names, self._others)):
            if name is not None:
                leaves.append(given[name])
            elif key is not None and jax.dtypes.issubdtype(held.dtype, jax.dtypes.prng_key):
                leaves.append(jax.random.fold_in(key, k))
            else:
                leaves.append(held)
        module = nnx.merge(self._graphdef, nnx.from_flat_state(list(zip(self._paths, leaves))))
        result = module(
            *jax.tree.map(_array, args, is_leaf=_is_tensor), **jax.tree.map(_array, kwargs, is_leaf=_is_tensor)
        )
        after = {n: escaped_value(b) for n, b in module.named_buffers()}
        return result, after


def _variable(module: Any, path: Any) -> Any:
    found = module
    for part in path:
        found = vars(found)[str(part)] if isinstance(found, nnx.Pytree) else found[part]
    return found


def _held(leaf: Any) -> Any:
    """The array of a leaf that is neither parameter nor buffer: a tensor attribute, or a variable of Flax's."""
    return escaped_value(leaf) if isinstance(leaf, TensorBase) else leaf.get_raw_value()


def _is_tensor(value: Any) -> bool:
    return isinstance(value, TensorBase)


def _array(value: Any) -> Any:
    """What a module takes for an array: numbers stay numbers."""
    if isinstance(value, TensorBase):
        return escaped_value(value)
    if not hasattr(value, "__array__") or isinstance(value, jax.Array):
        return value
    with x64(True):  # the types of a module's parameters stay what they are, and so do those of its inputs
        return jnp.asarray(value)


def as_jax(module: Any) -> PureFunction:
    """A module, PyTorch's or ours, as a pure function ``f(params, *inputs)`` of JAX arrays.

    Modes are those that the module has now: call ``eval()`` first for a function without dropout. A module of PyTorch's is
    carried over by `from_torch` and itself left alone.

    Args:
        module: a `torch.nn.Module` or a `jaxnn.nn.Module`.

    Returns:
        A callable with the arrays to begin with in ``params`` and ``buffers``, and ``apply(params, buffers, *inputs)``, which
        also gives the buffers after the call.

    Raises:
        ConversionError: for a PyTorch module that cannot be carried over.

    Example:
        >>> f = compat.as_jax(torch.nn.Linear(3, 2))
        >>> x = jax.numpy.ones((4, 3))
        >>> jax.grad(lambda params: f(params, x).sum())(f.params)["weight"].shape
        (2, 3)
        >>> jax.vmap(f, in_axes=(None, 0))(f.params, x).shape
        (4, 2)
    """
    if not isinstance(module, nn.Module):
        module = from_torch(module)
        if not isinstance(module, nn.Module):
            raise TypeError(f"as_jax takes a module, not {type(module).__name__}")
    return PureFunction(module)

"""`jax_function`: a function of JAX's, or a module of Flax's, as a differentiable operator on tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.operator.op import Op
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value
from jaxnn.core.record.write import put_through
from jaxnn.core.registry import call

from .foreign import adopt_all, is_foreign_module

__all__ = ["jax_function"]


class _Static:
    """An argument that is no array: part of the program, compared by value where Python can, else by identity."""

    __slots__ = ("hash", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        try:
            self.hash = hash(value)
        except TypeError:
            self.hash = id(value)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Static) or type(self.value) is not type(other.value):
            return False
        return self.value is other.value or (self.hash == other.hash != id(self.value) and bool(self.value == other.value))


class _Key(NamedTuple):
    """An argument or a result that is a random key of this kind; its words are an array."""

    kind: str


def _key_of(value: Any) -> _Key | None:
    is_key = isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
    return _Key(str(jax.random.key_impl(value))) if is_key else None


def _wrapped(array: Any, key: _Key | None) -> Any:
    return array if key is None else jax.random.wrap_key_data(array, impl=key.kind)


class _Call:
    """How a function is called: everything but the arrays. Equal calls share one program."""

    __slots__ = ("results", "statics", "tree", "wide")

    def __init__(self, tree: Any, statics: tuple[Any, ...], wide: bool, results: dict[Any, Any]) -> None:
        self.tree = tree
        self.statics = statics  # for each leaf of the arguments: None for an array, a `_Key` for a random key
        self.wide = wide  # the user's own switch for 64-bit types
        self.results = results  # the structure of the result and the keys in it, by call and by the arrays' shapes and types

    def __hash__(self) -> int:
        return hash((self.tree, self.statics, self.wide))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and (self.tree, self.statics, self.wide) == (other.tree, other.statics, other.wide)


def _shapes(arrays: Any) -> Any:
    return tuple((tuple(a.shape), np.dtype(a.dtype)) for a in arrays)


def _strong(value: Any) -> jax.Array:
    """An array of the type that JAX gives it; a tensor's type never gives way, as that of JAX's weak arrays does."""
    array = jax.numpy.asarray(value)
    return jax.lax.convert_element_type(array, array.dtype) if array.weak_type else array


@functools.lru_cache(maxsize=4096)
def _operator(f: Callable[..., Any]) -> tuple[Op, dict[Any, Any]]:
    """The operator of a function, and the structures of its results."""
    name = getattr(f, "__name__", type(f).__name__)

    def kernel(arrays: tuple[Any, ...], how: _Call) -> tuple[Any, ...]:
        given = iter(arrays)
        leaves = [s.value if isinstance(s, _Static) else _wrapped(next(given), s) for s in how.statics]
        args, kwargs = jax.tree.unflatten(how.tree, leaves)
        with x64(how.wide):
            found, tree = jax.tree.flatten(f(*args, **kwargs))
            keys = [_key_of(v) for v in found]
            found = tuple(_strong(v) if k is None else jax.random.key_data(v) for v, k in zip(found, keys, strict=True))
        how.results[how, _shapes(arrays)] = tree, keys
        return found

    return Op(name, kernel, grad_name=f"{name}Backward", lists=True), {}


def _is_leaf(value: Any) -> bool:
    return isinstance(value, TensorBase)


def _apply(f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=_is_leaf)
    tensors: list[TensorBase] = []
    statics: list[Any] = []
    for leaf in leaves:
        key = _key_of(leaf)
        if key is not None:
            leaf = jax.random.key_data(leaf)
        if isinstance(leaf, (jax.Array, np.ndarray)):
            leaf = tensor_of(leaf.copy() if isinstance(leaf, np.ndarray) else leaf)
        if isinstance(leaf, TensorBase):
            tensors.append(leaf)
            statics.append(key)
        else:
            statics.append(_Static(leaf))
    if not tensors:
        raise TypeError(f"jax_function({getattr(f, '__name__', f)}): there is no tensor among the arguments")
    operator, results = _operator(f)
    wide = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    how = _Call(tree, tuple(statics), wide, results)
    made = call(operator, (tuple(tensors), how))
    tree, keys = results[how, _shapes(tensors)]
    return jax.tree.unflatten(tree, [t if k is None else _wrapped(escaped_value(t), k) for t, k in zip(made, keys, strict=True)])


# --- modules of Flax's


@functools.lru_cache(maxsize=1024)
def _pure(graphdef: Any, paths: tuple[Any, ...], keys: tuple[Any, ...], method: str) -> Callable[..., Any]:
    """A module's call as a function of its variables' arrays: the result, and what became of the variables."""

    def run(arrays: list[Any], args: Any, kwargs: Any) -> Any:
        leaves = [_wrapped(a, k) for a, k in zip(arrays, keys, strict=True)]
        module = nnx.merge(graphdef, nnx.from_flat_state(list(zip(paths, leaves, strict=True))))
        result = getattr(module, method)(*args, **kwargs)
        after = dict(nnx.to_flat_state(nnx.state(module)))
        kept = [after[p].get_raw_value() for p, k in zip(paths, keys, strict=True) if k is None]
        return result, kept

    run.__name__ = graphdef.nodes[0].type.__name__
    return run


def _apply_module(module: nnx.Module, method: str, args: Any, kwargs: Any) -> Any:
    adopt_all(module)
    graphdef, state = nnx.split(module)
    flat = nnx.to_flat_state(state)
    variables = dict(_variables(module, flat))
    tensors, keys = [], []
    for path, _ in flat:
        variable = variables[path]
        value: Any = None if isinstance(variable, TensorBase) else variable.get_raw_value()
        key = _key_of(value)
        keys.append(key)
        tensors.append(variable if value is None else tensor_of(value if key is None else jax.random.key_data(value)))
    paths = tuple(path for path, _ in flat)
    result, kept = _apply(_pure(graphdef, paths, tuple(keys), method), (tensors, args, kwargs), {})
    targets = [variables[p] for p, k in zip(paths, keys, strict=True) if k is None]
    with no_grad():
        for target, new in zip(targets, kept, strict=True):
            if isinstance(target, nnx.Param):
                continue  # a step is the optimizer's
            if isinstance(target, TensorBase):
                put_through(target, new.detach())
            else:
                target.set_value(escaped_value(new))
    return result


def _variables(module: Any, flat: Any) -> Any:
    """The module's own variables by path: a state holds copies."""
    for path, _ in flat:
        found = module
        for part in path:
            found = vars(found)[str(part)] if isinstance(found, nnx.Pytree) else found[part]
        yield path, found


def jax_function(f: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of JAX arrays an operator on tensors: one node of the program, with gradients.

    Args:
        f: a pure function of arrays: of `jax.numpy`, `jax.nn`, `jax.lax`, optax, a Pallas kernel; or an nnx module or a
            method of one, whose parameters collect gradients too and whose statistics and random streams go on.

    Returns:
        A function that takes tensors where ``f`` takes arrays, also in lists and dictionaries, and gives tensors. What is
        neither tensor nor array is a constant of the compiled program.

    Raises:
        TypeError: from a call without any tensor or array.

    Example:
        >>> import jax
        >>> square = jaxnn.jax_function(jax.numpy.square)
        >>> x = jaxnn.tensor([1.0, 2.0], requires_grad=True)
        >>> square(x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """
    owner = getattr(f, "__self__", None)
    if is_foreign_module(f):
        return functools.partial(_called, f, "__call__")
    if is_foreign_module(owner):
        return functools.partial(_called, owner, f.__name__)

    @functools.wraps(f)
    def operator(*args: Any, **kwargs: Any) -> Any:
        return _apply(f, args, kwargs)

    return operator


def _called(module: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    return _apply_module(module, method, args, kwargs)

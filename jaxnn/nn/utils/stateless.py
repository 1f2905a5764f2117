"""A module called with other parameters and buffers than its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

import jax

from jaxnn.core.memory.tensor_base import TensorBase, alias
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value
from jaxnn.nn.module import Module
from jaxnn.nn.parameter import Buffer, Parameter

__all__ = ["functional_call"]

_NOTHING = object()


def _places(module: Module) -> dict[str, tuple[Module, str]]:
    """Where every parameter and buffer lies, by each of its paths."""
    return {
        f"{path}.{name}" if path else name: (owner, name)
        for path, owner in module.named_modules(remove_duplicate=False)
        for name, kind in owner._jaxnn_registered.items()
        if kind != "module" and owner.__dict__[name] is not None
    }


def _ties(places: Mapping[str, tuple[Module, str]]) -> Iterator[list[str]]:
    """The names of each tensor that has several."""
    groups: dict[int, list[str]] = {}
    for path, (owner, name) in places.items():
        groups.setdefault(id(owner.__dict__.get(name, path)), []).append(path)
    return (names for names in groups.values() if len(names) > 1)


def _tied(given: dict[str, Any], places: Mapping[str, tuple[Module, str]]) -> dict[str, Any]:
    """Give the other names of a tied tensor what one of them got.

    Raises:
        ValueError: when two names of one tensor got different tensors.
    """
    made = dict(given)
    for names in _ties(places):
        values = [(n, given[n]) for n in names if n in given]
        for _, value in values[1:]:
            if value is not values[0][1]:
                raise ValueError(
                    f"functional_call got multiple values for keys {sorted(k for k, _ in values)}, which are tied. "
                    "Consider using tie_weights=False"
                )
        for n in names if values else ():
            made[n] = values[0][1]
    return made


def functional_call(
    module: Module, parameters_and_buffers: Mapping[str, Any], args: Any = None,
    kwargs: Mapping[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """Call a module with some of its parameters and buffers replaced for the time of the call.

    Args:
        parameters_and_buffers: tensors, JAX arrays or None by their paths; gradients flow to them. A name that the module
            binds to another tensor during the call has that one here afterwards, and so has an array that it writes to.
        args: the positional arguments; what is no tuple is the only one.
        tie_weights: a tensor that the module has under several names is replaced under all of them.
        strict: the names must be exactly those of all parameters and buffers.

    Raises:
        RuntimeError: for missing or unexpected names, with ``strict``.
        ValueError: for different tensors under two names of one tied tensor.
        AttributeError: for a path to a submodule that is not there.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html
    """
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    places = _places(module)
    given = {n: tensor_of(v) if isinstance(v, jax.Array) else v for n, v in parameters_and_buffers.items()}
    raw = any(isinstance(v, jax.Array) for v in parameters_and_buffers.values())
    listed: list[tuple[dict[str, str], str]] = []  # what is a parameter for the time of the call
    for name, value in given.items():
        if not (value is None or isinstance(value, TensorBase)):
            raise TypeError(f"{value} is not an instance of torch.Tensor")
        if name not in places and not strict:
            path, _, last = name.rpartition(".")
            owner = module.get_submodule(path)
            places[name] = (owner, last)
            if not isinstance(owner.__dict__.get(last), (TensorBase, NoneType)):
                raise TypeError(f"attribute `{last}`: {owner.__dict__[last]} is not an instance of torch.Tensor")
            if isinstance(value, Parameter) and last not in owner._jaxnn_registered:
                listed.append((owner._jaxnn_registered, last))
    if tie_weights:
        given = _tied(given, places)
    if strict:
        missing = [n for n in places if n not in given]
        unexpected = [n for n in given if n not in places]
        if missing or unexpected:
            parts = [f"Unexpected key(s): {', '.join(map(repr, sorted(unexpected)))}."] if unexpected else []
            parts += [f"Missing key(s): {', '.join(map(repr, sorted(missing)))}."] if missing else []
            raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(parts))
    before = [(places[n][0].__dict__, places[n][1]) for n in given]
    held = [own.get(name, _NOTHING) for own, name in before]
    try:
        for (own, name), value in zip(before, given.values(), strict=True):
            own[name] = value
        for registered, name in listed:
            registered[name] = "parameter"
        result = module(*args, **({} if kwargs is None else kwargs))
    finally:
        for registered, name in listed:
            registered.pop(name, None)
        for (own, name), value, (path, was) in zip(before, held, given.items(), strict=True):
            bound = own.get(name, _NOTHING)
            if path not in parameters_and_buffers or bound is _NOTHING:
                pass
            elif isinstance(parameters_and_buffers[path], jax.Array):
                if bound is not was or was._version:
                    parameters_and_buffers[path] = escaped_value(bound)  # type: ignore[index]
            elif bound is not was:
                parameters_and_buffers[path] = _plain(bound)  # type: ignore[index]
            if value is _NOTHING:
                own.pop(name, None)
            else:
                own[name] = value
    tensors = jax.tree.leaves((args, kwargs), is_leaf=_is_tensor)
    return _arrays(result) if raw and not any(_is_tensor(x) for x in tensors) else result


def _is_tensor(x: Any) -> bool:
    return isinstance(x, TensorBase)


def _plain(t: Any) -> Any:
    """A buffer as the tensor that was assigned to the module; anything else as it is."""
    return alias(t) if isinstance(t, Buffer) else t


def _arrays(result: Any) -> Any:
    """The raw arrays of a result, for a call that was given raw arrays only."""
    return jax.tree.map(lambda v: escaped_value(v) if _is_tensor(v) else v, result, is_leaf=_is_tensor)

"""What a pickle has of an object beside its values: attributes, slots, or what ``__getstate__`` gives."""

from __future__ import annotations

from typing import Any

__all__ = ["restored", "slots_of", "state_of", "with_state"]


def slots_of(t: Any) -> dict[str, Any]:
    """What a class of the program's own keeps in slots."""
    own: list[Any] = [c for c in type(t).__mro__ if "__slots__" in vars(c) and not c.__module__.startswith("jaxnn.")]
    names = [n for c in own for n in ([c.__slots__] if isinstance(c.__slots__, str) else c.__slots__)]
    return {n: getattr(t, n) for n in names if n not in ("__dict__", "__weakref__") and hasattr(t, n)}


def state_of(t: Any) -> Any:
    """What a pickle has of a tensor beside its values: its attributes, or what its class's ``__getstate__`` gives."""
    if type(t).__getstate__ is not object.__getstate__:
        return t.__getstate__()
    slots = slots_of(t)
    return (dict(vars(t)), slots) if slots else dict(vars(t))


def with_state(made: Any, state: Any) -> Any:
    """An object from a pickle with its state, as Python's pickle gives it one."""
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return made
    attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
    if attributes:
        made.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(made, name, value)
    return made


def restored(build: Any, parts: tuple[Any, ...], attributes: Any) -> Any:
    """A tensor from a pickle with its attributes. What is pickled is a function and its arguments alone, as in PyTorch: subclasses
    take the pair apart and add to it.
    """
    return with_state(build(*parts), attributes)

"""The class of module classes: what PyTorch's users do with classes, on top of Flax's metaclass."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from typing import Any, Protocol

from flax import nnx

from jaxnn.core.internals import PytreeState

__all__ = ["ModuleMeta", "signature_of"]

_FLAX: Any = type(nnx.Module)
_PROTOCOL: Any = type(Protocol)


def signature_of(cls: Any, call: Any) -> inspect.Signature:
    """The signature of a class as Python finds it for one whose metaclass has no ``__call__``: that of ``__new__``, or else
    of ``__init__``. ``call`` is the metaclass's own ``__call__``, which stands behind both.
    """
    declared = next((vars(c)["__signature__"] for c in cls.__mro__ if "__signature__" in vars(c)), None)
    if declared is not None:
        return declared
    if type(cls).__call__ is not call:
        made_by: Any = type(cls).__call__
    else:
        made_by = next(
            (getattr(cls, name) for name in ("__new__", "__init__") if inspect.isfunction(getattr(cls, name))), cls.__init__
        )
    found = inspect.signature(made_by)
    return found.replace(parameters=list(found.parameters.values())[1:])


class ModuleMeta(_FLAX, _PROTOCOL):  # type: ignore[misc]
    """Flax's metaclass with Python's usual rules: `inspect.signature` is ``__init__``'s, ``__new__`` may return what it likes,
    abstract methods bind only below `abc.ABC`, and a module may have a `typing.Protocol` among its bases.

    A metaclass of one's own has to be a subclass of ``type(nn.Module)``.
    """

    # Not the protocols': those run in Python at every `isinstance`.
    __instancecheck__ = ABCMeta.__instancecheck__
    __subclasscheck__ = ABCMeta.__subclasscheck__

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> None:
        super().__init__(name, bases, namespace, **options)
        if cls.__abstractmethods__ and not any(
            isinstance(c, ABCMeta) and not isinstance(c, _FLAX) and c not in nnx.Module.__mro__ for c in cls.__mro__
        ):
            cls.__abstractmethods__ = frozenset()

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.__new__ is object.__new__:
            return super().__call__(*args, **kwargs)
        made = cls.__new__(cls, *args, **kwargs)
        if isinstance(made, cls):
            made.__dict__.setdefault("_pytree__state", PytreeState())
            made.__dict__.setdefault("_pytree__nodes", type(made)._pytree__nodes)
            made.__init__(*args, **kwargs)
        return made

    @property
    def __signature__(cls) -> inspect.Signature:
        return signature_of(cls, ModuleMeta.__call__)

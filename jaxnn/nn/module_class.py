"""The class of module classes: what PyTorch's users do with classes, on top of Flax's metaclass."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from flax import nnx
from jax import Array

from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.process.internals import PytreeState
from jaxnn.ops.random.keys import drawing_from, given

from .class_signature import signature_of
from .hidden_children import with_hidden_children

__all__ = ["Call", "ModuleMeta"]

if TYPE_CHECKING:
    from flax.nnx.module import ModuleMeta as _FLAX

    class _PROTOCOL: ...
else:
    _FLAX, _PROTOCOL = type(nnx.Module), type(Protocol)

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)


class _HasForward(Protocol[_P, _R_co]):
    @property
    def forward(self) -> Callable[_P, _R_co]: ...


class _Called(Protocol[_P, _R_co]):
    @overload
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self: _Called[..., Tensor], input: Array, /, *args: Any, **kwargs: Any) -> Array: ...
    @overload
    def __call__(self, input: Array, /, *args: Any, **kwargs: Any) -> Any: ...


class Call:
    """``Module.__call__`` to type checkers: it takes and gives what the class's ``forward`` does, arrays for tensors, too."""

    def __get__(self, instance: _HasForward[_P, _R_co], owner: Any = None) -> _Called[_P, _R_co]:
        return instance.forward  # type: ignore[return-value]


class ModuleMeta(_FLAX, _PROTOCOL):  # type: ignore[misc]
    """Flax's metaclass with Python's usual rules: `inspect.signature` is ``__init__``'s, ``__new__`` may return what it likes,
    abstract methods bind only below `abc.ABC`, and a module may have a `typing.Protocol` among its bases.

    A metaclass of one's own has to be a subclass of ``type(nn.Module)``.
    """

    # Not the protocols': those run in Python at every `isinstance`.
    __instancecheck__ = ABCMeta.__instancecheck__
    __subclasscheck__ = ABCMeta.__subclasscheck__

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> Any:
        """A class; with ``__slots__``, which Flax refuses, its instances have a ``__dict__`` besides, as PyTorch's have."""
        namespace = {k: v for k, v in namespace.items() if k != "__slots__"}
        if len(bases) > 1:  # a plain class before the module's brings Python's own view of the attributes
            views = (vars(c).get("__dict__") for b in bases for c in b.__mro__)
            view = next((v for v in views if isinstance(v, property)), None)
            namespace |= {} if view is None else {"__dict__": view}
        return super().__new__(meta, name, bases, namespace, **options)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> None:
        super().__init__(name, bases, namespace, **options)
        if cls.__abstractmethods__ and not any(
            isinstance(c, ABCMeta) and not isinstance(c, _FLAX) and c not in nnx.Module.__mro__ for c in cls.__mro__
        ):
            cls.__abstractmethods__ = frozenset()

    def mro(cls) -> list[type]:
        """The order of bases; it tells classes with a ``__getattr__`` of their own from the others."""
        return with_hidden_children(super().mro())

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("__getattr__", "__getattribute__"):
            cls.__bases__ = cls.__bases__  # the order anew, here and below

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        rngs = next((a for a in (*args, *kwargs.values()) if type(a) in (nnx.Rngs, nnx.RngStream)), None)
        if rngs is None:
            made, rngs = cls._made(args, kwargs), given()
        else:
            if "rngs" in kwargs and "rngs" not in inspect.signature(cls.__init__).parameters:  # type: ignore[misc]
                del kwargs["rngs"]  # Flax's keyword; the class has PyTorch's
            with drawing_from(rngs):
                made = cls._made(args, kwargs)
        if rngs is not None and hasattr(made, "_take_stream"):
            made._take_stream(rngs)
        return made

    def _made(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if cls.__new__ is object.__new__:
            return super().__call__(*args, **kwargs)
        made: Any = cls.__new__(cls, *args, **kwargs)  # type: ignore[arg-type]
        if isinstance(made, cls):
            made.__dict__.setdefault("_pytree__state", PytreeState())
            made.__dict__.setdefault("_pytree__nodes", type(made)._pytree__nodes)
            made.__init__(*args, **kwargs)
        return made

    @property
    def __signature__(cls) -> Any:
        return signature_of(cls, ModuleMeta.__call__)

    @__signature__.setter
    def __signature__(cls, value: Any) -> None:
        cls._jaxnn_signature = value

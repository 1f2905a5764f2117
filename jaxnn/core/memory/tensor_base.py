"""The engine's data: what a tensor is made of.

    Tensor  ->  Storage  ->  Buffer (a concrete array)  or  a place in a Recording (not computed yet)
      |            `-- also the gradient cell of tensors that are no detached alias
      |-- Cell: where the gradient of this tensor goes (shared by a tensor and its tracked views)
      `-- View: the chain of view steps from the storage's value to this tensor

A tensor is a handle, so everything that shares memory in PyTorch shares a `Storage` here: ``x.data``, ``x.detach()``, views.
"""

from __future__ import annotations

import weakref
from typing import Any

import jax
import numpy as np

from ..kinds.device import META
from .aval import Aval, aval_of
from .buffer import Failure
from .cell import NOWHERE, Cell, Later, Leaf, Pin
from .storage import Storage
from .tensor_methods import TensorMethods
from .view import View

__all__ = [
    "Tensor", "TensorBase", "alias", "aval", "base_reference", "check_class", "check_writable_here", "count_write",
    "has_own_source", "host_array", "is_of_detached", "is_view", "known_array", "memory_key", "parent_of", "same_memory",
    "source_of", "steps_of", "stored", "take_part", "tracked", "unguarded", "whole_of", "without_values", "wrap",
]  # fmt: skip


class TensorBase(TensorMethods):
    """Everything that is a tensor: plain tensors, parameters and buffers. Methods are attached in `core/tensor.py`."""

    __slots__ = ()

    _storage: Storage
    _cell: Any
    _view: View | None
    _grad: Any
    _extra: Any
    #: Whether operators give their results the class of this operand: see `overrides`.
    _keeps_class = False
    #: Subclasses of Tensor that an instance is one of without Python's knowing: see `nn.combined_class`.
    _stands_for: frozenset[type] = frozenset()


def _disabled(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """As a class's ``__torch_function__``: results are plain tensors."""
    return NotImplemented


class _TensorMeta(type):
    """``isinstance(parameter, Tensor)`` holds, and ``type(t) is Tensor`` for a plain tensor, as in PyTorch."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Tensor:
            return isinstance(instance, TensorBase)
        return type.__instancecheck__(cls, instance) or cls in getattr(type(instance), "_stands_for", ())

    def __subclasscheck__(cls, subclass: Any) -> bool:
        if cls is Tensor:
            return issubclass(subclass, TensorBase)
        return type.__subclasscheck__(cls, subclass) or cls in getattr(subclass, "_stands_for", ())


def take_part(cls: Any) -> None:
    """Let a new class of tensors say of operators what it has to: see `overrides`."""
    asked: Any = cls.__torch_function__
    cls._keeps_class = getattr(asked, "__func__", asked) not in (_disabled, *Tensor._plain)
    for told in Tensor._subclassed:
        told(cls)


def check_class(cls: Any) -> None:
    """Refuse tensors of a class that asks to be told of every kernel. The class itself may be there: others import it.

    Raises:
        TypeError: it is no subclass of Tensor.
        NotImplementedError: the class has a ``__torch_dispatch__``.
    """
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. Make sure your "
            "class inherits from Tensor."
        )
    if getattr(cls, "__torch_dispatch__", None) is not None:
        raise NotImplementedError(
            f"class {cls.__name__}(Tensor): __torch_dispatch__ is not supported, operators are compiled together; "
            "__torch_function__ is"
        )


class Tensor(TensorBase, metaclass=_TensorMeta):
    """A multi-dimensional array with PyTorch's methods.

    Shape: any. ``Tensor(data)`` and ``Tensor(*sizes)`` are PyTorch's legacy constructors; prefer `jaxnn.tensor`.
    Source: https://docs.pytorch.org/docs/stable/tensors.html
    """

    __slots__ = ("__dict__", "__weakref__", "_cell", "_extra", "_grad", "_storage", "_view")

    #: Set by the operators, which this file knows nothing of.
    _construct: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        check_class(cls)
        return cls._construct(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    #: Called with every new subclass: `overrides` waits for them.
    _subclassed: list[Any] = []
    #: What a ``__torch_function__`` is that changes nothing.
    _plain: list[Any] = []

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        take_part(cls)


_new = object.__new__


def wrap(storage: Storage) -> Tensor:
    """A plain tensor over a whole storage, which is also its gradient cell."""
    made = _new(Tensor)
    made._storage = made._cell = storage
    made._view = made._grad = made._extra = None
    return made


def alias(like: TensorBase, cell: Any = None) -> Tensor:
    """A tensor that shares the storage and the view of ``like`` and sends its gradient to ``cell``, or where that sends its."""
    made = _new(Tensor)
    made._storage = like._storage
    made._cell = like._cell if cell is None else cell
    made._view = like._view
    made._grad = made._extra = None
    return made


def unguarded(t: Any) -> Any:
    """A tensor that is no view to the graph (a detached one, a parameter): it may be written to whatever it was made of."""
    view = t._view
    if view is not None:
        made = t._view = View(view.steps, view.aval, view.created)
        made.rec, made.idx, made.version, made.tracked = view.rec, view.idx, view.version, view.tracked
        made.known, made.own = view.known, len(view.steps)
    return t


def base_reference(base: TensorBase) -> Any:
    """What a view of ``base`` keeps: never a reference that would hold it, or its own storage, alive."""
    view = base._view
    return weakref.ref(base) if view is None or len(view.steps) == view.own else view.base


def parent_of(t: TensorBase) -> Any:
    """The view that a view was taken of, where the gradient of the one goes through the other. Once the memory is written to, it
    goes through the base, which counts as a view here where its shape was changed in place. None where there is none.
    """
    view = t._view
    if view is None:
        return None
    reference = view.parent if view.created == t._storage.known_version else view.base
    parent = None if reference is None else reference()
    if parent is None:
        return None
    if parent is t or parent._view is None or parent._storage is not t._storage:
        return None
    cell = parent._cell.base if type(parent._cell) is Pin else parent._cell
    before, steps = parent._view.steps, view.steps  # type: ignore[union-attr]
    known = cell is t._cell and len(before) < len(steps) and all(a is b for a, b in zip(before, steps, strict=False))
    return parent if known else None


def has_own_source(t: TensorBase) -> bool:
    """Whether the gradient source of a view belongs to the view itself, not to its storage's whole value."""
    if t._view is None:
        return False
    cell = t._cell
    if type(cell.source) is Later:
        t._cell = cell = _settled(t, cell.source.cell)
    elif cell.source is NOWHERE and not cell.leaf and _let_go(t._view, t._storage):
        t._cell = cell = Cell()
    if type(cell) is Pin and not cell.stands(t._storage.known_version):
        t._cell = cell = cell.base
        if t._extra is not None and "retains" in t._extra:  # the gradient of the new value, from its next reading on
            t._extra["retains"].stand(Cell())
    own: bool = cell.own_source or (type(cell.source) is Leaf and cell.source.tensor() is t)
    if not own and t._view.created != t._storage.known_version and is_of_detached(t):
        t._cell = Cell() if t._view.bare == len(t._view.steps) else Cell(NOWHERE, leaf=1)
    return own


def tracked(t: TensorBase) -> bool:
    """Whether a tensor requires gradients."""
    has_own_source(t)
    return t._cell.source is not None


def is_of_detached(t: TensorBase) -> bool:
    """Whether a view still leads to what its base was made of before `detach_`: until the memory is written to."""
    source = t._cell.source
    return source is not None and source is not NOWHERE and _let_go(t._view, t._storage)  # type: ignore[arg-type]


def _settled(t: TensorBase, cell: Cell) -> Cell:
    """The cell of a view of a tensor that was made to require gradients later: its own go nowhere until the memory is written to."""
    leaf = cell.source.tensor() if type(cell.source) is Leaf else None
    if cell.source is None or (leaf is not None and leaf._cell is not cell):  # which has stopped requiring them
        return Cell()
    view: Any = t._view
    view.bare = len(view.steps)
    return Pin(NOWHERE, 0, cell, view.created)


def _let_go(view: View, storage: Storage) -> bool:
    """Whether the tensor whose view this is requires gradients no more."""
    base = None if view.base is None else view.base()
    return base is not None and base._storage is storage and base._cell.source is None


def aval(t: TensorBase) -> Aval:
    """Shape, type and placement of a tensor."""
    return t._storage.aval if t._view is None else t._view.aval


def is_view(t: TensorBase) -> bool:
    """Whether a tensor shows its storage through steps, not as it is."""
    return t._view is not None


def steps_of(t: TensorBase) -> tuple[Any, ...]:
    """The steps (operator, static arguments) from the storage's value to a tensor."""
    return () if t._view is None else t._view.steps


def whole_of(t: TensorBase, cell: Any = None) -> Tensor:
    """A plain tensor over all of the storage that a tensor shows, with a gradient cell of its own if one is given."""
    made = wrap(t._storage)
    if cell is not None:
        made._cell = cell
    return made


def stored(t: TensorBase) -> Aval:
    """Shape, type and placement of all of the storage that a tensor shows."""
    return t._storage.aval


def source_of(t: TensorBase) -> tuple[Any, int]:
    """Where the gradient of a tensor goes (a `Leaf`, a recording, a node; None for nowhere), and the place there."""
    return t._cell.source, t._cell.source_idx


def same_memory(a: TensorBase, b: TensorBase) -> bool:
    """Whether two tensors share their storage."""
    return a._storage is b._storage


def memory_key(t: TensorBase) -> int:
    """A number that tensors have in common as long as they live if they share their storage."""
    return id(t._storage)


def known_array(t: TensorBase) -> Any:
    """The array that a tensor is all of, if it has been computed; else None."""
    if t._view is not None or t._storage.rec is not None or type(t._storage.buf) is Failure:
        return None
    return t._storage.buf.array


def count_write(t: TensorBase) -> None:
    """Count a write to a tensor's memory."""
    t._storage.version += 1
    t._storage.quiet += t._cell.apart


def check_writable_here(t: TensorBase) -> None:
    """Refuse a write inside a JAX transformation to memory that was made outside of it: see `Storage`."""
    t._storage.check_writable_here()


def without_values(shape: Any, numpy_dtype: Any) -> Tensor:
    """A tensor of the meta device."""
    kept = Storage.concrete(
        jax.ShapeDtypeStruct(tuple(shape), numpy_dtype), aval_of(tuple(shape), np.dtype(numpy_dtype), META), owned=False
    )
    return wrap(kept)


def host_array(array: np.ndarray, placement: Any, depth: int = -1) -> Tensor:
    """A tensor over a numpy array that nobody else will write to; ``depth`` 0 makes it a host value."""
    made = wrap(Storage.concrete(array, aval_of(array.shape, array.dtype, placement), owned=False))
    made._storage.buf.depth = depth
    return made


def goes_nowhere(t: TensorBase) -> bool:
    """Whether the gradient of a view of a leaf that is a view itself is lost: the memory was written to, and PyTorch then asks the
    tensor that has it, which requires no gradients.
    """
    view = t._view
    return t._cell.leaf == 2 and view.created != t._storage.known_version  # type: ignore[union-attr]


def is_reshaped(t: TensorBase) -> bool:
    """Whether a tensor's shape was changed in place without gradients, and nothing was written to it since: to the graph it is what
    it was, in the shape that it had.
    """
    view = t._view
    if view is None or not view.bare == view.own == len(view.steps) or view.created != t._storage.known_version:
        return False
    return not has_own_source(t)


def leaf_under(base: TensorBase) -> int:
    """Of a view with a gradient source of its own, whether it is a leaf or a view of one: see `Cell`."""
    if type(base._cell.source) is Leaf:
        return 2 if len(base._view.steps) > base._view.own else 1  # type: ignore[union-attr]
    cell = base._cell
    if type(cell) is Pin and type(cell.base.source) is Leaf:
        return 1
    return cell.leaf

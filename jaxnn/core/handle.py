"""The engine's data: what a tensor is made of.

    Tensor  ->  Storage  ->  Buffer (a concrete array)  or  a place in a Recording (not computed yet)
      |            `-- also the gradient cell of tensors that are no detached alias
      |-- Cell: where the gradient of this tensor goes (shared by a tensor and its tracked views)
      `-- View: the chain of view steps from the storage's value to this tensor

A tensor is a handle, so everything that shares memory in PyTorch shares a `Storage` here: ``x.data``, ``x.detach()``, views.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from . import dtypes
from .config import in_transformation, state
from .device import META
from .internals import TraceContextError, current_jax_trace
from .size import Size
from .tensor_methods import TensorMethods

__all__ = [
    "aval_of", "base_reference", "check_writable_here", "count_write", "is_view", "known_array", "memory_key",
    "same_memory", "source_of", "steps_of", "stored", "whole_of", "without_values", "Aval", "Buffer", "Cell", "Failure", "Freed",
    "Leaf", "NOWHERE", "Pin", "SharedBuffer", "Storage", "Tensor", "TensorBase", "View",
]  # fmt: skip


class Aval:
    """Shape, type and placement of a value. Interned: equal ones are one object, so that they hash by identity."""

    __slots__ = ("dtype", "np", "placement", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: dtypes.dtype, placement: Any) -> None:
        self.shape = Size(shape)
        self.dtype = dtype
        self.np = dtype.np
        self.placement = placement

    def struct(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(tuple(self.shape), self.np)

    def __repr__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"


_avals: dict[Any, Aval] = {}


def aval_of(shape: tuple[int, ...], numpy_dtype: Any, placement: Any) -> Aval:
    """The interned description of a value."""
    key = (shape, numpy_dtype, placement)
    found = _avals.get(key)
    if found is None:
        if len(_avals) > 100_000:  # programs keep the ones they need; a new object only costs a new recording
            _avals.clear()
        found = _avals[key] = Aval(shape, dtypes.of(numpy_dtype), placement)
    return found


class Buffer:
    """A concrete array, and whether the engine alone made and holds it (then a program may reuse its memory).

    A numpy array stays one until a program needs it.
    """

    __slots__ = ("array", "bounds", "depth", "owned")

    def __init__(self, array: Any, owned: bool, depth: int = -1) -> None:
        self.array = array
        self.owned = owned
        self.depth = depth  # of a host value, how many operators made it: see `host_values`
        self.bounds: tuple[int, int] | None = None  # smallest and largest value, once somebody asked


class SharedBuffer(Buffer):
    """Memory that numpy arrays outside share with a storage: what is there at the time is the value.

    A reading takes a copy of it, a write happens at once: see `core/shared_memory.py`. ``array`` is C-contiguous, and
    ``root`` is what owns its memory; nobody shares it any more when nothing but this buffer refers to the owner.
    """

    __slots__ = ("root",)

    def __init__(self, array: np.ndarray, root: Any) -> None:
        super().__init__(array, False)
        self.root = root

    def is_shared(self) -> bool:
        """Whether an array outside may still show this memory."""
        own = 3  # this object, the array over the memory, the call below
        return not isinstance(self.root, np.ndarray) or sys.getrefcount(self.root) > own


class Failure:
    """Stands for a value whose operator failed: every read raises that operator's error again."""

    __slots__ = ("array", "error", "owned")

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Cell:
    """Where gradients of a tensor go.

    ``source`` is None (nowhere), a `Leaf`, a recording (with ``source_idx`` the place in it), an eager node, or a `Freed`.
    It belongs to the whole storage's value; for a tensor that is a view and has a source of its own, ``direct`` is set.
    ``leaf`` says of such a view that the tensor it was taken of is a leaf, so that it may not be written to; ``apart`` that
    writes through the tensor (``x.data``) are none that the graph knows of.
    """

    __slots__ = ("__weakref__", "apart", "direct", "leaf", "source", "source_idx")

    def __init__(
        self, source: Any = None, source_idx: int = 0, direct: bool = False, leaf: bool = False, apart: bool = False
    ) -> None:
        self.source = source
        self.source_idx = source_idx
        self.direct = direct
        self.leaf = leaf
        self.apart = apart


class Pin(Cell):
    """The place of one reading of a view, for a view whose gradient somebody wants to see: every use of it goes there.

    It stands until the storage is written to (``version``); from then on the view is read anew from ``base``.
    """

    __slots__ = ("base", "version")

    def __init__(self, source: Any, source_idx: int, base: Any, version: int) -> None:
        super().__init__(source, source_idx, direct=True)
        self.base = base
        self.version = version


#: The storages of living inference tensors, by identity; empty in programs without any.
INFERENCE: dict[int, Any] = {}


class Storage:
    """The memory that tensors share: a concrete buffer, or place ``idx`` of the recording ``rec``."""

    direct = leaf = apart = False  # as a gradient cell: see `Cell`

    __slots__ = ("__weakref__", "aval", "buf", "idx", "quiet", "rec", "source", "source_idx", "version")

    def __init__(self, rec: Any, idx: int, aval: Aval, source: Any) -> None:
        self.rec = rec
        self.idx = idx
        self.aval = aval
        self.source = source
        self.source_idx = idx
        self.buf: Any = None
        self.version = 0  # the number of writes
        self.quiet = 0  # of those the graph knows nothing of

    @property
    def known_version(self) -> int:
        """The number of writes that PyTorch counts."""
        return self.version - self.quiet

    @classmethod
    def concrete(cls, array: Any, aval: Aval, owned: bool) -> Storage:
        """A storage with a value."""
        made: Storage
        if in_transformation():
            made = TracedStorage(None, 0, aval, None)
            made.trace = current_jax_trace()
        else:
            made = cls(None, 0, aval, None)
        made.buf = Buffer(array, owned)
        if state.inference:
            made.mark_inference()
        return made

    def mark_inference(self) -> None:
        """Note that this memory was made in inference mode."""
        key = id(self)
        INFERENCE[key] = weakref.ref(self, lambda _: INFERENCE.pop(key, None))

    trace: Any = None  # what was tracing when it was made, see `TracedStorage`

    def check_writable_here(self) -> None:
        """Refuse a write, inside a JAX transformation, that would leave the transformation's values outside it.

        Raises:
            TraceContextError: as Flax's variables do.
        """
        if in_transformation() and self.trace != current_jax_trace():
            raise TraceContextError(
                "Cannot mutate a tensor from a different trace level: it was made outside the JAX transformation that runs "
                "now. Pass it, or the module that holds it, to the transformed function (nnx.jit, nnx.grad)"
            )


class TracedStorage(Storage):
    """A storage made inside a JAX transformation, which may be written there and nowhere further in."""

    __slots__ = ("trace",)


class Leaf:
    """The identity of a tensor that collects gradients. Weak: nobody can read the gradient of a tensor that is gone."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: TensorBase) -> None:
        self.tensor = weakref.ref(tensor)


class _Gone:
    """Stands for a tensor that is gone."""

    __slots__ = ("__weakref__",)


#: The source of views that were made without gradients of tensors that have some: they require gradients, which go nowhere.
NOWHERE = Leaf(_Gone())  # type: ignore[arg-type]


class Freed:
    """The source of tensors whose graph a backward has released; it still knows the operators' names, and which leaves it
    led to (weakly; None where to something else).
    """

    __slots__ = ("leads", "node")

    def __init__(self, node: Any, leads: tuple[Any, ...] = ()) -> None:
        self.node = node
        self.leads = leads


def led_to(grads: Iterable[Any]) -> tuple[Any, ...]:
    """The gradient sources of a graph as one that is released remembers them."""
    return tuple([weakref.ref(source) if type(source) is Leaf else None for source in grads])


class Unwalkable(Freed):
    """The source of tensors whose gradient can't be had; ``node`` is the reason."""

    __slots__ = ()


class View:
    """How a tensor looks at its storage: steps of (operator, static arguments), and where the last reading is recorded."""

    __slots__ = (
        "aval", "base", "created", "earlier", "guard", "idx", "own", "rec", "steps", "tracked", "version",
    )  # fmt: skip

    def __init__(self, steps: tuple[Any, ...], aval: Aval, created: int = 0, guard: Any = None) -> None:
        self.created = created  # the storage's version then, as PyTorch counts
        self.own = 0  # of its steps, those behind which it counts as a tensor of its own: it was detached there
        self.guard = guard  # why it may not be written to where gradients are recorded: see `guards`
        self.earlier: tuple[Any, ...] = ()  # (weak recording, place) of readings of the same value before cuts
        self.steps = steps
        self.aval = aval
        self.rec: Any = None
        self.idx = 0
        self.version = -1
        self.tracked = False
        self.base: Any = None  # a weak reference to the tensor that this is a view of, where that is known


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


def _disabled(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """As a class's ``__torch_function__``: results are plain tensors."""
    return NotImplemented


class _TensorMeta(type):
    """``isinstance(parameter, Tensor)`` holds, and ``type(t) is Tensor`` for a plain tensor, as in PyTorch."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TensorBase) if cls is Tensor else type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, TensorBase) if cls is Tensor else type.__subclasscheck__(cls, subclass)


class Tensor(TensorBase, metaclass=_TensorMeta):
    """A multi-dimensional array with PyTorch's methods.

    Shape: any. ``Tensor(data)`` and ``Tensor(*sizes)`` are PyTorch's legacy constructors; prefer `jaxnn.tensor`.
    Source: https://docs.pytorch.org/docs/stable/tensors.html
    """

    __slots__ = ("__dict__", "__weakref__", "_cell", "_extra", "_grad", "_storage", "_view")

    #: Set by the operators, which this file knows nothing of.
    _construct: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        return cls._construct(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    #: Called with every new subclass: `overrides` waits for them.
    _subclassed: list[Any] = []

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if getattr(cls, "__torch_dispatch__", None) is not None:
            raise NotImplementedError(
                f"class {cls.__name__}(Tensor): __torch_dispatch__ is not supported, operators are compiled together; "
                "__torch_function__ is"
            )
        asked: Any = cls.__torch_function__  # type: ignore[attr-defined]
        cls._keeps_class = getattr(asked, "__func__", asked) is not _disabled
        for told in cls._subclassed:
            told(cls)


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
        made.own = len(view.steps)
    return t


def base_reference(base: TensorBase) -> Any:
    """What a view of ``base`` keeps: never a reference that would hold it, or its own storage, alive."""
    return weakref.ref(base) if base._view is None else base._view.base


def is_direct(t: TensorBase) -> bool:
    """Whether the gradient source of a view belongs to the view itself, not to its storage's whole value."""
    if t._view is None:
        return False
    cell = t._cell
    if type(cell) is Pin and cell.version != t._storage.known_version:
        t._cell = cell = cell.base
    return cell.direct or (type(cell.source) is Leaf and cell.source.tensor() is t)


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

"""Parameters and buffers: PyTorch's tensors that are Flax's variables.

The value of either lies in the engine's storage, so that ``p.data``, views and in-place writes mean what they mean in
PyTorch. Flax reads and writes it through ``_raw_value``.
"""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnn.core.kinds.device import META, device
from jaxnn.core.memory.cell import Cell, Leaf
from jaxnn.core.memory.pickled_state import restored
from jaxnn.core.memory.storage import Storage
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval, take_part, unguarded, without_values
from jaxnn.core.memory.view import View
from jaxnn.core.operator.overrides import plain_torch_function
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.process.internals import TraceState, is_flattened_by_jax
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value
from jaxnn.core.record.shared_memory import hold
from jaxnn.core.record.write import put_through
from jaxnn.core.run.cut import LOCK
from jaxnn.core.tensor import _copied, refuse_to_end_gradient
from jaxnn.ops.common.placement import need_strided

from .class_signature import signature_of
from .combined_class import with_twins
from .factory import empty
from .flax_access import FlaxAccess, metadata_of
from .jax_devices import settle_alone
from .plain_values import is_plain
from .trainable import Trainable

__all__ = [
    "BatchStat", "Buffer", "Parameter", "Trainable", "UninitializedBuffer", "UninitializedParameter", "is_lazy",
]  # fmt: skip

_NOTHING = object()
_set = object.__setattr__
#: `TensorBase` with the methods that `core/tensor.py` attaches to it.
_BASE: Any = TensorBase
#: What Flax code reads off an array and a tensor has under no name of its own.
_ARRAY_ATTRIBUTES = frozenset(
    {"addressable_shards", "aval", "at", "block_until_ready", "committed", "sharding", "weak_type"}
)


#: What the engine assigns, and what checks for itself.
_GUARDED = frozenset({
    "_cell", "_empty", "_extra", "_grad", "_other", "_raw_value", "_storage", "_trace_state", "_var_metadata", "_view", "data",
    "grad", "requires_grad",
})  # fmt: skip


def _tensor_over(value: Any) -> Tensor | None:
    """A tensor over what Flax puts into a variable; None for what is no array (a marker, a key, a specification)."""
    try:
        if isinstance(value, (jax.Array, np.ndarray)):
            return tensor_of(value)
        if isinstance(value, jax.ShapeDtypeStruct):
            return without_values(value.shape, value.dtype)
        if isinstance(value, TensorBase):  # what a function of tensors has made of one
            return without_values(aval(value).shape, aval(value).np) if aval(value).placement is META else tensor_of(
                escaped_value(value)
            )
    except TypeError:  # arrays of random keys have no PyTorch type
        pass
    return None


def _operand(data: Any, kind: str) -> TensorBase:
    if data is None:
        return tensor_of(np.zeros(0, np.float32))
    if isinstance(data, TensorBase):
        return data
    if isinstance(data, jax.Array):
        return tensor_of(data)
    if isinstance(data, np.ndarray):
        return tensor_of(data.copy())
    # PyTorch's type of error: it asks anything for its `detach`.
    raise AttributeError(f"{kind}: data must be a Tensor, not {type(data).__name__}, which has no attribute 'detach'")


if TYPE_CHECKING:
    from flax.nnx.variablelib import VariableMeta

    from jaxnn.core.memory.tensor_base import _TensorMeta

    class _Meta(VariableMeta, _TensorMeta): ...

    _Kind = Tensor  # to type checkers a Parameter is a Tensor, as `isinstance` says
else:
    _Kind = TensorBase

    class _Meta(type(nnx.Variable), type(Tensor)): ...


class _VariableMeta(_Meta):
    """Python's usual rules for classes: ``__new__`` makes the tensor, and a subclass may have an ``__init__`` of its own.

    Subclasses of Tensor may be among the bases, see `combined_class`.
    """

    if not TYPE_CHECKING:
        __call__ = type.__call__

        def __new__(mcls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> Any:
            cls = super().__new__(mcls, name, with_twins(bases), attributes)
            if hasattr(cls, "__torch_function__"):  # all but the first, which has not said yet what it answers
                take_part(cls)
            return cls

    @property
    def __signature__(cls) -> inspect.Signature:
        found = signature_of(cls, type.__call__)
        # PyTorch's: the keywords that only Flax's programs give are not shown.
        return found.replace(parameters=[p for n, p in found.parameters.items() if n != "metadata"])


class _TensorVariable(FlaxAccess, _Kind, nnx.Variable, metaclass=_VariableMeta):  # type: ignore[misc, override]
    """A tensor that is an `nnx.Variable`."""

    __slots__ = ("__dict__", "__weakref__", "_cell", "_extra", "_grad", "_other", "_storage", "_view")

    __hash__ = object.__hash__
    __torch_function__ = staticmethod(plain_torch_function)

    def __setattr__(self, name: str, value: Any) -> None:
        # nnx.Variable's asks for the trace at every assignment; optimizers assign to all parameters at every step.
        if name not in _GUARDED and in_transformation() and not is_plain(value):
            self._check_can_update()
        _set(self, name, value)

    __delattr__ = object.__delattr__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is left to do, as in PyTorch."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Flax's variables can be called; a tensor gives itself, so that ``x() if callable(x) else x`` is the tensor."""
        if self._other is not _NOTHING:
            return super().__call__(*args, **kwargs)
        if args or kwargs:
            raise TypeError(f"'{type(self).__name__}' object is not callable")
        return self

    def _take_metadata(self, kind: Any, metadata: dict[str, Any]) -> None:
        """Keep what Flax keeps of a variable's keywords (``out_sharding=``), and place the value where they say."""
        value, self._var_metadata = metadata_of(escaped_value(self), kind, metadata)
        if value is not escaped_value(self):
            self._raw_value = value

    def _adopt(self, data: TensorBase, cell: Any) -> None:
        """Share the memory of ``data``."""
        self._trace_state = TraceState()
        self._var_metadata = {"hijax": False, "ref": False, "eager_sharding": nnx.using_eager_sharding()}
        self._storage, self._view, self._cell = data._storage, data._view, cell
        self._grad = self._extra = None
        unguarded(self)
        self._other = _NOTHING

    @classmethod
    def _sharing(cls, data: TensorBase, cell: Any) -> Any:
        need_strided(data, cls.__name__)
        made = object.__new__(cls)
        made._adopt(data, cell)
        return made

    # --- Flax

    @classmethod
    def _new(cls, value: Any, metadata: dict[str, Any]) -> Any:
        made = object.__new__(cls)
        made._trace_state = TraceState()
        made._var_metadata = metadata
        made._storage = None  # type: ignore[assignment]
        made._view = made._grad = made._extra = None
        made._cell = Cell()
        made._hold(value)
        return made

    @property
    def _raw_value(self) -> Any:
        if state.module_depth and self._cell.source is not None and is_flattened_by_jax():
            refuse_to_end_gradient(self)  # inside forward; outside, parameters by themselves are Flax's
        other = self._other
        if other is not _NOTHING and not (isinstance(other, jax.ShapeDtypeStruct) and aval(self).placement is not META):
            return other
        if aval(self).placement is META:
            return aval(self).struct()
        if not in_transformation():
            settle_alone(self)
            return escaped_value(self)
        if self._storage.rec is None and type(self._storage.buf.array) is np.ndarray:
            with jax.ensure_compile_time_eval():
                return escaped_value(self)
        return escaped_value(self)

    @_raw_value.setter
    def _raw_value(self, value: Any) -> None:
        self._check_can_update()
        self._hold(value)

    def _hold(self, value: Any) -> None:
        """Take a value of Flax's, into the memory that this tensor shares."""
        held = _tensor_over(value)
        if held is None:
            self._other = value
            return
        # A description with a sharding tells more than a tensor without values does.
        described = isinstance(value, jax.ShapeDtypeStruct) and value.sharding is not None
        self._other = value if described else _NOTHING
        if self._storage is None:
            self._storage = held._storage
            self._leaf()
            return
        with LOCK:
            if self._view is not None and aval(self).shape == aval(held).shape:
                grad_enabled, state.grad_enabled = state.grad_enabled, False
                try:
                    put_through(self, held)
                finally:
                    state.grad_enabled = grad_enabled
                return
            hold(self._storage, held._storage.buf, held._storage.aval)
            self._view = None

    def _leaf(self) -> None:
        """Set what follows from the metadata when the first value arrives."""

    def set_raw_value(self, value: Any, *, _unsafe_bypass_check: bool = False) -> None:
        """Flax's way to write the value, into the memory that this tensor shares; checked always, as Flax's is."""
        self._raw_value = value

    def set_value(self, value: Any, **index: Any) -> None:
        """Flax's way to write the value; a Tensor is taken for its array."""
        self._check_can_update()
        if isinstance(value, TensorBase):
            value = escaped_value(value)
        elif index and not isinstance(value, jax.Array):
            value = jnp.asarray(value)
        super().set_value(value, **index)

    def update_from_state(self, variable_state: Any) -> None:
        """Take value and metadata of another variable."""
        self._check_can_update()
        super().update_from_state(variable_state)

    def copy_from(self, other: Any) -> None:
        """Take value and metadata of another variable of the same type."""
        self._check_can_update()
        super().copy_from(other)

    def __getattr__(self, name: str) -> Any:
        metadata = object.__getattribute__(self, "_var_metadata")
        if name in metadata:
            return metadata[name]
        if name in _ARRAY_ATTRIBUTES:
            return getattr(self._raw_value, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    # --- copies

    def _like(self, storage: Storage) -> Any:
        made = object.__new__(type(self))
        made._adopt(_plain(storage, self._view), Cell())
        made._var_metadata = dict(self._var_metadata)
        made.__dict__.update(self.__dict__)
        if self.requires_grad:
            made.requires_grad_()
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if self._storage is None:
            made = type(self)._new(copy.deepcopy(self._other, memo), dict(self._var_metadata))
        elif not self.is_leaf:
            return _BASE.__deepcopy__(self, memo)
        else:
            made = self._like(_copied(self._storage, memo))
            made._other = self._other if self._other is _NOTHING else copy.deepcopy(self._other, memo)
        memo[id(self)] = made
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        metadata = dict(self._var_metadata)
        if self._other is not _NOTHING:
            return _renewed, (type(self), self._other, metadata), dict(self.__dict__)
        build, parts = super().__reduce_ex__(protocol)
        if build is restored:
            build, parts, _ = parts
        return restored, (build, parts, {"__metadata__": metadata, **self.__dict__})

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        attributes = dict(attributes)
        self._var_metadata = attributes.pop("__metadata__", self._var_metadata)
        self.__dict__.update(attributes)

    @classmethod
    def _from_tensor(cls, made: TensorBase, requires_grad: bool) -> Any:
        made = cls._sharing(made, Cell())
        return made.requires_grad_() if requires_grad else made


def _plain(storage: Storage, view: View | None) -> Tensor:
    made = object.__new__(Tensor)
    made._storage = storage
    made._view = None if view is None else View(view.steps, view.aval)
    return made


def _renewed(kind: Any, value: Any, metadata: dict[str, Any]) -> Any:
    return kind._new(value, metadata)


class Parameter(_TensorVariable, nnx.Param):  # type: ignore[misc, override]
    """A tensor that a module trains: assigned to a module it is registered, and `Module.parameters` yields it.

    Args:
        data: a tensor; Flax's code gives arrays, or what ``nnx.with_partitioning(init, names)`` makes.
        requires_grad: whether backward collects its gradient.
        metadata: what an `nnx.Param` takes (``out_sharding=("model", None)``) and `nnx.Variable.get_metadata` gives back.

    Shape: that of ``data``, whose memory it shares.

    Raises:
        RuntimeError: for a type that has no gradients, unless ``requires_grad=False``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html
    """

    _is_parameter = True

    def __new__(cls, data: Any = None, requires_grad: bool = True, **metadata: Any) -> Self:
        if isinstance(data, nnx.VariableMetadata):  # what initialisers with metadata give
            data, metadata = data.raw_value, {**metadata, **data.metadata}
        data = _operand(data, "Parameter")
        described = aval(data).dtype
        if requires_grad and not (described.is_floating_point or described.is_complex):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made = cls._sharing(data, Cell())
        if metadata:
            made._take_metadata(nnx.Param, metadata)
        return made.requires_grad_(requires_grad)

    def _leaf(self) -> None:
        described = aval(self).dtype
        if self._var_metadata.get("requires_grad", True) and (described.is_floating_point or described.is_complex):
            _BASE.requires_grad_(self, True)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Collect gradients, or stop; `nnx.split` and its like keep it (as metadata)."""
        _BASE.requires_grad_(self, requires_grad)
        if requires_grad:
            self._var_metadata.pop("requires_grad", None)
        else:
            self._var_metadata["requires_grad"] = False
        return self

    def update_from_state(self, variable_state: Any) -> None:
        """Take value and metadata of another variable, whether it is trained too."""
        super().update_from_state(variable_state)
        wanted = self._var_metadata.get("requires_grad", True)
        if self._storage is not None and wanted != self.requires_grad:
            described = aval(self).dtype
            _BASE.requires_grad_(self, wanted and (described.is_floating_point or described.is_complex))


class Buffer(_TensorVariable):  # type: ignore[misc, override]
    """A tensor of a module's state that is not trained.

    Args:
        data: a tensor; Flax's code gives arrays.
        persistent: whether ``state_dict`` has it.
        metadata: what an `nnx.Variable` takes and `nnx.Variable.get_metadata` gives back.

    Shape: that of ``data``, whose memory it shares.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Buffer.html
    """

    persistent = True
    was_plain = False  # a tensor given to `Module.register_buffer`

    def __new__(cls, data: Any = None, *, persistent: bool = True, **metadata: Any) -> Self:
        made = cls._sharing(_operand(data, "Buffer"), Cell())
        if metadata:
            made._take_metadata(nnx.Variable, metadata)
        if not persistent:
            made.persistent = False
        return made


class BatchStat(Buffer, nnx.BatchStat):  # type: ignore[misc, override]
    """A running statistic: what ``nnx.BatchStat`` selects."""


# --- without a shape yet


class _Uninitialized:
    """What both have in common. A tensor without elements stands for the type and the device."""

    __slots__ = ()

    cls_to_become: Any
    _empty: Any

    def _begin(self, requires_grad: bool, like: Any) -> None:
        this: Any = self
        this._trace_state = TraceState()
        this._var_metadata = {"hijax": False, "ref": False, "eager_sharding": nnx.using_eager_sharding()}
        this._view = this._grad = this._extra = None
        this._other = _NOTHING
        this._cell = Cell(Leaf(this) if requires_grad else None)
        if not requires_grad and isinstance(self, Parameter):
            this._var_metadata["requires_grad"] = False
        this._empty = like

    @property
    def _storage(self) -> Any:
        """What every operator asks for first."""
        raise ValueError(
            "Attempted to use an uninitialized parameter in an operator. This error happens when you are using a "
            "`LazyModule` or explicitly manipulating `torch.nn.parameter.UninitializedParameter` objects. When using "
            "LazyModules Call `forward` with a dummy batch to initialize the parameters before calling torch functions"
        )

    @property
    def shape(self) -> Any:
        """Not known yet."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    @property
    def dtype(self) -> Any:
        """The type that it will have."""
        return self._empty.dtype

    @property
    def device(self) -> device:
        """Where it will be."""
        return self._empty.device

    @property
    def is_meta(self) -> bool:
        """Whether it will have no values."""
        return self._empty.is_meta

    @property
    def data(self) -> Any:
        """A tensor without elements, of the type and on the device that it will have."""
        return self._empty

    @data.setter
    def data(self, value: Any) -> None:
        self._empty = value

    def is_floating_point(self) -> bool:
        """Whether the type is a floating point type."""
        return self._empty.is_floating_point()

    def is_complex(self) -> bool:
        """Whether the type is complex."""
        return self._empty.is_complex()

    def share_memory_(self) -> Any:
        """Not possible."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become a parameter or buffer of zeros, of this type and on this device where none is given."""
        this: Any = self
        shape = (shape,) if isinstance(shape, int) else shape
        made = empty(shape, self.device if device is None else device, self.dtype if dtype is None else dtype)
        del this._empty
        this.__class__ = self.cls_to_become
        this._storage = made._storage

    def _copied(self) -> Any:
        made = object.__new__(type(self))
        made._begin(self.requires_grad, self._empty)  # type: ignore[attr-defined]
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = self._copied()
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        this: Any = self
        return _again, (type(self), this.requires_grad, self._empty, this.__dict__.get("persistent", True))

    def __repr__(self) -> str:
        return f"<{self._shown}>"

    __str__ = __repr__
    _shown: str


def _again(kind: Any, requires_grad: bool, like: Any, persistent: bool) -> Any:
    made = object.__new__(kind)
    made._begin(requires_grad, like)
    if not persistent:
        made.persistent = False
    return made


class UninitializedParameter(_Uninitialized, Parameter):  # type: ignore[misc, override]
    """A parameter without a shape: `materialize` makes a `Parameter` of it.

    Raises:
        RuntimeError: where its shape is asked for.
        ValueError: from every operator.
    """

    cls_to_become = Parameter
    _shown = "UninitializedParameter"

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Self:
        made = object.__new__(cls)
        made._begin(requires_grad, empty((0,), device, dtype))
        return made


class UninitializedBuffer(_Uninitialized, Buffer):  # type: ignore[misc, override]
    """A buffer without a shape: `materialize` makes a `Buffer` of it.

    Raises:
        RuntimeError: where its shape is asked for.
        ValueError: from every operator.
    """

    cls_to_become = Buffer
    _shown = "UninitializedBuffer"

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Self:
        made = object.__new__(cls)
        made._begin(requires_grad, empty((0,), device, dtype))
        if not persistent:
            made.persistent = False
        return made


class UninitializedStat(UninitializedBuffer):
    """The same for a running statistic."""

    cls_to_become = BatchStat


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(param, _Uninitialized)

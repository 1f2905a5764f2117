"""How Flax takes a module apart and puts it together again.

Children go out under their own names, in the order of the names (Flax's states are sorted; any other order would hand a
value to the wrong child at `nnx.merge`), and come back in registration order. Plain tensors and jax arrays among the
attributes are leaves, and what `nnx.data` marks. Everything else travels in one static box.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxnn.core.gradient.arrays_out import refuse_to_end_gradient
from jaxnn.core.kinds.device import META
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval
from jaxnn.core.process.config import in_transformation
from jaxnn.core.process.internals import DataElem, PytreeState, StaticElem, is_graph_node_type
from jaxnn.core.record.at_once import tensor_like
from jaxnn.core.record.recorder import escaped_value

from .jax_devices import settle
from .registered import own_dict

__all__ = ["GraphProtocol", "StaticBox"]

#: The box's name among the children. Sorts first; no attribute can be called so.
_BOX = "\0attributes"
_OWN = ("_pytree__state", "_pytree__nodes", "_jaxnn_box", "_jaxnn_marked", "_jaxnn_data")


class _Held:
    """A thing compared by identity."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.thing is other.thing


def _snapshot(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """A value that can be compared later: containers that may be changed in place are copied.

    Of tensors and modules in lists and dictionaries, which a compiled function holds as constants, the values that they
    have now count: the function is compiled again when they change.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        return kind, tuple(_snapshot(v, seen) for v in value)
    if kind is dict or kind is OrderedDict:
        return kind, tuple((k, _snapshot(v, seen)) for k, v in value.items())
    if kind is set:
        return kind, frozenset(value)
    if kind is np.ndarray:
        return value.copy()
    if isinstance(value, TensorBase):
        return _Held(value), _Held(value._storage), value._storage.version
    if isinstance(value, GraphProtocol):
        if id(value) in seen:
            return _Held(value)
        own = [(k, v) for k, v in vars(value).items() if k not in _OWN]
        return _Held(value), tuple((k, _snapshot(v, (*seen, id(value)))) for k, v in own)
    if isinstance(value, (nnx.Pytree, nnx.Variable)):
        return _Held(value), tuple(_Held(leaf) for leaf in jax.tree.leaves(value))
    return value


def _same(a: Any, b: Any) -> bool:
    """Whether two snapshots are equal: by identity, then by an ``==`` that may fail."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    try:
        if type(a) is np.ndarray:
            return a.dtype == b.dtype and np.array_equal(a, b)
        return bool(a == b)
    except Exception:  # a user's __eq__ may do anything; different is always right, only slower
        return False


class StaticBox:
    """The attributes of a module that are neither children nor arrays, compared by value.

    Numbers that a call changed before (``self.calls += 1``) are counters: they do not count in the comparison, so that
    `nnx.jit` does not trace again at every call, and on the way out they carry their change.
    """

    __slots__ = ("attributes", "changes", "counters", "data", "key", "names", "tensors")

    def __init__(
        self, attributes: dict[str, Any], tensors: frozenset[str], data: frozenset[str], counters: frozenset[str], before: Any
    ) -> None:
        self.attributes = attributes
        self.tensors = tensors
        self.data = data
        self.changes: dict[str, Any] = {}
        if before is not None:
            for name, value in attributes.items():
                old = before.attributes.get(name)
                if type(value) in (int, float) and type(old) is type(value) and value != old:
                    self.changes[name] = value - old
        self.counters = counters | before.counters | frozenset(self.changes) if before is not None else counters
        self.names = tuple(attributes)
        skipped = self.counters
        self.key = tuple((k, _snapshot(v)) for k, v in attributes.items() if k not in skipped)

    def __hash__(self) -> int:
        return hash((len(self.key), self.tensors, self.counters))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StaticBox)
            and self.tensors == other.tensors
            and self.data == other.data
            and self.counters == other.counters
            and self.changes == other.changes
            and _same(self.key, other.key)
        )

    def __repr__(self) -> str:
        return f"StaticBox({', '.join(self.names)})"


class GraphProtocol:
    """The overrides of `nnx.Module`'s graph protocol, and of its protocol for JAX's trees."""

    _pytree__nodes: Any
    _jaxnn_check_writable_here: Any

    # --- JAX's trees: the same children, the box as what does not vary. Flax registers every subclass with these.

    def _pytree__flatten(self) -> tuple[tuple[Any, ...], Any]:
        data, _ = self._graph_node_flatten()
        box = next(value.value for name, value in data if name == _BOX)
        data = [item for item in data if item[0] != _BOX]
        children = tuple(value.value if type(value) is DataElem else value for _, value in data)
        return children, (tuple(name for name, _ in data), box)

    def _pytree__flatten_with_paths(self) -> tuple[tuple[Any, ...], Any]:
        children, (names, box) = self._pytree__flatten()
        return tuple(
            (jax.tree_util.GetAttrKey(name), child) for name, child in zip(names, children, strict=True)
        ), (names, box)  # fmt: skip

    @classmethod
    def _pytree__unflatten(cls, static: Any, children: Any) -> Any:
        names, box = static
        made = object.__new__(cls)
        made._graph_node_init([*zip(names, children, strict=True), (_BOX, box)])
        return made

    def _check_value(self, key: str, value: Any, new_status: Any) -> None:
        """Flax would refuse arrays and modules in lists and dictionaries, which PyTorch's programs put there."""

    def _jaxnn_set_marked(self, name: str, mark: Any) -> None:
        """An attribute that is assigned in `nnx.data(...)` or `nnx.static(...)`.

        Raises:
            ValueError: as Flax does, for arrays and modules that are to be static.
        """
        value = mark.metadata["nnx_value"]
        if mark.metadata["static"] and any(map(nnx.is_data, jax.tree.leaves(value, is_leaf=nnx.is_data))):
            raise ValueError(
                f"Found data in value of type '{type(value)}' annotated with nnx.static(...) when setting attribute '{name}' of "
                f"Pytree type '{type(self)}'."
            )
        as_it_is = mark.metadata["static"] or name.startswith("__")  # Flax's own notes, as those of `nnx.capture`
        setattr(self, name, value if as_it_is else listed(value))
        marks = frozenset(own_dict(self).get("_jaxnn_data", ())) - {name}
        own_dict(self)["_jaxnn_data"] = marks if mark.metadata["static"] else marks | {name}

    def _jaxnn_data_names(self) -> frozenset[str]:
        """What is marked as data, by `nnx.data(...)` or in the class."""
        marked: frozenset[str] = own_dict(self).get("_jaxnn_data", frozenset())
        in_class = type(self)._pytree__nodes
        return marked if len(in_class) < 2 else marked | {k for k, is_data in in_class.items() if is_data and k not in _OWN}

    # --- nnx's graphs

    def _graph_node_flatten(self) -> tuple[list[tuple[str, Any]], Any]:
        data: list[tuple[str, Any]] = []
        rest: dict[str, Any] = {}
        tensors = []
        registered = own_dict(self).get("_jaxnn_registered", {})
        marked = own_dict(self).get("_jaxnn_marked", {})
        data_names = self._jaxnn_data_names()
        outside = not in_transformation()
        for name, value in vars(self).items():
            if name in _OWN:
                continue
            if name in marked and marked[name][0] is value:
                data.append((name, value))
                if marked[name][1]:
                    tensors.append(name)
                continue
            if outside and isinstance(value, TensorBase):
                settle(value)
            if name in registered:  # also None, as Flax does with a missing bias
                data.append((name, value))
            elif type(value) is Tensor:
                tensors.append(name)
                data.append((name, _array(value)))
            elif isinstance(value, jax.Array) or (
                not isinstance(value, (TensorBase, GraphProtocol)) and _is_flax(value)
            ):
                data.append((name, value))
            elif name in data_names:
                data.append((name, DataElem(value)))
            else:
                rest[name] = value
        before = vars(self).get("_jaxnn_box") if in_transformation() else None
        counters: frozenset[str] = getattr(vars(self).get("_jaxnn_box"), "counters", frozenset())
        marks = frozenset(name for name in own_dict(self).get("_jaxnn_data", ()) if name in own_dict(self))
        box = StaticBox(rest, frozenset(tensors), marks, counters, before)
        data.append((_BOX, StaticElem(box)))
        data.sort(key=lambda item: item[0])
        return data, type(self)

    def _graph_node_init(self, attributes: Any) -> None:
        found = dict(attributes)
        box = found.pop(_BOX)
        before = vars(self).pop("_jaxnn_counted", {})
        own = vars(self)
        own["_pytree__state"] = PytreeState()
        own["_pytree__nodes"] = type(self)._pytree__nodes
        own["_jaxnn_box"] = box
        own.update(box.attributes)
        for name in box.counters:
            if name in before:
                own[name] = before[name] + box.changes.get(name, 0)
        if box.data:
            own["_jaxnn_data"] = box.data
        data_names = self._jaxnn_data_names()
        registered = own.get("_jaxnn_registered")
        marked = {}
        for name, value in found.items():
            own[name] = tensor_like(value) if name in box.tensors and _is_array(value) else value
            if name in data_names and name not in box.tensors:
                continue
            if name not in (registered or ()) and not isinstance(own[name], (TensorBase, jax.Array)) and not _is_flax(value):
                marked[name] = own[name], name in box.tensors
        if marked:  # a tree of axes, of masks, of None: what stands in a leaf's place is none of the attributes
            own["_jaxnn_marked"] = marked
        if registered is not None:
            own["_jaxnn_registered"] = registered = dict(registered)  # the box's must not change with this module
            for name in registered:  # the order of children is that of registration again
                if name in own:
                    own[name] = own.pop(name)

    def _graph_node_clear(self) -> None:
        self._jaxnn_check_writable_here()  # before anything is gone
        own = vars(self)
        numbers = {name: value for name, value in own.items() if type(value) in (int, float)}
        own.clear()
        own["_jaxnn_counted"] = numbers  # what counters go on from, see `_graph_node_init`

    def _graph_node_set_key(self, key: str, value: Any) -> None:
        if key == _BOX:
            self._jaxnn_check_writable_here()
            vars(self).update(value.attributes)
            return
        current = vars(self).get(key)
        if isinstance(value, nnx.Variable) and isinstance(current, nnx.Variable):
            current.update_from_state(value)
        elif type(current) is Tensor and _is_array(value):
            self._jaxnn_check_writable_here()
            vars(self)[key] = tensor_like(value)
        else:
            setattr(self, key, value)

    def _graph_node_pop_key(self, key: str) -> Any:
        self._jaxnn_check_writable_here()
        value = vars(self)[key]
        delattr(self, key)
        return value


def listed(value: Any) -> Any:
    """A list, tuple or dictionary that holds variables or modules as one of Flax's, whose tensors a module lists as its own."""
    if not any(isinstance(leaf, (nnx.Variable, nnx.Pytree)) for leaf in jax.tree.leaves(value, is_leaf=nnx.is_data)):
        return value
    if type(value) in (list, tuple):
        return nnx.List([listed(v) for v in value])
    if type(value) is dict and all(isinstance(k, str) for k in value):
        return nnx.Dict({k: listed(v) for k, v in value.items()})
    return value


def _is_flax(value: Any) -> bool:
    return isinstance(value, nnx.Variable) or is_graph_node_type(type(value))


def _is_array(value: Any) -> bool:
    return isinstance(value, (jax.Array, np.ndarray, jax.ShapeDtypeStruct))


def _array(t: Tensor) -> Any:
    """A tensor's array, or what is known of the array of one without values."""
    return aval(t).struct() if aval(t).placement is META else escaped_value(t)


def _tensor_leaves(t: Any) -> tuple[tuple[Any, ...], None]:
    refuse_to_end_gradient(t)
    return (_array(t),), None


def _tensor_again(_: None, leaves: Any) -> Any:
    (value,) = leaves
    return tensor_like(value) if _is_array(value) else value  # trees of markers pass through JAX, too


# Tensors go into and out of jax.jit, jax.tree.map and the like as trees of one array.
jax.tree_util.register_pytree_node(Tensor, _tensor_leaves, _tensor_again)

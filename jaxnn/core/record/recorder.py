"""Recording operators: the hot path. Everything that depends only on the program's structure is found on the trie's node."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..kinds.device import META, area_of, device_of, put
from ..kinds.size import Size
from ..memory.aval import Aval, aval_of
from ..memory.buffer import Buffer, Failure, SharedBuffer
from ..memory.cell import NOWHERE, Cell, Moved, Pin
from ..memory.storage import INFERENCE, Storage
from ..memory.tensor_base import (
    Tensor,
    TensorBase,
    aval,
    base_reference,
    goes_nowhere,
    has_own_source,
    is_reshaped,
    leaf_under,
    parent_of,
    without_values,
    wrap,
)  # fmt: skip
from ..memory.view import View
from ..operator.arguments import Entry, Number, Tree, changed, constant, tensors_in, without_gradients
from ..operator.infer import infer
from ..operator.traced import carries_gradient
from ..path.recording import FREED, Recording, number_slot
from ..path.released import leads_on
from ..path.tensor_hooks import retained
from ..path.trie import Node, count_growth
from ..process.config import in_transformation, state, x64
from ..process.user_line import user_line
from ..run.cut import LOCK, cut, cut_graph, cut_recording, hold, open_recording
from ..run.policy import BACKWARD_WITHOUT_STEP, IMMEDIATE, LIMIT_REACHED, OPERATOR_LIMIT
from .readings import immediate_view, pin_reading, walkable_readings
from .shared_memory import Shares, present_value, record_shared, settle, shows, unsettled, without_shared
from .write_guards import check_reading, inherited, unrecorded

__all__ = [
    "Transfer", "escaped_value", "materialised", "overwrite", "pin", "record", "record_into",
    "shape_of", "value_of", "viewed",
]  # fmt: skip

_new = object.__new__


class _Elsewhere(Exception):
    """An operand is not where the recording is."""


def _leaf(rec: Recording, s: Storage, append: Any) -> int:
    """The reference of a concrete storage's value; its description joins the key at the first use."""
    if s.aval.placement is not rec.placement and s.aval.placement != rec.placement:
        raise _Elsewhere
    if s.rec is not None:
        cut_recording(s.rec, "value used by another thread")
    buf = s.buf
    slot = rec.leaf_slots.get(buf)
    if slot is None:
        if type(buf) is not Buffer:
            if type(buf) is Failure:
                raise buf.error
            if shows(s):
                raise Shares
            buf = s.buf
        slot = ~len(rec.leaves)
        rec.leaves.append(buf)
        rec.leaf_slots[buf] = slot
        append(slot)
        append(s.aval)
    else:
        append(slot)
    return slot


def _source(rec: Recording, cell: Any) -> int | None:
    source = cell.source
    if source is None:
        return None
    if source is rec:
        return cell.source_idx
    return rec.grad_slot(source, cell.source_idx)


def _is_read(rec: Recording, t: TensorBase) -> bool:
    """Whether the last reading of a view still stands: in this recording, of this value, with this gradient source."""
    view = t._view
    if view.rec is not rec or view.version != t._storage.version:
        return False
    tracked = t._cell.source is not None and not has_own_source(t)
    return not state.grad_enabled or view.tracked is tracked


def _read_view(t: TensorBase) -> None:
    """Record a view's steps on what its storage holds now."""
    view, s = t._view, t._storage
    current: Any = wrap(s)
    current._cell = Cell() if has_own_source(t) else t._cell
    steps = view.steps
    if state.grad_enabled and t._cell.source is not None and not has_own_source(t):
        parent = parent_of(t)
        if parent is not None:  # past which the gradient goes
            current, steps = parent, steps[len(parent._view.steps) :]
    for op, statics in steps:
        rec, child = _advance(op, (current, *statics))
        # The next step reads this one's result as a plain value, not through the storage.
        current = result_at(rec, child.start, child.avals[0], child.tracked[0])
    if not has_own_source(t):
        view.earlier = walkable_readings(t)
    view.rec, view.idx, view.version, view.tracked = rec, child.start, s.version, child.tracked[0]
    view.known = s.known_version
    if retained(t) and view.tracked and not has_own_source(t):
        pin_reading(t, record)
        t._extra["retains"].stand(t._cell)


def pin(t: TensorBase) -> None:
    """Give a view a place in the graph of its own, so that hooks on it meet all of its gradient."""
    if t._view is None or has_own_source(t) or is_reshaped(t) or in_transformation():
        return
    before, state.grad_enabled = state.grad_enabled, True
    try:
        with LOCK:
            materialised(t)
            if not has_own_source(t):  # which what retains its gradient has got by being read
                pin_reading(t, record)
    finally:
        state.grad_enabled = before


def _read_views(args: tuple[Any, ...]) -> None:
    """Read every view among an operator's arguments; a cut in between makes the earlier readings void, so look again."""
    found = [t for t in tensors_in(args) if t._view is not None]
    for _ in range(3):
        for t in found:
            if not _is_read(state.recording, t):
                _read_view(t)
        if all(t._view.rec is state.recording for t in found):
            return


def _view_source(rec: Recording, t: TensorBase, op: Any) -> int | None:
    """The gradient source of a view that has just been read by an operator."""
    if t._cell.source is None:
        return None
    if t._view.guard is not None and op.differentiable:
        check_reading(t)
    if has_own_source(t):
        if goes_nowhere(t):
            return rec.grad_slot(NOWHERE, 0)
        return _source(rec, t._cell)
    if t._cell.source is NOWHERE:
        return rec.grad_slot(NOWHERE, 0)
    return t._view.idx if t._view.tracked else None


def result_at(rec: Recording, place: int, aval: Aval, tracked: bool) -> Tensor:
    """A tensor for a result of the recording."""
    rec.live[place] = s = _new(Storage)  # `Storage` and `wrap`, written out
    s.rec = rec
    s.idx = s.source_idx = place
    s.aval = aval
    s.source = rec if tracked else None
    s.buf = None
    s.version = s.quiet = 0
    made = _new(Tensor)
    made._storage = made._cell = s
    made._view = made._grad = made._extra = None
    return made


def record(op: Any, args: tuple[Any, ...]) -> Any:
    """Record an operator and return tensors for its results; nothing runs."""
    with LOCK:
        try:
            rec, child = _advance(op, args)
        except Shares:
            return record_shared(op, args, record, _advance, viewed)
        except _Elsewhere:
            args = brought_together(op, without_shared(args, record))
            rec, child = _advance(op, args)
        made: Any
        if child.container is not None or op.view is not None:
            made = _results(rec, child, op, args)
        else:
            made = result_at(rec, child.start, child.avals[0], child.tracked[0])
        if state.immediate:
            cut(IMMEDIATE)
        return made


class _Unread(Exception):
    """An operand is a view whose steps are not in the recording."""


def _advance(op: Any, args: tuple[Any, ...], views_read: bool = False) -> tuple[Recording, Node]:
    """Record an operator; the recording and its new node."""
    thread = state
    rec = thread.recording
    if rec is None or rec.closed:
        rec = open_recording()
    if rec.node.parent is None:
        rec.begin()
    grad_on = thread.grad_enabled
    key: list[Any] = [op]
    append = key.append
    try:
        for a in args:
            if isinstance(a, TensorBase):
                s = a._storage
                if s.rec is rec and a._view is None:
                    append(s.idx)
                elif a._view is not None:
                    if not (views_read or _is_read(rec, a)):
                        raise _Unread
                    append(a._view.idx)
                else:
                    _leaf(rec, s, append)
                if grad_on:
                    cell = a._cell
                    source = cell.source
                    if source is None:
                        append(None)
                    elif a._view is not None:
                        append(_view_source(rec, a, op))
                    elif source is rec:
                        append(cell.source_idx)
                    else:
                        append(rec.grad_slot(source, cell.source_idx))
                else:
                    append(None)
            else:
                kind = type(a)
                if kind is tuple and op.lists:
                    _key_of_tuple(rec, op, a, append, grad_on, views_read)
                elif kind is Number:
                    append(number_slot(rec, a.value))
                    append(a.type)
                else:
                    append(kind)
                    append(a)
        edge = tuple(key)
        child = rec.node.children.get(edge)
        if child is None:
            child = _grow(rec, op, args, edge)
    except _Unread:
        rec.rollback()
        _read_views(args)
        return _advance(op, args, views_read=True)
    except BaseException:
        if not rec.closed:
            rec.rollback()
        raise
    if child.may_cut and not thread.uncut:
        cause = ""
        if child.needs_gradient and rec.after_backward and rec.node.parent is not None:
            cause = BACKWARD_WITHOUT_STEP
        elif child.depth >= OPERATOR_LIMIT:
            cause = LIMIT_REACHED
        if cause:
            rec.rollback()  # what this operator brought belongs to the next recording
            cut_recording(rec, cause)
            return _advance(op, args)  # which reads its views again
    rec.node = child
    return rec, child


def _results(rec: Recording, child: Node, op: Any, args: tuple[Any, ...]) -> Any:
    """The several results of an operator, or the view that it makes."""
    container = child.container
    if container is None:
        return viewed(rec, op, args, child.start, child.avals[0], child.tracked[0])
    places = range(child.start, child.stop)
    made = [result_at(rec, p, v, k) for p, v, k in zip(places, child.avals, child.tracked, strict=True)]
    return container(*made) if hasattr(container, "_fields") else container(made)


def record_into(op: Any, args: tuple[Any, ...], targets: list[TensorBase]) -> None:
    """Record an operator whose results replace the values of ``targets``: whole tensors of the same shapes, gradients off.

    For updates of many tensors at once: no handle is made for a result.
    """
    with LOCK:
        try:
            rec, child = _advance(op, args)
        except Shares:
            args = without_shared(args, record)
            rec, child = _advance(op, args)
        except _Elsewhere:
            rec, child = _advance(op, brought_together(op, without_shared(args, record)))
        for k, t in enumerate(targets):
            overwrite(t._storage, rec, child.start + k, child.avals[k])
        if unsettled:
            settle()


def _key_of_tuple(
    rec: Recording, op: Any, values: tuple[Any, ...], append: Any, grad_on: bool, views_read: bool
) -> None:
    append(tuple)
    append(len(values))
    for a in values:
        if isinstance(a, TensorBase):
            append(TensorBase)
            s = a._storage
            if a._view is not None:
                if not (views_read or _is_read(rec, a)):
                    raise _Unread
                append(a._view.idx)
                append(_view_source(rec, a, op) if grad_on else None)
                continue
            if s.rec is rec:
                append(s.idx)
            else:
                slot = rec.leaf_slots.get(s.buf) if s.rec is None else None
                if slot is not None:
                    append(slot)
                else:
                    _leaf(rec, s, append)
            append(_source(rec, a._cell) if grad_on else None)
        elif type(a) is tuple:
            _key_of_tuple(rec, op, a, append, grad_on, views_read)
        elif type(a) is Number:
            append(number_slot(rec, a.value))
            append(a.type)
        else:
            append(type(a))
            append(a)


def _recipe(values: tuple[Any, ...], key: Iterator[Any], lists: bool) -> Tree:
    """The arguments as entries, from the edge that was built of them."""
    entries = []
    for a in values:
        if isinstance(a, TensorBase):
            ref = next(key)
            grad = next(key)
            if isinstance(grad, Aval):
                grad = next(key)
            entries.append(Entry("tensor", ref, grad))
        elif type(a) is Number:
            slot, kind = next(key), next(key)
            entries.append(Entry("number", slot, kind))
        elif type(a) is tuple and lists:
            next(key)
            next(key)
            inner: list[Entry] = []
            for b in a:
                if isinstance(b, TensorBase):
                    next(key)
                inner.extend(_recipe((b,), key, lists))
            entries.append(Entry("list", tuple(inner)))
        else:
            next(key)
            entries.append(constant(next(key)))
    return tuple(entries)


def _grow(rec: Recording, op: Any, args: tuple[Any, ...], edge: tuple[Any, ...]) -> Node:
    """A new node: shapes by abstract evaluation, whether gradients flow, the user's line."""
    key = iter(edge)
    next(key)
    recipe = _recipe(args, key, op.lists)
    child = Node(rec.node, op, recipe)
    child.inputs = tuple([rec.aval(e.value) for e in child.tensors])
    child.set_instance(infer(op, recipe, child.inputs, rec.placement))
    sources = [e.grad for e in child.tensors if e.grad is not None]
    if sources and op.differentiable:
        child.tracked = tuple(carries_gradient(v) for v in child.avals)
        child.needs_gradient = leads_on(rec.node, sources, FREED)
        child.gradient = child.gradient or child.needs_gradient
    if sources:
        child.adopt_gradients(recipe if any(child.tracked) else without_gradients(recipe))
    child.location = user_line()
    child.counts = rec.counts()
    _adopt(rec, edge, child)
    return child


def _adopt(rec: Recording, edge: Any, child: Node) -> None:
    child.may_cut = child.needs_gradient or child.depth >= OPERATOR_LIMIT
    rec.node.children[edge] = child
    count_growth()


def viewed(rec: Recording | None, op: Any, args: tuple[Any, ...], place: int, described: Aval, tracked: bool) -> Tensor:
    """The result of a view operator: a handle on its input's storage, its value recorded already or not at all."""
    base = args[0]
    steps = () if base._view is None else base._view.steps
    view = View((*steps, (op, args[1:])), described, base._storage.known_version)
    view.rec, view.idx, view.version, view.tracked = rec, place, base._storage.version, tracked
    if base._view is not None:
        view.guard, view.own, view.parent = inherited(base._view.guard), base._view.own, weakref.ref(base)
    if not state.grad_enabled:
        view.bare = len(view.steps)
        if view.guard is None:
            view.guard = unrecorded()
    view.base = base_reference(base)
    cell = base._cell
    if view.tracked and (has_own_source(base) or cell.source is NOWHERE):
        if type(cell) is Pin:
            cell = Pin(rec, place, cell.base, cell.version)
        else:
            kind = Moved if type(cell) is Moved else Cell
            cell = kind(rec, place, True, 0 if cell.source is NOWHERE else leaf_under(base))
        rec.cells.append(weakref.ref(cell))
    elif not op.differentiable:  # bits as another type never require gradients, even where the memory comes to
        cell = Cell()
    elif cell.source is not None and not view.tracked:
        # PyTorch asks the tensor that has the memory: a leaf that is a view itself is another.
        of_view = has_own_source(base) and cell.source is not NOWHERE and leaf_under(base) == 2
        lost = of_view or (INFERENCE and id(base._storage) in INFERENCE)
        cell = Cell() if lost else Cell(NOWHERE)
    made = _new(Tensor)
    made._storage = base._storage
    made._cell = cell
    made._view = view
    made._grad = made._extra = None
    return made


def overwrite(s: Storage, rec: Recording, place: int, aval: Aval) -> None:
    """Make a storage hold a result of the recording instead of what it held."""
    if s.rec is None:
        if type(s.buf) is SharedBuffer and shows(s):
            unsettled.append((s, s.buf))
        rec.overwritten.append((s, s.buf, s.aval))
        s.buf = None
    elif s.rec is not rec:
        cut_recording(s.rec, "value overwritten on another thread or device")
        rec.overwritten.append((s, s.buf, s.aval))
    elif rec.live.get(s.idx) is s:
        del rec.live[s.idx]
    s.rec, s.idx, s.aval = rec, place, aval
    s.version += 1
    rec.live[place] = s


def value_of(t: TensorBase, cause: str = "value needed") -> Any:
    """The concrete array of a tensor (a tracer inside a transformation); cuts if it is not computed yet.

    The caller must not hand the array out without marking it: see `escaped_value`.
    """
    s = t._storage
    if s.aval.placement is META:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    if t._view is None:
        if s.rec is not None:
            cut_recording(s.rec, cause)
        buf = s.buf
        if type(buf) is not Buffer:
            if type(buf) is Failure:
                raise buf.error
            return present_value(t) if shows(s) else s.buf.array
        return buf.array
    if s.rec is None and type(s.buf) is not Failure:  # nothing to wait for: what is recorded goes on being recorded
        return present_value(t) if type(s.buf) is SharedBuffer else immediate_view(t)
    with LOCK:
        plain = materialised(t)
    return value_of(plain, cause)


def escaped_value(t: TensorBase) -> Any:
    """The array of a tensor to hand out: from now on the engine never destroys it."""
    array = value_of(t)
    buf = t._storage.buf
    if t._view is None or (type(buf) is Buffer and array is buf.array):
        buf.owned = False
    if type(array) is np.ndarray:
        with x64(True), jax.ensure_compile_time_eval():
            array = put(array, t._storage.aval.placement, beside=True)
        if t._view is None and not shows(t._storage):
            t._storage.buf = Buffer(array, False)
    return array


def materialised(t: TensorBase) -> Tensor:
    """A plain tensor with a view's value, with the same gradient source."""
    if t._view is None:
        return t  # type: ignore[return-value]
    if shows(t._storage):
        return materialised(without_shared((t,), record)[0])
    rec = state.recording
    if t._storage.rec is not None and t._storage.rec is not rec:
        rec = t._storage.rec if not t._storage.rec.closed else rec
    if rec is None or rec.closed or rec.placement != t._storage.aval.placement:
        rec = open_recording(t._storage.aval.placement)
    if rec is not state.recording:
        cut_recording(rec, "value used by another thread or device")
        rec = open_recording(t._storage.aval.placement)
    _read_views((t,))
    made = result_at(state.recording, t._view.idx, t._view.aval, t._view.tracked and state.grad_enabled)
    if type(t._cell) is Pin and state.grad_enabled and has_own_source(t):
        made._cell = t._cell
    return made


def shape_of(t: TensorBase) -> Size:
    """The shape of a tensor."""
    return (t._storage if t._view is None else t._view).aval.shape


class Transfer:
    """A copy of a tensor at another placement, as a node of the graph: its gradient is copied back."""

    name = "ToCopyBackward0"

    def __init__(self, t: TensorBase) -> None:
        self.home = t._storage.aval.placement
        self.cells = [Cell(t._cell.source, t._cell.source_idx)]
        hold(self.cells[0])
        self.outputs = [aval(t)]
        self.order = (next(Recording._orders), 0)
        self.hooks: dict[Any, Any] = {}

    def backward(self, cts: dict[int, Any]) -> list[tuple[Any, Any]]:
        """The gradient, where the tensor is."""
        return [(self.cells[0], transferred(cts[0], self.home))]


def transferred(t: TensorBase, where: Any) -> Tensor:
    """A copy of a tensor at another placement, replicated there if that is a mesh; gradients flow back."""
    if where is META:
        return without_values(aval(t).shape, aval(t).np)
    tracked = state.grad_enabled and t._cell.source is not None
    plain: Any = materialised(t) if tracked else t
    with x64(True):
        array = put(value_of(plain), area_of(where) if isinstance(where, jax.sharding.Sharding) else where, beside=True)
    made = wrap(Storage.concrete(array, aval_of(tuple(aval(t).shape), aval(t).np, where), owned=False))
    if tracked:
        made._cell = Cell(Transfer(plain))
        open_recording(where)
        cut_graph("operand on another device")  # what uses the copy is a later part of the graph than what made it
    return made


def _made_again(t: TensorBase, where: Any) -> Tensor | None:
    """A result of an operator without operands (``arange``) that has not run: recorded at another placement, nothing is moved."""
    rec, place = t._storage.rec, t._storage.idx
    if rec is None or rec.closed:
        return None
    node = rec.node
    while node.start > place:
        node = node.parent
    if node.instance is None or node.tensors or node.stop != place + 1 or any(e.kind == "list" for e in node.recipe):
        return None
    numbers = rec.scalars()
    args = tuple(e.value if e.kind == "static" else Number(numbers[e.grad][e.value]) for e in node.recipe)
    open_recording(where)
    made: Any = record(node.op, args)
    for op, statics in t._view.steps if t._view is not None else ():
        made = record(op, (made, *statics))
    return made


def brought_together(op: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands of one device, for an operator whose operands are not all where the recording is.

    Raises:
        RuntimeError: for two devices, unless what is elsewhere is a CPU tensor without dimensions.
    """
    found = list(tensors_in(args))
    places = [t._storage.aval.placement for t in found]
    main = next((p for t, p in zip(found, places, strict=True) if (t._view or t._storage).aval.shape), places[0])
    main = next((p for p in places if isinstance(p, jax.sharding.Sharding) and len(p.device_set) > 1), main)

    def bring(t: Any) -> Any:
        if not isinstance(t, TensorBase) or t._storage.aval.placement == main:
            return t
        if aval(t).shape and not isinstance(main, jax.sharding.Sharding):
            names = sorted(
                {
                    str(device_of(p)) if str(device_of(p)) == "cpu" else f"{device_of(p).type}:{device_of(p).index}"
                    for p in places
                }
            )
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{' and '.join(reversed(names))}! (when running {op.name})"
            )
        made = _made_again(t, main)
        return transferred(t, main) if made is None else made

    made = changed(args, bring)
    open_recording(main)
    return made

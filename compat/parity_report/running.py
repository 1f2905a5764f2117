"""Runs a PyTorch model and a jaxnn model side by side: `parity`."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import jaxnn
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.support.packages import needed

from ..arrays import is_torch_tensor, numpy_to_torch, torch_to_numpy
from ..live import from_torch
from .report import ParityReport, Row

__all__ = ["parity"]

#: Relative errors that count as rounding: of outputs, and of gradients and weights after steps.
_TOLERANCE = {"float64": (1e-9, 1e-8), "float32": (5e-5, 1e-3), "float16": (1e-2, 5e-2), "bfloat16": (5e-2, 2e-1),
              "complex64": (5e-5, 1e-3), "complex128": (1e-9, 1e-8)}  # fmt: skip


def parity(
    torch_module: Any, jaxnn_module: Any = None, *inputs: Any, steps: int = 3, kwargs: dict[str, Any] | None = None,
    optimizer: str = "SGD", lr: float = 1e-2, seed: int = 0, rtol: float | None = None, grad_rtol: float | None = None,
) -> ParityReport:  # fmt: skip
    """Run a PyTorch model and a jaxnn model on the same inputs, and compare all that can be seen.

    Compared: configuration, parameters and buffers at the start; inputs and outputs of every submodule; the gradients of every
    parameter and input; parameters, buffers and losses after some optimizer steps. Both models are copied and stay as they are.
    The loss is a weighted mean of the outputs, each element with its own weight.

    Args:
        torch_module: PyTorch's.
        jaxnn_module: ours; None carries the PyTorch model over with `from_torch`.
        inputs: arguments of ``forward``: tensors of either library or arrays, also in containers.
        steps: the number of optimizer steps.
        kwargs: keyword arguments of ``forward``.
        optimizer: the name of a class of ``torch.optim``.
        lr: its learning rate.
        seed: of both libraries' generators, before each forward: dropout draws the same masks.
        rtol: the relative error that counts as rounding, for outputs; by type without it (5e-5 for float32).
        grad_rtol: the same for gradients and for what follows the steps (1e-3 for float32).

    Returns:
        The report: ``print(report)``, ``report.layer``, ``report.check()``, ``report.rows``, ``report.plot("error.png")``.

    Raises:
        ConversionError: when the model cannot be carried over.
        TypeError: ``torch_module`` or ``jaxnn_module`` is no module of its library.
        ValueError: ``steps`` is negative, or there is no optimizer of that name.

    Example:
        >>> compat.parity(torch.nn.Linear(3, 2), None, torch.ones(4, 3)).check()  # doctest: +ELLIPSIS
        ParityReport(13 comparisons agree; ...)
    """
    torch = needed("torch", "compat.parity", "torch")
    for module, kind in ((torch_module, torch.nn.Module), (jaxnn_module, jaxnn.nn.Module)):
        if not isinstance(module, kind) and (module is not None or kind is torch.nn.Module):
            raise TypeError(f"parity compares a torch.nn.Module with a jaxnn.nn.Module, got {type(module).__name__}")
    if steps < 0:
        raise ValueError(f"steps is {steps}")
    if not all(isinstance(getattr(face.optim, optimizer, None), type) for face in (torch, jaxnn)):
        raise ValueError(f"there is no optimizer {optimizer!r} in torch.optim and jaxnn.optim")
    theirs = _Side(torch, copy.deepcopy(torch_module), functools.partial(_mapped, _to_torch))
    ours_module = from_torch(torch_module) if jaxnn_module is None else copy.deepcopy(jaxnn_module)
    ours = _Side(jaxnn, ours_module, functools.partial(_mapped, _to_ours))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _Comparison(theirs, ours, (inputs, kwargs or {}), seed, rtol, grad_rtol).run(steps, optimizer, lr)


def _mapped(leaf: Callable[[Any], Any], value: Any) -> Any:
    """Arguments with every tensor and array converted."""
    if isinstance(value, (list, tuple)):
        items = [_mapped(leaf, v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {k: _mapped(leaf, v) for k, v in value.items()}
    return leaf(value)


def _as_numpy(value: Any) -> Any:
    if is_torch_tensor(value):
        return torch_to_numpy(value)
    return np.array(value.detach().numpy()) if isinstance(value, TensorBase) else value


def _to_torch(value: Any) -> Any:
    value = _as_numpy(value)
    return _asking(numpy_to_torch(value)) if hasattr(value, "__array__") else value


def _to_ours(value: Any) -> Any:
    value = _as_numpy(value)
    if hasattr(value, "__array__"):
        return _asking(jaxnn.from_numpy(np.array(value)) if np.ndim(value) else jaxnn.tensor(value.item(), dtype=_dtype(value)))
    return value


def _dtype(value: Any) -> Any:
    return getattr(jaxnn, np.asarray(value).dtype.name)


def _asking(t: Any) -> Any:
    return t.requires_grad_() if t.is_floating_point() or t.is_complex() else t


def _not_a_leaf(value: Any) -> Any:
    """A copy with its gradient: models write to what they are given."""
    return value.clone() if getattr(value, "requires_grad", False) else value


def _tensors(value: Any, inside: tuple[int, ...] = ()) -> Iterator[Any]:
    """The tensors of a result, in order; `inside` are the objects around it."""
    if is_torch_tensor(value) or isinstance(value, TensorBase):
        yield value
        return
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, f.name, None) for f in dataclasses.fields(value)]
    elif _has_parts(value):
        parts = [v for k, v in sorted(vars(value).items()) if not k.startswith("_")]
    else:
        return
    if id(value) not in inside:
        for part in parts:
            yield from _tensors(part, (*inside, id(value)))


def _has_parts(value: Any) -> bool:
    """Whether a value is an object of a user's, whose attributes may be tensors."""
    code = (type, types.ModuleType, types.FunctionType)
    return hasattr(value, "__dict__") and not isinstance(value, code) and not hasattr(value, "_modules")


def _array(t: Any) -> np.ndarray:
    return torch_to_numpy(t) if is_torch_tensor(t) else np.array(t.detach().resolve_conj().numpy())


class _Side:
    """One of the two: its library, its model, how it takes arguments."""

    def __init__(self, face: types.ModuleType, module: Any, take: Callable[[Any], Any]) -> None:
        self.face, self.module, self.take = face, module, take
        self.events: list[tuple[str, str, list[np.ndarray]]] = []
        self.open: list[str] = []
        self.error: Exception | None = None
        self.given: Any = None
        self.returned = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note the inputs and outputs of every submodule."""
        names: dict[int, str] = {}
        handles = []
        counts: dict[tuple[str, str], int] = {}

        def note(kind: str, name: str, value: Any) -> None:
            number = counts[kind, name] = counts.get((kind, name), 0) + 1
            what = kind if number == 1 else f"{kind} of call {number}"
            self.events.append((name, what, [_array(t) for t in _tensors(value)]))

        def before(module: Any, args: Any, kwargs: Any) -> None:
            self.open.append(names[id(module)])
            note("input", names[id(module)], (args, kwargs))

        def after(module: Any, args: Any, result: Any) -> None:
            self.open.pop()
            note("output", names[id(module)], result)

        for name, module in self.module.named_modules():
            names[id(module)] = name
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def loss(self, result: Any) -> Any:
        """A weighted mean of all outputs."""
        total = None
        for t in _tensors(result):
            self.returned = True
            if not (t.is_floating_point() or t.is_complex()) or not t.requires_grad:
                continue
            weight = self.face.from_numpy((np.cos(np.arange(t.numel(), dtype=np.float64)) + 0.5).reshape(tuple(t.shape)))
            parts = [t.real, t.imag] if t.is_complex() else [t]
            for p in parts:
                mean = (p.double() * weight).mean()
                total = mean if total is None else total + mean
        return total

    def forward(self, arguments: Any, seed: int) -> Any:
        """The result, and the loss."""
        self.face.manual_seed(seed)
        self.given = self.take(arguments)
        args, kwargs = _mapped(_not_a_leaf, self.given)
        result = self.module(*args, **kwargs)
        return self.loss(result)


class _Comparison:
    """Both sides, and the rows so far."""

    def __init__(self, theirs: _Side, ours: _Side, arguments: Any, seed: int, rtol: float | None, grad_rtol: float | None) -> None:
        self.theirs, self.ours, self.arguments, self.seed = theirs, ours, arguments, seed
        self.rtol, self.grad_rtol = rtol, grad_rtol
        self.rows: list[Row] = []
        self.losses: list[tuple[float, float]] = []
        self.culprit: str | None = None

    def run(self, steps: int, optimizer: str, lr: float) -> ParityReport:
        """All comparisons, until one side fails."""
        self._structure()
        self._state("before", of_output=True)
        if self._forward_and_backward():
            self._steps(steps, optimizer, lr)
        return ParityReport(self.rows, self.losses, self.culprit)

    # --- rows

    def _compare(self, layer: str, what: str, theirs: Any, ours: Any, of_output: bool, scale: float = 0.0) -> Row:
        """Add the row of two arrays."""
        if theirs is None or ours is None:
            only = "jaxnn" if theirs is None else "PyTorch"
            row = Row(layer, what, note="" if theirs is None and ours is None else f"only {only} has it")
        else:
            kind = theirs.dtype.name
            row = Row(layer, what, tuple(theirs.shape), kind)
            given = self.rtol if of_output else self.grad_rtol
            row.tolerance = _TOLERANCE.get(kind, (0.0, 0.0))[0 if of_output else 1] if given is None else given
            if ours.shape != theirs.shape:
                row.note = f"jaxnn's shape is {list(ours.shape)}"
            elif ours.dtype != theirs.dtype:
                row.note = f"jaxnn's type is {ours.dtype.name}"
            else:
                _measure(row, theirs, ours, scale)
        self.rows.append(row)
        return row

    def _structure(self) -> None:
        """Which modules there are, of which classes, with which settings."""
        theirs, ours = (dict(side.module.named_modules()) for side in (self.theirs, self.ours))
        for name in {**theirs, **ours}:
            if name not in theirs or name not in ours:
                self.rows.append(Row(name, "module", note=f"only {'jaxnn' if name not in theirs else 'PyTorch'} has it"))
                continue
            a, b = theirs[name], ours[name]
            said = [f"{type(m).__name__}({m.extra_repr()})" if name else m.extra_repr() for m in (a, b)]
            row = Row(name, "configuration")
            if said[0] != said[1]:
                row.note = f"PyTorch: {said[0]}; jaxnn: {said[1]}"
            self.rows.append(row)

    def _state(self, when: str, of_output: bool) -> None:
        """Parameters and buffers."""
        theirs = dict([*self.theirs.module.named_parameters(), *self.theirs.module.named_buffers()])
        ours = dict([*self.ours.module.named_parameters(), *self.ours.module.named_buffers()])
        for name in {**theirs, **ours}:
            layer, _, own = name.rpartition(".")
            a, b = theirs.get(name), ours.get(name)
            self._compare(layer, f"{own} {when}", None if a is None else _array(a), None if b is None else _array(b), of_output)

    # --- runs

    def _guarded(self, what: str, work: Callable[[], Any]) -> Any:
        """What our side gives; an error is a row."""
        try:
            return work()
        except Exception as error:
            layer = self.ours.open[-1] if self.ours.open else ""
            self.rows.append(Row(layer, what, note=f"jaxnn raises {type(error).__name__}: {str(error).splitlines()[0][:200]}"))
            return None

    def _forward_and_backward(self) -> bool:
        with self.theirs.watched():
            loss = self.theirs.forward(self.arguments, self.seed)
        with self.ours.watched():
            mine = self._guarded("call", lambda: self.ours.forward(self.arguments, self.seed))
        failed = self.rows.pop() if self.rows[-1].what == "call" else None
        self._calls()
        if failed is not None:
            self.rows.append(failed)  # after the calls that succeeded
            self.culprit = failed.layer if self.culprit is None else self.culprit
        if not self.theirs.returned:
            self.rows.append(Row("", "output", note="no tensor is found in what PyTorch's returns"))
        if failed is not None or loss is None:
            return False
        if mine is None:
            self.rows.append(Row("", "output", note="jaxnn's requires no gradient"))
            return False
        loss.backward()
        self._guarded("gradient", lambda: mine.backward())
        if self.rows[-1].what == "gradient":
            return False
        self._gradients()
        return True

    def _calls(self) -> None:
        """Inputs and outputs in the order of the calls; the first that differs says whose fault it is."""
        ours = {(name, what): arrays for name, what, arrays in self.ours.events}
        called = {name for name, _, _ in self.ours.events}
        for name, what, theirs in self.theirs.events:
            mine = ours.pop((name, what), None)
            if mine is None:
                bad = not self.ours.open  # else the call that failed has its row
                if bad:
                    note = "jaxnn does not call it" if name not in called else "jaxnn calls it less often"
                    self.rows.append(Row(name, what, note=note))
            elif len(mine) != len(theirs):
                self.rows.append(Row(name, what, note=f"{len(theirs)} tensors, in jaxnn {len(mine)}"))
                bad = True
            else:
                bad = False
                for k, (a, b) in enumerate(zip(theirs, mine)):
                    row = self._compare(name, what if len(mine) == 1 else f"{what} [{k}]", a, b, True)
                    bad = bad or not row.ok
            if bad and self.culprit is None:
                # Wrong inputs are the fault of the code around: the module that calls this one.
                self.culprit = name.rpartition(".")[0] if what.startswith("input") else name

    def _gradients(self) -> None:
        theirs, ours = dict(self.theirs.module.named_parameters()), dict(self.ours.module.named_parameters())
        found = {n: None if p.grad is None else _array(p.grad) for n, p in theirs.items()}
        largest = max((float(np.abs(g).max(initial=0)) for g in found.values() if g is not None), default=0.0)
        for name, g in reversed(found.items()):  # as backward meets them
            if name in ours:
                layer, _, own = name.rpartition(".")
                mine = ours[name].grad
                # What is zero but for rounding is measured by the others.
                self._compare(layer, f"gradient of {own}", g, None if mine is None else _array(mine), False, 1e-3 * largest)
        for k, (a, b) in enumerate(zip(_tensors(self.theirs.given), _tensors(self.ours.given))):
            if a.requires_grad:
                wanted, mine = (None if t.grad is None else _array(t.grad) for t in (a, b))
                self._compare("", f"gradient of input {k}", wanted, mine, False)

    def _steps(self, steps: int, optimizer: str, lr: float) -> None:
        """Train both."""
        if not steps or not any(p.requires_grad for p in self.theirs.module.parameters()):
            return
        made = [getattr(s.face.optim, optimizer)(s.module.parameters(), lr=lr) for s in (self.theirs, self.ours)]
        for k in range(steps):
            found = []
            for side, opt in zip((self.theirs, self.ours), made):

                def step(side: _Side = side, opt: Any = opt, k: int = k) -> float:
                    opt.zero_grad()
                    loss = side.forward(self.arguments, self.seed + k)
                    loss.backward()
                    opt.step()
                    return float(loss.detach())

                found.append(step() if side is self.theirs else self._guarded(f"step {k + 1}", step))
            if found[1] is None:
                return
            self.losses.append((found[0], found[1]))
            self._compare("", f"loss of step {k + 1}", np.float32(found[0]), np.float32(found[1]), False, 1e-3)
        self._state(f"after {steps} step{'s' if steps > 1 else ''}", of_output=False)


def _measure(row: Row, theirs: np.ndarray, ours: np.ndarray, scale: float) -> None:
    if not theirs.size:
        return
    wide = np.complex128 if theirs.dtype.kind == "c" else np.float64
    a, b = theirs.astype(wide), ours.astype(wide)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(same, 0, np.abs(a - b))
    row.absolute = float(difference.max())
    finite = np.abs(a[np.isfinite(a)])
    size = max(float(finite.max(initial=0)), scale)
    row.relative = row.absolute / size if size else row.absolute

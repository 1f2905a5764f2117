"""PyTorch's database of operators (`op_db`), run on jaxnn: the same samples on both sides, values and gradients compared.

Our side records many samples of a row and one backward, which make one program: compiling per sample would take 10 times as long.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_device_type import toleranceOverride
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import DecorateInfo

import jaxnn
from tests.comparison import TOLERANCES

ROWS: dict[str, Any] = {f"{op.name}-{op.variant_test_name}" if op.variant_test_name else op.name: op for op in op_db}

#: So many samples are compiled together.
TOGETHER = 100
#: Operators that return memory as it is: only shape and type are told.
UNFILLED = {
    "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "resize_", "resize_as_",
}  # fmt: skip

#: Decompositions that are unique only up to signs or phases: what the database's own processing leaves is compared.
UP_TO_PHASE = {"linalg.eig", "linalg.eigh", "linalg.svd", "svd", "svd_lowrank", "pca_lowrank"}

# --- finding our callable


def seeded(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What PyTorch's own samples of random operators do: seed, then call."""
    jaxnn.manual_seed(42)
    return f(*args, **kwargs)


_OURS = {"torch": jaxnn, "wrapper_set_seed": seeded, "F": jaxnn.nn.functional}


def rebound(f: Any) -> Any:
    """A function of PyTorch's test files with jaxnn in the place of torch."""
    if isinstance(f, functools.partial):
        return functools.partial(rebound(f.func), *f.args, **f.keywords)
    if not isinstance(f, types.FunctionType):
        return named(f) or f
    if not f.__module__.startswith("torch.testing"):
        return named(f) or f
    cells = f.__closure__ and tuple(types.CellType(rebound(_content(c))) for c in f.__closure__)
    made = types.FunctionType(f.__code__, {**f.__globals__, **_OURS}, f.__name__, f.__defaults__, cells)
    made.__kwdefaults__ = f.__kwdefaults__
    return made


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


@functools.cache
def _names() -> dict[int, Any]:
    """Our function for each of PyTorch's, by identity."""
    found: dict[int, Any] = {}
    pairs = [(torch, jaxnn), (torch.Tensor, jaxnn.Tensor), (torch.nn.functional, jaxnn.nn.functional)]
    pairs += [(getattr(torch, n), getattr(jaxnn, n)) for n in ("linalg", "fft", "special", "cuda") if hasattr(jaxnn, n)]
    for theirs, ours in pairs:
        for name in dir(theirs):
            value = getattr(theirs, name, None)
            if callable(value) and hasattr(ours, name):
                found.setdefault(id(value), getattr(ours, name))
    return found


def named(f: Any) -> Any:
    return _names().get(id(f)) if callable(f) else None


def by_name(name: str) -> Any:
    """``jaxnn.NAME`` (with dots), or a method.

    Raises:
        AttributeError: when jaxnn has neither.
    """
    target: Any = jaxnn
    for part in name.split("."):
        target = getattr(target, part, None)
        if target is None:
            break
    else:
        return target
    return getattr(jaxnn.Tensor, name)


def ours(op: Any) -> Callable[..., Any]:
    """jaxnn's operator for a row of the database."""
    f = op.op
    inner = f.func if isinstance(f, functools.partial) else f
    if isinstance(inner, types.FunctionType) and inner.__module__.startswith("torch.testing"):
        return rebound(f)
    return named(f) or by_name(op.name)


# --- converting arguments


def dtype_of(d: torch.dtype) -> Any:
    return getattr(jaxnn, str(d).removeprefix("torch."))


def tensor_of(t: torch.Tensor) -> Any:
    """The same tensor; strides survive where memory is contiguous or dense."""
    plain = t.detach().resolve_conj().resolve_neg()
    dense = plain.contiguous()
    if dense.dtype is torch.bfloat16:
        made = jaxnn.from_numpy(dense.float().numpy().copy()).to(jaxnn.bfloat16)
    else:
        made = jaxnn.from_numpy(dense.numpy().copy())
    if isinstance(t, torch.nn.Parameter):
        return jaxnn.nn.Parameter(made, requires_grad=t.requires_grad)
    return made.requires_grad_() if t.requires_grad else made


@dataclass
class Convert:
    """Arguments of a call for jaxnn; remembers the pairs of tensors, a tensor given twice stays one."""

    pairs: list[tuple[torch.Tensor, Any]] = field(default_factory=list)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            for theirs, mine in self.pairs:
                if theirs is value:
                    return mine
            if value.layout is not torch.strided:
                raise NotImplementedError(f"layout {value.layout}")
            made = tensor_of(value)
            self.pairs.append((value, made))
            return made
        if isinstance(value, torch.dtype):
            return dtype_of(value)
        if isinstance(value, torch.Size):
            return jaxnn.Size(value)
        if isinstance(value, (torch.device, torch.Generator)):
            return jaxnn.device("cpu") if isinstance(value, torch.device) else jaxnn.Generator()
        if isinstance(value, (torch.memory_format, torch.layout)):
            return by_name(str(value).removeprefix("torch."))
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self(v) for v in value)
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items()}
        kind = type(value)
        if kind.__module__.startswith("torch.nn") and dataclasses.is_dataclass(value):  # a layer's options
            return getattr(jaxnn.nn, kind.__name__)(
                **{f.name: self(getattr(value, f.name)) for f in dataclasses.fields(value)}
            )
        if isinstance(value, torch.nn.PairwiseDistance):
            return jaxnn.nn.PairwiseDistance(value.norm, value.eps, value.keepdim)
        return rebound(value) if callable(value) else value


class Widen:
    """Arguments of a call in float64."""

    def __init__(self) -> None:
        self.made: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            for narrow, wide in self.made:
                if narrow is value:
                    return wide
            kind = WIDE.get(value.dtype, value.dtype)
            self.made.append((value, value.detach().to(kind).clone().requires_grad_(value.requires_grad)))
            return self.made[-1][1]
        if isinstance(value, torch.dtype):
            return WIDE.get(value, value)
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self(v) for v in value)
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items()}
        return value


WIDE = {torch.float32: torch.float64, torch.bfloat16: torch.float64, torch.complex64: torch.complex128}


# --- one side


def outputs(result: Any) -> list[Any]:
    if isinstance(result, (torch.Tensor, jaxnn.Tensor)):
        return [result]
    if isinstance(result, dict):
        return [t for v in result.values() for t in outputs(v)]
    if isinstance(result, (tuple, list)):
        return [t for r in result for t in outputs(r)]
    return []


def loss_of(module: Any, result: Any) -> Any:
    """A sum of the results with weights that differ from element to element; None where nothing has gradients."""
    total = None
    for t in outputs(result):
        if not t.requires_grad or t.numel() == 0:
            continue
        weight = module.from_numpy(
            np.asarray(0.5 + np.arange(t.numel(), dtype=np.float64).reshape(tuple(t.shape)) % 7 / 8)
        )
        part = (t.real * weight - t.imag * (weight + 1)) if t.is_complex() else t * weight
        total = part.sum() if total is None else total + part.sum()
    return total


@dataclass
class Case:
    """One sample on both sides."""

    op: Any
    call: tuple[Any, tuple[Any, ...], dict[str, Any]]
    pairs: list[tuple[torch.Tensor, Any]]
    process: Any
    expected: Any = None
    grads: list[Any] = field(default_factory=list)
    differentiable: bool = False
    found: Any = None
    loss: Any = None
    sample: Any = None

    @functools.cached_property
    def exact(self) -> tuple[list[Any], list[Any]]:
        """Values and gradients that PyTorch computes of the same input in float64."""
        wide = Widen()
        first, args, kwargs = (wide(x) for x in (self.sample.input, tuple(self.sample.args), self.sample.kwargs))
        torch.manual_seed(1)
        result = self.op(first, *args, **kwargs)
        leaves = [wide(t) for t, _ in self.pairs if t.requires_grad]
        loss = loss_of(torch, self.process(result)) if self.differentiable else None
        return outputs(result), list(torch.autograd.grad(loss, leaves, allow_unused=True)) if loss is not None else []

    def __str__(self) -> str:
        return f"sample {_text(self.call)}"


def _text(value: Any) -> str:
    if isinstance(value, jaxnn.Tensor):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(_text(v) for v in value) + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
    return repr(value)


def cases(op: Any, dtype: torch.dtype, limit: int | None) -> Iterator[Case]:
    """The samples on which PyTorch itself succeeds, with what it computes."""
    grad = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
    torch.manual_seed(0)
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample in islice(op.sample_inputs("cpu", dtype, requires_grad=grad), limit):
            if sample.kwargs.get("memory_format") in (torch.channels_last, torch.channels_last_3d):
                continue  # refused: XLA chooses layouts by itself
            convert = Convert()
            call = convert((sample.input, tuple(sample.args), dict(sample.kwargs)))
            case = Case(op, call, convert.pairs, sample.output_process_fn_grad, sample=sample)
            try:
                torch.manual_seed(1)
                result = op(sample.input, *sample.args, **sample.kwargs)
            except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError):
                continue
            case.expected = result
            if grad:
                loss = loss_of(torch, case.process(result))
                if loss is not None and loss.requires_grad:
                    leaves = [t for t, _ in case.pairs if t.requires_grad]
                    case.grads = list(torch.autograd.grad(loss, leaves, allow_unused=True))
                    case.differentiable = True
            yield case


def run_ours(f: Any, case: Case) -> None:
    """Record our side of a case."""
    jaxnn.manual_seed(1)
    first, args, kwargs = case.call
    case.found = f(first, *args, **kwargs)
    case.loss = None
    if case.differentiable:
        processed = case.found if case.process is None else rebound(case.process)(case.found)
        case.loss = loss_of(jaxnn, processed)


def compare(op: Any, case: Case, tolerance: dict[str, float]) -> None:
    mine, theirs = outputs(case.found), outputs(case.expected)
    if op.name in UP_TO_PHASE:
        mine, theirs = outputs(rebound(case.process)(case.found)), outputs(case.process(case.expected))
    assert len(mine) == len(theirs), f"{len(mine)} tensors, PyTorch has {len(theirs)}"
    for k, (a, b) in enumerate(zip(mine, theirs)):
        close(a, b, "value", tolerance, op.name not in UNFILLED, lambda k=k: case.exact[0][k])
    if not theirs:
        assert plain(case.found) == plain(case.expected), f"{case.found!r}, PyTorch has {case.expected!r}"
    if case.differentiable:
        assert case.loss is not None, "no gradient"
        leaves = [(t, m) for t, m in case.pairs if t.requires_grad]
        for k, ((t, m), g) in enumerate(zip(leaves, case.grads)):
            have = m.grad
            if g is None or have is None:
                for given in (g, have):
                    assert given is None or not np.any(np.asarray(given.tolist())), f"gradient {k}: {have}, not {g}"
                continue
            close(have, g, f"gradient {k}", tolerance, exact=lambda k=k: case.exact[1][k])


def plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, (torch.dtype, jaxnn.dtype)):
        return str(value)
    return value


def close(
    ours: Any, theirs: Any, what: str, tolerance: dict[str, float], filled: bool = True, exact: Any = None
) -> None:
    """Type, shape and values. Each element is close to PyTorch's, or to what PyTorch computes in float64."""
    assert str(ours.dtype) == str(theirs.dtype), f"{what}: {ours.dtype}, PyTorch has {theirs.dtype}"
    assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: {tuple(ours.shape)}, PyTorch has {tuple(theirs.shape)}"
    if not filled:
        return
    theirs = theirs.detach().resolve_conj().resolve_neg().contiguous()
    ours = ours.detach()
    if ours.dtype is jaxnn.bfloat16:
        got = torch.from_numpy(ours.float().numpy()).bfloat16()
    else:
        got = torch.from_numpy(np.asarray(ours.numpy()))
    try:
        torch.testing.assert_close(got, theirs, equal_nan=True, **tolerance)
    except AssertionError as error:
        reached = f"{what}: {error}\n{got}\n{theirs}"
        if exact is None or theirs.dtype not in WIDE:
            raise AssertionError(reached) from None
        try:
            wide = exact().detach().resolve_conj().resolve_neg()
            # an element that agrees with PyTorch's own counts as exact, others must be close to the float64 value
            agrees = torch.isclose(got, theirs, equal_nan=True, **(tolerance or DEFAULT[theirs.dtype]))
            torch.testing.assert_close(
                torch.where(agrees, wide.to(got.dtype), got), wide.to(got.dtype), equal_nan=True, **tolerance
            )
        except Exception:
            raise AssertionError(reached) from None


#: `assert_close`'s own tolerances.
DEFAULT = {
    dtype: {"atol": near.absolute, "rtol": near.relative}
    for dtype in (torch.float32, torch.complex64, torch.bfloat16)
    for near in (TOLERANCES["assert_close"][str(dtype).removeprefix("torch.")],)
}


def tolerances(op: Any, dtype: torch.dtype) -> dict[str, float]:
    """The widest tolerance that the database itself gives to the row, or nothing: `assert_close`'s own."""
    found = []
    for d in op.decorators:
        inner = d.decorators if isinstance(d, DecorateInfo) else [d]
        found += [o.d[dtype] for o in inner if isinstance(o, toleranceOverride) and dtype in o.d]
    if not found:
        return {}
    least = DEFAULT.get(dtype, {"atol": 1e-7, "rtol": 1e-7})
    return {k: max(least[k], *(getattr(t, k) for t in found)) for k in least}


def check(op: Any, dtype: torch.dtype = torch.float32, limit: int | None = None) -> int:
    """Compare a row; returns how many samples were compared."""
    todo, tolerance = cases(op, dtype, limit), tolerances(op, dtype)
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while part := list(islice(todo, TOGETHER)):
            check_together(op, part, tolerance)
            count += len(part)
    return count


def check_together(op: Any, todo: list[Case], tolerance: dict[str, float]) -> None:
    """Compare cases that share one recording and one backward."""
    f, total = ours(op), None
    for case in todo:
        with named_in_errors(case):
            run_ours(f, case)
        if case.loss is not None:
            total = case.loss if total is None else total + case.loss.to(total.dtype)
    if total is not None:
        total.backward()
    for case in todo:
        with named_in_errors(case):
            compare(op, case, tolerance)


@contextlib.contextmanager
def named_in_errors(case: Case) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(str(case))
        raise

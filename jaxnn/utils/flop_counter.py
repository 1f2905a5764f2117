"""Floating point operations of a program, counted operator by operator, forward and backward: `FlopCounterMode`."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.arguments import Number, changed, tensors_in
from jaxnn.core.process.config import state, x64
from jaxnn.core.process.late import imported as _imported
from jaxnn.nn.hooks import register_module_forward_hook, register_module_forward_pre_hook

__all__ = ["FlopCounterMode", "register_flop_formula"]

_Counts = list[tuple[str, int]]
#: Formulas that users registered, by the name of the operator: ``formula(*shapes and arguments, out_shape=...)``.
_registered: dict[str, Callable[..., int]] = {}
_NOT_COUNTED = {"mv", "dot", "vdot", "inner", "outer", "addmv", "addbmm", "bilinear", "cdist", "_scores_like"}


def register_flop_formula(targets: Any, get_raw: bool = False) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """A decorator: count operators by a formula of the user's, ``formula(*shapes and arguments, out_shape=shape) -> int``.

    Args:
        targets: a function of jaxnn's, the name of one, or several.
        get_raw: whether the formula takes tensors in the place of shapes, and ``out_val``.

    Source: https://github.com/pytorch/pytorch/blob/main/torch/utils/flop_counter.py (behaviour)
    """

    def register(formula: Callable[..., int]) -> Callable[..., int]:
        if get_raw:
            formula._get_raw = True  # type: ignore[attr-defined]
        for target in targets if isinstance(targets, (list, tuple)) else [targets]:
            _registered[_name(target)] = formula
        return formula

    return register


class FlopCounterMode:
    """Counts the floating point operations of matrix products, convolutions and attention in its block.

    A product of (m, k) and (k, n) counts 2 m k n. As in PyTorch, products of a matrix and a vector, elementwise operators and norms
    count nothing, and neither does the fused attention on a CPU (4-d operands without dropout); on other devices it counts as
    PyTorch's kernels do. A backward counts if it runs in the block and its forward did. Operators inside a JAX transformation count
    once for each time it is traced; operators that a program reuses count each time.

    Args:
        mods: accepted as in PyTorch, where it is deprecated; modules are found by themselves.
        depth: how deep the printed table shows modules.
        display: whether to print the table at the end of the block.
        custom_mapping: formulas by function of jaxnn's, as `register_flop_formula` takes.

    Example:
        >>> with FlopCounterMode(display=False) as counter:
        ...     model(x).sum().backward()
        >>> counter.get_total_flops()

    Source: https://github.com/pytorch/pytorch/blob/main/torch/utils/flop_counter.py (behaviour)
    """

    def __init__(
        self, mods: Any = None, depth: int = 2, display: bool = True, custom_mapping: dict[Any, Any] | None = None
    ) -> None:
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[str, int]] = {}
        self._formulas = {_name(k): v for k, v in (custom_mapping or {}).items()}
        self._names: dict[int, str] = {}
        self._open: list[str] = []
        self._before: Any = None
        self._handles: list[Any] = []
        self._active = False

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts = defaultdict(lambda: defaultdict(int))
        self.flop_counts["Global"] = defaultdict(int)
        self._names, self._open, self._active = {}, ["Global"], True
        self._before, state.observer = state.observer, self._called
        self._handles = [
            register_module_forward_pre_hook(self._enters),
            register_module_forward_hook(self._leaves, always_call=True),
        ]
        return self

    def __exit__(self, *raised: Any) -> None:
        state.observer, self._active = self._before, False
        for handle in self._handles:
            handle.remove()
        self._names = {}
        if self.display:
            print(self.get_table(self.depth))

    # --- results

    def get_total_flops(self) -> int:
        """The operations of the whole block."""
        return sum(self.flop_counts.get("Global", {}).values())

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """By module ("Global" is the whole block), the operations by operator: ``{"Net.layer1": {"aten.mm": 240}}``."""
        return {name: dict(found) for name, found in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as text, for modules down to a depth."""
        depth = self.depth if depth is None else depth
        total = max(self.get_total_flops(), 1)
        rows = [("Module", "FLOP", "% Total")]
        for name in sorted(self.flop_counts, key=lambda n: (n != "Global", n)):
            level = 0 if name == "Global" else name.count(".") + 1
            if level > depth:
                continue
            found = self.flop_counts[name]
            rows.append((" " * level + name, _shown(sum(found.values())), f"{sum(found.values()) / total:.2%}"))
            rows += [(f"{' ' * level} - {k}", _shown(v), f"{v / total:.2%}") for k, v in found.items()]
        width = [max(len(row[k]) for row in rows) for k in range(3)]
        rows.insert(1, ("-" * width[0], "-" * width[1], "-" * width[2]))
        return "\n".join(f"{a:<{width[0]}}  {b:>{width[1]}}  {c:>{width[2]}}" for a, b, c in rows)

    # --- counting

    def _enters(self, module: Any, args: Any) -> None:
        if id(module) not in self._names:
            self._names.update({id(m): f"{type(module).__name__}.{n}".rstrip(".") for n, m in module.named_modules()})
        self._open.append(self._names[id(module)])

    def _leaves(self, module: Any, args: Any, result: Any) -> None:
        if len(self._open) > 1:
            self._open.pop()

    def _add(self, where: tuple[str, ...], counts: _Counts) -> None:
        for name, number in counts:
            if number:
                for module in where:
                    self.flop_counts[module][f"aten.{name}"] += number

    def _called(self, op: Any, args: tuple[Any, ...], made: Any) -> None:
        if self._before is not None:  # a mode around this one
            self._before(op, args, made)
        where = tuple(dict.fromkeys(self._open))
        formula = self._formulas.get(op.name) or _registered.get(op.name)
        if formula is not None:
            self._add(where, [(op.name, _by_formula(formula, args, made))])
            return
        if op.name in _NOT_COUNTED or op.view is not None:
            return
        count = _COUNTS.get(op.name, _traced)
        forward, backward = count(op, args, made)
        self._add(where, forward)
        first = next(iter(_tensors(made)), None)
        if not forward or first is None or not first.requires_grad:
            return
        needs = [t.requires_grad for t in tensors_in(args)]

        def passed(grads: Any) -> None:
            if self._active:
                self._add(where, backward(needs))

        first.grad_fn.register_prehook(passed)


def _name(target: Any) -> str:
    if isinstance(target, str):
        return target.removeprefix("aten.")
    found = getattr(target, "__name__", None)
    if not isinstance(found, str):
        raise TypeError(f"an operator or its name, not {type(target).__name__}")
    return found


def _shown(number: int) -> str:
    for size, unit in ((12, "T"), (9, "B"), (6, "M"), (3, "K")):
        if number >= 10**size:
            return f"{number / 10**size:.3f}{unit}"
    return str(number)


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, TensorBase):
        yield value
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from _tensors(v)


def _by_formula(formula: Callable[..., int], args: tuple[Any, ...], made: Any) -> int:
    if getattr(formula, "_get_raw", False):
        return int(formula(*args, out_val=made))
    shapes = changed(args, lambda a: tuple(aval(a).shape) if isinstance(a, TensorBase) else getattr(a, "value", a))
    out = tuple(tuple(aval(t).shape) for t in _tensors(made))
    return int(formula(*shapes, out_shape=out[0] if len(out) == 1 else out))


# --- products: forward, and by operand that needs a gradient


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(aval(value).shape) if isinstance(value, TensorBase) else tuple(value.shape)


def _product(forward: str, backward: str, number: int, operands: tuple[int, ...]) -> Any:
    """Each operand's gradient is a product of the same size."""

    def counted(needs: list[bool]) -> _Counts:
        return [(backward, number * sum(needs[k] for k in operands if k < len(needs)))]

    return [(forward, number)] if number else [], counted


def _linear(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    number = 2 * math.prod(_shape(made)) * _shape(args[0])[-1]
    return _product("mm" if len(args) < 3 or args[2] is None else "addmm", "mm", number, (0, 1))


def _matmul(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    a, b = _shape(args[0]), _shape(args[1])
    if len(b) == 1 or (len(a) == 1 and len(b) < 3):
        return [], None
    if len(a) == 1:
        return [], None
    name = "mm" if len(b) == 2 and len(a) == 2 or (len(b) == 2 and len(a) > 2) else "bmm"
    return _product(name, name, 2 * math.prod(_shape(made)) * a[-1], (0, 1))


def _added(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    plain = {"addmm": "mm", "baddbmm": "bmm"}[op.name]
    return _product(op.name, plain, 2 * math.prod(_shape(made)) * _shape(args[1])[-1], (1, 2))


def _plain(name: str) -> Any:
    return lambda op, args, made: _product(name, name, 2 * math.prod(_shape(made)) * _shape(args[0])[-1], (0, 1))


def _tensordot(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    a, b, out = (math.prod(_shape(v)) for v in (args[0], args[1], made))
    return _product("mm", "mm", 2 * math.isqrt(a * b * out), (0, 1))  # (m k)(k n)(m n) is the square of m k n


def _einsum(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    forward, backward = _traced(op, args, made)
    return [("bmm", n) for _, n in forward], lambda needs: [("bmm", n) for _, n in backward(needs)]


# --- convolutions


def _convolution(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    """As PyTorch counts: groups take part in the weight's size, and not in that of the products of its gradient."""
    transposed = "transpose" in op.name
    x, w, out = _shape(args[0]), _shape(args[1]), _shape(made)
    if len(x) < len(w):
        x, out = (1, *x), (1, *out)

    def products(x: tuple[int, ...], w: tuple[int, ...], out: tuple[int, ...], transposed: bool) -> int:
        return 2 * x[0] * math.prod(w) * math.prod((x if transposed else out)[2:])

    def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[1], shape[0], *shape[2:])

    def counted(needs: list[bool]) -> _Counts:
        number = products(out, w, x, not transposed) if needs[0] else 0
        if len(needs) > 1 and needs[1]:
            ends = (out, x) if transposed else (x, out)
            number += products(turned(ends[0]), turned(ends[1]), turned(w), False)
        return [("convolution_backward", number)]

    return [("convolution", products(x, w, out, transposed))], counted


# --- everything else: the products in its program


def _attention(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    given = dict(zip(inspect.signature(op.kernel).parameters, args, strict=False))
    q, k, v = (_shape(t) for t in args[:3])
    mask = given["attn_mask"]
    scores, mixed = (2 * math.prod(q[:-1]) * n for n in (q[-1] * k[-2], k[-2] * v[-1]))

    def backward(needs: list[bool]) -> _Counts:
        of_weights = mixed * (needs[0] or needs[1])
        return [("bmm", of_weights + scores * (needs[0] + needs[1]) + mixed * needs[2])]

    fused = len(q) == 4 and q[-1] == v[-1] and not (isinstance(mask, TensorBase) and mask.requires_grad)
    return _unless_fused(args, [("bmm", scores + mixed)], backward, fused)


def _multi_head(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    given = dict(zip(inspect.signature(op.kernel).parameters, args, strict=False))
    forward, traced = _traced(op, args, made)
    inside = dict(forward).get("bmm", 0)

    def backward(needs: list[bool]) -> _Counts:  # both products twice; what is computed again in a memory-saving backward is none
        return [(k, 2 * inside if k == "bmm" else n) for k, n in traced(needs)]

    return _unless_fused(args, forward, backward, not given["need_weights"])


def _unless_fused(args: tuple[Any, ...], forward: _Counts, backward: Any, fused: bool) -> Any:
    """The products of an attention, by the kernel that PyTorch takes: it has no formula for that of its CPU."""
    if not fused or any(isinstance(a, Number) for a in args):  # dropout
        return forward, backward
    inside = dict(forward)["bmm"] if args[0].device.type != "cpu" else 0
    names = "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_backward"

    def around(needs: list[bool]) -> _Counts:
        return [*(f for f in backward(needs) if f[0] != "bmm"), (names[1], inside * 5 // 2)]

    return [*(f for f in forward if f[0] != "bmm"), (names[0], inside)], around


def _traced(op: Any, args: tuple[Any, ...], made: Any) -> Any:
    """The products in the jaxpr of an operator, and in that of its derivative."""
    tensors = list(tensors_in(args))
    if not tensors or sum(len(_shape(t)) > 1 for t in tensors) < 2:
        return [], None  # a product takes two
    with x64(True):
        described = [jax.ShapeDtypeStruct(_shape(t), aval(t).np) for t in tensors]

        def run(*arrays: Any) -> Any:
            given = iter(arrays)
            return op.kernel(*changed(args, lambda a: next(given) if isinstance(a, TensorBase) else getattr(a, "value", a)))

        try:
            forward = _of_jaxpr(jax.make_jaxpr(run)(*described).jaxpr)
        except Exception:  # a kernel that looks at values has no products of matrices
            return [], None

    def counted(needs: list[bool]) -> _Counts:
        moving = [k for k, n in enumerate(needs) if n]

        def of(*some: Any) -> Any:
            given = dict(zip(moving, some, strict=True))
            rest = [jax.numpy.zeros(d.shape, d.dtype) for d in described]
            return run(*(given.get(k, r) for k, r in enumerate(rest)))

        def derivative(*some: Any) -> Any:
            result, pull = jax.vjp(of, *some)
            return pull(jax.tree.map(jax.numpy.ones_like, result))

        with x64(True):
            both = dict(_of_jaxpr(jax.make_jaxpr(derivative)(*(described[k] for k in moving)).jaxpr))
        for name, number in forward:
            both[name] = both.get(name, 0) - number
        return list(both.items())

    return forward, counted


def _of_jaxpr(jaxpr: Any, times: int = 1) -> _Counts:
    """Products by name, those of loops as often as they run."""
    found: dict[str, int] = defaultdict(int)
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), (batch, _) = eqn.params["dimension_numbers"]
            left, out = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
            number = 2 * math.prod(out) * math.prod(left[k] for k in contracted)
            found["bmm" if batch else "mm"] += times * number
        elif eqn.primitive.name == "conv_general_dilated":
            spec = eqn.params["dimension_numbers"].rhs_spec
            w, out = eqn.invars[1].aval.shape, eqn.outvars[0].aval.shape
            found["convolution"] += times * 2 * math.prod(out) * math.prod(w) // w[spec[0]]
        elif eqn.primitive.name == "cond":
            branches = [_of_jaxpr(branch.jaxpr, times) for branch in eqn.params["branches"]]
            for name, number in max(branches, key=lambda b: sum(n for _, n in b)):
                found[name] += number
        else:
            inner = times * (eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1)
            for value in eqn.params.values():
                for part in value if isinstance(value, (tuple, list)) else (value,):
                    part = getattr(part, "jaxpr", part)
                    if hasattr(part, "eqns"):
                        for name, number in _of_jaxpr(part, inner):
                            found[name] += number
    return list(found.items())


_COUNTS: dict[str, Any] = {
    "linear": _linear, "matmul": _matmul, "addmm": _added, "baddbmm": _added, "mm": _plain("mm"), "bmm": _plain("bmm"),
    "tensordot": _tensordot, "einsum_of": _einsum,
    "scaled_dot_product_attention": _attention, "multi_head_attention_forward": _multi_head,
    **{f"conv{t}{n}d": _convolution for t in ("", "_transpose") for n in (1, 2, 3)},
}  # fmt: skip

_imported(__name__)

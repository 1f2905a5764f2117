"""Calls of a function as source text: one that fits, each of its arguments replaced, and several replaced together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from .bases import BASES, TENSORS
from .signatures import Function, Parameter, Signature

DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 uint8 int8 bool complex64 complex128".split()
_SHAPES = ("", "0", "1", "3", "0, 3", "2, 3", "2, 3, 3", "1, 2, 3, 3")
_DRAWN = 12  # calls of an overload in which several arguments are replaced


def tensor(dtype: str = "float32", shape: str = "3, 3", seed: int = 0) -> str:
    """The text of a tensor."""
    return f"x('{dtype}'{', ' if shape else ''}{shape}{f', seed={seed}' if seed else ''})"


#: What is given for a kind of argument, beside what fits.
_INSTEAD: dict[str, list[str]] = {
    "Tensor": [
        *(tensor(d) for d in DTYPES[1:]), *(tensor("float32", s) for s in _SHAPES), tensor("int64", ""), tensor("int64", "3"),
        tensor("bool", "3"), "x('float32', 3, 3).mT", "x('float32', 3, 6)[:, ::2]", "x('float32', 3, 3) * float('nan')", "True", "2", "1.5",
        "None", "[1.0, 2.0]", "[]", "'a'",
    ],
    "Tensors": [
        *(f"[{tensor(d)}, {tensor(d, seed=1)}]" for d in DTYPES[1:]), tensor(), "[]", "()", f"[{tensor()}]", f"({tensor()}, {tensor()})",
        f"[{tensor()}, None]", f"[{tensor()}, 1.0]", f"[{tensor('int64')}, {tensor()}]", f"[{tensor('bool')}, {tensor('float64')}]",
        f"[{tensor('float32', '')}, {tensor('float32', '')}]", f"[{tensor('float32', '0')}, {tensor()}]", "1", "None",
    ],
    "int": ["0", "-1", "2", "-3", "5", "100", "True", "1.0", "None", "'1'", "[1]", "t.tensor(1)", "t.tensor(1.0)", "t.tensor([1])"],
    "ints": [
        "[]", "()", "1", "0", "(0,)", "[0, 1]", "(1, 2)", "[0, 0]", "[-1]", "-1", "[-2, -1]", "[5]", "[1, 1, 1]", "[1, 1, 1, 1]", "True",
        "[True]",
        "1.0", "[1.0]", "None", "[None]", "'a'", "t.tensor(1)", "t.tensor([1, 1])", "[t.tensor(1)]", "t.Size([3, 3])",
    ],
    "float": ["0.0", "1.0", "-1.0", "0", "1", "float('inf')", "float('nan')", "True", "1j", "None", "'a'", "[1.0]", "t.tensor(0.5)"],
    "floats": ["[1.0]", "[1.0, 2.0]", "1.0", "2", "None", "[]", "'a'"],
    "bool": ["True", "False", "1", "0", "None", "1.0", "'a'"],
    "Scalar": ["True", "0", "-1", "0.5", "300", "-1.5", "1j", "float('nan')", "None", "'a'", "[1]", "t.tensor(2)", "t.tensor(1.5)",
               "t.tensor([1.0])"],
    "dtype": [*(f"t.{d}" for d in DTYPES), "float", "int", "bool", "'float32'", "1", "None"],
    "str": ["''", "'zzz'", "None", "1", "'mean'", "'sum'", "'none'"],
    "device": ["'cpu'", "t.device('cpu')", "None", "1.5", "'zzz'"],
    "memory_format": ["t.contiguous_format", "t.preserve_format", "t.channels_last", "None", "'zzz'"],
    "*Tensor": [
        f"*[{tensor()}, {tensor()}]", f"[{tensor()}, {tensor()}]", "*[]", "[]", "1", "None", tensor("int64", "3"), tensor("float32", ""),
    ],
}  # fmt: skip
_OUT = [
    tensor("float32", "0"), tensor("float64", "0"), tensor("int32", "0"), tensor("bool", "0"), tensor("complex64", "0"),
    tensor("float32", "3, 3"),
    tensor("float32", "2"), "None", "1", "[]",
]  # fmt: skip


def fitting(parameter: Parameter, function: str) -> str:
    """The text of a value that mostly fits."""
    name = parameter.name
    match parameter.kind:
        case "Tensor":
            return TENSORS.get(name) or tensor(seed=len(name) % 3)
        case "Tensors":
            return f"[{tensor()}, {tensor(seed=1)}]"
        case "*Tensor":
            return f"*[{tensor()}, {tensor(seed=1)}]"
        case "int":
            return "1"
        case "ints":
            return "[0, 1]" if "dim" in name else "[3, 3]" if "size" in name or "shape" in name else "[1, 1]"
        case kind:
            fit = {"float": "0.5", "floats": "[1.0]", "bool": "False", "Scalar": "2", "dtype": "t.float64", "str": "'mean'"}
            return fit.get(kind, "None")


def _call(function: Function, given: dict[str, str], signature: Signature, by_name: bool = False) -> str:
    """A call's text; every argument behind one that is left out is given by name."""
    parts, positional = [], True
    for p in signature.parameters:
        if p.name not in given:
            positional = False
        elif positional and not p.keyword_only and not (by_name and p.kind != "*Tensor"):
            parts.append(given[p.name])
        else:
            parts.append(f"{p.name}={given[p.name]}")
    parts += [f"{name}={value}" for name, value in given.items() if name not in {p.name for p in signature.parameters}]
    if function.is_method:
        return f"{parts[0].removeprefix('input=')}.{function.name}({', '.join(parts[1:])})"
    return f"{function.name}({', '.join(parts)})"


def _outs(signature: Signature) -> list[str]:
    if signature.outs == 1:
        return [*_OUT, f"({_OUT[0]},)", f"[{_OUT[0]}]"]
    same = ", ".join([_OUT[0]] * signature.outs)
    return [f"({same})", f"[{same}]", f"({_OUT[0]}, {tensor('int64', '0')})", *_OUT[:1], "None", f"({_OUT[0]},)"]


def _singles(signature: Signature, base: dict[str, str], is_method: bool) -> Iterator[tuple[str, str]]:
    """Parameters with values to put there."""
    for k, p in enumerate(signature.parameters):
        for value in _INSTEAD.get(p.kind, ()):
            if not (is_method and k == 0 and not value.startswith("x(")):
                yield p.name, value
    if signature.outs and not is_method:
        for value in _outs(signature):
            yield "out", value


class Call(NamedTuple):
    """A call's text, and how many of its arguments were replaced together."""

    text: str
    replaced: int


def calls(function: Function, seed: int = 0) -> Iterator[Call]:
    """The calls of a function, the same at every run; a seed draws others of those in which several arguments are replaced."""
    seen: set[str] = set()
    for text, replaced in _all_calls(function, seed):
        if text not in seen:
            seen.add(text)
            yield Call(text, replaced)


def _all_calls(function: Function, seed: int) -> Iterator[tuple[str, int]]:
    draw = random.Random(f"{function.name}{seed or ''}")
    if not function.is_method:
        yield f"{function.name}()", 1
    short = function.name.rpartition(".")[2]
    for signature in function.signatures:
        required = [p for p in signature.parameters if not p.has_default]
        if function.is_method and not (required and required[0].kind == "Tensor"):
            continue
        for base in [*BASES.get(short, ()), None]:
            texts = base or [fitting(p, short) for p in required]
            if len(texts) != len(required):
                continue
            given = {p.name: text for p, text in zip(required, texts, strict=True)}
            yield _call(function, given, signature), 0
            yield _call(function, given, signature, by_name=True), 0
            tensors = [p.name for p in required if p.kind == "Tensor"]
            for dtype in DTYPES[1:] if len(tensors) > 1 else ():
                yield _call(function, {n: v.replace("float32", dtype) for n, v in given.items()}, signature), 1
            for shape in _SHAPES if len(tensors) > 1 and base is None else ():
                shaped = {n: tensor("float32", shape, k) for k, n in enumerate(tensors)}
                yield _call(function, {**given, **shaped}, signature), 2
            singles = list(_singles(signature, given, function.is_method))
            for name, value in singles:
                yield _call(function, {**given, name: value}, signature), 1
            for _ in range(_DRAWN if len(signature.parameters) > 1 else 0):
                some = draw.sample(singles, min(len(singles), draw.choice((2, 2, 3))))
                yield _call(function, {**given, **dict(some)}, signature), 2

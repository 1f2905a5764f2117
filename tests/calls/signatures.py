"""What PyTorch's functions and methods take: from its schemas, and from the signatures of those written in Python."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

import jaxnn


class Parameter(NamedTuple):
    """A parameter, the kind of value that it takes, and how it is given."""

    name: str
    kind: str
    has_default: bool
    keyword_only: bool
    takes_none: bool


class Signature(NamedTuple):
    """One overload: its parameters, and how many tensors ``out=`` takes."""

    parameters: tuple[Parameter, ...]
    outs: int


class Function(NamedTuple):
    """A function or method by the text that calls it, and its overloads."""

    name: str
    is_method: bool
    signatures: tuple[Signature, ...]


#: Namespaces, and what PyTorch's operators of one are prefixed with.
SPACES = {"t": "", "t.linalg": "linalg_", "t.special": "special_", "t.fft": "fft_", "t.nn.functional": ""}

#: Left out: what changes the process, waits, or shows memory that nobody has written.
_SKIPPED = set(
    """
    set_default_dtype set_default_device set_default_tensor_type manual_seed seed set_rng_state set_printoptions compile save
    load from_file set_num_threads set_num_interop_threads set_flush_denormal set_deterministic_debug_mode
    use_deterministic_algorithms set_warn_always set_float32_matmul_precision set_anomaly_enabled set_grad_enabled
    set_autocast_enabled set_autocast_dtype set_autocast_cache_enabled rename_ rename set_ share_memory_ requires_grad_ backward
    empty_strided empty_permuted new_empty_strided resize_as_sparse_ sparse_resize_ sparse_resize_and_clear_ record_stream
    storage is_vulkan_available geqrf binomial vmap cond while_loop import_ir_module register_hook boolean_dispatch
    assert_int_or_pair handle_torch_function has_torch_function has_torch_function_unary has_torch_function_variadic
    multi_head_attention_forward triplet_margin_with_distance_loss linear_cross_entropy align_to align_as refine_names
    """.split()
)
_UNSEEN = ("generator", "layout", "pin_memory", "names", "_stacklevel", "_random_samples", "stream")
_KINDS = {
    "Tensor": "Tensor", "List[Tensor]": "Tensors", "int": "int", "SymInt": "int", "float": "float", "bool": "bool", "number": "Scalar",
    "List[int]": "ints", "List[SymInt]": "ints", "ScalarType": "dtype", "str": "str", "Device": "device", "MemoryFormat": "memory_format",
    "List[float]": "floats", "list[int]": "ints", "list[float]": "floats", "NoneType": "ints", "None": "ints", "dtype": "dtype",
    "list[Tensor]": "Tensors", "int | float": "Scalar", "Tensor | float": "Tensor", "complex": "Scalar",
}  # fmt: skip


def _space(library: Any, path: str) -> Any:
    for part in path.split(".")[1:]:
        library = getattr(library, part)
    return library


def _from_schemas(schemas: list[Any]) -> Iterator[Signature]:
    with_tensor = [s for s in schemas if any("Tensor" in str(a.real_type) for a in s.arguments if not a.is_out)]
    outs = {_key(s): sum(a.is_out for a in s.arguments) for s in schemas if any(a.is_out for a in s.arguments)}
    for schema in with_tensor or schemas:
        if any(a.is_out for a in schema.arguments) or "Dimname" in str(schema) or "str dim" in str(schema):
            continue
        found = [_parameter_of(a) for a in schema.arguments if a.name not in _UNSEEN]
        if all(p.kind or p.has_default for p in found):
            yield Signature(tuple(p for p in found if p.kind), outs.get(_key(schema), 0))


def _key(schema: Any) -> tuple[str, ...]:
    return tuple(str(a.real_type) for a in schema.arguments if not a.is_out)


def _parameter_of(argument: Any) -> Parameter:
    text = str(argument.real_type)
    inner = re.sub(r"^Optional\[(.*)\]$", r"\1", text)
    name = "input" if argument.name == "self" else argument.name
    kind = "dtype" if name in ("dtype", "out_dtype") and inner == "int" else _KINDS.get(inner, "")
    return Parameter(name, kind, argument.has_default_value(), argument.kwarg_only, inner != text)


def _from_python(f: Any) -> Iterator[Signature]:
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return
    found = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            found.append(Parameter(p.name, "*Tensor", False, False, False))
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.name in (*_UNSEEN, "out"):
            continue
        text = _annotation(p)
        kinds = [part for part in text.split(" | ") if part not in ("None", "NoneType")] if " | " in text else [text]
        kind = "dtype" if p.name == "dtype" else _KINDS.get(" | ".join(kinds)) or _KINDS.get(kinds[0] if kinds else "", "")
        has_default = p.default is not p.empty
        found.append(Parameter(p.name, kind, has_default, p.kind is p.KEYWORD_ONLY, has_default and p.default is None))
    if all(p.kind or p.has_default for p in found):
        yield Signature(tuple(p for p in found if p.kind), int("out" in [p.name for p in parameters]))


def _annotation(p: inspect.Parameter) -> str:
    if p.annotation is p.empty:
        if p.default is not p.empty and p.default is not None:
            return type(p.default).__name__
        return "Tensor" if p.name in ("input", "target", "other", "weight", "tensor", "a", "b", "x") else "?"
    text = p.annotation if isinstance(p.annotation, str) else getattr(p.annotation, "__name__", str(p.annotation))
    text = str(p.annotation) if "|" in str(p.annotation) else text
    text = re.sub(r"\b(torch|typing|builtins)\.", "", text)
    return re.sub(r"^Optional\[(.*)\]$", r"\1 | None", re.sub(r"BroadcastingList\d\[", "list[", text))


def functions() -> Iterator[Function]:
    """Every function of the namespaces and every method that both libraries have and whose parameters are known."""
    for path, prefix in SPACES.items():
        theirs, ours = _space(torch, path), _space(jaxnn, path)
        for name in _names(theirs, ours):
            f = getattr(theirs, name)
            operator = name if prefix and name.startswith(prefix) else prefix + name
            yield from _known(f"{path}.{name}", False, f, operator)
    for name in _names(torch.Tensor, jaxnn.Tensor):
        yield from _known(name, True, getattr(torch.Tensor, name), name)


def _names(theirs: Any, ours: Any) -> list[str]:
    return [
        n for n in sorted(dir(theirs))
        if not n.startswith("_") and n not in _SKIPPED and hasattr(ours, n) and callable(getattr(theirs, n))
        and not inspect.isclass(getattr(theirs, n))
    ]  # fmt: skip


def _known(text: str, is_method: bool, f: Any, operator: str) -> Iterator[Function]:
    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{operator}")
    python = inspect.isfunction(f) and (not schemas or text.startswith("t.nn.functional"))
    signatures = tuple(_from_python(f) if python else _from_schemas(schemas))
    if signatures:
        yield Function(text, is_method, signatures)

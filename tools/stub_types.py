"""What a public function takes and gives, for stubs: from the kernels' annotations, and by PyTorch's names of arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

__all__ = ["HEADER", "parameters", "qualified", "result"]

#: What every stub begins with. Names of Python's types are functions and methods here, so they are said in full.
HEADER = [
    '"""Written by tools/write_stub.py; do not edit."""', "", "import builtins", "from collections.abc import Iterator, Sequence",
    "from typing import Any", "", "import numpy as np", "", "from jaxnn.core.kinds.device import device as _device",
    "from jaxnn.core.kinds.dtypes import dtype as _dtype", "from jaxnn.core.random.generator import Generator as _Generator",
    "from jaxnn.core.gradient.grad_fn import GradFn as _GradFn", "from jaxnn.core.memory.tensor_base import Tensor as Tensor",
    "from jaxnn.core.kinds.size import Size as _Size",
]  # fmt: skip
#: Annotations of kernels -> what users give.
_KERNELS = {
    "Array": "Tensor", "jax.Array": "Tensor", "jax.jaxlib._jax.Array": "Tensor", "TensorBase": "Tensor",
    "Array | None": "Tensor | None", "jax.jaxlib._jax.Array | None": "Tensor | None", "jax.Array | None": "Tensor | None",
    "Operand": "Tensor | complex", "Arrays": "Sequence[Tensor]", "Dim": "int | Sequence[int] | None",
    "Ints": "int | Sequence[int]", "Ints | None": "int | Sequence[int] | None", "Ints | str": "int | Sequence[int] | str",
    "bool": "bool", "int": "int", "float": "float", "str": "str", "int | None": "int | None", "bool | None": "bool | None",
    "float | None": "float | None", "str | None": "str | None", "float | str | None": "float | str | None",
    "tuple[int, ...]": "Sequence[int]", "Sequence[int]": "Sequence[int]", "dtypes.dtype": "dtype",
    "dtypes.dtype | None": "dtype | None", "dtype": "dtype",
}  # fmt: skip
#: Names of arguments that say their type where a function takes anything.
_NAMES = {
    "input": "Tensor", "other": "Tensor | complex", "dtype": "dtype | None", "device": "device | str | int | None",
    "requires_grad": "bool", "keepdim": "bool", "generator": "Generator | None", "pin_memory": "bool", "inplace": "bool",
    "mat1": "Tensor", "mat2": "Tensor", "vec1": "Tensor", "vec2": "Tensor", "batch1": "Tensor", "batch2": "Tensor",
    "training": "bool",
}  # fmt: skip
#: Methods and functions that give something else than one tensor.
RESULTS = {
    "__len__": "int", "__bool__": "bool", "__int__": "int", "__float__": "float", "__complex__": "complex",
    "__hash__": "int", "__index__": "int", "__repr__": "str", "__str__": "str", "__format__": "str",
    "__contains__": "bool", "__iter__": "Iterator[Tensor]", "size": "Any", "dim": "int", "ndimension": "int",
    "numel": "int", "nelement": "int", "element_size": "int", "item": "int | float | bool", "tolist": "Any",
    "numpy": "np.ndarray[Any, Any]",
    "__array__": "np.ndarray[Any, Any]", "backward": "None", "retain_grad": "None", "stride": "Any", "storage_offset": "int",
    "data_ptr": "int", "is_contiguous": "bool", "is_floating_point": "bool", "is_complex": "bool", "is_signed": "bool",
    "get_device": "int", "equal": "bool", "allclose": "bool", "register_hook": "Any", "is_nonzero": "bool",
    "register_post_accumulate_grad_hook": "Any", "__reduce_ex__": "Any", "__deepcopy__": "Any", "__dlpack__": "Any",
    "__dlpack_device__": "Any", "__jax_array__": "Any", "__getitem__": "Tensor", "__setitem__": "None", "_is_view": "bool",
    "as_subclass": "Any", "is_inference": "bool", "is_distributed": "bool", "is_coalesced": "bool", "is_same_size": "bool",
    "is_pinned": "bool", "is_shared": "bool", "is_set_to": "bool", "has_names": "bool", "type": "Any", "storage": "Any",
    "untyped_storage": "Any", "_make_subclass": "Any", "_make_wrapper_subclass": "Any", "__array_function__": "Any",
    "dim_order": "tuple[int, ...]", "is_tensor": "bool", "manual_seed": "Generator", "seed": "int", "initial_seed": "int",
    "set_rng_state": "None", "fork_rng": "Any", "finfo": "Any", "iinfo": "Any", "typename": "str", "can_cast": "bool",
    "promote_types": "dtype", "result_type": "dtype", "broadcast_shapes": "Any", "is_storage": "bool", "is_neg": "bool",
    "is_conj": "bool", "is_grad_enabled": "bool", "assert_close": "None",
}  # fmt: skip
#: Those that give several tensors.
_SEVERAL = {
    "split", "chunk", "unbind", "tensor_split", "hsplit", "vsplit", "dsplit", "meshgrid", "broadcast_tensors", "split_with_sizes",
    "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes", "split_copy", "unbind_copy", "split_with_sizes_copy",
}  # fmt: skip
#: Those whose kind of result depends on the arguments, or that give a named tuple.
_VARIED = {
    "max", "min", "median", "nanmedian", "mode", "sort", "topk", "kthvalue", "cummax", "cummin", "unique", "unique_consecutive",
    "aminmax", "std_mean", "var_mean", "slogdet", "svd", "qr", "lu", "lu_unpack", "geqrf", "triangular_solve", "frexp", "histogram",
    "histogramdd", "nonzero", "where", "atleast_1d", "atleast_2d", "atleast_3d", "to_dense", "lstm", "gru", "rnn_tanh", "rnn_relu",
    "einsum", "multi_head_attention_forward", "embedding_bag", "gumbel_softmax",
}  # fmt: skip


def qualified(text: str) -> str:
    """A type in which Python's own names are said in full, and the library's under names that nothing hides."""
    text = re.sub(r"(?<![.\w])(bool|int|float|complex|str|tuple)\b", r"builtins.\1", text)
    return re.sub(r"(?<![.\w])(device|dtype|Generator|Size|GradFn)\b", r"_\1", text)


def _annotation(p: inspect.Parameter) -> str:
    found = p.annotation
    text = found if isinstance(found, str) else getattr(found, "__name__", str(found))
    text = {"_empty": "Any"}.get(text, text).removeprefix("typing.")
    if text in _KERNELS:
        return _KERNELS[text]
    if p.name in _NAMES:
        return _NAMES[p.name]
    return "Any"


def parameters(f: Callable[..., Any], method: bool = False, skip: tuple[str, ...] = ()) -> str:
    """The parameters of a function, with their types."""
    parts: list[str] = []
    keyword = False
    for k, p in enumerate(q for q in inspect.signature(f).parameters.values() if q.name not in skip):
        if method and k == 0:
            parts.append("self")
            continue
        kind = qualified(_annotation(p))
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: {kind}")
            keyword = True
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: Any")
        else:
            if p.kind is p.KEYWORD_ONLY and not keyword:
                parts.append("*")
                keyword = True
            if p.default is None and "None" not in kind and kind != "Any":
                kind += " | None"
            parts.append(f"{p.name}: {kind}" + ("" if p.default is p.empty else " = ..."))
    return ", ".join(parts)


def result(name: str, f: Callable[..., Any]) -> str:
    """What a function gives."""
    return qualified(_result(name, f))


def _result(name: str, f: Callable[..., Any]) -> str:
    if name in RESULTS:
        return RESULTS[name]
    if name in _SEVERAL:
        return "tuple[Tensor, ...]"
    plain = name.rstrip("_")
    if plain in _VARIED or "pool" in name or name.startswith(("linalg_", "_")) and not name.startswith("__"):
        return "Any"
    text = str(inspect.signature(f).return_annotation)
    if text.startswith("tuple["):
        return "tuple[Tensor, ...]"
    return {"bool": "bool", "int": "int", "str": "str", "None": "None", "builtins.bool": "bool"}.get(text, "Tensor")

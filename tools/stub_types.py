"""What a public function takes and gives, for stubs: from the kernels' annotations, and by PyTorch's names of arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

__all__ = ["HEADER", "definition", "qualified"]

#: What every stub begins with. Names of Python's types are functions and methods here, so they are said in full.
HEADER = [
    '"""Written by tools/write_stub.py; do not edit."""', "", "import builtins", "from collections.abc import Iterator, Sequence",
    "from contextlib import AbstractContextManager", "from typing import Any, Literal, overload", "", "import numpy as np", "",
    "from jaxnn.core.kinds.device import device as _device", "from jaxnn.core.kinds.dtypes import dtype as _dtype",
    "from jaxnn.core.random.generator import Generator as _Generator", "from jaxnn.core.gradient.grad_fn import GradFn as _GradFn",
    "from jaxnn.core.memory.tensor_base import Tensor as Tensor", "from jaxnn.core.kinds.size import Size as _Size",
    "from jaxnn.core.kinds.size import layout as _layout", "from jaxnn.core.path.hook_handle import RemovableHandle as _RemovableHandle",
    "from jaxnn.ops.common import return_types as _return_types", "from jaxnn.ops.memory.strides import memory_format as _memory_format",
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
_SIZES = "int | Sequence[int]"
#: Names of arguments that say their type where a kernel takes anything.
_NAMES = {
    "other": "Tensor | complex", "dtype": "dtype | None", "device": "device | str | int | None", "requires_grad": "bool",
    "keepdim": "bool", "generator": "Generator | None", "pin_memory": "bool", "inplace": "bool", "training": "bool",
    "layout": "layout | None", "memory_format": "memory_format", "dim": "int | Sequence[int] | None", "alpha": "complex",
    "beta": "complex", "value": "Tensor | complex", "src": "Tensor | complex", "exponent": "Tensor | complex",
    "start": "Tensor | complex", "end": "Tensor | complex", "step": "complex", "fill_value": "complex", "tensors": "Sequence[Tensor]",
    "indices_or_sections": "int | Sequence[int] | Tensor", "split_size_or_sections": _SIZES, "split_sizes": "Sequence[int]",
    "normalized_shape": _SIZES, "dx": "float", "s": "Sequence[int] | None", "scale_factor": "float | Sequence[float] | None",
    "norm_type": "float", "prob": "Tensor", "shifts": _SIZES, "names": "Sequence[None] | None", "values": "Tensor",
    "mean": "Tensor | float", "std": "Tensor | float", "repeats": "Tensor | int", "ord": "float | str | None",
    "output_ratio": "float | Sequence[float] | None", "range": "Sequence[float] | None", "bins": "int | Sequence[int] | Tensor",
    "spacing": "complex | Tensor | Sequence[Tensor | complex]", "input_lengths": "Tensor | Sequence[int]",
    "target_lengths": "Tensor | Sequence[int]", "atol": "Tensor | float | None", "rtol": "Tensor | float | None",
    "ndarray": "np.ndarray[Any, Any]", "seed": "int", "elements": "Tensor | complex", "test_elements": "Tensor | complex",
    "physical_layout": "Sequence[int]", "var": "Tensor | float", "destination": _SIZES, "sizes": "Sequence[int]",
    "boundaries": "Tensor", "dense_dim": "int | None", "shapes": "int | Sequence[int]",
}  # fmt: skip
_NAMES.update(dict.fromkeys((
    "input mat mat1 mat2 vec vec1 vec2 batch1 batch2 index source weight bias target A B input1 input2 mask x1 x2 x y running_mean "
    "running_var window anchor positive negative pos_weight weights log_probs targets query key attn_mask the_template "
    "sorted_sequence sorter new_state crow_indices col_indices M LU_data LU_pivots theta offsets per_sample_weights grid logits "
    "linear_weight linear_bias in_proj_weight in_proj_bias bias_k bias_v out_proj_weight out_proj_bias key_padding_mask static_k "
    "static_v q_proj_weight k_proj_weight v_proj_weight _random_samples fweights aweights prepend append count self condition "
    "indices tensor1 tensor2"
).split(), "Tensor"))  # fmt: skip
_NAMES.update(dict.fromkeys("size dims stride output_size kernel_size padding dilation shape".split(), _SIZES))
#: The same name where it means something else.
_ARGUMENTS = {
    "moveaxis.source": _SIZES, "movedim.source": _SIZES, "index_put.indices": "Sequence[Tensor | None]",
    "index_put_.indices": "Sequence[Tensor | None]", "sparse_coo_tensor.indices": "Any", "sparse_coo_tensor.values": "Any",
    "sparse_csr_tensor.crow_indices": "Any", "sparse_csr_tensor.col_indices": "Any", "sparse_csr_tensor.values": "Any",
    "__getitem__.key": "Any", "__setitem__.key": "Any", "__setitem__.value": "Any", "histogramdd.weight": "Tensor | None",
    "tensordot.dims": "int | Tensor | Sequence[Sequence[int]]", "result_type.tensor1": "Tensor | complex",
    "result_type.tensor2": "Tensor | complex", "split.tensor": "Tensor", "split_copy.tensor": "Tensor", "is_set_to.tensor": "Tensor",
    "tensordot.a": "Tensor", "tensordot.b": "Tensor", "normal_.mean": "float", "normal_.std": "float", "bernoulli_.p": "Tensor | float",
    "copy_.src": "Tensor", "narrow.start": "Tensor | int", "unique_consecutive.dim": "int | None", "unique.dim": "int | None",
    "from_dlpack.ext_tensor": "Any", "cond.p": "float | str | None", "linear_cross_entropy.options": "Any",
    "histogramdd.bins": "int | Sequence[int] | Sequence[Tensor]", "fold.padding": _SIZES, "constant_pad_nd.value": "complex",
    "pad.value": "float | None", "where.input": "Tensor | complex", "vander.x": "Tensor", "multi_dot.tensors": "Sequence[Tensor]",
    "scatter_add.src": "Tensor", "scatter_add_.src": "Tensor", "arange.end": "complex", "arange.start": "complex",
    "batch_norm.running_mean": "Tensor | None", "batch_norm.running_var": "Tensor | None",
    "range.end": "float", "range.start": "float", "nll_loss.weight": "Tensor | None",
}  # fmt: skip
#: Methods and functions that give something else than one tensor.
RESULTS = {
    "__len__": "int", "__bool__": "bool", "__int__": "int", "__float__": "float", "__complex__": "complex",
    "__hash__": "int", "__index__": "int", "__repr__": "str", "__str__": "str", "__format__": "str",
    "__contains__": "bool", "__iter__": "Iterator[Tensor]", "dim": "int", "ndimension": "int",
    "numel": "int", "nelement": "int", "element_size": "int", "item": "int | float | bool", "tolist": "Any",
    "numpy": "np.ndarray[Any, Any]",
    "__array__": "np.ndarray[Any, Any]", "backward": "None", "retain_grad": "None", "storage_offset": "int",
    "data_ptr": "int", "is_contiguous": "bool", "is_floating_point": "bool", "is_complex": "bool", "is_signed": "bool",
    "get_device": "int", "equal": "bool", "allclose": "bool", "register_hook": "RemovableHandle", "is_nonzero": "bool",
    "register_post_accumulate_grad_hook": "RemovableHandle", "__reduce_ex__": "Any", "__deepcopy__": "Tensor", "__dlpack__": "Any",
    "__dlpack_device__": "tuple[int, int]", "__jax_array__": "Any", "__getitem__": "Tensor", "__setitem__": "None", "_is_view": "bool",
    "as_subclass": "Any", "is_inference": "bool", "is_distributed": "bool", "is_coalesced": "bool", "is_same_size": "bool",
    "is_pinned": "bool", "is_shared": "bool", "is_set_to": "bool", "has_names": "bool", "storage": "Any",
    "untyped_storage": "Any", "_make_subclass": "Any", "_make_wrapper_subclass": "Any", "__array_function__": "Any",
    "dim_order": "tuple[int, ...]", "is_tensor": "bool", "manual_seed": "Generator", "seed": "int", "initial_seed": "int",
    "set_rng_state": "None", "fork_rng": "AbstractContextManager[None]", "finfo": "Any", "iinfo": "Any",
    "typename": "str", "can_cast": "bool",
    "promote_types": "dtype", "result_type": "dtype", "broadcast_shapes": "Size", "is_storage": "bool", "is_neg": "bool",
    "is_conj": "bool", "is_grad_enabled": "bool", "assert_close": "None", "lstsq": "_return_types.linalg_lstsq",
}  # fmt: skip
#: Those that give several tensors.
_SEVERAL = {
    "split", "chunk", "unbind", "tensor_split", "hsplit", "vsplit", "dsplit", "meshgrid", "broadcast_tensors", "split_with_sizes",
    "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes", "split_copy", "unbind_copy", "split_with_sizes_copy",
}  # fmt: skip
#: Those whose kind of result no signature says: it depends on how many they are given, or on several flags.
_VARIED = {"unique", "unique_consecutive", "atleast_1d", "atleast_2d", "atleast_3d", "lu"}
_PAIR = "tuple[Tensor, Tensor]"
RESULTS.update(
    {"std_mean": _PAIR, "var_mean": _PAIR, "gru": _PAIR, "rnn_tanh": _PAIR, "rnn_relu": _PAIR, "lstm": "tuple[Tensor, Tensor, Tensor]",
     "multi_head_attention_forward": "tuple[Tensor, Tensor | None]"}
)  # fmt: skip
#: A flag that changes the result -> what there is with it.
_FLAGS = {"return_indices": _PAIR, "as_tuple": "tuple[Tensor, ...]"}
#: Reductions that give places, too, where they are told a dimension.
_BY_DIMENSION = ("max", "min", "median", "nanmedian")
#: Signatures that say more than the kernel's.
_WRITTEN = {
    "Tensor.size": ["(self, dim: None = ...) -> Size", "(self, dim: int) -> int"],
    "Tensor.stride": ["(self, dim: None = ...) -> tuple[int, ...]", "(self, dim: int) -> int"],
    "Tensor.type": [
        "(self, dtype: None = ..., non_blocking: bool = ...) -> str", "(self, dtype: dtype | str, non_blocking: bool = ...) -> Tensor",
    ],
    "where": [
        "(condition: Tensor) -> tuple[Tensor, ...]",
        "(condition: Tensor, input: Tensor | complex, other: Tensor | complex, *, out: Tensor | None = ...) -> Tensor",
    ],
}  # fmt: skip


def qualified(text: str) -> str:
    """A type in which Python's own names are said in full, and the library's under names that nothing hides."""
    text = re.sub(r"(?<![.\w])(bool|int|float|complex|str|tuple)\b(?!:)", r"builtins.\1", text)
    return re.sub(r"(?<![.\w])(device|dtype|Generator|Size|GradFn|layout|memory_format|RemovableHandle)\b(?!:)", r"_\1", text)


def _annotation(name: str, p: inspect.Parameter) -> str:
    found = p.annotation
    text = found if isinstance(found, str) else getattr(found, "__name__", str(found))
    text = {"_empty": "Any"}.get(text, text).removeprefix("typing.")
    if f"{name}.{p.name}" in _ARGUMENTS:
        return _ARGUMENTS[f"{name}.{p.name}"]
    if text in _KERNELS:
        return _KERNELS[text]
    if p.name == "out":
        return "Tensor | None" if result(name, None) in ("Tensor", "Any") else "Sequence[Tensor] | None"
    return _NAMES.get(p.name, "Any")


def parameters(name: str, f: Callable[..., Any], method: bool = False, skip: tuple[str, ...] = ()) -> list[str]:
    """The parameters of a function, with their types."""
    parts: list[str] = []
    keyword = False
    for k, p in enumerate(q for q in inspect.signature(f).parameters.values() if q.name not in skip):
        if method and k == 0:
            parts.append("self")
            continue
        kind = qualified(_annotation(name, p))
        if p.kind is p.VAR_POSITIONAL:
            kind = qualified(_SIZES) if kind == "Sequence[builtins.int]" else kind  # sizes one by one, or together
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
    return parts


def definition(name: str, f: Callable[..., Any], method: bool = False, skip: tuple[str, ...] = ()) -> list[str]:
    """The lines that say a function: one, or one for each overload."""
    written = _WRITTEN.get(f"Tensor.{name}" if method else name)
    if written is None:
        parts = parameters(name, f, method, skip)
        if name in _BY_DIMENSION:
            written = _by_dimension(name, parts[0], "out" not in skip)
        else:
            written = _by_flag(parts, result(name, f))
    if len(written) == 1:
        return [f"def {name}{written[0]}: ..."]
    return [line for text in written for line in ("@overload", f"def {name}{qualified(text)}: ...")]


def _by_flag(parts: list[str], given: str) -> list[str]:
    """One signature, or two where a flag changes the result."""
    at = next((k for k, p in enumerate(parts) if p.partition(":")[0] in _FLAGS), None)
    if at is None:
        return [f"({', '.join(parts)}) -> {given}"]
    flag = parts[at].partition(":")[0]
    without, rest = [*parts[:at], f"{flag}: Literal[False] = ...", *parts[at + 1 :]], [*parts[:at], *parts[at + 1 :]]
    star = [] if "*" in rest else ["*"]
    return [
        f"({', '.join(without)}) -> Tensor", f"({', '.join([*rest, *star, f'{flag}: Literal[True]'])}) -> {qualified(_FLAGS[flag])}"
    ]  # fmt: skip


def _by_dimension(name: str, first: str, out: bool) -> list[str]:
    into = (", *, out: Tensor | None = ...", ", *, out: Sequence[Tensor] | None = ...") if out else ("", "")
    found = [f"({first}{into[0]}) -> Tensor", f"({first}, dim: int, keepdim: bool = ...{into[1]}) -> _return_types.{name}"]
    return [*found, f"({first}, other: Tensor{into[0]}) -> Tensor"] if name in ("max", "min") else found


def result(name: str, f: Callable[..., Any] | None) -> str:
    """What a function gives."""
    return qualified(_result(name, f))


def _result(name: str, f: Callable[..., Any] | None) -> str:
    from jaxnn.ops.common import return_types

    if name in RESULTS:
        return RESULTS[name]
    if name in _SEVERAL:
        return "tuple[Tensor, ...]"
    home = getattr(f, "__name__", name)
    for named in (home, name):
        if named not in _BY_DIMENSION and isinstance(vars(return_types).get(named), type):
            return f"_return_types.{named}"
    if name.endswith("_with_indices"):
        return _PAIR
    if name.rstrip("_") in _VARIED or name.startswith("_") and not name.startswith("__"):
        return "Any"
    text = "" if f is None else str(inspect.signature(f).return_annotation)
    if text.startswith("tuple["):
        return "tuple[Tensor, ...]"
    return {"bool": "bool", "int": "int", "str": "str", "None": "None", "builtins.bool": "bool"}.get(text, "Tensor")

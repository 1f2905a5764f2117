"""What PyTorch's tensors have for other kinds of tensors and devices, on a plain one: what is true of it, or a refusal."""

from __future__ import annotations

import inspect
from typing import Any

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import aval
from jaxnn.core.registry import METHODS, function
from jaxnn.ops.common.arguments import integers, numel, shape

#: Name -> what kind of tensor has it.
_OTHERS = {
    **dict.fromkeys(("q_scale", "q_zero_point", "int_repr"), "quantised tensors, which are not here"),
    **dict.fromkeys(("to_padded_tensor", "_nested_tensor_size"), "nested tensors, which are not here"),
    **dict.fromkeys(("_indices", "_values", "_nnz", "_coalesced_", "sparse_resize_"), "sparse tensors"),
    **dict.fromkeys(("row_indices", "ccol_indices", "to_sparse_csc"), "the layout sparse_csc, which is not here"),
    "index": "tensors of torchdim, which are not here",
    "record_stream": "streams, which are not here: XLA schedules by itself",
    "share_memory_": "memory that processes share, which is not here",
}
_REMOVED = {
    "solve": "torch.linalg.solve", "lstsq": "torch.linalg.lstsq", "eig": "torch.linalg.eig", "symeig": "torch.linalg.eigh",
}  # fmt: skip


_ANY = inspect.Signature(
    [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)]
)


def _method(name: str, doc: str, error: type[Exception], message: str) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error(message)

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__signature__ = _ANY  # type: ignore[attr-defined]
    refuse.__doc__ = doc
    METHODS[name] = refuse


for _name, _of in _OTHERS.items():
    _method(_name, f"Of {_of}; raises.", NotImplementedError, f"Could not run '{_name}' on a plain tensor: it is for {_of}")
for _name, _now in _REMOVED.items():
    _method(
        _name, f"Removed from PyTorch; raises. Use {_now}.", RuntimeError,
        f"This function was deprecated since version 1.9 and is now removed. `torch.{_name}` is deprecated in favor of `{_now}`.",
    )  # fmt: skip
for _name in ("xpu", "mtia"):
    _method(_name, "To a device that JAX has not; raises.", AssertionError, f"Torch not compiled with {_name.upper()} enabled")


@function(function=False)
def dequantize(self: Any) -> Any:
    """The tensor in float32, as PyTorch's is of one that is not quantised."""
    return METHODS["to"](self, dtypes.float32)


def _all_of_bools(self: Any, name: str) -> Any:
    if aval(self).dtype is not dtypes.bool:
        raise RuntimeError(f"{name}() is for tensors of booleans, got {aval(self).dtype}")
    return METHODS["all" if name == "_is_all_true" else "any"](self)


@function(function=False)
def _is_all_true(self: Any) -> Any:
    """`all` of booleans."""
    return _all_of_bools(self, "_is_all_true")


@function(function=False)
def _is_any_true(self: Any) -> Any:
    """`any` of booleans."""
    return _all_of_bools(self, "_is_any_true")


@function(function=False)
def resize(self: Any, *sizes: Any) -> Any:
    """A view of other sizes, as many elements; deprecated in PyTorch for `view`.

    Raises:
        RuntimeError: for another number of elements.
    """
    wanted = integers(sizes, "resize")
    if numel(wanted) != numel(shape(self)):
        raise RuntimeError(
            f"requested resize to {'x'.join(map(str, wanted))} ({numel(wanted)} elements in total), but the given tensor has a size of "
            f"{'x'.join(map(str, shape(self)))} ({numel(shape(self))} elements). autograd's resize can only change the shape of a given "
            "tensor, while preserving the number of elements. "
        )
    return METHODS["view"](METHODS["contiguous"](self), wanted)


@function(function=False)
def _typed_storage(self: Any) -> Any:
    """`storage`."""
    return METHODS["storage"](self)


def _hooks(self: Any) -> Any:
    """The hooks on this leaf's gradient by number; None where there are none."""
    return (self._extra or {}).get("hooks")


METHODS["_backward_hooks"] = property(_hooks, doc=_hooks.__doc__)  # type: ignore[assignment]

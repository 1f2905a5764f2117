"""State_dicts, and any containers of tensors, between live PyTorch and jaxnn, without loss."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.core.handle import TensorBase
from jaxnn.serialization import FromRecords, to_record
from jaxnn.utils.torch_file import ArrayRecord, StorageRecord

from .arrays import is_torch_tensor

__all__ = ["from_torch", "to_torch"]


def from_torch(obj: Any) -> Any:
    """PyTorch's tensors, alone or inside dicts, lists and tuples, as ours; on the CPU.

    Types (bfloat16, 0-dim int64, ...), strides, ``requires_grad``, Parameters and shared memory (tied weights) are kept,
    and a state_dict's ``_metadata``.
    """
    storages: dict[int, StorageRecord] = {}
    build = FromRecords("cpu")

    def convert(t: Any) -> Any:
        import torch

        memory = t.untyped_storage()
        shared = storages.get(memory.data_ptr())
        if shared is None or memory.data_ptr() == 0:
            data = torch.empty(0, dtype=torch.uint8).set_(memory.cpu()).numpy().copy()  # type: ignore[call-overload]
            shared = storages[memory.data_ptr()] = StorageRecord(data, str(t.dtype).removeprefix("torch."))
        return build(
            ArrayRecord(
                shared,
                t.storage_offset(),
                tuple(t.shape),
                tuple(t.stride()),
                str(t.dtype).removeprefix("torch."),
                requires_grad=t.requires_grad and t.is_leaf,
                is_parameter=isinstance(t, torch.nn.Parameter),
            )  # fmt: skip
        )

    return _mapped(obj, is_torch_tensor, convert)


def to_torch(obj: Any) -> Any:
    """Our tensors, alone or inside dicts, lists and tuples, as PyTorch's; the reverse of `from_torch`."""
    import torch

    storages: dict[int, StorageRecord] = {}
    memory: dict[int, Any] = {}

    def convert(t: Any) -> Any:
        record = to_record(t, storages)
        shared = memory.get(id(record.storage))
        if shared is None:
            data = torch.from_numpy(np.array(record.storage.data))
            shared = memory[id(record.storage)] = data.untyped_storage()
        made = torch.empty(0, dtype=getattr(torch, record.dtype)).set_(
            shared, record.offset, record.size, record.stride
        )
        if record.is_parameter:
            return torch.nn.Parameter(made, requires_grad=record.requires_grad)
        return made.requires_grad_() if record.requires_grad else made

    return _mapped(obj, lambda x: isinstance(x, TensorBase), convert)


def _mapped(obj: Any, is_leaf: Callable[[Any], bool], convert: Callable[[Any], Any]) -> Any:
    if is_leaf(obj):
        return convert(obj)
    if isinstance(obj, dict):
        made: Any = OrderedDict() if isinstance(obj, OrderedDict) else {}
        made.update((key, _mapped(value, is_leaf, convert)) for key, value in obj.items())
        if hasattr(obj, "_metadata"):
            made._metadata = obj._metadata  # type: ignore[attr-defined]
        return made
    if isinstance(obj, (list, tuple)):
        values = [_mapped(value, is_leaf, convert) for value in obj]
        return type(obj)(*values) if hasattr(obj, "_fields") else type(obj)(values)
    return obj

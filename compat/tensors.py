"""Live tensors of PyTorch as ours and back, without loss: types, strides, shared memory, ``requires_grad``, Parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter, is_lazy
from jaxnn.ops.creation.factories import empty  # type: ignore[attr-defined]
from jaxnn.serialization import FromRecords, to_record
from jaxnn.torch_file import ArrayRecord, StorageRecord

__all__ = ["TensorsFromTorch", "TensorsToTorch"]


class _Converter:
    """Converts each tensor once, its gradient with it."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}

    def __call__(self, t: Any) -> Any:
        known = self._made.get(id(t))
        if known is not None:
            return known[1]
        made = self._converted(t)
        self._made[id(t)] = t, made
        if t.is_leaf and t.grad is not None:
            made.grad = self(t.grad)
        return made

    def _converted(self, t: Any) -> Any:
        raise NotImplementedError


class TensorsFromTorch(_Converter):
    """PyTorch's tensors as ours, on the CPU. Those that share memory do so again; one tensor becomes one."""

    def __init__(self) -> None:
        self._storages: dict[tuple[int, int], StorageRecord] = {}
        self._build = FromRecords("cpu")
        super().__init__()

    def _converted(self, t: Any) -> Any:
        import torch

        name = str(t.dtype).removeprefix("torch.")
        if isinstance(t, torch.nn.parameter.UninitializedTensorMixin):
            kind = UninitializedParameter if isinstance(t, torch.nn.Parameter) else UninitializedBuffer
            return kind(requires_grad=t.requires_grad, dtype=dtypes.of(name))
        if t.device.type == "meta":
            made = empty(tuple(t.shape), dtype=dtypes.of(name), device="meta")
            return Parameter(made, t.requires_grad) if isinstance(t, torch.nn.Parameter) else made
        if t.layout is not torch.strided or t.is_quantized or t.is_nested:
            raise TypeError(f"a {'quantized' if t.is_quantized else t.layout} tensor")
        memory = t.untyped_storage()
        place = memory.data_ptr(), memory.nbytes()  # an empty one may lie where another begins
        shared = self._storages.get(place)
        if shared is None or memory.data_ptr() == 0:
            data = torch.empty(0, dtype=torch.uint8).set_(memory.cpu()).numpy().copy()  # type: ignore[call-overload]
            shared = self._storages[place] = StorageRecord(data, name)
        return self._build(
            ArrayRecord(
                shared,
                t.storage_offset(),
                tuple(t.shape),
                tuple(t.stride()),
                name,
                requires_grad=t.requires_grad and t.is_leaf,
                is_parameter=isinstance(t, torch.nn.Parameter),
            )  # fmt: skip
        )


class TensorsToTorch(_Converter):
    """Our tensors as PyTorch's; the reverse of `TensorsFromTorch`."""

    def __init__(self) -> None:
        self._storages: dict[int, StorageRecord] = {}
        self._memory: dict[int, Any] = {}
        super().__init__()

    def _converted(self, t: Any) -> Any:
        import torch

        kind = getattr(torch, t.dtype.name)
        if is_lazy(t):
            lazy = torch.nn.UninitializedParameter if isinstance(t, Parameter) else torch.nn.UninitializedBuffer
            return lazy(requires_grad=t.requires_grad, dtype=kind)
        if t.is_meta:
            made = torch.empty(tuple(t.shape), dtype=kind, device="meta")
            return torch.nn.Parameter(made, t.requires_grad) if isinstance(t, Parameter) else made
        record = to_record(t, self._storages)
        if not isinstance(record, ArrayRecord):
            raise TypeError(f"a {t.layout} tensor")
        shared = self._memory.get(id(record.storage))
        if shared is None:
            data = torch.from_numpy(np.array(record.storage.data))
            shared = self._memory[id(record.storage)] = data.untyped_storage()
        made = torch.empty(0, dtype=getattr(torch, record.dtype)).set_(
            shared, record.offset, record.size, record.stride
        )
        if record.is_parameter:
            return torch.nn.Parameter(made, requires_grad=record.requires_grad)
        return made.requires_grad_() if record.requires_grad else made

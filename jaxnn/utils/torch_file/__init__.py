"""PyTorch's file format without torch: ``load_records`` and ``save_records``, and the records between them.

A record is a plain description of a tensor (or storage, dtype, device, size). The two functions take a callable each,
``from_record`` and ``to_record``, that maps it to and from whatever the caller uses for tensors.
"""

from .read import load_records
from .records import ArrayRecord, DeviceRecord, DtypeRecord, Record, SizeRecord, StorageRecord
from .write import save_records

__all__ = [
    "ArrayRecord",
    "DeviceRecord",
    "DtypeRecord",
    "Record",
    "SizeRecord",
    "StorageRecord",
    "load_records",
    "save_records",
]

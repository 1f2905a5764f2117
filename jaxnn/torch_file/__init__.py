"""PyTorch's file format without torch: ``load_records`` and ``save_records``, and the records between them.

A record is a plain description of a tensor (or storage, dtype, device, size). The two functions take a callable each,
``from_record`` and ``to_record``, that maps it to and from whatever the caller uses for tensors.
"""

from .atomic import replacing, replacing_path
from .numpy_record import NumpyRecord
from .options import (
    LoadEndianness,
    get_crc32_options,
    get_default_load_endianness,
    get_default_mmap_options,
    set_crc32_options,
    set_default_load_endianness,
    set_default_mmap_options,
    skip_data,
)
from .read import load_records, names_in_file
from .records import (
    ArrayRecord,
    DeviceRecord,
    DtypeRecord,
    LayoutRecord,
    MetaRecord,
    ObjectRecord,
    Record,
    SizeRecord,
    SparseRecord,
    StorageRecord,
    TensorRecord,
)
from .safe_globals import add_safe_globals, clear_safe_globals, get_safe_globals, named_globals, safe_globals
from .write import save_records

__all__ = [
    "ArrayRecord",
    "DeviceRecord",
    "DtypeRecord",
    "LayoutRecord",
    "LoadEndianness",
    "MetaRecord",
    "NumpyRecord",
    "ObjectRecord",
    "Record",
    "SizeRecord",
    "SparseRecord",
    "StorageRecord",
    "TensorRecord",
    "add_safe_globals",
    "clear_safe_globals",
    "get_crc32_options",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "get_safe_globals",
    "load_records",
    "named_globals",
    "names_in_file",
    "replacing",
    "replacing_path",
    "safe_globals",
    "save_records",
    "set_crc32_options",
    "set_default_load_endianness",
    "set_default_mmap_options",
    "skip_data",
]

"""PyTorch's file format: real torch writes and we read, we write and real torch reads."""

import functools
import io
import pickle
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch
import torch.utils.serialization
from torch import nn

import jaxnn
from jaxnn.compat.arrays import is_torch_tensor, numpy_to_torch, torch_to_numpy
from jaxnn.torch_file import (
    ArrayRecord,
    DeviceRecord,
    DtypeRecord,
    SizeRecord,
    StorageRecord,
    load_records,
    save_records,
)
from tests.compat.files import rewritten, saved

DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32,
    torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


def values(dtype, *size):
    torch.manual_seed(0)
    return (torch.rand(size or (3,)) * 4 - 1).to(dtype)


def trained():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.LazyLinear(3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01) if net(torch.ones(2, 1, 4, 4)) is not None else None
    net(torch.ones(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    return net, optimizer


def with_attribute(tensor):
    tensor.note = {"unit": "m", "levels": [1, 2]}
    return tensor


def recursive_list():
    items = [1, torch.ones(2)]
    items.append(items)
    return items


SAVED = {
    "tensor": lambda: torch.arange(6.0).view(2, 3),
    "every dtype": lambda: {str(dtype): values(dtype, 2, 3) for dtype in DTYPES},
    "0-dim": lambda: [torch.tensor(7), torch.tensor(2.5, dtype=torch.bfloat16), torch.tensor(True), torch.tensor(1j)],
    "empty": lambda: [torch.empty(0), torch.empty(0, 3), torch.empty(3, 0, dtype=torch.int64)],
    "transposed": lambda: values(torch.float32, 4, 5).t(),
    "sliced": lambda: values(torch.int64, 10)[2:9:3],
    "expanded": lambda: torch.tensor([1.0, 2.0])[:, None].expand(2, 5),
    "channels last": lambda: values(torch.float32, 2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "conjugated": lambda: [values(torch.complex64).conj(), values(torch.complex64).conj().imag],
    "nan and inf": lambda: torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0]),
    "requires_grad": lambda: [torch.ones(2, requires_grad=True), torch.ones(2)],
    "parameters": lambda: [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2), requires_grad=False)],
    "attributes": lambda: [with_attribute(torch.ones(2)), with_attribute(nn.Parameter(torch.ones(2)))],
    "buffer": lambda: nn.Buffer(torch.ones(2)),
    "state_dict": lambda: trained()[0].state_dict(),
    "checkpoint": lambda: {"epoch": 3, "model": trained()[0].state_dict(), "optimizer": trained()[1].state_dict()},
    "parameter list": lambda: list(trained()[0].parameters()),
    "scalars": lambda: [None, True, False, 0, 255, 256, 65536, -1, 2**31, -(2**70), 0.1, -0.0, 1e300, "", "é漢\ud800"],
    "bytes": lambda: [b"", b"abc", bytes(range(256)), bytearray(b"xyz"), bytearray()],
    "complex": lambda: [1 + 2j, complex(0, -0.0)],
    "containers": lambda: {"t": (), "t1": (1,), "t4": (1, 2, 3, 4), "l": [[], [1]], 5: {}, (1, "a"): {1, 2}},
    "ordered": lambda: OrderedDict([("b", 1), ("a", OrderedDict())]),
    "counter": lambda: Counter("abca"),
    "sizes": lambda: torch.ones(2, 3).size(),
    "dtypes": lambda: [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.float8_e5m2],
    "devices": lambda: [torch.device("cpu"), torch.device("cuda", 1)],
    "many": lambda: [torch.tensor(i) for i in range(300)],
    "untyped storage": lambda: torch.arange(3).untyped_storage(),
    "nested 200 deep": lambda: functools.reduce(lambda inner, _: [inner], range(200), torch.ones(1)),
}


def assert_same(ours, theirs):
    """A tree of records against the tree that torch holds."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, ArrayRecord)
        expected = torch_to_numpy(theirs)
        assert (ours.array.dtype, ours.array.shape) == (expected.dtype, expected.shape)
        assert ours.array.tobytes() == expected.tobytes()
        assert f"torch.{ours.dtype}" == str(theirs.dtype)
        assert ours.requires_grad == theirs.requires_grad
        assert ours.is_parameter == isinstance(theirs, nn.Parameter)
        assert_same(ours.attributes, vars(theirs))
        if not (theirs.is_conj() or theirs.is_neg()):
            assert (ours.stride, ours.offset) == (theirs.stride(), theirs.storage_offset())
    elif isinstance(theirs, (torch.UntypedStorage, torch.storage.TypedStorage)):
        theirs = theirs if isinstance(theirs, torch.UntypedStorage) else theirs.untyped()
        assert isinstance(ours, StorageRecord) and ours.untyped and ours.data.tolist() == theirs.tolist()
    elif isinstance(theirs, torch.Size):
        assert type(ours) is SizeRecord and ours == tuple(theirs)
    elif isinstance(theirs, torch.dtype):
        assert ours == DtypeRecord(str(theirs).removeprefix("torch."))
    elif isinstance(theirs, torch.device):
        assert ours == DeviceRecord(theirs.type, theirs.index)
    else:
        assert type(ours) is type(theirs)
        if isinstance(theirs, dict):
            assert list(ours) == list(theirs)
            assert_same(list(ours.values()), list(theirs.values()))
            if isinstance(theirs, OrderedDict):
                assert_same(vars(ours), vars(theirs))
        elif isinstance(theirs, (list, tuple)):
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs):
                assert_same(one, other)
        else:
            assert ours == theirs and repr(ours) == repr(theirs)


@pytest.mark.parametrize("kind", SAVED)
def test_reads_what_torch_saved(kind):
    obj = SAVED[kind]()
    assert_same(load_records(saved(obj)), obj)


@pytest.mark.parametrize("kind", [kind for kind in SAVED if kind != "untyped storage"])
def test_reads_the_format_before_1_6(kind):
    obj = SAVED[kind]()
    assert_same(load_records(saved(obj, _use_new_zipfile_serialization=False)), obj)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", ["checkpoint", "scalars", "bytes", "containers"])
def test_reads_later_pickle_protocols(kind, protocol):
    obj = SAVED[kind]()
    assert_same(load_records(saved(obj, pickle_protocol=protocol)), obj)


@pytest.mark.parametrize("kind", SAVED)
def test_torch_reads_what_we_write(kind, tmp_path):
    obj = SAVED[kind]()
    records = load_records(saved(obj))
    buffer = io.BytesIO()
    save_records(records, buffer)
    save_records(records, tmp_path / "file.pt")
    for ours in (buffer, tmp_path / "file.pt"):
        for weights_only in (True, False):
            if ours is buffer:
                buffer.seek(0)
            assert_same(records, torch.load(ours, weights_only=weights_only))
    assert_same(load_records(tmp_path / "file.pt"), obj)
    mapped = torch.load(tmp_path / "file.pt", mmap=True, weights_only=True)
    assert_same(records, mapped)


def test_a_state_dict_loads_into_a_module_both_ways():
    net, optimizer = trained()
    buffer = io.BytesIO()
    save_records(load_records(saved([net.state_dict(), optimizer.state_dict()])), buffer)
    buffer.seek(0)
    state, optimizer_state = torch.load(buffer)
    other, other_optimizer = trained()
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    other_optimizer.load_state_dict(optimizer_state)
    assert state._metadata == net.state_dict()._metadata
    for one, two in zip(net.parameters(), other.parameters()):
        assert torch.equal(one, two)


@pytest.mark.parametrize("legacy", [False, True])
def test_shared_storages_stay_shared(legacy):
    base = torch.arange(12.0)
    obj = {"base": base, "row": base.view(3, 4)[1], "column": base.view(3, 4)[:, 1], "other": torch.ones(2)}
    records = load_records(saved(obj, _use_new_zipfile_serialization=not legacy))
    assert records["base"].storage is records["row"].storage is records["column"].storage
    assert records["other"].storage is not records["base"].storage
    records["row"].array[:] = -1
    assert records["base"].array[4:8].tolist() == [-1] * 4 and records["column"].array[1] == -1
    buffer = io.BytesIO()
    save_records(records, buffer)
    assert sum("/data/" in name and ".data" not in name for name in zipfile.ZipFile(buffer).namelist()) == 2
    buffer.seek(0)
    back = torch.load(buffer, weights_only=True)
    back["base"][5] = 100
    assert back["row"][1] == 100 and back["column"][1] == 100


def test_equal_keys_share_a_storage_on_writing():
    data, owner = np.arange(6.0), object()
    whole = ArrayRecord(StorageRecord(data, "float64", key=owner), 0, (6,), (1,), "float64")
    part = ArrayRecord(StorageRecord(data, "float64", key=owner), 2, (2, 2), (2, 1), "float64")
    buffer = io.BytesIO()
    save_records([whole, part], buffer)
    buffer.seek(0)
    first, second = torch.load(buffer)
    assert first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
    assert second.tolist() == [[2.0, 3.0], [4.0, 5.0]]


def test_identity_of_repeated_objects_and_cycles():
    tensor = torch.ones(2)
    shared = [tensor, tensor]
    ours = load_records(saved([shared, shared, recursive_list()]))
    assert ours[0] is ours[1] and ours[0][0] is ours[0][1] and ours[2][2] is ours[2]
    buffer = io.BytesIO()
    save_records(ours, buffer)
    buffer.seek(0)
    back = torch.load(buffer)
    assert back[0] is back[1] and back[0][0] is back[0][1] and back[2][2] is back[2]


def test_callables_map_records_to_tensors_and_back():
    obj = {"a": [torch.ones(2), (torch.float32, torch.zeros(1).size())], torch.int64: {torch.device("cpu")}}
    marks = {}

    def from_record(record):
        marks[record] = type(record).__name__
        return ("tensor", record) if isinstance(record, ArrayRecord) else record

    ours = load_records(saved(obj), from_record)
    assert ours["a"][0][0] == "tensor"
    assert sorted(marks.values()) == ["ArrayRecord", "DeviceRecord", "DtypeRecord", "DtypeRecord", "SizeRecord"]

    class Mine:
        pass

    buffer = io.BytesIO()
    save_records([Mine()], buffer, lambda x: ArrayRecord.from_array(np.eye(2)) if isinstance(x, Mine) else None)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer)[0], torch.eye(2, dtype=torch.float64))


def test_the_bytes_are_laid_out_as_torch_lays_them_out(tmp_path, monkeypatch):
    obj = {"w": torch.ones(3, 5), "v": torch.empty(0), "n": [1, 2.5]}
    torch.save(obj, tmp_path / "theirs.dir.pt")
    save_records(load_records(tmp_path / "theirs.dir.pt"), tmp_path / "ours.dir.pt")
    theirs, ours = (zipfile.ZipFile(tmp_path / f"{name}.dir.pt").infolist() for name in ("theirs", "ours"))
    assert [i.filename.replace("ours", "theirs") for i in ours] == [i.filename for i in theirs]
    for one, other in zip(ours[1:-1], theirs[1:-1]):
        assert (one.file_size, one.CRC, one.flag_bits) == (other.file_size, other.CRC, other.flag_bits)
    content = (tmp_path / "ours.dir.pt").read_bytes()
    assert content.index(np.ones(15, np.float32).tobytes()) % 64 == 0
    reader = torch._C.PyTorchFileReader(str(tmp_path / "ours.dir.pt"))
    assert len(reader.serialization_id()) == 40
    # PyTorch computes where each storage lies, and compares with the archive's directory.
    monkeypatch.setenv("TORCH_SERIALIZATION_DEBUG", "1")
    with torch.utils.serialization.config.patch("load.calculate_storage_offsets", True):
        for mmap in (False, True):
            assert torch.equal(torch.load(tmp_path / "ours.dir.pt", mmap=mmap)["w"], obj["w"])


def test_reads_without_checksums_and_from_the_middle_of_a_stream():
    torch.serialization.set_crc32_options(False)
    try:
        content = saved({"a": torch.arange(3)}).getvalue()
    finally:
        torch.serialization.set_crc32_options(True)
    stream = io.BytesIO(b"before" + content)
    stream.seek(6)
    assert load_records(stream)["a"].array.tolist() == [0, 1, 2]


def test_reads_the_other_byte_order():
    big = {"a": np.arange(3, dtype=">f4"), "b": np.array([1 + 2j], ">c8"), "c": np.array([7], "u1")}
    records = {name: ArrayRecord.from_array(array) for name, array in big.items()}
    for record, array in zip(records.values(), big.values()):
        record.storage.data = np.frombuffer(array.tobytes(), np.uint8)
    buffer = io.BytesIO()
    save_records(records, buffer)
    ours = load_records(rewritten(buffer.getvalue(), {"byteorder": lambda _: b"big"}))
    for name, array in big.items():
        np.testing.assert_array_equal(ours[name].array, array)


def test_no_torch_is_imported():
    program = """
import io, sys
import jaxnn.compat.arrays
from jaxnn.torch_file import ArrayRecord, load_records, save_records
import numpy as np
b = io.BytesIO(); save_records({'a': ArrayRecord.from_array(np.eye(3))}, b); b.seek(0)
assert load_records(b)['a'].array.sum() == 3
assert not jaxnn.compat.arrays.is_torch_tensor(np.eye(3))
assert 'torch' not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_live_tensors_to_numpy_and_back(dtype):
    for tensor in (values(dtype, 2, 3), values(dtype, 2, 3).t(), values(dtype)[0], values(dtype, 0)):
        array = torch_to_numpy(tensor)
        assert is_torch_tensor(tensor) and not is_torch_tensor(array)
        back = numpy_to_torch(array)
        assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
        assert saved_bytes(back) == saved_bytes(tensor)


def saved_bytes(tensor):
    return bytes(tensor.contiguous().flatten().view(torch.uint8).tolist()) if tensor.numel() else b""


def test_live_tensors_of_other_kinds():
    class Mine(torch.Tensor):
        pass

    assert is_torch_tensor(nn.Parameter(torch.ones(1))) and is_torch_tensor(torch.ones(1).as_subclass(Mine))
    assert torch_to_numpy(torch.ones(2, requires_grad=True) * 2).tolist() == [2, 2]
    assert torch_to_numpy(torch.tensor([1j]).conj()).tolist() == [-1j]
    for bad in (torch.eye(2).to_sparse(), torch.empty(2, device="meta"), torch.empty(2, dtype=torch.complex32), 3.0):
        with pytest.raises(TypeError):
            torch_to_numpy(bad)
    for bad in (np.array(["a"]), np.array([object()])):
        with pytest.raises(TypeError):
            numpy_to_torch(bad)
    assert numpy_to_torch(np.arange(3, dtype=">i4")[::-1]).tolist() == [2, 1, 0]


def test_refuses_to_write_what_torch_would_not_read(tmp_path):
    for bad in (object(), np.ones(2, object), np.ones(2, [("a", int)]), print, {"a": [torch.ones(1)]}, defaultdict(lambda: 1)):
        with pytest.raises(pickle.PicklingError, match="cannot save"):
            save_records(bad, tmp_path / "never.pt")
    with pytest.raises(RecursionError):
        deep = []
        for _ in range(400):
            deep = [deep]
        save_records(deep, tmp_path / "never.pt")
    one = StorageRecord(np.ones(4, np.float32), "float32")
    with pytest.raises(RuntimeError, match="different types"):
        save_records(
            [ArrayRecord(one, 0, (4,), (1,), "float32"), ArrayRecord(one, 0, (4,), (1,), "int32")],
            tmp_path / "never.pt",
        )
    assert not (tmp_path / "never.pt").exists()
    with pytest.raises(AttributeError, match="'write' attribute"):
        save_records([], 3)
    with pytest.raises(AttributeError, match="seekable"):
        load_records(3)
    with pytest.raises(FileNotFoundError):
        load_records(tmp_path / "missing.pt")


def test_mmap_reads_what_is_used(tmp_path):
    path = tmp_path / "big.pt"
    state = {"a": torch.arange(2000.0).reshape(40, 50), "b": torch.arange(6, dtype=torch.bfloat16)}
    state["view"] = state["a"][3:5, ::2]
    torch.save(state, path)
    ours = jaxnn.load(path, mmap=True)
    assert isinstance(ours["a"]._storage.buf.array, np.ndarray) and not ours["a"]._storage.buf.array.flags.owndata
    for name, theirs in torch.load(path, mmap=True).items():
        assert ours[name].tolist() == theirs.tolist()
    (ours["a"] + 1).sum().item()
    ours["a"].zero_()
    assert ours["view"].sum().item() == 0
    assert jaxnn.load(path)["a"].sum().item() == state["a"].sum().item()  # the file stays as it was
    with pytest.raises(ValueError, match="must be a file filename"), open(path, "rb") as stream:
        jaxnn.load(stream, mmap=True)


PLACES = {
    "as it is": lambda storage, location: storage,
    "PyTorch's choice": lambda storage, location: None,
    "the host": lambda storage, location: storage.cpu(),
    "by name": lambda storage, location: storage.to(device="cpu") if location == "cpu" else None,
    "measured": lambda storage, location: storage if storage.nbytes() == 24 and len(storage) == 24 else 1 / 0,
    "no storage": lambda storage, location: 5,
    "one argument": lambda storage: storage,
}


@pytest.mark.parametrize("place", PLACES)
def test_map_location_as_a_function(place, tmp_path):
    def loaded(library):
        try:
            found = library.load(tmp_path / "file.pt", map_location=PLACES[place], weights_only=False)
        except Exception as error:
            return type(error)
        found["row"][0] = -1
        return {k: (v.tolist(), str(v.device)) for k, v in found.items()}

    base = torch.arange(6.0)
    torch.save({"base": base, "row": base.view(2, 3)[1]}, tmp_path / "file.pt")
    assert loaded(jaxnn) == loaded(torch)

"""Damaged and hostile tensor files: each is refused with PyTorch's type of error, and nothing in it is run."""

import io
import os
import pickle
import pickletools
import struct
import subprocess
import warnings
import zipfile
from collections import Counter, OrderedDict

import pytest
import torch

from jaxnn.torch_file import load_records
from tests.compat.files import rewritten, saved

GOOD = saved({"a": torch.arange(6.0).view(2, 3), "b": [1, 2.5]}).getvalue()
PICKLE = zipfile.ZipFile(io.BytesIO(GOOD)).read("archive/data.pkl")
LEGACY = saved({"a": torch.ones(2)}, _use_new_zipfile_serialization=False).getvalue()


def flipped(position):
    content = bytearray(GOOD)
    content[position] ^= 1
    return bytes(content)


def with_record(**edits):
    names = {"data_pkl": "data.pkl", "data_0": "data/0", "version": "version", "byteorder": "byteorder"}
    return rewritten(GOOD, {names[name]: edit for name, edit in edits.items()}).getvalue()


def with_pickle(data):
    return with_record(data_pkl=lambda _: data)


def replaced(old, new):
    assert old in PICKLE
    return with_pickle(PICKLE.replace(old, new))


def rezipped(compression=zipfile.ZIP_STORED, repeat=1):
    target = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(target, "w", compression) as archive:
        for name in zipfile.ZipFile(io.BytesIO(GOOD)).namelist() * repeat:
            archive.writestr(name, zipfile.ZipFile(io.BytesIO(GOOD)).read(name))
    return target.getvalue()


def overlapping():
    """Many directory entries over the same bytes: 64 kB that claim to be 64 MB."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 65536)
        first = archive.infolist()[0]
        for number in range(1000):
            entry = zipfile.ZipInfo(f"archive/data/{number}")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(entry, name, getattr(first, name))
            archive.filelist.append(entry)
        archive._didModify = True
    return target.getvalue()


def edited(content, old, new):
    def edit(pickled):
        assert pickled.count(old) == 1
        return pickled.replace(old, new)

    return rewritten(content, {"data.pkl": edit}).getvalue()


SPARSE = saved(torch.eye(3)[:2].to_sparse()).getvalue()
META = saved(torch.empty(2, 3, device="meta")).getvalue()

DAMAGED = {
    "empty": (b"", EOFError, "Ran out of input"),
    "text": (b"garbage garbage\n" * 30, pickle.UnpicklingError, "Unsupported operand 103"),
    "cut in half": (GOOD[: len(GOOD) // 2], RuntimeError, "central directory"),
    "cut to 10 bytes": (GOOD[:10], RuntimeError, "zip archive"),
    "one byte short": (GOOD[:-1], RuntimeError, "central directory"),
    "front missing": (b"PK\x03\x04" + GOOD[200:], RuntimeError, "failed"),
    "value flipped": (flipped(GOOD.index(struct.pack("<f", 5.0))), RuntimeError, "checksum"),
    "pickle flipped": (flipped(GOOD.index(b"ctorch._utils") + 3), RuntimeError, "checksum"),
    "local header flipped": (
        flipped(GOOD.index(b"PK\x03\x04", GOOD.index(b"byteorder"))), RuntimeError, "local header"
    ),
    "no storage": (with_record(data_0=None), RuntimeError, "data/0: file not found"),
    "short storage": (with_record(data_0=lambda data: data[:8]), RuntimeError, "does not match expected size"),
    "long storage": (with_record(data_0=lambda data: data * 3), RuntimeError, "does not match expected size"),
    "no pickle": (with_record(data_pkl=None), RuntimeError, "data.pkl: file not found"),
    "no version": (with_record(version=None), RuntimeError, "version"),
    "future version": (with_record(version=lambda _: b"99\n"), RuntimeError, "maximum supported version"),
    "unknown byte order": (with_record(byteorder=lambda _: b"pdp"), ValueError, "Unknown endianness type"),
    "compressed": (rezipped(zipfile.ZIP_DEFLATED), RuntimeError, "compressed"),
    "records twice": (rezipped(repeat=2), RuntimeError, "two records"),
    "records overlap": (overlapping(), RuntimeError, "larger than the file"),
    "pickle empty": (with_pickle(b""), EOFError, None),
    "pickle without its end": (with_pickle(PICKLE[:-1]), EOFError, None),
    "pickle cut in a number": (with_pickle(PICKLE[:-5]), EOFError, None),
    "pickle cut in a name": (with_pickle(b"\x80\x02ctorch\nFlo"), EOFError, None),
    "unknown opcode": (with_pickle(b"\x80\x02\xff."), pickle.UnpicklingError, "Unsupported operand 255"),
    "unknown protocol": (with_pickle(b"\x80\x09}."), pickle.UnpicklingError, "protocol"),
    "stack underflow": (with_pickle(b"\x80\x02a."), pickle.UnpicklingError, None),
    "unset memo": (with_pickle(b"\x80\x02h\x07."), pickle.UnpicklingError, None),
    "no mark": (with_pickle(b"\x80\x02t."), pickle.UnpicklingError, None),
    "unhashable key": (with_pickle(b"\x80\x02}]K\x01s."), pickle.UnpicklingError, "unhashable"),
    "bad utf-8": (with_pickle(b"\x80\x02X\x02\x00\x00\x00\xff\xfe."), pickle.UnpicklingError, None),
    "legacy cut in the data": (LEGACY[:-3], RuntimeError, "unexpected EOF, expected 3 more bytes"),
    "legacy cut in the pickle": (LEGACY[:150], EOFError, None),
    "legacy with another magic number": (LEGACY.replace(b"\x6c\xfc", b"\x6d\xfc"), RuntimeError, "magic number"),
    "TorchScript": (None, RuntimeError, "TorchScript"),
    "tar": (b"\0" * 257 + b"ustar" + b"\0" * 1000, RuntimeError, "legacy .tar format"),
    # What a tensor says of itself
    "size too large": (replaced(b"K\x02K\x03\x86", b"K\x02K\x63\x86"), RuntimeError, "out of bounds"),
    "size huge": (replaced(b"K\x02K\x03\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"), RuntimeError, "too large"),
    "size of 300 bytes": (
        replaced(b"K\x02K\x03\x86", b"K\x02\x8b\x2c\x01\x00\x00" + b"\x7f" * 300 + b"\x86"),
        RuntimeError,
        "too large",
    ),
    "size negative": (replaced(b"K\x02K\x03\x86", b"K\x02J\xff\xff\xff\xff\x86"), RuntimeError, "negative"),
    "size a float": (replaced(b"K\x02K\x03\x86", b"K\x02G" + struct.pack(">d", 3) + b"\x86"), RuntimeError, "size"),
    "size a list": (replaced(b"K\x02K\x03\x86", b"]"), RuntimeError, "size"),
    "stride negative": (replaced(b"K\x03K\x01\x86", b"K\x03J\xff\xff\xff\xff\x86"), RuntimeError, "negative"),
    "stride too large": (replaced(b"K\x03K\x01\x86", b"J\xff\xff\xff\x7fK\x01\x86"), RuntimeError, "out of bounds"),
    "stride too short": (replaced(b"K\x03K\x01\x86", b"K\x03\x85"), RuntimeError, "stride length"),
    "offset beyond the end": (replaced(b"QK\x00K\x02", b"QK\x01K\x02"), RuntimeError, "out of bounds"),
    "offset negative": (replaced(b"QK\x00K\x02", b"QJ\xff\xff\xff\xffK\x02"), RuntimeError, "negative"),
    "expanded to 4 GB": (
        replaced(b"K\x02K\x03\x86q\x08K\x03K\x01\x86", b"J\x00\x00\x00\x40K\x01\x86q\x08K\x00K\x01\x86"),
        RuntimeError,
        "expands",
    ),
    "65 dimensions": (
        replaced(b"K\x02K\x03\x86q\x08K\x03K\x01\x86", b"(" + b"K\x01" * 65 + b"tq\x08(" + b"K\x01" * 65 + b"t"),
        RuntimeError,
        "dimensions",
    ),
    "number of elements wrong": (replaced(b"K\x06tq", b"K\x05tq"), RuntimeError, "expected size"),
    "number of elements huge": (replaced(b"K\x06tq", b"J\xff\xff\xff\x7ftq"), RuntimeError, "expected size"),
    "number of elements negative": (replaced(b"K\x06tq", b"J\xff\xff\xff\xfftq"), pickle.UnpicklingError, None),
    "another storage type": (replaced(b"FloatStorage", b"FancyStorage"), pickle.UnpicklingError, "torch.FancyStorage"),
    "a function as storage type": (
        replaced(b"ctorch\nFloatStorage", b"ccollections\nOrderedDict"), pickle.UnpicklingError, "storage",
    ),
    "a path as key": (replaced(b"X\x01\0\0\x000", b"X\x09\0\0\x00../../etc"), RuntimeError, "file not found"),
    "requires_grad a list": (replaced(b"\x89c", b"]c"), pickle.UnpicklingError, "bool"),
    # Tensors without a memory of their own
    "another layout": (edited(SPARSE, b"torch.sparse_coo", b"torch.sparse_xyz"), pickle.UnpicklingError, "layout"),
    "a layout of other parts": (edited(SPARSE, b"torch.sparse_coo", b"torch.sparse_csr"), pickle.UnpicklingError, "Size"),
    "sparse size negative": (edited(SPARSE, b"K\x02K\x03\x86", b"K\x02J\xff\xff\xff\xff\x86"), RuntimeError, "negative"),
    "sparse flag": (edited(SPARSE, b"\x88t", b"K\x01t"), pickle.UnpicklingError, "bool"),
    "meta size negative": (edited(META, b"K\x02K\x03\x86", b"K\x02J\xff\xff\xff\xff\x86"), RuntimeError, "negative"),
    "meta size huge": (edited(META, b"K\x02K\x03\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"), RuntimeError, "too large"),
    "meta stride short": (edited(META, b"K\x03K\x01\x86", b"K\x03\x85"), RuntimeError, "stride length"),
    "meta type": (edited(META, b"ctorch\nfloat32", b"ctorch\nFloatStorage"), pickle.UnpicklingError, "dtype"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_refused(kind):
    content, error, message = DAMAGED[kind]
    if kind == "TorchScript":
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
        content = buffer.getvalue()
    with pytest.raises(error, match=message):
        load_records(io.BytesIO(content))


def test_every_cut_and_every_flipped_byte_ends_in_one_of_the_documented_errors():
    documented = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError)
    for content in (GOOD, LEGACY):
        for position in range(0, len(content), 7):
            changed = bytearray(content)
            changed[position] ^= 0xFF
            for damaged in (content[:position], bytes(changed)):
                try:
                    load_records(io.BytesIO(damaged))
                except documented:
                    pass
    for position in range(len(PICKLE)):  # with checksums that fit
        for change in (0x01, 0x20, 0xFF):
            changed = bytearray(PICKLE)
            changed[position] ^= change
            try:
                load_records(io.BytesIO(with_pickle(bytes(changed))))
            except documented:
                pass


class Call:
    def __init__(self, function, *arguments, **state):
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self):
        return (self.function, self.arguments, *([self.state] if self.state else []))


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def hostile(touch):
    """Pickles that would run ``touch`` (a shell command), or reach for more than data, if they were trusted."""
    run = text(touch) + b"\x85R."
    python = f"__import__('os').system({touch!r})"
    calls = {
        "os.system": pickle.dumps(Call(os.system, touch), 2),
        "subprocess": pickle.dumps(Call(subprocess.check_call, ["sh", "-c", touch]), 2),
        "eval": pickle.dumps(Call(eval, python), 2),
        "exec": pickle.dumps({"weight": Call(exec, python)}, 2),
        "protocol 4": pickle.dumps([Call(os.system, touch)], 4),
        "getattr": b"\x80\x02c__builtin__\ngetattr\ncos\npath\n" + text("system") + b"\x86R" + run,
        "os.system as text opcode": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "inst": b"(" + text(touch) + b"ios\nsystem\n.",
        "obj": b"\x80\x02(cos\nsystem\n" + text(touch) + b"o.",
        "posix": b"\x80\x02cposix\nsystem\n" + run,
        "stack global": b"\x80\x04" + text("os") + text("system") + b"\x93" + run,
        "dotted name": b"\x80\x04" + text("torch") + text("serialization.os.system") + b"\x93" + run,
        "dotted name below an allowed one": b"\x80\x04" + text("collections") + text("OrderedDict.fromkeys") + b"\x93.",
        "global split elsewhere": b"\x80\x04" + text("") + text("collections.OrderedDict") + b"\x93" + run,
        "torch.load itself": b"\x80\x02ctorch.storage\n_load_from_bytes\n" + run,
        "torch.ops": b"\x80\x02ctorch.utils.cpp_extension\nload_inline\n" + run,
        "runpy": b"\x80\x02crunpy\n_run_code\n" + run,
        "extension registry": b"\x80\x02\x82\x01.",
        "call a dtype": b"\x80\x02ctorch\nfloat32\n" + run,
        "call a type": b"\x80\x02ctorch\nTensor\n)\x81.",
        "call a string": b"\x80\x02" + text("system") + run,
        "rebuild calling another function": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(c_codecs\nencode\n"
        b"ctorch\nTensor\n" + text("x") + text("latin1") + b"\x86}tR.",
        "codec": b"\x80\x02c_codecs\nencode\n" + text("A" * 100) + text("bz2") + b"\x86R.",
        "state of a class": b"\x80\x02ccollections\nCounter\nN}" + text("update") + b"K\x01s\x86b.",
        "state of a Counter": b"\x80\x02ccollections\nCounter\n)R}" + text("update") + b"K\x01sb.",
        "hide a method": b"\x80\x02ccollections\nOrderedDict\n)R}" + text("keys") + b"K\x01sb.",
        "items of a class": b"\x80\x02ccollections\nOrderedDict\nK\x01K\x02s.",
        "append to a set": b"\x80\x04\x8fK\x01a.",
        "a type as data": b"\x80\x02ccollections\nOrderedDict\n.",
        "numpy object array": b"\x80\x02cnumpy\nload\n" + run,
        "persistent text": b"\x80\x02" + text("storage") + b"Q.",
        "persistent module": b"\x80\x02" + text("module") + b"\x85Q.",
        "hooks": PICKLE.replace(b"ccollections\nOrderedDict\nq\n)R", b"}K\x01K\x02s"),
    }
    assert calls["hooks"] != PICKLE
    return calls


@pytest.mark.parametrize("kind", hostile(""))
@pytest.mark.parametrize("wrap", ["zip", "legacy", "bare"])
def test_hostile_pickles_are_refused_and_run_nothing(kind, wrap, tmp_path):
    mark = tmp_path / "ran"
    pickled = hostile(f"touch {mark}")[kind]
    begin = LEGACY.index(b"\x80\x02ctorch._utils") if b"\x80\x02ctorch._utils" in LEGACY else LEGACY.index(b"uu.") + 3
    content = {"zip": with_pickle(pickled), "legacy": LEGACY[:begin] + pickled + b"\x80\x02].", "bare": pickled}[wrap]
    update, keys = Counter.update, OrderedDict.keys
    with pytest.raises((pickle.UnpicklingError, RuntimeError) if wrap == "bare" else pickle.UnpicklingError):
        load_records(io.BytesIO(content))
    assert not mark.exists()
    assert Counter.update is update and OrderedDict.keys is keys


def test_a_refused_name_is_named():
    for pickled, name in ((b"\x80\x02cposix\nsystem\n.", "posix.system"), (pickle.dumps(eval, 2), "builtins.eval")):
        with pytest.raises(pickle.UnpicklingError, match=f"GLOBAL {name}"):
            load_records(io.BytesIO(with_pickle(pickled)))


def memoised(make, index=0):
    return make + b"q%c" % index


BOMBS = {
    "memo index": b"\x80\x02]r\xff\xff\xff\xff.",
    "string of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
    "bytes of 2**63": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "bytearray of 10**12": b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85R.",
    "nested lists": b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b".",
    "nested tuples": b"\x80\x02)" + b"\x85" * 100000 + b".",
    "nested from the inner end": b"\x80\x02](" + b"".join(
        (b")" if i == 0 else b"j" + struct.pack("<I", i - 1)) + b"\x85r" + struct.pack("<I", i) for i in range(1000)
    ) + b"e.",
    "nested tuple as key": b"\x80\x02})" + b"\x85" * 100000 + b"K\x01s.",
    "doubling tuple as key": b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
    "doubling tuple in a set": b"\x80\x02c__builtin__\nset\n])" + b"q\x00h\x00\x86" * 60 + b"a\x85R.",
    "sets of one list": b"\x80\x02c__builtin__\nset\nq\x00]q\x01(" + b"K\x01" * 20000 + b"e\x85Rq\x02]("
    + b"h\x00h\x01\x85R" * 20000 + b"e.",
    "tuple in itself": b"\x80\x02]q\x00h\x00\x85q\x01a" + b"h\x01.",
}  # fmt: skip


def test_the_hostile_pickles_are_well_formed():
    """So that they are refused for what they ask for, not for a slip in their making."""
    for kind, pickled in hostile("true").items():
        if kind != "os.system as text opcode":
            assert list(pickletools.genops(pickled))[-1][0].name == "STOP", kind

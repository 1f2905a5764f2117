"""Switches for files and memory that shows files, on both: byte order, shared maps, checksums, numbers left out, `from_file`."""

import io
import mmap
import os
import zipfile

import numpy as np
import pytest
import torch

import jaxnn


def both(program, folder):
    found = []
    for t in (torch, jaxnn):
        path = folder / t.__name__
        path.mkdir()
        try:
            found.append(program(t, path))
        except Exception as error:
            found.append(type(error))
    assert found[0] == found[1]


def shared_map(t, folder):
    t.save([t.arange(4.0), t.ones(2, dtype=t.int16)], folder / "a.pt")
    with t.serialization.set_default_mmap_options(mmap.MAP_SHARED):
        first, second = t.load(folder / "a.pt", mmap=True)
        first[0] = 9
        second.add_(4)
    found = t.load(folder / "a.pt", mmap=True)
    return [x.tolist() for x in found], t.serialization.get_default_mmap_options() == mmap.MAP_PRIVATE


def numbers_left_out(t, folder):
    with t.serialization.skip_data():
        t.save({"a": t.arange(400.0), "b": 3}, folder / "a.pt")
    found = t.load(folder / "a.pt")
    t.save(t.arange(4.0), folder / "b.pt")
    with t.serialization.skip_data():
        unread = t.load(folder / "b.pt")
    return os.path.getsize(folder / "a.pt") // 512, tuple(found["a"].shape), found["b"], tuple(unread.shape)


def no_checksums(t, folder):
    t.serialization.set_crc32_options(False)
    try:
        t.save(t.arange(4.0), folder / "a.pt")
    finally:
        t.serialization.set_crc32_options(True)
    kept = zipfile.ZipFile(folder / "a.pt").getinfo("a/data/0").CRC
    return kept, t.load(folder / "a.pt").tolist(), t.serialization.get_crc32_options()


def no_byte_order(t, folder):
    whole, file, options = io.BytesIO(), io.BytesIO(), t.serialization
    t.save(t.arange(4, dtype=t.int32), whole, _disable_byteorder_record=True)
    before = zipfile.ZipFile(whole)
    found = [before.namelist()]
    with zipfile.ZipFile(file, "w") as after:  # as files were before PyTorch 2.1
        for name in before.namelist():
            if not name.endswith("byteorder"):
                after.writestr(name, before.read(name))
    for name in (None, "BIG", "LITTLE", "NATIVE"):
        options.set_default_load_endianness(None if name is None else options.LoadEndianness[name])
        try:
            file.seek(0)
            found.append((t.load(file).tolist(), str(options.get_default_load_endianness())))
        finally:
            options.set_default_load_endianness(None)
    return found


def refused_order(t, folder):
    t.serialization.set_default_load_endianness("little")


def refused_map(t, folder):
    t.serialization.set_default_mmap_options(1000)


def several_old_objects(t, folder):
    file = io.BytesIO()
    for made in (t.ones(3), {"a": t.zeros(2)}):
        t.save(made, file, _use_new_zipfile_serialization=False)
    file.seek(0)
    return t.load(file).tolist(), t.load(file)["a"].tolist()


def file_shared(t, folder):
    np.arange(4, dtype=np.float32).tofile(folder / "f")
    found = t.from_file(str(folder / "f"), shared=True, size=4)
    found.add_(1)
    return found.tolist(), np.fromfile(folder / "f", np.float32).tolist()


def file_private(t, folder):
    np.arange(4, dtype=np.int16).tofile(folder / "f")
    found = t.from_file(str(folder / "f"), size=3, dtype=t.int16)
    found.add_(1)
    return found.tolist(), np.fromfile(folder / "f", np.int16).tolist()


def file_made(t, folder):
    t.from_file(str(folder / "new"), True, 4, dtype=t.float64).fill_(2)
    return np.fromfile(folder / "new", np.float64).tolist(), t.from_file(str(folder / "new"), size=0).tolist()


def file_too_small(t, folder):
    np.zeros(4, np.float32).tofile(folder / "f")
    t.from_file(str(folder / "f"), size=5)


def file_missing(t, folder):
    t.from_file(str(folder / "f"), size=5)


@pytest.mark.parametrize(
    "program",
    [
        shared_map, numbers_left_out, no_checksums, no_byte_order, refused_order, refused_map, several_old_objects, file_shared,
        file_private, file_made, file_too_small, file_missing,
    ],
)  # fmt: skip
def test_program(program, tmp_path):
    both(program, tmp_path)

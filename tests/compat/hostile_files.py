"""Files that ask for too much, for every reader but `load`: weights, archives, folders, datasets, whole modules.

`made(mark)` gives them by name, whose first word is the reader; ``python hostile_files.py FOLDER`` reads all that lie there and says
what each of them did and cost. A file that is a dictionary is a folder.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import sys
import tarfile
import time
import zipfile
from pathlib import Path

MANY = 1 << 20
BOMB = 256  # times so many bytes

def npy(shape, kind="<f4", data=b"", version=(1, 0)):
    """An array in numpy's format; a shape that is bytes is the whole description."""
    head = shape if isinstance(shape, bytes) else repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(10 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(head)) + head + data


def bomb(head, pack=gzip.compress, count=BOMB, content=b"\0", tail=b""):
    """Packed content that unpacks to many times its size; packed pieces one behind the other are read as one."""
    return pack(head) + pack(content * (MANY // len(content))) * count + pack(tail)


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def overlapping(count):
    """Many members over the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a0.npy", npy((1 << 16,), data=bytes(1 << 18)))
        for number in range(1, count):
            entry = zipfile.ZipInfo(f"a{number}.npy")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(entry, name, getattr(archive.filelist[0], name))
            archive.filelist.append(entry)
        archive._didModify = True
    return target.getvalue()


def archives():
    plain = zipped({"a.npy": npy((6,), data=bytes(24))})
    return {
        "bomb": zipped({"a.npy": npy((BOMB * MANY,), "|u1", data=bytes(BOMB * MANY))}),
        "claims a terabyte": zipped({"a.npy": npy((1 << 38,), data=bytes(10))}),
        "negative": zipped({"a.npy": npy((-1,), data=bytes(40))}),
        "two negatives": zipped({"a.npy": npy((-1, -10), data=bytes(40))}),
        "objects": zipped({"a.npy": npy((1,), "|O", pickle.dumps(print))}),
        "fields": zipped({"a.npy": npy((1,), [("a", "<f4")], bytes(4))}),
        "times": zipped({"a.npy": npy((1,), "<M8[D]", bytes(8))}),
        "open brackets": zipped({"a.npy": npy(b"(" * 9000)}),
        "nested brackets": zipped({"a.npy": npy(b"(" * 4000 + b")" * 4000)}),
        "a call": zipped({"a.npy": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': print('ran')}")}),
        "description of 4 GB": zipped({"a.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(BOMB * MANY)}),
        "version 9": zipped({"a.npy": npy((1,), data=bytes(4), version=(9, 0))}),
        "truth values as sizes": zipped({"a.npy": npy((True, 2), data=bytes(8))}),
        "size of 300 digits": zipped({"a.npy": npy((10**300, 0))}),
        "100 dimensions": zipped({"a.npy": npy((1,) * 100, data=bytes(4))}),
        "too many bytes": zipped({"a.npy": npy((1,), data=bytes(400))}),
        "cut": plain[:60],
        "flipped": plain[:60] + b"\xff" + plain[61:],
        "encrypted": plain.replace(b"\x14\0\0\0\x08\0", b"\x14\0\x01\0\x08\0"),
        "another compression": plain.replace(b"\x14\0\0\0\x08\0", b"\x14\0\0\0\x09\0"),
        "text": b"hello",
        "empty": b"",
        "no array": zipped({"../../outside": b"x"}),
        "empty member": zipped({"a.npy": b""}),
        "members overlap": overlapping(3000),
    }


def described(header, data=b""):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + data


def entry(shape, begin, end, kind="F32"):
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


GOOD = described({"w": entry([1], 0, 4)}, bytes(4))
ESCAPES = "\x1b[2J\x1b]0;title\x07[/red][bold]\r\n\u202e"


def tensors():
    return {
        "header of 2**62": struct.pack("<Q", 1 << 62) + b"{}",
        "header of 20 MB": described(b'{"a":1' + b" " * 20_000_000 + b"}"),
        "cut": GOOD[:-1],
        "short": b"\x08",
        "negative": described({"w": entry([-1], 0, 4)}, bytes(4)),
        "overlap": described({"w": entry([1], 0, 4), "v": entry([1], 0, 4)}, bytes(4)),
        "gap": described({"w": entry([1], 4, 8)}, bytes(8)),
        "product too large": described({"w": entry([1 << 62, 4], 0, 0)}),
        "claims 4 GB": described({"w": entry([1 << 30], 0, 1 << 32)}, bytes(8)),
        "empty and too large": described({"w": entry([1 << 62, 0, 1 << 62], 0, 0)}),
        "70 dimensions": described({"w": entry([1] * 70, 0, 4)}, bytes(4)),
        "deep": described(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "metadata of numbers": described({"__metadata__": {"a": 1}, "w": entry([1], 0, 4)}, bytes(4)),
        "unknown type": described({"w": entry([2], 0, 1, "F4")}, bytes(1)),
        "escapes": described({ESCAPES: entry([1], 0, 4, "F33"), "__metadata__": {ESCAPES: ESCAPES}}, bytes(4)),
    }


def folders():
    configs = {
        "deep": b"[" * 100_000, "list": b"[1]", "text": b"no", "no text": b"\xff\xfe", "long number": b'{"a": ' + b"9" * 10_000 + b"}",
        "many lists": b"[" + b"[]," * 4_000_000 + b"[]]", "long": b'{"a": "' + b"a" * 34_000_000 + b'"}', "number": b"NaN",
    }  # fmt: skip
    maps = {
        "no map": {}, "list": {"weight_map": [1]}, "numbers": {"weight_map": {"w": 1}}, "up": {"weight_map": {"w": ".."}},
        "here": {"weight_map": {"w": "."}}, "nothing": {"weight_map": {"w": ""}}, "zero": {"weight_map": {"w": "a\0b"}},
        "elsewhere": {"weight_map": {"w": "/etc/passwd"}}, "above": {"weight_map": {"w": "../model.safetensors"}},
        "itself": {"weight_map": {"w": "model.safetensors.index.json"}}, "long": {"weight_map": {"w": "a" * 5000}},
        "missing": {"weight_map": {"w": "b.safetensors"}},
        "many": {"weight_map": dict.fromkeys(map(str, range(310_000)), "model.safetensors")},
    }  # fmt: skip
    made = {f"config {name}": {"config.json": content, "model.safetensors": GOOD} for name, content in configs.items()}
    for name, content in maps.items():
        made[f"index {name}"] = {"model.safetensors.index.json": json.dumps(content).encode(), "model.safetensors": GOOD}
    made["index deep"] = {"model.safetensors.index.json": b"[" * 100_000}
    return made


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def nested(levels, key, twice):
    """A list at the end of many paths: a key of any length, or a way in each of two keys."""
    made = [b"\x80\x02", text(key), b"q\x01", text(b"b"), b"q\x02(]q\x03"]
    for _ in range(levels):
        made.append(b"}q\x04(h\x01h\x03" + (b"h\x02h\x03" if twice else b"") + b"uq\x03")
    return b"".join(made) + b"t."


def pickles(with_pickle):
    return {
        "long paths": with_pickle(nested(200, b"k" * 1_000_000, False)),
        "2**200 paths": with_pickle(nested(200, b"a", True)),
        "holds itself": with_pickle(b"\x80\x02}q\x00X\x01\0\0\0ah\x00s."),
        "list holds itself": with_pickle(b"\x80\x02]q\x00h\x00a."),
        "two lists hold each other": with_pickle(b"\x80\x02]q\x00]q\x01h\x00aa."),
    }


def idx(shape, data=b"", kind=8):
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def datasets():
    plain = idx((2, 2), b"abcd")
    return {
        "bomb": bomb(idx((BOMB * MANY,))),
        "more than it says": bomb(plain),
        "claims 60000**4": gzip.compress(idx((60_000,) * 4)),
        "claims 4 GB": idx((1 << 32 - 1,), bytes(100)),
        "255 dimensions": bytes([0, 0, 8, 255]) + b"\xff" * 1020,
        "another type": idx((1,), b"a", 99),
        "cut": gzip.compress(plain)[:-9],
        "another sum": gzip.compress(plain)[:-8] + bytes(8),
        "no gzip": b"\x1f\x8b" + bytes(20),
        "empty": b"",
    }


def batches(mark):
    class Touch:
        def __reduce__(self):
            return open, (mark, "w")

    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02%bK\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return {
        "call": pickle.dumps({"data": Touch()}, 2),
        "system": b"\x80\x02cposix\nsystem\nX" + struct.pack("<I", len(mark) + 6) + b"touch " + mark.encode() + b"\x85R.",
        "memo index": b"\x80\x02]r\xff\xff\xff\x7f.",
        "doubling tuple as key": b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
        "nested": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "string of 4 GB": b"\x80\x02T\xff\xff\xff\x7f.",
        "list of itself": b"\x80\x02]q\x00h\x00a.",
        "objects": b"\x80\x02}U\x01a" + array + b"(K\x01K\x01\x85" + kind % b"O8" + b"\x89]Ntbs.",
        "other numbers": b"\x80\x02}U\x01a" + array + b"(K\x01K\x01\x85" + kind % b"f8" + b"\x89U\x08abcdefghtbs.",
        "shape too large": b"\x80\x02}U\x01a" + array + b"(K\x01J\xff\xff\xff\x7f\x85" + kind % b"u1" + b"\x89U\x01atbs.",
        "cut": pickle.dumps({"a": 1}, 2)[:-4],
        "a storage": b"\x80\x02(X\x07\0\0\0storageNNNNtQ.",
    }


def member(name, content=b"", kind=tarfile.REGTYPE, size=None, link="", notes=None):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if size is None else size
    info.pax_headers = notes or {}
    return info.tobuf(tarfile.PAX_FORMAT if notes else tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def notes(kind, size):
    """The header of notes on the next member, or on all."""
    return member("notes", b"", kind, size)


def tars():
    end = bytes(1024)
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "9"}
    chain = b"".join(member("n", b"9 a=bcde\n", tarfile.XHDTYPE) for _ in range(3000))
    many = "".join(f"{len(str(k)) + 7} k{k}=v\n" for k in range(10_000, 20_000)).encode()
    return {
        "bomb": bomb(member("a", size=BOMB * MANY), tail=end),
        "bomb in bzip2": bomb(member("a", size=BOMB * MANY), bz2.compress, tail=end),
        "bomb in xz": bomb(member("a", size=BOMB * MANY), lzma.compress, tail=end),
        "1 TB": gzip.compress(member("a", size=1 << 33) + end),
        "long name": bomb(notes(tarfile.GNUTYPE_LONGNAME, BOMB * MANY), tail=end),
        "long notes": bomb(notes(tarfile.XHDTYPE, BOMB * MANY), tail=end),
        "notes on all": gzip.compress(member("n", many, tarfile.XGLTYPE) + member("a", b"x") * 500 + end),
        "notes in a row": gzip.compress(chain + member("a") + end),
        "members without end": bomb(member("a"), content=member("a") * 2048, tail=end),
        "map without end": bomb(member("a", b"9" * 511 + b"\n", notes=sparse), content=b"0\n", tail=end),
        "links": member("a", kind=tarfile.SYMTYPE, link="/etc") + member("a/b", b"x") + end,
        "hard links": member("a", kind=tarfile.LNKTYPE, link="../../secret") + end,
        "device": member("a", kind=tarfile.CHRTYPE) + end,
        "pipe": member("a", kind=tarfile.FIFOTYPE) + end,
        "above": member("../outside", b"x") + end,
        "elsewhere": member("/tmp/outside", b"x") + end,
        "negative size": member("a", b"x").replace(b"00000000001\0", b"\xff" * 12, 1) + end,
        "cut": gzip.compress(member("a", bytes(range(256)) * 99) + end)[:200],
        "no archive": b"hello" * 300,
        "empty": b"",
    }


LINEAR = b"cjaxnn.nn.linear\nLinear\n"


def modules(with_pickle):
    """For a program that allows `Linear`."""
    return {
        "called": with_pickle(b"\x80\x02" + LINEAR + b"J\0\0\x01\0J\0\0\x01\0\x86R."),
        "with a number for a state": with_pickle(b"\x80\x02" + LINEAR + b")\x81K\x01b."),
        "with text for a state": with_pickle(b"\x80\x02" + LINEAR + b")\x81" + text(b"abc") + b"b."),
        "another method": with_pickle(b"\x80\x02c__builtin__\ngetattr\n" + LINEAR + text(b"forward") + b"\x86R."),
        "a part of it": with_pickle(b"\x80\x04" + text(b"jaxnn.nn.linear") + text(b"Linear.__init__") + b"\x93)R."),
        "its module": with_pickle(b"\x80\x02cjaxnn.nn.linear\nmath\n."),
    }


def made(mark, with_pickle):
    """All files: by names whose first word is the reader."""
    kinds = {
        "npz": archives(), "safetensors": tensors(), "folder": folders(), "weights": pickles(with_pickle), "idx": datasets(),
        "batch": batches(mark), "tar": tars(), "module": modules(with_pickle),
    }  # fmt: skip
    return {f"{kind} {name}": content for kind, files in kinds.items() for name, content in files.items()}


# ---- in a process of its own


def readers():
    import jaxnn
    from jaxnn import compat, serialization
    from jaxnn.__main__ import main
    from jaxnn.utils.download import extract_tar
    from jaxnn.vision.datasets.idx_files import read_idx
    from jaxnn.vision.datasets.pickled_batches import read_batch

    def weights(path):
        for tool in (["inspect", str(path)], ["convert", "-q", str(path), str(path.parent / "out.pt")]):
            main(tool)  # no refusal ends in a traceback
        found = compat.open_weights(path)
        return [found[name] for name in found]

    def folder(path):
        weights(path)
        return compat.from_pretrained(path, lambda config: jaxnn.nn.Linear(1, 1))

    def tar(path):
        inside = path.parent / "inside"
        try:
            extract_tar(path, inside)
        finally:
            assert list(inside.iterdir()) == [], "parts are left behind"

    def module(path):
        with serialization.safe_globals([jaxnn.nn.Linear]):
            return jaxnn.load(path, weights_only=False)

    named = {"npz": weights, "safetensors": weights, "weights": weights}
    return named | {"folder": folder, "idx": read_idx, "batch": read_batch, "tar": tar, "module": module}


def peak():
    """The largest memory of this process since the mark was last cleared, in MB."""
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) >> 10


def main(folder):
    """Read every file; its outcome, megabytes and seconds of the processor."""
    named, answers = readers(), {}
    for path in sorted(Path(folder).iterdir()):
        kind, _, _ = path.name.partition(" ")
        inner = next(path.iterdir())
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        before, began = peak(), time.process_time()
        try:
            named[kind](inner)
            outcome = "read"
        except Exception as error:
            outcome = f"{type(error).__mro__[0].__name__}: {str(error)[:300]}"
        answers[path.name] = outcome, peak() - before, time.process_time() - began
        assert {p.name for p in path.iterdir()} <= {inner.name, "inside", "out.pt"}, path
    print("\n" + json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1])

"""Files in the published layouts with a few images; our and torchvision's datasets with these files' sums."""

import functools
import gzip
import hashlib
import io
import pickle
import tarfile

import numpy as np

from jaxnn.vision import datasets as ours
from tests.vision.reference import torchvision

LIBRARIES = (ours, torchvision.datasets) if torchvision else (ours,)

RNG = np.random.default_rng(0)


def md5(content):
    return hashlib.md5(content).hexdigest()


class Python2Pickler(pickle._Pickler):
    """Writes bytes and arrays the way the published batches hold them."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        if len(value) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(value)]) + value)
        else:
            self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def python2_pickle(content):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar_files(labels_key, names, classes, classes_key, writer):
    files = {}
    for name in names:
        data = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)
        labels = RNG.integers(0, len(classes), 4).tolist()
        files[name] = writer({b"data": data, labels_key: labels, b"batch_label": name.encode()})
    meta = "batches.meta" if len(names) > 2 else "meta"
    files[meta] = writer({classes_key: [name.encode() for name in classes]})
    return files, meta


@functools.cache
def tiny_cifar(kind, old):
    """Files in the layout of CIFAR-10 or CIFAR-100, and both libraries' classes with these files' sums."""
    writer = python2_pickle if old else lambda content: pickle.dumps({k.decode(): (
        [v.decode() if isinstance(v, bytes) else v for v in value] if isinstance(value, list) else value
    ) for k, value in content.items()}, protocol=2)  # fmt: skip
    if kind == "CIFAR10":
        names = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
        files, meta = cifar_files(b"labels", names, [f"class {k}" for k in range(10)], b"label_names", writer)
    else:
        names = ["train", "test"]
        files, meta = cifar_files(
            b"fine_labels", names, [f"class {k}" for k in range(100)], b"fine_label_names", writer
        )
    base = getattr(ours, kind)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{base.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    changes = {
        "train_list": [[name, md5(files[name])] for name in names[:-1]],
        "test_list": [[names[-1], md5(files[names[-1]])]],
        "meta": dict(base.meta, md5=md5(files[meta])),
        "tgz_md5": md5(archive.getvalue()),
    }
    classes = [type(kind, (getattr(library, kind),), changes) for library in LIBRARIES]
    return files, archive.getvalue(), classes


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def idx(array):
    kinds = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    code = kinds[array.dtype.str[1:]]
    big = array.astype(array.dtype.newbyteorder(">"))
    return bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes() + big.tobytes()


@functools.cache
def tiny_mnist(kind):
    files = {}
    for part, count in (("train", 7), ("t10k", 5)):
        files[f"{part}-images-idx3-ubyte"] = idx(RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx(RNG.integers(0, 10, count).astype(np.uint8))
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}
    changes = {"resources": [(name, md5(packed[name])) for name, _ in getattr(ours, kind).resources]}
    classes = [type(kind, (getattr(library, kind),), changes) for library in LIBRARIES]
    return files, packed, classes

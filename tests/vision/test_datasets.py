"""Datasets: read beside torchvision from the same files, refused, downloaded from a server on this machine."""

import contextlib
import http.server
import io
import pickle
import tarfile
import threading

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.utils.download import check_integrity, download_url, extract_tar, md5_of
from jaxnn.vision import datasets as ours
from jaxnn.vision import transforms
from jaxnn.vision.datasets.idx_files import read_idx
from jaxnn.vision.datasets.pickled_batches import read_batch
from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)
from PIL import Image
from torchvision import datasets as theirs
from torchvision import transforms as their_transforms

from tests.vision.small_files import idx, md5, tiny_cifar, tiny_mnist, write

RNG = np.random.default_rng(0)


def same_items(left, right):
    assert len(left) == len(right)
    assert repr(left) == repr(right)
    for k in range(len(left)):
        (a, label_a), (b, label_b) = left[k], right[k]
        assert label_a == label_b and type(label_a) is type(label_b)
        if isinstance(b, torch.Tensor):
            torch.testing.assert_close(torch.from_numpy(a.numpy()), b, rtol=0, atol=0)
        else:
            assert a.mode == b.mode
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("kind", ["CIFAR10", "CIFAR100"])
def test_cifar(tmp_path, kind, old):
    files, _, (our_class, their_class) = tiny_cifar(kind, old)
    write(tmp_path / our_class.base_folder, files)
    for train in (True, False):
        left, right = our_class(tmp_path, train), their_class(tmp_path, train)
        same_items(left, right)
        assert left.classes == right.classes and left.class_to_idx == right.class_to_idx
        assert left.targets == right.targets
        np.testing.assert_array_equal(left.data, right.data)
    same_items(
        our_class(str(tmp_path), transform=transforms.ToTensor()),
        their_class(str(tmp_path), transform=their_transforms.ToTensor()),
    )
    shifted = our_class(tmp_path, target_transform=lambda label: label + 1)
    assert [label for _, label in shifted] == [label + 1 for label in shifted.targets]


def test_the_published_sums():
    for name in ("CIFAR10", "CIFAR100"):
        left, right = getattr(ours, name), getattr(theirs, name)
        for field in ("base_folder", "url", "filename", "tgz_md5", "train_list", "test_list", "meta"):
            assert getattr(left, field) == getattr(right, field)
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        left, right = getattr(ours, name), getattr(theirs, name)
        for field in ("mirrors", "resources", "classes"):
            assert list(getattr(left, field)) == list(getattr(right, field)), (name, field)


def test_cifar_missing_and_damaged(tmp_path):
    files, _, (our_class, _) = tiny_cifar("CIFAR10", True)
    with pytest.raises(
        RuntimeError, match=r"not found or corrupted(.|\n)*data_batch_1: missing(.|\n)*batches.meta: missing"
    ):
        our_class(tmp_path)
    write(tmp_path / our_class.base_folder, files)
    (tmp_path / our_class.base_folder / "data_batch_3").write_bytes(b"other")
    with pytest.raises(RuntimeError, match="data_batch_3: MD5 sum differs"):
        our_class(tmp_path)


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_hostile_batch_runs_nothing(tmp_path):
    victim = tmp_path / "touched"
    for number, content in enumerate(
        (
            Touch(victim),
            {"data": Touch(victim)},
            {"data": np.array([Touch(victim)])},
            {"data": np.zeros(3)},
            [1, 2],
        )
    ):
        path = tmp_path / f"batch{number}"
        path.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(pickle.UnpicklingError):
            read_batch(path)
    for content in (b"", b"nonsense", b"\x80\x02}q", pickle.dumps(np.zeros(4, np.uint8))[:-8]):
        path.write_bytes(content)
        with pytest.raises(pickle.UnpicklingError):
            read_batch(path)
    assert not victim.exists()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["MNIST", "FashionMNIST", "KMNIST"])
def test_mnist(tmp_path, kind, packed):
    plain_files, packed_files, (our_class, their_class) = tiny_mnist(kind)
    write(tmp_path / "theirs" / kind / "raw", plain_files)
    root = tmp_path / "ours" if packed else tmp_path / "theirs"
    if packed:
        write(root / kind / "raw", packed_files)
    for train in (True, False):
        left, right = our_class(root, train), their_class(tmp_path / "theirs", train)
        right.root = left.root
        same_items(left, right)
        assert left.class_to_idx == right.class_to_idx
        assert str(left.data.dtype) == str(right.data.dtype) and str(left.targets.dtype) == str(right.targets.dtype)
        np.testing.assert_array_equal(left.data.numpy(), right.data.numpy())
        right = their_class(tmp_path / "theirs", train, transform=their_transforms.ToTensor())
        right.root = root
        same_items(our_class(root, train, transform=transforms.ToTensor()), right)


def test_mnist_data_can_be_replaced(tmp_path):
    files, _, (our_class, _) = tiny_mnist("MNIST")
    write(tmp_path / "MNIST" / "raw", files)
    dataset = our_class(tmp_path)
    before = np.asarray(dataset[4][0])
    dataset.data, dataset.targets = dataset.data[3:5], dataset.targets[3:5]
    assert len(dataset) == 2
    np.testing.assert_array_equal(np.asarray(dataset[1][0]), before)
    dataset.data[1] = 7
    assert (np.asarray(dataset[1][0]) == 7).all()


def test_mnist_missing_and_damaged(tmp_path):
    _, packed, (our_class, _) = tiny_mnist("MNIST")
    with pytest.raises(
        RuntimeError, match=r"not found or corrupted(.|\n)*train-images-idx3-ubyte.gz \(or unpacked\): missing"
    ):
        our_class(tmp_path)
    write(tmp_path / "MNIST" / "raw", packed)
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"other")
    with pytest.raises(RuntimeError, match="t10k-labels-idx1-ubyte.gz .*MD5 sum differs"):
        our_class(tmp_path)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_types(tmp_path, kind):
    array = (RNG.standard_normal((2, 3, 4)) * 50).astype(kind)
    path = tmp_path / "file"
    path.write_bytes(idx(array))
    assert read_idx(path).dtype == array.dtype
    np.testing.assert_array_equal(read_idx(path), array)
    for damaged in (idx(array)[:-1], idx(array) + b"x", b"\1\2\3\4", b"", idx(array)[:7]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError):
            read_idx(path)


def test_fake_data():
    for options in ({}, {"random_offset": 5, "num_classes": 3}, {"image_size": (1, 9, 8)}):
        options = {"size": 4, "image_size": (3, 8, 9)} | options
        torch.manual_seed(1)
        jaxnn.manual_seed(1)
        left, right = ours.FakeData(**options), theirs.FakeData(**options)
        same_items(left, right)
        assert jaxnn.rand(1).item() == torch.rand(1).item()
        made = ours.FakeData(**options, transform=transforms.ToTensor())
        same_items(made, theirs.FakeData(**options, transform=their_transforms.ToTensor()))
        with pytest.raises(IndexError, match="out of range"):
            left[4]


def test_image_folder(tmp_path):
    for name in ("cat/b.png", "cat/a.PNG", "cat/deep/c.jpg", "dog/z.bmp", "dog/note.txt", "dog/gray.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            path.write_text("no image")
        else:
            shape = (6, 5) if "gray" in name else (6, 5, 3)
            Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(path)
    left, right = ours.ImageFolder(tmp_path), theirs.ImageFolder(str(tmp_path))
    right.root = left.root
    assert left.samples == right.samples and left.imgs == right.imgs and left.targets == right.targets
    assert left.classes == right.classes and left.class_to_idx == right.class_to_idx
    same_items(left, right)
    left, right = (
        library.ImageFolder(str(tmp_path), transform=module.CenterCrop(4), is_valid_file=lambda path: "a" in path[-6:])
        for library, module in ((ours, transforms), (theirs, their_transforms))
    )
    same_items(left, right)
    left, right = (
        library.DatasetFolder(str(tmp_path), loader=len, extensions=(".png", ".txt")) for library in (ours, theirs)
    )
    assert [left[k] for k in range(len(left))] == [right[k] for k in range(len(right))]
    (tmp_path / "empty").mkdir()
    for library in (ours, theirs):
        with pytest.raises(FileNotFoundError, match="Found no valid file for the classes empty"):
            library.ImageFolder(str(tmp_path))
        assert len(library.ImageFolder(str(tmp_path), allow_empty=True)) == 5
        with pytest.raises(FileNotFoundError, match="any class folder"):
            library.ImageFolder(str(tmp_path / "empty"))
        with pytest.raises(ValueError, match="extensions and is_valid_file"):
            library.DatasetFolder(str(tmp_path), loader=len)
        with pytest.raises(ValueError, match="class_to_idx"):
            library.DatasetFolder.make_dataset(str(tmp_path), None, (".png",))


def test_transforms_of_both():
    class Pairs(ours.VisionDataset):
        def __len__(self):
            return 0

    class TheirPairs(theirs.VisionDataset):
        def __len__(self):
            return 0

    with pytest.raises(ValueError, match="Only transforms or transform/target_transform"):
        Pairs("x", transforms=max, transform=min)
    TheirPairs.__name__ = "Pairs"
    crops = [module.Compose([module.CenterCrop(3), module.ToTensor()]) for module in (transforms, their_transforms)]
    for options in ({}, {"transform": True}, {"target_transform": True}, {"transform": True, "target_transform": True}):
        left, right = (
            Pairs("x", **dict.fromkeys(options, crops[0])),
            TheirPairs("x", **dict.fromkeys(options, crops[1])),
        )
        assert repr(left) == repr(right)
    assert Pairs(transforms=lambda a, b: (b, a)).transforms(1, 2) == (2, 1)


class Handler(http.server.BaseHTTPRequestHandler):
    files: dict = {}
    asked: list = []
    ranges = True
    cut_after = None

    def do_GET(self):
        name = self.path.lstrip("/")
        wanted = self.headers.get("Range")
        type(self).asked.append((name, wanted))
        if name not in self.files:
            self.send_error(404)
            return
        content = self.files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        part = content[start:]
        if self.cut_after is not None:
            part = part[: self.cut_after]
            type(self).cut_after = None
        self.wfile.write(part)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(files, ranges=True, cut_after=None):
    handler = type("Serving", (Handler,), {"files": files, "asked": [], "ranges": ranges, "cut_after": cut_after})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_download_of_cifar(tmp_path, capfd):
    _, archive, (our_class, their_class) = tiny_cifar("CIFAR10", True)
    with serving({"cifar-10-python.tar.gz": archive}) as (base, handler):
        served = type("CIFAR10", (our_class,), {"url": base + "cifar-10-python.tar.gz"})
        left = served(tmp_path, download=True)
        assert "cifar-10-python.tar.gz" in capfd.readouterr().err  # the progress bar
        served(tmp_path, download=True)
        assert len(handler.asked) == 1  # what is there is not fetched again
    same_items(left, their_class(tmp_path))


def test_download_of_mnist_from_the_second_mirror(tmp_path):
    files, packed, (our_class, their_class) = tiny_mnist("FashionMNIST")
    with serving(packed) as (base, handler):
        served = type("FashionMNIST", (our_class,), {"mirrors": [base + "gone/", base]})
        left = served(tmp_path, download=True)
        assert len(handler.asked) == 8
    write(tmp_path / "FashionMNIST" / "raw", files)
    same_items(left, their_class(tmp_path))


CONTENT = RNG.bytes(300_000)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_continues(tmp_path, ranges):
    with serving({"file": CONTENT}, ranges=ranges, cut_after=100_000) as (base, handler):
        with pytest.raises(RuntimeError, match="could not be downloaded(.|\n)*ended after 100000 of 300000"):
            download_url(base + "file", tmp_path, md5=md5(CONTENT))
        assert (tmp_path / "file.part").stat().st_size == 100_000 and not (tmp_path / "file").exists()
        path = download_url(base + "file", tmp_path, md5=md5(CONTENT))
        assert handler.asked[1] == ("file", "bytes=100000-")
    assert path.read_bytes() == CONTENT and not (tmp_path / "file.part").exists()


def test_a_part_of_another_file_is_dropped(tmp_path):
    for size in (1000, len(CONTENT), len(CONTENT) + 7):
        (tmp_path / "file.part").write_bytes(bytes(size))
        with serving({"file": CONTENT}) as (base, _):
            path = download_url(base + "file", tmp_path, md5=md5(CONTENT))
        assert path.read_bytes() == CONTENT
        path.unlink()


def test_a_complete_part_is_taken(tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    with serving({"file": CONTENT}) as (base, _):
        assert download_url(base + "file", tmp_path, md5=md5(CONTENT)).read_bytes() == CONTENT


def test_failed_downloads_say_why(tmp_path):
    with serving({"file": CONTENT}) as (base, _):
        with pytest.raises(RuntimeError, match=f"MD5 sum {md5(CONTENT)}, expected 00"):
            download_url(base + "file", tmp_path, md5="00")
        assert not list(tmp_path.iterdir())
        with pytest.raises(RuntimeError, match="HTTP status 404"):
            download_url(base + "other", tmp_path)
    with pytest.raises(RuntimeError, match="could not be downloaded"):
        download_url("http://127.0.0.1:9/file", tmp_path)


def test_integrity(tmp_path):
    path = tmp_path / "file"
    assert not check_integrity(path)
    path.write_bytes(CONTENT)
    assert check_integrity(path) and check_integrity(path, md5(CONTENT)) and not check_integrity(path, "00")
    assert md5_of(path) == md5(CONTENT)


def test_archives_cannot_write_elsewhere(tmp_path):
    archive = tmp_path / "bad.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(tarfile.TarError):
        extract_tar(archive, tmp_path / "inside")
    assert not (tmp_path / "outside").exists()

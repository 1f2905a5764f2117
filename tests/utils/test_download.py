"""Files from elsewhere that are not what they say: downloads, archives, idx files."""

import contextlib
import gzip
import hashlib
import http.server
import io
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest

from jaxnn.utils.download import download_url, extract_tar
from jaxnn.vision.datasets.idx_files import read_idx

RNG = np.random.default_rng(0)
CONTENT = RNG.bytes(3000)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def test_idx_files_that_are_not_what_they_say(tmp_path):
    """A packed file is read no further than the array that it announces, and one that announces too much is not read."""
    path = tmp_path / "file.gz"
    small = idx(np.zeros((2, 2), np.uint8))
    bomb = gzip.compress(small + bytes(300 << 20), 1)
    announced = gzip.compress(bytes([0, 0, 8, 4]) + np.array([60_000] * 4, ">u4").tobytes())
    truncated = gzip.compress(idx(np.zeros((64, 64), np.uint8)))[:-20]
    tracemalloc.start()
    for content in (bomb, announced, truncated, gzip.compress(small)[:-4] + b"abcd", b"\x1f\x8b" + bytes(9)):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    path.write_bytes(gzip.compress(small))
    assert read_idx(path).tolist() == [[0, 0], [0, 0]]


def tarred(path, members, mode="w:gz", **options):
    with tarfile.open(path, mode, **options) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_is_unpacked_whole_or_not_at_all(tmp_path):
    inside = tmp_path / "inside"
    whole = tarred(tmp_path / "whole.tar.gz", {f"a/{k}": RNG.bytes(5000) for k in range(20)})
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:-30_000])
    plain = tarred(tmp_path / "plain.tar", {f"a/{k}": bytes(5000) for k in range(20)}, "w")
    cut_plain = tmp_path / "cut.tar"
    cut_plain.write_bytes(plain.read_bytes()[:7000])
    for damaged in (cut, cut_plain):
        with pytest.raises(tarfile.TarError):
            extract_tar(damaged, inside)
        assert list(inside.iterdir()) == []
    both = tarred(tmp_path / "both.tar", {"x": b"1", "x/y": b"2"}, "w")
    with pytest.raises(OSError):
        extract_tar(both, inside)
    assert list(inside.iterdir()) == []
    (inside / "a").mkdir()
    (inside / "a" / "mine").write_bytes(b"kept")
    extract_tar(whole, inside)
    assert len(list((inside / "a").iterdir())) == 21 and [p.name for p in inside.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", ["old", "pax", "links", "huge"])
def test_members_that_are_no_plain_files(tmp_path, kind):
    """A sparse member of a few bytes unpacks to any size."""
    path = tmp_path / "bad.tar"
    member = tarfile.TarInfo("sparse")
    if kind == "old":
        member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
        block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
        block[386:398], block[398:410], block[483:495] = b"00000000000\0", b"00000000000\0", b"77777777777\0"
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block[:512])
        path.write_bytes(bytes(block) + bytes(10240))
    elif kind == "pax":
        member.pax_headers = {
            "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(1 << 40), "GNU.sparse.realsize": str(1 << 40),
            "GNU.sparse.map": "0,0", "GNU.sparse.name": "sparse",
        }  # fmt: skip
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(member)
    elif kind == "links":
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        with tarfile.open(path, "w") as tar:
            tar.addfile(member)
    else:
        member.size = 1 << 60
        path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    inside = tmp_path / "inside"
    with pytest.raises(OSError if kind == "huge" else tarfile.TarError):
        extract_tar(path, inside)
    assert list(inside.iterdir()) == []


class Nonsense(http.server.BaseHTTPRequestHandler):
    """Answers with the status and headers that the path names."""

    def do_GET(self):
        status, headers, content = self.answers[self.path.strip("/")](self.headers.get("Range"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def answering(**answers):
    handler = type("Answering", (Nonsense,), {"answers": answers})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_servers_that_answer_nonsense(tmp_path):
    """The next address is tried, whatever the first one says."""
    half = CONTENT[: len(CONTENT) // 2]
    whole = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
    answers = {
        "letters": lambda _: (200, {"Content-Length": "many"}, CONTENT),
        "negative": lambda _: (200, {"Content-Length": "-5"}, CONTENT),
        "part": lambda _: (206, {"Content-Range": f"bytes 0-{len(half) - 1}/{len(CONTENT)}"}, half),
        "unnamed": lambda _: (206, {}, half),
        "elsewhere": lambda _: (206, {"Content-Range": f"bytes 77-{len(CONTENT) - 1}/{len(CONTENT)}"}, CONTENT[77:]),
        "garbled": lambda _: (206, {"Content-Range": "bytes many"}, CONTENT),
        "all": lambda _: (206, {"Content-Range": whole}, CONTENT),
        "good": lambda _: (200, {}, CONTENT),
    }
    with answering(**answers) as base:
        for first in ("letters", "negative", "part", "unnamed", "elsewhere", "garbled"):
            for started in (b"", half, b"other"):
                folder = tmp_path / first / str(len(started))
                folder.mkdir(parents=True)
                if started:
                    (folder / "file.part").write_bytes(started)
                path = download_url([base + first, base + "good"], folder, "file")
                assert path.read_bytes() == CONTENT, first
        (tmp_path / "file.part").write_bytes(half)
        assert download_url(base + "all", tmp_path, "file").read_bytes() == CONTENT
        for scheme in ("no address", "gopher://example.org/file", "http://", "http://[::1/file", "http://127.0.0.1:99999/file"):
            folder = tmp_path / "schemes" / hashlib.md5(scheme.encode()).hexdigest()
            assert download_url([scheme, base + "good"], folder, "file").read_bytes() == CONTENT
        with pytest.raises(RuntimeError, match="could not be downloaded(.|\n)*no address"):
            download_url("no address", tmp_path / "none", "file")

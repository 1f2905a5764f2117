"""Fetching and checking the published files."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import hashlib
import http.client
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxnn.support.unpacking import largest_unpacked

try:
    from tqdm import tqdm
except ImportError:  # the bar is a courtesy
    tqdm = None

__all__ = ["check_integrity", "digest_of", "download_url", "extract_tar", "fetch", "md5_of"]

_CHUNK = 1 << 16
_BLOCK = 512  # bytes of a tar archive that describe a member
_LARGEST_HEADER = 1 << 18  # bytes for one member of a tar archive, names and notes included
_MOST_MEMBERS, _MOST_NOTES = 20_000, 100  # of a tar archive
_PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_PARTIAL = 206
_UNSATISFIABLE = 416


def digest_of(path: str | os.PathLike[str], algorithm: str) -> str:
    """A file's sum by one of `hashlib`'s algorithms, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def md5_of(path: str | os.PathLike[str]) -> str:
    """The MD5 sum of a file, in hexadecimal."""
    return digest_of(path, "md5")


def check_integrity(path: str | os.PathLike[str], md5: str | None = None) -> bool:
    """Whether a file is there and has the given MD5 sum."""
    return os.path.isfile(path) and (md5 is None or md5_of(path) == md5)


def _bar(name: str, done: int, total: int | None) -> Any:
    return tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=name) if tqdm else None


class _OtherPart(ConnectionError):
    """The server answered another part of the file than was asked for."""


def _begin(answer: Any, asked: int, checked: bool) -> tuple[int, int | None]:
    """Where in the file an answer begins (what was asked for, or 0), and the whole file's size where the server tells it.

    A server that answers "a part" and not which is believed only where a checksum follows.
    """
    if answer.status != _PARTIAL:
        return 0, None
    told = answer.headers.get("Content-Range", "")
    if not told and asked and checked:
        return asked, None
    found = re.fullmatch(r"bytes (\d{1,20})-\d{1,20}/(\d{1,20}|\*)", told, re.ASCII)
    if found is None or int(found[1]) not in (0, asked):
        raise _OtherPart(f"asked for the bytes from {asked} on, got a part with Content-Range {told[:60]!r}")
    return int(found[1]), None if found[2] == "*" else int(found[2])


def fetch(url: str, part: Path, name: str, progress: bool = True, checked: bool = False) -> None:
    """Continue `part` from where it ends; servers that know no ranges send the file from its start.

    `checked` says that the caller compares the file's checksum.

    Raises:
        OSError: `urllib.error.URLError` for what the server says, ConnectionError when it stops early or answers nonsense.
        ValueError: for what is no address.
    """
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "jaxnn"} | ({"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        done, whole = _begin(answer, done, checked)
        length = answer.headers.get("Content-Length")
        if length is not None and not (length.isascii() and length.isdecimal()):
            raise ConnectionError(f"{url}: bad Content-Length {length[:40]!r}")
        total = whole if length is None or whole is not None else int(length) + done
        bar = _bar(name, done, total) if progress else None
        try:
            with open(part, "ab" if done else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    if bar is not None:
                        bar.update(len(chunk))
        finally:
            if bar is not None:
                bar.close()
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(f"{url}: the connection ended after {part.stat().st_size} of {total} bytes")


def download_url(
    urls: str | Sequence[str], root: str | os.PathLike[str], filename: str | None = None, md5: str | None = None
) -> Path:
    """Fetch a file into a folder from the first address that has it, and check it. Returns its path.

    A file that is there and passes the check is left alone. What an interrupted call fetched lies beside it as
    ``NAME.part``, and the next call continues there.

    Raises:
        RuntimeError: if no address gave the file, with what each of them said.
    """
    addresses = [urls] if isinstance(urls, str) else list(urls)
    folder = Path(root).expanduser()
    path = folder / (filename or addresses[0].rpartition("/")[2])
    if check_integrity(path, md5):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    failures = []
    for url in addresses:
        # A part that another file began fails the check once; the second turn starts from nothing.
        for _ in range(2):
            resumed = part.exists()
            try:
                fetch(url, part, path.name, checked=md5 is not None)
            except urllib.error.HTTPError as error:
                if resumed and error.code == _UNSATISFIABLE and not check_integrity(part, md5 or ""):
                    part.unlink()
                    continue
                if error.code != _UNSATISFIABLE:
                    failures.append(f"{url}: HTTP status {error.code} {error.reason}")
                    break
            except _OtherPart as error:
                if resumed:
                    part.unlink()
                    continue
                failures.append(f"{url}: {error}")
                break
            except (OSError, ValueError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error}")
                break
            if check_integrity(part, md5):
                part.replace(path)
                return path
            found = md5_of(part)
            part.unlink()
            if not resumed:
                failures.append(f"{url}: MD5 sum {found}, expected {md5}")
                break
    raise RuntimeError(f"{path.name} could not be downloaded to {folder}:\n  " + "\n  ".join(failures))


def extract_tar(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """Unpack plain files and folders; all of them, or none.

    Raises:
        tarfile.TarError: for a member that is neither (sparse files included), would lie outside the folder, when the
            archive is damaged, or unpacks to far more than it holds.
        OSError: when the disk has no room for them.
    """
    root = os.path.realpath(folder)
    os.makedirs(root, exist_ok=True)
    aside = tempfile.mkdtemp(prefix=".unpacking-", dir=root)
    try:
        with _opened_tar(archive) as (opened, file):
            members = _checked_members(opened, file, archive, root)
            for member in members:
                file.left = member.size + _CHUNK
                _unpack(opened, member, os.path.join(aside, member.name))
        for member in members:
            target = os.path.join(root, member.name)
            if member.isdir():
                os.makedirs(target, exist_ok=True)
            elif os.path.lexists(there := os.path.join(aside, member.name)):  # a name may stand twice
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.replace(there, target)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError, OverflowError, RecursionError) as error:
        raise tarfile.ReadError(f"{archive}: damaged: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class _Counted:
    """An unpacked archive of which only so much may be read for one member's headers: notes of any size are read whole."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.left = _LARGEST_HEADER

    def read(self, count: int) -> bytes:
        self.left -= count
        if self.left < 0:
            raise tarfile.ExtractError(f"the headers of a member have more than {_LARGEST_HEADER} bytes")
        return self._file.read(count)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def _opened_tar(archive: str | os.PathLike[str]) -> Iterator[tuple[tarfile.TarFile, _Counted]]:
    with open(archive, "rb") as plain:
        head = plain.read(6)
        plain.seek(0)
        unpack: Any = next((unpack for magic, unpack in _PACKED.items() if head.startswith(magic)), None)
        file = _Counted(unpack(plain) if unpack else plain)
        with tarfile.open(fileobj=file, mode="r:") as opened:  # type: ignore[call-overload]
            yield opened, file


def _checked_members(opened: tarfile.TarFile, file: _Counted, archive: Any, root: str) -> list[tarfile.TarInfo]:
    # Checked here, not by `filter="data"`, which Python 3.11 has from its fourth release on.
    members: list[tarfile.TarInfo] = []
    needed = 0
    room = shutil.disk_usage(root).free
    largest = largest_unpacked(os.path.getsize(archive))
    file.left = _LARGEST_HEADER
    for member in opened:
        target = os.path.realpath(os.path.join(root, member.name))
        plain = member.isdir() or (member.isfile() and not member.issparse())
        if not plain or os.path.commonpath([root, target]) != root:
            raise tarfile.ExtractError(f"{archive}: {member.name!r} is no plain file or folder inside {root}")
        needed += _BLOCK + (member.size if member.isfile() else 0)
        if needed > room:  # before a small archive of a huge file is read to its end
            raise OSError(errno.ENOSPC, f"{archive}: its files take at least {needed} bytes, {room} are free", root)
        if needed > largest or len(members) == _MOST_MEMBERS:
            raise tarfile.ExtractError(f"{archive}: unpacks to far more than it holds ({member.name[:200]!r}, {needed} bytes so far)")
        if len(opened.pax_headers) > _MOST_NOTES:  # of which every member gets a copy
            raise tarfile.ExtractError(f"{archive}: has {len(opened.pax_headers)} notes on all members")
        members.append(member)
        file.left = _LARGEST_HEADER
    return members


def _unpack(opened: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    if member.isdir():
        os.makedirs(target, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    content = opened.extractfile(member)
    assert content is not None
    with content, open(target, "wb") as file:
        shutil.copyfileobj(content, file)
    if os.path.getsize(target) != member.size:
        raise tarfile.ReadError(f"unexpected end of data: {member.name!r}")

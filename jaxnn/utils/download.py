"""Fetching and checking the published files."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    from tqdm import tqdm
except ImportError:  # the bar is a courtesy
    tqdm = None

__all__ = ["check_integrity", "digest_of", "download_url", "extract_tar", "fetch", "md5_of"]

_CHUNK = 1 << 16
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


def fetch(url: str, part: Path, name: str, progress: bool = True) -> None:
    """Continue `part` from where it ends; servers that know no ranges send the file from its start.

    Raises:
        OSError: `urllib.error.URLError` for what the server says, ConnectionError when it stops early.
    """
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "jaxnn"} | ({"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        if done and answer.status != _PARTIAL:
            done = 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else int(length) + done
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
                fetch(url, part, path.name)
            except urllib.error.HTTPError as error:
                if resumed and error.code == _UNSATISFIABLE and not check_integrity(part, md5 or ""):
                    part.unlink()
                    continue
                if error.code != _UNSATISFIABLE:
                    failures.append(f"{url}: HTTP status {error.code} {error.reason}")
                    break
            except (OSError, http.client.HTTPException) as error:
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
    """Unpack plain files and folders.

    Raises:
        tarfile.TarError: for a member that is neither or would lie outside the folder. Nothing is written then.
    """
    root = os.path.realpath(folder)
    with tarfile.open(archive) as opened:
        # Checked here, not by `filter="data"`, which Python 3.11 has from its fourth release on.
        for member in opened.getmembers():
            target = os.path.realpath(os.path.join(root, member.name))
            if not (member.isfile() or member.isdir()) or os.path.commonpath([root, target]) != root:
                raise tarfile.ExtractError(f"{archive}: {member.name!r} is no plain file or folder inside {folder}")
        for member in opened.getmembers():
            target = os.path.join(root, member.name)
            if member.isdir():
                os.makedirs(target, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            content = opened.extractfile(member)
            assert content is not None
            with content, open(target, "wb") as file:
                shutil.copyfileobj(content, file)

"""Checkpoints from the network. Running a repository's code, `torch.hub.load`, is not here.

Source: https://docs.pytorch.org/docs/stable/hub.html
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from .serialization import load as _read
from .utils.download import digest_of, fetch

__all__ = ["download_url_to_file", "get_dir", "load_state_dict_from_url", "set_dir"]

_state: dict[str, str | None] = {"folder": None}


def get_dir() -> str:
    """The folder of fetched files: that of `set_dir`, else ``$TORCH_HOME/hub``, which is PyTorch's own.

    ``TORCH_HOME`` is ``$XDG_CACHE_HOME/torch`` by default, and that ``~/.cache/torch``.
    """
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return _state["folder"] or os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Set the folder of fetched files."""
    _state["folder"] = os.path.expanduser(d)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Fetch a file; it stands under its name only when it is whole.

    Args:
        hash_prefix: how the file's SHA-256 sum starts, in hexadecimal.
        progress: show a bar.

    Raises:
        urllib.error.URLError: for what the server says.
        RuntimeError: when the sum is another one.
    """
    path = Path(os.path.expanduser(dst))
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")  # other processes may fetch the same file
    try:
        fetch(url, part, path.name, progress)
        if hash_prefix is not None:
            found = digest_of(part, "sha256")
            if not found.startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_state_dict_from_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True, check_hash: bool = False,
    file_name: str | None = None, weights_only: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Read a checkpoint from the network, or the copy that an earlier call left in ``model_dir``.

    Args:
        model_dir: by default ``checkpoints`` in `get_dir`.
        map_location: as in `jaxnn.load`.
        check_hash: the name of the file ends as ``-SHA256PREFIX.EXTENSION``, and the prefix must hold.
        file_name: the name of the copy, by default that in the address.
        weights_only: as in `jaxnn.load`, which reads data only.

    Raises:
        urllib.error.URLError: for what the server says.
        RuntimeError: for a file with another sum.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.load_state_dict_from_url
    """
    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        prefix = re.search(r"-([a-f0-9]*)\.", name) if check_hash else None
        download_url_to_file(url, path, prefix.group(1) if prefix else None, progress)
    return _read(path, map_location, weights_only=weights_only)

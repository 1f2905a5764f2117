"""Checkpoints from the network, and models of a local folder's ``hubconf.py``.

Args:
    github: "owner/repository[:branch]".
    source: 'github' or 'local'.
    force_reload: download anew.
    skip_validation, trust_repo: hints.
    verbose: taken for compatibility.
    d: the folder.

Source: https://docs.pytorch.org/docs/stable/hub.html
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import re
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from .core.process.late import imported as _imported
from .serialization import load as _read
from .utils.download import digest_of, fetch

__all__ = ["HASH_REGEX", "download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

#: The sum in a file's name, as in ``resnet18-bfd8deac.pth``.
HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")

_state: dict[str, str | None] = {"folder": None}


def get_dir() -> str:
    """The folder of fetched files: that of `set_dir`, else ``$TORCH_HOME/hub``, which is PyTorch's own.

    ``TORCH_HOME`` is ``$XDG_CACHE_HOME/torch`` by default, and that ``~/.cache/torch``.
    """
    return _state["folder"] or os.path.join(_get_torch_home(), "hub")


def _get_torch_home() -> str:
    """``$TORCH_HOME``, by default ``$XDG_CACHE_HOME/torch``, and that ``~/.cache/torch``."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return os.path.expanduser(home)


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
        prefix = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, prefix.group(1) if prefix else None, progress)
    return _read(path, map_location, weights_only=weights_only)


def _hubconf(repo_or_dir: Any, source: str, name: str) -> Any:
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        raise NotImplementedError(
            f"hub.{name}: source='github' is not supported, it would run code of PyTorch's; get the repository and use source='local'"
        )
    folder = os.path.abspath(os.path.expanduser(repo_or_dir))
    spec = importlib.util.spec_from_file_location("hubconf", os.path.join(folder, "hubconf.py"))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    finally:
        sys.path.remove(folder)
    needed = [n for n in getattr(module, "dependencies", ()) if importlib.util.find_spec(n) is None]
    if needed:
        raise RuntimeError(f"Missing dependencies: {', '.join(needed)}")
    return module


def _entry(module: Any, model: str) -> Any:
    if not isinstance(model, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, model, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return found


def load(
    repo_or_dir: Any, model: str, *args: Any, source: str = "github", trust_repo: Any = None, force_reload: bool = False,
    verbose: bool = True, skip_validation: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """What a function in the ``hubconf.py`` of a folder returns.

    Args:
        repo_or_dir: the folder.
        model: the function's name; ``args`` and ``kwargs`` are its arguments.
        source: "local"; code of PyTorch's on the network is not run.
        trust_repo, force_reload, verbose, skip_validation: hints, for the network.

    Raises:
        NotImplementedError: for another source.
        RuntimeError: the function, or a package that it needs, is not there.
    """
    return _entry(_hubconf(repo_or_dir, source, "load"), model)(*args, **kwargs)


def list(
    github: Any, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = None, verbose: bool = True, *,
    source: str = "github",
) -> builtins.list[str]:  # fmt: skip
    """The names of the functions in a folder's ``hubconf.py``; the arguments are those of `load`."""
    module = _hubconf(github, source, "list")
    return [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]


def help(
    github: Any, model: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = None, *,
    source: str = "github",
) -> str | None:  # fmt: skip
    """The docstring of a function in a folder's ``hubconf.py``; the arguments are those of `load`."""
    return _entry(_hubconf(github, source, "help"), model).__doc__

_imported(__name__)

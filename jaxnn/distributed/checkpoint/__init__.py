"""``torch.distributed.checkpoint``: state_dicts saved by all processes, restored on any number of devices.

The files are Orbax's, not PyTorch's ``.distcp``: each process writes the parts of a tensor that its devices hold, and reads those
that they are to hold.

Source: https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
"""

from __future__ import annotations

from . import state_dict, stateful
from .storage import FileSystemReader, FileSystemWriter, async_save, load, save

__all__ = ["FileSystemReader", "FileSystemWriter", "async_save", "load", "save", "state_dict", "stateful"]

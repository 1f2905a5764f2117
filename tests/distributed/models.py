"""The model of `scripts/gpt.py`, which is written for PyTorch, on jaxnn."""

from __future__ import annotations

import sys
from pathlib import Path

from jaxnn import compat

sys.path.insert(0, str(Path(__file__).parent / "scripts"))
try:
    with compat.torch_alias({"gpt"}, quiet=True):
        from gpt import GPT
finally:
    del sys.path[0]

__all__ = ["GPT"]

"""``python -m jaxnn.run [options] script.py [arguments]``: one program in several processes, as torchrun starts it."""

from __future__ import annotations

import sys

from .distributed.launcher import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

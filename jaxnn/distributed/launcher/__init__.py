"""``python -m jaxnn.run``: starts the processes of a program, watches them and ends them together."""

from __future__ import annotations

from .command import main

__all__ = ["main"]

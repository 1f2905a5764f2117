"""Flax's words for the training mode: ``deterministic`` and ``use_running_average`` are ``training`` seen from Flax's side.

`nnx.Module.train`, ``eval`` and ``set_attributes`` of a model that holds modules of ours ask each module whether it has
these attributes, and set them. No module of ours has one to anybody else: users' own modules may call something so.
"""

from __future__ import annotations

import sys
from typing import Any

from jaxnn.core.process.internals import FLAX_MODES

from .registered import own_dict

__all__ = ["FlaxModes", "asked_by_flax"]


def asked_by_flax(depth: int) -> bool:
    """Whether the function ``depth`` frames up is one of nnx's that set modes; a class's own ``__getattr__`` may stand between."""
    frame = sys._getframe(depth + 1)
    while frame.f_code.co_name == "__getattr__" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals.get("__name__") == FLAX_MODES


class FlaxModes:
    """The part of `Module` that answers to Flax's modes."""

    #: Which of Flax's words sets the mode of this module.
    _jaxnn_flax_mode = "deterministic"
    training: bool

    def __getattr__(self, name: str) -> Any:
        # Children are found before; a class with a `__getattr__` of its own may ask here for one by name, as in PyTorch.
        if name in own_dict(self).get("_jaxnn_registered", ()):
            return own_dict(self)[name]
        if name == type(self)._jaxnn_flax_mode and asked_by_flax(1):
            return not self.training
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def set_view(self, deterministic: bool | None = None, use_running_average: bool | None = None) -> None:
        """Class method used by ``nnx.view``.

        Args:
          deterministic: if True, dropout and whatever else depends on the training mode is in evaluation.
          use_running_average: if True, batch normalisation uses its statistics instead of the input's.
        """
        given = use_running_average if self._jaxnn_flax_mode == "use_running_average" else deterministic
        if given is not None:
            self.training = not given

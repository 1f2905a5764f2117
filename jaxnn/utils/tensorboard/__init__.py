"""Curves, pictures, histograms, graphs and more for TensorBoard, written by tensorboardX.

Source: https://docs.pytorch.org/docs/stable/tensorboard.html
"""

import importlib.util

if importlib.util.find_spec("tensorboardX") is None:
    raise ModuleNotFoundError(
        "jaxnn.utils.tensorboard needs the package tensorboardX: pip install tensorboardX", name="tensorboardX"
    )

from .writer import SummaryWriter  # noqa: E402  (after the check, whose message says what to do)

__all__ = ["SummaryWriter"]

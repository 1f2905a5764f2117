"""Curves, pictures, histograms, graphs and more for TensorBoard, written by tensorboardX.

Source: https://docs.pytorch.org/docs/stable/tensorboard.html
"""

import importlib.util

if importlib.util.find_spec("tensorboardX") is None:
    raise ModuleNotFoundError(
        "jaxnn.utils.tensorboard needs the package tensorboardX: pip install tensorboardX", name="tensorboardX"
    )

from .writer import SummaryWriter

__all__ = ["SummaryWriter"]

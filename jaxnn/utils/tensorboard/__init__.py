"""Curves, pictures, histograms, graphs and more for TensorBoard, written by tensorboardX.

Source: https://docs.pytorch.org/docs/stable/tensorboard.html
"""

from jaxnn.support.packages import needed

for _package in ("tensorboardX", "PIL"):
    needed(_package, "jaxnn.utils.tensorboard", "jaxnn-torch[tensorboard]")

from .writer import SummaryWriter  # noqa: E402

__all__ = ["SummaryWriter"]

"""torchvision beside a PyTorch that its compiled part was not built for; None where it is not installed."""

import importlib
import sys

import torch

_KEPT_ALIVE = []


def _import_torchvision():
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return None
    except RuntimeError:
        # Its Python part registers rules for two operators of the compiled part, which did not load.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT_ALIVE.append(library)
        return importlib.import_module("torchvision")


torchvision = _import_torchvision()

"""Makes torchvision importable beside a PyTorch that its compiled part was not built for."""

import sys

import torch

_KEPT_ALIVE = []


def _import_torchvision():
    try:
        import torchvision
    except ModuleNotFoundError:
        return  # the comparisons are skipped
    except RuntimeError:
        # Its Python part registers rules for two operators of the compiled part, which did not load.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT_ALIVE.append(library)
        import torchvision  # noqa: F401


_import_torchvision()

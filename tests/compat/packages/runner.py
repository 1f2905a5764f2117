"""Runs rows of a table with one library, and writes what they gave: ``python [-m jaxnn] runner.py TABLE FOLDER STAGE [ROW...]``.

A row (`model_row`) is a `Model`, whose training is compared in full, or a function of a folder that returns arrays by name. STAGE is
``first``: PyTorch, which leaves files in the folder; ``second``: jaxnn, which reads those and leaves its own; or ``third``:
PyTorch again, for the rows that read what jaxnn left (their function's attribute ``back``).
"""

import importlib
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path

if os.environ.get("JAXNN_PACKAGES"):
    sys.path.insert(1, os.environ["JAXNN_PACKAGES"])

import numpy as np
import torch
from model_row import OURS

torch.set_num_threads(1)

if not OURS and importlib.util.find_spec("torchvision"):
    # torchvision's wheel is made for another build of PyTorch: its own operators are missing, and are asked for at import.
    _library = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def array(value):
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype in (torch.half, torch.bfloat16) else value).numpy()
    return np.asarray(value)


def main(table, folder, stage, *names):
    rows = importlib.import_module(table).ROWS
    for name in names or rows:
        row = rows[name]
        here = Path(folder) / name.replace(" ", "_")
        here.mkdir(parents=True, exist_ok=True)
        if stage == "third":
            if not hasattr(row, "back"):
                continue
            row = row.back
        try:
            found = row(here)
            np.savez(here / f"{stage}.npz", **{k: array(v) for k, v in found.items()})
            print(json.dumps({"row": name, "error": None}), flush=True)
        except Exception as error:
            while error.__cause__ is not None and not isinstance(error, ImportError):
                error = error.__cause__
            said = f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error)[-8:])
            print(json.dumps({"row": name, "error": said, "trace": trace}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Programs that are asked of PyTorch in one environment and of jaxnn in another, where there is no PyTorch.

A question is a function of the library that gives numbers, arrays and texts. They are those of the other tests: the engine's
programs, a layer of each kind, the tutorials; and a training loop for each optimizer.
"""

from __future__ import annotations

import contextlib
import copy
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import test_autograd as engine_programs
from both import outcome, plain

from tests.nn.beside import arrays, built, ran
from tests.nn.test_layers import ROWS
from tests.tutorials.test_tutorials import PROGRAMS, printed_by

README = Path(__file__).resolve().parents[2] / "README.md"

#: A loop for each optimizer with the options that take another path through it.
OPTIMIZERS = (
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01}), ("Adam", {"lr": 0.01, "amsgrad": True}), ("AdamW", {"lr": 0.01}), ("NAdam", {"lr": 0.01}),
    ("RAdam", {"lr": 0.01}), ("Adamax", {"lr": 0.01}), ("Adagrad", {"lr": 0.1}), ("Adadelta", {}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5}), ("Rprop", {}), ("ASGD", {"lr": 0.1}),
)  # fmt: skip


def _layer(source: str, shapes: Any) -> Any:
    def ask(library: Any) -> Any:
        layer = built(library, source)
        before = copy.deepcopy(plain(dict(layer.state_dict())))  # PyTorch shares its memory
        out, grads, state = ran(library, layer, arrays(shapes))
        return repr(layer), before, plain(out), plain(grads), plain(dict(state))

    return ask


def _trained(name: str, options: dict[str, Any]) -> Any:
    def ask(library: Any) -> Any:
        nn = library.nn
        library.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
        optimizer = getattr(library.optim, name)(net.parameters(), **options)
        scheduler = library.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
        rng = np.random.default_rng(0)
        losses = []
        for _ in range(6):
            x, y = (library.tensor(rng.standard_normal((4, n)).astype(np.float32).tolist()) for n in (3, 2))
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        return losses, plain(dict(net.state_dict()))

    return ask


def _readme(library: Any) -> Any:
    """What README's first program prints."""
    source = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]
    source = re.sub(r"torch\.save.*", "", source).replace("jaxnn", library.__name__)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(source, {"__name__": "__main__"})
    return [float(n) for n in re.findall(r"\d+\.\d+(?:e-?\d+)?", out.getvalue())]


def _tutorial(name: str) -> Any:
    def ask(library: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return printed_by(name, library.__name__)

    return ask


QUESTIONS: dict[str, Any] = {
    "readme": _readme,
    **{f"engine/{name}": lambda library, f=f: outcome(f, library) for name, f in engine_programs.PROGRAMS.items()},
    **{f"layer/{source}": _layer(source, shapes) for source, shapes in ROWS},
    **{f"optimizer/{name}/{k}": _trained(name, options) for k, (name, options) in enumerate(OPTIMIZERS)},
    **{f"tutorial/{path.stem}": _tutorial(path.stem) for path in sorted(PROGRAMS.glob("*.py"))},
}

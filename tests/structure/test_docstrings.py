"""What docstrings say: a summary and a source everywhere, arguments, shapes, and examples that both libraries bear out."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re

import jax
import pytest
import torch
import torch.distributed.device_mesh
import torch.nn.utils.prune  # which PyTorch imports when it is asked for

import jaxnn
from jaxnn import compat
from jaxnn.docstrings import entries, parameters, sections

NAMESPACES = (
    "nn nn.functional nn.init nn.utils nn.utils.rnn nn.utils.parametrize nn.utils.parametrizations nn.utils.prune nn.attention "
    "nn.parallel optim optim.lr_scheduler optim.swa_utils linalg fft special signal.windows func autograd autograd.functional "
    "autograd.graph autograd.forward_ad sparse utils.data utils.checkpoint distributions distributed amp cuda profiler testing hub "
    "masked random overrides library accelerator vision.ops vision.models vision.transforms vision.transforms.functional "
    "vision.datasets vision.utils compat . Tensor"
).split()

#: At least so many of a hundred. They may only rise.
FLOORS = {
    "summaries": 100, "sources": 100, "arguments": 99, "shapes": 98.5, "examples of layers": 100, "examples of optimizers": 100,
}  # fmt: skip


def of_pytorch(name):
    """PyTorch's object of this name, or None."""
    value = torch
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            return None
    return value


def public():
    """Every public function and class of ours, by the first name that it is met under."""
    found = {}
    for space in NAMESPACES:
        inside = jaxnn if space == "." else jaxnn.Tensor if space == "Tensor" else importlib.import_module(f"jaxnn.{space}")
        for name in getattr(inside, "__all__", dir(inside)) if space != "." else dir(inside):
            value = getattr(inside, name, None)
            path = f"{space}.{name}".lstrip(".")
            if name.startswith("_") or not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            if (value.__module__ or "").split(".")[0] not in ("jaxnn", "torch"):
                continue
            if not hasattr(inside, "__all__") and of_pytorch(path) is None:  # what a file imports
                continue
            found.setdefault(id(value), (path, value))
    return dict(found.values())


PUBLIC = public()


def kind_of(value, base):
    return inspect.isclass(value) and issubclass(value, base)


LAYERS = [n for n, v in PUBLIC.items() if n.startswith("nn.") and n.count(".") == 1 and kind_of(v, jaxnn.nn.Module)]
OPTIMIZERS = [
    n for n, v in PUBLIC.items() if kind_of(v, (jaxnn.optim.Optimizer, jaxnn.optim.lr_scheduler.LRScheduler)) and n.startswith("optim")
]


def is_operator(value):
    """Whether this computes on tensors: made by ``@op``, or a function beside those in a numeric namespace."""
    while value is not None:
        if hasattr(value, "raw") or hasattr(value, "op"):
            return True
        value = getattr(value, "__wrapped__", None)
    return False


def is_numeric(name):
    """Whether this is a function of a numeric namespace with a tensor among its arguments."""
    space = name.rpartition(".")[0]
    return space in ("", "nn.functional", "linalg", "fft", "special", "signal.windows") and not inspect.isclass(PUBLIC[name]) and (
        any(n in ("input", "tensor", "tensors", "A", "x") for n in parameters(PUBLIC[name]))
    )  # fmt: skip


def unexplained(value):
    """Arguments without an entry of their own and not in the text in backticks either."""
    text = sections(value.__doc__)
    known = entries(text.get("Args", ""))
    prose = " ".join(part for name, part in text.items() if name not in ("Args", "Example"))
    named = set(re.findall(r"\w+", " ".join(re.findall(r"``?([^`]+)``?", prose))))
    taken = parameters(value)
    if taken == ["args", "kwargs"] and known:  # those of a base
        return []
    return [n for n in taken if n not in known and n not in named and not n.startswith("_")]


def lacking(kind):
    """The names that lack something, and all that are asked for it."""
    if kind == "summaries":
        return [n for n, v in PUBLIC.items() if not sections(v.__doc__)[""]], list(PUBLIC)
    if kind == "sources":
        asked = [n for n in PUBLIC if of_pytorch(n) is not None]
        return [n for n in asked if "://" not in (PUBLIC[n].__doc__ or "")], asked
    if kind == "arguments":
        return [n for n, v in PUBLIC.items() if unexplained(v)], list(PUBLIC)
    if kind == "shapes":
        asked = [n for n, v in PUBLIC.items() if n in LAYERS or is_operator(v) or is_numeric(n)]
        return [n for n in asked if "Shape" not in sections(PUBLIC[n].__doc__)], asked
    asked = LAYERS if kind == "examples of layers" else OPTIMIZERS
    return [n for n in asked if ">>>" not in (PUBLIC[n].__doc__ or "")], asked


@pytest.mark.parametrize("kind", FLOORS)
def test_docstrings_say(kind):
    without, asked = lacking(kind)
    share = 100 * (1 - len(without) / len(asked))
    assert share >= FLOORS[kind], f"{share:.1f} of 100 have {kind}; without: {without}"


def examples(space):
    return {n: v.__doc__ for n, v in PUBLIC.items() if n.rpartition(".")[0] == space.strip(".") and ">>>" in (v.__doc__ or "")}


def run(lib, name, text):
    """Run the examples of a docstring with ``torch`` standing for a library. Those of compat have both."""
    lib.manual_seed(0)
    space = name.rpartition(".")[0]
    if space == "compat":
        names = {"torch": torch, "compat": compat, "jax": jax}
    else:
        names = {"torch": lib, "nn": lib.nn, "F": lib.nn.functional}
        if space in ("distributions", "distributed"):
            names |= vars(getattr(lib, space))
    test = doctest.DocTestParser().get_doctest(text, names | {"jaxnn": jaxnn}, f"{name} by {lib.__name__}", None, None)
    said = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("space", [s for s in NAMESPACES if examples(s)])
def test_examples_are_true(space):
    """Of jaxnn, and of PyTorch where it has the name and the example does not speak of jaxnn."""
    wrong = [run(jaxnn, n, text) for n, text in examples(space).items()]
    if space != "distributed":  # PyTorch's need a process group
        wrong += [run(torch, n, text) for n, text in examples(space).items() if of_pytorch(n) is not None and "jaxnn." not in text]
    assert not any(wrong), "".join(wrong)


def test_sources_name_what_pytorch_has():
    named = [(n, page) for n, v in PUBLIC.items() for page in re.findall(r"generated/torch\.([\w.]+)\.html", v.__doc__ or "")]
    assert len(named) > 900
    # PyTorch's page of gradcheck has the name of its file, too.
    assert [n for n, page in named if of_pytorch(page) is None and not page.startswith("autograd.gradcheck.")] == []

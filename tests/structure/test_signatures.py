"""Functions and methods show what they take: the names that PyTorch's own documentation lists."""

import importlib
import inspect
import re

import pytest
import torch

import jaxnn
from jaxnn.core.operator.keyword_names import other_names

#: Overloads that no one signature says: sizes behind numbers, one tensor or several, a device or a type in front.
OVERLOADED = {"einsum", "gru", "lstm", "randint", "randint_like", "rnn_relu", "rnn_tanh", "to"}
#: Documented under names that PyTorch itself does not take.
LOOSE = {
    "broadcast_to", "det", "lu_factor", "one_hot", "orgqr", "qr", "searchsorted", "squeeze", "true_divide", "unsafe_split",
}  # fmt: skip
#: Keywords that only choose how PyTorch's documentation writes a signature down.
UNSHOWN = {"*", "/", "...", "out", "async", "non_blocking", "self"}


def documented(function):
    """The names of the arguments in the first signature of a docstring."""
    found = re.match(r"\s*(?:torch\.)?\w+(?:\.\w+)*\((.*?)\)\s*->", function.__doc__ or "", re.DOTALL)
    if found is None:
        return None
    text = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", found.group(1))
    names = [re.match(r"\*?(?:[A-Z]\w+ )?(\w+)", part.strip()) for part in text.split(",")]
    return [m.group(1) for m in names if m and m.group(1) not in UNSHOWN]


def functions(face, names):
    return [n for n in names if inspect.isfunction(getattr(face, n, None)) and not n.startswith("_")]


SPACES = [
    ("torch", torch, jaxnn), ("nn.functional", torch.nn.functional, jaxnn.nn.functional),
    ("Tensor", torch.Tensor, jaxnn.Tensor), ("linalg", torch.linalg, jaxnn.linalg), ("fft", torch.fft, jaxnn.fft),
    ("special", torch.special, jaxnn.special),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours"), [s[1:] for s in SPACES], ids=[s[0] for s in SPACES])
def test_functions_show_their_arguments(theirs, ours):
    wrong = []
    for name in functions(ours, dir(theirs)):
        f = getattr(ours, name)
        shown = inspect.signature(f).parameters
        if not f.__doc__:
            wrong.append((name, "has no documentation"))
        if name in OVERLOADED:
            continue
        if any(p.kind is p.VAR_KEYWORD for p in shown.values()):
            wrong.append((name, "hides its keywords"))
        # What is written of methods repeats the functions', with looser names.
        wanted = [] if theirs is torch.Tensor or name in LOOSE else documented(getattr(theirs, name)) or []
        taken = {*shown, *other_names(name, f)}
        missing = [n for n in wanted if n not in taken and not any(p.kind is p.VAR_POSITIONAL for p in shown.values())]
        if missing:
            wrong.append((name, f"shows {list(shown)}, PyTorch's documentation {wanted}"))
    assert not wrong, "\n".join(map(str, wrong))


MODULES = (
    "nn nn.functional nn.init nn.utils nn.utils.rnn nn.utils.parametrizations nn.utils.prune nn.utils.parametrize "
    "nn.utils.stateless optim optim.lr_scheduler optim.swa_utils utils.data utils.checkpoint amp autograd autograd.functional "
    "autograd.graph func testing"
).split()  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_defaults_are_pytorch_s(module):
    theirs, ours = (importlib.import_module(f"{root}.{module}") for root in ("torch", "jaxnn"))
    wrong = []
    for name in dir(theirs):
        f, g = getattr(theirs, name), getattr(ours, name, None)
        if name.startswith("_") or g is None or not callable(f):
            continue
        try:
            wanted, have = inspect.signature(f).parameters, inspect.signature(g).parameters
        except (TypeError, ValueError):  # made in C++
            continue
        for k in wanted.keys() & have.keys():
            pair = wanted[k].default, have[k].default
            if inspect.Parameter.empty in pair or callable(pair[0]) or isinstance(pair[0], torch.Generator):
                continue
            if repr(pair[0]) != repr(pair[1]):
                wrong.append((name, k, *pair))
    assert not wrong, "\n".join(map(str, wrong))

"""Every public name of PyTorch's namespaces is here or in `gaps.GAPS` with a reason; that list may only shrink."""

from __future__ import annotations

import importlib
import pickle
import types

import pytest
import torch
import torch.func
import torch.optim.lr_scheduler

import jaxnn
from tests.structure import gaps

NAMESPACES = [
    "torch", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.optim",
    "torch.optim.lr_scheduler", "torch.Tensor", "torch.linalg", "torch.fft", "torch.special", "torch.func",
    "torch.autograd", "torch.cuda", "torch.distributions", "torch.sparse",
]  # fmt: skip


def follow(root, path):
    """``root`` plus the parts of a dotted path after its first; None where one is missing."""
    for part in path.split(".")[1:]:
        root = getattr(root, part, None)
    return root


def is_imported(value, namespace):
    """Whether PyTorch's file only imports this, from Python's own library or from typing."""
    home = getattr(value, "__module__", None) or ""
    return home.split(".")[0] in ("typing", "typing_extensions", "collections", "functools", "abc", "math", "enum") or (
        isinstance(value, (types.ModuleType, type(__import__("__future__").annotations)))
    )


def names(namespace):
    """PyTorch's public names, without what a file imports."""
    theirs = follow(torch, namespace)
    found = [n for n in dir(theirs) if not n.startswith("_")]
    if namespace == "torch.Tensor":
        return found
    if namespace != "torch":  # a file's own imports of torch's top level
        found = [n for n in found if getattr(theirs, n) is not getattr(torch, n, None) or callable(getattr(theirs, n))]
        found = [n for n in found if n not in ("Tensor", "TYPE_CHECKING", "bisect_right", "ref")]
    return [n for n in found if not is_imported(getattr(theirs, n), namespace)]


def has(ours, name):
    try:
        getattr(ours, name)
    except AttributeError:
        return False
    return True


LISTED = {s: {n: why for why, text in gaps.GAPS.get(s, {}).items() for n in text.split()} for s in NAMESPACES}


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_name_is_here_or_listed(namespace):
    ours, listed = follow(jaxnn, namespace), LISTED[namespace]
    theirs = names(namespace)
    missing = [n for n in theirs if not has(ours, n)]
    assert not (set(missing) - set(listed)), (
        f"{namespace} lacks {sorted(set(missing) - set(listed))}: write or list them"
    )
    here = [n for n in listed if n not in missing and n in theirs]
    assert not here, f"{namespace} has {here}: remove them from gaps.py"
    gone = [n for n in listed if n not in theirs]
    assert not gone, f"PyTorch has no {gone} in {namespace}: remove them from gaps.py"


@pytest.mark.parametrize("namespace", [s for s in NAMESPACES if LISTED[s]])
def test_a_missing_name_says_so(namespace):
    ours = jaxnn.zeros(1) if namespace == "torch.Tensor" else follow(jaxnn, namespace)
    name = sorted(LISTED[namespace])[0]
    with pytest.raises(AttributeError, match=rf"jaxnn lacks {namespace}\.{name}"):
        getattr(ours, name)


def test_namespaces_import_by_name():
    for namespace in NAMESPACES:
        if namespace != "torch.Tensor":
            importlib.import_module("jaxnn" + namespace.removeprefix("torch"))


@pytest.mark.parametrize("namespace", ["", ".nn.functional", ".linalg", ".fft", ".special"])
def test_functions_can_be_pickled(namespace):
    module = importlib.import_module("jaxnn" + namespace)
    for name, value in vars(module).items():
        if isinstance(value, types.FunctionType) and not name.startswith("__"):
            assert pickle.loads(pickle.dumps(value)) is value, name

"""Models beside torchvision's: initial weights, keys, printed form, outputs, gradients, checkpoints."""

import io

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.vision import models
from tests.vision.model_cases import CASES, narrow
from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)

their_models = torchvision.models


@pytest.fixture(autouse=True, scope="module")
def one_by_one():
    """Each convolution compiles once for all families that have it."""
    before = jaxnn.get_execution_mode() if hasattr(jaxnn, "get_execution_mode") else "auto"
    jaxnn.set_execution_mode("operators")
    yield
    jaxnn.set_execution_mode(before)


def state_of(model):
    return {key: value.detach().numpy() for key, value in model.state_dict().items()}


def same_state(ours, theirs, tolerance=None):
    left, right = state_of(ours), state_of(theirs)
    assert list(left) == list(right)
    for key in left:
        assert left[key].dtype == right[key].dtype and left[key].shape == right[key].shape, key
        if tolerance is None:
            assert left[key].tobytes() == right[key].tobytes(), key
        else:
            np.testing.assert_allclose(left[key], right[key], tolerance, tolerance, err_msg=key)


def pair(make, seed=0):
    made = []
    for library, its_models in ((jaxnn, models), (torch, their_models)):
        library.manual_seed(seed)
        made.append(make(its_models, library.nn))
    return made


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_families(make, monkeypatch):
    for library in (jaxnn, torch):
        narrow(library.nn, monkeypatch)
    ours, theirs = pair(make)
    same_state(ours, theirs)
    assert repr(ours) == repr(theirs)
    assert jaxnn.rand(3).tolist() == torch.rand(3).tolist()  # as many draws

    # A layer that begins with zeros would hide what is below it.
    noise = np.random.default_rng(0)
    changed = {
        key: value + 0.1 * noise.standard_normal(value.shape) if value.dtype.kind == "f" else value
        for key, value in state_of(theirs).items()
    }
    changed = {key: np.abs(value) if "running_var" in key else value for key, value in changed.items()}
    ours, theirs = ours.double(), theirs.double()
    theirs.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in changed.items()})
    file = io.BytesIO()
    torch.save(theirs.state_dict(), file)
    file.seek(0)
    ours.load_state_dict(jaxnn.load(file))

    pictures = noise.standard_normal(CASES[make])
    factors = noise.standard_normal((len(pictures), 5))
    for mode in ("eval", "train"):
        results = []
        for library, model in ((jaxnn, ours), (torch, theirs)):
            getattr(model, mode)()
            model.zero_grad()
            library.manual_seed(1)
            x = library.tensor(pictures, requires_grad=True)
            y = model(x)
            (y * library.tensor(factors)).sum().backward()
            grads = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
            results.append({"y": y.detach().numpy(), "x": x.grad.numpy(), **grads})
        left, right = results
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_allclose(left[name], right[name], 1e-7, 1e-9, err_msg=f"{mode} {name}")
    same_state(ours, theirs, 1e-9)

    file = io.BytesIO()
    jaxnn.save(ours.state_dict(), file)
    file.seek(0)
    theirs.load_state_dict(torch.load(file, weights_only=True))
    same_state(ours, theirs)

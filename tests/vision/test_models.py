"""Models beside torchvision's: initial weights, keys, printed form, outputs, gradients, checkpoints."""

import io

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.vision import models
from tests.vision.model_cases import CASES, SLOW, narrow
from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)

their_models = torchvision.models


@pytest.fixture(autouse=True, scope="module")
def one_by_one():
    """Each convolution compiles once for all families that have it."""
    jaxnn.set_execution_mode("operators")
    yield
    jaxnn.set_execution_mode("auto")


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


@pytest.fixture
def small(monkeypatch):
    for library in (jaxnn, torch):
        narrow(library.nn, monkeypatch)


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_initial_weights(make, small):
    ours, theirs = pair(make)
    same_state(ours, theirs)
    assert repr(ours) == repr(theirs)
    assert jaxnn.rand(3).tolist() == torch.rand(3).tolist()  # as many draws


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, marks=[pytest.mark.long] if make in SLOW else [], id=make.__name__) for make in CASES],
)
def test_outputs_gradients_and_checkpoints(make, small):
    """In float64: normalisation over the few places of a small picture amplifies rounding."""
    tolerance = (1e-6, 1e-7)  # the derivative of PyTorch's hardsigmoid is a float32, 1 / 6, in float64, too
    ours, theirs = (model.double() for model in pair(make))
    # A layer that begins with zeros would hide what is below it.
    noise = np.random.default_rng(0)
    for key, value in theirs.state_dict().items():
        if value.is_floating_point():
            value += torch.from_numpy(0.1 * np.abs(noise.standard_normal(value.shape)))
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
            grads = {name: p.grad.numpy() for name, p in model.named_parameters()}
            results.append({"output": y.detach().numpy(), "pictures": x.grad.numpy(), **grads})
        left, right = results
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_allclose(left[name], right[name], *tolerance, err_msg=f"{mode} {name}")
    same_state(ours, theirs, 1e-9)

    file = io.BytesIO()
    jaxnn.save(ours.state_dict(), file)
    file.seek(0)
    theirs.load_state_dict(torch.load(file, weights_only=True))
    same_state(ours, theirs)


def test_names():
    absent = ("googlenet", "inception", "maxvit", "mnasnet", "regnet", "shufflenet")
    wanted = [name for name in their_models.list_models(their_models) if not name.startswith(absent)]
    assert models.list_models(models) == models.list_models() == wanted
    patterns = {"include": ["resnet*", "vit*"], "exclude": "*_16"}
    assert models.list_models(**patterns) == their_models.list_models(their_models, **patterns)
    assert models.get_model_builder("ResNet18") is models.resnet18
    assert models.get_model_weights(models.vgg11) is models.VGG11_Weights
    assert models.get_weight("ResNet50_Weights.DEFAULT") is models.ResNet50_Weights.IMAGENET1K_V2
    for library in (models, their_models):
        for call in (
            lambda: library.get_model("resnet"), lambda: library.get_weight("ResNet50"), lambda: library.get_weight("A.B"),
            lambda: library.get_model_weights(library.ResNet),
        ):  # fmt: skip
            with pytest.raises(ValueError):
                call()


@pytest.mark.parametrize("name", models.list_models())
def test_every_model(name):
    """Keys, shapes and printed form on the meta device, and what is said of its checkpoints."""
    with jaxnn.device("meta"):
        ours = models.get_model(name)
    with torch.device("meta"):
        theirs = their_models.get_model(name)
    shapes = [[(k, tuple(v.shape)) for k, v in model.state_dict().items()] for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert repr(ours) == repr(theirs)
    left, right = models.get_model_weights(name), their_models.get_model_weights(name)
    assert [repr(w) for w in left] == [repr(w) for w in right] and left.DEFAULT.name == right.DEFAULT.name
    for mine, other in zip(left, right):
        assert mine.url == other.url
        assert {k: mine.meta[k] for k in ("num_params", "min_size")} == {
            k: other.meta[k] for k in ("num_params", "min_size")
        }
        assert mine.meta["num_classes"] == (other.meta["categories"] and len(other.meta["categories"]))
        assert repr(mine.transforms()) == repr(other.transforms())
    count = sum(p.numel() for p in ours.parameters())
    assert count in [w.meta["num_params"] for w in left]

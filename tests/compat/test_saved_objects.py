"""What `save` takes beside tensors: numpy's data, the old format, and objects of classes that the program allows."""

import io
import pickle
import warnings

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import nn
from jaxnn.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    safe_globals,
)

DATA = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.float64(3.5),
    "text": np.array(["x", "yy"]),
    "empty": np.zeros((0, 2), bool),
    "small": np.int8(-3),
    "0-d": np.array(1.5 + 2j),
    "swapped": np.array([1, 2], ">i4"),
    "type": np.dtype("float32"),
    "bytes": np.array([b"ab", b""]),
    "twice": [np.ones(2)] * 2,
}


def written(library, obj, **options):
    file = io.BytesIO()
    library.save(obj, file, **options)
    file.seek(0)
    return file


def same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, list):
        assert len(ours) == len(theirs) and (ours[0] is ours[1]) == (theirs[0] is theirs[1])
        ours, theirs = ours[0], theirs[0]
    if isinstance(ours, np.dtype):
        assert ours == theirs
    else:
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", DATA)
def test_numpy_data(key, zipped):
    value = DATA[key]
    options = {"_use_new_zipfile_serialization": zipped}
    reference = torch.load(written(torch, value, **options), weights_only=False)
    for library, reader in ((jaxnn, jaxnn), (jaxnn, torch), (torch, jaxnn)):
        same(reader.load(written(library, value, **options), weights_only=False), reference)
    for reader in (jaxnn, torch):
        with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
            reader.load(written(jaxnn, value, **options))


def test_numpy_data_that_is_none():
    for bad in (np.array([object()]), np.zeros(2, [("a", int)]), np.array(["2020-01-01"], "datetime64[D]")):
        with pytest.raises(pickle.PicklingError, match="numbers, truth values and text"):
            written(jaxnn, bad)


def test_allowed_names_of_numpy_let_its_data_in():
    file = written(jaxnn, {"a": np.ones(2)})
    names = get_unsafe_globals_in_checkpoint(file)
    file.seek(0)
    assert names == sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    with safe_globals([(print, name) for name in names]):  # a name of numpy's stands for its data, whatever it is given as
        file.seek(0)
        assert jaxnn.load(file)["a"].tolist() == [1, 1]


def test_the_old_format():
    w = jaxnn.arange(6.0).view(2, 3)
    state = {"w": w, "row": w[1], "half": jaxnn.ones(2, dtype=jaxnn.bfloat16), "p": nn.Parameter(jaxnn.ones(2)), "n": [1, "a"]}
    file = written(jaxnn, state, _use_new_zipfile_serialization=False)
    theirs = torch.load(file)
    file.seek(0)
    ours = jaxnn.load(file)
    for found in (theirs, ours):
        assert found["w"].tolist() == w.tolist() and found["n"] == [1, "a"] and found["p"].requires_grad
        found["row"].zero_()
        assert found["w"].tolist() == [[0, 1, 2], [0, 0, 0]]
    assert theirs["half"].dtype == torch.bfloat16 and ours["half"].dtype == jaxnn.bfloat16


def test_pickle_modules():
    file = written(jaxnn, {"a": jaxnn.ones(2)}, pickle_module=pickle)
    assert jaxnn.load(file, pickle_module=pickle, weights_only=False)["a"].tolist() == [1, 1]
    for library in (jaxnn, torch):
        with pytest.raises(RuntimeError, match="explicit pickle_module"):
            library.load(file, pickle_module=pickle, weights_only=True)
    with pytest.raises(NotImplementedError, match="pickle_module=json: .*add_safe_globals"):
        import json

        jaxnn.save({}, io.BytesIO(), pickle_module=json)
    with pytest.raises(NotImplementedError, match="pickle_protocol"):
        jaxnn.save({}, io.BytesIO(), pickle_protocol=4)


@pytest.mark.parametrize("view", [False, True])
def test_requires_grad_of_what_was_computed(view):
    found = []
    for library in (torch, jaxnn):
        x = library.ones(2, 2, requires_grad=True)
        h = x * 2
        y = library.load(written(library, h.t() if view else h))
        found.append((y.requires_grad, y.is_leaf, y.tolist()))
    assert found[0] == found[1]


# ---- whole modules


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.register_buffer("scale", jaxnn.full((2,), 2.0), persistent=False)
        self.notes = {"tried": np.arange(3), "by": ["a", None]}
        self.tied = self.first

    def forward(self, x):
        return self.rest(self.norm(self.first(x))) * self.scale


class Hostile:
    ran = 0

    def __reduce__(self):
        return _ran, ()


def _ran():
    Hostile.ran += 1


CLASSES = [Net, nn.Linear, nn.BatchNorm1d, nn.Sequential, nn.ReLU]


@pytest.fixture(autouse=True)
def nothing_allowed():
    clear_safe_globals()
    yield
    clear_safe_globals()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_module_of_allowed_classes(zipped):
    model = Net()
    x = jaxnn.randn(5, 3)
    model(x)
    with safe_globals(CLASSES):
        file = written(jaxnn, {"model": model, "again": model}, _use_new_zipfile_serialization=zipped)
        found = jaxnn.load(file, weights_only=False)
    assert get_safe_globals() == []
    loaded = found["model"]
    assert loaded is found["again"] and loaded.tied is loaded.first and type(loaded) is Net
    assert list(loaded.state_dict()) == list(model.state_dict()) and [n for n, _ in loaded.named_buffers()] == [
        n for n, _ in model.named_buffers()
    ]
    assert type(loaded.norm.running_mean) is type(model.norm.running_mean)
    assert loaded.notes["tried"].tolist() == [0, 1, 2] and loaded.notes["by"] == ["a", None]
    jaxnn.testing.assert_close(loaded(x), model(x))
    loaded(x).sum().backward()
    assert loaded.first.weight.grad is not None and model.first.weight.grad is None


def test_a_module_is_refused_until_its_classes_are_allowed():
    model = Net()
    with pytest.raises(pickle.PicklingError, match=r"Net.*state_dict\(\).*add_safe_globals\(\[Net\]\)"):
        written(jaxnn, model)
    add_safe_globals([Net])
    with pytest.raises(pickle.PicklingError, match=r"add_safe_globals\(\[Linear\]\)"):
        written(jaxnn, model)
    add_safe_globals(CLASSES)
    assert get_safe_globals() == CLASSES
    file = written(jaxnn, model)
    clear_safe_globals()
    name = f"{Net.__module__}.Net"
    unsafe = get_unsafe_globals_in_checkpoint(file)
    assert name in unsafe and "jaxnn.nn.linear.Linear" in unsafe and not any("_rebuild" in n for n in unsafe)
    for weights_only in (None, True, False):
        file.seek(0)
        with pytest.raises(pickle.UnpicklingError, match=rf"{name} (.|\n)*Nothing of it was run(.|\n)*safe_globals"):
            jaxnn.load(file, weights_only=weights_only)


def test_pytorchs_whole_modules_are_refused_and_nothing_runs():
    with warnings.catch_warnings(action="ignore"):
        file = written(torch, torch.nn.Linear(2, 2))
        hostile = written(torch, {"a": Hostile()})
    theirs = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    file.seek(0)
    assert get_unsafe_globals_in_checkpoint(file) == sorted(theirs)
    for given in (file, hostile):
        given.seek(0)
        with pytest.raises(pickle.UnpicklingError, match="Nothing of it was run"):
            jaxnn.load(given, weights_only=False)
    assert Hostile.ran == 0
    hostile.seek(0)
    with safe_globals([_ran]):
        jaxnn.load(hostile)
    assert Hostile.ran == 1, "what the program allows is called"


def test_names_that_are_given_with_the_class():
    class Renamed:
        pass

    with safe_globals([(Renamed, "old.place.Renamed")]):
        made = Renamed()
        made.value = 3
        file = written(jaxnn, made)
        assert get_unsafe_globals_in_checkpoint(file) == []
        file.seek(0)
        assert jaxnn.load(file).value == 3
    with pytest.raises(TypeError, match="safe_globals takes"):
        add_safe_globals(["text"])

"""Training goes on in the other library where it stopped in one, through live states and through files."""

import copy

import numpy as np
import pytest
import torch
from optim.problems import Ours, Theirs, close, one_step, quadratic, same_state, trained, value
from torch.testing._internal.common_optimizers import optim_db

import jaxnn
from jaxnn import compat

#: The options with the most state.
OPTIONS = {
    "SGD": {"momentum": 0.9}, "Adam": {"amsgrad": True, "weight_decay": 0.1}, "AdamW": {"amsgrad": True},
    "RMSprop": {"centered": True, "momentum": 0.3}, "ASGD": {"t0": 4, "lambd": 0.1}, "NAdam": {"weight_decay": 0.1},
    "Adagrad": {"initial_accumulator_value": 0.1}, "LBFGS": {"max_iter": 2, "lr": 0.5},
}  # fmt: skip
NAMES = [info.name for info in optim_db]


def through_live_objects(first, state):
    return compat.from_torch(state) if first is Theirs else compat.to_torch(state)


def through_files(folder):
    def convert(first, state):
        path = folder / "state.pt"
        if first is Theirs:
            torch.save(state, path)
            return jaxnn.load(path)
        jaxnn.save(state, path)
        return torch.load(path, weights_only=True)

    return convert


@pytest.mark.parametrize("way", ["live", "file"])
@pytest.mark.parametrize("name", NAMES)
def test_ten_steps_here_and_ten_there(name, way, tmp_path):
    convert = through_live_objects if way == "live" else through_files(tmp_path)
    dtype = np.float64 if name == "LBFGS" else np.float32
    options = OPTIONS.get(name, {})
    whole, reference = trained(Theirs, name, options, 20, dtype)
    for first, second in ((Theirs, Ours), (Ours, Theirs)):
        params, optimizer = trained(first, name, options, 10, dtype)
        others, evaluate = quadratic(second, dtype, name)
        following = getattr(second.optim, name)(others, **({} if name == "LBFGS" else {"lr": 0.7}))
        for p, own in zip(params, others, strict=True):
            with second.root.no_grad():
                own.copy_(second.tensor(value(p)))
        following.load_state_dict(convert(first, optimizer.state_dict()))
        for _ in range(10):
            one_step(following, evaluate, name)
        close(others, whole)
        if second is Ours:
            same_state(following.state_dict(), reference.state_dict())


@pytest.mark.parametrize("name", ["Adam", "Adafactor", "NAdam"])
def test_a_saved_state_is_not_changed_by_later_steps_of_the_loader(name):
    _, optimizer = trained(Ours, name, {}, 3)
    saved = optimizer.state_dict()
    before = {k: float(v["step"]) for k, v in saved["state"].items()}
    params, evaluate = quadratic(Ours, np.float32, name)
    following = getattr(Ours.optim, name)(params)
    following.load_state_dict(saved)
    one_step(following, evaluate, name)
    assert {k: float(v["step"]) for k, v in saved["state"].items()} == before


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "LBFGS"])  # which makes its state anew
def test_a_loaded_state_is_the_optimizers_own(name):
    """What a dictionary holds is not copied: steps write to its tensors, except for the counters."""

    def held(library):
        p = library.nn.Parameter(library.ones(3))
        optimizer = getattr(library.optim, name)([p], **OPTIONS[name])

        def closure():
            optimizer.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        saved = copy.deepcopy(optimizer.state_dict())
        optimizer.load_state_dict(saved)
        optimizer.step(closure)
        tensors = {k: v for k, v in saved["state"][0].items() if isinstance(v, library.Tensor) and v.dim()}
        return {k: (v.detach().numpy(), v is optimizer.state[p][k]) for k, v in tensors.items()}

    ours, theirs = held(jaxnn), held(torch)
    assert ours.keys() == theirs.keys()
    for key, (array, own) in theirs.items():
        assert ours[key][1] == own
        close(ours[key][0], array)

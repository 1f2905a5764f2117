"""Schedulers set the rates that PyTorch's set: alone, combined, restored, by epoch; warnings, errors, state_dicts."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from optim.problems import Ours, Theirs, array, both, outcome, same

from jaxnn import compat


class Warm:
    """A function with something to save."""

    def __init__(self, speed):
        self.speed = speed

    def __call__(self, x):
        return 1 / (1 + self.speed * x)


def chain(m, o):
    return m.ChainedScheduler([m.ConstantLR(o, 0.1, 20), m.ExponentialLR(o, 0.99)], optimizer=o)


def sequence(m, o):
    parts = [m.LinearLR(o, 0.1, total_iters=10), m.CosineAnnealingLR(o, 90), m.StepLR(o, 30)]
    return m.SequentialLR(o, parts, [10, 100])


def nested(m, o):
    warm = m.SequentialLR(o, [m.ConstantLR(o, 0.5, 8), m.ExponentialLR(o, 0.9)], [8])
    return m.SequentialLR(o, [warm, m.PolynomialLR(o, 50, 0.9)], [40])


MAKERS = {
    "StepLR": lambda m, o: m.StepLR(o, 30, 0.5),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [20, 20, 80, 150], 0.3),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.3, 40),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.2, 0.8, 60),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.97),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, 120, 1.7),
    "LambdaLR": lambda m, o: m.LambdaLR(o, [lambda e: 0.95**e, Warm(0.1)]),
    "MultiplicativeLR": lambda m, o: m.MultiplicativeLR(o, lambda e: 0.99 if e % 2 else 1.005),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 50, 0.001),
    "CosineAnnealingLR-odd": lambda m, o: m.CosineAnnealingLR(o, 7),
    "CosineAnnealingWarmRestarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 10, 2, 0.001),
    "CosineAnnealingWarmRestarts-1": lambda m, o: m.CosineAnnealingWarmRestarts(o, 13),
    "CyclicLR": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 20),
    "CyclicLR-2": lambda m, o: m.CyclicLR(o, [0.01, 0.02], [0.1, 0.3], 15, 25, mode="triangular2"),
    "CyclicLR-exp": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 20, mode="exp_range", gamma=0.99, cycle_momentum=False),
    "CyclicLR-own": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 20, scale_fn=Warm(0.2), scale_mode="iterations"),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, 0.5, total_steps=201),
    "OneCycleLR-linear": lambda m, o: m.OneCycleLR(o, [0.5, 0.3], epochs=21, steps_per_epoch=10, anneal_strategy="linear"),
    "OneCycleLR-three": lambda m, o: m.OneCycleLR(o, 0.5, total_steps=250, three_phase=True, pct_start=0.2),
    "chain": chain,
    "sequence": sequence,
    "nested": nested,
}  # fmt: skip


def two_groups(library, kind="SGD", **options):
    params = [library.tensor(array((2,), k)).requires_grad_() for k in range(2)]
    options = options or ({"momentum": 0.9} if kind == "SGD" else {})
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}]
    return getattr(library.optim, kind)(groups, lr=0.1, **options)


def options(optimizer):
    return [[g["lr"], g.get("momentum"), g.get("betas")] for g in optimizer.param_groups]


def run(library, make, steps=200, kind="SGD", restore=None):
    optimizer = two_groups(library, kind)
    schedule = make(library.scheduler, optimizer)
    seen = [options(optimizer)]
    for step in range(steps):
        optimizer.step()
        schedule.step()
        seen.append([options(optimizer), schedule.get_last_lr()])
        if step == restore:
            saved, held = pickle.loads(pickle.dumps(schedule.state_dict())), copy.deepcopy(optimizer.state_dict())
            optimizer = two_groups(library, kind)
            schedule = make(library.scheduler, optimizer)
            optimizer.load_state_dict(held)
            schedule.load_state_dict(saved)
    return seen, schedule


def equal(found, expected):
    if isinstance(expected, (list, tuple)):
        assert type(found) is type(expected) and len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            equal(a, b)
    elif expected is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_two_hundred_steps(name):
    found, schedule = run(Ours, MAKERS[name])
    expected, reference = run(Theirs, MAKERS[name])
    equal(found, expected)
    equal(run(Ours, MAKERS[name], restore=37)[0], expected)
    mine, state = schedule.state_dict(), reference.state_dict()
    assert set(mine) == set(state)
    same(
        {k: mine[k] for k in state}, {**state, **({"lr_lambdas": mine["lr_lambdas"]} if "lr_lambdas" in state else {})}
    )


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR", "OneCycleLR-three"])
def test_the_first_beta_cycles(name):
    equal(run(Ours, MAKERS[name], kind="Adam", steps=60)[0], run(Theirs, MAKERS[name], kind="Adam", steps=60)[0])


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_of_pytorch_is_taken_and_given(name):
    """Eighty steps in one library, the rest in the other."""
    make = MAKERS[name]
    expected, _ = run(Theirs, make, 120)
    for first, second, convert in ((Theirs, Ours, compat.from_torch), (Ours, Theirs, compat.to_torch)):
        optimizer = two_groups(first)
        schedule = make(first.scheduler, optimizer)
        for _ in range(80):
            optimizer.step()
            schedule.step()
        other = two_groups(second)
        following = make(second.scheduler, other)
        other.load_state_dict(convert(optimizer.state_dict()))
        following.load_state_dict(convert(schedule.state_dict()))
        for step in range(80, 120):
            other.step()
            following.step()
            equal([options(other), following.get_last_lr()], expected[step + 1])


EPOCHS = ["StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "LambdaLR",
          "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CosineAnnealingWarmRestarts-1", "OneCycleLR"]  # fmt: skip


@pytest.mark.parametrize("name", EPOCHS)
def test_by_epoch(name):
    def program(library):
        optimizer = two_groups(library)
        schedule = MAKERS[name](library.scheduler, optimizer)
        seen = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for epoch in (3, 25, 10, 110, 4.5) if "Restarts" in name else (3, 25, 10, 110):
                schedule.step(epoch)
                seen.append([options(optimizer), schedule.get_last_lr(), [schedule.last_epoch]])
        return seen, [(w.category.__name__, str(w.message)) for w in caught]

    (found, heard), (expected, told) = program(Ours), program(Theirs)
    equal(found, expected)
    assert heard == told


@pytest.mark.parametrize("name", ["CosineAnnealingLR", "CosineAnnealingLR-odd"])
def test_cosine_of_a_first_step_in_the_middle(name):
    """A schedule that stands in the middle at its first step computes the rate anew; later ones go on from the rate before."""

    def program(library):
        seen = []
        for steps in (1, 2):
            for epoch in (1, 2, 5, 8, 15, 51):
                optimizer = two_groups(library)
                schedule = MAKERS[name](library.scheduler, optimizer)
                for group in optimizer.param_groups:
                    group["lr"] = 0.37
                schedule.last_epoch, schedule._step_count = epoch, steps
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    seen.append([float(rate) for rate in schedule.get_lr()])
        return seen

    np.testing.assert_allclose(program(Ours), program(Theirs), rtol=1e-6)


PLATEAU = [
    {}, {"mode": "max", "patience": 2}, {"factor": 0.5, "patience": 3, "cooldown": 4, "min_lr": [0.01, 0.02]},
    {"mode": "max", "threshold": 0.2, "patience": 1, "factor": 0.5}, {"threshold": 0.3, "patience": 2},
    {"threshold": 0.05, "threshold_mode": "abs", "patience": 1}, {"mode": "max", "threshold_mode": "abs", "patience": 0},
]  # fmt: skip


@pytest.mark.parametrize("given", PLATEAU)
def test_plateau(given):
    measured = np.round(np.abs(np.sin(np.arange(200) / 7.0)) * np.exp(-np.arange(200) / 40.0), 3)

    def program(library, restore):
        optimizer = two_groups(library)
        schedule = library.scheduler.ReduceLROnPlateau(optimizer, **given)
        seen = [schedule.get_last_lr()]
        for step, value in enumerate(measured):
            optimizer.step()
            schedule.step(library.tensor(np.float32(value)) if step % 2 else float(np.float32(value)))
            seen.append([options(optimizer), schedule.get_last_lr()])
            if restore and step == 50:
                saved = schedule.state_dict()
                schedule = library.scheduler.ReduceLROnPlateau(optimizer)
                schedule.load_state_dict(saved)
        return seen, schedule.state_dict()

    (found, state), (expected, held) = program(Ours, False), program(Theirs, False)
    equal(found, expected)
    assert list(state) == list(held)
    same(state, held)
    equal(program(Ours, True)[0], expected)


def test_a_rate_that_is_a_tensor():
    def program(library):
        p = library.tensor(array((2,), 0)).requires_grad_()
        optimizer = library.optim.SGD([p], lr=library.tensor(np.float32(0.1)), momentum=0.9)
        seen = []
        parts = [library.scheduler.LinearLR(optimizer, 0.5, 1.0, 3), library.scheduler.ExponentialLR(optimizer, 0.5)]
        schedule = library.scheduler.ChainedScheduler(parts)
        plateau = library.scheduler.ReduceLROnPlateau(optimizer, patience=0)
        for _ in range(5):
            optimizer.step()
            schedule.step()
            plateau.step(1.0)
            seen.append(float(optimizer.param_groups[0]["lr"]))
            seen.append(float(schedule.get_last_lr()[0]))
        return seen

    np.testing.assert_allclose(program(Ours), program(Theirs), rtol=1e-6)


REFUSED = [
    lambda m, o: m.ConstantLR(o, 1.5), lambda m, o: m.ConstantLR(o, -0.5), lambda m, o: m.LinearLR(o, 0.0),
    lambda m, o: m.LinearLR(o, 0.5, 1.5), lambda m, o: m.LambdaLR(o, [abs]), lambda m, o: m.MultiplicativeLR(o, [abs]),
    lambda m, o: m.MultiplicativeLR(o, 3), lambda m, o: m.CosineAnnealingWarmRestarts(o, 0),
    lambda m, o: m.CosineAnnealingWarmRestarts(o, 2, 0), lambda m, o: m.CosineAnnealingWarmRestarts(o, 2, 1, "a"),
    lambda m, o: m.CosineAnnealingWarmRestarts(o, 2).step(-1), lambda m, o: m.ReduceLROnPlateau(o, factor=1.0),
    lambda m, o: m.ReduceLROnPlateau(o, "mean"), lambda m, o: m.ReduceLROnPlateau(o, threshold_mode="mean"),
    lambda m, o: m.ReduceLROnPlateau(o, min_lr=[1.0]), lambda m, o: m.ReduceLROnPlateau(3),
    lambda m, o: m.CyclicLR(3, 0.1, 0.2), lambda m, o: m.CyclicLR(o, [0.1], 0.2), lambda m, o: m.CyclicLR(o, 0.1, [0.2]),
    lambda m, o: m.CyclicLR(o, 0.1, 0.2, mode="round"), lambda m, o: m.OneCycleLR(o, 0.1),
    lambda m, o: m.OneCycleLR(o, 0.1, total_steps=0), lambda m, o: m.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=2),
    lambda m, o: m.OneCycleLR(o, 0.1, epochs=2, steps_per_epoch=-1), lambda m, o: m.OneCycleLR(o, 0.1, 5, pct_start=2.0),
    lambda m, o: m.OneCycleLR(o, 0.1, 5, anneal_strategy="round"), lambda m, o: m.OneCycleLR(o, [0.1], 5),
    lambda m, o: [s.step() for s in [m.OneCycleLR(o, 0.1, 2)] for _ in range(4)],
    lambda m, o: m.SequentialLR(o, [], []), lambda m, o: m.SequentialLR(o, [m.StepLR(o, 2)], [3]),
    lambda m, o: m.SequentialLR(o, [3], []), lambda m, o: m.SequentialLR(o, [m.ReduceLROnPlateau(o)], []),
    lambda m, o: m.ChainedScheduler([]), lambda m, o: m.ChainedScheduler([m.ReduceLROnPlateau(o)]),
    lambda m, o: m.StepLR(o, 2, last_epoch=4), lambda m, o: m.LRScheduler(o), lambda m, o: m.StepLR(None, 2),
]  # fmt: skip


@pytest.mark.parametrize("make", REFUSED)
def test_refused(make):
    def program(library):
        optimizer = two_groups(library)
        return make(library.scheduler, optimizer) and None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = outcome(program, Ours), outcome(program, Theirs)
    assert found[0] == expected[0]
    if found[0] != "KeyError":
        assert found == expected


def test_cycles_need_a_momentum():
    for make in (lambda m, o: m.CyclicLR(o, 0.1, 0.2), lambda m, o: m.OneCycleLR(o, 0.1, 5)):
        both(lambda library, make=make: make(library.scheduler, two_groups(library, "Adagrad", eps=1e-10)))


def test_other_optimizers_are_not_mixed():
    for name in ("SequentialLR", "ChainedScheduler"):
        for library in (Ours, Theirs):
            one, other = two_groups(library), two_groups(library)
            parts = [library.scheduler.StepLR(other, 2)]
            args = (one, parts, []) if name == "SequentialLR" else (parts, one)
            with pytest.raises(ValueError, match="expects all schedulers to belong to the same optimizer"):
                getattr(library.scheduler, name)(*args)


def test_every_scheduler_is_here():
    assert set(torch.optim.lr_scheduler.__all__) == set(Ours.scheduler.__all__)


class AnyEpoch:
    """Makers that take ``last_epoch``: a library's schedulers, with it added."""

    def __init__(self, library, last_epoch):
        self._library, self._last_epoch = library, last_epoch

    def __getattr__(self, name):
        return lambda *args, **options: getattr(self._library, name)(*args, last_epoch=self._last_epoch, **options)


CONTINUED = [n for n in MAKERS if n not in ("chain", "sequence", "nested")]


@pytest.mark.parametrize("name", CONTINUED)
def test_continued_at_an_epoch_with_other_rates(name):
    """Made with ``last_epoch`` over an optimizer whose rates were changed by hand, as a run that goes on does."""

    def program(library):
        found = []
        for last_epoch in (0, 1, 6, 29):
            optimizer = two_groups(library)
            MAKERS[name](library.scheduler, optimizer)  # notes the first rates
            for group, rate in zip(optimizer.param_groups, (0.07, 0.11), strict=True):
                group["lr"] = rate
            scheduler = MAKERS[name](AnyEpoch(library.scheduler, last_epoch), optimizer)
            found.append([scheduler.last_epoch, *options(optimizer)])
            for _ in range(3):
                optimizer.step()
                scheduler.step()
                found.append([scheduler.last_epoch, *options(optimizer)])
        return found

    both(program)

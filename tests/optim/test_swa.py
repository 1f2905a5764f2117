"""Averaged weights, their rates and batch norms are PyTorch's."""

import numpy as np
import pytest
import torch
from optim.problems import Ours, Theirs, array, both, close, same
from optim.test_schedulers import equal, options, two_groups

from jaxnn import optim
from jaxnn.core.run import statistics


def net(library):
    library.root.manual_seed(0)
    return library.nn.Sequential(library.nn.Linear(3, 4), library.nn.BatchNorm1d(4), library.nn.Linear(4, 2))


def averaged(library, make, steps=4):
    swa = library.optim.swa_utils
    model = net(library)
    average = make(swa, model)
    for step in range(steps):
        with library.root.no_grad():
            for k, p in enumerate(model.parameters()):
                p.add_(library.tensor(array(tuple(p.shape), 10 * step + k)))
            model(library.tensor(array((5, 3), step)))
        average.update_parameters(model)
    return average


MAKERS = {
    "swa": lambda s, m: s.AveragedModel(m),
    "swa, buffers": lambda s, m: s.AveragedModel(m, use_buffers=True),
    "ema": lambda s, m: s.AveragedModel(m, multi_avg_fn=s.get_ema_multi_avg_fn(0.9)),
    "ema, buffers": lambda s, m: s.AveragedModel(m, multi_avg_fn=s.get_ema_multi_avg_fn(0.9), use_buffers=True),
    "ema, one by one": lambda s, m: s.AveragedModel(m, avg_fn=s.get_ema_avg_fn(0.8)),
    "swa, lists": lambda s, m: s.AveragedModel(m, multi_avg_fn=s.get_swa_multi_avg_fn()),
    "swa, one by one": lambda s, m: s.AveragedModel(m, avg_fn=s.get_swa_avg_fn(), use_buffers=True),
    "own": lambda s, m: s.AveragedModel(m, avg_fn=lambda a, v, n: 0.5 * a + 0.5 * v),
}


@pytest.mark.parametrize("name", MAKERS)
def test_averages(name):
    found, expected = averaged(Ours, MAKERS[name]), averaged(Theirs, MAKERS[name])
    mine, state = dict(found.state_dict()), dict(expected.state_dict())
    same(mine, state)
    again = MAKERS[name](optim.swa_utils, net(Ours))
    again.load_state_dict(mine)
    x = array((5, 3), 99)
    close([again.eval()(Ours.tensor(x))], [expected.eval()(Theirs.tensor(x))])


def test_refused():
    both(lambda v: v.optim.swa_utils.AveragedModel(net(v), avg_fn=max, multi_avg_fn=max))
    both(lambda v: v.optim.swa_utils.get_ema_avg_fn(1.5))
    both(lambda v: v.optim.swa_utils.get_ema_multi_avg_fn(-0.5))
    both(lambda v: v.optim.swa_utils.SWALR(two_groups(v), 0.1, anneal_strategy="round"))
    both(lambda v: v.optim.swa_utils.SWALR(two_groups(v), 0.1, anneal_epochs=-1))
    both(lambda v: v.optim.swa_utils.SWALR(two_groups(v), [0.1]))


@pytest.mark.parametrize("tuples", [False, True])
def test_update_bn(tuples):
    def run(library):
        model = net(library)
        model[1].momentum = 0.3
        model.eval()
        batches = [library.tensor(array((6, 3), k)) for k in range(3)]
        library.optim.swa_utils.update_bn([(b, 0) for b in batches] if tuples else batches, model)
        assert model[1].momentum == 0.3 and not model.training
        return dict(model.state_dict())

    same(run(Ours), run(Theirs))
    plain = Ours.nn.Linear(2, 2)
    optim.swa_utils.update_bn([], plain)


@pytest.mark.parametrize(
    "given", [{}, {"anneal_strategy": "linear", "anneal_epochs": 5}, {"anneal_epochs": 0}, {"swa_lr": [0.3, 0.01]}]
)
def test_swalr(given):
    def run(library, restore):
        optimizer = two_groups(library)
        make = library.optim.swa_utils.SWALR
        schedule = make(optimizer, **{"swa_lr": 0.02, **given})
        seen = []
        for step in range(25):
            optimizer.step()
            schedule.step()
            seen.append([options(optimizer), schedule.get_last_lr()])
            if restore and step == 6:
                held, saved = optimizer.state_dict(), schedule.state_dict()
                optimizer = two_groups(library)
                schedule = make(optimizer, **{"swa_lr": 0.02, **given})
                optimizer.load_state_dict(held)
                schedule.load_state_dict(saved)
        return seen, schedule.state_dict()

    (found, state), (expected, held) = run(Ours, False), run(Theirs, False)
    equal(found, expected)
    assert set(state) == set(held)
    equal(run(Ours, True)[0], expected)


def test_a_growing_average_never_recompiles():
    model = net(Ours)
    average = optim.swa_utils.AveragedModel(model)
    counts = []
    for _ in range(6):
        average.update_parameters(model)
        [p.tolist() for p in average.parameters()]
        counts.append(statistics.engine_statistics()["compiled"])
    assert counts[2] == counts[-1]


def test_everything_is_here():
    assert set(torch.optim.swa_utils.__all__) == set(optim.swa_utils.__all__)
    assert np.array_equal(averaged(Ours, MAKERS["swa"], 1).n_averaged.numpy(), 1)

"""Optimizers and schedulers do what PyTorch's do: numbers, state_dicts, errors."""

import copy
import importlib
import itertools
import pickle
import warnings

import jax
import numpy as np
import optax
import pytest
import torch

import jaxnn
from jaxnn import optim
from jaxnn.core.kinds.device import default_placement
from jaxnn.core.memory.tensor_base import host_array
from jaxnn.core.operator.op import Op
from jaxnn.core.registry import call
from jaxnn.core.run import statistics
from jaxnn.optim import lr_scheduler
from tests.comparison import check

SHAPES = [(4, 3), (3,), (2, 2, 2), ()]
SQUARES = Op("squares", lambda tensors: sum((t * t).sum() for t in tensors), lists=True)


def array(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def t(a, dtype=None):
    return host_array(np.array(a, dtype), default_placement())


class Ours:
    optim, scheduler, tensor = optim, lr_scheduler, staticmethod(t)


class Theirs:
    optim, scheduler = torch.optim, torch.optim.lr_scheduler

    @staticmethod
    def tensor(a):
        return torch.from_numpy(np.array(a))


def parameters(library, dtype=np.float32):
    return [library.tensor(array(s, k).astype(dtype)).requires_grad_() for k, s in enumerate(SHAPES)]


def grads(library, params, step, skip=()):
    for k, p in enumerate(params):
        if (step, k) in skip:
            p.grad = None
        else:
            p.grad = library.tensor(array(SHAPES[k], 100 * step + k + 10).astype(str(p.dtype).split(".")[1]))


def values(tensors):
    return [x.detach().numpy() for x in tensors]


def close(found, expected, family="ten steps"):
    """Equal up to the rounding of ten steps."""
    for a, b in zip(found, expected, strict=True):
        check(a, b, family)


def same_state(found, expected):
    """Two state_dicts have the same layout and numbers."""
    assert list(found) == list(expected)
    assert list(found["state"]) == list(expected["state"])
    for key, held in expected["state"].items():
        assert list(found["state"][key]) == list(held)
        for name, value in held.items():
            other = found["state"][key][name]
            if isinstance(value, torch.Tensor):
                close([other.detach().numpy()], [value.detach().numpy()])
            else:
                assert other == value
    for mine, group in zip(found["param_groups"], expected["param_groups"], strict=True):
        assert list(mine) == list(group) and mine == group


SETTINGS = {
    "SGD": [
        {}, {"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}, {"lr": 0.1, "weight_decay": 0.01},
        {"lr": 0.1, "maximize": True},
        {"lr": 0.1, "momentum": 0.5, "dampening": 0.5, "weight_decay": 0.1, "maximize": True},
        {"lr": 1, "momentum": 1},
        {"lr": 0.1, "foreach": True}, {"lr": 0.1, "fused": True},
    ],
    "Adam": [
        {}, {"lr": 0.1}, {"lr": 0.1, "betas": (0.5, 0.7)}, {"lr": 0.1, "betas": (0.3, 0.0)}, {"lr": 0.1, "eps": 0.1},
        {"lr": 0.1, "weight_decay": 0.1}, {"lr": 0.1, "amsgrad": True}, {"lr": 0.1, "maximize": True},
        {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1}, {"lr": 0.1, "foreach": True},
        {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1, "maximize": True}, {"lr": 0.1, "fused": True},
    ],
    "AdamW": [{}, {"lr": 0.1}, {"lr": 0.1, "weight_decay": 0.5}, {"lr": 0.1, "amsgrad": True}, {"weight_decay": 0}],
}  # fmt: skip
CASES = [(name, options) for name, many in SETTINGS.items() for options in many]
#: One of each formula, for what does not depend on the numbers.
FORMULAS = [(n, o) for n, o in CASES if o and not {"foreach", "fused", "betas", "eps"} & set(o)]


def trained(library, name, options, steps=10, skip=(), dtype=np.float32, groups=False):
    params = parameters(library, dtype)
    given = [{"params": params[:2]}, {"params": params[2:], "lr": 0.03}] if groups else params
    optimizer = getattr(library.optim, name)(given, **options)
    for step in range(steps):
        grads(library, params, step, skip)
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize(
    ("name", "options", "groups"), [(*case, False) for case in CASES] + [(*case, True) for case in FORMULAS[::3]]
)
def test_steps(name, options, groups):
    params, optimizer = trained(Ours, name, options, groups=groups)
    expected, reference = trained(Theirs, name, options, groups=groups)
    close(values(params), values(expected))
    same_state(optimizer.state_dict(), reference.state_dict())
    assert repr(optimizer) == repr(reference)


@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}), ("Adam", {"lr": 0.1}), ("AdamW", {})]
)
def test_parameters_without_gradients_are_skipped(name, options):
    skip = {(0, 0), (3, 0), (4, 1), (5, 1), *((k, 3) for k in range(10))}
    params, optimizer = trained(Ours, name, options, skip=skip)
    expected, reference = trained(Theirs, name, options, skip=skip)
    close(values(params), values(expected))
    same_state(optimizer.state_dict(), reference.state_dict())


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_double_precision(name):
    options = {"lr": 0.1, "weight_decay": 0.1}
    params, optimizer = trained(Ours, name, options, dtype=np.float64)
    expected, reference = trained(Theirs, name, options, dtype=np.float64)
    close(values(params), values(expected))


@pytest.mark.parametrize(("name", "options"), FORMULAS[::3])
def test_state_dicts_go_both_ways(name, options):
    """Five steps on one library, five on the other."""
    whole, _ = trained(Theirs, name, options)
    for first, second, convert in ((Theirs, Ours, to_ours), (Ours, Theirs, to_theirs)):
        params, optimizer = trained(first, name, options, steps=5)
        saved = convert(optimizer.state_dict())
        others = [second.tensor(v).requires_grad_() for v in values(params)]
        loaded = getattr(second.optim, name)(others, **({"lr": 7.0} | {k: options[k] for k in options if k != "lr"}))
        loaded.load_state_dict(saved)
        assert loaded.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        for step in range(5, 10):
            grads(second, others, step)
            loaded.step()
        close(values(others), values(whole))


def to_ours(value):
    return converted(value, torch.Tensor, lambda x: t(x.numpy()))


def to_theirs(value):
    return converted(value, jaxnn.Tensor, lambda x: torch.from_numpy(np.array(x.numpy())))


def converted(value, kind, convert):
    if isinstance(value, kind):
        return convert(value)
    if isinstance(value, dict):
        return {k: converted(v, kind, convert) for k, v in value.items()}
    return [converted(v, kind, convert) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize(("name", "options"), [("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"lr": 0.1})])
def test_copies(name, options, copied):
    whole, _ = trained(Theirs, name, options)
    params, optimizer = trained(Ours, name, options, steps=5)
    before = values(params)
    params, optimizer = copied((params, optimizer))
    assert optimizer.param_groups[0]["params"][0] is params[0]
    for step in range(5, 10):
        grads(Ours, params, step)
        optimizer.step()
    close(values(params), values(whole))
    assert not np.array_equal(before[0], params[0].detach().numpy())


def both(program):
    found, expected = outcome(program, Ours), outcome(program, Theirs)
    assert found == expected
    return expected


def outcome(program, library):
    try:
        return program(library)
    except Exception as error:
        return type(error).__name__, str(error).replace("torch", "jaxnn")


@pytest.mark.parametrize(
    "program",
    [
        lambda v, p: v.optim.SGD(p, lr=-1),
        lambda v, p: v.optim.SGD(p, momentum=-0.5),
        lambda v, p: v.optim.SGD(p, weight_decay=-1),
        lambda v, p: v.optim.SGD(p, nesterov=True),
        lambda v, p: v.optim.SGD(p, momentum=0.9, dampening=0.1, nesterov=True),
        lambda v, p: v.optim.SGD(p, foreach=True, fused=True),
        lambda v, p: v.optim.SGD(p, lr=v.tensor(np.ones(2, np.float32))),
        lambda v, p: v.optim.Adam(p, lr=-1),
        lambda v, p: v.optim.Adam(p, eps=-1),
        lambda v, p: v.optim.Adam(p, betas=(1.0, 0.9)),
        lambda v, p: v.optim.Adam(p, betas=(0.9, -0.1)),
        lambda v, p: v.optim.Adam(p, betas=(0, 0.9)),
        lambda v, p: v.optim.Adam(p, weight_decay=-0.1),
        lambda v, p: v.optim.Adam(p, foreach=True, fused=True),
        lambda v, p: v.optim.AdamW(p, lr=-0.5),
        lambda v, p: v.optim.SGD([]),
        lambda v, p: v.optim.SGD([1]),
        lambda v, p: v.optim.SGD([{"params": set(p)}]),
        lambda v, p: v.optim.SGD([p[0] * 1.0]),
        lambda v, p: v.optim.SGD(p).add_param_group({"params": p[:1]}),
        lambda v, p: v.optim.SGD(p).add_param_group([1]),
        lambda v, p: v.optim.SGD([("a", p[0]), p[1]]),
        lambda v, p: v.optim.SGD([("a", p[0])]).add_param_group({"params": p[1]}),
        lambda v, p: v.optim.SGD(p).load_state_dict({"state": {}, "param_groups": []}),
        lambda v, p: v.optim.SGD(p).load_state_dict({"state": {}, "param_groups": [{"params": [0]}]}),
        lambda v, p: v.optim.Optimizer(p, {}).step(),
        # accepted
        lambda v, p: v.optim.SGD([{"params": p[0]}, {"params": p[1:], "lr": 3}]).state_dict(),
        lambda v, p: v.optim.SGD(zip("abcd", p)).state_dict(),
        lambda v, p: v.optim.Adam(iter(p)).state_dict(),
        lambda v, p: repr(v.optim.AdamW([{"params": p[0], "mine": 5}, {"params": p[1]}])),
        lambda v, p: v.optim.SGD(p).defaults,
        lambda v, p: v.optim.Adam(p).defaults,
        lambda v, p: v.optim.AdamW(p).defaults,
    ],
)
def test_construction(program):
    both(lambda library: program(library, parameters(library)))


def test_a_tensor_is_no_list_of_parameters():
    with pytest.raises(TypeError, match="an iterable of Tensors or dicts"):
        optim.SGD(parameters(Ours)[0])


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_differentiable_is_refused_by_name(kind):
    with pytest.raises(NotImplementedError, match="differentiable"):
        kind(parameters(Ours), differentiable=True)


def test_duplicates_warn():
    p = parameters(Ours)[0]
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p])


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_the_rate_may_be_a_tensor(name):
    def run(library):
        params = parameters(library)
        optimizer = getattr(library.optim, name)(params, lr=library.tensor(np.float32(0.1)))
        for step in range(3):
            grads(library, params, step)
            optimizer.step()
        return values(params)

    close(run(Ours), run(Theirs))


def test_zero_grad():
    def run(library):
        params = parameters(library)
        optimizer = library.optim.SGD(params)
        grads(library, params, 0, {(0, 1)})
        first = params[0].grad
        optimizer.zero_grad(set_to_none=False)
        found = [None if p.grad is None else p.grad.tolist() for p in params] + [first is params[0].grad]
        optimizer.zero_grad()
        return found + [p.grad for p in params]

    both(run)


def test_hooks():
    def run(library):
        heard = []
        params = parameters(library)
        optimizer = library.optim.SGD(params, lr=0.1)
        module = importlib.import_module("torch.optim.optimizer") if library is Theirs else library.optim
        handles = [
            optimizer.register_step_post_hook(lambda o, a, k: heard.append(("post", len(a), dict(k)))),
            optimizer.register_step_pre_hook(lambda o, a, k: heard.append(("pre", len(a), dict(k)))),
            module.register_optimizer_step_pre_hook(lambda o, a, k: heard.append("global pre")),
            module.register_optimizer_step_post_hook(lambda o, a, k: heard.append("global post")),
            optimizer.register_state_dict_pre_hook(lambda o: heard.append("state_dict pre")),
            optimizer.register_state_dict_post_hook(lambda o, s: {**s, "more": 1}),
            optimizer.register_load_state_dict_pre_hook(lambda o, s: heard.append(("load pre", sorted(s)))),
            optimizer.register_load_state_dict_post_hook(lambda o: heard.append("load post")),
        ]
        grads(library, params, 0)
        optimizer.step()
        saved = optimizer.state_dict()
        optimizer.load_state_dict(saved)
        for handle in handles:
            handle.remove()
        optimizer.step()
        return heard + sorted(optimizer.state_dict())

    both(run)


def test_a_hook_may_replace_the_arguments():
    def run(library):
        params = parameters(library)
        optimizer = library.optim.SGD(params)
        optimizer.register_step_pre_hook(lambda o, a, k: ((o, lambda: "replaced"), {}))
        return optimizer.step()

    both(run)


def test_closures():
    def run(library):
        params = parameters(library)
        optimizer = library.optim.SGD(params, lr=0.1)
        modes = []

        def closure():
            modes.append((jaxnn if library is Ours else torch).is_grad_enabled())
            grads(library, params, 0)
            return "loss"

        return [optimizer.step(closure), modes]

    both(run)


def test_a_subclass_of_ones_own():
    class Halving(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    with jaxnn.no_grad():
                        p.mul_(0.5)

    params, heard = parameters(Ours), []
    optimizer = Halving(params)
    optimizer.register_step_post_hook(lambda *_: heard.append(1))
    optimizer.step()
    close(values(params), [v * np.float32(0.5) for v in values(parameters(Ours))])
    assert heard == [1]


def test_a_changing_rate_never_recompiles():
    params = parameters(Ours)
    optimizer = optim.AdamW([{"params": params[:2]}, {"params": params[2:]}], lr=0.1)
    counts = []
    for step in range(8):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        optimizer.zero_grad()
        call(SQUARES, (tuple(params),)).backward()
        optimizer.step()
        counts.append(statistics.engine_statistics()["compiled"])
    assert counts[2] == counts[-1]


SCHEDULES = [
    lambda m, o: m.StepLR(o, 3),
    lambda m, o: m.StepLR(o, 2, gamma=0.5),
    lambda m, o: m.LambdaLR(o, lambda epoch: 0.95**epoch),
    lambda m, o: m.LambdaLR(o, [lambda epoch: epoch // 3, lambda epoch: 1.0]),
    lambda m, o: m.CosineAnnealingLR(o, 5),
    lambda m, o: m.CosineAnnealingLR(o, 4, eta_min=0.01),
]


def with_two_rates(library):
    params = parameters(library)
    return params, library.optim.SGD([{"params": params[:2]}, {"params": params[2:], "lr": 0.3}], lr=0.1)


@pytest.mark.parametrize("make", SCHEDULES)
def test_rates(make):
    def run(library, restore):
        params, optimizer = with_two_rates(library)
        schedule = make(library.scheduler, optimizer)
        rates = [schedule.get_last_lr()]
        for step in range(14):
            grads(library, params, step)
            optimizer.step()
            schedule.step()
            rates.append([[g["lr"] for g in optimizer.param_groups], schedule.get_last_lr(), schedule.last_epoch])
            if restore and step == 6:
                held, options = schedule.state_dict(), optimizer.state_dict()
                params, optimizer = with_two_rates(library)
                schedule = make(library.scheduler, optimizer)
                optimizer.load_state_dict(options)
                schedule.load_state_dict(held)
        return rates

    assert run(Ours, False) == run(Theirs, False) == run(Ours, True)


@pytest.mark.parametrize("make", [*SCHEDULES[:3], *SCHEDULES[4:]])
def test_rates_by_epoch(make):
    def run(library):
        _, optimizer = with_two_rates(library)
        schedule = make(library.scheduler, optimizer)
        rates = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for epoch in (4, 2, 9):
                schedule.step(epoch)
                rates.append(schedule.get_last_lr())
        return rates, [w.category.__name__ for w in caught]

    both(run)


def test_schedulers_warn_and_refuse():
    def heard(library, program):
        params, optimizer = with_two_rates(library)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = outcome(lambda v: program(v.scheduler, optimizer, params), library)
        return made, [str(w.message)[:60] for w in caught]

    def in_order(m, o, p):
        schedule = m.StepLR(o, 2)
        o.step()
        schedule.step()

    for program in (
        in_order,
        lambda m, o, p: m.StepLR(o, 2).step(),
        lambda m, o, p: o.step() or m.StepLR(o, 2).step(),
        lambda m, o, p: bool(m.StepLR(o, 2).get_lr()),
        lambda m, o, p: bool(m.StepLR(3, 2)),
        lambda m, o, p: bool(m.LambdaLR(o, [abs])),
        lambda m, o, p: bool(m.LRScheduler(o)),
    ):
        assert heard(Ours, program) == heard(Theirs, program)
    for library in (Ours, Theirs):
        with pytest.raises(KeyError, match="param 'initial_lr' is not specified in param_groups"):
            library.scheduler.StepLR(with_two_rates(library)[1], 2, last_epoch=3)


def test_a_schedule_of_a_tensor():
    def run(library):
        params = parameters(library)
        optimizer = library.optim.SGD(params, lr=library.tensor(np.float32(0.1)))
        schedule = library.scheduler.StepLR(optimizer, 1, gamma=0.5)
        rates = []
        for step in range(3):
            grads(library, params, step)
            optimizer.step()
            schedule.step()
            rates.append(float(optimizer.param_groups[0]["lr"]))
        return rates

    both(run)


@pytest.mark.parametrize(("name", "options"), FORMULAS)
def test_as_optax(name, options):
    """The plain transformation, in a loop of optax's own."""
    expected, reference = trained(Theirs, name, options)
    transformation = getattr(optim, name)(parameters(Ours), **options).as_optax()
    params = [array(s, k) for k, s in enumerate(SHAPES)]
    state = transformation.init(params)
    update = jax.jit(transformation.update)
    for step in range(10):
        given = [array(s, 100 * step + k + 10) for k, s in enumerate(SHAPES)]
        changes, state = update(given, state, params)
        params = optax.apply_updates(params, changes)
    close([np.asarray(p) for p in params], values(expected), "ten steps of optax")


def test_the_loop_of_a_user():
    """Training with the recorded backward, in two runs of the same program."""
    params, expected = parameters(Ours), parameters(Theirs)
    optimizer, reference = optim.Adam(params, lr=0.05), torch.optim.Adam(expected, lr=0.05)
    for _ in itertools.repeat(None, 6):
        optimizer.zero_grad()
        reference.zero_grad()
        loss = call(SQUARES, (tuple(params),))
        loss.backward()
        optimizer.step()
        other = sum((p * p).sum() for p in expected)
        other.backward()
        reference.step()
        close([loss.detach().numpy()], [other.detach().numpy()])
    close(values(params), values(expected))

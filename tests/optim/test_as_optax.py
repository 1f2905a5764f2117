"""An optimizer's optax transformation does what the optimizer does: alone, for groups, in `flax.nnx.Optimizer`."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from optim.problems import Ours, Theirs, array, close, one_step, quadratic, value
from torch.testing._internal.common_optimizers import optim_db

import jaxnn
from jaxnn import nn, optim
from jaxnn.core.run import statistics

KINDS = {
    "SGD": {"momentum": 0.9}, "Adam": {"amsgrad": True}, "RMSprop": {"centered": True, "momentum": 0.3},
    "ASGD": {"t0": 2, "lambd": 0.1}, "Adafactor": {"weight_decay": 0.1}, "NAdam": {"weight_decay": 0.1},
    "Adagrad": {"initial_accumulator_value": 0.1, "lr_decay": 0.1}, "RAdam": {"decoupled_weight_decay": True},
}  # fmt: skip
NAMES = [info.name for info in optim_db if info.name != "LBFGS"]


def steps(library, name, make, count=6):
    params, evaluate = quadratic(library, np.float32, name)
    optimizer = make(library, params)
    for _ in range(count):
        one_step(optimizer, evaluate, name)
    return params


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_loop_of_optax(name, grouped):
    # Muon's directions are bfloat16: one that is rounded the other way moves a parameter by 4e-3 of the rate.
    rate = 0.003 if name == "Muon" else 0.03

    def make(library, params):
        given = [{"params": params[:1]}, {"params": params[1:], "lr": rate}] if grouped else params
        return getattr(library.optim, name)(given, lr=0.01, **KINDS.get(name, {}))

    expected = steps(Theirs, name, make)
    params, evaluate = quadratic(Ours, np.float32, name)
    transformation = make(Ours, params).as_optax()
    arrays = [value(p) for p in params]
    state = transformation.init(arrays)
    update = jax.jit(lambda *args: transformation.update(*args))
    for _ in range(6):
        evaluate(name)
        changes, state = update([p.grad.numpy() for p in params], state, arrays)
        arrays = optax.apply_updates(arrays, changes)
        with jaxnn.no_grad():
            for p, a in zip(params, arrays, strict=True):
                p.copy_(Ours.tensor(a))
    # Count and corrections are float32 there.
    close(arrays, expected, rtol=5e-5)


def test_other_arrays_are_refused():
    params, _ = quadratic(Ours, np.float32)
    optimizer = optim.SGD([{"params": params[:1]}, {"params": params[1:]}])
    with pytest.raises(ValueError, match="are not the 3 parameters"):
        optimizer.as_optax().init([array((2,), 0)])
    with pytest.raises(NotImplementedError, match=r"LBFGS.as_optax"):
        optim.LBFGS(params).as_optax()


def test_nnx_optimizer_with_groups():
    def model():
        jaxnn.manual_seed(3)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    def groups(m):
        return [{"params": m[0].parameters()}, {"params": m[2].parameters(), "lr": 0.1, "momentum": 0.0}]

    x, y = array((8, 3), 1), array((8, 1), 2)
    own = model()
    optimizer = optim.SGD(groups(own), lr=0.05, momentum=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        ((own(Ours.tensor(x)) - Ours.tensor(y)) ** 2).mean().backward()
        optimizer.step()

    other = model()
    held = nnx.Optimizer(other, optim.SGD(groups(other), lr=0.05, momentum=0.9).as_optax(), wrt=nnx.Param)

    @nnx.jit
    def step(m, o):
        grads = nnx.grad(lambda m: jax.numpy.mean((m(x) - y) ** 2))(m)
        o.update(m, grads)

    for _ in range(4):
        step(other, held)
    for a, b in zip(other.parameters(), own.parameters(), strict=True):
        np.testing.assert_allclose(value(a), value(b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_changing_rate_never_recompiles(name):
    params, evaluate = quadratic(Ours, np.float32, name)
    optimizer = getattr(optim, name)(params, lr=0.01, **KINDS.get(name, {}))
    counts = []
    for k in range(7):
        optimizer.param_groups[0]["lr"] = 0.01 / (k + 1)
        one_step(optimizer, evaluate, name)
        value(params[0])
        counts.append(statistics.engine_statistics()["compiled"])
    assert counts[1] == counts[-1]

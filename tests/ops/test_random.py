"""The same seed gives the same tensors as PyTorch."""

import jax
import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.ops.random import masks
from tests.parity import parity


def seeded(f):
    """A case that starts from one seed."""

    def run(module, *inputs):
        module.manual_seed(1234)
        return f(module, *inputs)

    return run


P = np.array([0.2, 0.5, 0.9], np.float32)

CASES = {
    "rand": lambda t: (t.rand(3), t.rand(2, 20), t.rand((2,), dtype=t.float64)),
    "randn": lambda t: (t.randn(3), t.randn(5, 7), t.randn(3)),
    "randint": lambda t: (
        t.randint(5, (4,)),
        t.randint(-3, 10, (2, 2)),
        t.randint(high=4, size=(3,)),
        t.randint(5, (2,), dtype=t.float32),
    ),
    "randperm": lambda t: (t.randperm(10), t.randperm(4)),
    "like": lambda t: (
        t.rand_like(t.zeros(3)),
        t.randn_like(t.zeros(2, 2)),
        t.randint_like(t.zeros(3), 10),
        t.randint_like(t.zeros(3), 2, 5),
    ),
    "normal": lambda t: (
        t.normal(0, 1, (3,)),
        t.normal(2.0, 3.0, size=(20,)),
        t.normal(t.arange(3.0)),
        t.normal(t.zeros(3), t.ones(3) * 2),
        t.normal(1.0, t.ones(2)),
    ),
    "bernoulli": lambda t: (
        t.bernoulli(t.tensor(P)),
        t.tensor(P).bernoulli(0.5),
        t.empty(5).bernoulli_(0.3),
        t.empty(3).bernoulli_(t.tensor(P)),
    ),
    "multinomial": lambda t: (
        t.multinomial(t.tensor(P), 2),
        t.multinomial(t.tensor(P), 5, replacement=True),
        t.tensor(P).multinomial(1),
    ),
    "uniform_": lambda t: (t.empty(3).uniform_(), t.empty(20).uniform_(-2, 2), t.empty(2).uniform_(to=5.0)),
    "normal_": lambda t: (t.empty(3).normal_(), t.empty(20).normal_(1, 2), t.empty(2).normal_(std=0.1)),
    "random_": lambda t: (
        t.empty(3).random_(),
        t.empty(3).random_(10),
        t.zeros(3).long().random_(2, 6),
        t.zeros(2).long().random_(),
    ),
    "others_": lambda t: (
        t.empty(4).exponential_(2.0),
        t.empty(4).geometric_(0.3),
        t.empty(4).cauchy_(),
        t.empty(4).log_normal_(0, 0.5),
    ),
    "generator": lambda t: (
        t.rand(3, generator=t.Generator().manual_seed(3)),
        t.randperm(5, generator=t.Generator().manual_seed(3)),
        t.rand(2),
    ),
    "seed": lambda t: (t.initial_seed(), t.manual_seed(3).initial_seed(), t.Generator().manual_seed(7).initial_seed()),
    "view": lambda t: t.zeros(2, 3)[1].uniform_(),
    "requires_grad": lambda t: t.rand(2, requires_grad=True),
    "interleaved": lambda t: (t.randn(1), t.rand(1), t.randn(1), t.randint(3, (1,)), t.randn(17)),
    "state": lambda t: (lambda s: (t.rand(2), t.set_rng_state(s), t.rand(2))[::2])(t.get_rng_state()),
    "out": lambda t: t.rand(3, out=t.empty(3)),
}


@pytest.mark.parametrize("name", CASES)
def test_same_stream(name):
    parity(seeded(CASES[name]), grad=False)


ERRORS = {
    "range": (lambda t: t.randint(5, 3, (2,)), "random_ expects 'from' to be less than 'to', but got from=5 >= to=3"),
    "dtype": (lambda t: t.randn(2, dtype=t.long), "\"normal_kernel_cpu\" not implemented for 'Long'"),
    "bernoulli": (lambda t: t.bernoulli(t.tensor([2.0])), "p_in >= 0 && p_in <= 1"),
    "leaf": (
        lambda t: t.ones(2, requires_grad=True).uniform_(),
        "a leaf Variable that requires grad is being used in an in-place operation.",
    ),
    "multinomial": (
        lambda t: t.multinomial(t.tensor(P), 5),
        "cannot sample n_sample > prob_dist.size(-1) samples without replacement",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, message = ERRORS[name]
    parity(f, message=message, grad=False)


def test_states_are_exchanged_with_pytorch():
    torch.manual_seed(5)
    torch.randn(3)
    jaxnn.set_rng_state(jaxnn.from_numpy(torch.get_rng_state().numpy()))
    assert jaxnn.randn(5).tolist() == torch.randn(5).tolist()
    with jaxnn.fork_rng():
        inside = jaxnn.rand(2).tolist()
    assert jaxnn.rand(2).tolist() == inside


def test_mask_is_that_of_pytorch_dropout():
    torch.manual_seed(0)
    jaxnn.manual_seed(0)
    theirs = torch.nn.functional.dropout(torch.ones(20, 30), 0.3) != 0
    assert masks.bernoulli_mask(jaxnn.zeros(20, 30), 0.7).tolist() == theirs.tolist()


def test_hashed_mask(monkeypatch):
    monkeypatch.setattr(masks, "HOST_LIMIT", 10)
    jaxnn.manual_seed(0)
    x = jaxnn.zeros(400, 500)
    first, second = (np.asarray(masks.bernoulli_mask(x, 0.3).tolist()) for _ in range(2))
    jaxnn.manual_seed(0)
    assert (np.asarray(masks.bernoulli_mask(x, 0.3).tolist()) == first).all()
    sigma = (0.3 * 0.7 / first.size) ** 0.5
    assert abs(first.mean() - 0.3) < 5 * sigma and abs((first & second).mean() - 0.09) < 5 * sigma
    for a, b in ((first[1:], first[:-1]), (first[:, 1:], first[:, :-1])):
        assert abs((a & b).mean() - 0.09) < 6 * sigma


def test_draws_inside_a_transformation():
    def f(x):
        return masks.bernoulli_mask(x, 0.5)

    with pytest.raises(RuntimeError, match="needs a key"):
        jax.jit(f)(jax.numpy.ones(3))
    with pytest.raises(RuntimeError, match="JAX transformation"):
        jax.jit(lambda x: x + jaxnn.rand(3).numpy())(jax.numpy.ones(3))
    with masks.traced_keys(lambda: jax.random.key(0)):
        assert jax.jit(f)(jax.numpy.ones(1000)).mean() == pytest.approx(0.5, abs=0.1)

"""A step of many parameters is taken in pieces, with PyTorch's numbers, and pieces of the same shapes share a program."""

import jax
import numpy as np
import pytest

import jaxnn
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.optim import step as step_module

from .problems import Ours, Theirs, array, close, same_state

SHAPES = [(4,)] * 7 + [(2, 3), (), (2, 3), (3, 2)]


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch):
    monkeypatch.setattr(step_module, "MANY", 4)
    monkeypatch.setattr(step_module, "PIECE", 3)


def trained(library, name, options, steps=3):
    """Two groups of several shapes; some parameters start later, some never do."""
    params = [library.tensor(array(s, k)).requires_grad_() for k, s in enumerate(SHAPES)]
    groups = [{"params": params[:8]}, {"params": params[8:], "lr": 0.003}]
    optimizer = getattr(library.optim, name)(groups, **options)
    for number in range(steps):
        for k, p in enumerate(params):
            late = k == 10 or (k == 2 and number < 1)
            p.grad = None if late else library.tensor(array(SHAPES[k], 100 * number + k))
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize(
    "name, options",
    [("Adam", {"weight_decay": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adafactor", {}), ("ASGD", {})],
)
def test_pieces(name, options):
    params, optimizer = trained(Ours, name, options)
    expected, reference = trained(Theirs, name, options)
    close(params, expected)
    same_state(optimizer.state_dict()["state"], reference.state_dict()["state"])


def test_pieces_share_a_program():
    params = [Ours.tensor(array((5,), k)).requires_grad_() for k in range(9)]
    optimizer = jaxnn.optim.Adam(params)

    def step():
        for k, p in enumerate(params):
            p.grad = Ours.tensor(array((5,), 20 + k))
        jaxnn.reset_engine_statistics()
        optimizer.step()
        return jaxnn.engine_statistics()

    first, second = step(), step()
    assert (first["cuts"], first["compiled"]) == (3, 1)
    assert (second["cuts"], second["compiled"]) == (3, 0)


def test_pieces_inside_a_transformation():
    """Nothing can be cut there: all parameters are updated at once."""
    values = [array((5,), k) for k in range(6)]
    grads = [array((5,), 10 + k) for k in range(6)]

    def update(values, grads):
        params = [tensor_of(v).requires_grad_() for v in values]
        for p, g in zip(params, grads, strict=True):
            p.grad = tensor_of(g)
        jaxnn.optim.SGD(params, lr=0.5).step()
        return [value_of(p) for p in params]

    for made, v, g in zip(jax.jit(update)(values, grads), values, grads, strict=True):
        np.testing.assert_allclose(made, v - 0.5 * g, rtol=1e-6)

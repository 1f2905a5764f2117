"""Modules whose calls without gradients never repeat run their operators when they are called, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import jaxnn
from jaxnn.core.process.config import state
from jaxnn.core.run.policy import NOVEL, RECORDED_AGAIN


def make(library):
    nn = library.nn

    class Attending(nn.Module):
        """A token at a time: keys and values grow, a buffer counts the calls."""

        def __init__(self):
            super().__init__()
            self.norm, self.qkv, self.out = nn.LayerNorm(6), nn.Linear(6, 18), nn.Linear(6, 6)
            self.register_buffer("calls", library.zeros(()))

        def forward(self, x, cache):
            self.calls += 1
            q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
            if cache is not None:
                k, v = library.cat([cache[0], k]), library.cat([cache[1], v])
            return x + self.out(library.softmax(q @ k.T / 6**0.5, -1) @ v), (k, v)

    library.manual_seed(0)
    return Attending()


@pytest.fixture(autouse=True)
def afresh():
    state.novel.clear()
    yield
    state.novel.clear()


def directly():
    return jaxnn.engine_statistics()["at_once"]


def test_a_growing_cache():
    def run(library):
        model, found, cache = make(library), [], None
        x = library.ones(1, 6)
        with library.inference_mode():
            for _ in range(20):
                x, cache = model(x, cache)
            found.append(np.array(x.tolist()))
        x, cache = library.ones(1, 6), None
        with library.no_grad():
            for step in range(40):
                x, cache = model(x, cache)
                if step == 20:  # seen by the calls behind it, however it was changed
                    model.out.weight.mul_(0.5)
                if step == 25:
                    model.qkv.weight.data = model.qkv.weight.data * 0.9
                found.append(np.array(x.tolist()))
        found.append(model.calls.numpy())
        x, cache = model(x, cache)  # with gradients, as ever
        (x.sum() + cache[0].sum()).backward()
        return [*found, model.qkv.weight.grad.numpy(), model.norm.bias.grad.numpy()]

    jaxnn.reset_engine_statistics()
    for ours, theirs in zip(run(jaxnn), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert directly() > 200


def test_calls_that_repeat_are_recorded_again():
    model = make(jaxnn)
    with jaxnn.no_grad():
        x, cache = jaxnn.ones(1, 6), None
        for _ in range(NOVEL + 10):
            x, cache = model(x, cache)
        assert state.novel[type(model)] > NOVEL
        for _ in range(2 * RECORDED_AGAIN):
            model(x, cache)
        assert type(model) not in state.novel
        jaxnn.reset_engine_statistics()
        before = directly()
        model(x, cache)
        assert directly() == before


def test_an_update_between_such_calls():
    """Memory that numpy has read is given to no program."""

    def run(library):
        model, found, cache = make(library), [], None
        optimizer = library.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(25):
            with library.no_grad():
                x, cache = model(library.ones(1, 6), cache)
            optimizer.zero_grad()
            loss = (model(library.ones(2, 6), None)[0] ** 2).sum()
            loss.backward()
            optimizer.step()
            found += [np.array(x.tolist()), loss.item()]
        return found

    for ours, theirs in zip(run(jaxnn), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_gradients_inside_of_such_calls():
    def run(library):
        class Descending(library.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = library.nn.Parameter(library.tensor([0.5, -1.0, 2.0]))

            def forward(self, x):
                with library.enable_grad():
                    start = library.zeros(x.shape[0], 3, requires_grad=True)
                    energy = ((start + self.weight - x) ** 2).sum()
                    (gradient,) = library.autograd.grad(energy, start)
                return start.detach() - 0.1 * gradient

        model = Descending()
        with library.no_grad():
            return [model(library.ones(n, 3) * n).sum().item() for n in range(2, 30)]

    np.testing.assert_allclose(run(jaxnn), run(torch), rtol=1e-5)

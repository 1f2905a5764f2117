"""Sobol' points, bit for bit, and reductions under masks."""

from __future__ import annotations

import pytest
import torch
import torch.masked

import jaxnn
from jaxnn import masked


def points(lib, dimension, scramble, seed):
    lib.manual_seed(7)
    engine = lib.quasirandom.SobolEngine(dimension, scramble=scramble, seed=seed)
    seen = [engine.draw(5), engine.draw(), engine.draw(4, dtype=lib.float64), engine.quasi.clone(), engine.num_generated]
    seen += [engine.fast_forward(6).draw(3), engine.reset().draw(2), engine.reset().draw_base2(3), engine.sobolstate, repr(engine)]
    seen += [engine.reset().fast_forward(4).draw(2), engine.draw(0).shape, lib.rand(2)]
    return [v.tolist() if hasattr(v, "tolist") else tuple(v) if isinstance(v, tuple) else v for v in seen]


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("scramble", [False, True])
@pytest.mark.parametrize("dimension", [1, 4, 40])
def test_sobol(dimension, scramble, seed):
    assert points(jaxnn, dimension, scramble, seed) == points(torch, dimension, scramble, seed)


def test_sobol_s_errors():
    for lib in (jaxnn, torch):
        for bad in (0, 21202):
            with pytest.raises(ValueError, match="Supported range of dimensionality"):
                lib.quasirandom.SobolEngine(bad)
        engine = lib.quasirandom.SobolEngine(2)
        engine.draw(3)
        with pytest.raises(ValueError, match="balance properties"):
            engine.draw_base2(2)
        out = lib.empty(3, 2)
        assert engine.reset().draw(3, out=out) is out and out[1].tolist() == [0.5, 0.5]
        assert (lib.quasirandom.SobolEngine.MAXDIM, lib.quasirandom.SobolEngine.MAXBIT) == (21201, 30)


REDUCTIONS = "sum prod amax amin mean logsumexp argmax argmin var std".split()
ALONG = "softmax log_softmax softmin cumsum cumprod median".split()
X = [[3.0, -1.0, 2.0], [0.5, 4.0, -2.0], [1.0, 1.5, 7.0]]
MASK = [[True, False, True], [True, True, True], [False, False, True]]


@pytest.mark.parametrize("name", REDUCTIONS + ALONG + ["norm", "normalize"])
@pytest.mark.parametrize("kept", [True, False])
def test_masked(name, kept):
    def program(lib, space):
        x = lib.tensor(X, requires_grad=not name.startswith("arg"))
        mask = lib.tensor(MASK) if kept else None
        first = {"norm": (2.0, 1), "normalize": (2.0, 1)}.get(name, (1,))
        found = [getattr(space, name)(x, *first, mask=mask)]
        if name in REDUCTIONS:
            found.append(getattr(space, name)(x, 0, keepdim=True, dtype=lib.float64, mask=mask))
            found += [] if name.startswith("arg") else [getattr(space, name)(x, mask=mask), getattr(space, name)(x, (0, 1), mask=mask)]
        if x.requires_grad and not name.startswith("log_"):
            (found[0] * found[0]).sum().backward()
        return [str(v.dtype) for v in found], [v.tolist() for v in found], None if x.grad is None else x.grad.tolist()

    ours, theirs = program(jaxnn, masked), program(torch, torch.masked)
    assert ours[0] == theirs[0]
    torch.testing.assert_close([torch.tensor(v) for v in ours[1]], [torch.tensor(v) for v in theirs[1]], equal_nan=True)
    if theirs[2] is not None:
        torch.testing.assert_close(torch.tensor(ours[2]), torch.tensor(theirs[2]), equal_nan=True)


def test_masked_integers():
    for lib, space in ((jaxnn, masked), (torch, torch.masked)):
        x, mask = lib.tensor([[1, 2], [3, 4]]), lib.tensor([True, False])
        assert space.sum(x, 1, mask=mask).tolist() == [1, 3] and space.amax(x, 1, mask=lib.tensor([[False], [True]])).tolist()[1] == 4
        assert space.sum(x.int(), 1).dtype == lib.int64
        with pytest.raises(ValueError, match="Could not infer output dtype"):
            space.mean(x, 1, mask=mask)
        assert not space.is_masked_tensor(x)

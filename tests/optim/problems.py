"""One small problem for both libraries, and comparisons of what came out."""

import numpy as np
import torch

import jaxnn
from jaxnn import compat, nn, optim
from jaxnn.optim import lr_scheduler
from tests.comparison import TOLERANCES, Tolerance, check

SHAPES = [(4, 3), (2, 4)]
VECTORS = [(3,), ()]


def array(shape, seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        drawn = drawn + 1j * rng.standard_normal(shape)
    return np.asarray(drawn, dtype)


class Ours:
    """jaxnn and how its tensors are made."""

    optim, scheduler, nn, root = optim, lr_scheduler, nn, jaxnn

    @staticmethod
    def tensor(a):
        return jaxnn.from_numpy(np.array(a))

    @staticmethod
    def options(given):
        return compat.from_torch(given)


class Theirs:
    """PyTorch and how its tensors are made."""

    optim, scheduler, nn, root = torch.optim, torch.optim.lr_scheduler, torch.nn, torch

    @staticmethod
    def tensor(a):
        return torch.from_numpy(np.array(a))

    @staticmethod
    def options(given):
        return given


def quadratic(library, dtype, name=""):
    """Parameters, and a function that gives them the gradients of a quadratic loss, which it returns.

    The gradients are computed by numpy, so that only the optimizer's own programs are compiled.
    """
    shapes = SHAPES if name == "Muon" else SHAPES[:1] + VECTORS
    params = [library.tensor(array(s, k, dtype)).requires_grad_() for k, s in enumerate(shapes)]
    targets = [array(s, k + 50, dtype) for k, s in enumerate(shapes)]
    scales = [(0.5 + abs(array(s, k + 80))).astype(dtype) for k, s in enumerate(shapes)]

    def evaluate(kind=""):
        loss = 0.0
        for p, t, s in zip(params, targets, scales, strict=True):
            away = value(p) - t
            p.grad = library.tensor(np.asarray(2 * s * away, dtype))
            loss += (s * abs(away) ** 2).real.sum()
            if kind == "SparseAdam" and library is Theirs:
                p.grad = p.grad.to_sparse()
        return library.tensor(np.asarray(loss).astype(np.empty(0, dtype).real.dtype))

    return params, evaluate


def trained(library, name, options, steps, dtype=np.float32, after=None):
    """Parameters and optimizer after some steps; ``after(step, optimizer)`` runs between them."""
    params, evaluate = quadratic(library, dtype, name)
    optimizer = getattr(library.optim, name)(params, **library.options(options))
    for step in range(steps):
        one_step(optimizer, evaluate, name)
        if after is not None:
            after(step, optimizer)
    return params, optimizer


def one_step(optimizer, evaluate, name):
    if name == "LBFGS":
        return optimizer.step(evaluate)
    evaluate(name)
    return optimizer.step()


def value(t):
    return t.detach().numpy()


def close(found, expected, rtol=None):
    """Tensors are equal within a relative tolerance, of their largest entry."""
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        check(a, b, "optimizer", f"tensor {k}", None if rtol is None else Tolerance(rtol, rtol, "largest"))


def same(found, expected, where=""):
    """Nested values of the same types, keys, shapes and numbers."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, jaxnn.Tensor), (where, type(found))
        assert str(found.dtype).split(".")[1] == str(expected.dtype).split(".")[1], where
        check(found, expected, "optimizer state", where)
    elif isinstance(expected, dict):
        assert list(found) == list(expected), where
        if "old_dirs" in expected:  # L-BFGS: scratch space
            found, expected = ({**held, "al": None} for held in (found, expected))
        for key in expected:
            same(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, (list, tuple)):
        assert type(found) is type(expected) and len(found) == len(expected), where
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            same(a, b, f"{where}/{k}")
    elif isinstance(expected, float):
        assert isinstance(found, float), where
        near = TOLERANCES["optimizer state"]["float64"].relative
        np.testing.assert_allclose(found, expected, rtol=near, atol=1e-12, err_msg=where)
    else:
        assert type(found) is type(expected) and found == expected, (where, found, expected)


def same_state(found, expected):
    """Two state_dicts have the same layout, types and numbers."""
    same(found, expected)


def outcome(program, library):
    try:
        return program(library)
    except Exception as error:
        return type(error).__name__, str(error).replace("torch", "jaxnn")


def both(program):
    """A program of a library has the same result, or error, in both."""
    found, expected = outcome(program, Ours), outcome(program, Theirs)
    assert found == expected
    return expected

"""Transforms beside PyTorch's: both ways, determinants, shapes, caches, and the registry."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import jaxnn
from tests.distributions.cases import COVARIANCE, SHARES, TRIL, a

X = a([0.3, -1.2, 0.8], [1.7, 0.05, -0.4])
POSITIVE = np.abs(X)
TRANSFORMS = {
    "exp": (lambda d, t: d.ExpTransform(), X),
    "abs": (lambda d, t: d.AbsTransform(), X),
    "sigmoid": (lambda d, t: d.SigmoidTransform(), X),
    "tanh": (lambda d, t: d.TanhTransform(), X),
    "softplus": (lambda d, t: d.SoftplusTransform(), X),
    "affine": (lambda d, t: d.AffineTransform(t([0.5, 1.0, -1.0]), t([1.0, -2.0, 0.3])), X),
    "affine of numbers": (lambda d, t: d.AffineTransform(0.5, -2.0, event_dim=1), X),
    "power": (lambda d, t: d.PowerTransform(t([2.0, 0.5, -1.0])), POSITIVE),
    "softmax": (lambda d, t: d.SoftmaxTransform(), X),
    "stick breaking": (lambda d, t: d.StickBreakingTransform(), X),
    "correlation": (lambda d, t: d.CorrCholeskyTransform(), X),
    "lower cholesky": (lambda d, t: d.LowerCholeskyTransform(), COVARIANCE),
    "positive definite": (lambda d, t: d.PositiveDefiniteTransform(), TRIL),
    "reshape": (lambda d, t: d.ReshapeTransform((3,), (3, 1)), X),
    "independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 1), X),
    "inverse": (lambda d, t: d.ExpTransform().inv, POSITIVE),
    "composed": (lambda d, t: d.ComposeTransform([d.AffineTransform(1.0, 0.5), d.SigmoidTransform(), d.StickBreakingTransform()]), X),
    "cat": (lambda d, t: d.CatTransform([d.ExpTransform(), d.AffineTransform(1.0, 2.0)], dim=1, lengths=[2, 1]), X),
    "cat of vectors": (
        lambda d, t: d.CatTransform([d.AffineTransform(1.0, 2.0, event_dim=1), d.IndependentTransform(d.ExpTransform(), 1)]), X,
    ),
    "stack": (lambda d, t: d.StackTransform([d.ExpTransform(), d.TanhTransform(), d.identity_transform], dim=-1), X),
    "cumulative": (lambda d, t: d.CumulativeDistributionTransform(d.Normal(t(0.3), t(1.5))), X),
}  # fmt: skip


def uses(lib, name):
    make, x = TRANSFORMS[name]
    f = make(lib.distributions, lambda v: lib.tensor(v, dtype=lib.float64))
    x = lib.tensor(x, dtype=lib.float64, requires_grad=True)
    y = f(x)
    found = [y, lib.autograd.grad((y * lib.arange(1.0, 1 + y.numel()).reshape(y.shape)).sum(), x)[0]]
    for question in (
        lambda: f.inv(y.detach()),
        lambda: f.log_abs_det_jacobian(x, y),
        lambda: f.inv.log_abs_det_jacobian(y, x),
        lambda: tuple(f.forward_shape(x.shape)), lambda: tuple(f.inverse_shape(y.shape)),
        lambda: f.sign, lambda: repr(f), lambda: repr(f.inv), lambda: f.inv.inv is f,
        lambda: (repr(f.domain), repr(f.codomain), f.bijective, f.event_dim), lambda: f.codomain.check(y),
        lambda: name == "inverse" or f == copy.deepcopy(f),  # a copy of PyTorch's inverse is empty
        lambda: f == lib.distributions.TanhTransform(),
        lambda: f.with_cache()._cache_size,
    ):  # fmt: skip
        try:
            found.append(question())
        except (NotImplementedError, ValueError) as error:
            found.append(type(error).__name__)
    return found


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name):
    for ours, theirs in zip(uses(jaxnn, name), uses(torch, name), strict=True):
        if isinstance(theirs, torch.Tensor):
            torch.testing.assert_close(torch.from_numpy(np.array(ours.detach().numpy())), theirs.detach())
        else:
            assert ours == theirs


def test_caches():
    for lib in (torch, jaxnn):
        f = lib.distributions.TanhTransform(cache_size=1)
        x = lib.tensor([20.0])
        y = f(x)
        assert f.inv(y) is x and f(x) is y
        assert not lib.isfinite(lib.distributions.TanhTransform().inv(y)).all()
        g = lib.distributions.ComposeTransform([f, lib.distributions.ExpTransform()], cache_size=1)
        assert g.inv(g(x)) is x
        assert pickle.loads(pickle.dumps(f))(x).item() == y.item()


@pytest.mark.parametrize("way", ["biject_to", "transform_to"])
def test_registry(way):
    def run(lib):
        c, found = lib.distributions.constraints, []
        x = lib.tensor(X, dtype=lib.float64)
        for constraint in (
            c.real, c.positive, c.nonnegative, c.greater_than(2.0), c.less_than(lib.tensor(-1.0)), c.unit_interval,
            c.interval(-1.0, 3.0), c.half_open_interval(0.0, 2.0), c.simplex, c.real_vector, c.independent(c.positive, 1),
            c.corr_cholesky, c.cat([c.real, c.positive], dim=-1, lengths=[1, 2]), c.stack([c.real, c.positive, c.real], dim=-1),
        ):  # fmt: skip
            y = getattr(lib.distributions, way)(constraint)(x)
            found.append(y.numpy())
            assert bool(constraint.check(y).all())
        if way == "transform_to":
            for constraint in (c.lower_cholesky, c.positive_definite, c.positive_semidefinite):
                found.append(lib.distributions.transform_to(constraint)(lib.tensor(TRIL)).numpy())
        return found

    for ours, theirs in zip(run(jaxnn), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


def test_constraints():
    checks = {
        "real": [np.nan, 1.0, np.inf], "boolean": [0.0, 1.0, 0.5], "positive": [0.0, 1.0, -1.0], "nonnegative": [0.0, 1.0, -1.0],
        "nonnegative_integer": [0.0, 2.0, 1.5, -1.0], "positive_integer": [0.0, 2.0, 1.5], "unit_interval": [0.0, 1.0, 1.1],
        "simplex": SHARES, "one_hot": [[0.0, 1.0], [1.0, 1.0], [0.5, 0.5]], "lower_triangular": [TRIL, COVARIANCE],
        "lower_cholesky": [TRIL, -TRIL], "corr_cholesky": [TRIL, np.eye(3)], "square": COVARIANCE, "symmetric": [TRIL, COVARIANCE],
        "positive_definite": [COVARIANCE, COVARIANCE - 2], "positive_semidefinite": [COVARIANCE, COVARIANCE - 2],
        "real_vector": [[1.0, np.nan], [1.0, 2.0]],
    }  # fmt: skip
    for name, values in checks.items():
        ours, theirs = (
            getattr(lib.distributions.constraints, name).check(lib.tensor(np.array(values))).tolist() for lib in (jaxnn, torch)
        )
        assert ours == theirs, name

"""Every distribution beside PyTorch's: densities, moments, gradients, printed text, and the same draws for the same seed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.distributions.kl
import torch.distributions.utils

import jaxnn
import jaxnn.distributions
from tests.distributions.cases import CASES

#: Where PyTorch's own code fails: comparing with a float32 zero, and writing into what its backward needs.
FAILS_IN_DOUBLE, NO_GRADIENT_OF_SAMPLES = {"GeneralizedPareto"}, {"Wishart"}
FACTORISED = {"Wishart", "LKJCholesky", "MixtureSameFamily of vectors"}


def gradients(lib, result, leaves):
    if not result.requires_grad:
        return []
    weight = lib.arange(1, result.numel() + 1, dtype=result.dtype).reshape(result.shape)
    return list(lib.autograd.grad((result * weight).sum(), leaves, allow_unused=True))


def leaves_of(lib, case, dtype):
    kind = getattr(lib, dtype)
    parameters = [lib.tensor(p, dtype=kind, requires_grad=True) for p in case.parameters]
    whole = case.values.dtype.kind == "i"
    values = lib.tensor(case.values) if whole else lib.tensor(case.values, dtype=kind, requires_grad=True)
    return parameters, values


def known(f):
    try:
        return f()
    except NotImplementedError:
        return "unknown"


def face(lib, case, dtype):
    d = case.make(lib, *leaves_of(lib, case, dtype)[0])
    e = d.expand((2, *d.batch_shape))
    return [
        repr(d), repr(d.support), repr(d.arg_constraints), d.has_rsample, d.has_enumerate_support, tuple(d.batch_shape),
        tuple(d.event_shape), known(lambda: type(d).support.event_dim), known(lambda: type(d).support.is_discrete),
        repr(e), tuple(e.batch_shape), tuple(e.event_shape),
    ]  # fmt: skip


def value(name):
    def run(lib, case, dtype):
        parameters, values = leaves_of(lib, case, dtype)
        d = case.make(lib, *parameters)
        if name == "stddev":  # the root of the variance, whose gradients are compared
            return [d.stddev]
        if name == "expand":
            d = d.expand((2, *d.batch_shape))
            return [d.log_prob(values), d.mean]
        found = getattr(d, name)
        if name in ("log_prob", "cdf"):
            leaves = parameters + ([values] if values.requires_grad else [])
            return [(found := found(values)), *gradients(lib, found, leaves)]
        if name == "icdf":
            found = found(lib.tensor(0.37, dtype=getattr(lib, dtype)))
        elif name == "enumerate_support":
            return [found(), found(False)]
        elif callable(found):
            found = found()
        return [found, *gradients(lib, found, parameters)]

    return run


def samples(lib, case, dtype):
    d = case.make(lib, *leaves_of(lib, case, dtype)[0])
    lib.manual_seed(3)
    return [d.sample(), d.sample((2, 3)), d.expand((2, *d.batch_shape)).sample(), lib.rand(2)]


def reparameterised(lib, case, dtype):
    parameters = leaves_of(lib, case, dtype)[0]
    lib.manual_seed(5)
    found = case.make(lib, *parameters).rsample((4,))
    return [found, lib.rand(2), *gradients(lib, found, parameters)]


def attempt(f, *given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f(*given)
        except (NotImplementedError, ValueError, TypeError) as error:
            return error


def compare(f, case, dtype, **tolerance):
    theirs = attempt(f, torch, case, dtype)
    if isinstance(theirs, Exception) and "derivative for" in str(theirs):  # PyTorch has none for this; there may be one here
        return
    ours = attempt(f, jaxnn, case, dtype)
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs) and str(ours).replace("jaxnn", "torch") == str(theirs)
        return
    assert not isinstance(ours, Exception), ours
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, torch.Tensor):
            assert str(a.dtype) == str(b.dtype) and tuple(a.shape) == tuple(b.shape)
            a, b = torch.from_numpy(np.array(a.detach().numpy())), b.detach()
            torch.testing.assert_close(a, b, equal_nan=True, **tolerance)
        else:
            assert a == b


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_values(case):
    dtype = "float32" if case.name in FAILS_IN_DOUBLE else "float64"
    compare(face, case, dtype)
    for name in (
        "log_prob", "cdf", "icdf", "mean", "mode", "variance", "stddev", "entropy", "enumerate_support", "expand",
    ):  # fmt: skip
        compare(value(name), case, dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_draws(case):
    for dtype in ("float64",) if case.name in FACTORISED else ("float32", "float64"):
        if case.name not in FAILS_IN_DOUBLE or dtype == "float32":
            compare(samples, case, dtype)
    if not case.gamma:
        compare(reparameterised, case, "float32" if case.name in FAILS_IN_DOUBLE else "float64")


def test_the_list_is_whole():
    theirs = {
        n for n in torch.distributions.__all__
        if isinstance(t := getattr(torch.distributions, n), type) and issubclass(t, torch.distributions.Distribution)
    }  # fmt: skip
    assert theirs - {c.name.split()[0] for c in CASES} == {"Distribution", "ExponentialFamily"}
    assert set(torch.distributions.__all__) <= set(jaxnn.distributions.__all__)
    for part in ("constraints", "constraint_registry", "kl", "transforms", "utils"):
        space = getattr(jaxnn.distributions, part)
        for name in getattr(torch.distributions, part).__all__:
            assert hasattr(space, name), f"{part}.{name}"

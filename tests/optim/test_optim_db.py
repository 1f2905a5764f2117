"""Every optimizer and configuration of PyTorch's own list: numbers, states, groups and errors."""

import warnings

import numpy as np
import pytest
import torch
from optim.problems import Ours, Theirs, both, close, quadratic, same_state, trained
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

import jaxnn
from jaxnn import compat, optim

CASES = [
    pytest.param(info, given, id=f"{info.name}-{given.desc}")
    for info in optim_db
    for given in info.optim_inputs_func("cpu")
]
ERRORS = [
    pytest.param(info, given, id=f"{info.name}-{given.optimizer_error_input.desc}")
    for info in optim_db
    for given in info.optim_error_inputs_func("cpu", torch.float32)
]
#: L-BFGS divides by differences of gradients, which are rounding errors near the minimum.
DOUBLE = {"LBFGS"}


@pytest.mark.parametrize(("info", "given"), CASES)
def test_twelve_steps(info, given):
    dtype = np.float64 if info.name in DOUBLE else np.float32
    params, optimizer = trained(Ours, info.name, given.kwargs, steps=12, dtype=dtype)
    expected, reference = trained(Theirs, info.name, given.kwargs, steps=12, dtype=dtype)
    close(params, expected)
    same_state(optimizer.state_dict(), reference.state_dict())
    assert repr(optimizer) == repr(reference)


@pytest.mark.parametrize(
    ("info", "given"),
    [c for c in CASES if c.values[0].supports_complex and c.values[1].desc in ("default", "maximize")],
)
def test_complex_parameters(info, given):
    dtype = np.complex128 if info.name in DOUBLE else np.complex64
    params, optimizer = trained(Ours, info.name, given.kwargs, steps=4, dtype=dtype)
    expected, reference = trained(Theirs, info.name, given.kwargs, steps=4, dtype=dtype)
    close(params, expected)
    same_state(optimizer.state_dict(), reference.state_dict())


def converted(params, made):
    """Parameters of ours, the same ones where they are the same."""
    if isinstance(params, dict):
        return {k: converted(v, made) for k, v in params.items()}
    if isinstance(params, (list, tuple)):
        return type(params)(converted(p, made) for p in params)
    if not isinstance(params, torch.Tensor):
        return params
    if id(params) not in made:
        made[id(params)] = compat.from_torch(params)
        if params.grad is not None:
            made[id(params)].grad = compat.from_torch(params.grad)
    return made[id(params)]


@pytest.mark.parametrize(("info", "given"), ERRORS)
def test_errors(info, given):
    bad = given.optimizer_error_input
    params = [torch.ones(2, 2, requires_grad=True)] if bad.params is None else bad.params
    if isinstance(params, list) and any(
        t.is_sparse
        for g in params
        for t in (g["params"] if isinstance(g, dict) else [g])
        if isinstance(t, torch.Tensor)
    ):
        pytest.skip("there are no sparse tensors here")

    def fails(library, params, kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = getattr(library, info.name)(params, **kwargs)
            if given.error_on is OptimizerErrorEnum.STEP_ERROR:
                made.step()

    with pytest.raises(given.error_type, match=given.error_regex):
        fails(torch.optim, params, bad.kwargs)
    ours = converted(params, {})
    with pytest.raises(given.error_type, match=given.error_regex):
        fails(optim, ours, compat.from_torch(bad.kwargs))


@pytest.mark.parametrize("info", [i for i in optim_db if i.supports_param_groups], ids=lambda i: i.name)
def test_groups(info):
    def run(library):
        params, problem = quadratic(library, np.float32, info.name)
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.003}]
        optimizer = getattr(library.optim, info.name)(groups, lr=0.02)
        for _ in range(3):
            problem(info.name)
            optimizer.step()
        return params, optimizer

    (params, optimizer), (expected, reference) = run(Ours), run(Theirs)
    close(params, expected)
    same_state(optimizer.state_dict(), reference.state_dict())


def test_every_optimizer_is_here():
    names = {n for n in dir(torch.optim) if isinstance(getattr(torch.optim, n), type)}
    assert names <= set(optim.__all__)
    both(lambda library: sorted(n for n in names if issubclass(getattr(library.optim, n), library.optim.Optimizer)))
    assert jaxnn.optim is optim

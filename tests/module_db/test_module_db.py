"""Every row of PyTorch's `module_db` on both: weights, keys, repr, forward, gradients, state after the call."""

import copy
import functools
import re
import warnings

import pytest
import torch
from module_db.samples import ROWS, samples, to_ours

import jaxnn
import jaxnn.compat
from tests import comparison

#: Of each row in the normal run; the mark `long` runs them all.
FIRST = 12


def tensors(x):
    """The tensors of an argument or a result, in order."""
    if isinstance(x, (torch.Tensor, jaxnn.Tensor)):
        return [x]
    if isinstance(x, dict):
        x = x.values()
    elif not isinstance(x, (tuple, list)):
        return []
    return [t for y in x for t in tensors(y)]


def close(ours, theirs, dtype, what, exact=None):
    """Two lists of tensors agree in type, shape and value; or ours are as near to the exact values as PyTorch's are."""
    assert len(ours) == len(theirs), what
    near = comparison.TOLERANCES["module"][str(dtype).removeprefix("torch.")]
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert (a is None) == (b is None), f"{what} {k}: {a}, PyTorch {b}"
        if b is None:
            continue
        comparison.check(a, b, "module", f"{what} {k}", near, None if exact is None else lambda k=k: exact()[k])


def build(face, info, constructor):
    args, kwargs = constructor
    face.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(face.nn, info.name.removeprefix("nn."))(*args, **kwargs)


def run(face, module, call):
    """Result, gradients of inputs and parameters, state."""
    args, kwargs = call
    given = [t for t in tensors([*args, kwargs]) if t.requires_grad]
    face.manual_seed(9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = tensors(module(*args, **kwargs))
    total = None
    for t in results:
        if t.requires_grad:
            weight = 0.5 + face.arange(t.numel(), dtype=face.float64).reshape(t.shape) % 7 / 8
            part = (t * weight).sum()
            total = part if total is None else total + part
    if total is not None:
        total.backward()
    return results, [t.grad for t in given] + [p.grad for p in module.parameters()], list(module.state_dict().values())


def doubled(module, call):
    """A module and its arguments in double precision."""

    def double(x):
        if isinstance(x, torch.Tensor):
            return x.detach().double().requires_grad_(x.requires_grad) if x.is_floating_point() else x
        if isinstance(x, (tuple, list)):
            return type(x)(double(y) for y in x)
        return {k: double(v) for k, v in x.items()} if isinstance(x, dict) else x

    module = copy.deepcopy(module).double()
    module.zero_grad()
    return module, double(call)


def check(info, dtype, training, limit):
    compared = 0
    for number, (constructor, call) in enumerate(samples(info, dtype, training, limit)):
        ours = build(jaxnn, info, to_ours(constructor))
        theirs = build(torch, info, constructor)
        # The layer in a sample of TransformerEncoder has been drawn already; a lazy one draws at its first call.
        if "TransformerEncoder" not in info.name and "Lazy" not in info.name:
            close(
                list(ours.state_dict().values()),
                list(theirs.state_dict().values()),
                dtype,
                f"weights of sample {number}",
            )
        ours.to(to_ours(dtype)).train(training)
        theirs.to(dtype).train(training)
        assert repr(ours) == repr(theirs)
        try:
            them = run(torch, theirs, call)
        except RuntimeError as refused:  # a sample that its own row gives in another type
            with pytest.raises(RuntimeError, match=re.escape(str(refused))):
                run(jaxnn, ours, to_ours(call))
            continue
        us = run(jaxnn, ours, to_ours(call))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for part, what in enumerate(("result", "gradient", "state")):
            exact = None
            if dtype == torch.float32:
                exact = functools.cache(lambda part=part: run(torch, *doubled(theirs, call))[part])
            close(us[part], them[part], dtype, f"sample {number}{' training' if training else ''}: {what}", exact)
        compared += 1
    assert compared, "PyTorch refuses every sample in this type"


@pytest.mark.parametrize("name", ROWS)
def test_first_samples(name):
    info = ROWS[name]
    for training in (True, False) if info.train_and_eval_differ else (True,):
        # The samples of fractional pooling hold random numbers in float64 whatever the type of the input.
        check(info, torch.float64 if "Fractional" in name else torch.float32, training, FIRST)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", ROWS)
def test_all_samples(name, dtype):
    info = ROWS[name]
    for training in (True, False):
        check(info, dtype, training, None)

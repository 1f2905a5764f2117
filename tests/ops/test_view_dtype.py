"""The same bytes under another type, read, written through and differentiated: beside PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import jaxnn

_TYPES = "bool uint8 int16 int64 float32 complex64".split()


def _program(lib, name, as_name):
    have, want = getattr(lib, name), getattr(lib, as_name)
    x = lib.arange(32).reshape(2, 16).to(have)

    def seen(t):
        return list(t.shape), list(t.stride()), str(t.dtype), t.contiguous().view(lib.uint8).tolist()

    def tried(f):
        try:
            return f()
        except RuntimeError as error:
            return str(error)

    found = [tried(lambda: seen(x.view(want))), tried(lambda: seen(x.t().view(want))), tried(lambda: seen(x[:, 1:].view(want)))]
    found.append(tried(lambda: seen(x[1, 3].clone().view(want))))
    found.append(tried(lambda: x[:, :5].view(want).shape))
    found += [tried(lambda e=e: seen(e.view(want))) for e in (x[:0].clone(), x[0, :0].clone())]
    if not isinstance(found[0], str):
        v = x.view(want)
        v[1, 0] = v[0, -1]
        found.append(seen(x))
    return found


@pytest.mark.parametrize("name", _TYPES)
def test_every_pair_of_types(name):
    for as_name in _TYPES:
        if as_name != "bool" or name == "bool":
            assert _program(jaxnn, name, as_name) == _program(torch, name, as_name), as_name


def _gradients(lib, write, view):
    x = lib.arange(18.0, dtype=lib.float64).reshape(3, 3, 2).requires_grad_()
    y = (x * 1.5).clone()
    v = view(lib, y)
    with lib.no_grad() if not v.requires_grad else lib.enable_grad():
        write(v)
    flags = [v.requires_grad, v.is_leaf, y.requires_grad]
    (y * y).sum().backward()
    return flags, x.grad.tolist(), y.tolist()


@pytest.mark.parametrize("write", [lambda v: v[0].mul_(2), lambda v: v.add_(1), lambda v: v[..., 0].fill_(3)])
@pytest.mark.parametrize(
    "view",
    [
        lambda lib, y: y.view(lib.float64), lambda lib, y: y.view(lib.int64), lambda lib, y: y.view(lib.complex128),
        lambda lib, y: lib.view_as_complex(y), lambda lib, y: lib.view_as_complex(y).real,
        lambda lib, y: lib.view_as_real(lib.view_as_complex(y)), lambda lib, y: lib.view_as_complex(y).imag[1:],
        lambda lib, y: lib.view_as_real(lib.view_as_complex(y).t()),
    ],
)  # fmt: skip
def test_writes_through_a_view_of_another_type(view, write):
    for ours, theirs in itertools.zip_longest(_gradients(jaxnn, write, view), _gradients(torch, write, view)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("view", [
    lambda m: m.zeros(4, 4, 3)[:, :, 1:].view(m.float64), lambda m: m.zeros(4, 3)[:, :2].view(m.float64),
    lambda m: m.tensor([1 + 2j]).conj().view(m.float64), lambda m: m.tensor([1 + 2j]).conj().imag.view(m.int32),
])  # fmt: skip
def test_refused(view):
    def message(m):
        with pytest.raises(RuntimeError) as raised:
            view(m)
        return str(raised.value)

    assert message(jaxnn) == message(torch)

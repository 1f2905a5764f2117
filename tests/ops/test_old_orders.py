"""Signatures that PyTorch deprecates and still takes, as old programs use them, in place and not, beside PyTorch."""

import warnings

import pytest
import torch

import jaxnn

#: ``a``: a matrix, ``v``: a vector, ``b``: a batch of matrices. Each starts from fresh tensors.
CALLS = """
a.add(2, c)
t.add(a, 2, c)
a.add_(2, c)
a.add_(t.tensor(2.), c)
a.sub_(2, c)
t.sub(a, 2, c)
a.addcmul(2, a, c)
a.addcmul_(2, c, c)
t.addcmul(a, 2, c, c)
a.addcdiv_(-0.5, c, a)
t.addcdiv(a, 2, c, c)
a.addmm(2, a, c)
a.addmm_(3, 2, c, c)
t.addmm(3, a, 2, a, c)
t.addmm(3, a, c, c)
v.addmv_(3, 2, a, v * 1)
v.addmv(3, a, v)
a.addr_(3, v, v)
t.addr(3, a, 2, v, v)
a.addbmm_(3, 2, b, b)
b.baddbmm(3, b, b)
b.baddbmm_(3, 2, b * 1, b * 1)
t.addmm(a, 2, a, c)
t.addcmul(a, 2, 3, c, c)
a.addmm(a, a, a, c)
""".strip().splitlines()


def outcome(t, call):
    values = {"t": t, "a": t.tensor([[1.0, 2.0], [3.0, 4.0]]), "c": t.tensor([[0.5, -1.0], [2.0, 1.5]]), "v": t.tensor([1.0, -2.0])}
    values["b"] = t.stack([values["a"], values["c"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = eval(call, values)
        except TypeError:
            return "TypeError"
    return made.tolist()


@pytest.mark.parametrize("call", CALLS)
def test_order(call):
    assert outcome(jaxnn, call) == outcome(torch, call)


def test_warning():
    x = jaxnn.ones(2, 2)
    with pytest.warns(UserWarning, match="addcmul_ is deprecated"):
        x.addcmul_(2, x, x)

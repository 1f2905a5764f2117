"""Sorting, largest elements, different values, counts, searching."""

import numpy as np
import pytest
import torch

import jaxnn
from tests.ops.agreement import agree

rng = np.random.default_rng(0)
X = rng.permutation(12).astype(np.float32).reshape(3, 4)
T = np.array([2.0, 1.0, 2.0, np.nan, 1.0, -np.inf, np.inf, 0.0, -0.0], np.float32)
N = np.array([3, 1, 3, 3, 0, 1])
M = np.array([[1, 2], [0, 5], [1, 2]])
S = np.array([1.0, 3.0, 3.0, 5.0], np.float32)

CASES = {
    "sort": (lambda torch, x: x.sort(), X),
    "sort dim": (lambda torch, x: torch.sort(x, dim=0, descending=True), X),
    "sort stable": (lambda torch, x: torch.sort(x, stable=True), X),
    "sort integers": (lambda torch, n: n.sort(descending=True, stable=True), N),
    "sort special": (lambda torch, t: torch.sort(t.detach(), stable=True), T),
    "sort special descending": (lambda torch, t: torch.sort(t.detach(), stable=True, descending=True), T),
    "sort bool": (lambda torch, n: torch.sort(n > 1, stable=True), N),
    "sort range": (lambda torch, x: x.sort(5), X),
    "argsort": (lambda torch, x: x.argsort(descending=True), X),
    "argsort stable": (lambda torch, n: torch.argsort(n, stable=True), N),
    "msort": (lambda torch, x: torch.msort(x), X),
    "topk": (lambda torch, x: x.topk(2), X),
    "topk smallest": (lambda torch, x: torch.topk(x, 2, dim=0, largest=False), X),
    "topk many": (lambda torch, x: x.topk(5), X),
    "kthvalue": (lambda torch, x: x.kthvalue(2), X),
    "kthvalue keepdim": (lambda torch, x: torch.kthvalue(x, 1, 0, True), X),
    "kthvalue many": (lambda torch, x: x.kthvalue(5), X),
    "unique": (lambda torch, n: n.unique(), N),
    "unique all": (lambda torch, n: torch.unique(n, return_inverse=True, return_counts=True), N),
    "unique matrix": (lambda torch, m: torch.unique(m, return_inverse=True), M),
    "unique rows": (lambda torch, m: torch.unique(m, dim=0, return_inverse=True, return_counts=True), M),
    "unique range": (lambda torch, m: torch.unique(m, dim=4), M),
    "unique_consecutive": (lambda torch, n: torch.unique_consecutive(n, return_inverse=True, return_counts=True), N),
    "unique_consecutive rows": (lambda torch, m: torch.unique_consecutive(m, dim=0), M),
    "bincount": (lambda torch, n: n.bincount(), N),
    "bincount minlength": (lambda torch, n: torch.bincount(n, minlength=6), N),
    "bincount weights": (lambda torch, n: torch.bincount(n, torch.arange(6.0)), N),
    "bincount negative": (lambda torch, n: torch.bincount(n - 1), N),
    "bincount floats": (lambda torch, x: torch.bincount(x), X),
    "histc": (lambda torch, x: torch.histc(x.detach(), bins=5), X),
    "histc range": (lambda torch, x: torch.histc(x.detach(), 4, 1, 7), X),
    "histc bins": (lambda torch, x: torch.histc(x, bins=0), X),
    "searchsorted": (lambda torch, s, x: torch.searchsorted(s, x), S, X),
    "searchsorted right": (lambda torch, s, x: torch.searchsorted(s, x, right=True), S, X),
    "searchsorted rows": (lambda torch, x: torch.searchsorted(x.sort()[0], x[:, :2].contiguous(), side="right"), X),
    "searchsorted number": (lambda torch, s: torch.searchsorted(s, 3.0), S),
    "searchsorted int32": (lambda torch, s, x: torch.searchsorted(s, x, out_int32=True), S, X),
    "searchsorted side": (lambda torch, s: torch.searchsorted(s, s, side="up"), S),
    "bucketize": (lambda torch, s, x: torch.bucketize(x, s), S, X),
    "bucketize right": (lambda torch, s, x: torch.bucketize(x, s, right=True), S, X),
    "bucketize matrix": (lambda torch, x: torch.bucketize(x, x), X),
    "isin": (lambda torch, n: torch.isin(n, torch.tensor([1, 3])), N),
}


@pytest.mark.parametrize("case", CASES)
def test_parity(case):
    f, *inputs = CASES[case]
    agree(f, *inputs)


def test_named_results():
    result = jaxnn.from_numpy(X).sort()
    assert result.values is result[0]
    assert repr(result).startswith("torch.return_types.sort(\nvalues=tensor(")


@pytest.mark.parametrize("k, largest", [(1, True), (25, True), (25, False)])
def test_topk_of_long_rows(k, largest, whole):
    """Found without ordering the rest: equal elements keep their order, NaN is largest, zeros are equal."""
    x = np.random.default_rng(1).standard_normal((64, 200)).astype(np.float32)
    x[0, :5], x[1, 3], x[2], x[3], x[4, 10:12] = np.nan, -np.nan, np.nan, -np.inf, (np.inf, np.nan)
    x[5, ::2], x[5, 1::2], x[6, :190], x[7, :5], x[7, 5:], x[8] = 0.0, -0.0, np.nan, np.inf, np.nan, np.arange(200) % 4
    theirs, ours = torch.tensor(x, requires_grad=True), jaxnn.tensor(x).requires_grad_()
    values, places = ours.topk(k, -1, largest)
    np.testing.assert_array_equal(values.detach().numpy(), theirs.topk(k, -1, largest)[0].detach().numpy())
    in_order = theirs.detach().sort(dim=-1, descending=largest, stable=True)[1]
    np.testing.assert_array_equal(places.numpy(), in_order[:, :k].numpy())
    values[9:].square().sum().backward()
    theirs.topk(k, -1, largest)[0][9:].square().sum().backward()
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())

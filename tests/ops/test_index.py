"""Brackets, and gather, scatter and their like."""

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.core.run.statistics import engine_statistics
from tests.ops.agreement import agree

A = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
I = np.array([0, 1])
M = A > 7
R = np.array([True, False])
V = np.array([5.0, 6.0], np.float32)
X = np.arange(12, dtype=np.float32).reshape(4, 3) % 5
K = np.array([[0, 2, 1], [3, 3, 0]])
S = np.linspace(1, 2, 6, dtype=np.float32).reshape(2, 3)
P = np.array([2, 0, 2])

READS = [
    "x[0]", "x[-1]", "x[1, 2]", "x[:, 1]", "x[..., 1]", "x[:, :, 1:3]", "x[:, ::2]", "x[0, 1:, ::3]", "x[None]",
    "x[:, None, 1]", "x[i]", "x[:, i]", "x[i, i]", "x[i, :, i]", "x[0, :, i]", "x[:, 0, i]", "x[m]", "x[r]", "x[r, 1]",
    "x[True]", "x[False]", "x[[0, 1]]", "x[[1], [0, 2]]", "x[np.array([1, 0])]", "x[:, [True, False, True]]", "x[5]",
    "x[0, 0, 0, 0]", "x[0, 3]", "x[[0, 4]]", "x[1.0]", "x[i, r]", "x[:, r]", "x[0, 1, 2][0]", "x[::-1]", "x[1:1]",
    "x[5:]",
    "x[i, ..., 0]", "x[i[None], 0]", "x[-3]", "x[:, 1:2, i]", "x[i, 1:, i]", "x[i, None, i]", "x[i, i, i, i]",
    "x[i[:, None], i]", "x[np.int64(1)]", "x[...]", "x[:]", "x[()]", "x[-2:, -1]", "x[i[1]]", "x[i, [0, 1, "
                                                                                              "2]]", "x[-i]",
]  # fmt: skip


@pytest.mark.parametrize("text", READS)
def test_read(text):
    code = compile(text, text, "eval")
    agree(
        lambda torch, x, i, m, r: eval(code, {"x": x, "i": i, "m": m, "r": r, "np": np}),
        A,
        I,
        M,
        R,
        names=text != "x[i[1]]",
    )  # a place that a tensor gives is not known yet: ours is a copy


WRITES = [
    "x[0] = 1", "x[1, 2, 3] = v[0]", "x[:, 1] = 0", "x[:, :, 1:3] = v", "x[:, ::2] = 7", "x[..., 0] = 1", "x[i] = 2",
    "x[i, i] = v[:, None]", "x[m] = 0", "x[r] = 5", "x[m] = x[m] * 2", "x[:, :2][m[:, :2]] = -1", "x[0] = v", "x[:, "
                                                                                                              "0] = v",
    "x[[0, 1], [1, 2]] = v.view(2, 1)", "x.view(-1)[0] = 1", "x.permute(2, 0, 1)[1] = 9", "x[1:3] += 1", "x[0] += v[0]",
    "x[:, 1][1] -= 5", "x.view(6, 4)[1:3, ::2] *= 2", "x[0].view(-1)[3:5] = v", "x[m] += 1", "x[i, :, 0] += 1",
    "x[0, 0, 0] = True", "x[1][2][3] = 4", "x[None, 0] = 3", "x[:, i] = v[:, None, None]", "x[:, r] = 1", "x[i[0]] = 9",
    "x[i[0], i[1]] = v[1]", "x[m] = v", "x[:, 1:2] = v.view(1, 2, 1, 1)", "x[0] = v.view(1, 1, 2)", "x[i] = v",
    "x[r, 1:] = v[0]", "x[m] = v[1]", "x[x > 3] = 0.5", "x[r] = v.view(2, 1, 1)[:1]", "x[7] = 1", "x[0] = "
                                                                                                  "x.clone()[1] * v[0]",
    "x.index_put_((i,), v[0])", "x.index_put_((i[:1], i[:1]), v[:1] * 2, accumulate=True)", "x[:] = 3", "x[...] = v[0]",
    "x.t()[0] = 1", "x.diagonal(0, 1, 2)[1] = 2", "x[0, 0] = i", "x[..., :2] = i",
]  # fmt: skip


@pytest.mark.parametrize("text", WRITES)
def test_write(text):
    code = compile(text, text, "exec")

    def program(torch, x, v, i, m, r):
        x = x * 1
        exec(code, {"x": x, "v": v, "i": i, "m": m, "r": r, "np": np})
        return x

    agree(program, A, V, I, M, R, names=False)  # PyTorch's name() of a write is torch::autograd::CopySlices


def test_leaf_refuses_assignment():
    for text in ("x[0] = 1", "x[m] = 1", "x[i] = 1"):
        agree(lambda torch, x, i, m, text=text: exec(text, {"x": x, "i": i, "m": m}), A, I, M)


def test_loop_compiles_once():
    """Places that a loop counts through are numbers of the program."""
    x = jaxnn.from_numpy(np.arange(40, dtype=np.float32))
    out = jaxnn.zeros(10)

    def run(first, last):
        for k in range(first, last):
            out[k] = x[4 * k : 4 * k + 4].sum() * x[k]
            x[k : k + 1].mul_(1)
            float(out[k])

    run(0, 4)
    before = engine_statistics()["compiled"]
    run(4, 10)
    assert engine_statistics()["compiled"] == before
    a = np.arange(40, dtype=np.float32)
    np.testing.assert_array_equal(out.numpy(), a.reshape(10, 4).sum(1) * a[:10])


def test_same_part_written_back_is_no_write():
    x = jaxnn.from_numpy(A.copy())
    x[1:2] += 1
    want = torch.from_numpy(A.copy())
    want[1:2] += 1
    np.testing.assert_array_equal(x.numpy(), want.numpy())


CASES = {
    "gather": (lambda torch, x, k: x.gather(0, k), X, K),
    "gather columns": (lambda torch, x, k: torch.gather(x, 1, k % 3), X, K),
    "gather out of range": (lambda torch, x, k: x.gather(0, k), X, K + 1),
    "gather type": (lambda torch, x, s: x.gather(0, s), X, S),
    "gather shape": (lambda torch, x, p: x.gather(0, p), X, P),
    "take_along_dim": (lambda torch, x: torch.take_along_dim(x, x.argsort(1), 1), X),
    "take_along_dim broadcast": (lambda torch, x, k: torch.take_along_dim(x, k[:, :1], 0), X, K),
    "take_along_dim all": (lambda torch, x, k: torch.take_along_dim(x, k), X, K),
    "scatter": (lambda torch, x, s, k: x.scatter(0, k, s), X, S, K),
    "scatter value": (lambda torch, x, k: x.scatter(0, k, 2.5), X, K),
    "scatter_": (lambda torch, x, k: (x * 1).scatter_(0, k, 1), X, K),
    "scatter one hot": (lambda torch, p: torch.zeros(3, 4).scatter_(1, p.view(3, 1), 1.0), P),
    "scatter add": (lambda torch, x, s, k: torch.scatter(x.detach(), 0, k, s.detach(), reduce="add"), X, S, K),
    "scatter multiply": (lambda torch, x, k: torch.scatter(x.detach(), 0, k, 2.0, reduce="multiply"), X, K),
    "scatter reduce unknown": (lambda torch, x, k: torch.scatter(x, 0, k, 2.0, reduce="max"), X, K),
    "scatter range": (lambda torch, x, k: x.scatter(0, k, 1.0), X, K + 3),
    "scatter types": (lambda torch, x, s, k: x.scatter(0, k, s.double()), X, S, K),
    "scatter_add": (lambda torch, x, s, k: x.scatter_add(0, k, s), X, S, K),
    **{
        f"scatter_reduce {how} {own}": (
            lambda torch, x, s, k, how=how, own=own: (x + 1).scatter_reduce(0, k, s, how, include_self=own),
            X,
            S,
            K,
        )
        for how in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
    },
    "scatter_reduce unknown": (lambda torch, x, s, k: x.scatter_reduce(0, k, s, "median"), X, S, K),
    "index_select": (lambda torch, x, p: x.index_select(0, p), X, P),
    "index_select columns": (lambda torch, x, p: torch.index_select(x, 1, p), X, P),
    "index_select range": (lambda torch, x, p: x.index_select(1, p), X, P + 1),
    "index_select matrix": (lambda torch, x, k: x.index_select(0, k), X, K),
    "index_add": (lambda torch, x, s, i: x.index_add(0, i, s, alpha=2), X, S, I),
    "index_add repeated": (lambda torch, x, s: x.index_add(0, torch.tensor([1, 1]), s), X, S),
    "index_add size": (lambda torch, x, s, p: x.index_add(0, p, s), X, S, P),
    "index_copy": (lambda torch, x, s, i: x.index_copy(0, i, s), X, S, I),
    "index_fill": (lambda torch, x, p: x.index_fill(0, p, 7), X, P),
    "index_fill_": (lambda torch, x, p: (x * 1).index_fill_(1, p, -1.0), X, P),
    "take": (lambda torch, x, k: x.take(k), X, K),
    "take negative": (lambda torch, x, k: torch.take(x, -k), X, K),
    "take range": (lambda torch, x, k: x.take(k), X, K + 10),
    "put_": (lambda torch, x, s, k: (x * 1).put_(k[0], s[0], accumulate=True), X, S, K),
    "masked_select": (lambda torch, x: x.masked_select(x > 2), X),
    "masked_select broadcast": (lambda torch, x: torch.masked_select(x, torch.tensor([True, False, True])), X),
    "masked_select type": (lambda torch, x: x.masked_select(x), X),
    "masked_scatter": (
        lambda torch, x, s: x.masked_scatter(
            torch.tensor([[True, False, True], [False] * 3, [True] * 3, [False] * 3]), s
        ),
        X,
        S,
    ),
    "masked_scatter few": (lambda torch, x, s: x.masked_scatter(torch.ones(4, 3, dtype=torch.bool), s), X, S),
    "nonzero": (lambda torch, x: x.nonzero(), X),
    "nonzero tuple": (lambda torch, x: torch.nonzero(x, as_tuple=True), X),
    "nonzero scalar": (lambda torch, x: x[0, 1].nonzero(), X),
    "argwhere": (lambda torch, x: torch.argwhere(x > 2), X),
}


@pytest.mark.parametrize("case", CASES)
def test_parity(case):
    f, *inputs = CASES[case]
    agree(f, *inputs)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_values_of_another_type_written_by_index(dtype):
    """Index tensors take values of the tensor's own type, a mask also one element of another one, slices any."""

    def outcomes(t):
        found = []
        values = [t.ones(3, dtype=t.float64), t.tensor(2.0, dtype=t.float64), t.ones(1, dtype=t.float64), 3]
        row = t.tensor([True, False, False])
        keys = [[0], t.tensor([0]), (slice(None), [0]), row, (slice(None), row), slice(0, 1), 0, t.tensor(0), ..., True]
        for key in keys:
            for value in values:
                x = t.zeros(3, 3, dtype=getattr(t, dtype))
                try:
                    x[key] = value
                except RuntimeError as error:
                    found.append(type(error).__name__)
                else:
                    found.append(x.tolist())
        return found

    assert outcomes(jaxnn) == outcomes(torch)

"""Products of vectors, matrices and batches: values, gradients, names, errors."""

import numpy as np
import pytest
import torch

import jaxnn
from tests.ops.agreement import agree

rng = np.random.default_rng(0)


def real(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


X, Y, V, W = real(2, 3), real(3, 4), real(3), real(4)
B, C = real(5, 2, 3), real(5, 3, 4)
D = real(4, 1, 2, 3)
Z = (real(2, 3) + 1j * real(2, 3)).astype(np.complex64)
N = rng.integers(-5, 5, (2, 3))
H = X.astype(np.float16)
RTOL = 2e-5  # sums in another order

CASES = {
    "2 2": (lambda torch, x, y: x @ y, X, Y),
    "1 1": (lambda torch, v: v @ v, V),
    "2 1": (lambda torch, x, v: x @ v, X, V),
    "1 2": (lambda torch, v, y: v @ y, V, Y),
    "3 2": (lambda torch, b, y: b @ y, B, Y),
    "3 1": (lambda torch, b, v: b @ v, B, V),
    "3 3": (lambda torch, b, c: b @ c, B, C),
    "1 3": (lambda torch, v, c: v @ c, V, C),
    "2 3": (lambda torch, x, c: x @ c, X, C),
    "4 3": (lambda torch, d, c: torch.matmul(d, c), D, C),
    "transposed": (lambda torch, x: x @ x.t(), X),
    "double": (lambda torch, x, y: x.double() @ y.double(), X, Y),
    "complex": (lambda torch, z: z @ z.t(), Z),
    "integer": (lambda torch, n: n @ n.t(), N),
    "half": (lambda torch, h: h @ h.t(), H),
    "sizes 2 2": (lambda torch, x, y: x @ y.t(), X, Y),
    "sizes 1 1": (lambda torch, v, w: v @ w, V, W),
    "sizes 2 1": (lambda torch, x, w: x @ w, X, W),
    "sizes 1 2": (lambda torch, w, y: w @ y, W, Y),
    "sizes 3 2": (lambda torch, b, y: b @ y.t(), B, Y),
    "sizes 3 3": (lambda torch, b: b @ b, B),
    "batches": (lambda torch, b, c: b @ c[:3], B, C),
    "scalar": (lambda torch, x: x[0, 0] @ x, X),
    "types": (lambda torch, x, y: x @ y.double(), X, Y),
    "types vector": (lambda torch, x, v: x @ v.double(), X, V),
    "types batch": (lambda torch, b, c: b @ c.double(), B, C),
    "types dot": (lambda torch, v: v @ v.double(), V),
    "types half": (lambda torch, x, y: x.half() @ y, X, Y),
    "number": (lambda torch, x: x @ 3, X),
    "number left": (lambda torch, x: 3 @ x, X),
    "bool": (lambda torch, x, y: (x > 0) @ (y > 0), X, Y),
    "mm": (lambda torch, x, y: x.mm(y), X, Y),
    "mm vector": (lambda torch, x, v: x.mm(v), X, V),
    "mm sizes": (lambda torch, x: torch.mm(x, x), X),
    "bmm": (lambda torch, b, c: torch.bmm(b, c), B, C),
    "bmm ranks": (lambda torch, b, y: torch.bmm(b, y), B, Y),
    "bmm sizes": (lambda torch, b, c: torch.bmm(b, c[:2]), B, C),
    "mv": (lambda torch, x, v: x.mv(v), X, V),
    "dot": (lambda torch, v: v.dot(v), V),
    "dot matrix": (lambda torch, x, v: torch.dot(x, v), X, V),
    "vdot": (lambda torch, z: torch.vdot(z[0], z[1]), Z),
    "outer": (lambda torch, v, w: torch.outer(v, w), V, W),
    "outer matrix": (lambda torch, x, v: torch.outer(x, v), X, V),
    "inner": (lambda torch, x: torch.inner(x, x), X),
    "inner sizes": (lambda torch, x, y: torch.inner(x, y), X, Y),
    "addmm": (lambda torch, w, x, y: torch.addmm(w, x, y), W, X, Y),
    "addmm scaled": (lambda torch, w, x, y: torch.addmm(w, x, y, beta=0.5, alpha=2), W, X, Y),
    "addmm ignored": (lambda torch, w, x, y: torch.addmm(w * float("nan"), x, y, beta=0).detach(), W, X, Y),
    "addmm_": (lambda torch, x, y: torch.zeros(2, 4).addmm_(x.detach(), y.detach()), X, Y),
    "addmm sizes": (lambda torch, v, x, y: torch.addmm(v, x, y), V, X, Y),
    "addmv": (lambda torch, x, v: torch.addmv(x[:, 0], x, v), X, V),
    "addr": (lambda torch, x, v: torch.addr(x, x[:, 0], v), X, V),
    "baddbmm": (lambda torch, b, c: torch.baddbmm(c[:, :2], b, c), B, C),
    "addbmm": (lambda torch, b, c: torch.addbmm(c[0, :2], b, c), B, C),
    "einsum": (lambda torch, x, y: torch.einsum("ij,jk->ik", x, y), X, Y),
    "einsum implicit": (lambda torch, x, y: torch.einsum("ij, jk", x, y), X, Y),
    "einsum transpose": (lambda torch, x: torch.einsum("ij->ji", x), X),
    "einsum sum": (lambda torch, x: torch.einsum("ij->", x), X),
    "einsum batch": (lambda torch, b, c: torch.einsum("...ij,...jk->...ik", b, c), B, C),
    "einsum sublists": (lambda torch, x, y: torch.einsum(x, [0, 1], y, [1, 2], [0, 2]), X, Y),
    "einsum three": (lambda torch, x, y, w: torch.einsum("ij,jk,k->i", x, y, w), X, Y, W),
    "einsum list": (lambda torch, x, y: torch.einsum("ij,jk->ik", [x, y]), X, Y),
    "einsum sizes": (lambda torch, x: torch.einsum("ij,jk", x, x), X),
    "einsum ranks": (lambda torch, b: torch.einsum("ij", b), B),
    "einsum fewer": (lambda torch, x: torch.einsum("ij,jk->ik", x), X),
    "einsum more": (lambda torch, x: torch.einsum("ij->", x, x), X),
    "einsum output": (lambda torch, x: torch.einsum("ij->ik", x), X),
    "tensordot": (lambda torch, b, y: torch.tensordot(b, y, dims=1), B, Y),
    "tensordot lists": (lambda torch, b, c: torch.tensordot(b, c, dims=([0, 2], [0, 1])), B, C),
    "tensordot sizes": (lambda torch, x: torch.tensordot(x, x, dims=1), X),
    "kron": (lambda torch, x, y: torch.kron(x, y), X, Y),
    "cross": (lambda torch, v: torch.cross(v, v.flip(0), dim=0), V),
    "cross sizes": (lambda torch, w: torch.cross(w, w, dim=0), W),
    "trace": (lambda torch, x: x.trace(), X),
    "trace vector": (lambda torch, v: torch.trace(v), V),
    "chain_matmul": (lambda torch, x, y, w: torch.chain_matmul(x, y, y.t()).detach(), X, Y, W),
}


@pytest.mark.parametrize("case", CASES)
def test_parity(case):
    f, *inputs = CASES[case]
    rtol = 1e-3 if case == "half" else RTOL
    agree(f, *inputs, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_sums_of_products_are_rounded_once(kind):
    def products(face):
        x, y, z, v, w = (face.tensor(a.tolist(), dtype=getattr(face, kind)) for a in (X, Y, X @ Y[:, ::-1], V, X[:, 0]))
        return (
            face.addmm(z, x, y, beta=0.3, alpha=1.7), face.addmm(z[0], x, y), face.baddbmm(z[None], x[None], y[None], beta=2.5),
            face.addmv(w, x, v),
        )  # fmt: skip

    for theirs, ours in zip(products(torch), products(jaxnn), strict=True):
        assert ours.tolist() == theirs.tolist()

"""torch.linalg and its relatives: values, gradients, names, errors. Vectors known up to a sign or phase enter as such."""

import numpy as np
import pytest
import torch

import jaxnn
from tests.ops.agreement import agree, first_sentence

rng = np.random.default_rng(0)


def real(*shape):
    return rng.standard_normal(shape)


def complexes(*shape):
    return real(*shape) + 1j * real(*shape)


def positive(x):
    return x @ np.swapaxes(x.conj(), -1, -2) + 2 * np.eye(x.shape[-1])


A, B, Z, ZB = real(3, 3), real(2, 3, 3), complexes(3, 3), complexes(2, 3, 3)
TALL, WIDE, ZTALL, ZWIDE = real(2, 4, 3), real(3, 5), complexes(4, 2), complexes(2, 4)
P, ZP = positive(B), positive(ZB)
V, M = real(3), real(3, 2)
SINGULAR, ONES = np.array([[1.0, 2.0], [2.0, 4.0]]), np.ones((3, 2))
RTOL = 1e-9  # float64 through other routines of LAPACK; conditions are below 1e4


def agrees(case, **options):
    agree(*case, rtol=RTOL, atol=1e-10, text=False, **options)


# Results that are unique.
CASES = {
    "cholesky": (lambda torch, x: torch.linalg.cholesky(x), P),
    "cholesky upper": (lambda torch, x: torch.linalg.cholesky(x, upper=True), ZP),
    "cholesky ex": (lambda torch, x: torch.linalg.cholesky_ex(x), P),
    "cholesky vector": (lambda torch, x: torch.linalg.cholesky(x), V),
    "cholesky wide": (lambda torch, x: torch.linalg.cholesky(x), WIDE),
    "cholesky integer": (lambda torch, x: torch.linalg.cholesky(x.long()), A),
    "cholesky half": (lambda torch, x: torch.linalg.cholesky(x.half()), A),
    "cholesky solve": (lambda torch, x, b: torch.cholesky_solve(b, torch.linalg.cholesky(x)), P, M),
    "cholesky inverse": (lambda torch, x: torch.cholesky_inverse(torch.linalg.cholesky(x)), P),
    "half": (lambda torch, x: torch.linalg.solve(x.half(), x.half()), A),
    "solve right sizes": (lambda torch, x, b: torch.linalg.solve(x, b.mT, left=False), B, M),
    "eigh integer": (lambda torch, x: torch.linalg.eigh(x.long()), A),
    "qr": (lambda torch, x: torch.linalg.qr(x), TALL),
    "qr wide": (lambda torch, x: torch.linalg.qr(x), ZWIDE),
    "qr complex": (lambda torch, x: torch.linalg.qr(x), ZTALL),
    "qr complete": (lambda torch, x: torch.linalg.qr(x.detach(), "complete"), TALL),
    "qr r": (lambda torch, x: torch.linalg.qr(x.detach(), "r").R, TALL),
    "qr mode": (lambda torch, x: torch.linalg.qr(x, "q"), A),
    "qr old": (lambda torch, x: torch.qr(x), A),
    "lu factor": (lambda torch, x: torch.linalg.lu_factor(x), B),
    "lu": (lambda torch, x: torch.linalg.lu(x), TALL),
    "lu wide": (lambda torch, x: torch.linalg.lu(x)[1:], ZWIDE),
    "lu no pivot": (lambda torch, x: torch.linalg.lu(x, pivot=False), A),
    "lu unpack": (lambda torch, x: torch.lu_unpack(*torch.lu(x)), B),
    "lu solve": (lambda torch, x, b: torch.linalg.lu_solve(*torch.linalg.lu_factor(x), b), B, M),
    "lu solve adjoint": (
        lambda torch, x: torch.linalg.lu_solve(*torch.linalg.lu_factor(x), x, adjoint=True, left=False), ZB,
    ),
    "inv": (lambda torch, x: torch.linalg.inv(x), ZB),
    "inverse": (lambda torch, x: x.inverse(), B),
    "inv ex": (lambda torch, x: torch.linalg.inv_ex(x), B),
    "inv vector": (lambda torch, x: torch.linalg.inv(x), V),
    "solve": (lambda torch, x, b: torch.linalg.solve(x, b), B, M),
    "solve vector": (lambda torch, x, b: torch.linalg.solve(x, b), A, V),
    "solve right": (lambda torch, x, b: torch.linalg.solve(x, b.mT, left=False), A, M),
    "solve complex": (lambda torch, x: torch.linalg.solve(x, x.mT), ZB),
    "solve sizes": (lambda torch, x, b: torch.linalg.solve(x, b[:2]), A, M),
    "solve triangular": (lambda torch, x, b: torch.linalg.solve_triangular(x, b, upper=True), B, M),
    "solve unitriangular": (
        lambda torch, x, b: torch.linalg.solve_triangular(x, b.mT, upper=False, left=False, unitriangular=True), A, M,
    ),
    "triangular solve": (lambda torch, x, b: torch.triangular_solve(b, x, transpose=True), A, M),
    "tensorsolve": (lambda torch, x, b: torch.linalg.tensorsolve(x.reshape(3, 1, 3), b.reshape(3, 1)), A, V),
    "tensorinv": (lambda torch, x: torch.linalg.tensorinv(x.reshape(3, 3, 1), 1), A),
    "lstsq": (lambda torch, x, b: torch.linalg.lstsq(x, b).solution, TALL, real(2, 4, 2)),
    "lstsq wide": (lambda torch, x, b: torch.linalg.lstsq(x, b), WIDE, M),
    "lstsq gelsd": (lambda torch, x, b: torch.linalg.lstsq(x.detach(), b.detach(), driver="gelsd"), real(5, 3), real(5, 2)),
    "lstsq driver": (lambda torch, x: torch.linalg.lstsq(x, x, driver="gel"), A),
    "pinv": (lambda torch, x: torch.linalg.pinv(x), TALL),
    "pinv complex": (lambda torch, x: torch.linalg.pinv(x), ZWIDE),
    "pinv hermitian": (lambda torch, x: torch.linalg.pinv(x, hermitian=True), P),
    "pinv rtol": (lambda torch, x: torch.linalg.pinv(x, rtol=0.3), A),
    "matrix rank": (lambda torch, x: torch.linalg.matrix_rank(x.detach() @ x.detach().mT), real(4, 2)),
    "matrix rank atol": (lambda torch, x: torch.linalg.matrix_rank(x.detach(), atol=1.0, rtol=0.1), B),
    "det": (lambda torch, x: torch.det(x), B),
    "slogdet": (lambda torch, x: torch.linalg.slogdet(x), ZB),
    "logdet": (lambda torch, x: torch.logdet(x), P),
    "matrix power": (lambda torch, x: torch.linalg.matrix_power(x, 3), B),
    "matrix power 0": (lambda torch, x: torch.linalg.matrix_power(x.detach(), 0), B),
    "matrix power -2": (lambda torch, x: torch.matrix_power(x, -2), B),
    "matrix exp": (lambda torch, x: torch.matrix_exp(x), B),
    "multi dot": (lambda torch, x, y, v: torch.linalg.multi_dot([v, x, y]), A, M, V),
    "multi dot one": (lambda torch, x: torch.linalg.multi_dot([x]), A),
    "vecdot": (lambda torch, x: torch.linalg.vecdot(x, x[0], dim=-2), ZB),
    "cross": (lambda torch, x, v: torch.linalg.cross(x, v[None]), A, V),
    "vander": (lambda torch, x: torch.linalg.vander(x, N=4), A),
    "vander integer": (lambda torch, x: torch.linalg.vander((x * 3).long()), A),
    "diagonal": (lambda torch, x: torch.linalg.diagonal(x, offset=1), B),
    "vector norm": (lambda torch, x: torch.linalg.vector_norm(x, 3, dim=(0, 2), keepdim=True), B),
    "vector norm inf": (lambda torch, x: torch.linalg.vector_norm(x, -float("inf"), dim=1), B),
    "vector norm integer": (lambda torch, x: torch.linalg.vector_norm(x.long()), B),
    "vector norm dtype": (lambda torch, x: torch.linalg.vector_norm(x.detach().float(), dtype=torch.float64), B),
    "matrix norm": (lambda torch, x: torch.linalg.matrix_norm(x), ZB),
    "matrix norm nuc": (lambda torch, x: torch.linalg.matrix_norm(x, "nuc", keepdim=True), TALL),
    "matrix norm 2": (lambda torch, x: torch.linalg.matrix_norm(x, 2, dim=(0, 1)), TALL),
    "matrix norm -1": (lambda torch, x: torch.linalg.matrix_norm(x, -1), TALL),
    "matrix norm 3": (lambda torch, x: torch.linalg.matrix_norm(x, 3), A),
    "norm": (lambda torch, x: torch.linalg.norm(x), TALL),
    "norm inf": (lambda torch, x: torch.linalg.norm(x, float("inf")), A),
    "norm 3d": (lambda torch, x: torch.linalg.norm(x, 2), TALL),
    "cond": (lambda torch, x: torch.linalg.cond(x), B),
    "cond 1": (lambda torch, x: torch.linalg.cond(x.detach(), 1), B),
    "cond singular": (lambda torch, x: torch.linalg.cond(x.detach() * 0, "fro"), SINGULAR),
    "householder": (lambda torch, x: torch.linalg.householder_product(x, x[..., 0, :].tanh()), TALL),
    "geqrf": (lambda torch, x: torch.geqrf(x.detach()), ZTALL),
    "ormqr": (
        lambda torch, x, b: torch.ormqr(x, x[0].tanh(), b, left=False, transpose=True), real(4, 3), real(2, 4),
    ),
    "svdvals": (lambda torch, x: torch.linalg.svdvals(x), TALL),
    "eigvalsh": (lambda torch, x: torch.linalg.eigvalsh(x), P),
    "eigvalsh upper": (lambda torch, x: torch.linalg.eigvalsh(x, "U"), ZB),
    "eigh triangle": (lambda torch, x: torch.linalg.eigh(x, "K"), A),
    "empty": (lambda torch, x: (torch.linalg.inv(x[:0, :0]), torch.linalg.svdvals(x[:0]), torch.det(x[:0, :0])), A),
}  # fmt: skip
#: PyTorch composes these of other operators than we do, or the error code that is read ends the program with the operator.
OTHER_NAMES = {
    "cholesky", "cholesky upper", "lu factor", "lu unpack", "inv", "solve", "solve vector", "solve right", "solve complex",
    "cross", "diagonal", "vander", "vander integer", "matrix norm 2", "matrix norm -1", "matrix norm nuc", "norm inf",
    "matrix power -2", "multi dot", "lstsq", "lstsq wide", "tensorsolve", "tensorinv", "cond 1", "logdet", "svdvals",
    "matrix norm", "cond", "eigvalsh", "eigvalsh upper", "vecdot", "pinv hermitian", "empty", "inverse", "vector norm inf",
    "matrix power",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_agrees(name):
    agrees(CASES[name], names=name not in OTHER_NAMES)


def phases(torch, v):
    """Columns with the sign or phase taken out, as projectors."""
    return v.unsqueeze(-2) * v.conj().unsqueeze(-3)


UP_TO_PHASE = {
    "svd": (lambda torch, x: (lambda u, s, vh: (u * s.unsqueeze(-2)) @ vh)(*torch.linalg.svd(x, False)), TALL),
    "svd vectors": (lambda torch, x: [phases(torch, m) for m in torch.svd(x)[::2]], ZTALL),
    "svd wide": (lambda torch, x: phases(torch, torch.linalg.svd(x, False)[2].mH), WIDE),
    "svd full": (lambda torch, x: phases(torch, torch.linalg.svd(x)[0][..., :3]), TALL),
    "svd values": (lambda torch, x: torch.svd(x, compute_uv=False)[1], A),
    "eigh": (lambda torch, x: [f(x) for f in (lambda x: phases(torch, torch.linalg.eigh(x)[1]),)], P),
    "eigh complex": (lambda torch, x: phases(torch, torch.linalg.eigh(x).eigenvectors), ZP),
    "eig": (lambda torch, x: (lambda w, v: (v * w.exp()) @ torch.linalg.inv(v))(*torch.linalg.eig(x)), B),
    "eig vectors": (lambda torch, x: torch.linalg.eig(x).eigenvectors.abs(), Z),
    "eigvals": (lambda torch, x: torch.linalg.eigvals(x).exp().sum(-1), B),
}


@pytest.mark.parametrize("name", UP_TO_PHASE)
def test_agrees_up_to_phase(name):
    agrees(UP_TO_PHASE[name], names=False)


REFUSED = {
    "inv": lambda torch, s, n: torch.linalg.inv(s),
    "inv batch": lambda torch, s, n: torch.linalg.inv(torch.stack([n, s])),
    "inverse": lambda torch, s, n: s.inverse(),
    "inv ex": lambda torch, s, n: torch.linalg.inv_ex(s, check_errors=True),
    "solve": lambda torch, s, n: torch.linalg.solve(s, n),
    "solve ex": lambda torch, s, n: torch.linalg.solve_ex(s, n, check_errors=True),
    "cholesky": lambda torch, s, n: torch.linalg.cholesky(n),
    "cholesky old": lambda torch, s, n: torch.cholesky(torch.stack([n, n])),
    "lu factor": lambda torch, s, n: torch.linalg.lu_factor(s),
    "matrix power": lambda torch, s, n: torch.linalg.matrix_power(s, -1),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_refuses_singular_matrices(name):
    caught = []
    for module in (torch, jaxnn):
        s, n = module.tensor([[1.0, 2.0], [2.0, 4.0]]), module.tensor([[1.0, 2.0], [2.0, 1.0]])
        with pytest.raises(RuntimeError) as error:
            REFUSED[name](module, s, n)
        caught.append((isinstance(error.value, module.linalg.LinAlgError), first_sentence(error.value)))
    assert caught[0] == caught[1]


def test_ex_variants_do_not_raise():
    for make in (lambda torch, s: torch.linalg.inv_ex(s), lambda torch, s: torch.linalg.cholesky_ex(-s)):
        ours, theirs = (make(m, m.tensor([[1.0, 2.0], [2.0, 4.0]])).info for m in (jaxnn, torch))
        assert (ours.item(), str(ours.dtype)) == (theirs.item(), str(theirs.dtype))


@pytest.mark.parametrize("mode", ["r", "complete"])
def test_qr_that_has_no_derivative(mode):
    for module in (torch, jaxnn):
        x = module.eye(3, 2) + 1
        made = module.linalg.qr(x.requires_grad_(), mode).R
        with pytest.raises(RuntimeError, match="derivative of linalg.qr depends|not differentiable"):
            made.sum().backward()
            x.grad.tolist()


def test_low_rank():
    x = real(20, 3) @ real(3, 15)
    for call in (lambda torch, t: torch.svd_lowrank(t, 4), lambda torch, t: torch.pca_lowrank(t, 3)):
        found = []
        for module in (torch, jaxnn):
            module.manual_seed(0)
            u, s, v = call(module, module.from_numpy(x))
            found.append([np.asarray(m.tolist()) for m in (s, u * s @ v.mT)])
        for ours, theirs in zip(*reversed(found)):
            np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_out():
    for module in (torch, jaxnn):
        x = module.eye(2) * 4
        into = module.empty(2, 2)
        assert module.linalg.inv(x, out=into) is into and into[0, 0].item() == 0.25
        q, r = module.empty(2, 2), module.empty(2, 2)
        module.linalg.qr(x, out=(q, r))
        assert abs(r[0, 0].item()) == 4


def test_second_derivatives():
    for f in (
        lambda torch, x: torch.linalg.inv(x).sum(), lambda torch, x: torch.linalg.cholesky(x).sum(),
        lambda torch, x: torch.linalg.solve(x, x[0]).sum(), lambda torch, x: torch.linalg.svdvals(x)[0],
        lambda torch, x: torch.linalg.eigvalsh(x).square().sum(), lambda torch, x: torch.logdet(x),
    ):  # fmt: skip
        found = []
        for module in (torch, jaxnn):
            x = module.from_numpy(P[0].copy()).requires_grad_()
            (first,) = module.autograd.grad(f(module, x), x, create_graph=True)
            (second,) = module.autograd.grad(first.square().sum(), x)
            found.append(np.asarray(second.tolist()))
        np.testing.assert_allclose(found[1], found[0], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["symmetric", "complex", "hermitian"])
def test_ldl(kind):
    """Both kinds of pivots, with exchanges: the factors themselves, which are unique, and what they solve."""
    hermitian, n = kind == "hermitian", 6
    x = rng.standard_normal((3, n, n)) + (kind != "symmetric") * 1j * rng.standard_normal((3, n, n))
    x = x + (x.conj() if hermitian else x).transpose(0, 2, 1)
    x[1] *= 1 - 0.99 * np.eye(n)
    x[2] *= 1 - np.eye(n)
    b = rng.standard_normal((3, n, 2)).astype(x.dtype)
    made = []
    for t in (torch, jaxnn):
        packed, pivots, info = t.linalg.ldl_factor_ex(t.tensor(x), hermitian=hermitian)
        solved = t.linalg.ldl_solve(packed, pivots, t.tensor(b), hermitian=hermitian)
        made.append((packed.numpy(), pivots.numpy(), info.numpy(), solved.numpy()))
    for ours, theirs in zip(*reversed(made), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=1e-10)
    assert (made[0][1] < 0).any() and (made[0][1] > 0).any()


def test_ldl_without_a_pivot():
    """Where D has a zero: the code, not an error, and where PyTorch raises for it."""
    for t in (torch, jaxnn):
        assert t.linalg.ldl_factor_ex(t.diag(t.tensor([1.0, 0.0, 0.0, 2.0]))).info.item() == 2
        with pytest.raises(RuntimeError):
            t.linalg.ldl_factor_ex(t.zeros(4, 4), check_errors=True)

"""Calls that databases of samples leave out, beside PyTorch: accepted or refused, the exception, values and types.

Arguments are drawn by the types of a function's schema: numbers for tensors, other types, no arguments, empty lists, a lone tensor
for a list, None, ``out=`` of another type or number.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.core.operator.type_support import _WITHOUT
from jaxnn.core.record.out_types import EXACT

#: Each is run as it stands in both libraries, ``t`` being the library.
CALLS = """
t.add(True, True)
t.add(2, 1.5, alpha=2)
t.sub(True, True)
t.mul(2, 1j)
t.div(3, 2, rounding_mode='floor')
t.floor_divide(7, 2)
t.remainder(3, 2)
t.remainder(t.ones(2, dtype=t.bool), 2)
t.remainder(1.5, t.ones(2, dtype=t.bool))
t.sum(t.ones(3, 2), 0, True)
t.sum(t.ones(3, 2), 0, 1)
t.sum(t.ones(3, 2), 0, None)
t.cumsum(t.ones(3), True)
t.cumsum(t.ones(3), t.tensor(0))
t.cumsum(t.ones(3), 0.0)
t.diagonal(t.ones(2, 2), t.tensor(1))
t.narrow(t.ones(2, 2), 1, 1, t.tensor(1))
t.chunk(t.ones(3), 3.0)
t.diff(t.ones(3), n=True)
t.allclose(t.ones(3), t.ones(3), equal_nan=1)
t.ldexp(t.tensor([1e-30, 0., 1e30, 1.]), t.tensor([140, 2000, -200, 3]))
t.ldexp(t.tensor([1e-30, 0.]).half(), t.tensor([140, 2000]))
t.trapezoid(t.tensor(1.))
t.trapezoid(t.tensor([0, 2, 254], dtype=t.uint8))
t.trapezoid(t.tensor([0, 2, 254], dtype=t.uint8), t.tensor([3, 1, 9], dtype=t.uint8))
t.trapezoid(t.ones(2), dx=True)
t.trapezoid(t.zeros(0, dtype=t.bool))
t.trapz(t.ones(3), dx=True)
t.cumulative_trapezoid(t.tensor(1.))
t.cumulative_trapezoid(t.tensor([0, 2, 254], dtype=t.uint8))
t.cumulative_trapezoid(t.tensor([0, 2, 254], dtype=t.uint8), t.tensor([3, 1, 9], dtype=t.uint8))
t.cumulative_trapezoid(t.tensor([0, 2, 254], dtype=t.uint8), t.tensor([3., 1., 9.]))
t.cumulative_trapezoid(t.tensor([True, False]))
t.cumulative_trapezoid(t.ones(2), dx=1j)
t.linalg.cond(t.eye(2).half())
t.linalg.svdvals(t.eye(2).half())
t.linalg.eigvalsh(t.eye(2).bfloat16())
t.nn.functional.embedding_bag(t.tensor([[0, 1]]), t.tensor([[1., t.nan], [t.nan, 2.]]), mode='max')
t.cov(t.ones(3), correction=1.5)
t.tril(t.ones(3, 3), True)
t.argsort(t.ones(3), [0])
t.histc(t.ones(2), min=None)
t.add(t.ones(2), 1, alpha='a')
t.sum(t.ones(2), dtype=float)
t.sum(t.ones(2), dtype='float32')
t.nansum(t.ones(2), dtype=t.int32)
t.all(t.ones(2), dim=[])
t.any(t.zeros(2), dim=())
t.sum(t.ones(2), dim=[])
t.flip(t.ones(3))
t.ones(3).flip()
t.hstack(t.ones(3, 2))
t.vstack(t.ones(3, 2))
t.dstack(t.ones(3, 2))
t.column_stack(t.ones(3, 2))
t.hstack([])
t.block_diag()
t.zeros(2).copy_(np.float32(3))
t.broadcast_shapes([True], [True])
t.embedding(t.ones(3, 2), t.tensor([0]), 5)
t.ones(2).sub(2, None)
t.add(t.ones(2), 2, alpha=None)
t.fft.fftshift(t.arange(3.), ())
t.fft.ifftshift(t.tensor(1.))
t.polygamma(100, t.ones(2))
t.zeros(3).put_(t.tensor([5]), t.tensor([1, 2]))
t.zeros(3).put_(t.tensor([5]), t.tensor([1.0, 2.0]))
t.zeros(3).put(t.tensor([5.0]), t.tensor([1.0]))
t.zeros(0).put_(t.tensor([0]), t.tensor([1.0]))
t.vander(t.tensor([True, False]))
t.cdist(t.ones(2, 2), t.ones(2, 2).double())
t.ones((), requires_grad=True).mul(2).backward(inputs=[t.ones(2)])
t.ones(2, dtype=t.uint8).pow(300)
t.zeros(2, dtype=t.int8).pow_(128)
t.nn.functional.pad(t.ones(2, dtype=t.uint8), (1, 1), value=300)
t.nn.functional.pad(t.ones(2, dtype=t.uint8), (1, 1), value=-1)
t.constant_pad_nd(t.ones(2, dtype=t.uint8), (1, 1), value=-1)
t.full((2,), -1.0, dtype=t.uint8)
t.full((2,), -1, dtype=t.uint8)
t.zeros(2, dtype=t.uint8).fill_(-1.0)
t.ones(2, dtype=t.bool) ** t.ones(2, dtype=t.bool)
t.zeros(2, dtype=t.bool) ** True
t.zeros(2, dtype=t.bool) ** False
t.lerp(t.ones(2, dtype=t.bool), t.ones(2, dtype=t.bool), 0.5)
t.lerp(t.ones(2, dtype=t.int64), t.ones(2, dtype=t.int64), 0.5)
t.mean(t.ones(2, dtype=t.bool))
t.where(t.ones(2, dtype=t.bool), 300, 300)
t.isin(t.ones(2, dtype=t.uint8), 300)
t.unravel_index(t.tensor([7, -2]), 3)
t.unravel_index(t.tensor([7, 2], dtype=t.int32), (2, 3))
t.nonzero(t.ones(2), out=t.ones(2))
t.sort(t.tensor([2., 1.]), out=(t.zeros(0), t.zeros(0, dtype=t.int64)))
t.sort(t.tensor([2., 1.]), out=t.zeros(2))
t.sum(t.ones(2), 0, out=(t.ones(()),))
t.sum(t.ones(2), 0, out=[t.ones(())])
t.sum(t.ones(3) * 0.7, 0, out=t.ones((), dtype=t.int32))
t.sum(t.ones(3), 0, out=t.ones((), dtype=t.int32), dtype=t.int64)
t.mean(t.ones(3), 0, out=t.ones((), dtype=t.float64), dtype=t.float32)
t.mean(t.ones(3), 0, out=t.ones((), dtype=t.float64))
t.cumsum(t.ones(3), 0, out=t.ones(3, dtype=t.int32))
t.zeros(3, out=t.ones(3, dtype=t.float64), dtype=t.int32)
t.abs(t.ones(2), out=t.ones(2, dtype=t.float64))
t.alias_copy(t.ones(2), out=t.ones(0))
t.frombuffer([1, 2], dtype=t.int32)
t.arange(end=4)
t.arange(2**63)
t.arange(1j)
t.arange(0.5, 3.7, 0.9, dtype=t.int32)
t.arange(t.tensor([1, 2]))
t.range(0., float('inf'))
t.linspace(0, 1, 5, dtype=t.bool)
t.linspace(0, 1, steps=5, out=t.empty(5, dtype=t.float64), dtype=t.float32)
t.full((2,), t.tensor([3.]))
t.full((2, 2), 1, out=t.empty(2, 2), dtype=t.int32)
t.tril_indices(3, 3, dtype=t.float32)
t.combinations(t.tensor([1, 2, 3]), -1)
t.cartesian_prod(t.tensor([1, 2]), t.tensor(3))
t.meshgrid(t.ones(2), t.ones(3, dtype=t.int64), indexing='ij')
t.scalar_tensor([3])
t.scalar_tensor(3j)
t.normal(t.zeros(3), 1., out=t.empty(2))
t.bartlett_window(5, dtype=t.complex64)
t.bartlett_window(1, dtype=t.complex64)
t.hann_window(0, dtype=t.complex64)
t.IntTensor(t.ones(2))
t.ones(2, dtype=complex)
t.ones(2).to(complex)
t.ones(2, dtype=t.promote_types(t.float64, int))
t.ones(2, dtype=t.promote_types(float, t.half))
t.promote_types(1, t.half)
t.empty(2, layout=1)
t.empty(2, pin_memory='a')
t.tensor(np.array([1., 2.])[::-1])
t.tensor(np.array([1, 2], dtype='>i4'))
t.broadcast_shapes((-1,), (3,))
t.broadcast_shapes([1, 1], [1.0])
t.broadcast_shapes(None)
t.broadcast_shapes('a')
t.repeat_interleave(repeats=t.tensor([1, 0, 2]))
t.repeat_interleave(repeats=t.tensor([1, 0, 2]), output_size=3)
t.repeat_interleave(t.tensor([1, 0, 2], dtype=t.int32))
t.repeat_interleave(t.tensor([[1, 2]]))
t.narrow_copy(t.ones(3, 3), 1, t.tensor([1]), 1)
t.slice_copy(t.ones(3, 3), end=t.tensor([1]))
t.nonzero_static(t.ones(3, 3), size=t.tensor([1]))
t.take(t.ones(2, 3), t.arange(8)[6:])
t.take(t.ones(2, 3), t.arange(8)[4:6])
t.gather(t.ones(2, 3), 1, t.tensor([5, 1, 0, 2]).view(2, 2))
t.gather(t.ones(2, 3), 1, t.tensor([5, 1, 0, 2])[1:3].view(2, 1))
t.take_along_dim(t.ones(2, 3), t.tensor([0, 6]))
t.take_along_dim(t.ones(1), t.ones(3, 3).long())
t.take_along_dim(t.ones(0, 3), t.zeros(3).long())
t.tensor(1.).index_add(0, t.tensor([0]), t.tensor([2.]))
t.as_strided(t.arange(6.), (2,), (1,), -1)
t.unravel_index(t.tensor([3]), t.tensor([2, 3]))
t.tensor(1).mT
'a' in t.ones(2)
t.ones(3).clamp_min(1j)
t.renorm(t.ones(2, 3), 2, 0, -1.)
t.renorm(t.ones(2, 3), float('nan'), 0, 1.)
t.clamp(t.tensor([1]), 0, out=t.empty(0, dtype=t.int32))
t.clamp(t.tensor([1]), t.tensor([1]), out=t.empty(0))
t.all(t.ones(2), out=t.empty(0, dtype=t.uint8))
t.abs(t.tensor([1j]), out=t.empty(0, dtype=t.complex64))
t.max(t.ones(2), 0, out=(t.empty(0), t.empty(0)))[0]
t.max(t.ones(2), out=t.empty((), dtype=t.float64))
t.linalg.det(t.eye(2), out=t.empty(0, dtype=t.float64))
t.polar(t.ones(2), t.ones(2), out=t.empty(2, dtype=t.complex128))
t.unique(t.zeros(0, 0), dim=0)
t.unique(t.tensor([1j, 1j]))
t.unique_consecutive(t.tensor(3), dim=0)
t.unique_consecutive(t.zeros(3, 0), dim=0)
t.bincount(t.tensor([True]))
t.histc(t.tensor([float('inf'), 1]), 4)
t.histc(t.tensor([1.]), 4, max=float('nan'))
t.histogram(t.tensor([1., 2, 1]), 4, weight=t.ones(2))
t.histogram(t.tensor([1., 2, 1]), t.tensor([0., 1.]).double())
t.searchsorted(t.tensor([float('nan'), 1., 3.]), t.tensor([1., float('nan'), 2., 0.]))
t.searchsorted(t.tensor([3, 1, 2, 0]), t.tensor([1, 2, 3]), right=True)
t.searchsorted(t.tensor([3, 2, 1]), t.tensor([2, 0]), sorter=t.tensor([2, 1]))
t.bucketize(t.tensor([float('nan')]), t.tensor([1., float('nan')]))
t.cov(t.ones(2, 3), fweights=t.tensor([0, 0, 0]))
t.corrcoef(t.tensor([True, False]))
t.quantile(t.tensor([1., 2]), t.tensor([1.4]))
t.quantile(t.tensor([1., 2]), t.tensor([0.4], dtype=t.float64))
t.nanmean(t.tensor([1j]))
t.max(t.tensor([1j]))
t.gradient(t.tensor([1, 4, 9], dtype=t.uint8))
t.norm(t.ones(2, 2, 2), dim=(0, 1, 2))
t.logcumsumexp(t.tensor([0j, complex(float('inf'), 0)]), 0)
t.logcumsumexp(t.tensor([complex(float('-inf'), 1), complex(float('-inf'), 2), 1j]), 0)
t.allclose(t.ones(2), t.ones(2), rtol=float('nan'))
t.cdist(t.ones(2, 3), t.ones(2, 3), p=float('nan'))
t.inner(t.tensor(2, dtype=t.int8), t.tensor([1], dtype=t.int16))
t.einsum('ij->i', t.ones(2, 3, dtype=t.uint8))
t.einsum('ij->ji', t.ones(2, 3, dtype=t.uint8))
t.tensordot(t.ones(2, 3), t.ones(3, 2, dtype=t.int64), 1)
t.chain_matmul()
t.linalg.lstsq(t.ones(3, 2), t.ones(4, 3, 1))
t.linalg.householder_product(t.eye(3).expand(2, 3, 3), t.ones(3))
t.linalg.matrix_norm(t.zeros(0, 0), 2)
t.linalg.matrix_norm(t.ones(2, 2), dim=0)
t.lu_unpack(t.ones(2, 2), t.tensor([0, 5], dtype=t.int32))
t.fft.fftfreq(1, dtype=t.complex64)
t.ldexp(t.tensor([1j, 2.]), t.tensor([3, 4]))
t.threshold(t.ones(3), 1.5, 0.1, out=t.empty(0, dtype=t.float64))
t.threshold(t.ones(3), 1.5, 0.1, True)
t.nn.functional.pairwise_distance(t.tensor([[1, 2]], dtype=t.uint8), t.tensor([[3, 1]], dtype=t.uint8))
t.nn.functional.triplet_margin_loss(*(t.tensor([[a, 2]], dtype=t.uint8) for a in (1, 3, 0)))
t.nn.functional.margin_ranking_loss(*(t.tensor([a, 2], dtype=t.uint8) for a in (1, 3, 1)), reduction='none')
t.ones(3, requires_grad=True).cumsum_(5)
t.ones(3, requires_grad=True).scatter_(5, t.tensor([0]), t.ones(1))
t.linalg.ldl_factor(t.ones(2, 3))
t.linalg.ldl_factor(t.eye(2, dtype=t.int64))
t.linalg.ldl_factor(t.zeros(0, 0))
t.linalg.ldl_solve(t.eye(2), t.tensor([1., 2]), t.ones(2, 1))
""".strip().splitlines()


def outcome(t, call):
    """What a call gives, as numpy arrays with the names of their types, or the type of its exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = eval(call, {"t": t})
        except Exception as error:
            return type(error).__name__, str(error)
    parts = made if isinstance(made, (tuple, list)) else (made,)
    return [
        (str(p.dtype), p.detach().numpy()) if isinstance(p, t.Tensor) else (type(p).__name__, np.asarray(p is None or p))
        for p in parts
    ]


@pytest.mark.parametrize("call", CALLS)
def test_call(call):
    expected, found = outcome(torch, call), outcome(jaxnn, call)
    if isinstance(expected, tuple):
        assert isinstance(found, tuple), f"accepted: {found}; PyTorch: {expected}"
        assert found[0] == expected[0], f"{found}; PyTorch: {expected}"
        return
    assert not isinstance(found, tuple), f"refused: {found}"
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


_TWO = """
    atan2 clamp_max clamp_min copysign floor_divide fmax fmin fmod ge gt heaviside hypot igamma igammac inner isin
    le logaddexp logaddexp2 lt maximum minimum nextafter remainder searchsorted xlogy
""".split()
_MORE = {"clamp": (0,), "kthvalue": (1,), "topk": (1,), "renorm": (2, 0, 1), "cummax": (0,), "cummin": (0,), "logcumsumexp": (0,)}


_TWO += [
    f"special_{name}" for name in ("xlog1py", "zeta", *(n.removeprefix("special_") for n in _WITHOUT if "polynomial" in n))
]
_TWO += ["hinge_embedding_loss"]
_THREE = ("addmm", "cosine_embedding_loss", "gaussian_nll_loss", "margin_ranking_loss")
#: Refused by their kernels already, where PyTorch names them otherwise.
_LOSSES = ("cosine_embedding_loss", "gaussian_nll_loss", "hinge_embedding_loss", "margin_ranking_loss")


def _public(t, name):
    space, name = (t.special, name.removeprefix("special_")) if name.startswith("special_") else (t, name)
    return getattr(space, name, None) or getattr(t.nn.functional, name)


@pytest.mark.parametrize("name", sorted(set(_WITHOUT) - set(_LOSSES)))
def test_types_without_a_kernel(name):
    """Every type of every operator in the table, those that are refused and those that are not."""
    count = 3 if name.startswith("addc") or name in _THREE else 2 if name in _TWO else 1
    for dtype in ("bool", "int64", "float32", "complex64"):
        both = []
        for t in (torch, jaxnn):
            operands = [t.ones((3, 3), dtype=getattr(t, dtype)) for _ in range(count)]
            try:
                _public(t, name)(*operands, *_MORE.get(name, ()))
                both.append(None)
            except Exception as error:
                both.append(type(error))
        assert both[0] is both[1], dtype


def test_out_of_the_result_type():
    """Operators of one tensor: ``out=`` of a wider type is refused exactly where PyTorch refuses it."""
    for name in ("abs", "ceil", "neg", "round", "sgn", "sign", "trunc", "tril", "exp", "sqrt", "sigmoid", "log_softmax", "msort"):
        more = (0,) if name == "log_softmax" else ()
        refused = []
        for t in (torch, jaxnn):
            try:
                getattr(t, name)(t.ones(2, 2), *more, out=t.ones((2, 2), dtype=t.float64))
                refused.append(False)
            except RuntimeError:
                refused.append(True)
        assert refused[0] == refused[1] == (name in EXACT), name


def test_sizes_one_by_one_before_a_keyword():
    """Parameters behind ``*sizes`` are not looked for among the sizes."""
    for t in (torch, jaxnn):
        assert t.ones(3, 1, 1).expand(3, 4, 5).shape == t.ones(3, 1, 1).expand(3, 4, 5, implicit=False).shape == (3, 4, 5)
        assert t.ones(4).view(2, 2, 1).shape == (2, 2, 1)
        with pytest.raises(TypeError, match=r"argument 'implicit' must be bool, not int"):
            t.ones(3, 1, 1).expand(3, 4, 5, implicit=1)


MENDED = """
t.true_divide(2, 2)
t.take_along_dim(A, t.tensor([0, 3], dtype=t.int32))
t.take_along_dim(A, t.tensor([[0, 1]], dtype=t.int32), 0)
t.index_fill(A, 1, t.tensor([[0]]), 2)
t.linalg.vector_norm(A, dtype=t.int64)
t.linalg.vector_norm(A, dtype=t.float16)
t.linalg.vector_norm(A, dtype=t.float64)
t.linalg.matrix_norm(A, dtype=t.int32)
t.linalg.norm(t.tensor([1, 2]), dtype=t.float64)
A.norm(2, dtype=t.bfloat16)
t.tril_indices(-3, 1)
t.linspace(t.tensor([1.0]), 2.0, 3)
t.unravel_index(t.tensor([3, 5]), -1)
t.special.bessel_j0(t.tensor([1j]))
t.special.hermite_polynomial_h(A, float('nan'))
t.special.chebyshev_polynomial_t(A, float('inf'))
t.fft.rfftfreq(0)
t.fft.fftshift(A, [0, 0])
t.nn.functional.softmin(A, 0, dtype=float)
t.nn.functional.elu_(A - 2, 1.0, 2.0, 0.5)
t.nn.functional.hardtanh_(A, 3.0, 2.0)
t.nn.functional.conv1d(t.ones(1, 2, 6), t.ones(3, 2, 2), stride=t.tensor(2), padding=[t.tensor(1)])
t.nn.functional.conv1d(t.ones(1, 2, 6), t.ones(3, 2, 2), stride=True)
t.nn.functional.avg_pool1d(t.ones(1, 2, 6), [t.tensor(2)])
t.nn.functional.normalize(A, out=t.zeros(0))
t.nn.functional.binary_cross_entropy_with_logits(A, t.tensor([[0.5, 1.0], [0.0, 1.0]], dtype=t.float64))
t.nn.functional.pixel_shuffle(t.ones(1, 4, 2, 2), 2, out=t.zeros(0))
t.nn.functional.cross_entropy(A, 'a')
t.nn.functional.dropout(A, 0.0, True, 1)
t.nn.functional.instance_norm(t.ones(1, 2, 3), momentum=1j)
t.triplet_margin_loss(A, A + 1, A * 2, reduction=-1)
t.trapz(A, t.tensor([[1.0, 3.0]]))
t.trapz(t.zeros(0))
t.trapz(t.ones(2, dtype=t.bool))
t.movedim(t.ones(2, 3, 4), t.tensor(1), 2)
t.movedim(t.ones(2, 3, 4), (0,), 2)
t.abs_(input=A)
A.copy_(2)
A.cumsum_(0, dtype=t.float64)
A.chunk(1, t.tensor([1]))
A.addcmul(A, A, value=t.tensor([1.0]))
t.addbmm(A, A, A, beta='a')
t.addbmm(A, A, A)
t.mm(A, A, t.float64)
t.bilinear(A, A, t.ones(()))
A.sum([t.tensor(1)])
t.fft.fft2(A, dim=[t.tensor(1), 0]).real
t.hash_tensor(A, [t.tensor(1)])
A.var([t.tensor(1)])
A.mean([t.tensor(1), t.tensor(0)])
t.count_nonzero(A, [t.tensor(1)])
A.triu(t.tensor([1]))
A.to(copy=1)
t.nn.functional.hardshrink(A, float('nan'))
t.range(3, -1)
t.lu(t.zeros(3, 5))
t.lu(t.ones(3, 3), get_infos=True)
t.nn.functional.embedding_bag(t.ones(10, 3), t.tensor([1, 2]), t.tensor([0]))
""".strip().splitlines()


@pytest.mark.parametrize("call", MENDED)
def test_kinds(call):
    """Calls that the sweep of `tests.calls` found to differ, one of each kind."""
    text = call.replace("A", "t.tensor([[1.0, 2.0], [3.0, 4.0]])")
    expected, found = outcome(torch, text), outcome(jaxnn, text)
    if isinstance(expected, tuple):
        assert isinstance(found, tuple) and found[0] == expected[0], (found, expected)
        return
    assert not isinstance(found, tuple), f"refused: {found}"
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


TEXTS = """
t.nonzero(A, out=t.zeros(3))
t.nonzero(A, as_tuple=True, out=t.zeros(0, dtype=t.int64))
t.nonzero(A, out=t.zeros(0, dtype=t.int64))
t.dsplit(A, 2)
t.vsplit(t.ones(3), 2)
t.tensor_split(A, t.tensor([1.0]))
t.tensor_split(A, t.tensor([[1]]))
t.tensor_split(A, t.tensor([1]))
t.zeros(2, dtype=t.int64, requires_grad=True)
t.arange(3, requires_grad=True)
A.repeat_interleave(t.ones(2), 0)
A.repeat_interleave(t.tensor([1, -1]), 0)
A.repeat_interleave(t.ones(2, 2, dtype=t.int64))
A.repeat_interleave(t.tensor(2.5))
A.index_fill(1, t.zeros(2, dtype=t.int32), 2)
A.index_fill(0, t.zeros(0), 2)
t.zeros(2, 0).index_select(0, t.tensor([9]))
""".strip().splitlines()


@pytest.mark.parametrize("call", TEXTS)
def test_texts(call):
    """PyTorch's words, or its value."""
    text = call.replace("A", "t.tensor([[1.0, 0.0], [3.0, 4.0]])")
    expected, found = outcome(torch, text), outcome(jaxnn, text)
    assert isinstance(found, tuple) == isinstance(expected, tuple), (found, expected)
    if isinstance(expected, tuple):
        assert found[0] == expected[0]
        assert found[1].split() == expected[1].replace("typeFloat", "type Float").split()

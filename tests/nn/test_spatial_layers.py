"""Layers that resample, fold, shuffle, unpool and look up bags, beside PyTorch's. One row a layer."""

import numpy as np
import pytest
import torch

import jaxnn
from tests.comparison import check
from tests.nn.beside import check_error, check_layer

# (layer as source, shapes of the inputs; a pair (shape, n) is integers below n)
ROWS = [
    ("Upsample(scale_factor=2)", [(1, 2, 3, 4)]),
    ("Upsample((5, 3), mode='bilinear', align_corners=True)", [(1, 2, 3, 4)]),
    ("Upsample(scale_factor=(1, 2.5), mode='bicubic')", [(1, 2, 4, 5)]),
    ("Upsample(scale_factor=1.7, mode='linear', recompute_scale_factor=True)", [(2, 2, 5)]),
    ("UpsamplingNearest2d(3)", [(1, 2, 4, 5)]),
    ("UpsamplingBilinear2d(scale_factor=2)", [(1, 2, 4, 5)]),
    ("Fold((4, 5), 2, stride=(2, 1))", [(2, 8, 8)]),
    ("Unfold((2, 3), padding=1, dilation=(1, 2))", [(2, 3, 4, 5)]),
    ("PixelShuffle(2)", [(2, 8, 3, 2)]),
    ("PixelUnshuffle(2)", [(2, 2, 4, 6)]),
    ("ChannelShuffle(2)", [(2, 6, 3)]),
    ("LPPool1d(2.0, 3, ceil_mode=True)", [(2, 3, 7)]),
    ("LPPool2d(2, 3, 2)", [(2, 3, 7, 6)]),
    ("LPPool3d(3, (1, 2, 2))", [(1, 2, 2, 4, 4)]),
    ("FractionalMaxPool2d(2, 3)", [(2, 3, 7, 8)]),
    ("FractionalMaxPool2d((2, 3), output_ratio=(0.5, 0.4))", [(3, 7, 8)]),
    ("FractionalMaxPool3d(2, output_ratio=0.5)", [(2, 2, 5, 6, 7)]),
    ("FractionalMaxPool2d(2, 3, _random_samples=torch.full((2, 3, 2), 0.5))", [(2, 3, 7, 8)]),
    ("EmbeddingBag(6, 3)", [((2, 4), 6)]),
    ("EmbeddingBag(6, 3, mode='sum', padding_idx=-1, max_norm=1.0)", [((2, 4), 6)]),
    ("EmbeddingBag(6, 3, mode='max', sparse=False)", [((2, 4), 6)]),
    ("CrossMapLRN2d(3, alpha=0.5)", [(2, 6, 3, 2)]),
    ("CrossMapLRN2d(4, 0.5, 0.6, 2)", [(1, 9, 2, 2)]),
]


@pytest.mark.parametrize(("source", "shapes"), ROWS, ids=[r[0] for r in ROWS])
def test_layer(source, shapes):
    check_layer(source, shapes)


@pytest.mark.parametrize("dims, shape", [(1, (2, 3, 8)), (2, (2, 3, 7, 6)), (3, (1, 2, 4, 5, 4))])
def test_unpooling_inverts_pooling(dims, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = []
    for face in (torch, jaxnn):
        t = face.from_numpy(x.copy()).requires_grad_()
        pool = getattr(face.nn, f"MaxPool{dims}d")(2, return_indices=True)
        unpool = getattr(face.nn, f"MaxUnpool{dims}d")(2)
        best, index = pool(t)
        out = unpool(best, index, output_size=t.size())
        (out**2).sum().backward()
        found.append((repr(unpool) + out.grad_fn.name(), out.detach().numpy(), t.grad.numpy()))
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1:], found[1][1:], strict=True):
        check(b, a, "layer")


def test_fractional_pools_share_the_random_stream():
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 8)).astype(np.float32)
    found = []
    for face in (torch, jaxnn):
        face.manual_seed(3)
        t = face.from_numpy(x)
        best, index = face.nn.FractionalMaxPool2d(2, 4, return_indices=True)(t)
        again = face.nn.functional.fractional_max_pool2d_with_indices(t, 3, output_ratio=(0.5, 0.5))
        found.append([a.numpy() for a in (best, index, *again, face.rand(3))])
        assert str(index.dtype) == "torch.int64"
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(b, a)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_with_offsets(mode):
    indices, offsets = np.array([1, 2, 4, 1, 0, 3]), np.array([0, 2, 2, 6])
    found = []
    for face in (torch, jaxnn):
        face.manual_seed(1)
        layer = face.nn.EmbeddingBag(5, 3, mode=mode, include_last_offset=True)
        weights = face.arange(6.0) if mode == "sum" else None
        out = layer(face.from_numpy(indices), face.from_numpy(offsets), weights)
        (out**2).sum().backward()
        table = face.nn.EmbeddingBag.from_pretrained(layer.weight.detach(), mode=mode)
        assert not table.weight.requires_grad
        found.append((repr(table), [out.detach().numpy(), layer.weight.grad.numpy()]))
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        check(b, a, "layer")


ERRORS = [
    "EmbeddingBag(3, 2, padding_idx=4)", "EmbeddingBag(3, 2, _weight=torch.ones(2, 2))",
    "EmbeddingBag.from_pretrained(torch.ones(2))", "EmbeddingBag(3, 2, mode='foo')(torch.tensor([[0]]))",
    "FractionalMaxPool2d(2)", "FractionalMaxPool2d(2, 2, 0.5)", "FractionalMaxPool3d(2, output_ratio=1.5)",
    "FractionalMaxPool2d(2, 4)(torch.ones(1, 1, 4, 4))", "CrossMapLRN2d(3)(torch.ones(3, 3, 3))",
    "PixelShuffle(2)(torch.ones(1, 3, 2, 2))", "Unfold(3)(torch.ones(1, 1, 2, 2))", "Upsample()(torch.ones(1, 1, 2, 2))",
    "MaxUnpool2d(2)(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))",
    "MaxUnpool2d(2)(torch.ones(1, 1, 1, 1), torch.tensor([[[[7]]]]))",
    "MaxUnpool2d(2)(torch.ones(1, 1, 1, 1), torch.tensor([[[[0]]]]), output_size=(9, 9))",
]  # fmt: skip


@pytest.mark.parametrize("source", ERRORS)
def test_error(source):
    check_error(source)

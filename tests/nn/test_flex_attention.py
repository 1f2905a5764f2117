"""`flex_attention` beside PyTorch's: values, gradients also of what the functions capture, masks and their blocks."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.attention.flex_attention as theirs_module

import jaxnn
import jaxnn.nn.attention.flex_attention as ours_module

rng = np.random.default_rng(0)
Q, K, V = (rng.standard_normal((2, h, n, 8)).astype("float32") for h, n in ((4, 10), (2, 12), (2, 12)))
BIAS = rng.standard_normal((4, 10, 12)).astype("float32")


def causal(b, h, q, k):
    return q >= k


def window(b, h, q, k):
    return (q - k < 3) & (k - q < 9)


def run(lib, flex, mods, **options):
    q, k, v, bias = (lib.tensor(a, requires_grad=True) for a in (Q, K, V, BIAS))
    score_mod, mask = mods(lib, flex, bias)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = flex.flex_attention(q, k, v, score_mod, mask, enable_gqa=True, **options)
    parts = found if isinstance(found, tuple) else (found,)
    parts = [p for part in parts for p in (part if isinstance(part, tuple) else (part,))]
    lib.where(lib.isinf(parts[0]), 0.0, parts[0]).square().sum().backward()
    return [p.detach().numpy() for p in parts] + [t.grad.numpy() for t in (q, k, v) if t.grad is not None] + (
        [] if bias.grad is None else [bias.grad.numpy()]
    )


PROGRAMS = {
    "plain": (lambda lib, flex, bias: (None, None), {}),
    "scale and sums": (lambda lib, flex, bias: (None, None), {"scale": 0.3, "return_lse": True}),
    "a captured bias": (lambda lib, flex, bias: (lambda s, b, h, q, k: s + bias[h, q, k], None), {}),
    "where": (lambda lib, flex, bias: (lambda s, b, h, q, k: lib.where(q >= k, s * 2, -float("inf")), None), {}),
    "a mask": (
        lambda lib, flex, bias: (None, flex.create_block_mask(window, None, None, 10, 12, device="cpu", BLOCK_SIZE=4)),
        {"return_lse": True},
    ),
    "both": (
        lambda lib, flex, bias: (
            lambda s, b, h, q, k: s - 0.1 * (q - k) * h,
            flex.create_block_mask(flex.and_masks(causal, window), 2, 4, 10, 12, device="cpu", BLOCK_SIZE=(5, 4)),
        ),
        {},
    ),
    "rows that drop all": (
        lambda lib, flex, bias: (None, flex.create_block_mask(lambda b, h, q, k: q > k + 3, None, None, 10, 12, device="cpu")),
        {},
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name, monkeypatch):
    monkeypatch.setattr(theirs_module, "_validate_device", lambda *_: None)  # it refuses gradients on the CPU, which work
    mods, options = PROGRAMS[name]
    ours, theirs = (run(*pair, mods, **options) for pair in ((jaxnn, ours_module), (torch, theirs_module)))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [4, (5, 3), 128])
@pytest.mark.parametrize("mask", [causal, window])
def test_blocks(mask, size):
    ours, theirs = (m.create_block_mask(mask, 1, 2, 20, 18, device="cpu", BLOCK_SIZE=size) for m in (ours_module, theirs_module))
    assert ours.shape == theirs.shape and ours.sparsity() == pytest.approx(theirs.sparsity())
    for name in ("kv_num_blocks", "full_kv_num_blocks"):
        assert getattr(ours, name).tolist() == getattr(theirs, name).tolist()
    assert ours.to_dense().tolist() == theirs.to_dense().tolist()
    dense = [m.create_mask(mask, 1, 2, 20, 18, device="cpu").tolist() for m in (ours_module, theirs_module)]
    assert dense[0] == dense[1]


@pytest.mark.parametrize("shapes", [((1, 4, 3, 2), (1, 2, 3, 2)), ((1, 3, 2), (1, 3, 2))])
def test_errors(shapes):
    for lib, module in ((jaxnn, ours_module), (torch, theirs_module)):
        q, k = (lib.zeros(s) for s in shapes)
        with pytest.raises((ValueError, NotImplementedError), match="heads|4D"):
            module.flex_attention(q, k, k)

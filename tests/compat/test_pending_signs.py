"""Conjugates and negatives that are views are saved as PyTorch saves them: what the storage holds, and a flag."""

import io

import numpy as np
import pytest
import torch

import jaxnn

VIEWS = {
    "plain": lambda z: z,
    "conjugate": lambda z: z.conj(),
    "twice": lambda z: z.conj().conj(),
    "part of a conjugate": lambda z: z.conj().t()[1:],
    "conjugate of a part": lambda z: z[:, ::2].conj(),
    "adjoint": lambda z: z.mH,
    "imaginary part of a conjugate": lambda z: z.conj().imag,
    "real part of a conjugate": lambda z: z.conj().real,
    "imaginary part": lambda z: z[1].imag,
    "resolved": lambda z: z.conj().resolve_conj(),
    "parameter": lambda z: (jaxnn if isinstance(z, jaxnn.Tensor) else torch).nn.Parameter(z.conj()),
}


def numbers(module):
    z = np.arange(6, dtype=np.float32).reshape(2, 3) + 1j * np.arange(6, 0, -1, dtype=np.float32).reshape(2, 3)
    return module.tensor(z.astype(np.complex64))


def written(module, view):
    file = io.BytesIO()
    module.save({"x": VIEWS[view](numbers(module))}, file)
    file.seek(0)
    return file


def described(t):
    t = t.detach()
    values = np.asarray(t.resolve_conj().resolve_neg().tolist())
    return str(t.dtype), tuple(t.shape), tuple(t.stride()), t.storage_offset(), t.is_conj(), t.is_neg(), values.tolist()


@pytest.mark.parametrize("view", VIEWS)
def test_pytorch_reads_what_was_shown(view):
    found = torch.load(written(jaxnn, view), weights_only=True)["x"]
    assert described(found) == described(VIEWS[view](numbers(torch)))


@pytest.mark.parametrize("view", VIEWS)
def test_values_come_back(view):
    expected = described(VIEWS[view](numbers(torch)))
    for module in (jaxnn, torch):
        found = described(jaxnn.load(written(module, view))["x"])
        assert (found[0], found[1], found[-1]) == (expected[0], expected[1], expected[-1])


def test_the_memory_stays_shared():
    z, file = numbers(jaxnn), io.BytesIO()
    jaxnn.save([z, z.conj()], file)
    file.seek(0)
    plain, conjugate = torch.load(file, weights_only=True)
    plain[0, 0] = 7 + 8j
    assert conjugate[0, 0].item() == 7 - 8j

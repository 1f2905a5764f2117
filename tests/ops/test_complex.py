"""Complex tensors: their parts as views, conjugates, and functions of them."""

import numpy as np
import pytest

from tests.ops.agreement import agree

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 2))
Z = (rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3))).astype(np.complex64)


def write(make):
    """What is left in a tensor after a view of it has been written to."""

    def f(torch, z):
        z = z.detach().clone()
        make(torch, z)
        return z

    return f


def set_parts(torch, z):
    z.real = 5
    z[0].imag = z[1].real


CASES = {
    "real": (lambda torch, z: z.real, Z),
    "imag": (lambda torch, z: torch.imag(z), Z),
    "real of real": (lambda torch, x: (x.real is x, torch.real(x) is x, x.conj() is x, x.is_conj()), X),
    "imag of real": (lambda torch, x: x.imag, X),
    "as real": (lambda torch, z: torch.view_as_real(z), Z),
    "as complex": (lambda torch, x: torch.view_as_complex(x), X),
    "both": (lambda torch, z: torch.view_as_complex(torch.view_as_real(z) * 2).abs(), Z),
    "as real of real": (lambda torch, x: torch.view_as_real(x), X),
    "as complex size": (lambda torch, z: torch.view_as_complex(z.real), Z),
    "as complex strides": (lambda torch, x: torch.view_as_complex(x[:2].t()), X),
    "as complex scalar": (lambda torch, x: torch.view_as_complex(x[0, 0]), X),
    "as complex integer": (lambda torch, x: torch.view_as_complex(x.int()), X),
    "conj": (lambda torch, z: z.conj(), Z),
    "conj of conj": (lambda torch, z: z.conj().conj(), Z),
    "conj imag": (lambda torch, z: z.conj().imag, Z),
    "conj as real": (lambda torch, z: torch.view_as_real(z.conj()), Z),
    "conj product": (lambda torch, z: z.conj() * z @ z.mH, Z),
    "resolve conj": (lambda torch, z: z.conj().resolve_conj(), Z),
    "resolve": (lambda torch, z: (z.resolve_conj() is z, z.real.resolve_neg().is_neg()), Z),
    "conj_physical": (lambda torch, z: torch.conj_physical(z), Z),
    "flags": (
        lambda torch, z: [
            t.is_conj() for t in (z, z.conj(), z.conj().conj(), z.conj()[0], z.conj() + 1, z.conj().clone(), z.mH, z.conj().T)
        ] + [z.conj().imag.is_neg(), z.conj().real.is_neg(), z.imag.is_neg(), torch.is_conj(z)],
        Z,
    ),
    "strides": (
        lambda torch, z: [
            (t.stride(), t.storage_offset()) for t in (z.real, z.imag, z[1].imag, torch.view_as_real(z), z.conj().T)
        ], Z,
    ),
    "write real": (write(lambda torch, z: z.real.fill_(7)), Z),
    "write imag": (write(lambda torch, z: z.imag.mul_(3)), Z),
    "write row": (write(lambda torch, z: z[1].imag.copy_(z[0].real)), Z),
    "write as real": (write(lambda torch, z: torch.view_as_real(z)[..., 1].zero_()), Z),
    "write as complex": (write(lambda torch, x: torch.view_as_complex(x).mul_(1j)), X),
    "write conj": (write(lambda torch, z: z.conj().mul_(2j)), Z),
    "set parts": (write(set_parts), Z),
    "gradient through a write": (lambda torch, z: (lambda c: (c.real.mul_(z.imag), c)[1])(z * 2), Z),
    "complex": (lambda torch, x: torch.complex(x, x[:, :1]), X),
    "complex types": (lambda torch, x: torch.complex(x, x.float()), X),
    "polar": (lambda torch, x: torch.polar(x, x[:1]), X),
    "abs": (lambda torch, z: z.abs(), Z),
    "angle": (lambda torch, z: z.angle(), Z),
    "angle of real": (lambda torch, x: torch.angle(x), X),
    "sgn": (lambda torch, z: torch.sgn(z), Z),
    "sgn 0": (lambda torch, z: torch.sgn(z * 0), Z),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_agrees(name):
    # A conjugate prints through other names in PyTorch; writes are named after the last view.
    agree(*CASES[name], rtol=5e-6, text=False, names="write" not in name)

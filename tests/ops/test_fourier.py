"""torch.fft, the short-time transform and windows: values, gradients, names, errors."""

import numpy as np
import pytest

import jaxnn
from tests.ops.agreement import agree
from tests.parity import parity

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 4, 5))
Z = X + 1j * rng.standard_normal((3, 4, 5))
S = rng.standard_normal((2, 40))
NAMES = [n + k for n in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft") for k in ("", "2", "n")]


@pytest.mark.parametrize("name", NAMES)
def test_transforms(name):
    x = X if name.startswith(("rfft", "ihfft")) else Z

    def every(torch, x):
        f = getattr(torch.fft, name)
        made = [
            f(x),
            f(x, norm="ortho"),
            f(x.detach().float() if x.dtype == torch.float64 else x.detach(), norm="forward"),
        ]
        if name[-1] == "t":
            return [*made, f(x, 7, 1), f(x, 3, 0, "forward")]
        return [*made, f(x, (2, 6)), f(x, (4, -1), (0, 2), "backward")]

    parity(every, x, rtol=1e-6, atol=1e-6, text=False, names=name[-1] == "t" and name != "ihfft")


CASES = {
    "real fft": (lambda torch, x: torch.fft.fft(x), X),
    "integer": (lambda torch, x: torch.fft.fft((x * 5).long()), X),
    "float": (lambda torch, x: torch.fft.rfftn(x.detach().float()), X),
    "odd": (lambda torch, x: torch.fft.irfft(torch.fft.rfft(x), 5), X),
    "no dims": (lambda torch, x: torch.fft.fftn(x, dim=()), Z),
    "shift": (lambda torch, x: [torch.fft.fftshift(x), torch.fft.ifftshift(x, 1)], X),
    "frequencies": (lambda torch: [torch.fft.fftfreq(n, 0.5) for n in (1, 4, 5)] + [torch.fft.rfftfreq(6, 2.0)],),
    "norm": (lambda torch, x: torch.fft.fft(x, norm="q"), X),
    "points": (lambda torch, x: torch.fft.fft(x, 0), X),
    "scalar": (lambda torch, x: torch.fft.fft(x[0, 0, 0]), X),
    "half": (lambda torch, x: torch.fft.fft(x.half()), X),
    "complex rfft": (lambda torch, x: torch.fft.rfft(x), Z),
    "complex ihfft": (lambda torch, x: torch.fft.ihfftn(x), Z),
    "dim twice": (lambda torch, x: torch.fft.fftn(x, dim=(0, 0)), X),
    "dim": (lambda torch, x: torch.fft.fft(x, dim=3), X),
    "lengths": (lambda torch, x: torch.fft.fftn(x, (2, 3), (0,)), X),
    "many sizes": (lambda torch, x: torch.fft.fftn(x, (1, 2, 3, 4)), X),
    "no axis": (lambda torch, x: torch.fft.rfftn(x, dim=()), X),
    "short irfft": (lambda torch, x: torch.fft.irfft(x[..., :1]), X),
    "freq type": (lambda torch: torch.fft.fftfreq(4, dtype=torch.int64),),
    "stft": (lambda torch, s: torch.stft(s, 8, return_complex=True), S),
    "stft real": (lambda torch, s: torch.stft(s, 8, 3, return_complex=False), S),
    "stft window": (
        lambda torch, s: s.stft(8, 3, 6, torch.hann_window(6, dtype=torch.float64), False, return_complex=True), S,
    ),
    "stft complex": (lambda torch, s: torch.stft(torch.complex(s, s), 8, normalized=True), S),
    "stft full": (lambda torch, s: torch.stft(s[0], 9, onesided=False, pad_mode="constant", return_complex=True), S),
    "stft no choice": (lambda torch, s: torch.stft(s, 8), S),
    "stft onesided": (lambda torch, s: torch.stft(torch.complex(s, s), 8, onesided=True), S),
    "istft": (lambda torch, s: torch.istft(torch.stft(s, 8, return_complex=True), 8), S),
    "istft length": (
        lambda torch, s: torch.istft(torch.stft(s, 8, 3, 6, return_complex=True), 8, 3, 6, length=30, normalized=True), S,
    ),
    "istft window": (
        lambda torch, s: torch.istft(
            torch.stft(s, 8, 2, window=torch.hann_window(8, dtype=torch.float64), return_complex=True), 8, 2,
            window=torch.hann_window(8, dtype=torch.float64),
        ), S,
    ),
    "istft complex": (
        lambda torch, s: torch.istft(torch.stft(torch.complex(s, s), 8, center=False), 8, center=False, return_complex=True),
        S,
    ),
    "istft real": (lambda torch, s: torch.istft(s, 8), S),
    "windows": (
        lambda torch: [
            f(n, p, dtype=torch.float64)
            for f in (torch.hann_window, torch.hamming_window, torch.blackman_window, torch.bartlett_window, torch.kaiser_window)
            for n in (0, 1, 2, 5, 8) for p in (True, False)
        ],
    ),
    "window options": (
        lambda torch: [torch.hamming_window(5, True, 0.5, 0.4), torch.kaiser_window(5, False, 3.5), torch.hann_window(3)],
    ),
    "window size": (lambda torch: torch.hann_window(-1),),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_agrees(name):
    exact = name.startswith("window") or name == "frequencies"
    tolerance = 1e-7 if exact else 1e-6 if name in ("float", "integer") else 1e-12
    names = not (exact or "stft" in name or name in ("shift", "odd", "no dims"))
    agree(*CASES[name], rtol=tolerance, atol=tolerance, text=False, names=names)


REFUSED = {
    "rank": lambda torch, s: torch.stft(s[None], 8, return_complex=True),
    "hop": lambda torch, s: torch.stft(s, 8, 0, return_complex=True),
    "window size": lambda torch, s: torch.stft(s, 8, 2, 6, torch.ones(5), return_complex=True),
    "win_length": lambda torch, s: torch.stft(s, 8, 2, 9, return_complex=True),
    "frame": lambda torch, s: torch.stft(s, 80, center=False, return_complex=True),
    "gap": lambda torch, s: torch.istft(
        torch.stft(s, 8, return_complex=True), 8, center=False, window=torch.hann_window(8)
    ),
    "frequencies": lambda torch, s: torch.istft(torch.stft(s, 8, return_complex=True), 8, onesided=False),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    """PyTorch's messages begin with the whole call in its own notation: the end is compared where it has words."""
    import torch

    for module in (torch, jaxnn):
        with pytest.raises(RuntimeError, match="expected|window overlap add min"):
            REFUSED[name](module, module.from_numpy(S.copy()).float())

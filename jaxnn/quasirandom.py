"""Sobol' points, PyTorch's bit for bit: even coverage of the unit cube.

The direction numbers are those of S. Joe and F. Y. Kuo (2008), which SciPy holds; the scrambling is a random lower triangular
matrix and a shift, both modulo 2 (J. Matousek, 1998).

Source: https://docs.pytorch.org/docs/stable/generated/torch.quasirandom.SobolEngine.html
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from jaxnn.ops.creation.from_data import tensor
from jaxnn.ops.random.draws import randint

from .core.kinds.dtypes import get_default_dtype
from .core.process.late import imported as _imported
from .core.random.generator import Generator, default_generator

__all__ = ["SobolEngine"]


class SobolEngine:
    """A stream of (scrambled) Sobol' points.

    Args:
        dimension: of the points, 1 to 21,201.
        scramble: whether the sequence is scrambled at random.
        seed: of the scrambling; None takes it from `manual_seed`'s stream.

    Raises:
        ValueError: for another dimension.
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if dimension > self.MAXDIM or dimension < 1:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.seed, self.scramble, self.dimension = seed, scramble, dimension
        qmc = import_module("scipy.stats.qmc")  # takes half a second, which few programs need
        self._directions = np.asarray(qmc.Sobol(dimension, scramble=False, bits=self.MAXBIT)._sv).astype(np.int64)
        self._shift = np.zeros(dimension, np.int64)
        if scramble:
            self._scramble()
        self._at, self.num_generated = self._shift.copy(), 0

    def _scramble(self) -> None:
        generator = default_generator if self.seed is None else Generator().manual_seed(self.seed)
        bits = self.MAXBIT
        shift = randint(2, (self.dimension, bits), generator=generator).numpy()
        self._shift = (shift << np.arange(bits)).sum(axis=1)
        matrix = np.tril(randint(2, (self.dimension, bits, bits), generator=generator).numpy())
        matrix[:, np.arange(bits), np.arange(bits)] = 1
        down = np.arange(bits - 1, -1, -1)
        columns = (self._directions[:, :, None] >> down) & 1
        self._directions = ((np.einsum("dij,dcj->dci", matrix, columns) & 1) << down).sum(axis=2)

    @property
    def sobolstate(self) -> Any:
        """The direction numbers, (dimension, 30)."""
        return tensor(self._directions)

    @property
    def shift(self) -> Any:
        """What the scrambling adds modulo 2, (dimension,)."""
        return tensor(self._shift)

    @property
    def quasi(self) -> Any:
        """The last point as integers, (dimension,)."""
        return tensor(self._at)

    def _points(self, n: int) -> np.ndarray:
        """The next ``n`` points behind the first of all, as integers."""
        index = np.arange(self.num_generated - 1, self.num_generated - 1 + n)
        lowest = np.log2(~index & (index + 1)).astype(int)  # of the bits of the index that are 0: Gray code flips it
        steps = np.bitwise_xor.accumulate(self._directions[:, lowest], axis=1)
        return (self._at[:, None] ^ steps).T

    def draw(self, n: int = 1, out: Any = None, dtype: Any = None) -> Any:
        """The next ``n`` points.

        Args:
            out: a tensor that they are written to.
            dtype: None: the default type.

        Returns: (n, dimension).
        """
        dtype = get_default_dtype() if dtype is None else dtype
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}, {self.dimension}]")
        rows = [self._at[None]] if self.num_generated == 0 and n else []
        rest = n - len(rows)
        self.num_generated += len(rows)
        if rest:
            made = self._points(rest)
            self._at = made[-1].copy()
            self.num_generated += rest
            rows.append(made)
        whole = np.concatenate(rows) if rows else np.zeros((0, self.dimension), np.int64)
        points = tensor(whole.astype(np.float64) * 2.0**-self.MAXBIT, dtype=dtype)
        return points if out is None else out.resize_(points.shape).copy_(points)

    def draw_base2(self, m: int, out: Any = None, dtype: Any = None) -> Any:
        """The next ``2**m`` points.

        Raises:
            ValueError: those drawn before and these together are no power of 2.
        """
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(
                "The balance properties of Sobol' points require n to be a power of 2. "
                f"{self.num_generated} points have been previously generated, then: n={self.num_generated}+2**{m}={total}. "
                "If you still want to do this, please use 'SobolEngine.draw()' instead."
            )
        return self.draw(n=n, out=out, dtype=dtype)

    def reset(self) -> SobolEngine:
        """Back to the first point."""
        self._at, self.num_generated = self._shift.copy(), 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Go on by ``n`` points without drawing them."""
        first = self.num_generated == 0 and n > 0
        self.num_generated += first
        if n - first:
            self._at = self._points(n - first)[-1].copy()
            self.num_generated += n - first
        return self

    def __repr__(self) -> str:
        parts = [f"dimension={self.dimension}"]
        parts += ["scramble=True"] if self.scramble else []
        parts += [f"seed={self.seed}"] if self.seed is not None else []
        return f"{type(self).__name__}({', '.join(parts)})"

_imported(__name__)

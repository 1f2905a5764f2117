"""Linear maps along one axis in which every element of the result reads a few places of the input, known beforehand.

Resampling, sliding blocks and their gradients are such maps: a table of places and one of weights. The transpose of a
map is a map of the same kind, so gradients of every order gather as the forward pass does and never scatter.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.interpreters import ad

from jaxnn.ops.common.primitives import make_primitive, on_a_mesh

#: Maps that read more places than this for an element are products with a matrix.
MAX_TAPS = 16


class Taps:
    """A map from `size` elements to `len(places)`: the sum of `weights * x[places]`; a place of -1 reads nothing.

    Compared by identity: make one through a cached function, or every call compiles anew.
    """

    def __init__(self, size: int, places: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.size = size
        self.places = places.astype(np.int32)
        #: None where all are 1.
        self.weights = None if weights is None or (weights == 1).all() else weights

    @functools.cached_property
    def transposed(self) -> Taps:
        """The transposed map."""
        rows, column = np.nonzero(self.places >= 0)
        place = self.places[rows, column]
        weights = np.ones(len(rows)) if self.weights is None else self.weights[rows, column]
        order = np.lexsort((rows, place))
        rows, place, weights = rows[order], place[order], weights[order]
        counts = np.bincount(place, minlength=self.size)
        column = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (self.size, int(counts.max(initial=0)))
        places, table = np.full(shape, -1), np.zeros(shape, weights.dtype)
        places[place, column], table[place, column] = rows, weights
        made = Taps(len(self.places), places, None if self.weights is None else table)
        made.__dict__["transposed"] = self
        return made

    @functools.cached_property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        n = self.size
        return self.weights is None and self.places.shape == (n, 1) and bool((self.places[:, 0] == np.arange(n)).all())

    def matrix(self) -> np.ndarray:
        """The map as a matrix, (results, inputs)."""
        rows, column = np.nonzero(self.places >= 0)
        weights = np.ones(len(rows)) if self.weights is None else self.weights[rows, column]
        full = np.zeros((len(self.places), self.size), weights.dtype)
        np.add.at(full, (rows, self.places[rows, column]), weights)
        return full


def _plain(x: Array, *, taps: Taps, axis: int) -> Array:
    """`axis` counts from the end, so that leading dimensions may be added."""
    if taps.places.shape[1] > MAX_TAPS and jnp.issubdtype(x.dtype, jnp.inexact):
        moved = jnp.moveaxis(x, axis, -1) @ jnp.asarray(taps.matrix().T, x.dtype)
        return jnp.moveaxis(moved, -1, axis)
    if taps.is_identity:
        return x
    column = (-1, *(1,) * (-axis - 1))
    total: Any = None
    for k in range(taps.places.shape[1]):
        places = taps.places[:, k]
        part = jnp.take(x, jnp.asarray(np.maximum(places, 0)), axis=axis)
        if taps.weights is not None:
            part = part * jnp.asarray(taps.weights[:, k].reshape(column), x.dtype)
        if (places < 0).any():
            part = jnp.where(jnp.asarray((places >= 0).reshape(column)), part, jnp.zeros((), x.dtype))
        total = part if total is None else total | part if x.dtype == jnp.bool_ else total + part
    if total is None:
        shape = list(x.shape)
        shape[axis] = len(taps.places)
        return jnp.zeros(shape, x.dtype)
    return total


taps_p = make_primitive("weighted_taps", _plain)
ad.deflinear2(taps_p, lambda g, x, *, taps, axis: [taps_p.bind(g, taps=taps.transposed, axis=axis)])


def apply_taps(x: Array, taps: Taps, axis: int) -> Array:
    """The map along an axis of x."""
    axis = axis - x.ndim if axis >= 0 else axis
    if on_a_mesh(x):
        return _plain(x, taps=taps, axis=axis)
    return taps_p.bind(x, taps=taps, axis=axis)

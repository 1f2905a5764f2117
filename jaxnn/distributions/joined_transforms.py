"""Several maps side by side along a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jaxnn as torch

from . import constraints
from .base_transforms import Transform
from .utils import sum_rightmost

__all__ = ["CatTransform", "StackTransform"]


class _Joined(Transform):
    transforms: list[Transform]
    dim: int

    def _take(self, tseq: Sequence[Transform], dim: int, cache_size: int) -> None:
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size=cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim

    def _need(self, name: str, value: Any, wanted: int, what: str) -> None:
        if not -value.dim() <= self.dim < value.dim():
            raise AssertionError(f"dim {self.dim} out of range for {name} with {value.dim()} dimensions")
        if value.size(self.dim) != wanted:
            raise AssertionError(f"{name}.size({self.dim}) = {value.size(self.dim)} must equal {what} {wanted}")

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)


class CatTransform(_Joined):
    """Pieces of a tensor along ``dim``, each mapped by its own transform, as `jaxnn.cat` joins them.

    Args:
        tseq: the transforms.
        dim: the dimension.
        lengths: the sizes of the pieces; 1 each by default.
    """

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0
    ) -> None:
        self._take(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})")

    @property
    def event_dim(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """The size along the dimension."""
        return sum(self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _call(self, x: Any) -> Any:
        self._need("x", x, self.length, "length")
        pieces = torch.split(x, self.lengths, self.dim)
        return torch.cat([t(piece) for t, piece in zip(self.transforms, pieces, strict=True)], dim=self.dim)

    def _inverse(self, y: Any) -> Any:
        self._need("y", y, self.length, "length")
        pieces = torch.split(y, self.lengths, self.dim)
        return torch.cat([t.inv(piece) for t, piece in zip(self.transforms, pieces, strict=True)], dim=self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        self._need("x", x, self.length, "length")
        self._need("y", y, self.length, "length")
        terms = []
        before, after = (torch.split(v, self.lengths, self.dim) for v in (x, y))
        for t, piece, mapped in zip(self.transforms, before, after, strict=True):
            term = t.log_abs_det_jacobian(piece, mapped)
            terms.append(sum_rightmost(term, self.event_dim - t.event_dim) if t.event_dim < self.event_dim else term)
        dim = self.dim - x.dim() if self.dim >= 0 else self.dim
        dim += self.event_dim
        return torch.cat(terms, dim=dim) if dim < 0 else sum(terms)

    @constraints.dependent_property
    def domain(self) -> Any:
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @constraints.dependent_property
    def codomain(self) -> Any:
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)


class StackTransform(_Joined):
    """Slices of a tensor along ``dim``, each mapped by its own transform, as `jaxnn.stack` joins them.

    Args:
        tseq: the transforms.
        dim: the dimension.
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        self._take(tseq, dim, cache_size)

    def with_cache(self, cache_size: int = 1) -> Any:
        return self if self._cache_size == cache_size else StackTransform(self.transforms, self.dim, cache_size)

    def _slice(self, z: Any) -> list[Any]:
        return [z.select(self.dim, i) for i in range(z.size(self.dim))]

    def _call(self, x: Any) -> Any:
        self._need("x", x, len(self.transforms), "len(transforms)")
        return torch.stack([t(v) for t, v in zip(self.transforms, self._slice(x), strict=True)], dim=self.dim)

    def _inverse(self, y: Any) -> Any:
        self._need("y", y, len(self.transforms), "len(transforms)")
        return torch.stack([t.inv(v) for t, v in zip(self.transforms, self._slice(y), strict=True)], dim=self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        self._need("x", x, len(self.transforms), "len(transforms)")
        self._need("y", y, len(self.transforms), "len(transforms)")
        slices = zip(self.transforms, self._slice(x), self._slice(y), strict=True)
        return torch.stack([t.log_abs_det_jacobian(v, mapped) for t, v, mapped in slices], dim=self.dim)

    @constraints.dependent_property
    def domain(self) -> Any:
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @constraints.dependent_property
    def codomain(self) -> Any:
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

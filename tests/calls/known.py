"""Calls that differ and stay: which, and why. What users meet of them stands in docs/differences.md."""

from __future__ import annotations

from .running import Outcome

#: Results that are not determined: memory that nobody has written, vectors up to a sign.
_UNDETERMINED = set(
    """
    empty empty_like new_empty svd svdvals eig eigh qr pca_lowrank svd_lowrank lobpcg ormqr resize_ resize_as_ resize
    """.split()
)


def values_compare(name: str) -> bool:
    """Whether a function's values are determined by its arguments."""
    return name.rpartition(".")[2] not in _UNDETERMINED


def known(name: str, call: str, kind: str, ours: Outcome, theirs: Outcome) -> str:
    """Why a difference stays, or nothing."""
    return ""

"""Calls that differ and stay: which, and why. What users meet of them stands in docs/differences.md."""

from __future__ import annotations

import re

from .drawing import Call
from .running import Outcome
from .signatures import Function

#: Results that are not determined: memory that nobody has written, vectors up to a sign, and what has another stream.
_UNDETERMINED = set(
    """
    empty empty_like new_empty svd svdvals eig eigh qr pca_lowrank svd_lowrank lobpcg ormqr resize_ resize_as_ geqrf
    """.split()
)
#: What a Python function of PyTorch's stumbles over when an argument is of a type that it does not look at.
_ACCIDENTS = ("AttributeError", "AssertionError", "UnboundLocalError", "ZeroDivisionError", "KeyError")
#: Functions, a kind of difference, what PyTorch says or gives, and the reason.
_LISTED: tuple[tuple[str, str, str, str], ...] = ()


def values_compare(name: str) -> bool:
    """Whether a function's values are determined by its arguments."""
    return name.rpartition(".")[2] not in _UNDETERMINED


def known(function: Function, call: Call, kind: str, ours: Outcome, theirs: Outcome) -> str:
    """Why a difference stays, or nothing."""
    if kind == "exception":
        if call.replaced > 1:
            return "wrong in several ways: another of them is named"
        if theirs.raised in _ACCIDENTS or (theirs.raised in ("ValueError", "RuntimeError") and ours.raised == "TypeError"):
            return "a type that PyTorch's Python code does not look at: TypeError here"
        if {ours.raised, theirs.raised} == {"NotImplementedError", "RuntimeError"}:
            return "a type without a kernel: NotImplementedError or RuntimeError"
    if kind == "accepted" and theirs.raised == "NotImplementedError" and "not implemented for" in theirs.text:
        if "omplex" not in theirs.text:
            return "a type that PyTorch's CPU kernels lack and that has a meaning"
    for names, what, text, reason in _LISTED:
        if what == kind and re.search(names, function.name) and re.search(text, str(theirs)):
            return reason
    return ""

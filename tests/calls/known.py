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
_LISTED: tuple[tuple[str, str, str, str], ...] = (
    (r"", "structure", r"_out\(", "results in out= have the names of the plain function"),
    (r"matrix_exp$", "value", r"float16", "not finite in PyTorch in half precision"),
    (r"_polynomial_\w$", "value", r"e-[14]\d|4\.5\d+e", "memory that nobody has written, for NaN in PyTorch"),
    (r"kthvalue$", "value", r"Tensor u?int\d+\[", "which of several equal elements is named"),
    (r"householder_product$", "value", r"nan", "a matrix of NaN"),
    (r"lstsq$", "value", r"int64\[\] \[1\]", "the pseudoinverse, whatever the driver: a tolerance that leaves no rank"),
    (r"mode$", "value", r"nan", "what of NaN is equal is an accident of the sort"),
    (r"cholesky_inverse$", "value", r"complex", "a factor whose diagonal is not real"),
    (r"to_sparse_cs\w$", "refused", r"", "layouts that are not here"),
    (r"cholesky_ex$", "value", r"", "NaN beside the code of a matrix without a factor"),
    (r"^(t\.)?(std|var|std_mean|var_mean)$", "value", r"inf", "a correction that is NaN"),
    (r"slogdet$", "value", r"nan", "the sign of a matrix of NaN"),
    (r"as_strided_scatter$", "value", r"", "a place that is written several times"),
    (r"pinv(erse)?$", "value", r"", "an ill-conditioned matrix"),
    (r"^t\.sparse_", "refused", r"", "batches and dense dimensions of sparse tensors, indices that are no integers"),
    (r"margin_ranking_loss$|triplet_margin_loss$", "refused", r"", "sizes and margins are looked at as in nn.functional"),
    (r"solve_triangular$|lerp_?$", "refused", r"", "operands of different types, which PyTorch lets through"),
    (r"take_along_dim$", "refused", r"\[0", "indices of another type where there are none"),
    (r"batch_norm$|matrix_norm$", "refused", r"\[0", "no elements"),
    (r"adaptive_\w+_pool\dd$|lp_pool\dd$|max_unpool\dd$", "refused", r"", "sizes given as tensors, or that leave nothing"),
    (r"conv_tbc$", "refused", r"", "negative padding"),
    (r"^(t\.)?(rsub|subtract_?|nuclear_norm|can_cast|to|gradient)$", "refused", r"", "signatures for PyTorch's own use"),
    (r"binary_cross_entropy_with_logits$", "refused", r"complex", "complex targets"),
    (r"^(t\.)?(gru|lstm|rnn_tanh|rnn_relu)(_cell)?$", "accepted", r"", "parameters of recurrent functions: fewer checks"),
    (r"", "accepted", r"^TypeError: .*(got \(|must be|expected Tensor as element|missing \d|unexpected keyword|descriptor)",
     "an argument of another type that has a meaning here"),
    (r"", "accepted", r"^RuntimeError: .*(dtype|scalar type|bool|Long|type)", "operands of types that PyTorch wants alike, or others"),
    (r"pin_memory$|is_pinned$", "accepted", r"", "there is no other memory to pin"),
    (r"(masked_scatter|put|cov|quantile|histogram|normal|range|kron|isin|to_sparse|rrelu|slice_scatter|diff|repeat_interleave|pdist)_?$",
     "accepted", r"^(Runtime|Index)Error", "values and sizes that PyTorch refuses"),
)  # fmt: skip


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

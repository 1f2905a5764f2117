"""Numbers where a tensor is usual, tensors without dimensions where a number is, and defaults of rare functions."""

from __future__ import annotations

import pytest
import torch

import jaxnn

V = "m.tensor([1.0, 2.0, 3.0])"
I = "m.tensor([1, 2, 3])"
T = "m.tensor(2.0)"

SAME = [
    *(f"m.{name}({first}, {I})" for first in (True, 2, 2.5) for name in (
        "add", "mul", "div", "floor_divide", "remainder", "pow", "float_power", "xlogy", "true_divide")),
    *(f"m.{name}({first}, {I})" for first in (True, 2) for name in ("bitwise_and", "bitwise_or", "bitwise_left_shift")),
    f"m.clamp({V}, {T}, 2)", f"m.clamp({V}, 1.5, {T})", f"m.add({V}, 2, {V})", f"{V}.sub(2, {V})",
    f"m.celu(-{V}, {T})", f"m.dist({V}, {V} + 1, {T})", f"m.norm({V}, {T})", f"m.isclose({V}, {V} + 1, {T})",
    f"m.pairwise_distance({V}, {V}, {T})", f"m.nn.functional.elu(-{V}, {T})", f"{V}.sum(m.tensor(0))",
    f"m.cumsum({V}, m.tensor(0))", f"m.topk({V}, m.tensor(2))", f"{V}.roll(m.tensor(1))", f"{V}.view(m.tensor(3), 1)",
    f"m.range({T}, 5)", f"m.isin({I}, 2.5)", f"m.isin(2.5, {I})", f"m.searchsorted({I}, 2.5)", f"m.bucketize(2.5, {I})",
    "m.searchsorted(m.tensor([False, True]), -1)", f"m.kl_div({V}, {V})", f"m.margin_ranking_loss({V}, {V} + 1, {V})",
    f"m.binary_cross_entropy_with_logits({V}, {V})", f"m.hinge_embedding_loss({V}, {V}, 2)",
    "m.cosine_embedding_loss(m.ones(2, 3), m.eye(2, 3), m.tensor([1.0, -1.0]))", "m.adaptive_max_pool1d(m.ones(1, 4), 2)",
    f"m.flip({T}, (0,))", f"m.adjoint({T})", f"m.combinations({V}, 0)", f"m.histogram({V})[0].sum()",
    f"m.linalg.vecdot({T}, {T})", f"m.nn.functional.softmin({T})", "m.arange(0, 3, out=m.zeros(3))",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", SAME)
def test_same(call):
    ours, theirs = (eval(call, {"m": m}) for m in (jaxnn, torch))
    assert str(ours) == str(theirs)
    assert str(getattr(ours, "dtype", None)) == str(getattr(theirs, "dtype", None))


ERRORS = [
    f"m.clamp({V}, {V}, 2)", f"m.maximum({I}, 2)", f"m.sub(True, {I})", f"m.lt(2, {I})", f"m.atan2({V}, 2)", f"m.rsub(2, {I})",
    f"m.stack([{V}, [1, 2, 3]])", f"{V}.sum(2.0)", f"{V}.sum('a')", f"m.cat({V}, {V})", "m.bincount([1, 2])",
    f"m.tensor_split({V}, [0.5])", f"m.normal([1.0], {V})", "m.linspace(0, 1, 2.5)", "m.arange(0, 4, 0.5, out=m.zeros(8, dtype=m.int64))",
    f"m.gradient({V}, dim=(0, 0))", f"m.isclose({V}, {V}, -1.0)", f"m.cov({V}, fweights={V})", f"m.cov({V}, aweights=-{V})",
    "m.empty_permuted((2, 3), (0, 0))", f"{V}.hsplit(0)", f"m.mean({V}, 0, dtype=m.int64)", "m.amax(m.zeros(2, 0))",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", ERRORS)
def test_errors(call):
    with pytest.raises(Exception) as theirs:
        eval(call, {"m": torch})
    with pytest.raises(type(theirs.value)):
        eval(call, {"m": jaxnn})

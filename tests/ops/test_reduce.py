"""Sums, means, extrema, norms, medians and running sums against PyTorch."""

import numpy as np
import pytest

from tests.parity import parity

rng = np.random.default_rng(1)
X = rng.standard_normal((3, 4, 2)).astype(np.float32)
M = rng.standard_normal((3, 5)).astype(np.float32)
H = M.astype(np.float16)
I = rng.integers(-5, 5, (3, 4))
U = np.array([[0, 1], [2, 200]], np.uint8)
B = np.array([[True, False, True], [False, False, False]])
T = np.array([[1, 3, 3, 2], [0, 0, 0, 0], [2, 2, 5, 5]], np.float32)  # ties
N = np.array([[1, np.nan, 3, 2], [4, 0, -1, np.nan], [np.nan, 2, 5, np.nan]], np.float32)
Z = np.array([[0, 0, 0], [1, 0, 2], [3, 4, 5]], np.float32)
W = rng.uniform(0.8, 1.2, (80, 70)).astype(np.float32)  # enough for a loop of its own
C = (M + 1j * M[::-1]).astype(np.complex64)
S = np.array(3.0, np.float32)

#: Long rows, with ties, and with NaN among them: compiled, they are searched in other ways than short ones.
LONG_ROWS = rng.integers(-30, 30, (64, 100)).astype(np.float32)
LONG_NAN = rng.standard_normal((96, 128)).astype(np.float32)
LONG_NAN[3, [50, 70]] = LONG_NAN[9, 0] = LONG_NAN[10, 127] = np.nan

#: Rows and columns of an even number of different values, and the same with one NaN in some.
R = np.array([[4.0, -1.0, 2.5, 7.0], [0.5, 3.0, -2.0, 1.5]], np.float32)
R_NAN = np.array([[4.0, np.nan, 2.5, 7.0], [0.5, 3.0, -2.0, np.nan], [9.0, -4.0, 6.0, 1.0]], np.float32)

CASES = {
    "sum": (lambda t, x: x.sum(), X),
    "sum_dim": (lambda t, x: t.sum(x, 1), X),
    "sum_dims": (lambda t, x: x.sum((0, -1), keepdim=True), X),
    "sum_list": (lambda t, x: x.sum([0, 1]), X),
    "sum_axis": (lambda t, x: t.sum(x, axis=0, keepdims=True), X),
    "sum_int": (lambda t, x: x.sum(0), I),
    "sum_bool": (lambda t, x: x.sum(), B),
    "sum_uint8": (lambda t, x: x.sum(), U),
    "sum_dtype": (lambda t, x: x.sum(dtype=t.float64), M),
    "sum_half": (lambda t, x: x.sum(1), H),
    "sum_scalar": (lambda t, x: x.sum(0), S),
    "sum_empty": (lambda t: t.zeros(0, 3).sum(0),),
    "nansum": (lambda t, x: x.nansum(1), N),
    "mean": (lambda t, x: x.mean(), X),
    "mean_dim": (lambda t, x: x.mean((1, 2)), X),
    "mean_dtype": (lambda t, x: t.mean(x, dtype=t.float32), I),
    "mean_half": (lambda t, x: x.mean(0), H),
    "nanmean": (lambda t, x: x.nanmean(0), N),
    "mean_empty": (lambda t: t.zeros(0).mean(),),
    "prod": (lambda t, x: x.prod(), M),
    "prod_dim": (lambda t, x: x.prod(1), Z),
    "prod_int": (lambda t, x: x.prod(0), I),
    "prod_zero": (lambda t, x: x[1].prod(), Z),
    "max": (lambda t, x: x.max(), T),
    "max_dim": (lambda t, x: x.max(1), T),
    "max_keepdim": (lambda t, x: t.max(x, dim=0, keepdim=True), X),
    "max_pair": (lambda t, x, y: t.max(x, y), T, T[::-1].copy()),
    "max_nan": (lambda t, x: (x.max(1)[1], x.max(), x.argmax(1)), N),
    "max_int": (lambda t, x: x.max(-1), I),
    "max_bool": (lambda t, x: (x.max(), x.max(1)), B),
    "max_scalar": (lambda t, x: x.max(0), S),
    "min": (lambda t, x: x.min(), T),
    "min_dim": (lambda t, x: x.min(1), T),
    "amax": (lambda t, x: x.amax(1), T),
    "amax_all": (lambda t, x: x.amax(), T),
    "amin": (lambda t, x: t.amin(x, (0, 1), True), T),
    "aminmax": (lambda t, x: t.aminmax(x, dim=1), T),
    "argmax": (lambda t, x: (x.argmax(), x.argmax(1), x.argmax(0, keepdim=True)), T),
    "argmin": (lambda t, x: (x.argmin(), t.argmin(x, dim=-1)), T),
    "argmax_keep": (lambda t, x: x.argmax(keepdim=True), I),
    "long_rows": (lambda t, x: (*x.max(1), *x.min(-1), x.argmax(1), x.argmin(1, keepdim=True)), LONG_ROWS),
    "long_rows_int": (lambda t, x: (*x.max(1), x.int().argmin(1), *(x > 20).max(1)), LONG_ROWS.astype(np.int64)),
    "long_nan": (lambda t, x: (*x.max(1), *x.min(0), x.argmax(1), x.argmin(-1)), LONG_NAN),
    "long_nan_values": (lambda t, x: (x.amax(1), x.amin(0), x.max(), x.min(), *t.aminmax(x), *t.aminmax(x, dim=1)), LONG_NAN),
    "long_nan_norms": (
        lambda t, x: (
            x.norm(np.inf), t.linalg.vector_norm(x, -np.inf, 1), t.dist(x, 2 * x, np.inf), t.linalg.matrix_norm(x.detach(), np.inf)
        ),
        LONG_NAN,
    ),
    "any": (lambda t, x: (x.any(), x.any(1), x.any((0, 1))), B),
    "all": (lambda t, x: (x.all(), x.all(0, keepdim=True)), B),
    "any_uint8": (lambda t, x: (x.any(), x.all(1)), U),
    "any_float": (lambda t, x: x.any(1), Z),
    "count_nonzero": (lambda t, x: (t.count_nonzero(x), x.count_nonzero(1)), Z),
    "var": (lambda t, x: x.var(), M),
    "var_dim": (lambda t, x: x.var(1), M),
    "var_biased": (lambda t, x: x.var(0, unbiased=False), M),
    "var_unbiased_first": (lambda t, x: t.var(x, False), M),
    "var_correction": (lambda t, x: x.var(1, correction=0, keepdim=True), M),
    "std": (lambda t, x: x.std(), M),
    "std_zero": (lambda t, x: x.std(1), Z),
    "std_half": (lambda t, x: x.std(1), H),
    "var_mean": (lambda t, x: t.var_mean(x, 1), M),
    "std_mean": (lambda t, x: t.std_mean(x, dim=0, correction=0), M),
    "var_one": (lambda t, x: x[:, :1].var(1), M),
    "var_offset": (lambda t, x: (x.double() + 1e6).var(), M),
    "norm": (lambda t, x: x.norm(), M),
    "norm_zero": (lambda t, x: x.norm(dim=1), Z),
    "norm1": (lambda t, x: t.norm(x, 1, 0), Z),
    "norm_inf": (lambda t, x: x.norm(float("inf"), 1), T),
    "norm_neg_inf": (lambda t, x: x.norm(float("-inf"), 1), T),
    "norm3": (lambda t, x: x.norm(3, 1, True), Z),
    "norm0": (lambda t, x: x.norm(0, 1), Z),
    "norm_complex": (lambda t, x: x.norm(2, 1), C),
    "norm_half": (lambda t, x: x.norm(), H),
    "dist": (lambda t, x, y: t.dist(x, y), M, M[::-1].copy()),
    "median": (lambda t, x: x.median(), M),
    "median_ties": (lambda t, x: x.median(), T),
    "median_dim": (lambda t, x: x.median(1), M),
    "median_nan": (lambda t, x: (x.median(), x.median(1)[0]), N),
    "nanmedian": (lambda t, x: (x.nanmedian(), x.nanmedian(0)), N),
    "median_even": (lambda t, x: (x.median(), x.median(1), x[:, :2].median(1)), R),
    "median_place_of_nan": (lambda t, x: (x.median(1), x.median(0), x.nanmedian(1), x.nanmedian(0)), R_NAN),
    "median_int": (lambda t, x: x.median(0)[0], I),
    "mode": (lambda t, x: x.mode(1), T),
    "mode_int": (lambda t, x: t.mode(x), I),
    "quantile": (lambda t, x: x.quantile(0.3), M),
    "quantile_dim": (lambda t, x: x.quantile(0.6, 1, keepdim=True), M),
    "quantile_scalar": (lambda t, x: x.quantile(0.5, 0, keepdim=True), S),
    "quantile_many": (lambda t, x: x.quantile(t.tensor([0.1, 0.5]), dim=0), M),
    "quantile_nan": (lambda t, x: (t.quantile(x, 0.5, 1), t.nanquantile(x, 0.5, 1)), N),
    "quantile_lower": (lambda t, x: t.quantile(x, 0.4, 1, interpolation="lower"), M),
    "quantile_mid": (lambda t, x: t.quantile(x, 0.4, 1, interpolation="midpoint"), M),
    "logsumexp": (lambda t, x: x.logsumexp(1), M),
    "logsumexp_inf": (lambda t: t.full((2, 3), float("-inf")).logsumexp(1),),
    "logsumexp_int": (lambda t, x: t.logsumexp(x, (0, 1)), I),
    "cumsum": (lambda t, x: x.cumsum(1), M),
    "cumsum_half": (lambda t, x: (x.cumsum(1), x.cumprod(1)), H),
    "cumsum_int": (lambda t, x: x.cumsum(0), B),
    "cumprod": (lambda t, x: x.cumprod(1), Z),
    "cumsum_dtype": (lambda t, x: t.cumsum(x, dim=0, dtype=t.float64), I),
    "cumulative_of_many": (lambda t, x: [f(d) for f in (x.cumsum, x.cumprod, x.double().cumsum, x.int().cumsum) for d in (0, -1)], W),
    "cummax": (lambda t, x: x.cummax(1), T),
    "cummin": (lambda t, x: t.cummin(x, 0), T),
    "cummax_nan": (lambda t, x: x.cummax(1), N),
    "logcumsumexp": (lambda t, x: x.logcumsumexp(1), M),
    "chained": (lambda t, x: ((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)).abs().max(), M),
    "out": (lambda t, x: t.sum(x, 0, out=t.empty(4).long()), I),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    f, *inputs = CASES[name]
    parity(
        f,
        *inputs,
        grad=name not in ("max_nan", "median_nan", "median_place_of_nan", "norm0"),
        names=not name.startswith(
            ("quantile", "nanmean", "max_nan", "median_nan", "nanmedian", "norm_complex", "any", "mean_half")
        ),
    )


ERRORS = {
    "range": (lambda t, x: x.sum(5), "Dimension out of range (expected to be in range of [-2, 1], but got 5)"),
    "twice": (lambda t, x: x.sum((0, -2)), "dim 0 appears multiple times in the list of dims"),
    "scalar": (lambda t, x: x.sum().mean(1), "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
    "mean": (
        lambda t, x: x.long().mean(),
        "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: Long",
    ),
    "std": (lambda t, x: x.long().std(), "std and var only support floating point and complex dtypes"),
    "max": (lambda t, x: t.zeros(0).max(), "max(): Expected reduction dim to be specified for input.numel() == 0."),
    "max_dim": (lambda t, x: t.zeros(0, 3).max(0), "max(): Expected reduction dim 0 to have non-zero size."),
    "argmax": (
        lambda t, x: t.zeros(0).argmax(),
        "argmax(): Expected reduction dim to be specified for input.numel() == 0.",
    ),
    "norm": (
        lambda t, x: x.long().norm(),
        "linalg.vector_norm: Expected a floating point or complex tensor as input. Got Long",
    ),
    "quantile": (lambda t, x: x.quantile(1.5), "q must be in the range [0, 1] but got 1.5"),
    "argmax_range": (
        lambda t, x: x.argmax(3),
        "Dimension out of range (expected to be in range of [-2, 1], but got 3)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, message = ERRORS[name]
    parity(f, M, message=message)

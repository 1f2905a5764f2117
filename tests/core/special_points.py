"""Operators at the points where a derivative's formula needs a guard: zeros of both signs, ties, infinities, NaN, ends of domains.

A case is a function of a library and its tensors. Many points stand in one array, so that a case is one program.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

inf, nan = np.inf, np.nan
#: Along a line: zeros, ends of domains, kinks of activations and losses, what is too small or too large, no number.
#: Each many times: PyTorch's vectorised code, not that for the last elements of an array, which differs at NaN.
POINTS = np.repeat(
    [0.0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 6, -6, 20, -20, 1e-30, -1e-30, 1e30, inf, -inf, nan], 16
)  # fmt: skip
FEW = np.array([0.0, -0.0, 1, -1, 0.5, 2, -3, inf, -inf, nan])
FEWER = np.array([0.0, -0.0, 1, -1, 2, inf, nan])
#: Rows to reduce: zeros, ties, one and several of what is no finite number.
ROWS = np.array([
    [0, 0, 0, 0], [0, -0.0, 0, -0.0], [1, 1, 1, 1], [1, 2, 2, 1], [-1, -1, 2, 0], [0, 1, 2, 3], [0, 0, 2, 3], [3, -3, 3, -3],
    [nan, 1, 2, 3], [1, nan, nan, 2], [nan, nan, nan, nan], [inf, 1, 2, 3], [-inf, 1, 2, 3], [inf, inf, 1, 1],
    [-inf, -inf, 1, 1], [inf, -inf, 0, 1], [inf, inf, inf, inf], [-inf, -inf, -inf, -inf], [inf, nan, 0, 1], [1e-10, 0, 1e-10, 0],
    [0.3, -1.2, 0.7, 2.1], [1000, inf, 1, 2], [1e-25, 2e-25, 4e-25, 0],
])  # fmt: skip
#: Complex points: zero with all signs, the axes, both sides of branch cuts.
COMPLEX = np.array([
    complex(0, 0), complex(-0.0, 0), complex(0, -0.0), 1, -1, 1j, -1j, 1 + 1j, -2 - 0.5j, 0.5, 2, -2, complex(2, -0.0),
    complex(-2, -0.0), complex(0, 2), complex(-0.0, 2), complex(-0.0, -2), -0.5 + 1j, -1 - 3j,
])  # fmt: skip

Case = Callable[..., Any]


def grid(points: np.ndarray, count: int) -> list[np.ndarray]:
    """Every combination of points, one array an operand."""
    return [np.repeat(column, 16) for column in zip(*itertools.product(points, repeat=count), strict=True)]


def _named(names: str, where: str = "") -> dict[str, Case]:
    def case(name: str) -> Case:
        def run(lib: Any, *tensors: Any) -> Any:
            f = lib
            for part in f"{where}{name}".split("."):
                f = getattr(f, part)
            return f(*tensors)

        return run

    return {where + name: case(name) for name in names.split()}


UNARY: dict[str, Case] = {
    **_named("""
        abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad erf erfc erfinv exp exp2 expm1 floor frac lgamma digamma log
        log10 log1p log2 logit nan_to_num neg positive rad2deg reciprocal relu round rsqrt sigmoid sign sin sinc sinh sqrt square
        tan tanh trunc i0 angle
    """),
    **_named("entr erfcx i0e i1 i1e ndtr ndtri", "special."),
    "log_ndtr": lambda lib, x: lib.special.log_ndtr(x.clamp(min=-1e3)),
    **_named("""
        celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu relu6 selu silu softplus
        softshrink softsign tanhshrink
    """, "nn.functional."),
    "gelu tanh": lambda lib, x: lib.nn.functional.gelu(x, approximate="tanh"),
    "threshold": lambda lib, x: lib.nn.functional.threshold(x, 1.0, 2.0),
    "elu alpha": lambda lib, x: lib.nn.functional.elu(x, 0.5),
    "celu alpha": lambda lib, x: lib.nn.functional.celu(x, 0.5),
    "softplus beta": lambda lib, x: lib.nn.functional.softplus(x, 2.0, 6.0),
    "hardshrink 0": lambda lib, x: lib.nn.functional.hardshrink(x, 0.0),
    "softshrink 0": lambda lib, x: lib.nn.functional.softshrink(x, 0.0),
    "leaky_relu -": lambda lib, x: lib.nn.functional.leaky_relu(x, -0.5),
    "hardtanh 0 1": lambda lib, x: lib.nn.functional.hardtanh(x, 0.0, 1.0),
    "clamp": lambda lib, x: lib.clamp(x, -1, 1),
    "clamp min": lambda lib, x: lib.clamp(x, min=0),
    "clamp max": lambda lib, x: lib.clamp(x, max=1),
    "clamp nan": lambda lib, x: lib.clamp(x, nan, nan),
    "clamp crossed": lambda lib, x: lib.clamp(x, 1, -1),
    "logit eps": lambda lib, x: lib.logit(x, 0.1),
    "polygamma 1": lambda lib, x: lib.polygamma(1, x),
    "mvlgamma": lambda lib, x: lib.mvlgamma(x.abs() + 3, 2),
    **{f"pow {p}": (lambda lib, x, p=p: x**p) for p in (0, 1, 2, 3, -1, -2, 0.0, 0.5, -0.5, 1.0, 1.5, 2.0, -1.0, inf, -inf, nan)},
    **{f"rpow {b}": (lambda lib, x, b=b: b**x) for b in (0, 1, 2, -2, 0.0, 0.5, inf)},
    "float_power 0": lambda lib, x: lib.float_power(x, 0),
    "float_power 2": lambda lib, x: lib.float_power(x, 2),
    "pow_ 0": lambda lib, x: (x * 1).pow_(0),
    "pow_ 0.5": lambda lib, x: (x * 1).pow_(0.5),
    "div 0": lambda lib, x: x / 0,
    "rdiv": lambda lib, x: 1 / x,
    "rdiv 0": lambda lib, x: 0 / x,
    "remainder 2": lambda lib, x: x % 2,
    "fmod 2": lambda lib, x: lib.fmod(x, 2),
    "floor_divide": lambda lib, x: lib.div(x, 2, rounding_mode="floor"),
    "x*x": lambda lib, x: x * x,
    "x/x": lambda lib, x: x[:224] / x[:224],
    "x-x": lambda lib, x: x - x,
    "x**x": lambda lib, x: x**x,
    "atan2 x x": lambda lib, x: lib.atan2(x, x),
    "maximum x x": lambda lib, x: lib.maximum(x, x),
    "fmin x x": lambda lib, x: lib.fmin(x, x),
    "hypot x x": lambda lib, x: lib.hypot(x, x),
    "xlogy x x": lambda lib, x: lib.xlogy(x, x),
    "where": lambda lib, x: lib.where(x > 0, x, x * 2),
    "masked_fill": lambda lib, x: x.masked_fill(x == 0, 5.0),
    "prelu 0": lambda lib, x: lib.nn.functional.prelu(x, lib.zeros(1, dtype=x.dtype)),
    "glu": lambda lib, x: lib.nn.functional.glu(x),
    "dropout p": lambda lib, x: lib.nn.functional.dropout(x, 1.0),
    "clone": lambda lib, x: x.clone(),
    "copysign 0": lambda lib, x: lib.copysign(x, 0.0),
    "copysign -0": lambda lib, x: lib.copysign(x, -0.0),
    "ldexp": lambda lib, x: lib.ldexp(x, lib.tensor(3)),
    "frexp": lambda lib, x: lib.frexp(x)[0],
    "xlogy 0": lambda lib, x: lib.xlogy(x, 0.0),
    "xlogy scalar": lambda lib, x: lib.xlogy(0.0, x),
    "xlog1py scalar": lambda lib, x: lib.special.xlog1py(0.0, x),
    "heaviside": lambda lib, x: x * lib.heaviside(x.detach(), lib.tensor(0.5, dtype=x.dtype)),
}

BINARY: dict[str, Case] = {
    **_named("""
        add sub mul div atan2 pow float_power maximum minimum fmax fmin hypot copysign remainder fmod xlogy logaddexp logaddexp2
        true_divide
    """),
    "special.xlog1py": lambda lib, a, b: lib.special.xlog1py(a, b),
    "pow_": lambda lib, a, b: (a * 1).pow_(b),
    "maximum clamp": lambda lib, a, b: lib.clamp(a, min=b),
    "minimum clamp": lambda lib, a, b: lib.clamp(a, max=b),
    "clamp_min": lambda lib, a, b: lib.clamp_min(a, b),
    "clamp_max": lambda lib, a, b: lib.clamp_max(a, b),
    "div trunc": lambda lib, a, b: lib.div(a, b, rounding_mode="trunc"),
    "div floor": lambda lib, a, b: lib.div(a, b, rounding_mode="floor"),
    "where": lambda lib, a, b: lib.where(a > b, a, b),
    "prelu": lambda lib, a, b: lib.nn.functional.prelu(a[None], b),
    "complex abs": lambda lib, a, b: lib.complex(a, b).abs(),
    "complex angle": lambda lib, a, b: lib.complex(a, b).angle(),
    "nextafter": lambda lib, a, b: a + lib.nextafter(a.detach(), b.detach()),
    "ldexp": lambda lib, a, b: lib.ldexp(a, b),
    "mse": lambda lib, a, b: lib.nn.functional.mse_loss(a, b, reduction="none"),
    "l1": lambda lib, a, b: lib.nn.functional.l1_loss(a, b, reduction="none"),
    "smooth_l1": lambda lib, a, b: lib.nn.functional.smooth_l1_loss(a, b, reduction="none"),
    "smooth_l1 beta 0": lambda lib, a, b: lib.nn.functional.smooth_l1_loss(a, b, reduction="none", beta=0.0),
    "huber": lambda lib, a, b: lib.nn.functional.huber_loss(a, b, reduction="none"),
    "huber delta": lambda lib, a, b: lib.nn.functional.huber_loss(a, b, reduction="none", delta=2.0),
    "bce logits": lambda lib, a, b: lib.nn.functional.binary_cross_entropy_with_logits(a, b, reduction="none"),
    "kl_div": lambda lib, a, b: lib.nn.functional.kl_div(a, b, reduction="none"),
    "kl_div log": lambda lib, a, b: lib.nn.functional.kl_div(a, b, reduction="none", log_target=True),
    "poisson": lambda lib, a, b: lib.nn.functional.poisson_nll_loss(a, b, reduction="none"),
    "poisson not log": lambda lib, a, b: lib.nn.functional.poisson_nll_loss(a, b, log_input=False, reduction="none"),
    "soft_margin": lambda lib, a, b: lib.nn.functional.soft_margin_loss(a, b.detach(), reduction="none"),
    "hinge_embedding": lambda lib, a, b: lib.nn.functional.hinge_embedding_loss(a, b.detach(), reduction="none"),
    "margin_ranking": lambda lib, a, b: lib.nn.functional.margin_ranking_loss(a, b, lib.ones_like(a).detach(), reduction="none"),
    "margin_ranking -": lambda lib, a, b: lib.nn.functional.margin_ranking_loss(
        a, b, -lib.ones_like(a).detach(), 1.0, reduction="none"),
    "lerp 0": lambda lib, a, b: lib.lerp(a, b, 0.0),
    "lerp 1": lambda lib, a, b: lib.lerp(a, b, 1.0),
    "lerp 0.5": lambda lib, a, b: lib.lerp(a, b, 0.5),
    "pairwise": lambda lib, a, b: lib.nn.functional.pairwise_distance(a[:, None], b[:, None]),
    "pairwise eps 0": lambda lib, a, b: lib.nn.functional.pairwise_distance(a[:, None], b[:, None], eps=0.0),
    "cosine": lambda lib, a, b: lib.nn.functional.cosine_similarity(a[:, None], b[:, None]),
    **{f"cdist {p}": (lambda lib, a, b, p=p: lib.cdist(a[:, None, None], b[:, None, None], p)) for p in (0.0, 0.5, 1.0, 2.0, 3.0, inf)},
    "cross_entropy": lambda lib, a, b: lib.nn.functional.cross_entropy(
        lib.stack([a, b], 1), lib.zeros(len(a), dtype=lib.int64), reduction="none"),
    "logsumexp pair": lambda lib, a, b: lib.logsumexp(lib.stack([a, b]), 0),
    "amax pair": lambda lib, a, b: lib.amax(lib.stack([a, b]), 0),
    "matmul": lambda lib, a, b: a[:, None, None] @ b[:, None, None],
}  # fmt: skip
BINARY["gaussian_nll"] = lambda lib, a, b: lib.nn.functional.gaussian_nll_loss(a, b, (b * b).nan_to_num(1, 1, 1), reduction="none")

TERNARY: dict[str, Case] = {
    **_named("addcmul addcdiv lerp clamp"),
    "addcmul value": lambda lib, a, b, c: lib.addcmul(a, b, c, value=0),
    "addcdiv value": lambda lib, a, b, c: lib.addcdiv(a, b, c, value=2),
    "where": lambda lib, a, b, c: lib.where(a > 0, b, c),
    "norm of three": lambda lib, a, b, c: lib.linalg.vector_norm(lib.stack([a, b, c]), dim=0),
    "prod of three": lambda lib, a, b, c: _finite(lib, a, b, c).prod(0),
    "cumprod of three": lambda lib, a, b, c: _finite(lib, a, b, c).cumprod(0),
    "std of three": lambda lib, a, b, c: lib.stack([a, b, c]).std(0),
    "softmax of three": lambda lib, a, b, c: lib.stack([a, b, c]).softmax(0),
    "logsumexp of three": lambda lib, a, b, c: lib.stack([a, b, c]).logsumexp(0),
    "logcumsumexp of three": lambda lib, a, b, c: lib.stack([a, b, c]).logcumsumexp(0),
    "triplet": lambda lib, a, b, c: lib.nn.functional.triplet_margin_loss(a[:, None], b[:, None], c[:, None], margin=0.7, reduction="none"),
}  # fmt: skip


def _finite(lib: Any, *tensors: Any) -> Any:
    return lib.stack(tensors).nan_to_num(3, 4, -5)


def _over_rows() -> dict[str, Case]:
    made: dict[str, Case] = {}
    for name in """sum mean prod amax amin nansum logsumexp softmax log_softmax cumsum logcumsumexp var std median max min""".split():
        made[name] = lambda lib, x, name=name: _values(getattr(lib, name)(x, 1))
    made["var 0"] = lambda lib, x: x.var(1, correction=0)
    made["std 0"] = lambda lib, x: x.std(1, correction=0)
    made["var one"] = lambda lib, x: x[:, :1].var(1)
    made["var_mean"] = lambda lib, x: sum(lib.var_mean(x, 1))
    made["std_mean"] = lambda lib, x: sum(lib.std_mean(x, 1))
    made["cummax"] = lambda lib, x: lib.cummax(x, 1)[0]
    made["cummin"] = lambda lib, x: lib.cummin(x, 1)[0]
    made["aminmax"] = lambda lib, x: lib.aminmax(x, dim=1)[0] + 2 * lib.aminmax(x, dim=1)[1]
    made["softmin"] = lambda lib, x: lib.nn.functional.softmin(x, 1)
    made["normalize"] = lambda lib, x: lib.nn.functional.normalize(x[:19], dim=1)
    made["renorm"] = lambda lib, x: lib.renorm(x, 2, 0, 1.0)
    made["renorm 1"] = lambda lib, x: lib.renorm(x, 1, 0, 1.0)
    made["layer_norm"] = lambda lib, x: lib.nn.functional.layer_norm(x, (4,))
    made["rms_norm"] = lambda lib, x: lib.nn.functional.rms_norm(x, (4,))
    made["norm"] = lambda lib, x: lib.norm(x, dim=1)
    made["pdist"] = lambda lib, x: lib.nn.functional.pdist(x[:8])
    made["cosine"] = lambda lib, x: lib.nn.functional.cosine_similarity(x, x.flip(0))
    made["cosine self"] = lambda lib, x: lib.nn.functional.cosine_similarity(x, x)
    made["max_pool1d"] = lambda lib, x: lib.nn.functional.max_pool1d(x[:, None], 2, 1)
    made["adaptive_max_pool1d"] = lambda lib, x: lib.nn.functional.adaptive_max_pool1d(x[:, None], 2)
    made["lp_pool1d"] = lambda lib, x: lib.nn.functional.lp_pool1d(x[:, None], 2, 2)
    made["sort"] = lambda lib, x: lib.sort(x, 1)[0] * lib.arange(4)
    made["cumprod"] = lambda lib, x: x.nan_to_num(3, 4, -5).cumprod(1)
    made["nanmean"] = lambda lib, x: lib.nanmean(x[:10], 1)
    made["nanmedian"] = lambda lib, x: lib.nanmedian(x[:10], 1)[0]
    made["mode"] = lambda lib, x: lib.mode(x[:8], 1)[0]
    made["trapezoid"] = lambda lib, x: lib.trapezoid(x[:10], dim=1)
    made["diff"] = lambda lib, x: lib.diff(x, dim=1)
    made["local_response_norm"] = lambda lib, x: lib.nn.functional.local_response_norm(x[:, :, None], 2)
    for p in (0.5, 1, 1.5, 2, 3, inf, -inf, -1):
        made[f"vector_norm {p}"] = lambda lib, x, p=p: lib.linalg.vector_norm(x, p, 1)
    for p in ("fro", 1, inf, -inf, -1):
        made[f"matrix_norm {p}"] = lambda lib, x, p=p: lib.linalg.matrix_norm(x.reshape(-1, 2, 2), p)
    for p in (0.5, 1.0):  # beside NaN, too
        made[f"cdist of all {p}"] = lambda lib, x, p=p: lib.cdist(x, x * 1, p)
        made[f"pdist of all {p}"] = lambda lib, x, p=p: lib.nn.functional.pdist(x, p)
    for p in (1.0, 2.0, 3.0, inf):
        made[f"pairwise {p}"] = lambda lib, x, p=p: lib.nn.functional.pairwise_distance(x, x.flip(0), p)
        made[f"cdist {p}"] = lambda lib, x, p=p: lib.cdist(x[:8], x[:8] * 1, p)
    return made


def _values(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


REDUCTIONS = _over_rows()

#: 0-d results over everything, one row at a time: `max` and its kin share the gradient among ties there.
WHOLE: dict[str, Case] = {
    name: (lambda lib, x, name=name: lib.stack([getattr(row, name)() for row in x[[0, 3, 8, 9, 10, 12, 15, 18]].unbind(0)]))
    for name in ("max", "min", "median", "nanmedian", "amax", "amin", "std", "var", "norm", "mean")
}

COMPLEX_UNARY: dict[str, Case] = {
    **_named("""
        abs angle sgn exp log sqrt sin cos tan sinh cosh tanh asin acos atan asinh atanh exp2 reciprocal square sigmoid
        log10 log1p expm1 rsqrt neg positive real imag
    """),
    "acosh": lambda lib, z: lib.acosh(z[3:]),  # not at -0, where PyTorch's slope is that of the other side
    "view_as_real": lambda lib, z: lib.view_as_real(z * 1),
    "pow 0": lambda lib, z: z**0,
    "pow 2": lambda lib, z: z**2,
    "pow 0.5": lambda lib, z: z**0.5,
    "z/z": lambda lib, z: z / z,
    "norm": lambda lib, z: lib.linalg.vector_norm(z[:, None], dim=1),
    "norm 1": lambda lib, z: lib.linalg.vector_norm(z[:, None], 1, dim=1),
    "norm 3": lambda lib, z: lib.linalg.vector_norm(z[:, None], 3, dim=1),
    "prod": lambda lib, z: z[:3].prod(),
    "cumprod": lambda lib, z: z.cumprod(0),
}
COMPLEX_BINARY: dict[str, Case] = {
    **_named("add sub mul"),

    "div": lambda lib, a, b: a / (b + 3),
    "pow 0": lambda lib, a, b: (a + 3) ** b,
}

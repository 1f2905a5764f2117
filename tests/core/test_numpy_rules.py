"""Each rule of the numpy interpreter beside XLA: values, types, shapes, the sign of zeros, over types and shapes.

All cases of a family are one XLA program, so that compiling costs little.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax._src.lax.lax import le_to_p, lt_to_p

from jaxnn.core.host.function import host_function
from tests.comparison import check

INTEGERS = ["int8", "int32", "int64", "uint8", "uint64"]
FLOATS = ["float32", "float64", "float16", "bfloat16"]
COMPLEX = ["complex64", "complex128"]


def draw(shape, dtype, seed=0, low=-4, high=5):
    """Numbers around zero; floats with halves and quarters among them."""
    rng = np.random.default_rng([seed, *shape])
    dtype = jnp.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        return np.asarray(rng.integers(max(low, 0) if dtype.kind == "u" else low, high, shape)).astype(dtype)
    if dtype.kind == "c":
        return np.asarray(rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype)


def special(dtype):
    """The numbers at which functions differ."""
    dtype = jnp.dtype(dtype)
    if dtype.kind == "b":
        return np.array([True, False])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.array([0, 1, 2, 7, info.max, info.min, info.max - 1] + ([-1, -2, -7] if info.min else [9, 8, 3]), dtype)
    if dtype.kind == "c":
        return np.array([0, 1, 1j, -1, 2 - 3j, -2.5 - 0.5j, 0.3 + 4j]).astype(dtype)
    large = float(jnp.finfo(dtype).max)
    return np.array([0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, -7, 20, np.inf, -np.inf, np.nan, large, -large]).astype(dtype)


def translated(function, arrays, fallbacks=0):
    """The function's jaxpr in numpy; arguments are not written to."""
    with jax.enable_x64(True):
        closed = jax.make_jaxpr(function)(*arrays)
    run = host_function(closed)
    assert run.fallbacks == fallbacks, run.jitted
    before = [a.tobytes() for a in arrays]
    found = run(*arrays)
    assert before == [a.tobytes() for a in arrays]
    for result, aval in zip(found, closed.out_avals):
        assert type(result) is np.ndarray and (result.dtype, result.shape) == (aval.dtype, aval.shape), run.source
    return found


def by_xla(function, arrays):
    with jax.enable_x64(True):
        return [np.asarray(x) for x in jax.tree.leaves(jax.jit(function)(*arrays))]


def same(ours, theirs, what, zeros=True):
    """Equal; floats within rounding, with the same NaNs and, if ``zeros``, the same signs of zeros."""
    check(ours, theirs, "primitive", what)
    if zeros and jnp.issubdtype(ours.dtype, jnp.floating):
        at = (ours == 0) & (theirs == 0)
        np.testing.assert_array_equal(np.signbit(ours[at]), np.signbit(theirs[at]), err_msg=f"{what}: sign of zero")


def compare(function, arrays, fallbacks=0, zeros=True):
    """One XLA program, and the same jaxpr in numpy."""
    found, wanted = translated(function, arrays, fallbacks), by_xla(function, arrays)
    for k, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        same(ours, theirs, f"result {k}", zeros)


def elementwise(call, groups, zeros=True):
    """Vectors of each type by XLA in one program; by numpy as they are, as a number, empty, and the first as a matrix.

    A result may also be nearer than XLA's to that of the same numbers in float64.
    """
    wanted = iter(by_xla(lambda groups: [call(*g) for g in groups], [groups]))
    for k, group in enumerate(groups):
        result, what = next(wanted), str(group[0].dtype)
        found = translated(call, group)[0]
        try:
            same(found, result, what, zeros)
        except AssertionError:
            if what not in ("float32", "float16", "bfloat16"):
                raise
            exact = translated(call, [x.astype(np.float64) for x in group])[0]
            near = np.isfinite(exact) & (np.abs(exact) < float(jnp.finfo(what).max))
            np.testing.assert_array_less(np.abs(found[near] - exact[near]), np.abs(result[near] - exact[near]) + 1e-7)
            same(np.where(near, 0, found), np.where(near, 0, result), what, zeros)
        for part in (0, slice(0, 0)):
            same(translated(call, [x[part] for x in group])[0], found[part], f"{what} {part}")
        if k == 0:
            matrix = [x[:6].reshape(2, 3) for x in group]
            same(translated(call, matrix)[0], found[:6].reshape(2, 3), f"{what} matrix")


UNARY = {
    "neg": (lax.neg, INTEGERS + FLOATS + COMPLEX),
    "abs": (lax.abs, ["int8", "int32", "int64", *FLOATS, *COMPLEX]),
    "sign": (lax.sign, INTEGERS + FLOATS + COMPLEX),
    "square": (lax.square, INTEGERS + FLOATS + COMPLEX),
    "not": (lax.bitwise_not, INTEGERS + ["bool"]),
    "population_count": (lax.population_count, INTEGERS),
    "floor": (lax.floor, FLOATS),
    "ceil": (lax.ceil, FLOATS),
    "round away": (lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO), FLOATS),
    "round even": (lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), FLOATS),
    "is_finite": (lax.is_finite, FLOATS),
    "exp": (lax.exp, FLOATS + COMPLEX),
    "exp2": (lax.exp2, ["float32", "float64"]),
    "expm1": (lax.expm1, FLOATS + COMPLEX),
    "log": (lax.log, FLOATS + COMPLEX),
    "log1p": (lax.log1p, FLOATS + COMPLEX),
    "logistic": (lax.logistic, FLOATS + COMPLEX),
    "sqrt": (lax.sqrt, FLOATS + COMPLEX),
    "rsqrt": (lax.rsqrt, FLOATS + COMPLEX),
    "cbrt": (lax.cbrt, FLOATS),
    "sin": (lax.sin, FLOATS + COMPLEX),
    "cos": (lax.cos, FLOATS + COMPLEX),
    "tan": (lax.tan, FLOATS + COMPLEX),
    "asin": (lax.asin, FLOATS),
    "acos": (lax.acos, FLOATS),
    "atan": (lax.atan, FLOATS),
    "sinh": (lax.sinh, FLOATS + COMPLEX),
    "cosh": (lax.cosh, FLOATS + COMPLEX),
    "tanh": (lax.tanh, FLOATS + COMPLEX),
    "asinh": (lax.asinh, FLOATS),
    "acosh": (lax.acosh, FLOATS),
    "atanh": (lax.atanh, FLOATS),
    "erf": (lax.erf, FLOATS),
    "erfc": (lax.erfc, FLOATS),
    "erf_inv": (lax.erf_inv, FLOATS),
    "lgamma": (lax.lgamma, FLOATS),
    "digamma": (lax.digamma, FLOATS),
    "bessel_i0e": (lax.bessel_i0e, FLOATS),
    "bessel_i1e": (lax.bessel_i1e, FLOATS),
    "real": (lax.real, COMPLEX),
    "imag": (lax.imag, COMPLEX),
    "conj": (lax.conj, COMPLEX + ["float32"]),
    "integer_pow 0": (lambda x: lax.integer_pow(x, 0), INTEGERS + FLOATS),
    "integer_pow 3": (lambda x: lax.integer_pow(x, 3), INTEGERS + FLOATS + COMPLEX),
    "integer_pow 7": (lambda x: lax.integer_pow(x, 7), INTEGERS + FLOATS + COMPLEX),
    "integer_pow -1": (lambda x: lax.integer_pow(x, -1), FLOATS + COMPLEX),
    "integer_pow -2": (lambda x: lax.integer_pow(x, -2), FLOATS),
    "reduce_precision": (lambda x: lax.reduce_precision(x, 8, 7), ["float32", "bfloat16"]),
    "reduce_precision half": (lambda x: lax.reduce_precision(x, 5, 10), ["float32", "float16"]),
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    call, dtypes = UNARY[name]
    elementwise(call, [(np.concatenate([special(d), draw((9,), d)]),) for d in dtypes])


BINARY = {
    "add": (lax.add, INTEGERS + FLOATS + COMPLEX),
    "sub": (lax.sub, INTEGERS + FLOATS + COMPLEX),
    "mul": (lax.mul, INTEGERS + FLOATS + COMPLEX),
    "div": (lax.div, INTEGERS + FLOATS),
    "rem": (lax.rem, INTEGERS + FLOATS),
    "max": (lax.max, INTEGERS + FLOATS + ["bool"]),
    "min": (lax.min, INTEGERS + FLOATS + ["bool"]),
    "eq": (lax.eq, INTEGERS + FLOATS + COMPLEX + ["bool"]),
    "ne": (lax.ne, INTEGERS + FLOATS + COMPLEX + ["bool"]),
    "lt": (lax.lt, INTEGERS + FLOATS + ["bool"]),
    "le": (lax.le, INTEGERS + FLOATS + ["bool"]),
    "gt": (lax.gt, INTEGERS + FLOATS + ["bool"]),
    "ge": (lax.ge, INTEGERS + FLOATS + ["bool"]),
    "and": (lax.bitwise_and, INTEGERS + ["bool"]),
    "or": (lax.bitwise_or, INTEGERS + ["bool"]),
    "xor": (lax.bitwise_xor, INTEGERS + ["bool"]),
    "shift_left": (lax.shift_left, INTEGERS),
    "shift_right_arithmetic": (lax.shift_right_arithmetic, INTEGERS),
    "shift_right_logical": (lax.shift_right_logical, INTEGERS),
    "lt_to": (lt_to_p.bind, INTEGERS + FLOATS),
    "le_to": (le_to_p.bind, INTEGERS + FLOATS),
    "atan2": (lax.atan2, FLOATS),
    "pow": (lax.pow, FLOATS),
    "nextafter": (lax.nextafter, ["float32", "float64"]),
    "complex": (lax.complex, ["float32", "float64"]),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    call, dtypes = BINARY[name]
    groups = []
    for d in dtypes:
        edge = special(d)
        a, b = np.repeat(edge, len(edge)), np.tile(edge, len(edge))
        groups.append((np.concatenate([a, draw((9,), d)]), np.concatenate([b, draw((9,), d, seed=1)])))
    elementwise(call, groups, zeros=name not in ("max", "min"))


SERIES = {
    "igamma": (lax.igamma, (0.1, 5), (0, 5)),
    "igammac": (lax.igammac, (0.1, 5), (0, 5)),
    "zeta": (lax.zeta, (1.1, 6), (0.1, 6)),
    "polygamma": (lambda m, x: lax.polygamma(lax.floor(m), x), (0, 5), (0.1, 6)),
    "betainc": (lambda a, x: lax.betainc(a, a + 1, x), (0.1, 5), (0, 1)),
}


@pytest.mark.parametrize("name", SERIES)
def test_series(name):
    """Where they converge; in one type, for XLA takes seconds to compile them."""
    call, first, second = SERIES[name]
    a, b = draw((20,), "float32", low=first[0], high=first[1]), draw((20,), "float32", seed=1, low=second[0], high=second[1])
    elementwise(call, [(a, b)])


TYPES = [*INTEGERS, *FLOATS, *COMPLEX, "bool"]


@pytest.mark.parametrize("old", TYPES)
def test_convert(old):
    arrays = [draw((), old), draw((2, 3), old), special(old)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        compare(lambda *xs: [lax.convert_element_type(x, jnp.dtype(new)) for x in xs for new in TYPES], arrays)


def test_bitcast():
    arrays = [special("float32"), special("float64"), special("bfloat16"), special("int32"), draw((), "float32")]
    pairs = [("int32", 0), ("int64", 1), ("uint16", 2), ("float32", 3), ("uint32", 4)]
    compare(lambda *xs: [lax.bitcast_convert_type(xs[k], jnp.dtype(new)) for new, k in pairs], arrays)


def mixed(*dtypes, shape=(3, 4)):
    return [draw(shape, d, seed=k) for k, d in enumerate(dtypes)]


KINDS = ["bool", "int8", "float32", "bfloat16"]


def test_shapes():
    def function(x, y):
        return [
            jnp.reshape(x, (4, 3)), jnp.ravel(x), lax.reshape(x, (2, 6), (1, 0)),
            x.T, lax.rev(x, (0, 1)), lax.slice(x, (1, 0), (3, 4), (1, 2)), x[1], x[:, None],
            jnp.squeeze(x[1:2], 0),
            lax.concatenate([x, y, x], 1), jnp.stack([x, y], 1), jnp.tile(x, (2, 1)), jnp.split(x, 2, 1),
            lax.broadcast_in_dim(x, (2, 3, 4), (1, 2)), lax.broadcast_in_dim(x[0], (4, 2), (0,)), jnp.flip(x, 1), jnp.roll(x, 1, 0),
            lax.expand_dims(x[0, 0], (0, 1)), lax.copy_p.bind(x), lax.split(x, (1, 3), 1),
        ]  # fmt: skip

    for d in KINDS:
        compare(function, mixed(d, d))


def test_pad():
    x = draw((3, 4), "float32")
    configs = [
        ((1, 2, 0), (0, 0, 0)), ((-1, 0, 0), (0, -2, 0)), ((0, 0, 2), (1, -1, 1)), ((-1, -1, 2), (3, -6, 1)), ((-4, 5, 0), (0, 0, 0)),
        ((2, -5, 0), (-1, 1, 3)), ((-2, 3, 1), (-3, 9, 2)), ((0, 0, 0), (-2, -2, 0)),
    ]  # fmt: skip
    compare(lambda x, v: [lax.pad(x, v, c) for c in configs], [x, np.float32(7) + np.zeros((), "float32")])
    compare(lambda x, v: lax.pad(x, v, ((1, 1, 1), (0, 2, 0))), [draw((0, 2), "int8"), np.asarray(3, "int8")])


def test_made():
    def function():
        iotas = [lax.broadcasted_iota(d, (2, 3), k) for d in ("int8", "int64", "float32", "bfloat16") for k in (0, 1)]
        return [*iotas, jnp.zeros((2, 3)), jnp.full((4,), 2, "int16"), jnp.arange(200).astype("int8"), jnp.eye(3)]

    compare(function, [])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32", "bfloat16", "complex64"])
def test_sums(dtype):
    real = dtype != "complex64"
    reductions = [jnp.argmax, jnp.argmin, *[lambda x, a, r=r: r(x, (a,)) for r in (lax.reduce_max_p, lax.reduce_min_p) if not r]]
    names = ["cumsum", "cumprod", *(["cummax", "cummin"] if real else []), *(["cumlogsumexp"] if dtype.startswith(("f", "b")) else [])]

    def function(x, e):
        made = [lax.reduce_sum_p.bind(v, axes=a, out_sharding=None) for v in (x, e) for a in ((0,), (1,), (0, 1), ())]
        made += [jnp.prod(x, 0, dtype=x.dtype), jnp.prod(e, 1, dtype=x.dtype)]
        made += [getattr(lax, n)(v, axis, reverse=r) for n in names for v, axis in ((x, 0), (x, 1), (e, 0)) for r in (False, True)]
        if real:
            made += [f(x, axis) for f in (jnp.max, jnp.min) for axis in (0, 1, None, (0, 2))]
            made += [f(x, axis) for f in reductions for axis in (0, 1)]
        return made

    x = draw((3, 4, 2), dtype)
    if dtype.startswith(("f", "b")):
        x[1, 2] = np.nan
        x[2, 1], x[0, 0], x[0, 1] = np.inf, 0.0, -0.0
    e = draw((0, 3), dtype)
    compare(function, [x, e], zeros=False)  # XLA adds to 0


def test_reductions_of_nothing_and_of_bits():
    def function(e, i, b, x):
        made = [lax.reduce_max(v, (0,)) for v in (e, i)] + [lax.reduce_min(v, (0, 1)) for v in (e, i)]
        made += [f(v, a) for f in (lax.reduce_and, lax.reduce_or, lax.reduce_xor) for v in (b, x) for a in ((0,), (0, 1))]
        return [*made, jnp.all(b), jnp.any(b, 1), jnp.max(b), jnp.min(b, 0), jnp.argmax(b, 1), jnp.argmin(b, 0)]

    compare(function, [draw((0, 3), "float32"), draw((0, 3), "int8"), *mixed("bool", "int32")])


def test_windows():
    def function(x, i):
        made = [lax.reduce_window(v, np.asarray(0, v.dtype), lax.add, (1, 2, 3), (1, 2, 1), "VALID") for v in (x, i)]
        for first, call in ((-np.inf, lax.max), (np.inf, lax.min), (0.0, lax.add)):
            made.append(lax.reduce_window(x, np.float32(first), call, (1, 2, 2), (1, 1, 2), ((0, 0), (1, 0), (2, 1))))
            made.append(lax.reduce_window(x, np.float32(first), call, (2, 2, 2), (1, 2, 1), "SAME", (1, 2, 1), (1, 1, 2)))
        return made

    compare(function, [draw((2, 5, 6), "float32"), draw((2, 5, 6), "int8")], zeros=False)


CONTRACTIONS = [
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,kj->ik", (3, 4), (5, 4)), ("ji,jk->ik", (4, 3), (4, 5)), ("i,i->", (4,), (4,)),
    ("ij,j->i", (3, 4), (4,)), ("j,jk->k", (4,), (4, 5)), ("i,j->ij", (3,), (4,)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)), ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("bihd,bjhd->bhij", (2, 3, 2, 4), (2, 5, 2, 4)),
    ("btd,df->btf", (2, 3, 4), (4, 5)), ("ijk,jkl->il", (2, 3, 4), (3, 4, 5)), ("ijk,kji->", (2, 3, 4), (4, 3, 2)),
    ("ij,jk->ik", (3, 0), (0, 5)),
    ("ij,jk->ik", (0, 4), (4, 5)), (",i->i", (), (3,)), ("b,b->b", (3,), (3,)), ("bi,bi->b", (2, 3), (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "bfloat16", "complex64"])
def test_contractions(dtype):
    arrays = [draw(s, dtype, seed=k) for k, (_, *shapes) in enumerate(CONTRACTIONS) for s in shapes]

    def function(*arrays):
        made = [jnp.einsum(form, arrays[2 * k], arrays[2 * k + 1]) for k, (form, *_) in enumerate(CONTRACTIONS)]
        wide = {"int8": "int32", "bfloat16": "float32"}.get(dtype)
        return made + ([jnp.matmul(arrays[0], arrays[1], preferred_element_type=wide)] if wide else [])

    compare(function, arrays)


def test_sorting():
    def function(x, i, h, b):
        made = [jnp.sort(v, a) for v in (x, i, h, b) for a in (0, 1)] + [jnp.argsort(v, 1) for v in (x, i, h, b)]
        made += lax.sort((i, x), dimension=1, num_keys=2) + lax.sort((x, h, i), dimension=0, num_keys=1)
        made += [*lax.top_k(x, 2), *lax.top_k(i, 3), *lax.top_k(h, 4), jnp.sort(x[0], descending=True), jnp.argsort(i[0], descending=True)]
        return made

    x, i, h, b = mixed("float32", "int8", "bfloat16", "bool")
    i[0] = [3, 1, 3, 1]
    for v in (x, h):
        v[0], v[1, 1], v[1, 2] = [0.0, -0.0, 0.0, np.nan], np.nan, -np.inf
    compare(function, [x, i, h, b])


PLACES = [np.array([0, 2, 1, 2]), np.array([-1, 5, 0, 2]), np.array([[0, 1], [2, 7]])]


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
def test_gather(dtype):
    x = draw((3, 4, 5), dtype)
    modes = [{}, {"mode": "fill"}, {"mode": "clip"}]

    def function(x, i, *places):
        made = [x[i], x[:, i], x[..., i], x[i, i], x[i, :, 1], lax.dynamic_slice(x, (i, -i, 9), (2, 2, 2))]
        for p in places:
            made += [jnp.take(x, p, axis=a, **m) for a in (0, 1, 2) for m in modes]
            made += [x[p], x[:, p], x[p, p], x[p, :, p], x[:, p, 1:3], x.at[p, 1].get(mode="fill", fill_value=1)]
        q = jnp.clip(places[0], 0, 2)[:, None, None][:3]
        made += [jnp.take_along_axis(x, jnp.broadcast_to(q, (3, 4, 5)), 0), jnp.take_along_axis(x, q, 2), jnp.diagonal(x)]
        return [*made, x[x.shape[0] - 1, places[0]]]

    compare(function, [x, np.asarray(2), *PLACES])
    compare(lambda x, p: [jnp.take(x, p, 0), jnp.take(x[:0], p, 1)], [x, np.zeros((0,), int)])


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_scatter(dtype):
    x = draw((3, 4, 5), dtype)
    modes = [None, "drop", "clip", "promise_in_bounds"]

    def function(x, i, *places):
        made = [x.at[i].set(1), x.at[:, i].add(2), x.at[i, i].multiply(3), x.at[i, 1:3].set(x[0, 1:3]), x.at[..., i].set(x[..., 0])]
        made += [lax.dynamic_update_slice(x, x[:2, :1], (i, -i, i)), x.at[1].set(x[2]), x.at[1:3, 2].add(1)]
        for p in places:
            n = p.shape
            made += [x.at[p].add(x[1], mode=m) for m in modes]
            made += [x.at[:, p].add(x[:, :1].reshape(3, *[1] * p.ndim, 5)), x.at[p, p].add(x[0, 0, 0]), x.at[p, :, p].set(1)]
            made += [x.at[p, 1].multiply(jnp.ones((*n, 5), x.dtype) * 2), x.at[p].subtract(x[0]), x.at[p, 1, 0].add(1)]
            if x.dtype.kind != "c":
                made += [x.at[p].min(x[0]), x.at[p].max(x[0])]
        return made

    compare(function, [x, np.asarray(2), *PLACES])


def test_gradients_of_indexing():
    def function(x, p, q):
        takes = [lambda x: x[p], lambda x: x[:, p], lambda x: jnp.take_along_axis(x, q, 1), lambda x: x[p, p], lambda x: x[1:, ::2]]
        takes += [lambda x: jnp.cumsum(x, 0), lambda x: jnp.sort(x, 1), lambda x: jnp.max(x, 1), lambda x: jnp.prod(x, 0)]
        return [jax.grad(lambda x: jnp.sum(jnp.sin(take(x))))(x) for take in takes]

    compare(function, [draw((3, 4), "float32"), np.array([0, 2, 2]), np.array([[0, 1], [3, 3], [2, 0]])], zeros=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_running_totals_are_kept_in_twice_the_precision(dtype):
    wide = {"float32": np.float64, "complex64": np.complex128}.get(dtype, np.float32)
    x = draw((3000, 2), dtype)
    for function, ufunc, given in ((lax.cumsum, np.add, x), (lax.cumprod, np.multiply, (x / 999 + 1).astype(x.dtype))):
        total = ufunc.accumulate(given.astype(wide))
        np.testing.assert_array_equal(translated(function, [given])[0], total.astype(x.dtype))


def test_choices():
    def function(b, i, x, y, h):
        made = [jnp.where(b, x, y), lax.select_n(i % 3, x, y, x + y), lax.select_n(b, x, y), jnp.where(b[0, 0], x, y)]
        return [*made, lax.clamp(x, y, x + 1), lax.clamp(jnp.float32(-1), x, jnp.float32(1)), jnp.clip(h, -1, 1), lax.select_n(i - 2, x, y)]

    b, i, x, y, h = mixed("bool", "int32", "float32", "float32", "bfloat16")
    x[0, 0] = np.nan
    compare(lambda *a: function(*a)[:-1], [b, np.abs(i), x, y, h])


def test_control():
    def function(x, i):
        def f(c, row):
            return c * 0.5 + row, (c.sum(), row)

        made = [lax.cond(x[0, 0] > i, jnp.sin, jnp.cos, x), lax.switch(i, [jnp.sin, jnp.cos, jnp.tan], x), lax.scan(f, x[0], x)]
        made += [lax.scan(f, x[0], x, reverse=True), lax.scan(f, x[0], x[:0]), lax.fori_loop(0, i, lambda k, c: c + k, x)]
        made += [lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * 2), (i, x)), lax.map(jnp.sum, x)]
        made += [lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos), lax.platform_dependent(x, tpu=jnp.sin, default=jnp.cos)]
        made += [jnp.searchsorted(jnp.sort(x[0]), x[1])]
        return [*made, jax.checkpoint(jnp.sin)(x), jax.grad(lambda x: lax.scan(f, x[0], x)[0].sum())(x)]

    compare(function, [draw((3, 4), "float32"), np.asarray(2)])

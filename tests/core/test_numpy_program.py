"""Whole operators, and their gradients, as jaxprs in numpy beside the jitted operator; what the translation leaves out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn.core.host.function import host_function
from jaxnn.nn import functional as F
from tests.core.test_numpy_rules import by_xla, compare, draw, same

X, Y, Z = draw((4, 6), "float32"), draw((4, 6), "float32", seed=1), draw((4, 6), "float32", seed=2, low=0.1, high=0.9)
W, B = draw((5, 6), "float32", seed=3), draw((5,), "float32", seed=4)
S = draw((2, 4, 6, 6), "float32", low=-1, high=1)
K, V = draw((2, 7, 6), "float32", seed=5), draw((2, 7, 6), "float32", seed=6)
I = np.array([1, 0, 5, 5])
MASK = draw((4, 6), "bool")
TOKENS = np.array([[1, 3, 3], [0, 2, 1]])

OPERATORS = {
    "activations": [
        (F.relu, X), (F.gelu, X), (lambda x: F.gelu(x, "tanh"), X), (F.silu, X), (F.mish, X), (F.softplus, X), (F.elu, X), (F.selu, X),
        (F.hardswish, X), (F.leaky_relu, X), (F.logsigmoid, X), (F.softsign, X), (F.tanhshrink, X), (F.hardtanh, X), (F.glu, X),
        (jaxnn.sigmoid, X), (lambda x: F.softmax(x, -1), X), (lambda x: F.log_softmax(x, 0), X),
        (lambda x, w: F.prelu(x, w), X, np.float32([0.25])), (lambda x: F.threshold(x, 0.5, 1.0), X),
    ],
    "layers": [
        (F.linear, X, W, B), (lambda x: F.layer_norm(x, (6,)), X), (lambda x, w, b: F.layer_norm(x, (6,), w, b), X, X[0], X[1]),
        (lambda x: F.group_norm(x, 2), S), (lambda x: F.rms_norm(x, (6,)), X), (F.normalize, X), (F.instance_norm, S),
        (lambda w: F.embedding(TOKENS, w), X), (F.cosine_similarity, X, Y), (F.pairwise_distance, X, Y),
        (lambda q, k, v: F.scaled_dot_product_attention(q, k, v), draw((2, 3, 6), "float32"), K, V),
        (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), K), (lambda x: F.pixel_shuffle(x, 2), S),
        (lambda x: F.pad(x, (1, 2), value=3.0), X), (lambda x: F.pad(x, (1, 2), mode="reflect"), X), (lambda x: F.one_hot(x, 6), I),
    ],
    "losses": [
        (lambda x: F.cross_entropy(x, I), X), (lambda x: F.cross_entropy(x, I, label_smoothing=0.1, ignore_index=5), X),
        (lambda x: F.nll_loss(x, I), X), (F.mse_loss, X, Y), (F.l1_loss, X, Y), (F.smooth_l1_loss, X, Y), (F.huber_loss, X, Y),
        (lambda x, y: F.kl_div(x, y, reduction="batchmean"), X, Z),
        (F.binary_cross_entropy, Z, Z[::-1].copy()), (F.binary_cross_entropy_with_logits, X, Z),
        (F.soft_margin_loss, X, Y), (lambda x: F.multi_margin_loss(x, I), X), (F.poisson_nll_loss, X, Z),
    ],
    "tensors": [
        (lambda x: jaxnn.var(x, 1), X), (lambda x: jaxnn.std(x), X), (lambda x: jaxnn.logsumexp(x, 1), X), (lambda x: jaxnn.norm(x), X),
        (lambda x: jaxnn.amax(x, 1), X), (lambda x: jaxnn.prod(x, 1), X), (lambda x: jaxnn.cumsum(x, 1), X), (jaxnn.atan2, X, Y),
        (jaxnn.maximum, X, Y), (lambda x: jaxnn.clamp(x, -1, 1), X), (jaxnn.matmul, X, W.T.copy()), (jaxnn.remainder, X, Y),
        (lambda x, y: jaxnn.where(MASK, x, y), X, Y), (lambda x: jaxnn.masked_fill(x, MASK, 2.0), X), (jaxnn.erfinv, Z), (jaxnn.digamma, Z),
        (lambda x: jaxnn.index_select(x, 1, I), X), (lambda x: jaxnn.gather(x, 0, TOKENS), X), (lambda x: jaxnn.roll(x, 1, 0), X),
        (lambda x, y: jaxnn.scatter_add(x, 0, TOKENS, y), X, Y), (lambda x, y: jaxnn.index_add(x, 1, I, y), X, X[:, :4].copy()),
        (lambda x: jaxnn.sort(x, 1)[0], X), (lambda x: jaxnn.topk(x, 2)[0], X), (jaxnn.tril, X), (lambda x: jaxnn.flip(x, (1,)), X),
        (lambda x, y: jaxnn.cat((x, y), 1), X, Y), (lambda x, y: jaxnn.stack((x, y)), X, Y), (jaxnn.diagonal, X),
        (lambda x: jaxnn.pow(x, 2.5), Z), (lambda x: jaxnn.argmax(x, 1), X), (lambda x: jaxnn.median(x, 1)[0], X), (jaxnn.outer, B, B),
        (lambda x, y: jaxnn.addcmul(x, x, y, value=0.5), X, Y), (jaxnn.lerp, X, Y, Z), (lambda x: jaxnn.floor_divide(x, 2), I),
    ],
}  # fmt: skip


def with_gradients(call):
    """The operator's results and its vjp at weights that differ."""

    def function(*arrays):
        result = call(*arrays)
        if not jnp.issubdtype(result.dtype, jnp.floating) or not jnp.issubdtype(arrays[0].dtype, jnp.floating):
            return [result]
        result, pull = jax.vjp(call, *arrays)
        weights = 0.5 + (jnp.arange(result.size) % 7).reshape(result.shape).astype(result.dtype) / 8
        return [result, *pull(weights)]

    return function


@pytest.mark.parametrize("family", OPERATORS)
def test_operators(family):
    cases = OPERATORS[family]

    def function(groups):
        return [with_gradients(call)(*arrays) for (call, *_), arrays in zip(cases, groups)]

    with jax.enable_x64(True):
        wanted = jax.jit(function)([arrays for _, *arrays in cases])
        for k, ((call, *arrays), results) in enumerate(zip(cases, wanted)):
            run = host_function(jax.make_jaxpr(with_gradients(call))(*arrays))
            assert not run.jitted, (k, run.jitted)
            for ours, theirs in zip(run(*arrays), results, strict=True):
                assert type(ours) is np.ndarray
                np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5, err_msg=f"{family} {k}")
                assert ours.dtype == theirs.dtype and ours.shape == theirs.shape


def lines(run):
    return [line.strip() for line in run.source.splitlines() if " = " in line]


def jaxpr(function, *arrays):
    with jax.enable_x64(True):
        return jax.make_jaxpr(function)(*arrays)


def test_what_changes_nothing_has_no_line():
    def function(x, b):
        x = jax.lax.stop_gradient(x.reshape(4, 6).astype("float32") + jnp.sum(jnp.ones(3, "float32")))
        unused = jnp.exp(x)  # noqa: F841
        return jax.nn.relu(x) * jnp.broadcast_to(b, (4, 6)) + jnp.zeros((4, 6), "float32"), jax.nn.relu(x)

    run = host_function(jaxpr(function, X, X[0]))
    assert len(lines(run)) == 4, run.source  # add, max, mul, add: the second relu is the first
    compare(function, [X, X[0]], zeros=False)  # XLA leaves out what adds 0


def test_broadcast_operands_take_their_full_shape_where_they_must():
    def function(x, n):
        wide = jnp.broadcast_to(n, (4, 6))
        other = jnp.broadcast_to(x[0], (3, 6)) * 2
        used = [wide, wide + 1, jnp.sum(wide, 0), wide @ x.T, jnp.concatenate([wide, x]), wide.T, wide[1:]]
        return [*used, other, other.sum(0), jnp.ones((2, 2)), jnp.cumsum(wide, 1)]

    compare(function, [X, np.asarray(3, "float32")])


def test_what_is_known_may_be_too_large_to_keep():
    compare(lambda x: (x + jnp.sum(jnp.ones((70, 70), "float32")), jnp.cumsum(jnp.ones(5000, "float32"))[:3]), [X])


def test_results_are_fresh_where_they_are_known():
    run = host_function(jaxpr(lambda x: (jnp.zeros((2, 2)), x + 1), X))
    first, _ = run(X)
    first += 1
    assert not run(X)[0].any()


def test_numbers_keep_their_types():
    def function(x, i, f, h):
        return [x * f, x + i, h * f, x.sum() * i, h + 1, jnp.int8(3) + jnp.int8(i), f + i, jnp.float16(f) * h.astype("float16")]

    with jax.enable_x64(True):
        numbers = [np.asarray(3), np.asarray(2.5)]
        compare(function, [X, *numbers, X.astype(jnp.bfloat16)])
        weak = jax.make_jaxpr(lambda x, f: x * f)(X, 2.5)
        assert host_function(weak)(X, np.asarray(2.5))[0].dtype == np.float32


def test_constants_of_the_jaxpr():
    with jax.enable_x64(True):
        table = jnp.asarray(Y)
        compare(lambda x: jnp.sin(x) + table[1], [X])


def test_primitives_without_a_rule_run_jitted():
    def function(x, w):
        convolved = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME")
        root = jnp.linalg.cholesky(x[0, 0] @ x[0, 0].T + 9 * jnp.eye(6))
        return convolved, jnp.fft.fft(x[0, 0]), root, jax.random.uniform(jax.random.key(0), (2,))

    w = draw((3, 4, 3, 3), "float32")
    run = host_function(jaxpr(function, S, w))
    assert run.fallbacks == len(run.jitted) and {"conv_general_dilated", "fft"} <= set(run.jitted)
    with jax.enable_x64(True):
        for ours, theirs in zip(run(S, w), jax.jit(function)(S, w), strict=True):
            assert type(ours) is np.ndarray
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_no_warnings(recwarn):
    with np.errstate(all="warn"):
        run = host_function(jaxpr(lambda x: (jnp.log(x - 9), x / 0, jnp.exp(x * 100), (x * 1e9).astype("int32")), X))
        run(X)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_second_derivatives():
    def loss(w, x):
        return F.cross_entropy(F.layer_norm(jnp.tanh(x @ w.T), (5,)), np.array([1, 0, 4, 3]))

    def function(w, x):
        return jax.grad(lambda w: (jax.grad(loss)(w, x) ** 2).sum())(w)

    found = host_function(jaxpr(function, W, X))(W, X)
    np.testing.assert_allclose(found[0], by_xla(function, [W, X])[0], rtol=1e-3, atol=1e-5)


def test_mapped():
    compare(jax.vmap(lambda x, i: (x[i], jnp.where(x > 0, x, i), x.at[i].set(0))), [X, I])


def test_random_keys_pass_through():
    def function(key, x):
        return jax.random.normal(jax.random.wrap_key_data(key), (2, 3)) + x

    key = np.asarray([1, 2], np.uint32)
    found = host_function(jaxpr(function, key, X[:1, :3]))(key, X[:1, :3])
    same(found[0], by_xla(function, [key, X[:1, :3]])[0], "random")


def test_arguments_that_are_given_up_are_written_to():
    def update(x, v, i):
        return jax.lax.dynamic_update_slice(x, v * 2, (i, i))

    def scatter(x, v, i):
        return x.at[jnp.stack([i, i])].add(v)

    def used_twice(x, v, i):
        return jax.lax.dynamic_update_slice(x, v, (i, i)) + x

    i = np.asarray(1)
    for function, v, kept in ((update, Y[:2, :2], False), (scatter, Y[0], False), (used_twice, Y[:2, :2], True)):
        closed = jaxpr(function, X, v, i)
        wanted = host_function(closed)(X, v, i)[0]
        x = X.copy()
        found = host_function(closed, given_up=(0,))(x, v, i)[0]
        np.testing.assert_array_equal(found, wanted)
        assert (found is not x and np.array_equal(x, X)) if kept else found is x

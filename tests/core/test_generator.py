"""The generator beside PyTorch's: values bit for bit, and after every draw the same state."""

import copy
import math
import pickle
import threading
import warnings

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn
from jaxnn.core.random import generator as generator_module
from jaxnn.core.random.generator import Generator

SIZES = [0, 1, 2, 15, 16, 17, 31, 100, 623, 624, 625, 1000, 4096 + 5]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NUMPY = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
    torch.float16: np.dtype(np.float16),
    torch.bfloat16: BFLOAT16,
    torch.uint8: np.dtype(np.uint8),
    torch.int8: np.dtype(np.int8),
    torch.int16: np.dtype(np.int16),
    torch.int32: np.dtype(np.int32),
    torch.int64: np.dtype(np.int64),
    torch.bool: np.dtype(np.bool_),
    torch.uint16: np.dtype(np.uint16),
    torch.uint32: np.dtype(np.uint32),
    torch.uint64: np.dtype(np.uint64),
    torch.complex64: np.dtype(np.complex64),
    torch.complex128: np.dtype(np.complex128),
}
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
COMPLEX = [torch.complex64, torch.complex128]


def pair(seed):
    return Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


def to_numpy(tensor):
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()


def check(ours, theirs):
    theirs = to_numpy(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.tobytes() != theirs.tobytes():
        both = [a.astype(np.float64 if a.dtype.kind == "V" else a.dtype) for a in (ours, theirs)]
        np.testing.assert_array_equal(*both)
        raise AssertionError("equal values with other bits")


def check_state(ours, theirs):
    np.testing.assert_array_equal(ours.get_state().numpy(), theirs.get_state().numpy())


DRAWS = {
    "rand": (
        FLOATS + COMPLEX,
        lambda g, n, d: g.rand(n, d),
        lambda t, g: torch.rand(t.shape, dtype=t.dtype, generator=g),
    ),
    "uniform": (
        FLOATS + COMPLEX,
        lambda g, n, d: g.uniform((n,), -0.3, 0.7, d),
        lambda t, g: t.uniform_(-0.3, 0.7, generator=g),
    ),
    "uniform_tiny": (
        FLOATS,
        lambda g, n, d: g.uniform(n, 1, 1.015625, d),
        lambda t, g: t.uniform_(1, 1.015625, generator=g),
    ),
    "uniform_point": (FLOATS, lambda g, n, d: g.uniform(n, 2, 2, d), lambda t, g: t.uniform_(2, 2, generator=g)),
    "randn": (
        FLOATS + COMPLEX,
        lambda g, n, d: g.normal(n, dtype=d),
        lambda t, g: torch.randn(t.shape, dtype=t.dtype, generator=g),
    ),
    "normal": (
        FLOATS + COMPLEX,
        lambda g, n, d: g.normal(n, 1.1, 0.7, d),
        lambda t, g: t.normal_(1.1, 0.7, generator=g),
    ),
    "normal_scaled": (FLOATS, lambda g, n, d: g.normal(n, 0, 0.02, d), lambda t, g: t.normal_(0, 0.02, generator=g)),
    "log_normal": (
        FLOATS,
        lambda g, n, d: g.log_normal(n, 0.3, 0.8, d),
        lambda t, g: t.log_normal_(0.3, 0.8, generator=g),
    ),
    "exponential": (FLOATS, lambda g, n, d: g.exponential(n, 1.7, d), lambda t, g: t.exponential_(1.7, generator=g)),
    "cauchy": (FLOATS, lambda g, n, d: g.cauchy(n, 0.4, 1.3, d), lambda t, g: t.cauchy_(0.4, 1.3, generator=g)),
    "geometric": (
        FLOATS + INTEGERS,
        lambda g, n, d: g.geometric(n, 0.3, d),
        lambda t, g: t.geometric_(0.3, generator=g),
    ),
    "random": (
        FLOATS + INTEGERS + [torch.bool],
        lambda g, n, d: g.random(n, d),
        lambda t, g: t.random_(generator=g),
    ),
    "random_to": (
        FLOATS + INTEGERS + [torch.uint16, torch.uint32, torch.uint64],
        lambda g, n, d: g.random(n, d, None, 100),
        lambda t, g: t.random_(100, generator=g),
    ),
    "random_from": (
        FLOATS + INTEGERS + [torch.bool, torch.uint16, torch.uint32],
        lambda g, n, d: g.random(n, d, 1),
        lambda t, g: t.random_(1, None, generator=g),
    ),
    "random_full": (
        [torch.float32, torch.float64, torch.bfloat16, torch.int64],
        lambda g, n, d: g.random(n, d, -(2**63)),
        lambda t, g: t.random_(-(2**63), None, generator=g),
    ),
    "randint": (
        FLOATS + INTEGERS,
        lambda g, n, d: g.randint(3, 77, n, d),
        lambda t, g: torch.randint(3, 77, t.shape, dtype=t.dtype, generator=g),
    ),
    "bernoulli": (
        FLOATS + INTEGERS + [torch.bool],
        lambda g, n, d: g.bernoulli(0.3, n, d),
        lambda t, g: t.bernoulli_(0.3, generator=g),
    ),
}


@pytest.mark.parametrize(("name", "dtype"), [(name, d) for name, (dtypes, *_) in DRAWS.items() for d in dtypes])
def test_draw(name, dtype):
    _, ours, theirs = DRAWS[name]
    g, tg = pair(len(name))
    for n in SIZES:
        expected = theirs(torch.empty(n, dtype=dtype), tg)
        check(ours(g, n, NUMPY[dtype]), expected)
        check_state(g, tg)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_large_normal(dtype):
    g, tg = pair(9)
    check(g.normal(300_001, dtype=NUMPY[dtype]), torch.randn(300_001, dtype=dtype, generator=tg))
    check_state(g, tg)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-(2**63), 2**64 - 1),
    st.lists(
        st.tuples(
            st.sampled_from(
                [(k, d) for k in ("rand", "randn", "normal", "log_normal", "exponential", "random") for d in FLOATS]
            ),
            st.integers(0, 40),
        ),
        max_size=12,
    ),
)
def test_interleaved(seed, draws):
    g, tg = pair(seed)
    assert g.initial_seed() == tg.initial_seed()
    for (name, dtype), n in draws:
        check(DRAWS[name][1](g, n, NUMPY[dtype]), DRAWS[name][2](torch.empty(n, dtype=dtype), tg))
    check_state(g, tg)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 0, 2), (5, 7)])
def test_shapes(shape):
    g, tg = pair(1)
    check(g.rand(shape), torch.rand(shape, generator=tg))
    check(g.normal(shape), torch.randn(shape, generator=tg))
    check(g.randint(0, 9, shape), torch.randint(0, 9, shape, generator=tg))
    check_state(g, tg)


@pytest.mark.parametrize(
    ("mean", "std"), [(m, s) for m in (0.5, (5, 4), (4,)) for s in (0.7, (5, 4), (5, 1)) if (m, s) != (0.5, 0.7)]
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_of_arrays(mean, std, dtype):
    g, tg = pair(4)
    mean = mean if isinstance(mean, float) else torch.linspace(-1, 2, math.prod(mean)).reshape(mean).to(dtype)
    std = std if isinstance(std, float) else torch.linspace(0, 2, math.prod(std)).reshape(std).to(dtype)
    ours = [to_numpy(p) if isinstance(p, torch.Tensor) else p for p in (mean, std)]
    check(g.normal(None, *ours), torch.normal(mean, std, generator=tg))
    check_state(g, tg)


@pytest.mark.parametrize("n", [3, 40, 501])
@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_not_contiguous(n, dtype):
    g, tg = pair(4)
    expected = torch.empty(n, 2, dtype=dtype)[:, 0].normal_(0.5, 2.0, generator=tg)
    check(g.normal(n, 0.5, 2.0, NUMPY[dtype], contiguous=False), expected.contiguous())
    check_state(g, tg)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("out", [torch.float32, torch.float16, torch.bool, torch.int64])
def test_bernoulli_of_arrays(dtype, out):
    g, tg = pair(6)
    p = torch.linspace(0, 1, 1001).to(dtype)
    check(g.bernoulli(to_numpy(p)), torch.bernoulli(p, generator=tg))
    check(g.bernoulli(to_numpy(p), (3, 1001), NUMPY[out]), torch.empty(3, 1001, dtype=out).bernoulli_(p, generator=tg))
    check_state(g, tg)


RANGES = [
    (0, 1), (0, 2**28 - 1), (0, 2**28), (-5, 2**28 - 5), (0, 2**31 - 1), (0, 2**32), (-(2**40), 2**40), (0, 2**63 - 1),
    (-(2**63), 2**63 - 1), (-(2**63), -(2**63) + 7), (2**24 - 3, 2**24 + 9), (-(2**24) - 9, 2**24 + 5), (2000, 2100),
    (-70000, 1), (0, 65504), (250, 300),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS + [torch.bool, torch.uint32, torch.uint64])
def test_randint_ranges(low, high, dtype):
    g, tg = pair(8)
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for draw in (
            lambda: g.randint(low, high, 300, NUMPY[dtype]),
            lambda: torch.randint(low, high, (300,), dtype=dtype, generator=tg),
        ):
            try:
                outcomes.append(draw())
            except RuntimeError as error:
                outcomes.append(str(error))
    if isinstance(outcomes[1], str):
        assert outcomes[0] == outcomes[1]
    else:
        check(*outcomes)
        check_state(g, tg)


def test_randint_warns():
    with pytest.warns(UserWarning, match=r"to - 1 is out of bounds \[-\(2\^24\), 2\^24\]"):
        Generator().randint(0, 2**25, 3, np.float32)


@pytest.mark.parametrize("n", [0, 1, 2, 17, 256, 1000, 60_000])
def test_randperm(n):
    g, tg = pair(2)
    check(g.randperm(n), torch.randperm(n, generator=tg))
    check_state(g, tg)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("n", [5, 128, 129, 257, 258, 2049, 2050, 32768])
def test_randperm_dtypes(n, dtype):
    g, tg = pair(2)
    try:
        expected = torch.randperm(n, dtype=dtype, generator=tg)
    except RuntimeError as error:
        with pytest.raises(RuntimeError) as raised:
            g.randperm(n, NUMPY[dtype])
        assert str(raised.value) == str(error)
    else:
        check(g.randperm(n, NUMPY[dtype]), expected)


def test_large_randperm_is_a_permutation(monkeypatch):
    """PyTorch's own switch lies at 214,748,364 elements, too large for a test: seen equal there once."""
    monkeypatch.setattr(generator_module, "_RANDPERM_LARGE", 1000)
    g = Generator().manual_seed(0)
    words = g.clone_state()._words64(1000)
    permutation = g.randperm(1000)
    assert sorted(permutation.tolist()) == list(range(1000))
    assert permutation[int(words[-1]) % 1000] == 999


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 50), (1, 1000)])
@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial(dtype, shape, replacement):
    g, tg = pair(5)
    probs = torch.rand(shape, generator=torch.Generator().manual_seed(1)).add_(0.01).to(dtype)
    counts = {1, 4000} if replacement else {1, min(3, shape[-1]), shape[-1]}
    if not replacement and dtype.itemsize == 2 and shape[-1] > 10:
        counts = {1}  # equal keys of 16 bits, which PyTorch's topk leaves in an unspecified order
    for k in counts:
        check(g.multinomial(to_numpy(probs), k, replacement), torch.multinomial(probs, k, replacement, generator=tg))
        check_state(g, tg)


def test_multinomial_with_zeros():
    g, tg = pair(5)
    probs = torch.tensor([[0.0, 2.0, 0.0, 1.0, 0.0], [1.0, 0.0, 3.0, 0.0, 0.0]])
    for k, replacement in ((1, False), (2, False), (500, True)):
        check(g.multinomial(probs.numpy(), k, replacement), torch.multinomial(probs, k, replacement, generator=tg))


SEEDS = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**53, 2**63, 2**64 - 1, -1, -5, -(2**63)]


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed):
    g, tg = pair(seed)
    assert g.initial_seed() == tg.initial_seed()
    check_state(g, tg)
    check(g.rand(5), torch.rand(5, generator=tg))
    assert g.manual_seed(seed) is g
    check_state(g, tg.manual_seed(seed))


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.5, True, "a", None, np.int64(3)])
def test_seeds_refused(seed):
    for_torch, for_us = (pytest.raises((RuntimeError, ValueError, TypeError)) for _ in range(2))
    with for_torch as expected:
        torch.Generator().manual_seed(seed)
    with for_us as raised:
        Generator().manual_seed(seed)
    assert (raised.type, str(raised.value)) == (expected.type, str(expected.value))


@pytest.mark.parametrize("words", [0, 1, 2, 3, 100, 623, 624, 625, 1248, 2000])
@pytest.mark.parametrize("spare", [False, True])
def test_states_are_exchanged(words, spare):
    g, tg = pair(2**40 + 3)
    torch.rand(words, generator=tg)
    g.rand(words)
    if spare:
        torch.randn(1, generator=tg)
        g.normal(1)
    there, here = torch.Generator(), Generator()
    there.set_state(torch.from_numpy(g.get_state().numpy()))
    here.set_state(jaxnn.from_numpy(tg.get_state().numpy()))
    assert here.initial_seed() == there.initial_seed() == 2**40 + 3
    check_state(here, there)
    check(here.normal(3), torch.randn(3, generator=tg))
    check(g.normal(3), torch.randn(3, generator=there))
    check_state(here, there)


def test_states_refused():
    states = {
        "float64": lambda t: t.zeros(5056, dtype=t.float64),
        "short": lambda t: t.zeros(10, dtype=t.uint8),
        "zeros": lambda t: t.zeros(5056, dtype=t.uint8),
        "every other": lambda t: t.Generator().get_state().repeat(2)[::2],
        "every other float": lambda t: t.Generator().get_state().float().repeat(2)[::2],
        "int": lambda t: 5,
        "numpy's": lambda t: t.Generator().get_state().numpy(),
    }
    for name, state in states.items():
        for method in ("Generator", "get_default"):
            with pytest.raises((RuntimeError, TypeError)) as expected:
                torch.Generator().set_state(state(torch)) if method == "Generator" else torch.set_rng_state(state(torch))
            with pytest.raises(expected.type) as raised:
                Generator().set_state(state(jaxnn)) if method == "Generator" else jaxnn.set_rng_state(state(jaxnn))
            assert str(raised.value) == str(expected.value), name


def test_a_state_of_any_shape():
    g = Generator().manual_seed(3)
    g.normal(3)
    other = Generator()
    other.set_state(g.get_state().view(2, -1))
    assert type(g.get_state()) is jaxnn.Tensor and other.get_state().tolist() == g.get_state().tolist()


def test_new_generator_is_like_a_new_generator_of_pytorch():
    check_state(Generator(), torch.Generator())
    assert str(Generator().device) == str(torch.Generator().device) and type(Generator().device) is jaxnn.device
    assert 0 <= Generator().seed() < 2**53
    with pytest.raises(NotImplementedError, match="device cuda"):
        Generator("cuda")
    for method in (Generator().get_offset, lambda: Generator().set_offset(3)):
        with pytest.raises(RuntimeError, match="CPU Generator does not use offset"):
            method()


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, Generator.clone_state, lambda g: pickle.loads(pickle.dumps(g))]
)
def test_copies_continue_on_their_own(duplicate):
    g = Generator().manual_seed(11)
    g.normal(3)
    other = duplicate(g)
    assert other.initial_seed() == 11
    np.testing.assert_array_equal(other.state_bytes(), g.state_bytes())
    expected = g.normal(5)
    assert not np.array_equal(other.state_bytes(), g.state_bytes())
    np.testing.assert_array_equal(other.normal(5), expected)


def test_threads_share_the_stream_in_whole_pieces():
    g, pieces = Generator().manual_seed(0), []
    threads = [threading.Thread(target=lambda: pieces.extend(g.rand(1000) for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = Generator().manual_seed(0).rand((200, 1000))
    assert {p.tobytes() for p in pieces} == {p.tobytes() for p in expected}


def test_default_generator():
    before = generator_module.default_generator.state_bytes()
    with torch.random.fork_rng(devices=[]):
        for seed in (3, 2.7, "12", -4):
            assert generator_module.manual_seed(seed) is generator_module.default_generator
            torch.manual_seed(seed)
            assert generator_module.initial_seed() == torch.initial_seed()
            np.testing.assert_array_equal(generator_module.default_generator.state_bytes(), torch.get_rng_state().numpy())
        assert generator_module.seed() == generator_module.initial_seed()
        generator_module.default_generator.set_state_bytes(torch.get_rng_state().numpy())
        check(generator_module.default_generator.rand(4), torch.rand(4))
    generator_module.default_generator.set_state_bytes(before)


E, INF, NAN = torch.empty, float("inf"), float("nan")
REFUSED = [
    (lambda g: g.rand(3, np.int64), lambda: torch.rand(3, dtype=torch.int64)),
    (lambda g: g.rand((2, -1)), lambda: torch.rand(2, -1)),
    (lambda g: g.uniform(3, 1, 0), lambda: E(3).uniform_(1, 0)),
    (lambda g: g.uniform(3, 0, INF), lambda: E(3).uniform_(0, INF)),
    (lambda g: g.uniform(3, NAN, 0), lambda: E(3).uniform_(NAN, 0)),
    (lambda g: g.uniform(3, -3e38, 3e38), lambda: E(3).uniform_(-3e38, 3e38)),
    (lambda g: g.uniform(3, 0, 1e6, np.float16), lambda: E(3, dtype=torch.half).uniform_(0, 1e6)),
    (lambda g: g.normal(3, 0, -1), lambda: E(3).normal_(0, -1)),
    (lambda g: g.normal(0, 0, NAN), lambda: E(0).normal_(0, NAN)),
    (lambda g: g.normal(3, dtype=np.int64), lambda: E(3, dtype=torch.long).normal_()),
    (lambda g: g.normal(None, 0.0, -np.ones(2)), lambda: torch.normal(0.0, -torch.ones(2))),
    (lambda g: g.normal(None, np.zeros(2), -1.0), lambda: torch.normal(torch.zeros(2), -1.0)),
    (lambda g: g.log_normal(3, 0, 0), lambda: E(3).log_normal_(0, 0)),
    (lambda g: g.log_normal(3, dtype=np.int64), lambda: E(3, dtype=torch.long).log_normal_()),
    (lambda g: g.exponential(3, 0), lambda: E(3).exponential_(0)),
    (lambda g: g.exponential(3, NAN), lambda: E(3).exponential_(NAN)),
    (lambda g: g.exponential(3, dtype=np.int64), lambda: E(3, dtype=torch.long).exponential_()),
    (lambda g: g.cauchy(3, 0, -1), lambda: E(3).cauchy_(0, -1)),
    (lambda g: g.cauchy(3, dtype=np.int64), lambda: E(3, dtype=torch.long).cauchy_()),
    (lambda g: g.geometric(3, 1), lambda: E(3).geometric_(1)),
    (lambda g: g.geometric(3, 0.5, np.bool_), lambda: E(3, dtype=torch.bool).geometric_(0.5)),
    (lambda g: g.bernoulli(1.5, 3), lambda: E(3).bernoulli_(1.5)),
    (lambda g: g.bernoulli(0.5, 3, np.complex64), lambda: E(3, dtype=torch.complex64).bernoulli_(0.5)),
    (lambda g: g.bernoulli(0.5, 3, np.uint16), lambda: E(3, dtype=torch.uint16).bernoulli_(0.5)),
    (lambda g: g.bernoulli(np.array([1])), lambda: torch.bernoulli(torch.tensor([1]))),
    (lambda g: g.randint(5, 3, 3), lambda: torch.randint(5, 3, (3,))),
    (lambda g: g.randint(0, 0, 0), lambda: torch.randint(0, 0, (0,))),
    (lambda g: g.randint(0, 300, 3, np.uint8), lambda: torch.randint(0, 300, (3,), dtype=torch.uint8)),
    (lambda g: g.randint(-1, 30, 3, np.uint8), lambda: torch.randint(-1, 30, (3,), dtype=torch.uint8)),
    (lambda g: g.randint(0, 70000, 3, np.float16), lambda: torch.randint(0, 70000, (3,), dtype=torch.half)),
    (lambda g: g.randint(0, 9, 3, np.complex64), lambda: torch.randint(0, 9, (3,), dtype=torch.complex64)),
    (lambda g: g.randint(0, 2**63, 3), lambda: torch.randint(0, 2**63, (3,))),
    (lambda g: g.random(3, np.uint16), lambda: E(3, dtype=torch.uint16).random_()),
    (lambda g: g.random(3, np.int32, -(2**63)), lambda: E(3, dtype=torch.int32).random_(-(2**63), None)),
    (lambda g: g.random(3, np.float16, -(2**63)), lambda: E(3, dtype=torch.half).random_(-(2**63), None)),
    (lambda g: g.random(3, np.uint8, -5), lambda: E(3, dtype=torch.uint8).random_(-5, None)),
    (lambda g: g.random(3, np.uint64, 1), lambda: E(3, dtype=torch.uint64).random_(1, None)),
    (lambda g: g.random(3, np.float32, 2**25), lambda: E(3).random_(2**25, None)),
    (lambda g: g.randperm(-1), lambda: torch.randperm(-1)),
    (lambda g: g.randperm(5, np.bool_), lambda: torch.randperm(5, dtype=torch.bool)),
    (lambda g: g.randperm(5, np.complex64), lambda: torch.randperm(5, dtype=torch.complex64)),
    (lambda g: g.multinomial(np.ones(3), 4), lambda: torch.multinomial(torch.ones(3), 4)),
    (lambda g: g.multinomial(np.ones(3), 0), lambda: torch.multinomial(torch.ones(3), 0)),
    (lambda g: g.multinomial(np.array([1.0, -1]), 1), lambda: torch.multinomial(torch.tensor([1.0, -1]), 1)),
    (
        lambda g: g.multinomial(np.array([1.0, -1]), 3, True),
        lambda: torch.multinomial(torch.tensor([1.0, -1]), 3, True),
    ),
    (lambda g: g.multinomial(np.array([1, INF]), 3, True), lambda: torch.multinomial(torch.tensor([1, INF]), 3, True)),
    (lambda g: g.multinomial(np.array([1, NAN]), 1), lambda: torch.multinomial(torch.tensor([1, NAN]), 1)),
    (lambda g: g.multinomial(np.eye(2) * [0, 1], 1), lambda: torch.multinomial(torch.tensor([[0.0, 0], [0, 1]]), 1)),
    (lambda g: g.multinomial(np.zeros(3), 2, True), lambda: torch.multinomial(torch.zeros(3), 2, True)),
    (lambda g: g.multinomial(np.array([1, 2]), 1), lambda: torch.multinomial(torch.tensor([1, 2]), 1)),
    (lambda g: g.multinomial(np.ones((2, 2, 2)), 1), lambda: torch.multinomial(torch.ones(2, 2, 2), 1)),
]


@pytest.mark.parametrize(("ours", "theirs"), REFUSED)
def test_refused(ours, theirs):
    with pytest.raises((RuntimeError, ValueError, TypeError)) as expected:
        theirs()
    g = Generator()
    with pytest.raises(expected.type) as raised:
        ours(g)
    assert str(raised.value) == str(expected.value)
    np.testing.assert_array_equal(g.state_bytes(), Generator().state_bytes())


def test_refused_with_other_words():
    g = Generator()
    for p in (np.array([0.5, 1.5]), np.array([NAN])):
        with pytest.raises(RuntimeError):
            torch.bernoulli(torch.from_numpy(p))
        with pytest.raises(RuntimeError, match="p_in >= 0 && p_in <= 1"):
            g.bernoulli(p)
    with pytest.raises(RuntimeError, match="must match the existing size"):
        g.bernoulli(np.array([0.5, 0.2]), 3)
    with pytest.raises(RuntimeError, match="do not broadcast"):
        g.normal(None, np.zeros(3), np.ones(2))


def test_default_initialisation_of_a_layer():
    tg = torch.Generator().manual_seed(7)
    bound = 1 / math.sqrt(784)
    weight = torch.nn.init.uniform_(torch.empty(512, 784), -bound, bound, generator=tg)
    check(Generator().manual_seed(7).uniform((512, 784), -bound, bound), weight)

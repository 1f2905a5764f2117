"""Convolutions by oneDNN beside PyTorch's, and what a call out of XLA's program must not break."""

import importlib.metadata
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import raw_parity
import torch.nn.functional as F
from raw_parity import array

import jaxnn
from jaxnn.nn.functional import conv, conv_onednn, onednn_library

pytestmark = pytest.mark.skipif(
    jax.default_backend() != "cpu" or not jaxnn.backends.mkldnn.is_available(), reason="oneDNN is not installed"
)
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}  # that of test_conv.py: sums in another order
TARGET = "jaxnn_onednn_convolution"


@pytest.fixture(autouse=True)
def switched_on(monkeypatch):
    monkeypatch.setattr(conv_onednn, "LEAST_WORK", 0)
    with jaxnn.backends.mkldnn.flags(enabled=True):
        yield


def drawn(seed):
    """A random configuration: shapes of input, weight and bias, and options."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 1, 2, 3, 8]))
    c, o = groups * int(rng.integers(1, 20)), groups * int(rng.integers(1, 20))
    if seed % 4 == 0:
        c = groups
    kernel, stride, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    padding = rng.integers(0, 3, 2)
    size = np.maximum(dilation * (kernel - 1) + 1 - 2 * padding, 1) + rng.integers(0, 9, 2)
    options = {name: tuple(int(n) for n in v) for name, v in [("stride", stride), ("padding", padding), ("dilation", dilation)]}
    x = (int(rng.integers(1, 5)), c, *map(int, size))
    return x, (o, c // groups, *map(int, kernel)), (o,), options | {"groups": groups}


@pytest.mark.parametrize("first", (0, 6))
def test_random_configurations(first):
    before = conv_onednn._prepared.cache_info().misses
    for seed in range(first, first + 6):
        *shapes, options = drawn(seed)
        raw_parity.run(conv.conv2d, F.conv2d, *(array(*s) for s in shapes), **options, **TOLERANCE)
    assert conv_onednn._prepared.cache_info().misses > before + 6


@pytest.mark.long
def test_many_random_configurations():
    for seed in range(12, 212):
        *shapes, options = drawn(seed)
        raw_parity.run(conv.conv2d, F.conv2d, *(array(*s) for s in shapes), **options, **TOLERANCE)
        raw_parity.transforms(conv.conv2d, *(array(*s) for s in shapes), **options)


def test_one_and_three_dimensions_and_transposed():
    raw_parity.run(conv.conv1d, F.conv1d, array(2, 8, 9), array(16, 8, 3), array(16), padding=1, **TOLERANCE)
    raw_parity.run(conv.conv3d, F.conv3d, array(2, 8, 4, 5, 6), array(16, 8, 2, 3, 3), stride=2, **TOLERANCE)
    x, w = array(2, 16, 5, 6), array(16, 8, 3, 3)
    raw_parity.run(conv.conv_transpose2d, F.conv_transpose2d, x, w, stride=2, output_padding=1, **TOLERANCE)


def test_second_order_forward_mode_and_vmap(groups=2):
    x, w = array(2, 16, 6, 5), array(16, 16 // groups, 3, 3)
    options = {"stride": (1, 2), "padding": 1, "groups": groups}
    raw_parity.second_order(conv.conv2d, F.conv2d, x, w, **options, **TOLERANCE)
    raw_parity.transforms(conv.conv2d, x, w, **options)


def test_half_precision_is_computed_wide():
    raw_parity.run(conv.conv2d, F.conv2d, array(2, 16, 6, 5, dtype="bfloat16"), array(8, 16, 3, 3, dtype="bfloat16"))


def test_small_ones_and_other_types_are_left_to_xla(monkeypatch):
    def text(dtype):
        with jax.enable_x64(True):
            return jax.jit(lambda x, w: conv.conv2d(x, w)).lower(jnp.zeros((2, 16, 6, 5), dtype), jnp.zeros((8, 16, 3, 3), dtype)).as_text()

    assert TARGET in text(np.float32)
    assert TARGET not in text(np.float64)
    monkeypatch.setattr(conv_onednn, "LEAST_WORK", math.inf)
    assert TARGET not in text(np.float32)


def test_an_exported_program_makes_no_call():
    shapes = jax.ShapeDtypeStruct((2, 16, 6, 5), np.float32), jax.ShapeDtypeStruct((8, 16, 3, 3), np.float32)
    assert TARGET in jax.jit(conv.conv2d).lower(*shapes).as_text()
    assert TARGET not in jax.export.export(jax.jit(conv.conv2d))(*shapes).mlir_module()


def test_an_error_in_the_call_is_raised(monkeypatch):
    x, w = jnp.ones((2, 16, 6, 5)), jnp.ones((8, 16, 3, 3))
    program = jax.jit(conv.conv2d).lower(x, w).compile()
    wanted = program(x, w)

    def fails(self, *addresses):
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patch, pytest.raises(Exception, match="RuntimeError: on purpose"):
        patch.setattr(onednn_library.Convolution, "run", fails)
        jax.block_until_ready(program(x, w))
    np.testing.assert_array_equal(program(x, w), wanted)


def test_without_the_package(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    onednn_library.load.cache_clear()
    conv_onednn.why_not.cache_clear()
    try:
        with pytest.warns(UserWarning, match="XLA computes convolutions.*onednn-cpu-gomp is not installed"):
            jaxnn.backends.mkldnn.enabled = True
        assert not jaxnn.backends.mkldnn.enabled and not jaxnn.backends.mkldnn.is_available()
    finally:
        monkeypatch.undo()
        onednn_library.load.cache_clear()
        conv_onednn.why_not.cache_clear()


PROGRAM = """
import sys, jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
import jaxnn
jaxnn.backends.mkldnn.enabled = True
jaxnn.manual_seed(0)
net = jaxnn.nn.Sequential(jaxnn.nn.Conv2d(3, 16, 3), jaxnn.nn.ReLU(), jaxnn.nn.Conv2d(16, 24, 3, 2))
x = jaxnn.randn(8, 3, 32, 32)
optimizer = jaxnn.optim.SGD(net.parameters(), 0.01)
for _ in range(4):
    optimizer.zero_grad()
    loss = net(x).square().mean()
    loss.backward()
    optimizer.step()
    print(loss.item().hex())
print(jaxnn.nn.functional.conv_onednn._prepared.cache_info().misses > 0)
for _ in range(3):
    net(x)  # still running when the process ends
"""


def test_two_processes_and_the_cache_on_disk(tmp_path):
    def run():
        done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and "Error" not in done.stderr and "rror ignored" not in done.stderr, done.stderr
        return done.stdout

    first = run()
    assert first.endswith("True\n") and any(tmp_path.iterdir())
    assert run() == first

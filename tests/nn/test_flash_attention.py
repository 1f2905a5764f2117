"""What surrounds cuDNN's attention kernels, which need a GPU: here JAX's own products stand in for them.

On a GPU, benchmarks/accelerator.py compares the kernels themselves with the CPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.nn.functional import attention
from jaxnn.nn.functional import flash_attention as flash


@pytest.fixture
def stand_in(monkeypatch):
    """The calls that asked for cuDNN."""
    given = jax.nn.dot_product_attention
    asked = []

    def products(*operands, implementation=None, **options):
        asked.append((implementation, [a.shape for a in operands]))
        return given(*operands, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", products)
    return lambda: [shapes for implementation, shapes in asked if implementation == "cudnn"]


def operands(*shapes, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


@pytest.mark.parametrize("length, others, causal", [(7, 7, True), (5, 8, False)])
def test_first_and_second_derivatives_and_vmap(stand_in, length, others, causal):
    given = operands((2, 4, length, 8), (2, 2, others, 8), (2, 2, others, 8))

    def reference(q, k, v):
        k, v = (jnp.repeat(a, 2, axis=1) for a in (k, v))
        scores = jnp.einsum("nhld,nhsd->nhls", q, k) * 0.3
        if causal:
            scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
        return jnp.einsum("nhls,nhsd->nhld", jax.nn.softmax(scores), v)

    def results(f):
        first = lambda *o: jax.grad(lambda *o: (f(*o) ** 2).sum(), (0, 1, 2))(*o)
        second = jax.grad(lambda *o: sum((g**2).sum() for g in first(*o)), (0, 1, 2))(*given)
        return [f(*given), *first(*given), *second, jax.vmap(f)(*(jnp.stack([a, 2 * a]) for a in given))]

    ours = jax.jit(lambda: results(lambda *o: flash.flash_attention(*o, 0.3, causal)))()
    for found, wanted in zip(ours, jax.jit(lambda: results(reference))(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5 * float(abs(wanted).max()))
    assert stand_in(), "the kernel was not asked"
    assert all(size % 2 == 0 for q, k, _ in stand_in() for size in (q[1], k[1]))


@pytest.mark.parametrize(
    "shapes, dtype, causal, fits",
    [
        (((2, 4, 6, 8),) * 3, jnp.bfloat16, True, True),
        (((2, 4, 6, 8),) * 3, jnp.float32, True, False),
        (((2, 4, 6, 12),) * 3, jnp.float16, False, False),
        (((2, 4, 6, 136),) * 3, jnp.float16, False, False),
        (((2, 4, 6, 8), (2, 4, 5, 8), (2, 4, 5, 8)), jnp.float16, True, False),
        (((2, 4, 6, 8), (2, 4, 5, 8), (2, 4, 5, 8)), jnp.float16, False, True),
        (((2, 4, 6, 8), (2, 3, 6, 8), (2, 3, 6, 8)), jnp.float16, False, False),
        (((4, 6, 8),) * 3, jnp.float16, False, False),
        (((2, 4, 0, 8),) * 3, jnp.float16, False, False),
    ],
)
def test_which_operands_have_a_kernel(shapes, dtype, causal, fits):
    assert flash.fits(*operands(*shapes, dtype=dtype), causal) is fits


@pytest.mark.parametrize(
    "kind, causal, fused",
    [("bfloat16", True, None), ("bfloat16", False, 8**-0.5), ("float16", True, 8**-0.5), ("float16", False, None)],
)
def test_halves_multiplied_as_halves_beside_pytorch(stand_in, kind, causal, fused):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 4, 6, 8), dtype=np.float32) for _ in range(3)]
    theirs = [torch.tensor(a, dtype=getattr(torch, kind), requires_grad=True) for a in arrays]
    ours = [jaxnn.tensor(a, dtype=getattr(jaxnn, kind), requires_grad=True) for a in arrays]
    wanted = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=causal)
    found = attention._attention(*ours, None, None, None, None, causal, False, fused, True, 0)
    wanted.float().pow(2).sum().backward()
    found.float().pow(2).sum().backward()
    assert str(found.dtype) == str(wanted.dtype)
    rounding = torch.finfo(wanted.dtype).eps
    for a, b in zip([found, *(t.grad for t in ours)], [wanted, *(t.grad for t in theirs)], strict=True):
        a, b = (np.asarray(t.detach().float().numpy()) for t in (a, b))
        np.testing.assert_allclose(a, b, rtol=4 * rounding, atol=4 * rounding * abs(b).max())
    assert bool(stand_in()) is (fused is not None)

"""Every row of PyTorch's `module_db` under nnx.jit and nnx.value_and_grad, in JAX's default 32-bit mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from module_db.samples import ROWS, samples, to_ours
from module_db.test_module_db import build, tensors
from parity import values

import jaxnn
import jaxnn.compat

#: Drawn anew at every call, inside a transformation from a key of its own: there is no PyTorch stream to compare with.
RANDOM = {"FractionalMaxPool2d", "FractionalMaxPool3d"}


def arrays(x):
    """Tensors of PyTorch as JAX arrays, in JAX's 32-bit types."""
    if isinstance(x, torch.Tensor):
        return jnp.asarray(x.detach().numpy())
    if isinstance(x, (tuple, list)):
        return type(x)(arrays(y) for y in x)
    if isinstance(x, dict):
        return {k: arrays(v) for k, v in x.items()}
    return to_ours(x)


def weighted(results, arange):
    """One number of all results, each element with its own weight."""
    return sum((t * (0.5 + arange(t.size if arange is jnp.arange else t.numel()).reshape(t.shape) % 7 / 8)).sum()
               for t in results)  # fmt: skip


@pytest.mark.parametrize("name", [n for n in ROWS if n not in RANDOM])
def test_under_nnx_transformations(name):
    info = ROWS[name]
    constructor, call = samples(info, torch.float32, False, 1)[0]
    theirs = build(torch, info, constructor).eval()
    results = [t for t in tensors(theirs(*call[0], **call[1])) if t.is_floating_point()]
    expected = weighted(results, torch.arange)
    if expected.requires_grad:
        expected.backward()

    args, kwargs = to_ours(constructor)
    ours = build(jaxnn, info, (args, kwargs))
    if "Lazy" in name:
        ours(*to_ours(call[0]), **to_ours(call[1]))  # its parameters have shapes from then on
    ours.load_state_dict(theirs.state_dict())
    ours.eval()
    given = arrays(call)
    leaves, structure = jax.tree.flatten(given, is_leaf=lambda x: x is None)
    moving = [k for k, v in enumerate(leaves) if isinstance(v, jax.Array)]

    @nnx.jit
    def value_and_grads(module, inputs):
        def loss(module):
            held = list(leaves)
            for k, v in zip(moving, inputs, strict=True):
                held[k] = v
            args, kwargs = jax.tree.unflatten(structure, held)
            found = [r for r in jax.tree.leaves(module(*args, **kwargs)) if jnp.issubdtype(r.dtype, jnp.floating)]
            return weighted(found, jnp.arange)

        return nnx.value_and_grad(loss)(module)

    value, grads = value_and_grads(ours, [leaves[k] for k in moving])
    scale = max(abs(expected.item()), 1.0)
    np.testing.assert_allclose(float(value), expected.item(), rtol=2e-5, atol=2e-5 * scale)
    found = {".".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(grads)}
    for key, p in theirs.named_parameters():
        if p.grad is not None:
            expected_grad = values(p.grad)
            np.testing.assert_allclose(
                np.asarray(jax.tree.leaves(found[key])[0]),
                expected_grad,
                rtol=1e-4,
                atol=1e-5 * np.abs(expected_grad).max(initial=1.0),
            )

"""Weights to and from Flax's own layers: same results on inputs with their channels last."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxnn
from jaxnn import compat, nn

LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "linear without bias": (lambda: nn.Linear(4, 3, bias=False), (2, 5, 4)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, padding=1, groups=2), (2, 4, 7)),
    "conv2d": (lambda: nn.Conv2d(2, 3, (3, 2), (2, 1), (1, 2), dilation=(1, 2)), (2, 2, 8, 9)),
    "conv2d same": (lambda: nn.Conv2d(2, 3, 4, padding="same", bias=False), (1, 2, 8, 8)),
    "conv2d circular": (lambda: nn.Conv2d(2, 3, 3, padding="same", padding_mode="circular"), (1, 2, 8, 8)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 3, padding="valid"), (1, 1, 5, 5, 5)),
    "conv transpose 1d": (lambda: nn.ConvTranspose1d(2, 3, 4, 3, 1, 2), (2, 2, 6)),
    "conv transpose 2d": (lambda: nn.ConvTranspose2d(2, 3, 3, 2, 1, 1, dilation=2), (2, 2, 5, 6)),
    "embedding": (lambda: nn.Embedding(7, 3), None),
    "batch norm": (lambda: nn.BatchNorm2d(3, momentum=0.3), (4, 3, 5, 5)),
    "layer norm": (lambda: nn.LayerNorm(6, eps=1e-3), (2, 6)),
    "layer norm plain": (lambda: nn.LayerNorm(6, elementwise_affine=False), (2, 6)),
    "rms norm": (lambda: nn.RMSNorm(6), (2, 6)),
    "group norm": (lambda: nn.GroupNorm(2, 6), (3, 6, 5)),
    "instance norm": (lambda: nn.InstanceNorm2d(3, affine=True), (2, 3, 5, 5)),
    "prelu": (lambda: nn.PReLU(), (2, 3)),
    "attention": (lambda: nn.MultiheadAttention(8, 2, batch_first=True), (2, 5, 8)),
    "sequential": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.GELU(), nn.Dropout(0.2), nn.GELU("tanh"), nn.ReLU(), nn.Identity()),
        (2, 2, 9),
    ),
}  # fmt: skip
ROWS_LAST = ("linear", "layer norm", "rms", "prelu", "attention", "embedding")


def turned(x, name, back=False):
    """Channels last, and back."""
    if name.startswith(ROWS_LAST):
        return x
    return np.moveaxis(x, -1 if back else 1, 1 if back else -1)


@pytest.mark.parametrize("name", LAYERS)
def test_there_and_back(name):
    make, shape = LAYERS[name]
    jaxnn.manual_seed(0)
    random = np.random.default_rng(0)
    ours = make()
    with jaxnn.no_grad():
        for t in ours.state_dict().values():
            if t.is_floating_point():
                t.copy_(jaxnn.from_numpy(random.uniform(0.1, 1.0, t.shape)))
    ours.eval()
    x = random.integers(0, 7, (2, 3)) if shape is None else random.normal(size=shape).astype(np.float32)
    given = (jaxnn.from_numpy(x),) * (3 if name == "attention" else 1)
    expected = ours(*given)
    expected = (expected[0] if isinstance(expected, tuple) else expected).detach().numpy()
    theirs = compat.to_flax(ours)
    assert type(theirs).__module__.startswith("flax.")
    result = turned(np.asarray(theirs(jnp.asarray(turned(x, name)))), name, back=True)
    np.testing.assert_allclose(result, expected, rtol=2e-4, atol=2e-5)
    if name == "instance norm":
        return  # Flax's does not say how many dimensions its input has
    again = compat.from_flax(theirs)
    assert repr(again).replace("BatchNorm1d", "BatchNorm2d") == repr(ours).replace("BatchNorm1d", "BatchNorm2d").replace(
        "eps=None", "eps=1.1920928955078125e-07"
    )
    state = ours.state_dict()
    for key, t in again.state_dict().items():
        assert key.endswith("num_batches_tracked") or np.array_equal(t.numpy(), state[key].numpy()), key
    assert [m.training for m in again.modules() if isinstance(m, nn.Dropout)] == [
        m.training for m in ours.modules() if isinstance(m, nn.Dropout)
    ]


def test_a_training_step_of_batch_norm():
    ours = nn.BatchNorm1d(3)
    theirs = compat.to_flax(ours)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    np.testing.assert_allclose(theirs(x), ours(jaxnn.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(theirs.mean[...], ours.running_mean.numpy(), rtol=1e-5, atol=1e-7)


def test_what_the_other_does_not_have_is_refused():
    for layer in (
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.Embedding(3, 2, padding_idx=0), nn.BatchNorm1d(2, momentum=None),
        nn.ConvTranspose1d(2, 2, 3, groups=2), nn.LayerNorm((2, 3)), nn.MultiheadAttention(4, 2), nn.PReLU(3),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=type(layer).__name__):
            compat.to_flax(layer)
    for layer in (nn.LSTM(2, 2), nn.ELU(0.5), nn.Sequential(nn.Flatten())):
        with pytest.raises(TypeError, match="Flax has no layer"):
            compat.to_flax(layer)
    rngs = nnx.Rngs(0)
    for layer in (nnx.Conv(1, 1, (3,), 2, rngs=rngs), nnx.ConvTranspose(1, 1, (3,), rngs=rngs)):
        with pytest.raises(ValueError, match="padding"):
            compat.from_flax(layer)
    for layer in (nnx.LSTMCell(2, 2, rngs=rngs), jax.nn.glu):
        with pytest.raises(TypeError, match="no layer like"):
            compat.from_flax(layer)

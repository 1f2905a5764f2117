"""Models as files of StableHLO: any batch size, several platforms, run by JAX alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import compat
from tests.compat import live_models as models

pytest.importorskip("flatbuffers")
RANDOM = np.random.default_rng(0)


def floats(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


CASES = {
    "cnn": (models.SmallResNet, lambda n: (floats(n, 3, 8, 8),)),
    "language model": (models.TiedLanguageModel, lambda n: (RANDOM.integers(0, 11, (n, 4)),)),
    "own": (models.OwnTransformer, lambda n: (floats(n, 5, 8),)),
    "transformer": (lambda: torch.nn.Transformer(8, 2, 1, 1, 16, batch_first=True), lambda n: (floats(n, 5, 8), floats(n, 3, 8))),
}


def first(result):
    return np.asarray((result[0] if isinstance(result, (tuple, list)) else result).detach())


@pytest.mark.parametrize("name", CASES)
def test_any_batch_from_one_file(name, tmp_path):
    make, inputs = CASES[name]
    torch.manual_seed(0)
    model = make().eval()
    exported = compat.export(model, *map(torch.from_numpy, inputs(2)))
    assert exported.platforms == ("cpu", "cuda", "tpu") and "batch" in exported.inputs[0]
    exported.save(tmp_path / "model")
    loaded = compat.load_exported(tmp_path / "model")
    for n in (1, 3, 8):
        given = inputs(n)
        result = loaded(*given)
        result = result[0] if isinstance(result, (tuple, list)) else result
        np.testing.assert_allclose(result, first(model(*map(torch.from_numpy, given))), rtol=1e-4, atol=1e-5)
    ours = loaded(*map(jaxnn.from_numpy, given))
    assert isinstance(ours[0] if isinstance(ours, (tuple, list)) else ours, jaxnn.Tensor)
    with pytest.raises(ValueError):
        loaded(*(g[..., :1] for g in given))


def test_a_fresh_process_needs_jax_alone(tmp_path):
    torch.manual_seed(0)
    nn = jaxnn.nn
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.GELU(), nn.Flatten(), nn.Linear(18, 3))
    model.eval()
    compat.export(model, jaxnn.ones(1, 1, 5, 5)).save(tmp_path / "model")
    x = floats(3, 1, 5, 5)
    np.save(tmp_path / "x.npy", x)
    program = f"""
    import sys, jax, numpy as np
    run = jax.export.deserialize(bytearray(open({str(tmp_path / "model")!r}, "rb").read())).call
    np.save({str(tmp_path / "y.npy")!r}, run(np.load({str(tmp_path / "x.npy")!r})))
    assert not {{"jaxnn", "flax", "torch"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(jaxnn.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_shapes_and_arguments(tmp_path):
    model = jaxnn.nn.Conv1d(1, 1, 3).eval()
    example = jaxnn.ones(1, 1, 5)
    free = compat.export(model, example, shapes=["batch, _, length"], constraints=["length >= 3"], platforms=["cpu"])
    assert free.inputs == ["float32[batch,1,length]"] and free.platforms == ("cpu",)
    assert free(np.ones((2, 1, 9), np.float32)).shape == (2, 1, 7)
    fixed = compat.export(model, example, batch=None)
    with pytest.raises(ValueError):
        fixed(np.ones((2, 1, 5), np.float32))
    own = compat.export(models.OwnTransformer().eval(), torch.ones(2, 5, 8), return_all=True)
    logits, hidden = own(np.ones((3, 5, 8), np.float32))
    assert logits.shape == (3, 5, 8) and hidden.dtype == np.float32
    with pytest.raises(ValueError, match="model.eval"):
        compat.export(torch.nn.Linear(2, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match="no tensor"):
        compat.export(model)
    with pytest.raises(ValueError, match="2 shapes for 1"):
        compat.export(model, example, shapes=["a", "b"])
    with pytest.raises(FileNotFoundError):
        compat.load_exported(tmp_path / "none")


class OpenSizes(jaxnn.nn.Module):
    """Operators whose arguments are sizes."""

    def forward(self, x):
        n, f = x.shape[0], jaxnn.nn.functional
        changed = x.clone()
        changed[:, 0] = 1.0
        pairs = x.view(n, 2, 2)
        return [
            jaxnn.zeros(n, 3), jaxnn.ones((n, 3)), x.new_zeros(n, 2), jaxnn.full((n,), -0.0), jaxnn.empty(x.size(0), 1).fill_(2.0),
            jaxnn.arange(n), jaxnn.arange(n)[:, None] + x, x[:n], x[jaxnn.arange(n), 0], x[:, :1].expand(n, -1),
            jaxnn.ones(1, 4).repeat(n, 1) + x, x.reshape(n * 2, 2), x.flatten(), x.chunk(2, -1)[0], x.split(2, -1)[1], x.narrow(1, 0, 2),
            jaxnn.cat([jaxnn.ones(1, 1, 2).expand(n, -1, -1), pairs], 1), x.gather(1, jaxnn.zeros(n, 1, dtype=jaxnn.int64)),
            changed, x * n, jaxnn.einsum("bi,bj->bij", x, x), pairs @ pairs, x.topk(2)[0], x.unfold(1, 2, 1), f.pad(x, (1, 1)),
            f.interpolate(pairs[:, None], scale_factor=2), f.max_pool2d(pairs[:, None], 2), x.masked_fill(x > 0, 0.0), x.mean(0),
        ]  # fmt: skip


def test_operators_with_open_sizes():
    model = OpenSizes().eval()
    exported = compat.export(model, jaxnn.ones(2, 4), platforms=["cpu"])
    for n in (1, 3):
        x = floats(n, 4)
        for ours, expected in zip(exported(x), model(jaxnn.from_numpy(x)), strict=True):
            np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_size_that_the_model_compares_can_not_stay_open():
    class Branch(jaxnn.nn.Module):
        def forward(self, x):
            return x * 2 if x.shape[0] == 4 else x

    with pytest.raises(ValueError, match="batch - 4"):
        compat.export(Branch().eval(), jaxnn.ones(4, 2))
    fixed = compat.export(Branch().eval(), jaxnn.ones(4, 2), batch=None)
    np.testing.assert_array_equal(fixed(np.ones((4, 2), np.float32)), np.full((4, 2), 2, np.float32))

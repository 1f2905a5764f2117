"""jaxnn.nn.init beside torch.nn.init: the same numbers for the same seed."""

import inspect
import warnings

import numpy as np
import pytest
import torch

import jaxnn

BITWISE = [
    ("uniform_(t, -1.0, 3.0)", (5, 7)), ("normal_(t, 1.0, 0.1)", (3, 4)), ("constant_(t, 0.3)", (3, 4)),
    ("ones_(t)", (3,)),
    ("zeros_(t)", (3,)), ("eye_(t)", (3, 5)), ("dirac_(t)", (4, 3, 3)), ("dirac_(t, 2)", (4, 3, 3, 4)),
    ("dirac_(t)", (2, 3, 3, 2, 5)), ("xavier_uniform_(t, 2.0)", (5, 7)), ("kaiming_uniform_(t)", (5, 7, 3)),
    ("kaiming_uniform_(t, a=1, mode='fan_out', nonlinearity='relu')", (5, 7)), ("xavier_normal_(t)", (3, 5)),
    ("kaiming_normal_(t)", (3, 5)), ("sparse_(t, 0.4)", (3, 4)), ("uniform_(t, generator=g)", (4,)),
]  # fmt: skip
CLOSE = [
    ("normal_(t)", (40, 40)), ("kaiming_normal_(t, nonlinearity='tanh')", (20, 30)),
    ("trunc_normal_(t, 0.5, 2.0, -1.0, 1.0)", (50,)), ("trunc_normal_(t, 2.0, 1.0, 1.0, 3.0)", (50,)),
    ("trunc_normal_(t, -3.0, 0.5, -3.2, -2.0)", (50,)), ("trunc_normal_(t, 0.0, 1.0, 1.5, 4.0)", (50,)),
    ("orthogonal_(t)", (5, 8)), ("orthogonal_(t, 2.0)", (8, 3, 2)), ("sparse_(t, 0.1, std=1.0)", (20, 6)),
]  # fmt: skip


def filled(face, source, shape, dtype="float32"):
    face.manual_seed(5)
    t = face.zeros(*shape, dtype=getattr(face, dtype))
    g = face.Generator().manual_seed(9)
    assert eval("init." + source, {"init": face.nn.init, "t": t, "g": g}) is t
    return t.to(face.float64).numpy()


@pytest.mark.parametrize(("source", "shape"), BITWISE)
def test_bitwise(source, shape):
    np.testing.assert_array_equal(filled(jaxnn, source, shape), filled(torch, source, shape))


@pytest.mark.parametrize(("source", "shape"), CLOSE)
def test_close(source, shape):
    """Normal draws of 16 and more are within one unit of the last place; QR and erfinv round differently."""
    np.testing.assert_allclose(filled(jaxnn, source, shape), filled(torch, source, shape), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtypes(dtype):
    np.testing.assert_array_equal(
        filled(jaxnn, "kaiming_uniform_(t)", (6, 5), dtype), filled(torch, "kaiming_uniform_(t)", (6, 5), dtype)
    )


def test_through_views():
    """A view is filled through to its base, a leaf that requires gradients too."""
    for face in (torch, jaxnn):
        p = face.nn.Parameter(face.zeros(2, 3))
        face.nn.init.constant_(p[0], 2.0)
        face.nn.init.ones_(p.data)
        base = face.zeros(2, 3)
        face.nn.init.constant_(base[1], 5)
        assert p.tolist() == [[1.0] * 3] * 2
        assert base.tolist() == [[0.0] * 3, [5.0] * 3]


ERRORS = [
    "calculate_gain('foo')", "calculate_gain('leaky_relu', 'x')", "calculate_gain('leaky_relu', True)",
    "eye_(torch.ones(2))",
    "dirac_(torch.ones(2))", "dirac_(torch.ones(3, 2, 2), groups=2)", "xavier_uniform_(torch.ones(2))",
    "kaiming_uniform_(torch.ones(2, 2), mode='x')", "orthogonal_(torch.ones(2))", "sparse_(torch.ones(2), 0.1)",
    "uniform_(torch.ones(2), 1.0, 0.0)", "normal_(torch.ones(2), 0.0, -1.0)",
]  # fmt: skip


@pytest.mark.parametrize("source", ERRORS)
def test_error(source):
    found = []
    for face in (torch, jaxnn):
        with pytest.raises(Exception) as raised:
            eval("init." + source, {"init": face.nn.init, "torch": face})
        found.append((raised.type, str(raised.value)))
    assert found[0] == found[1]


WARNINGS = [
    "uniform(torch.ones(2))", "kaiming_uniform_(torch.ones(0, 2))", "trunc_normal_(torch.ones(3), 10.0)",
    "xavier_normal(torch.ones(2, 2))",
]  # fmt: skip


@pytest.mark.parametrize("source", WARNINGS)
def test_warning(source):
    found = []
    for face in (torch, jaxnn):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            eval("init." + source, {"init": face.nn.init, "torch": face})
        found.append([(w.category, str(w.message)) for w in caught])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gain(name):
    assert jaxnn.nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize("name", [n for n in jaxnn.nn.init.__all__ if n.endswith("_")])
def test_signature(name):
    ours, theirs = (inspect.signature(getattr(m.nn.init, name)).parameters.values() for m in (jaxnn, torch))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_compiles_nothing():
    """Initialising a model records no program."""
    model = jaxnn.nn.Sequential(jaxnn.nn.Linear(3, 4), jaxnn.nn.BatchNorm1d(4))
    assert all(p._storage.rec is None for p in [*model.parameters(), *model.buffers()])

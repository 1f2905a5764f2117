"""A plain nnx model and its twin of jaxnn's layers, with the same weights, for the rows of the tests beside.

The plain one is written as Flax's guides write it; the twin's arrays are the plain one's, transposed where layouts differ.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxnn
from jaxnn import nn
from tests.comparison import check


class Plain(nnx.Module):
    """Two linear layers with a batch norm and dropout between them."""

    def __init__(self, din=3, hidden=8, dout=2, rate=0.0, *, rngs):
        self.first = nnx.Linear(din, hidden, rngs=rngs)
        self.norm = nnx.BatchNorm(hidden, momentum=0.9, epsilon=1e-5, rngs=rngs)
        self.drop = nnx.Dropout(rate, rngs=rngs if rate else None)
        self.last = nnx.Linear(hidden, dout, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


class Twin(nn.Module):
    """The same of jaxnn's layers."""

    def __init__(self, din=3, hidden=8, dout=2, rate=0.0, *, rngs=None):
        super().__init__()
        self.first = nn.Linear(din, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.drop = nn.Dropout(rate)
        self.last = nn.Linear(hidden, dout)

    def forward(self, x):
        return self.last(self.drop(self.norm(self.first(x)).relu()))


def pair(seed=0, **options):
    """A plain model and its twin with the same weights."""
    plain, twin = Plain(**options, rngs=nnx.Rngs(seed)), Twin(**options)
    for name in ("first", "last"):
        theirs, ours = getattr(plain, name), getattr(twin, name)
        ours.weight.set_value(theirs.kernel.get_value().T)
        ours.bias.set_value(theirs.bias.get_value())
    return plain, twin


def values(state):
    """Arrays of a model, a state or a tree of gradients by path, in the plain model's names and layouts."""
    found = {}
    for path, value in jax.tree_util.tree_flatten_with_path(state)[0]:
        names = [str(getattr(k, "name", getattr(k, "key", k))) for k in path]
        names = [n for n in names if n != "value"]
        if not jnp.issubdtype(value.dtype, jnp.floating):
            continue  # counters and random streams differ by name
        array = np.asarray(value)
        if names[-1] == "weight":
            names[-1] = "kernel" if array.ndim > 1 else "scale"
            array = np.swapaxes(array, -1, -2) if array.ndim > 1 else array
        names[-1] = {"running_mean": "mean", "running_var": "var"}.get(names[-1], names[-1])
        found["/".join(names)] = array
    return found


def same(ours, theirs, tolerance=None):
    """Assert that two models, states or trees hold the same values under the same (translated) names."""
    ours, theirs = values(ours), values(theirs)
    assert sorted(ours) == sorted(theirs)
    for name in theirs:
        check(ours[name], theirs[name], "flax", name, tolerance)


def close(a, b):
    """Assert that two arrays are close."""
    check(np.asarray(a), np.asarray(b), "flax")


X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((6, 2)).astype(np.float32)
jaxnn.manual_seed(0)

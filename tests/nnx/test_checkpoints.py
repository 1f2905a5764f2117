"""Flax's guide to checkpoints, with orbax: each use gives the same for a plain model and for its twin."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from nnx.twins import X, Y, close, pair, same

from jaxnn import nn


@pytest.fixture(scope="module")
def checkpointer():
    with ocp.StandardCheckpointer() as made:
        yield made


def abstract_of(model):
    kind = type(model)
    return nnx.split(nnx.eval_shape(lambda: kind(rngs=nnx.Rngs(0))))


def by_state(model, folder, checkpointer):
    """The state itself, restored into the structure of an abstract model."""
    state = nnx.state(model)
    checkpointer.save(folder / "state", state)
    graphdef, abstract = abstract_of(model)
    checkpointer.wait_until_finished()
    restored = checkpointer.restore(folder / "state", abstract)
    assert jax.tree.structure(restored) == jax.tree.structure(abstract)
    return nnx.merge(graphdef, restored)


def by_pure_dict(model, folder, checkpointer):
    """Nested dictionaries of arrays."""
    checkpointer.save(folder / "pure", nnx.to_pure_dict(nnx.state(model)))
    graphdef, abstract = abstract_of(model)
    checkpointer.wait_until_finished()
    nnx.replace_by_pure_dict(abstract, checkpointer.restore(folder / "pure"))
    return nnx.merge(graphdef, abstract)


def into_the_model(model, folder, checkpointer):
    """Into a model that is there, as a training run that goes on does it, its optimizer beside it."""
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda m: jnp.mean((m(X) - Y) ** 2))(model))

    step(model, optimizer)
    checkpointer.save(folder / "run", {"model": nnx.state(model), "optimizer": nnx.state(optimizer)})
    checkpointer.wait_until_finished()
    kept = jax.tree.map(jnp.asarray, nnx.state(optimizer))
    step(model, optimizer)
    found = checkpointer.restore(folder / "run", {"model": nnx.state(model), "optimizer": nnx.state(optimizer)})
    nnx.update(model, found["model"])
    nnx.update(optimizer, found["optimizer"])
    for a, b in zip(jax.tree.leaves(nnx.state(optimizer)), jax.tree.leaves(kept), strict=True):
        np.testing.assert_array_equal(a, b)
    return model


def with_a_layer_more(model, folder, checkpointer):
    """A checkpoint of an older model: the dictionary is changed before it is filled in."""
    found = nnx.to_pure_dict(nnx.state(model))
    name = "kernel" if "kernel" in found["last"] else "weight"
    bias = found["last"].pop("bias")
    checkpointer.save(folder / "old", found)
    checkpointer.wait_until_finished()
    restored = checkpointer.restore(folder / "old")
    assert set(restored["last"]) == {name}
    restored["last"]["bias"] = bias
    graphdef, abstract = abstract_of(model)
    nnx.replace_by_pure_dict(abstract, restored)
    return nnx.merge(graphdef, abstract)


@pytest.mark.parametrize("way", [by_state, by_pure_dict, into_the_model, with_a_layer_more])
def test_checkpoints(way, tmp_path, checkpointer):
    models = pair()
    for model in models:
        model.eval()
    theirs, ours = (way(m, tmp_path / type(m).__name__, checkpointer) for m in models)
    theirs.eval(), ours.eval()
    same(ours, theirs)
    close(ours(X), theirs(X))
    assert type(ours) is type(models[1]) and isinstance(ours.first.weight, nn.Parameter)
    assert list(ours.state_dict()) == list(models[1].state_dict()) and ours.first.weight.requires_grad

"""Scripts for torchrun, unmodified: PyTorch runs them on two processes with gloo, jaxnn on two that two launchers start."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jaxnn.distributed.connection import held_port
from tests.distributed.launching import check, once, run_together

SCRIPT = Path(__file__).parent / "scripts" / "sharded.py"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    def make(folder):
        ports = [held_port() for _ in range(2)]
        told = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0].number, "OMP_NUM_THREADS": 1, "JAX_PLATFORMS": "cpu"}
        nodes = ["-m", "jaxnn.run", "--door", "--nnodes", 2, "--rdzv-endpoint", f"localhost:{ports[1].number}", "--rdzv-id", "loses-one"]
        commands = [[SCRIPT, folder / "theirs"]] * 2 + [[*nodes, "--node-rank", k, SCRIPT, folder / "ours"] for k in range(2)]
        ended = run_together(commands, [{**told, "RANK": rank % 2, "LOCAL_RANK": 0} for rank in range(4)], 900)
        for port in ports:
            port.close()
        written = [(folder / name).exists() for name in ("theirs", "ours")]
        check(ended, [0, 0, 1, 1], written == [True, True])
        (folder / "said").write_text(json.dumps([e.said for e in ended[2:]]))

    folder = once(tmp_path_factory, "sharded", make)
    return [json.loads((folder / name).read_text()) for name in ("theirs", "ours", "said")]


@pytest.mark.parametrize("part", ["fsdp adamw", "fsdp sgd, clipped", "tensor parallel", "sequence parallel", "DTensors"])
def test_losses_and_weights(both, part):
    (their_losses, their_weights), (losses, weights) = (found[part] for found in both[:2])
    np.testing.assert_allclose(losses, their_losses, rtol=1e-5, atol=1e-5)
    assert list(weights) == list(their_weights)
    for name, values in their_weights.items():
        np.testing.assert_allclose(weights[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


TUTORIALS = ["checkpoint", "checkpoint, whole", "checkpoint, saved meanwhile", "recomputed", "tensor parallel tutorial"]
TUTORIALS += ["two dimensions (1, 2)", "two dimensions (2, 1)", "distributed module"]


@pytest.mark.parametrize("name", TUTORIALS)
def test_tutorials(both, name):
    (their_losses, their_weights), (losses, weights) = (found["tutorials"][name] for found in both[:2])
    np.testing.assert_allclose(losses, their_losses, rtol=1e-5, atol=1e-5)
    assert list(weights) == list(their_weights)
    for key, values in their_weights.items():
        np.testing.assert_allclose(weights[key], values, rtol=1e-5, atol=1e-5, err_msg=key)


def test_names_and_placements_of_tutorials(both):
    theirs, ours = (found["tutorials"] for found in both[:2])
    assert ours.keys() == theirs.keys() and len(ours) == len(TUTORIALS) + 2
    for name in ("recomputed names", "distributed module placements"):
        assert ours[name] == theirs[name]


def test_partial_placements(both):
    (their_values, their_texts), (values, texts) = (found["partial"] for found in both[:2])
    np.testing.assert_allclose(values, their_values, rtol=1e-6)
    assert texts == their_texts


@pytest.fixture(scope="module")
def wrapped(both):
    return [found["wrapped"] for found in both[:2]]


TRAINED = ["full shard", "shard grad op", "no shard", "hybrid", "before", "loaded", "went on", "from shards", "same"]


@pytest.mark.parametrize("name", TRAINED)
def test_wrapped_models_train_alike(wrapped, name):
    (their_losses, their_weights), (losses, weights) = (found[name] for found in wrapped)
    np.testing.assert_allclose(losses, their_losses, rtol=1e-5, atol=1e-5)
    assert list(weights) == list(their_weights)
    for key, values in their_weights.items():
        np.testing.assert_allclose(weights[key], values, rtol=1e-5, atol=1e-5, err_msg=key)


def test_policies_choose_the_same_modules(wrapped):
    theirs, ours = (found["policies"] for found in wrapped)
    for name, found in theirs.items():
        assert ours[name] == found, name


def test_types_of_a_wrapped_model(wrapped):
    theirs, ours = wrapped
    assert ours["mixed"] == theirs["mixed"] and ours["texts"] == theirs["texts"]
    np.testing.assert_allclose(ours["mixed out"], theirs["mixed out"], rtol=2e-2, atol=2e-2)  # bfloat16


def test_state_dicts_of_wrapped_models(wrapped):
    theirs, ours = (found["states"] for found in wrapped)
    numbers = ("weights", "moments", "summoned", "gradient")
    for name in theirs.keys() - numbers:
        assert ours[name] == theirs[name], name
    for name in numbers:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-5)


def test_what_wrapped_models_refuse(wrapped):
    theirs, ours = (found["errors"] for found in wrapped)
    assert ours == theirs


def test_a_process_that_dies_ends_those_of_other_machines(both):
    """At the end of the script: the launcher of the dead one says so, the other process gets an error where it waits."""
    first, second = both[2]
    assert "DistBackendError: " in first and "rank 0 (local rank 0" in first
    assert "rank 1 (local rank 0" in second and "was killed by SIGKILL" in second

"""Scripts for torchrun, unmodified: PyTorch runs them on two processes with gloo, jaxnn on two that two launchers start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxnn.distributed.connection import free_port

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "scripts" / "sharded.py"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    ports = [str(free_port()) for _ in range(2)]
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0], "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    nodes = ["-m", "jaxnn.run", "--door", "--nnodes", "2", "--rdzv-endpoint", f"localhost:{ports[1]}", "--rdzv-id", "loses-one"]
    commands = [[str(SCRIPT), str(folder / "theirs")]] * 2
    commands += [[*nodes, "--node-rank", str(k), str(SCRIPT), str(folder / "ours")] for k in range(2)]
    running = [
        subprocess.Popen(
            [sys.executable, *command], env={**os.environ, **told, "RANK": str(rank), "LOCAL_RANK": "0"}, cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank, command in enumerate(commands)
    ]  # fmt: skip
    said = [process.communicate(timeout=900)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 1, 1], said
    return json.loads((folder / "theirs").read_text()), json.loads((folder / "ours").read_text()), said[2:]


@pytest.mark.parametrize("part", ["fsdp adamw", "fsdp sgd, clipped", "tensor parallel", "sequence parallel", "DTensors"])
def test_losses_and_weights(both, part):
    (their_losses, their_weights), (losses, weights) = (found[part] for found in both[:2])
    np.testing.assert_allclose(losses, their_losses, rtol=1e-5, atol=1e-5)
    assert list(weights) == list(their_weights)
    for name, values in their_weights.items():
        np.testing.assert_allclose(weights[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def test_partial_placements(both):
    (their_values, their_texts), (values, texts) = (found["partial"] for found in both[:2])
    np.testing.assert_allclose(values, their_values, rtol=1e-6)
    assert texts == their_texts


def test_a_process_that_dies_ends_those_of_other_machines(both):
    """At the end of the script: the launcher of the dead one says so, the other process gets an error where it waits."""
    first, second = both[2]
    assert "DistBackendError: " in first and "rank 0 (local rank 0" in first
    assert "rank 1 (local rank 0" in second and "was killed by SIGKILL" in second

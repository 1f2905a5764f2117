"""Scripts for torchrun, unmodified: PyTorch runs them on two processes with gloo, jaxnn in one process with two devices."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "scripts" / "sharded.py"


def start(command, rank, world, **more):
    flags = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1", **more}
    return subprocess.Popen([sys.executable, *command], env=flags, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    theirs = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [start([str(SCRIPT), str(folder / "theirs")], rank, 2, **theirs) for rank in range(2)]
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    running.append(start(["-m", "jaxnn", str(SCRIPT), str(folder / "ours")], 0, 1, **flags))
    for process in running:
        said, _ = process.communicate(timeout=900)
        assert process.returncode == 0, said[-3000:]
    return json.loads((folder / "theirs").read_text()), json.loads((folder / "ours").read_text())


@pytest.mark.parametrize("part", ["fsdp adamw", "fsdp sgd, clipped", "tensor parallel", "sequence parallel", "DTensors"])
def test_losses_and_weights(both, part):
    (their_losses, their_weights), (losses, weights) = (found[part] for found in both)
    np.testing.assert_allclose(losses, their_losses, rtol=1e-5, atol=1e-5)
    assert list(weights) == list(their_weights)
    for name, values in their_weights.items():
        np.testing.assert_allclose(weights[name], values, rtol=1e-5, atol=1e-5, err_msg=name)

"""Replicated, FSDP and tensor parallel, one after the other in one process with 8 devices: see `training`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WAYS = ["one", "replicated", "fsdp", "tensor_parallel", "by_rules", "replicated", "fsdp"]


@pytest.fixture(scope="module")
def found():
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.distributed.training"], env=flags, cwd=Path(__file__).parents[2], capture_output=True, text=True,
        timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=range(1, len(WAYS)), ids=[f"{k}-{way}" for k, way in enumerate(WAYS)][1:])
def run(found, request):
    name, result = found["runs"][request.param]
    assert name == WAYS[request.param]
    return result


def test_losses_are_those_of_one_device(found, run):
    np.testing.assert_allclose(run["losses"], found["runs"][0][1]["losses"], rtol=1e-5)


def test_everything_lies_as_was_asked(run):
    assert run["parameters"] == run["asked"] == run["gradients"]
    for name, held in run["states"].items():
        assert held and set(held.values()) == {run["asked"][name]}, name


def test_one_program_for_all_steps(run):
    assert run["compiled after step 2"] == 0 and run["cuts"] == 20


def test_collectives(found):
    first = {way: found["runs"][WAYS.index(way)][1] for way in WAYS}
    elements = first["one"]["elements"]
    # The gradients, the loss and the number of targets; nothing else.
    replicated = first["replicated"]["collectives"]
    assert replicated.keys() == {"all-reduce", "reduced"} and replicated["reduced"] == elements + 2
    # XLA's CPU backend writes a reduce-scatter as an all-reduce of which each device keeps its part.
    sharded = first["fsdp"]["collectives"]
    assert sharded["all-gather"] > 0 and sharded.get("reduce-scatter", 0) + sharded.get("all-reduce", 0) > 0
    assert sharded.keys() <= {"all-gather", "all-reduce", "reduce-scatter", "reduced"}
    # Of a tensor-parallel step: sums of activations, and no gathering of weights that are divided by rules alone.
    assert first["by_rules"]["collectives"]["all-reduce"] > 0


def test_memory(found):
    first = {way: found["runs"][WAYS.index(way)][1] for way in WAYS}
    assert first["fsdp"]["bytes"] * 8 == first["one"]["bytes"] == first["replicated"]["bytes"]
    assert found["large"]["parameters"] > 300_000_000 and found["large"]["share"] <= 1.15

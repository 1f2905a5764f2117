"""Replicated, FSDP and tensor parallel, one after the other in one process with 8 devices and in two with 2 each: see `training`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WAYS = ["one", "replicated", "fsdp", "tensor_parallel", "by_rules", "replicated", "fsdp"]
BY_TWO = ["fsdp", "tensor_parallel", "replicated"]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """What the one process saw, and what each of the two."""
    folder = tmp_path_factory.mktemp("training")
    for devices, launcher in ((8, []), (2, ["jaxnn.run", "--nproc-per-node", "2", "-m"])):
        flags = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(
            [sys.executable, "-m", *launcher, "tests.distributed.training", str(folder)], env=flags, cwd=Path(__file__).parents[2],
            capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1")]


@pytest.fixture(scope="module")
def found(everything):
    return everything[0]


RUNS = [(0, k, way) for k, way in enumerate(WAYS) if k] + [(rank, k, way) for rank in (1, 2) for k, way in enumerate(BY_TWO)]


@pytest.fixture(params=RUNS, ids=[f"{('one', 'rank0', 'rank1')[where]}-{k}-{way}" for where, k, way in RUNS])
def run(everything, request):
    where, k, way = request.param
    name, result = everything[where]["runs"][k]
    assert name == way
    return result


def test_losses_are_those_of_one_device(found, run):
    np.testing.assert_allclose(run["losses"], found["runs"][0][1]["losses"], rtol=1e-5)


def test_everything_lies_as_was_asked(run):
    assert run["parameters"] == run["asked"] == run["gradients"]
    for name, held in run["states"].items():
        assert held and set(held.values()) == {run["asked"][name]}, name


def test_one_program_for_all_steps(run):
    assert run["compiled after step 2"] == 0 and run["cuts"] == 20


def test_two_processes_lie_as_one(everything):
    asked = [{way: result["asked"] for way, result in found["runs"]} for found in everything]
    assert all(asked[0][way] == other[way] for other in asked[1:] for way in BY_TWO)


def test_a_checkpoint_of_eight_devices_is_read_by_two_processes(everything):
    for found in everything[1:]:
        np.testing.assert_allclose(found["goes on"], everything[0]["goes on"], rtol=1e-5)


def test_different_programs_are_told(everything):
    script = (Path(__file__).parent / "training.py").read_text().splitlines()
    line = next(k for k, text in enumerate(script, 1) if "total.item()" in text)
    for rank, found in enumerate(everything[1:]):
        operators, results = found["compared"]
        assert f"rank {rank} at" in operators and operators.count(f"training.py:{line}") == 2, operators
        assert "1 results" in results and "2 results" in results, results


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

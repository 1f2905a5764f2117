"""Models on eight forced CPU devices, spread in different ways, in one process: each keeps its losses and its shardings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "seen.json"
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    ran = subprocess.run([sys.executable, HERE / "mesh_script.py", path], cwd=HERE.parents[1], env=environment, timeout=600)
    assert ran.returncode == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", ["everywhere", "rows"])
def test_programs_are_chosen_by_how_their_inputs_are_spread(seen, name):
    torch.testing.assert_close(seen[name][:2], seen["one device"][:2], rtol=1e-5, atol=1e-5)
    assert seen[name][2] == {"everywhere": ["P()"], "rows": ["P('d',)"]}[name]
    assert seen[name][3] == 0, "a program was compiled again"


def test_a_model_that_moves_keeps_its_new_place(seen):
    assert seen["moved"] == ["P('d',)"]


def test_what_is_recorded_in_the_context_of_a_mesh_runs_in_it(seen):
    assert len({round(value, 4) for value in seen["contexts"]}) == 1


def test_dropout_masks_are_those_of_one_device(seen):
    assert seen["dropout"][0] == pytest.approx(seen["dropout"][1], rel=1e-5)


def test_data_parallel_runs_on_all_devices(seen):
    losses, where, key = seen["data parallel"]
    torch.testing.assert_close(losses, seen["one device"][0], rtol=1e-5, atol=1e-5)
    assert where == "cpu:0" and key == "module.0.weight"


def test_spread_tensors_are_read_and_printed(seen):
    text, values, third, device = seen["printed"]
    assert text == repr(torch.arange(16.0)) and values == torch.arange(16.0).tolist() and third == 3.0 and device == "cpu"

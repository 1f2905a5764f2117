"""Packages written for PyTorch, unmodified: the tables of `packages/` on PyTorch and by ``python -m jaxnn``.

CONTRIBUTING.md says how their wheels come into the folder that ``JAXNN_PACKAGES`` names. What is not there is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.packages
HERE = Path(__file__).parent / "packages"
TABLES = ("attention_rows", "vision_rows", "hugging_face_rows", "training_rows", "inference_rows", "tool_rows")


def is_here(row):
    """Whether the package that a row's name begins with is installed."""
    package, folder = row.split()[0], os.environ.get("JAXNN_PACKAGES")
    return bool(importlib.util.find_spec(package)) or bool(folder and (Path(folder) / package).is_dir())


def read(table):
    sys.path.insert(0, str(HERE))
    try:
        return importlib.import_module(table).ROWS
    finally:
        sys.path.remove(str(HERE))


MODELS = {table: read(table) for table in TABLES}
ROWS = [(table, row) for table, found in MODELS.items() for row in found]


def run(table, folder, stage, rows):
    way = ["-m", "jaxnn", "-q"] if stage == "second" else []
    done = subprocess.run(
        [sys.executable, *way, str(HERE / "runner.py"), table, str(folder), stage, *rows], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2]), "HF_HUB_OFFLINE": "1"}, timeout=1500,
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"row"')]
    assert len(said) == len(rows) or stage == "third", done.stdout[-2000:] + done.stderr[-2000:]
    return {line["row"]: line.get("trace") for line in said}


@pytest.fixture(scope="module")
def done(tmp_path_factory, request):
    """What the processes of a table said of each row that is asked for, and where their results lie."""
    made = {}
    asked = [item.callspec.params for item in request.session.items if item.module is request.module]

    def of(table):
        if table not in made:
            folder = tmp_path_factory.mktemp(table)
            rows = [params["row"] for params in asked if params["table"] == table and is_here(params["row"])]
            made[table] = folder, {stage: run(table, folder, stage, rows) for stage in ("first", "second", "third")}
        return made[table]

    return of


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_package(table, row, done):
    if not is_here(row):
        pytest.skip(f"{row.split()[0]} is not installed: see CONTRIBUTING.md, 'Packages written for PyTorch'")
    folder, said = done(table)
    for stage in ("first", "second"):
        assert said[stage][row] is None, f"{stage}: {said[stage][row]}"
    here = folder / row.replace(" ", "_")
    first, second = np.load(here / "first.npz"), dict(np.load(here / "second.npz"))
    programs = second.pop("programs", None)
    compare(first, second)
    if programs is not None:
        a_step, reads, compiled = programs
        assert (a_step, compiled) == (1 + reads, 0)
        assert not reads or MODELS[table][row].reads
    if row in said["third"]:
        assert said["third"][row] is None, said["third"][row]
        compare(np.load(here / "third.npz"), second)


def compare(theirs, ours):
    """Everything of one kind at its tolerance."""
    assert set(theirs) == set(ours)
    largest = max((np.abs(v).max() for k, v in theirs.items() if k.startswith("gradient ")), default=0)
    for key, value in theirs.items():
        assert ours[key].dtype == value.dtype, key
        kind = key.split()[0]
        if kind == "drawn":
            np.testing.assert_allclose(ours[key], value, rtol=0, atol=1e-6, err_msg=key)
        elif kind == "gradient":
            np.testing.assert_allclose(ours[key], value, rtol=1e-4, atol=1e-5 * np.abs(value).max() + 1e-6 * largest, err_msg=key)
        elif value.dtype.kind != "f":
            np.testing.assert_array_equal(ours[key], value, err_msg=key)
        else:
            np.testing.assert_allclose(ours[key], value, rtol=1e-4, atol=1e-5 * max(1, np.abs(value).max()), err_msg=key)

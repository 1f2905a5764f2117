"""Programs in the style of PyTorch's examples: `python -m jaxnn script.py` prints what `python script.py` prints with PyTorch."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "scripts"
QUICK = ["polynomial", "gcn"]
SLOW = ["digits", "reinforce", "actor_critic", "vae", "dcgan", "super_resolution", "sine_waves", "siamese", "forecasting", "style",
        "forward_forward", "graph_attention", "translation", "word_model --model LSTM", "word_model --model GRU --tied",
        "word_model --model RNN_TANH", "word_model --model Transformer"]  # fmt: skip
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def lines(command):
    environment = {**os.environ, "JAXNN_QUIET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def same(ours, theirs):
    """Whether two lines say the same: the words, and the numbers to three digits."""
    if NUMBER.sub("#", ours) != NUMBER.sub("#", theirs):
        return False
    pairs = zip(NUMBER.findall(ours), NUMBER.findall(theirs), strict=True)
    return all(a == b or math.isclose(float(a), float(b), rel_tol=1e-3, abs_tol=2e-4) for a, b in pairs)


@pytest.mark.parametrize("script", QUICK + [pytest.param(s, marks=pytest.mark.long) for s in SLOW])
def test_a_script_prints_the_same(script):
    name, *arguments = script.split()
    theirs = lines([f"{name}.py", *arguments])
    ours = lines(["-m", "jaxnn", f"{name}.py", *arguments])
    assert len(ours) == len(theirs) > 3
    differing = [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)]
    assert not differing

"""jaxnn's answers beside those that PyTorch gave in another environment in the same run.

``JAXNN_ANSWERS`` names the file that record.py has written. `python3 run.py newest` starts both.
"""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from both import agree
from newest.questions import QUESTIONS

import jaxnn
from tests.comparison import TOLERANCES
from tests.tutorials.test_tutorials import EXACT, same_line

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = pickle.loads(Path(os.environ["JAXNN_ANSWERS"]).read_bytes())
#: Layers are compared as their own tests do.
RTOL = {"layer": TOLERANCES["layer"]["float32"].relative}


def test_all_were_asked():
    assert sorted(ANSWERS) == sorted(QUESTIONS) and len(ANSWERS) > 150


@pytest.mark.parametrize("name", QUESTIONS)
def test_same_answer(name):
    ours, theirs = QUESTIONS[name](jaxnn), ANSWERS[name]
    kind, _, what = name.partition("/")
    if kind == "tutorial":
        assert len(ours) == len(theirs)
        if any("OrderedDict(" in line for line in theirs):  # Python 3.12 prints these with other brackets
            ours, theirs = ([re.sub(r"[][(){}:,]+", " ", line) for line in lines] for lines in (ours, theirs))
        for a, b in zip(ours, theirs, strict=True):
            assert same_line(a, b, what in EXACT), (a, b)
    else:
        agree(list(ours) if isinstance(ours, tuple) else ours, list(theirs) if isinstance(theirs, tuple) else theirs,
              RTOL.get(kind))  # fmt: skip


@pytest.mark.parametrize("loop", ["plain", "nnx"])
def test_the_example(loop, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "train_cnn.py"), "--loop", loop, "--epochs", "1", "--samples", "320"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith("test accuracy: ")


def test_no_pytorch_here():
    assert not hasattr(sys.modules["torch"], "__version__")

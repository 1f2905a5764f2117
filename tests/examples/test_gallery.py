"""The gallery's programs in a short form: they run, and print what they print with PyTorch in jaxnn's place."""

from __future__ import annotations

import io
import sys
import types
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"
PROGRAMS = sorted(file.stem for file in GALLERY.glob("*.py") if file.stem != "common")


def module(name, with_torch):
    source = (GALLERY / f"{name}.py").read_text()
    if with_torch:
        source = source.replace("import jaxnn as torch", "import torch").replace("import jaxnn.", "import torch.")
        source = source.replace("from jaxnn", "from torch")
    made = types.ModuleType(name)
    made.__file__ = str(GALLERY / f"{name}.py")
    exec(compile(source, made.__file__, "exec"), vars(made))
    return made


def printed(name, with_torch, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "common", module("common", with_torch))
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        module(name, with_torch).main(["--steps", "3", "--out", str(folder)])
    assert (folder / f"{name}.png").stat().st_size > 1000
    return out.getvalue()


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, tmp_path, monkeypatch):
    ours = printed(name, False, tmp_path, monkeypatch)
    if name == "two_loops":  # one of them is Flax's
        assert float(ours.split(": ")[1].split("\n")[0]) < 1e-5
    else:
        assert ours == printed(name, True, tmp_path, monkeypatch)

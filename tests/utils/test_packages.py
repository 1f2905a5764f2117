"""Packages that only a part of the library needs: where one is missing, the message says which, and what to install."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import jaxnn
from jaxnn import compat, nn
from jaxnn.compat import arrays
from jaxnn.compat.files.commands import rich
from jaxnn.compat.parity_report.report import ParityReport
from jaxnn.support.packages import needed
from jaxnn.vision.transforms import functional

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def imported(name):
    """A module, executed once more."""
    spec = importlib.util.find_spec(name)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def save_exported(folder):
    compat.export(nn.Linear(3, 2).eval(), jaxnn.ones(1, 3)).save(folder / "model")


#: package -> what is done without it, and what to install.
USES = {
    "matplotlib": [
        (lambda _: imported("jaxnn.utils.pictures"), "jaxnn-torch[examples]"),
        (lambda _: ParityReport.plot(None), "jaxnn-torch[examples]"),
    ],
    "tqdm": [(lambda _: imported("jaxnn.utils.progress"), "jaxnn-torch[examples]")],
    "tensorboardX": [(lambda _: imported("jaxnn.utils.tensorboard"), "jaxnn-torch[tensorboard]")],
    "PIL": [
        (lambda _: functional.to_pil_image(np.zeros((2, 2, 3), np.uint8)), "jaxnn-torch[vision]"),
        (lambda _: imported("jaxnn.utils.tensorboard"), "jaxnn-torch[tensorboard]"),
    ],
    "orbax": [(lambda _: imported("jaxnn.utils.orbax_checkpoint"), "orbax-checkpoint")],
    "flatbuffers": [
        (save_exported, "jaxnn-torch[export]"),
        (lambda folder: compat.load_exported(folder / "model"), "jaxnn-torch[export]"),
    ],
    "rich": [(lambda _: rich(), "jaxnn-torch[files]")],
    "safetensors": [
        (lambda folder: compat.save_weights({"a": jaxnn.ones(2)}, folder / "a.safetensors"), "jaxnn-torch[files]")
    ],
    "torch": [
        (lambda _: compat.parity(nn.Linear(2, 2), None, jaxnn.ones(1, 2)), "torch"),
        (lambda _: compat.to_torch(nn.Linear(2, 2)), "torch"),
        (lambda _: arrays.numpy_to_torch(np.ones(2)), "torch"),
    ],
}


@pytest.mark.parametrize("package", USES)
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    for use, remedy in USES[package]:
        with pytest.raises(ModuleNotFoundError, match=f"needs the package {package}: pip install '{re.escape(remedy)}'") as raised:
            use(tmp_path)
        assert raised.value.name == package


def test_a_package_that_lacks_another_one_says_so(tmp_path, monkeypatch):
    (tmp_path / "jaxnn_half_there.py").write_text("import jaxnn_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'jaxnn_not_there'"):
        needed("jaxnn_half_there", "this", "that")


def test_extras_that_are_named_exist():
    pages = [p for top in ("jaxnn", "compat", "docs") for p in (ROOT / top).rglob("*.*") if p.suffix in (".py", ".md")]
    text = "\n".join(p.read_text() for p in [*pages, ROOT / "README.md"])
    named = {extra for group in re.findall(r"jaxnn-torch\[([\w,]+)\]", text) for extra in group.split(",")}
    assert named and named <= set(PROJECT["optional-dependencies"])


def test_every_other_import_is_a_dependency():
    ours = {re.split(r"[<>=!]", d)[0] for d in PROJECT["dependencies"]} | {"jaxlib", "jaxnn", "__future__"}
    for top in ("jaxnn", "compat"):
        for path in (ROOT / top).rglob("*.py"):
            source = path.read_text()
            if not path.is_relative_to(ROOT / "jaxnn" / "utils" / "tensorboard"):  # its __init__ asks
                for node in ast.walk(ast.parse(source)):
                    names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                    if isinstance(node, ast.ImportFrom) and not node.level:
                        names = [node.module]
                    for package in {n.partition(".")[0] for n in names} - ours - set(sys.stdlib_module_names) - {"torch"}:
                        guarded = re.search(rf'needed\("{package}\b|except ImportError', source)
                        assert guarded, f"{path.relative_to(ROOT)} imports {package}"

"""What a program pays at its start: what is imported late, kept docstrings, parameters read from code."""

import inspect
import os
import subprocess
import sys

import pytest

import jaxnn
from jaxnn import kept_docstrings
from jaxnn.core.operator.signatures import parameters_of
from jaxnn.core.registry import FUNCTIONS

#: In a process of its own. The text of `found` is compared between a process that joins docstrings and one that has kept ones.
PROGRAM = """
import gc
import sys

import jaxnn

late = ["compat", *"distributed distributions hub library masked multiprocessing profiler quasirandom signal testing vision".split()]
late += [f"utils.{name}" for name in "benchmark data flop_counter".split()]
there = [name for name in late if f"jaxnn.{name}" in sys.modules]
assert not there, f"imported with jaxnn: {there}"
assert gc.isenabled()
assert {n for n in late if "." not in n} <= set(dir(jaxnn)) and "data" in dir(jaxnn.utils)
found = [jaxnn.nn.Linear.__doc__, jaxnn.Tensor.add.__doc__, jaxnn.linalg.inv.__doc__]
import jaxnn.utils.data
found += [jaxnn.utils.data.DataLoader.__doc__, jaxnn.distributed.all_reduce.__doc__, jaxnn.signal.windows.hann.__doc__]
assert all("Source: https://docs.pytorch.org" in text for text in found), found
for space, name in (
    (jaxnn, "nothing"), (jaxnn.distributed, "nothing"), (jaxnn.utils, "nothing"), (jaxnn.hub, "nothing"), (jaxnn.signal, "nothing")
):
    try:
        getattr(space, name)
    except AttributeError as error:
        assert f"jaxnn lacks torch{space.__name__[5:]}.nothing" in str(error), error
    else:
        raise AssertionError(space)
from jaxnn import *
assert hub is jaxnn.hub and testing is jaxnn.testing
print("\\n".join(found))
"""


def test_late_namespaces_and_kept_docstrings(tmp_path):
    if sys.implementation.cache_tag is None:
        pytest.skip("this Python keeps no bytecode")
    around = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    run = lambda: subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=around, timeout=120)
    first = run()
    assert first.returncode == 0, first.stderr
    (kept,) = tmp_path.rglob("kept_docstrings*.texts")
    before = kept.stat().st_mtime_ns
    second = run()
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout and kept.stat().st_mtime_ns == before


def test_texts_are_kept_for_the_same_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    key = kept_docstrings.key_of_sources()
    assert key is not None and key == kept_docstrings.key_of_sources()
    assert kept_docstrings.read(key) is None
    kept_docstrings.write(key, ["a", "b"])
    assert kept_docstrings.read(key) == ["a", "b"]
    assert kept_docstrings.read(b"another") is None and kept_docstrings.read(None) is None
    (file,) = tmp_path.rglob("*.texts")
    for broken in (b"", b"nonsense", file.read_bytes()[:-3]):
        file.write_bytes(broken)
        assert kept_docstrings.read(key) is None
    file.unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    kept_docstrings.write(key, ["a"])
    kept_docstrings.write(None, ["a"])
    assert not file.exists()


def test_parameters_are_those_of_the_signature():
    kernels = [f.raw for f in FUNCTIONS.values() if hasattr(f, "raw")]
    assert len(kernels) > 200

    def stars(a, *b, c=1, **d): ...

    for kernel in (*kernels, stars, jaxnn.nn.functional.linear):
        wanted = [p for p in inspect.signature(kernel).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found = parameters_of(kernel)
        assert [(p.name, p.by_name) for p in found] == [(p.name, p.kind is p.KEYWORD_ONLY) for p in wanted], kernel
        assert all(a.default is b.default for a, b in zip(found, wanted, strict=True)), kernel


def test_written_functions_say_what_they_are():
    """Functions that were written from one template have names and defaults of their own."""
    signature = inspect.signature(jaxnn.lerp)
    assert list(signature.parameters) == ["input", "end", "weight", "out"] and signature.parameters["out"].default is None
    with pytest.raises(TypeError, match="lerp"):
        jaxnn.lerp(jaxnn.ones(2))

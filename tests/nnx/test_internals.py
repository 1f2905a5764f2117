"""The private names of JAX and Flax: all stand in one file, and each is there in the versions installed here."""

import importlib
import re
from pathlib import Path

import pytest
from flax import nnx

from jaxnn.core.process.internals import USED

ROOT = Path(__file__).resolve().parents[2]
FILES = [p for top in ("jaxnn", "compat") for p in (ROOT / top).rglob("*.py")]
INTERNALS = ROOT / "jaxnn" / "core" / "process" / "internals.py"


@pytest.mark.parametrize("use", USED, ids=[u.name for u in USED])
def test_is_still_there(use):
    parts = use.name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:k]))
        except ImportError:
            continue
        for part in parts[k:]:
            assert hasattr(found, part), f"{use.name} is gone; {use.where} uses it instead of {use.instead_of}"
            found = getattr(found, part)
        return
    raise AssertionError(f"{use.name} is gone; {use.where} uses it instead of {use.instead_of}")


def test_only_one_file_imports_what_is_private():
    """At its top: what a type checker alone reads is another matter."""
    private = re.compile(r"^(?:from|import) (?:jax\._src|flax\.(?:nnx|core|errors)\b)", re.M)
    for path in FILES:
        if path != INTERNALS:
            assert not private.search(path.read_text()), path


@pytest.mark.parametrize("module", ["ad", "batching", "mlir"])
def test_names_for_writers_of_primitives(module):
    """What is taken of `jax.interpreters`, which is public and promises no more than that a release may change it."""
    found = importlib.import_module(f"jax.interpreters.{module}")
    for path in FILES:
        source = path.read_text()
        if re.search(rf"from jax\.interpreters import .*\b{module}\b", source):
            for name in set(re.findall(rf"\b{module}\.(\w+)", source)):
                assert hasattr(found, name), f"jax.interpreters.{module}.{name} is gone; {path.name} uses it"


def test_every_private_method_is_listed():
    """What the sources of `nn` name of Flax's private attributes is in the list."""
    listed = {u.name.rpartition(".")[2] for u in USED}
    ours = {"_new"}
    theirs = {
        n for kind in (nnx.Variable, nnx.Module) for c in kind.__mro__ if c.__module__.startswith("flax.")
        for n in vars(c) if n.startswith("_") and not n.endswith("__")
    }  # fmt: skip
    for path in (ROOT / "jaxnn" / "nn").rglob("*.py"):
        named = set(re.findall(r"\b(_\w+)\b", path.read_text())) & theirs
        assert named - ours <= listed, (path.name, named - listed)

"""The door: who gets jaxnn for ``import torch``, what is seen of it, and that nothing stays behind."""

from __future__ import annotations

import builtins
import importlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from torch.torch_version import TorchVersion

import jaxnn
from jaxnn import compat
from jaxnn.compat.door import paths
from jaxnn.compat.door.facade import Facade, Names

PACKAGE = """
import importlib, importlib.metadata, importlib.util
import torch
import torch.nn as nn
from torch.nn import functional as F
from . import inner


def late():
    import torch
    from torch.optim import SGD
    from .later import where
    return torch, SGD, where


def probes():
    return (torch.__version__, importlib.metadata.version("torch"), importlib.util.find_spec("torch").origin,
            importlib.import_module("torch.nn"))
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Two packages of the same content, importable by these names."""
    names = ("door_first", "door_second")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(PACKAGE)
        (tmp_path / name / "inner.py").write_text("from torch import Tensor\n")
        (tmp_path / name / "later.py").write_text("from torch import zeros as where\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield names
    for name in [n for n in sys.modules if n.partition(".")[0] in names]:
        del sys.modules[name]


@pytest.fixture
def unchanged():
    """Asserts that the import system is as it was."""

    modules = dict(sys.modules)

    def state():
        theirs = {n: sys.modules.get(n) for n in modules}
        assert not any(isinstance(m, Facade) for m in sys.modules.values())
        return (
            theirs, list(sys.meta_path), builtins.__import__, importlib.import_module, importlib.util.find_spec,
            importlib.metadata.version("torch"), jaxnn.nn.init.zeros_,
        )  # fmt: skip

    before = state()
    yield
    assert state() == before


def test_a_scope_is_for_the_named_packages_only(packages, unchanged):
    first, second = packages
    with compat.torch_alias(scope={first}, quiet=True):
        ours, theirs = importlib.import_module(first), importlib.import_module(second)
        assert ours.nn.Linear is jaxnn.nn.Linear and ours.inner.Tensor is jaxnn.Tensor
        assert theirs.torch is torch and theirs.nn is torch.nn
        assert importlib.util.find_spec("torch").origin == torch.__file__
        version, metadata, origin, nn = ours.probes()
        assert version >= TorchVersion("2.13") and version > (2, 5) and metadata == version and origin == "jaxnn"
        assert nn is ours.nn
        assert theirs.probes()[0] == torch.__version__ and theirs.probes()[3] is torch.nn
        import torch as here

        assert here is torch
    assert first not in sys.modules
    # What was imported goes on by itself, in any thread, and finds its own modules.
    seen = []
    thread = threading.Thread(target=lambda: seen.append(ours.late()))
    thread.start()
    thread.join()
    assert seen[0][1:] == (jaxnn.optim.SGD, jaxnn.zeros) and seen[0][0] is ours.torch
    assert theirs.late() == (torch, torch.optim.SGD, torch.zeros)
    again = importlib.import_module(first)
    assert again is not ours and again.torch is torch
    del sys.modules[first], sys.modules[f"{first}.inner"]


def test_without_a_scope_the_block_itself_gets_jaxnn(packages, unchanged):
    first, _ = packages
    with compat.torch_alias(quiet=True):
        import torch as here
        from torch.nn import Linear

        ours = importlib.import_module(first)
        assert ours.torch is here
        theirs = torch.nn.Linear(2, 2)(torch.ones(1, 2)).sum()  # PyTorch itself goes on, with its own late imports
        theirs.backward()
        torch.compile(lambda x: x + 1)
        assert sys.modules["torch._dynamo"] is torch._dynamo
        with pytest.raises(ImportError, match=r"jaxnn lacks torch\.core"):
            from torch import core  # noqa: F401
        with pytest.raises(ModuleNotFoundError, match=r"jaxnn lacks torch\.nn\.linear"):
            import torch.nn.linear as _  # noqa: F401
        with pytest.raises(ModuleNotFoundError, match=r"jaxnn lacks torch\.nonsense"):
            importlib.import_module("torch.nonsense")
    assert Linear is jaxnn.nn.Linear and here.add is jaxnn.add and first not in sys.modules


def test_packages_that_are_there_already_are_put_aside(packages, unchanged):
    first, _ = packages
    theirs = importlib.import_module(first)
    door = compat.install(scope=[first], quiet=True)
    ours = importlib.import_module(first)
    assert ours is not theirs and ours.nn.Linear is jaxnn.nn.Linear and theirs.nn.Linear is torch.nn.Linear
    assert importlib.reload(ours) is ours and ours.torch.add is jaxnn.add
    door.uninstall()
    assert importlib.import_module(first) is theirs
    assert importlib.reload(theirs).torch is torch
    for name in (first, f"{first}.inner"):
        sys.modules.pop(name)


def test_doors_close_in_any_order(packages, unchanged):
    first, second = packages
    a, b = compat.install(scope={first}, quiet=True), compat.install(scope={second}, quiet=True)
    a.uninstall()
    a.uninstall()
    assert importlib.import_module(second).torch.add is jaxnn.add
    assert importlib.import_module(first).torch is torch
    b.uninstall()
    for name in (first, f"{first}.inner"):
        sys.modules.pop(name)


def test_doors_open_and_close_while_others_import(packages, unchanged):
    first, _ = packages
    stop, failed = threading.Event(), []

    def grow():
        for k in range(100_000):
            if stop.is_set():
                break
            sys.modules[f"door_passing_{k}"] = sys.modules.pop(f"door_passing_{k - 1}", torch)
        for name in [n for n in list(sys.modules) if n.startswith("door_passing_")]:
            del sys.modules[name]

    def work():
        try:
            for _ in range(4):
                with compat.torch_alias(scope={first}, quiet=True):
                    assert importlib.import_module(first).torch.zeros is jaxnn.zeros
        except BaseException as error:
            failed.append(error)

    thread, worker = threading.Thread(target=grow), threading.Thread(target=work)
    thread.start()
    worker.start()
    worker.join()
    stop.set()
    thread.join()
    assert not failed


def test_writing_to_a_module_is_undone(unchanged):
    with compat.torch_alias(quiet=True):
        import torch as here

        here.nn.init.zeros_ = here.nn.init.ones_
        here.nn.init.my_own = 3
        assert jaxnn.nn.init.zeros_ is jaxnn.nn.init.ones_ and not hasattr(jaxnn.nn.init, "my_own")


@pytest.mark.parametrize("scope", ["timm", {"a.b"}, {"torch"}, {"jaxnn"}, {"__main__"}, {3}])
def test_a_bad_scope(scope):
    with pytest.raises((TypeError, ValueError), match="scope"):
        compat.install(scope=scope)
    with pytest.raises((TypeError, ValueError), match="scope"):
        with compat.torch_alias(scope=scope):
            pass


def test_it_is_said_once(capsys, monkeypatch):
    monkeypatch.delenv("JAXNN_QUIET", raising=False)
    monkeypatch.setattr("jaxnn.compat.door.opening._told", [])
    for _ in range(2):
        with compat.torch_alias(scope={"timm"}):
            pass
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "timm" in said and "2.13" in said


def modules():
    names = Names()
    return names, sorted(n for n in paths.PATHS if isinstance(names.find(n), Facade))


NAMES, FACADES = modules()


@pytest.mark.parametrize("path", FACADES)
def test_what_is_seen_is_pytorch_s(path):
    theirs = importlib.import_module(path)
    extra = [n for n in dir(NAMES.find(path)) if not n.startswith("__") and not hasattr(theirs, n)]
    assert not extra, f"{path} has no {extra}: jaxnn.compat.door.paths.OWN hides them"


def test_paths_and_private_names_are_pytorch_s():
    for path in paths.PATHS:
        assert path in sys.modules or importlib.util.find_spec(path), path
    for path, names in paths.PRIVATE.items():
        theirs = importlib.import_module(path)
        assert all(hasattr(theirs, n) for n in names.split()), path


@pytest.mark.parametrize("name", ["core", "compat", "vision", "process_switches", "missing_names", "top_level_layers", "Linear"])
def test_inner_names_are_not_seen(name):
    door = NAMES.module("torch")
    assert not hasattr(door, name) and not hasattr(torch, name)
    with pytest.raises(AttributeError, match=rf"jaxnn lacks torch\.{name}$"):
        getattr(door, name)
    assert not hasattr(door.ops.pointwise, "add") and not hasattr(door.nn, "graph_protocol")


SCRIPT = """
import importlib, json, sys
import torch, torch.jit.annotations, torch.backends.cudnn as cudnn
from torch import nn
from torch.jit import Final
from beside import value

torch.manual_seed(0)
model = nn.Linear(3, 2)
torch.save(model.state_dict(), "model.pt")
model.load_state_dict(torch.load("model.pt"))
print(json.dumps({"argv": sys.argv[1:], "name": __name__, "file": __file__, "loss": model(torch.ones(1, 3)).sum().item(),
                  "again": model(torch.ones(1, 3)).sum().item(), "value": value,
                  "vision": torchvision.__name__ if (torchvision := importlib.import_module("torchvision")) else "",
                  "crop": hasattr(torchvision.transforms, "RandomCrop")}))
sys.exit(3)
"""


def test_a_script_runs(tmp_path):
    (tmp_path / "beside.py").write_text("import torch\nvalue = torch.arange(3).tolist()\n")
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, "-m", "jaxnn", str(script), "--lr", "0.1"], capture_output=True, text=True, timeout=240,
        cwd=tmp_path, env={"PATH": "/usr/bin", "HOME": str(Path.home()), "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    said = json.loads(done.stdout)
    torch.manual_seed(0)
    loss = torch.nn.Linear(3, 2)(torch.ones(1, 3)).sum().item()
    assert said["loss"] == pytest.approx(loss, abs=1e-6) == said["again"]
    assert (said["argv"], said["name"], said["file"]) == (["--lr", "0.1"], "__main__", str(script))
    assert said["value"] == [0, 1, 2] and said["vision"] == "torchvision" and said["crop"]
    assert [line for line in done.stderr.splitlines() if "import torch" in line] != []


@pytest.mark.parametrize("arguments", [["missing.py"], ["-m"], ["--nonsense"], []])
def test_bad_command_lines(arguments, capsys):
    from jaxnn.__main__ import main

    assert main(arguments) == 2


def test_functorch_is_part_of_pytorch(unchanged):
    with compat.torch_alias(quiet=True):
        import functorch
        from functorch import vmap

        assert vmap(lambda x: x * 2)(jaxnn.ones(3)).tolist() == [2, 2, 2]
        assert isinstance(functorch, Facade) and functorch.__version__ == jaxnn.torch_version.API_VERSION
        with pytest.raises(ImportError, match="jaxnn lacks functorch.dim"):
            importlib.import_module("functorch.dim")

"""The tools of the command line: inspect, convert, check."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap

import pytest
import safetensors.torch
import torch

from jaxnn import compat
from jaxnn.__main__ import main


def test_inspect(tmp_path, capsys):
    model = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False))
    state = compat.from_torch(model).state_dict()
    state["tied"] = state["0.weight"]
    compat.save_weights(state, tmp_path / "w.safetensors", {"author": "somebody"})
    assert main(["inspect", str(tmp_path / "w.safetensors")]) == 0
    shown = capsys.readouterr().out
    for part in ("0.weight", "[5, 3]", "float32", "60 B", "= 0.weight", "3 tensors, 30 numbers, 120 B", "author: somebody"):
        assert part in shown, shown
    torch.save({"model": model.state_dict(), "epoch": 1}, tmp_path / "w.pt")
    assert main(["inspect", str(tmp_path / "w.pt"), "--key", "model"]) == 0
    assert "2 tensors, 30 numbers" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "none.pt")]) == 1
    assert "none.pt" in capsys.readouterr().err


def test_convert(tmp_path, capsys):
    model = torch.nn.Linear(3, 2)
    torch.save({"model": model.state_dict(), "optimizer": {"state": torch.ones(1)}}, tmp_path / "w.pt")
    source = (tmp_path / "w.pt").read_bytes()
    assert main(["convert", str(tmp_path / "w.pt"), str(tmp_path / "w.safetensors"), "-q"]) == 1
    assert "--key" in capsys.readouterr().err and not (tmp_path / "w.safetensors").exists()
    assert main(["convert", str(tmp_path / "w.pt"), str(tmp_path / "w.safetensors"), "--key", "model"]) == 0
    assert "reading" in capsys.readouterr().err
    read = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert torch.equal(read["weight"], model.weight) and torch.equal(read["bias"], model.bias)
    steps = (("w.safetensors", "w.npz"), ("w.npz", "again.pt"), ("again.pt", "folder/"), ("folder", "b.safetensors"))
    for step, (a, b) in enumerate(steps):
        options = ["--dtype", "bfloat16"] if step == 3 else []
        assert main(["convert", str(tmp_path / a), f"{tmp_path}/{b}", "-q", *options]) == 0, capsys.readouterr().err
    last = safetensors.torch.load_file(tmp_path / "b.safetensors")
    assert torch.equal(last["weight"], model.weight.to(torch.bfloat16))
    assert torch.equal(torch.load(tmp_path / "again.pt", weights_only=True)["weight"], model.weight)
    assert (tmp_path / "w.pt").read_bytes() == source
    for arguments, message in (
        (["x.pt", "y.pt"], "x.pt"), (["w.pt", "w.h5", "--key", "model"], "ending"), (["w.pt", "w.npz", "--dtype", "int3"], "int3")
    ):  # fmt: skip
        paths = [str(tmp_path / a) for a in arguments[:2]]
        assert main(["convert", *paths, "-q", *arguments[2:]]) == 1
        assert message in capsys.readouterr().err


KILLED = """
import hashlib, os, random, signal, sys, time
from pathlib import Path
from jaxnn.__main__ import main

source, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
draw = random.Random(0)
seen = []
began = time.monotonic()
earlier = Path(target).read_bytes()
assert os.waitpid(os.fork() or os._exit(main(["convert", source, target, "-q"])), 0)[1] == 0  # JAX is not used before
longest = 1.3 * (time.monotonic() - began)
for n in range(count):
    Path(target).write_bytes(earlier)
    pid = os.fork()
    if pid == 0:
        os._exit(main(["convert", source, target, "-q"]))
    time.sleep(draw.random() * longest)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    seen.append(hashlib.sha256(Path(target).read_bytes()).hexdigest())
print(seen)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to kill are forked")
@pytest.mark.parametrize("count", [6, pytest.param(20, marks=pytest.mark.long)])
def test_an_interrupted_conversion_leaves_nothing_half_written(tmp_path, count):
    source, target = tmp_path / "w.pt", tmp_path / "out" / "w.safetensors"
    target.parent.mkdir()
    state = {f"w{k}": torch.full((500_000,), float(k)) for k in range(16)}
    torch.save({"earlier": torch.ones(2)}, source)
    assert main(["convert", str(source), str(target), "-q"]) == 0
    earlier = hashlib.sha256(target.read_bytes()).hexdigest()
    torch.save(state, source)
    before = source.read_bytes()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(source), str(target), str(count)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert source.read_bytes() == before
    seen = eval(done.stdout.splitlines()[-1])
    assert main(["convert", str(source), str(target), "-q"]) == 0
    assert len(seen) == count and set(seen) <= {earlier, hashlib.sha256(target.read_bytes()).hexdigest()}, "the earlier file or the new one"
    print("\n", seen.count(earlier), "of", count, "left the earlier file")
    assert all(torch.equal(t, state[n]) for n, t in safetensors.torch.load_file(target).items())
    leftovers = [n for n in os.listdir(target.parent) if n != target.name]
    assert all(n.startswith((".w.safetensors.", ".tmp")) for n in leftovers), leftovers


SOURCE = """
import torch
import torch.nn.functional as F
from torch import nn, optim as opt
from torch.nn import Linear, NoSuchLayer
import torch.nosuch.deeper as deep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nosuch import Types

act = F.relu
missing = F.nosuch_activation


def forward(x, torch_like=None):
    y = torch.no_such_function(x) + torch.float32.itemsize
    y = nn.Conv2d(1, 1, 1)(y).relu_nosuch()
    opt.NoSuchOptimizer([])
    with torch.no_grad():
        return deep.thing(y), act(y), torch.nn.functional.gelu(y)


def shadowed(F, nn):
    return F.also_nosuch(nn.nothing)


class Net(nn.Module):
    def forward(self, x):
        f = torch
        return f.yet_another(torch.jit.trace(self, x), torch.core, torch.Tensor.nosuch_method)
"""


def test_check(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "program.py").write_text(SOURCE)
    (tmp_path / "a" / "clean.py").write_text("import torch\nprint(torch.ones(2).relu())\n")
    assert main(["check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    path = str(tmp_path / "a" / "program.py")
    found = [line.removeprefix(path + ":") for line in shown.splitlines()[:-1]]
    assert found == [
        "5: torch.nn.NoSuchLayer",
        "6: torch.nosuch.deeper",
        "13: torch.nn.functional.nosuch_activation",
        "17: torch.no_such_function",
        "19: torch.optim.NoSuchOptimizer",
        "21: torch.nosuch.deeper.thing",
        "31: torch.Tensor.nosuch_method",
        "31: torch.core",
        "31: torch.jit.trace refuses to run",
        "31: torch.yet_another",
    ]
    assert shown.splitlines()[-1] == "10 names of torch that jaxnn lacks, at 10 places"
    assert main(["check", str(tmp_path / "a" / "clean.py")]) == 0 and capsys.readouterr().out == ""
    (tmp_path / "broken.py").write_text("def (")
    assert main(["check", str(tmp_path / "broken.py"), str(tmp_path / "none.py")]) == 2
    errors = capsys.readouterr().err
    assert "broken.py" in errors and "none.py" in errors


def test_nothing_runs_and_torch_stays_out(tmp_path):
    (tmp_path / "program.py").write_text("import torch\nraise SystemExit(5)\ntorch.nosuch\n")
    program = f"""
    import sys
    from jaxnn.__main__ import main
    assert main(["check", {str(tmp_path)!r}]) == 1 and "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=300)

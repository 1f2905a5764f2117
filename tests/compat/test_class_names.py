"""Under `python -m jaxnn` classes print as PyTorch's; everywhere else as jaxnn's."""

import contextlib
import io
import os
import subprocess
import sys

import pytest

import jaxnn

SPACES = (
    "torch torch.nn torch.nn.utils.rnn torch.nn.utils.parametrizations torch.nn.utils.prune torch.optim torch.optim.lr_scheduler "
    "torch.optim.swa_utils torch.utils.data torch.distributions torch.distributions.transforms torch.autograd torch.autograd.forward_ad "
    "torch.amp torch.cuda.amp torch.profiler torch.nn.parallel torch.overrides torch.futures"
)
PROGRAM = f"""
import importlib, logging, pickle
import torch
from torch import nn

print([h for h in logging.root.handlers if "pytest" not in type(h).__module__])
x, m = torch.zeros(2, 3), nn.Linear(2, 2)
print(type(x), [type(m)], {{"k": type(m.weight)}}, f"{{type(nn.Sequential(m))}}", repr(nn.LSTM))
print(x.type(), x.dtype, x.device, repr(x.device), x.shape, x.layout, type(x.dtype), type(x.device), type(x.shape), type(x.layout))
print(type(torch.optim.SGD(m.parameters(), lr=0.1)), type(torch.Generator()), type(torch.max(x, 0)), type(torch.sort(x)))
print(type((m(x[:, :2])).grad_fn), type((m(x[:, :2]).exp() + 1).grad_fn))

class Mine(nn.Module):
    pass

class T(torch.Tensor):
    pass

print(Mine, T, type(Mine()), isinstance(m, nn.Module), isinstance(x, torch.Tensor))
kept = pickle.loads(pickle.dumps((m, x.shape, x.dtype, torch.device("cpu"), x)))
print(kept[0], kept[1:], [type(v) for v in kept])

for path in "{SPACES}".split():
    space = importlib.import_module(path)
    for name in sorted(dir(space)):
        if isinstance(getattr(space, name), type) and not name.startswith("_"):
            print(path, name, getattr(space, name))
"""
#: Made in C or by TorchScript, under names that say where.
ELSEWHERE = {
    "torch CompilationUnit", "torch Future", "torch OutOfMemoryError", "torch ScriptFunction", "torch.autograd Variable",
    "torch.futures Future", "torch.profiler ProfilerActivity",
}  # fmt: skip


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the program prints on PyTorch, and what under the door."""
    theirs = io.StringIO()
    with contextlib.redirect_stdout(theirs):
        exec(compile(PROGRAM, "program", "exec"), {"__name__": "__main__"})
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "jaxnn", "-q", str(path)], capture_output=True, text=True, timeout=300,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return theirs.getvalue().splitlines(), done.stdout.splitlines()




def by_name(lines):
    return {" ".join(line.split(" ", 2)[:2]): line for line in lines if line.split(" ")[0] in SPACES.split()}


def test_a_programs_lines(printed):
    theirs, ours = ([line for line in lines if line not in by_name(lines).values()] for lines in printed)
    assert ours == theirs and len(ours) > 5


def test_every_public_class(printed):
    theirs, ours = map(by_name, printed)
    both = {n for n in theirs.keys() & ours.keys() - ELSEWHERE if "<class" in theirs[n]}
    assert len(both) > 350
    assert {n: ours[n] for n in both} == {n: theirs[n] for n in both}


def test_elsewhere_nothing_changes():
    with jaxnn.compat.torch_alias(quiet=True):
        assert str(jaxnn.nn.Linear) == "<class 'jaxnn.nn.linear.Linear'>"
        assert jaxnn.Size.__module__ == "jaxnn.core.kinds.size"
    assert str(jaxnn.Tensor) == "<class 'jaxnn.core.memory.tensor_base.Tensor'>"

"""A process that is forked after JAX has been used is told so, instead of waiting for ever."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading
import jaxnn as torch

torch.set_execution_mode("whole")  # nothing is computed before it is asked for

def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            print("done", work())
        except BaseException as error:
            print(type(error).__name__, error)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

# Before any use a child is a process like any other.
in_child(lambda: (torch.ones(2) * 3).tolist())
x = torch.ones(3) * 2
x.tolist()
pending = x + 1
layer = torch.nn.Linear(3, 2)

def trained():
    loss = layer(x).sum()
    loss.backward()
    return layer.weight.grad.tolist()

for work in (pending.tolist, lambda: (x * 5).tolist(), lambda: x[1:].tolist(), trained, lambda: repr(layer(x)),
             lambda: (torch.zeros(2) + 1).sum().item()):
    in_child(work)
# What needs no JAX works; and a lock that another thread held is free.
in_child(lambda: (x.shape, x.tolist(), torch.tensor([1, 2]).tolist()))
from jaxnn.core.run.cut import LOCK
held, go = threading.Event(), threading.Event()
def hold():
    with LOCK:
        held.set()
        go.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
in_child(pending.tolist)
go.set()
thread.join()
print("parent", pending.tolist())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_forked_process_is_told():
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"JAX_PLATFORMS": "cpu"}
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    first, *told, plain, locked, parent = done.stdout.splitlines()
    assert first == "done [3.0, 3.0]"
    assert len(told) == 6 and all("was forked from process" in line and "spawn" in line for line in [*told, locked])
    assert plain == "done (torch.Size([3]), [2.0, 2.0, 2.0], [1, 2])"
    assert parent == "parent [3.0, 3.0, 3.0]"

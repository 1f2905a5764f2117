"""A checkpoint is replaced whole or not at all: by a kill -9 at any moment, a full disk, or an exception."""

import io
import os
import stat
import subprocess
import sys
import textwrap

import pytest

import jaxnn
from jaxnn.torch_file import replacing

HEAD = """
import os, random, resource, signal, sys, time
import numpy as np
import jaxnn as torch
from pathlib import Path

path, count = Path(sys.argv[1]), int(sys.argv[2])

def state(k):
    model = torch.nn.Linear(300, 300)
    optimizer = torch.optim.Adam(model.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(k)
    return {"k": k, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "more": torch.full((400_000,), float(k))}

def check(found):
    k = found["k"]
    assert found["model"]["weight"].shape == (300, 300) and bool((found["model"]["weight"] == k).all())
    assert bool((found["more"] == k).all()) and found["optimizer"]["param_groups"][0]["lr"] == 1e-3
    return k

def in_child(work):
    # JAX is used in children only, so that each of them may begin anew.
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return pid

def killed(save, load):
    draw = random.Random(0)
    def first():
        save(1)
    assert os.waitpid(in_child(first), 0)[1] == 0
    for n in range(count):
        ready, told = os.pipe()
        def work():
            k = 1000 * (n + 1)
            while True:
                save(k)
                os.write(told, b"x")
                k += 1
        pid = in_child(work)
        os.read(ready, 1)
        time.sleep(draw.random() * PAUSE)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready), os.close(told)
        def look():
            assert check(load()) >= 1000 * (n + 1)
        assert os.waitpid(in_child(look), 0)[1] == 0, n
    print("loaded", count)
"""

SAVE = """
PAUSE = 0.05
killed(lambda k: torch.save(state(k), path), lambda: torch.load(path))
"""

ORBAX = """
PAUSE = 0.6
from jaxnn.utils import orbax_checkpoint
killed(lambda k: orbax_checkpoint.save(path, state(k), force=True), lambda: orbax_checkpoint.restore(path))
"""

MANAGED = """
PAUSE = 0.6
from jaxnn.utils.orbax_checkpoint import CheckpointManager
def save(k):
    with CheckpointManager(path, max_to_keep=2) as checkpoints:
        checkpoints.save(k, state(k))
def load():
    with CheckpointManager(path) as checkpoints:
        return checkpoints.restore()
killed(save, load)
"""

FULL = """
torch.save(state(1), path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for k in range(count):
    try:
        torch.save(state(2), path)
    except OSError as error:
        print("refused", error.errno)
assert check(torch.load(path)) == 1 and os.listdir(path.parent) == [path.name]
"""


def outcome(program, path, count, timeout):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(HEAD + program), str(path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to kill are forked")
@pytest.mark.parametrize("count", [3, pytest.param(30, marks=pytest.mark.long)])
@pytest.mark.parametrize("program", [SAVE, ORBAX, MANAGED], ids=["save", "orbax", "manager"])
def test_a_killed_save_leaves_a_whole_checkpoint(tmp_path, program, count):
    if program is not SAVE:
        pytest.importorskip("orbax.checkpoint")
    assert f"loaded {count}" in outcome(program, tmp_path / "state", count, 600)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size stands for the full disk")
def test_a_full_disk_leaves_the_checkpoint_as_it_was(tmp_path):
    assert outcome(FULL, tmp_path / "state.pt", 1, 300).startswith("refused")


class Stuck(io.BytesIO):
    def write(self, data):
        raise ValueError("stuck")


def test_an_exception_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "state.pt"
    jaxnn.save({"a": jaxnn.ones(2)}, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="half"), replacing(path) as stream:
        stream.write(b"half")
        raise ValueError("half written")
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["state.pt"]
    with pytest.raises(ValueError, match="stuck"):
        jaxnn.save({"a": jaxnn.ones(2)}, Stuck())


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")
def test_links_permissions_and_pipes(tmp_path):
    path, link = tmp_path / "state.pt", tmp_path / "latest.pt"
    jaxnn.save([1], path)
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    link.symlink_to(path)
    jaxnn.save([2], link)
    assert link.is_symlink() and jaxnn.load(path) == [2] and stat.S_IMODE(path.stat().st_mode) == 0o640
    jaxnn.save([3], "/dev/null")
    assert not os.path.isfile("/dev/null")


def test_folders_that_are_not_there(tmp_path):
    import torch

    for library in (jaxnn, torch):
        with pytest.raises(RuntimeError, match="Parent directory .* does not exist"):
            library.save([1], tmp_path / "no" / "state.pt")
        with pytest.raises(RuntimeError, match="Is a directory"):
            library.save([1], tmp_path)
        with pytest.raises(FileNotFoundError):
            library.save([1], tmp_path / "no" / "state.pt", _use_new_zipfile_serialization=False)

"""What a hostile file may cost: nothing runs, 200 MB and ten seconds at most, each on its own."""

import json
import os
import subprocess
import sys
import time

import pytest

import jaxnn
from tests.compat import hostile_files
from tests.compat.files import saved
from tests.compat.test_file_refusals import BOMBS, DAMAGED, LEGACY, PICKLE, hostile, with_pickle


def long(n):
    data = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a%c" % len(data) + data


def shaped(size, stride):
    """The good file, its tensor with other sizes and strides."""
    old = b"K\x02K\x03\x86q\x08K\x03K\x01\x86"
    assert old in PICKLE
    new = b"(" + b"".join(map(long, size)) + b"tq\x08(" + b"".join(map(long, stride)) + b"t"
    return with_pickle(PICKLE.replace(old, new))


def conjugated():
    import torch

    wide = torch.zeros(1, dtype=torch.complex128).expand(1 << 24).conj()
    return saved(wide).getvalue()


SHAPES = {
    "empty, 2**31 long": shaped((2**31, 0), (1, 1)),
    "empty, 2**58 wide": shaped((0, 2**58), (1, 1)),
    "empty, three dimensions": shaped((2**20, 0, 2**20), (0, 0, 7)),
    "empty, long strides": shaped((3, 0), (2**62, 2**62)),
    "empty, 64 dimensions": shaped((0,) * 64, (1,) * 64),
    "too large when empty": shaped((2**62, 0), (1, 1)),
    "expanded to 1 GB": shaped((2**28 - 2**20,), (0,)),
    "expanded to 4 GB": shaped((2**30,), (0,)),
    "overlapping windows": shaped((2, 2**20), (1, 0)),
    "conjugation of an expanded tensor": conjugated(),
}

PROGRAM = """
import json, pathlib, sys, time
import jaxnn

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) >> 10

def load(path):
    try:
        found = jaxnn.load(path, weights_only=False)
    except Exception as error:
        return type(error).__name__
    for t in found.values() if isinstance(found, dict) else [found]:
        if isinstance(t, jaxnn.Tensor) and t.numel() == 0:
            t.sum().item(), t.clone(), t + 1, repr(t.shape)
    return "loaded"

files = sorted(pathlib.Path(sys.argv[1]).iterdir())
jaxnn.zeros(2, 0).as_strided((4, 0), (1, 1)).sum().item()
answers = {}
for path in files:
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    before, began = peak(), time.monotonic()
    outcome = load(path)
    answers[path.name] = outcome, peak() - before, time.monotonic() - began
print(json.dumps(answers))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="memory is read from Linux's /proc")
def test_no_file_costs_much(tmp_path):
    mark = tmp_path / "ran"
    files = {f"shape {name}": content for name, content in SHAPES.items()}
    files |= {f"damaged {name}": content for name, (content, *_) in DAMAGED.items() if content is not None}
    files |= {f"bomb {name}": with_pickle(content) for name, content in BOMBS.items()}
    for name, pickled in hostile(f"touch {mark}").items():
        begin = LEGACY.index(b"uu.") + 3
        files[f"hostile {name}"] = with_pickle(pickled)
        files[f"hostile {name} legacy"] = LEGACY[:begin] + pickled + b"\x80\x02]."
    assert len(files) > 100
    folder = tmp_path / "files"
    folder.mkdir()
    names = {}
    for k, (name, content) in enumerate(files.items()):
        names[f"{k:03d}"] = name
        (folder / f"{k:03d}").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not mark.exists()
    answers = {names[k]: tuple(answer) for k, answer in json.loads(done.stdout).items()}
    assert len(answers) == len(files)
    for name, (outcome, megabytes, seconds) in answers.items():
        assert megabytes < 200 and seconds < 10, (name, outcome, megabytes, seconds)
        if name.startswith(("hostile", "bomb")):
            assert outcome != "loaded" or name == "bomb memo index", name
    assert answers["shape empty, 2**31 long"][0] == "loaded"
    assert answers["shape conjugation of an expanded tensor"][0] == "RuntimeError"


#: What each reader's refusals may be.
REFUSALS = {
    "npz": "ValueError TypeError", "safetensors": "ValueError TypeError", "weights": "ValueError UnpicklingError",
    "folder": "ValueError FileNotFoundError UnpicklingError", "idx": "ValueError", "batch": "UnpicklingError",
    "tar": "ExtractError ReadError OSError", "module": "UnpicklingError",
}  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="memory is read from Linux's /proc")
def test_no_weights_archive_or_dataset_costs_much(tmp_path):
    mark = tmp_path / "ran"
    files = hostile_files.made(str(mark), with_pickle)
    assert len(files) >= 100
    endings = {"npz": ".npz", "safetensors": ".safetensors", "weights": ".pt"}
    for name, content in files.items():
        place = tmp_path / "files" / name.replace("/", "_") / f"file{endings.get(name.partition(' ')[0], '')}"
        place.parent.mkdir(parents=True)
        if isinstance(content, dict):
            place.mkdir()
        for part, inside in content.items() if isinstance(content, dict) else [("", content)]:
            (place / part if part else place).write_bytes(inside)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", hostile_files.__file__, str(tmp_path / "files")],
        capture_output=True, text=True, timeout=300, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert not mark.exists() and not (tmp_path / "files" / "outside").exists()
    assert "\x1b" not in done.stdout + done.stderr and "\u202e" not in done.stdout + done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == len(files)
    wrong = {
        name: answer for name, answer in answers.items()
        if answer[0].partition(":")[0] not in REFUSALS[name.partition(" ")[0]].split() or answer[1] >= 200 or answer[2] >= 10
    }  # fmt: skip
    assert not wrong, "\n".join(f"{name}: {answer}" for name, answer in wrong.items())


def test_views_of_empty_tensors_take_no_memory():
    import torch

    began = time.monotonic()
    for library in (torch, jaxnn):
        x = library.zeros(3).as_strided((2**29, 0), (1, 1))
        assert x.sum().item() == 0 and tuple(x.shape) == (2**29, 0) and (x + 1).numel() == 0
        x.mul_(2)
        y = library.zeros(2**29, 0).unfold(0, 2, 1)
        assert tuple(y.shape) == (2**29 - 1, 0, 2) and y.sum().item() == 0
    assert time.monotonic() - began < 60

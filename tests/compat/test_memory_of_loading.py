"""How much memory `from_pretrained` needs beside the weights themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import safetensors.numpy

LOAD = """
import sys
import jaxnn
from jaxnn import compat

class Model(jaxnn.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = jaxnn.nn.ModuleList([jaxnn.nn.Linear(config["width"], config["width"]) for _ in range(config["depth"])])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

with jaxnn.no_grad():
    Model({"width": 8, "depth": 1})(jaxnn.ones(1, 8)).sum().item()
def memory(what):  # of this program alone: the peak that `resource` tells is also that of the process it was forked from
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(what))

with open("/proc/self/clear_refs", "w") as stream:
    stream.write("5")  # the peak starts anew
before = memory("VmRSS")
model = compat.from_pretrained(sys.argv[1], Model, mmap=sys.argv[2] == "mmap")
loaded = memory("VmHWM")
if sys.argv[3] == "call":
    with jaxnn.no_grad():
        assert model(jaxnn.zeros(1, model.layers[0].in_features)).isfinite().all()
print(before, loaded, memory("VmHWM"))
"""


def peaks(tmp_path, width, depth, shards, how="read", call="call"):
    """Bytes of the weights, and the peaks of loading and of a call, less what the process had before."""
    weight = np.zeros((width, width), np.float32)
    bias = np.zeros(width, np.float32)
    size = 0
    places = {}
    for k in range(shards):
        part = {f"layers.{n}.{p}": a.copy() for n in range(k, depth, shards) for p, a in (("weight", weight), ("bias", bias))}
        name = "model.safetensors" if shards == 1 else f"model-{k + 1:05}-of-{shards:05}.safetensors"
        safetensors.numpy.save_file(part, tmp_path / name)
        size += sum(a.nbytes for a in part.values())
        places |= dict.fromkeys(part, name)
    if shards > 1:
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    (tmp_path / "config.json").write_text(f'{{"width": {width}, "depth": {depth}}}')
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(LOAD), str(tmp_path), how, call],
        capture_output=True, text=True, timeout=600, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    before, loaded, called = map(int, done.stdout.split())
    return size, loaded - before, called - before


@pytest.mark.skipif(sys.platform != "linux", reason="how the system counts a process's memory")
def test_loading_needs_little_more_than_the_weights(tmp_path):
    size, loaded, _ = peaks(tmp_path, 1600, 10, 2, call="no")
    assert loaded <= 1.2 * size, f"{loaded / size:.2f} times the weights"


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="how the system counts a process's memory")
@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("how", ["read", "mmap"])
def test_half_a_gigabyte(tmp_path, shards, how):
    size, loaded, called = peaks(tmp_path, 3536, 10, shards, how)
    print(f"\n{size / 1e6:.0f} MB of weights, {how}, {shards} files: loading {loaded / size:.2f} times, with a call {called / size:.2f}")
    assert loaded <= 1.2 * size

"""Files of weights without torch: safetensors, shards, Hugging Face's folders, numpy's archives; torch's own readers beside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import jaxnn
from jaxnn import compat

TYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool", "complex64", "float8_e4m3fn"]


def values():
    made = {f"a.{t}": torch.randn(3, 2).to(getattr(torch, t)) for t in TYPES}
    return made | {"scalar": torch.tensor(3), "empty": torch.zeros(0, 4), "turned": torch.randn(3, 4).t().contiguous()}


def same(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    for name, t in theirs.items():
        mine = compat.to_torch(ours[name].detach())
        assert mine.dtype == t.dtype and mine.shape == t.shape, name
        assert mine.contiguous().view(torch.uint8).equal(t.contiguous().view(torch.uint8)) if t.dim() else mine == t, name


@pytest.mark.parametrize("mmap", [False, True])
def test_safetensors_both_ways(tmp_path, mmap):
    theirs = values()
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(theirs, path, {"format": "pt", "by": "a test"})
    ours = compat.open_weights(path, mmap=mmap)
    assert ours.metadata == {"format": "pt", "by": "a test"} and ours.nbytes == sum(t.nbytes for t in theirs.values())
    assert {n: (e.shape, e.dtype) for n, e in ours.entries.items()} == {
        n: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for n, t in theirs.items()
    }
    same(ours, theirs)
    again = tmp_path / "again.safetensors"
    compat.save_weights(ours, again, ours.metadata)
    same(compat.from_torch(safetensors.torch.load_file(again)), theirs)
    assert sorted(os.listdir(tmp_path)) == ["again.safetensors", "w.safetensors"]


def test_pytorchs_files_and_numpys(tmp_path):
    theirs = values()
    torch.save({"model": theirs, "epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}}, tmp_path / "w.pt")
    everything = compat.open_weights(tmp_path / "w.pt")
    assert "optimizer.state.0.step" in everything.entries and "model.scalar" in everything
    model = compat.open_weights(tmp_path / "w.pt", key="model")
    same(model, theirs)
    with pytest.raises(KeyError, match="holds model, epoch, optimizer"):
        compat.open_weights(tmp_path / "w.pt", key="nothing")
    compat.save_weights(model, tmp_path / "again.pth")
    same(compat.from_torch(torch.load(tmp_path / "again.pth", weights_only=True)), theirs)

    with pytest.raises(TypeError, match=r"a\.bfloat16 has the type bfloat16"):
        compat.save_weights(model, tmp_path / "w.npz")
    assert not (tmp_path / "w.npz").exists() and len(os.listdir(tmp_path)) == 2
    held = {n: model[n] for n in model if n not in ("a.bfloat16", "a.float8_e4m3fn")}
    compat.save_weights(held, tmp_path / "w.npz")
    same(compat.open_weights(tmp_path / "w.npz"), {n: theirs[n] for n in held})
    with np.load(tmp_path / "w.npz") as archive:
        np.testing.assert_array_equal(archive["turned"], theirs["turned"].numpy())
    with pytest.raises(ValueError, match="ending says no format"):
        compat.save_weights(held, tmp_path / "w.h5")
    with pytest.raises(ValueError, match="carries no metadata"):
        compat.save_weights(held, tmp_path / "w.npz", {"a": "b"})


class Language(jaxnn.nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["width"]
        self.embed = jaxnn.nn.Embedding(7, width)
        self.layers = jaxnn.nn.ModuleList([jaxnn.nn.Linear(width, width) for _ in range(3)])
        self.norm = jaxnn.nn.BatchNorm1d(width)
        self.head = jaxnn.nn.Linear(width, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


TOKENS = np.array([1, 2, 6])


@pytest.mark.parametrize("size", ["5GB", "600"])
def test_a_folder_into_a_model_on_meta(tmp_path, size):
    jaxnn.manual_seed(0)
    model = Language({"width": 8}).eval()
    expected = model(jaxnn.from_numpy(TOKENS)).detach().numpy()
    compat.save_pretrained(model, tmp_path, {"width": 8}, max_shard_size=size)
    shards = sorted(n for n in os.listdir(tmp_path) if n.endswith(".safetensors"))
    assert (len(shards) > 2) == (size == "600") and (tmp_path / "config.json").exists()
    weights = compat.open_weights(tmp_path)
    assert weights.config == {"width": 8} and weights.aliases == {"head.weight": "embed.weight"}
    assert len(weights) == len(model.state_dict())
    plain = {}
    for shard in shards:  # what other programs read
        plain |= safetensors.torch.load_file(tmp_path / shard)
    same({n: t for n, t in model.state_dict().items() if n != "head.weight"}, plain)

    for mmap in (False, True):
        loaded = compat.from_pretrained(tmp_path, Language, mmap=mmap)
        assert loaded.head.weight is loaded.embed.weight and not loaded.training
        assert type(loaded.norm.running_mean).__name__ == "BatchStat"
        np.testing.assert_allclose(loaded(jaxnn.from_numpy(TOKENS)).detach().numpy(), expected, rtol=1e-5)
    half = compat.from_pretrained(tmp_path, Language, dtype=jaxnn.bfloat16)
    assert half.layers[0].weight.dtype is jaxnn.bfloat16 and half.norm.num_batches_tracked.dtype is jaxnn.int64


def test_a_folder_of_pytorchs_files(tmp_path):
    theirs = torch.nn.Sequential(OrderedDict(a=torch.nn.Linear(3, 2), b=torch.nn.Linear(2, 2)))
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ours = compat.from_pretrained(
        tmp_path, lambda config: jaxnn.nn.Sequential(OrderedDict(a=jaxnn.nn.Linear(3, 2), b=jaxnn.nn.Linear(2, 2)))
    )
    same(ours.state_dict(), theirs.state_dict())
    with jaxnn.device("meta"):
        model = jaxnn.nn.Sequential(jaxnn.nn.Linear(3, 2))
    renamed = compat.from_pretrained(tmp_path, model, rename=lambda n: n.replace("a.", "0.") if n[0] == "a" else None)
    assert renamed[0].weight.tolist() == theirs.a.weight.tolist()


def test_what_does_not_fit_is_named(tmp_path):
    compat.save_weights({"weight": jaxnn.ones(2, 3), "more": jaxnn.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match='(?s)Missing.*"bias".*Unexpected.*"more"'):
        compat.from_pretrained(tmp_path, lambda config: jaxnn.nn.Linear(3, 2))
    with pytest.warns(UserWarning, match="bias") as warned:
        compat.from_pretrained(tmp_path, lambda config: jaxnn.nn.Linear(3, 2), strict=False)
    assert any("stay on meta" in str(w.message) for w in warned)
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        compat.from_pretrained(tmp_path, lambda config: jaxnn.nn.Linear(4, 2), strict=False)
    with pytest.raises(FileNotFoundError, match="holds none of"):
        compat.open_weights(tmp_path.parent)
    with pytest.raises(FileNotFoundError):
        compat.open_weights(tmp_path / "missing.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-3])
    with pytest.raises(ValueError, match="no complete safetensors file"):
        compat.open_weights(tmp_path / "cut.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"weight": "../model.safetensors"}}))
    with pytest.raises(ValueError, match="outside of its folder"):
        compat.open_weights(tmp_path)
    with pytest.raises(ValueError, match="on meta"):
        compat.save_weights({"a": jaxnn.empty(2, device="meta")}, tmp_path / "meta.safetensors")
    with pytest.raises(ValueError, match="no size"):
        compat.save_pretrained({}, tmp_path, max_shard_size="big")


def test_no_torch_is_needed(tmp_path):
    compat.save_pretrained(jaxnn.nn.Linear(3, 2), tmp_path)
    program = f"""
    import sys, jaxnn
    from jaxnn import compat
    model = compat.from_pretrained({str(tmp_path)!r}, lambda config: jaxnn.nn.Linear(3, 2))
    assert model(jaxnn.ones(1, 3)).shape == (1, 2) and "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=300)

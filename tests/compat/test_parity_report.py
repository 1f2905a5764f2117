"""The parity report: silent where models agree, and right about the layer where an error was planted."""

from __future__ import annotations

import dataclasses
import json
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import jaxnn
from jaxnn import compat
from jaxnn.__main__ import main
from tests.compat import live_models as models

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 3, 8, 8)).astype(np.float32)
SEQUENCE = RANDOM.normal(size=(2, 5, 8)).astype(np.float32)
TOKENS = np.array([[1, 2, 3, 4], [5, 6, 7, 10]])


def mlp():
    return nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, 8, bias=False), nn.LayerNorm(8), nn.Linear(8, 3))


def transformer():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False)


class Decoder(nn.Module):
    """Pictures from small ones, by transposed convolutions and group norms."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 4, 2, 1)
        self.norm = nn.GroupNorm(2, 4)
        self.act = nn.LeakyReLU(0.2)
        self.out = nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        return torch.tanh(self.out(self.act(self.norm(self.up(x)))))


class Pair(nn.Module):
    """Two readings of one sequence, one attending to the other."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mix = nn.Bilinear(8, 8, 4)

    def forward(self, x):
        y, _ = self.attention(x, x.flip(1), x)
        return self.mix(x, y)


class Bag(nn.Module):
    """A classifier of bags of words."""

    def __init__(self):
        super().__init__()
        self.words = nn.EmbeddingBag(12, 6, mode="sum")
        self.out = nn.Sequential(nn.RMSNorm(6), nn.Hardtanh(-0.5, 0.5), nn.Linear(6, 3))

    def forward(self, words):
        return self.out(self.words(words))


class Waves(nn.Module):
    """Dilated convolutions along a sequence, gated."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(5, 10, 3, padding=d, dilation=d) for d in (1, 2)])
        self.gate = nn.GLU(1)
        self.norm = nn.InstanceNorm1d(5, affine=True)

    def forward(self, x):
        for layer in self.layers:
            x = x + self.gate(layer(x))
        return self.norm(x)


@dataclasses.dataclass
class Found:
    scores: torch.Tensor
    parts: object


class ReturnsObjects(nn.Module):
    """Its results are attributes of objects, and it writes to what it is given."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return Found(self.out(self.act(x)), types.SimpleNamespace(rest=[x.mean()], it=None))


MODELS = {
    "objects": (ReturnsObjects, (SEQUENCE,)),
    "decoder": (Decoder, (X,)),
    "pair": (Pair, (SEQUENCE,)),
    "bag": (Bag, (TOKENS,)),
    "waves": (Waves, (SEQUENCE,)),
    "mlp": (mlp, (SEQUENCE,)),
    "cnn": (models.SmallResNet, (X,)),
    "lm": (models.TiedLanguageModel, (TOKENS,)),
    "transformer": (transformer, (SEQUENCE,)),
    "own": (models.OwnTransformer, (SEQUENCE,)),
    "gru": (lambda: nn.GRU(8, 4, batch_first=True, bidirectional=True), (SEQUENCE,)),
}


def made(name):
    make, inputs = MODELS[name]
    torch.manual_seed(0)
    return make(), inputs


@pytest.mark.parametrize("name", MODELS)
def test_models_agree(name):
    model, inputs = made(name)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    report = compat.parity(model, None, *inputs).check()
    assert report.ok and report.layer is None and len(report.losses) == 3
    assert {r.phase for r in report.rows} == {"start", "forward", "backward", "steps"}
    outputs = [r for r in report.rows if r.what.startswith("output")]
    assert outputs[-1].layer == "" and max(r.relative for r in outputs) < 5e-5
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items()), "the model stays as it is"
    assert "agree" in str(report)


def swap_gates(module, name="weight_ih_l0", gates=4):
    parts = list(getattr(module, name).data.chunk(gates))
    parts[0], parts[1] = parts[1], parts[0]
    getattr(module, name).data = jaxnn.cat(parts)


def set_(owner, **attributes):
    for k, v in attributes.items():
        setattr(owner, k, v)


def turn(module):
    module.weight.data = module.weight.data.t().contiguous()


class Turned(jaxnn.nn.GLU):
    def forward(self, x):
        a, b = x.chunk(2, 1)
        return b * a.sigmoid()


PLANTED = {
    "a bias behind objects": ("objects", "out", lambda m: m.out.bias.data.add_(0.1)),
    "a slope": ("decoder", "act", lambda m: set_(m.act, negative_slope=0.1)),
    "groups of a norm": ("decoder", "norm", lambda m: set_(m.norm, num_groups=4)),
    "a padding mode": ("decoder", "out", lambda m: set_(m.out, padding_mode="replicate")),
    "kernels turned": ("decoder", "up", lambda m: set_(m.up, weight=jaxnn.nn.Parameter(m.up.weight.detach().flip(2)))),
    "a bias of a projection": ("pair", "attention", lambda m: m.attention.in_proj_bias.data.add_(0.1)),
    "a bilinear weight": ("pair", "mix", lambda m: set_(m.mix, weight=jaxnn.nn.Parameter(m.mix.weight.detach().transpose(1, 2)))),
    "a bag's mode": ("bag", "words", lambda m: set_(m.words, mode="mean")),
    "a bound": ("bag", "out.1", lambda m: set_(m.out[1], max_val=0.25)),
    "eps in an RMS norm": ("bag", "out.0", lambda m: set_(m.out[0], eps=0.1)),
    "a dilation": ("waves", "layers.1", lambda m: set_(m.layers[1], dilation=(1,), padding=(1,))),
    "halves of a gate": ("waves", "gate", lambda m: set_(m, gate=Turned(1))),
    "eps in a layer norm": ("mlp", "4", lambda m: set_(m[4], eps=1e-3)),
    "a bias missing": ("mlp", "0", lambda m: set_(m[0], bias=None)),
    "a weight transposed": ("mlp", "3", lambda m: turn(m[3])),
    "the wrong activation": ("mlp", "1", lambda m: set_(m, **{"1": jaxnn.nn.ReLU()})),
    "gelu by tanh": ("mlp", "1", lambda m: set_(m[1], approximate="tanh")),
    "eps in a batch norm": ("cnn", "stages.0.body.0.1", lambda m: set_(m.stages[0].body[0][1], eps=1e-2)),
    "momentum of a batch norm": ("cnn", "stem.1", lambda m: set_(m.stem[1], momentum=0.01)),
    "a stride": ("cnn", "stages.1.skip", lambda m: set_(m.stages[1].skip, stride=(1, 1))),
    "padding": ("cnn", "pool", lambda m: set_(m.pool, padding=0)),
    "gates of an LSTM": ("lm", "rnn", lambda m: swap_gates(m.rnn)),
    "gates of a second layer": ("lm", "rnn", lambda m: swap_gates(m.rnn, "weight_hh_l1")),
    "a tie lost": ("lm", "out", lambda m: set_(m.out, weight=jaxnn.nn.Parameter(m.out.weight.detach() * 1.01))),
    "gates of a GRU": ("gru", "", lambda m: swap_gates(m, "weight_hh_l0_reverse", 3)),
    "an activation in a forward": ("transformer", "layers.1", lambda m: set_(m.layers[1], activation=jaxnn.nn.functional.gelu)),
    "norm first": ("transformer", "layers.0", lambda m: set_(m.layers[0], norm_first=True)),
    "heads": ("transformer", "layers.0.self_attn", lambda m: set_(m.layers[0].self_attn, num_heads=4, head_dim=2)),
    "a projection": ("transformer", "layers.1.self_attn", lambda m: m.layers[1].self_attn.in_proj_weight.data.mul_(1.01)),
    "a user's attribute": ("own", "blocks.1", lambda m: set_(m.blocks[1], scale=jaxnn.tensor(0.7))),
    "a user's layer": ("own", "blocks.0.qkv", lambda m: m.blocks[0].qkv.up.data.mul_(1.1)),
    "a frozen weight": ("mlp", "5", lambda m: m[5].weight.requires_grad_(False)),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_error_is_found(what):
    name, layer, plant = PLANTED[what]
    model, inputs = made(name)
    ours = compat.from_torch(model)
    plant(ours)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = compat.parity(model, ours, *inputs, steps=0)
    assert not report.ok and report.layer == layer, str(report)
    assert "DIFFERS" in str(report) and (layer or "(model)") in report.verdict()
    with pytest.raises(compat.ParityError, match="diverges first"):
        report.check()


class Fails(jaxnn.nn.Module):
    def forward(self, x):
        return x @ jaxnn.ones(3, 3)


def test_an_error_is_a_finding():
    model, inputs = made("mlp")
    ours = compat.from_torch(model)
    ours[1] = Fails()
    report = compat.parity(model, ours, *inputs)
    assert report.layer == "1" and any("jaxnn raises RuntimeError" in r.note for r in report.rows), str(report)
    ours = compat.from_torch(model)
    del ours[5]
    report = compat.parity(model, ours, *inputs)
    assert not report.ok and any(r.note == "only PyTorch has it" and r.layer == "5" for r in report.rows)


def test_what_cannot_be_compared_is_said():
    class Silent(nn.Module):
        def forward(self, x):
            return "nothing"

    report = compat.parity(Silent(), None, SEQUENCE)
    assert not report.ok and "no tensor is found" in str(report)
    for arguments, options in (((lambda x: x, None), {}), ((nn.Tanh(), nn.Tanh()), {}), ((nn.Tanh(), jaxnn.tanh), {}),
                               ((nn.Tanh(), None), {"optimizer": "Best"}), ((nn.Tanh(), None), {"steps": -1})):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=r"parity compares|Best|steps"):
            compat.parity(*arguments, SEQUENCE, **options)


def test_data_picture_and_command(tmp_path, capsys):
    script = tmp_path / "models.py"
    (tmp_path / "beside_models.py").write_text("seed = 0\n")
    script.write_text(
        "import sys, torch, jaxnn\nfrom jaxnn import compat\nfrom beside_models import seed\n"
        "torch.manual_seed(seed)\nassert not sys.argv[1:]\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))\n"
        "inputs = torch.randn(3, 4)\n"
    )
    assert main(["parity", str(script), "--all", "--picture", str(tmp_path / "e.png"), "--json", str(tmp_path / "e.json")]) == 0
    shown = capsys.readouterr().out
    assert "comparisons agree" in shown and "gradient of weight" in shown and "weight after 3 steps" in shown
    assert (tmp_path / "e.png").read_bytes()[:4] == b"\x89PNG"
    data = json.loads((tmp_path / "e.json").read_text())
    assert data["ok"] and data["layer"] is None and {"layer", "what", "shape", "dtype", "absolute", "relative"} <= set(data["rows"][0])
    with open(script, "a") as stream:
        stream.write("jaxnn_model = compat.from_torch(model)\njaxnn_model[0].weight.data.mul_(2)\n")
    assert main(["parity", str(script), "--optimizer", "Adam"]) == 1
    assert "diverges first at 0: output" in capsys.readouterr().out
    script.write_text("")
    assert main(["parity", str(script)]) == 2
    assert main(["parity", str(tmp_path / "missing.py")]) == 2
    for wrong in (["--optimizer", "Best"], ["--steps", "-1"]):
        with pytest.raises(SystemExit):
            main(["parity", str(script), *wrong])
    assert "does not define" in capsys.readouterr().err

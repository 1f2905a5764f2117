"""Training steps as they would be lowered for GPUs and TPUs, seen from a machine without either."""

from __future__ import annotations

import math
import re
from collections import Counter

import jax
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from scipy import stats

import jaxnn as torch
import jaxnn.nn.functional as F
from jaxnn import nn
from jaxnn.core.run import cut
from jaxnn.nn.functional import attention, flash_attention
from jaxnn.ops.random import draws as random
from jaxnn.ops.random import masks
from jaxnn.ops.random import on_device as device_draws
from jaxnn.vision.models import resnet18
from tests.distributed.models import GPT

PLATFORMS = ["cuda", "tpu"]
#: Scalars of 64 bits that a step's hyperparameters and its correction of a start at zero take, however many parameters there are.
HANDFUL = 24


class Flat(GPT):
    """The scores of all tokens, one behind the other."""

    def forward(self, idx):
        return super().forward(idx).flatten(0, 1)


def cnn():
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10))
    model = nn.Sequential(*layers)
    return model, torch.optim.Adam(model.parameters()), torch.randn(4, 3, 16, 16), torch.randint(0, 10, (4,))


def resnet():
    model = resnet18(num_classes=10)
    return model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), torch.randn(2, 3, 32, 32), torch.randint(0, 10, (2,))


def gpt():
    model = Flat(64, 32, 64, blocks=2)
    return model, torch.optim.AdamW(model.parameters()), torch.randint(0, 64, (2, 64)), torch.randint(0, 64, (128,))


class Stop(Exception):
    """Nothing is compiled: the texts are all that is asked for."""


def lowered(make, autocast, platform, monkeypatch):
    """The step's StableHLO for a platform."""
    texts = []
    lower = jax.stages.Traced.lower

    def for_platform(self, **options):
        texts.append(lower(self, lowering_platforms=(platform,)).as_text())
        raise Stop

    model, optimizer, x, y = make()
    torch.set_execution_mode("whole")  # it has seen this step on another platform, and nothing came of it
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        with monkeypatch.context() as here:
            here.setattr(jax.stages.Traced, "lower", for_platform)
            here.setattr(cut, "_run_operators", lambda rec, *others: setattr(rec, "closed", True))  # it is forgotten
            optimizer.step()
    finally:
        torch.set_execution_mode("auto")
    (text,) = texts
    return text


def products(text):
    """The operand types of each product and convolution."""
    plain = re.sub(r"tensor<(?:\d+x)*(\w+)>", r"\1", text)
    return Counter(re.findall(r"stablehlo\.(dot_general|convolution)\b.*?: \((\w+), \w+\) ->", plain))


def kinds_of_integers(text):
    """The operations that take or give 64-bit integers."""
    plain = re.sub(r"\w+ = (array|dense)<[^>]*>[^,}]*", "", text)  # attributes
    return {m[1] for line in plain.splitlines() if re.search(r"tensor<(\d+x)*i64>", line) and (m := re.search(r"stablehlo\.(\w+)", line))}


@pytest.fixture
def as_on(monkeypatch):
    """The choices that the kernels make on a GPU with cuDNN, or on a TPU."""

    def choose(platform):
        monkeypatch.setattr(attention, "_kind_of_device", lambda operand: {"cuda": "cuda", "tpu": "xla"}[platform])
        monkeypatch.setattr(flash_attention, "available", lambda: True)
        monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)
        monkeypatch.setattr(fused_attention_stablehlo, "check_compute_capability", lambda capability: True)

    return choose


STEPS = [pytest.param(make, platform, id=f"{make.__name__}-{platform}") for make in (cnn, resnet, gpt) for platform in PLATFORMS]


@pytest.mark.parametrize(("make", "platform"), STEPS)
def test_steps_under_autocast(make, platform, as_on, monkeypatch):
    as_on(platform)
    text = lowered(make, True, platform, monkeypatch)
    assert {kind for _, kind in products(text)} == {"bf16"}, products(text)
    assert "callback" not in text
    # The one packed input of hyperparameters, taken apart, and what follows from them once.
    wide = [line for line in text.splitlines() if re.search(r"stablehlo\.(?!constant|convert|slice|reshape)\w+.*tensor<(\d+x)*f64>", line)]
    assert len(wide) <= HANDFUL and not any(re.search(r"tensor<(\d+x)+f64>", line) for line in wide), wide
    # 64-bit integers are what the user's indices are checked and counters kept in: whatever indexes takes 32 bits.
    assert kinds_of_integers(text) <= {"add", "broadcast_in_dim", "compare", "constant", "convert", "reshape", "select", "slice"}
    assert max((len(m) for m in re.findall(r'dense<"0x([0-9A-F]+)"', text)), default=0) < 2048
    if make is gpt and platform == "cuda":
        calls = Counter(re.findall(r"custom_call @(\S+?)\(", text))
        assert calls == {"__cudnn$fmhaSoftmax": 1, "__cudnn$fmhaSoftmaxBackward": 1}  # in functions that both blocks call
        assert "2x4x64x64x" not in text  # no scores


def precisions(text):
    """The precision of each kind of product in a program."""
    lines = [line for line in text.splitlines() if "stablehlo.dot_general" in line or "stablehlo.convolution" in line]
    names = [re.search(r"stablehlo\.(dot_general|convolution)\b.*?\b(HIGHEST|HIGH|DEFAULT)\b", line) for line in lines]
    return {found.groups() for found in names if found}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_switches_of_precision(platform, as_on, monkeypatch):
    """PyTorch's defaults on a GPU: products of matrices are exact, convolutions may use TensorFloat-32."""
    as_on(platform)
    default = precisions(lowered(cnn, False, platform, monkeypatch))
    assert default == {("dot_general", "HIGHEST"), ("convolution", "HIGH")}
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = False, True
    try:
        switched = precisions(lowered(cnn, False, platform, monkeypatch))
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
    assert switched == {("dot_general", "HIGH"), ("convolution", "HIGHEST")}


@pytest.fixture
def drawn_there(monkeypatch):
    """What is drawn on accelerators is drawn so here."""
    monkeypatch.setattr(device_draws, "on_accelerator", lambda placement: True)
    monkeypatch.setattr(random, "on_accelerator", lambda placement: True)
    monkeypatch.setattr(masks, "HOST_LIMIT", -1)


class Draws(nn.Module):
    """Noise, a mask, and choices, in one step."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = F.dropout(x + 0.1 * torch.randn_like(x) + torch.rand(4, 16), 0.5)
        x = x + torch.randint(-3, 40, (4, 16)) + torch.randint_like(x, 5) + torch.bernoulli(x.detach().sigmoid())
        x = x * torch.empty_like(x).bernoulli_(0.9) + torch.empty_like(x).exponential_()
        scores = self.fc(x)
        chosen = torch.multinomial(scores.detach().softmax(-1), 2)
        again = torch.multinomial(scores.detach().softmax(-1), 3, replacement=True)
        return scores + scores.gather(1, chosen).sum() + scores.gather(1, again).sum()


def draws():
    model = Draws()
    return model, torch.optim.SGD(model.parameters(), 0.1), torch.randn(4, 16), torch.randint(0, 10, (4,))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_drawn_on_accelerators_is_part_of_the_program(platform, drawn_there, monkeypatch):
    """Nothing comes from the host but two seeds for each draw, among the step's inputs."""
    text = lowered(draws, False, platform, monkeypatch)
    assert "callback" not in text and "infeed" not in text
    given = re.search(r"func.func public @main\((.*?)\) ->", text, re.DOTALL)[1]
    sizes = [math.prod(map(int, s.split("x")[:-1])) for s in re.findall(r"tensor<((?:\d+x)*\w+)>", given)]
    # Weights, inputs and targets, and packed numbers: no array of noise or of a mask (4 x 16), but the input itself.
    assert sorted(n for n in sizes if n > 32) == [64, 160]


def test_numbers_drawn_on_accelerators(drawn_there):
    torch.manual_seed(0)
    u, z = torch.rand(20000), torch.randn(20000)
    assert 0 <= u.min().item() and u.max().item() < 1
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-3 and stats.kstest(z.numpy(), "norm").pvalue > 1e-3
    assert torch.rand(3, dtype=torch.bfloat16).dtype is torch.bfloat16
    p = torch.tensor([0.1, 0.0, 0.4, 0.5])
    for replacement, rows, count in ((True, p, 8000), (False, p.expand(8000, 4), 1)):
        found = torch.multinomial(rows, count, replacement).flatten()
        seen = torch.bincount(found, minlength=4).numpy()
        assert found.dtype is torch.int64 and seen[1] == 0
        assert stats.chisquare(seen[[0, 2, 3]], [800, 3200, 4000]).pvalue > 1e-3
    k = torch.randint(-5, 10, (20000,)).numpy()
    assert k.dtype == np.int64 and stats.chisquare(np.bincount(k + 5, minlength=15)).pvalue > 1e-3
    wide = torch.randint(-(2**31), 2**31 - 1, (20000,)).numpy() / 2**32 + 0.5
    assert stats.kstest(wide, "uniform").pvalue > 1e-3
    assert stats.kstest(torch.empty(20000).exponential_(2.0).numpy(), "expon", (0, 0.5)).pvalue > 1e-3
    coins = [torch.bernoulli(torch.full((20000,), 0.3)), torch.empty(20000).bernoulli_(p=0.3)]
    coins.append(torch.empty(20000, dtype=torch.int8).bernoulli_(0.3))
    assert all(abs(c.double().mean().item() - 0.3) < 0.02 and set(c.tolist()) == {0, 1} for c in coins)
    assert set(torch.randint_like(torch.zeros(200, dtype=torch.bfloat16), 2, 5).tolist()) == {2.0, 3.0, 4.0}
    both = torch.multinomial(p.expand(500, 4), 2)
    assert both.shape == (500, 2) and (both[:, 0] != both[:, 1]).all() and not (both == 1).any()
    torch.manual_seed(0)
    assert torch.equal(torch.rand(20000), u)
    for bad in (lambda: torch.randint(3, 3, (2,)), lambda: p.bernoulli_(2.0), lambda: p.exponential_(-1.0)):
        with pytest.raises(RuntimeError):
            bad()
    for bad in (lambda: torch.multinomial(p, 5), lambda: torch.multinomial(p, 0), lambda: torch.multinomial(p.view(1, 2, 2), 1)):
        with pytest.raises(RuntimeError):
            bad()

"""PyTorch models in the styles that people write, to be carried over live."""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import math
import types
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {"relu": F.relu, "gelu": nn.functional.gelu, "silu": nn.SiLU}


def init_(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
    return module


def conv_bn(a, b, k, stride=1):
    return nn.Sequential(nn.Conv2d(a, b, k, stride, k // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class Bottleneck(nn.Module):
    expansion = 2

    def __init__(self, a, b, stride=1):
        super().__init__()
        self.body = nn.Sequential(conv_bn(a, b, 1), conv_bn(b, b, 3, stride), nn.Conv2d(b, b * self.expansion, 1))
        self.skip = nn.Conv2d(a, b * self.expansion, 1, stride) if stride > 1 or a != b * self.expansion else None

    def forward(self, x):
        return F.relu(self.body(x) + (x if self.skip is None else self.skip(x)))


class SmallResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, 3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList([Bottleneck(8, 4), Bottleneck(8, 8, 2)])
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.pool(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class TiedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.rnn = nn.LSTM(8, 8, 2, batch_first=True, bidirectional=False)
        self.out = nn.Linear(8, 11)
        self.out.weight = self.embed.weight

    def forward(self, tokens, state=None):
        y, state = self.rnn(self.embed(tokens), state)
        return self.out(y), state


class Output(NamedTuple):
    logits: torch.Tensor
    hidden: torch.Tensor


@dataclasses.dataclass
class Config:
    width: int = 8
    heads: int = 2
    act: str = "gelu"
    dtype: torch.dtype = torch.float32


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.k = k
        return x * k

    @staticmethod
    def backward(ctx, g):
        return g * ctx.k, None


def positions(n, width):
    angles = torch.arange(n).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], -1).reshape(n, width)


class LoRALinear(nn.Linear):
    """A user's subclass of a layer, with parameters of its own."""

    def __init__(self, a, b, rank=2):
        super().__init__(a, b)
        self.down = nn.Parameter(torch.randn(rank, a) * 0.1)
        self.up = nn.Parameter(torch.randn(b, rank) * 0.1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("scratch", torch.ones(2), persistent=False)

    def forward(self, x):
        self.seen += 1
        return super().forward(x) + (x @ self.down.t()) @ self.up.t()


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.qkv = LoRALinear(config.width, 3 * config.width)
        self.norm = nn.LayerNorm(config.width)
        self.act = ACTIVATIONS[config.act]
        self.by_name = {"pre": self.norm}
        self.scale = torch.tensor(0.5, dtype=config.dtype)

    @property
    def head_width(self):
        return self.config.width // self.config.heads

    @staticmethod
    def split(x, heads):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def forward(self, x):
        q, k, v = (self.split(t, self.config.heads) for t in self.qkv(self.by_name["pre"](x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        return x + Scale.apply(self.act(y), 2.0) * self.scale


class OwnTransformer(nn.Module):
    def __init__(self, config=None):
        super().__init__()
        config = config or Config()
        self.blocks = nn.Sequential(*(Block(config) for _ in range(2)))
        self.blocks[1].norm = self.blocks[0].norm
        self.blocks[1].by_name["pre"] = self.blocks[0].norm

    def forward(self, x, return_all=False):
        import torch.nn.functional as functional  # as some write it

        hidden = self.blocks(x + positions(x.shape[1], x.size(-1)))
        with torch.no_grad():
            shown = self._shown(hidden)
        if isinstance(x, torch.Tensor) and return_all:
            return Output(functional.softmax(hidden, -1), shown)
        return functional.softmax(hidden, dim=-1)

    @torch.no_grad()
    def _shown(self, x):
        assert not torch.is_grad_enabled()
        return x.mean(dtype=torch.float64)


class Call(nn.Module):
    """Calls whatever it holds."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


@functools.lru_cache
def table(n):
    return torch.arange(n).float()


@torch.jit.script
def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


class Slots:
    __slots__ = ("weight",)

    def __init__(self):
        self.weight = torch.ones(4)

    def __call__(self, x):
        return x * self.weight


class Meta(type(nn.Module)):
    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made.tag = 3
        return made


class WithMeta(nn.Module, metaclass=Meta):
    def forward(self, x):
        return x * self.tag


class Mode(enum.Enum):
    PLAIN = 1
    OTHER = 2


class Registered(nn.Module, abc.ABC):
    registry: dict = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Registered.registry[cls.__name__] = cls

    @abc.abstractmethod
    def mix(self, x): ...

    def forward(self, x):
        return self.mix(x)


class Odd(Registered):
    def __init__(self):
        super().__init__()
        self.mode = Mode.OTHER
        self.kind, self.size, self.info = torch.float64, torch.Size([2, 4]), torch.finfo(torch.float32)
        self.layer = nn.Linear(4, 4)
        self.layer.forward = types.MethodType(lambda layer, x: F.linear(x, layer.weight) * 2, self.layer)
        self.myself = [self]

    @functools.cached_property
    def mask(self):
        return torch.tril(torch.ones(4, 4))

    @torch.inference_mode()
    def mix(self, x):
        assert self.myself[0] is self and self.mode is Mode.OTHER
        return (self.layer(x) @ self.mask).to(self.kind).view(self.size) + self.info.eps

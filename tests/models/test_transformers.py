"""Small Transformers, each written once in PyTorch's idiom, run on both with the same weights and the same batches."""

import math

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import compat


def gpt(torch, dtype):
    """A decoder on tokens: causal attention, the head's weight tied to the embedding's."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.c_attn = nn.Linear(width, 3 * width)
            self.c_proj = nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1)
            )
            self.drop = nn.Dropout(0.1)

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = self.c_attn(self.ln_1(x)).split(C, dim=2)
            q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0, is_causal=True)
            y = y.transpose(1, 2).contiguous().view(B, T, C)
            x = x + self.drop(self.c_proj(y))
            return x + self.mlp(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self, vocabulary=11, width=16, context=8, layers=2):
            super().__init__()
            self.emb = nn.Embedding(vocabulary, width)
            self.pos = nn.Embedding(context, width)
            self.blocks = nn.ModuleList([Block(width, 2) for _ in range(layers)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.emb.weight
            self.apply(self._init_weights)
            for name, p in self.named_parameters():
                if name.endswith("c_proj.weight"):
                    nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * layers))

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, mean=0.0, std=0.2)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

        def forward(self, tokens, targets):
            places = torch.arange(tokens.size(1))
            x = self.emb(tokens) + self.pos(places)
            for block in self.blocks:
                x = block(x)
            logits = self.head(self.norm(x))
            return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    def batch(rng):
        tokens = rng.integers(0, 11, (3, 9))
        return tokens[:, :-1].copy(), tokens[:, 1:].copy()

    return GPT().to(dtype), batch


def vit(torch, dtype):
    """A classifier of images: patches by a convolution, a class token, an encoder."""
    nn = torch.nn

    class ViT(nn.Module):
        def __init__(self, classes=5, width=12):
            super().__init__()
            self.patches = nn.Conv2d(3, width, kernel_size=4, stride=4)
            self.class_token = nn.Parameter(torch.zeros(1, 1, width))
            self.positions = nn.Parameter(torch.randn(1, 5, width) * 0.02)
            self.dropout = nn.Dropout(0.1)
            layer = nn.TransformerEncoderLayer(
                width, nhead=2, dim_feedforward=24, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(width), enable_nested_tensor=False)
            self.head = nn.Linear(width, classes)

        def forward(self, images, labels):
            x = self.patches(images).flatten(2).transpose(1, 2)
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
            logits = self.head(self.encoder(self.dropout(x))[:, 0])
            return logits, nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)

    def batch(rng):
        return rng.standard_normal((4, 3, 8, 8)), rng.integers(0, 5, 4)

    return ViT().to(dtype), batch


def seq2seq(torch, dtype):
    """Translation with `nn.Transformer`: sinusoidal positions, a causal mask, padding."""
    nn = torch.nn

    class Positions(nn.Module):
        def __init__(self, width, length=10):
            super().__init__()
            place = torch.arange(length).unsqueeze(1)
            rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
            table = torch.zeros(length, 1, width)
            table[:, 0, 0::2] = torch.sin(place * rate)
            table[:, 0, 1::2] = torch.cos(place * rate)
            self.register_buffer("table", table)
            self.dropout = nn.Dropout(0.1)

        def forward(self, x):
            return self.dropout(x + self.table[: x.size(0)])

    class Translator(nn.Module):
        def __init__(self, vocabulary=9, width=8):
            super().__init__()
            self.width = width
            self.source, self.target = (nn.Embedding(vocabulary, width, padding_idx=0) for _ in range(2))
            self.positions = Positions(width)
            self.transformer = nn.Transformer(width, 2, 1, 2, dim_feedforward=16, dropout=0.1)
            self.generator = nn.Linear(width, vocabulary)

        def forward(self, source, target):
            given, wanted = target[:-1], target[1:]
            mask = nn.Transformer.generate_square_subsequent_mask(given.size(0), dtype=self.generator.weight.dtype)
            scale = math.sqrt(self.width)
            hidden = self.transformer(
                self.positions(self.source(source) * scale), self.positions(self.target(given) * scale),
                tgt_mask=mask.isinf(), src_key_padding_mask=(source == 0).T, tgt_key_padding_mask=(given == 0).T,
                memory_key_padding_mask=(source == 0).T,
            )  # fmt: skip
            logits = self.generator(hidden)
            loss = nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1), ignore_index=0)
            return logits, loss

    def batch(rng):
        source, target = rng.integers(1, 9, (6, 3)), rng.integers(1, 9, (5, 3))
        source[4:, 1] = target[3:, 2] = 0
        return source, target

    return Translator().to(dtype), batch


def ran(face, build, weights=None):
    """Model, weights drawn, logits and loss of an evaluation, then those of three training steps with the parameters.

    It starts from `weights` where given.
    """
    face.manual_seed(1)
    model, batch = build(face, face.float32)
    first = {name: p.numpy().copy() for name, p in model.state_dict().items()}
    if weights is not None:
        model.load_state_dict({name: face.from_numpy(w.copy()) for name, w in weights.items()})
    rng = np.random.default_rng(2)

    def tensors():
        return [face.from_numpy(a).float() if a.dtype.kind == "f" else face.from_numpy(a) for a in batch(rng)]

    model.eval()
    start = [t.detach().numpy() for t in model(*tensors())]
    model.train()
    optimizer = face.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    steps = []
    for _ in range(3):
        optimizer.zero_grad()
        logits, loss = model(*tensors())
        loss.backward()
        optimizer.step()
        steps += [logits.detach().numpy(), loss.detach().numpy()]
    return model, first, start, steps + [p.detach().numpy() for p in model.parameters()]


def relative(ours, theirs):
    """The largest difference, relative to the largest value."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("build", [gpt, vit, seq2seq])
def test_transformer_trains_as_in_pytorch(build):
    theirs, weights, their_start, their_steps = ran(torch, build)
    ours, drawn, start, steps = ran(jaxnn, build, weights)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    for name, value in weights.items():  # normal draws and sines differ by one unit of the last place
        np.testing.assert_allclose(drawn[name], value, rtol=3e-7, atol=1e-7, err_msg=name)
    assert max(relative(a, b) for a, b in zip(start, their_start, strict=True)) < 1e-5
    assert max(relative(a, b) for a, b in zip(steps, their_steps, strict=True)) < 1e-4
    if build is gpt:
        assert ours.head.weight is ours.emb.weight


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("build", [gpt, vit, seq2seq])
def test_every_layer_in_double_precision(build):
    """What each submodule gives, every gradient, and three steps, with the masks of dropout."""
    (theirs, batch), (ours, _) = (build(face, face.float64) for face in (torch, jaxnn))
    ours.load_state_dict(theirs.state_dict())
    inputs = batch(np.random.default_rng(2))
    compat.parity(theirs, ours, *inputs, steps=3, lr=0.1, rtol=1e-10, grad_rtol=1e-10).check()

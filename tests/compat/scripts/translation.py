"""Sequences turned round by an encoder and a decoder: nn.Transformer with masks, padding, warm-up and greedy decoding."""

import argparse
import math
import random
from collections.abc import Iterable

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import Transformer
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

PAD, BOS, EOS, SIZE = 0, 1, 2, 12
parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=50)
args = parser.parse_args()
torch.manual_seed(0)
draw = random.Random(0)
pairs = [[draw.randrange(3, SIZE) for _ in range(draw.randint(3, 6))] for _ in range(200)]


class PositionalEncoding(nn.Module):
    def __init__(self, emb_size: int, dropout: float, maxlen: int = 40):
        super().__init__()
        den = torch.exp(-torch.arange(0, emb_size, 2) * math.log(10000) / emb_size)
        pos = torch.arange(0, maxlen).reshape(maxlen, 1)
        table = torch.zeros((maxlen, emb_size))
        table[:, 0::2], table[:, 1::2] = torch.sin(pos * den), torch.cos(pos * den)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("table", table.unsqueeze(-2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x + self.table[: x.size(0), :])


class Seq2Seq(nn.Module):
    def __init__(self, emb_size: int = 32):
        super().__init__()
        self.transformer = Transformer(emb_size, 2, 1, 2, 48, dropout=0.1)
        self.generator = nn.Linear(emb_size, SIZE)
        self.emb = nn.Embedding(SIZE, emb_size, padding_idx=PAD)
        self.scale = math.sqrt(emb_size)
        self.positional_encoding = PositionalEncoding(emb_size, 0.1)

    def forward(self, src, trg, src_mask, tgt_mask, src_padding_mask, tgt_padding_mask):
        outs = self.transformer(
            self.positional_encoding(self.emb(src) * self.scale), self.positional_encoding(self.emb(trg) * self.scale),
            src_mask, tgt_mask, None, src_padding_mask, tgt_padding_mask, src_padding_mask,
        )  # fmt: skip
        return self.generator(outs)

    def encode(self, src, src_mask):
        return self.transformer.encoder(self.positional_encoding(self.emb(src) * self.scale), src_mask)

    def decode(self, tgt, memory, tgt_mask):
        return self.transformer.decoder(self.positional_encoding(self.emb(tgt) * self.scale), memory, tgt_mask)


def create_mask(src, tgt):
    tgt_mask = Transformer.generate_square_subsequent_mask(tgt.shape[0]).isinf()
    src_mask = torch.zeros((src.shape[0], src.shape[0])).type(torch.bool)
    return src_mask, tgt_mask, (src == PAD).transpose(0, 1), (tgt == PAD).transpose(0, 1)


def collate(batch: Iterable[list[int]]):
    src = pad_sequence([torch.tensor([BOS, *s, EOS]) for s in batch], padding_value=PAD)
    return src, pad_sequence([torch.tensor([BOS, *reversed(s), EOS]) for s in batch], padding_value=PAD)


model = Seq2Seq()
for p in model.parameters():
    if p.dim() > 1:
        nn.init.xavier_uniform_(p)
loss_fn = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-9)
scheduler = LambdaLR(optimizer, lambda step: min((step + 1) / 10, 1.0))
loader, step = DataLoader(pairs, batch_size=25, collate_fn=collate, shuffle=True), 0
while step < args.steps:
    for src, tgt in loader:
        tgt_input, step = tgt[:-1, :], step + 1
        logits = model(src, tgt_input, *create_mask(src, tgt_input))
        optimizer.zero_grad()
        loss = loss_fn(logits.reshape(-1, logits.shape[-1]), tgt[1:, :].reshape(-1))
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 5 == 0:
            print(f"step {step} loss {loss:.4f} lr {scheduler.get_last_lr()[0]:.5f}")
model.eval()
with torch.no_grad():
    src = torch.tensor([[BOS], [5], [6], [7], [EOS]])
    memory = model.encode(src, None)
    ys = torch.ones(1, 1).fill_(BOS).type(torch.long)
    for _ in range(6):
        out = model.decode(ys, memory, Transformer.generate_square_subsequent_mask(ys.size(0)).isinf())
        _, next_word = torch.max(model.generator(out.transpose(0, 1)[:, -1]), dim=1)
        ys = torch.cat([ys, torch.ones(1, 1).type_as(src.data).fill_(next_word.item())], dim=0)
print(ys.flatten().tolist())

"""A language model over a small made-up text: LSTM, GRU or Transformer."""

import argparse
import math
import os
import random
import tempfile
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="LSTM", choices=["LSTM", "GRU", "RNN_TANH", "Transformer"])
parser.add_argument("--emsize", type=int, default=32)
parser.add_argument("--nhid", type=int, default=32)
parser.add_argument("--nlayers", type=int, default=2)
parser.add_argument("--nhead", type=int, default=2)
parser.add_argument("--lr", type=float, default=1.0)  # 5.0 is chaotic: rounding grows to 0.1 within 40 steps
parser.add_argument("--clip", type=float, default=0.25)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--bptt", type=int, default=12)
parser.add_argument("--batch_size", type=int, default=8)
parser.add_argument("--dropout", type=float, default=0.2)
parser.add_argument("--tied", action="store_true")
args = parser.parse_args()
torch.manual_seed(1111)
device = torch.device("cpu")
if torch.accelerator.is_available():
    device = torch.accelerator.current_accelerator()

words = random.Random(3)
grammar = {"<s>": ["the", "a"], "the": ["cat", "dog", "old"], "a": ["dog", "tree", "old"], "old": ["cat", "tree"],
           "cat": ["sees", "sleeps"], "dog": ["sees", "sleeps"], "tree": ["grows"], "sees": ["the", "a"],
           "sleeps": ["<s>"], "grows": ["<s>"]}  # fmt: skip
text, word = [], "<s>"
for _ in range(4000):
    text.append(word)
    word = words.choice(grammar[word])
vocabulary = {w: k for k, w in enumerate(dict.fromkeys(text))}
ids = torch.tensor([vocabulary[w] for w in text], dtype=torch.int64)


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    return data.narrow(0, 0, nbatch * bsz).view(bsz, -1).t().contiguous().to(device)


train_data, val_data = batchify(ids[:3200], args.batch_size), batchify(ids[3200:], 4)
ntokens = len(vocabulary)


class RNNModel(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.drop = nn.Dropout(args.dropout)
        self.encoder = nn.Embedding(ntokens, args.emsize)
        if kind in ("LSTM", "GRU"):
            self.rnn = getattr(nn, kind)(args.emsize, args.nhid, args.nlayers, dropout=args.dropout)
        else:
            self.rnn = nn.RNN(args.emsize, args.nhid, args.nlayers, nonlinearity="tanh", dropout=args.dropout)
        self.decoder = nn.Linear(args.nhid, ntokens)
        if args.tied:
            self.decoder.weight = self.encoder.weight
        self.kind = kind
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, input, hidden):
        output, hidden = self.rnn(self.drop(self.encoder(input)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, ntokens)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        zeros = weight.new_zeros(args.nlayers, bsz, args.nhid)
        return (zeros, weight.new_zeros(args.nlayers, bsz, args.nhid)) if self.kind == "LSTM" else zeros


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=500):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=torch.float).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe.unsqueeze(0).transpose(0, 1))

    def forward(self, x):
        return self.dropout(x + self.pe[: x.size(0), :])


class TransformerModel(nn.Transformer):
    def __init__(self):
        super().__init__(d_model=args.emsize, nhead=args.nhead, dim_feedforward=args.nhid, num_encoder_layers=args.nlayers)
        self.src_mask = None
        self.pos_encoder = PositionalEncoding(args.emsize, args.dropout)
        self.input_emb = nn.Embedding(ntokens, args.emsize)
        self.ninp = args.emsize
        self.decoder = nn.Linear(args.emsize, ntokens)
        nn.init.uniform_(self.input_emb.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def _generate_square_subsequent_mask(self, sz):
        return torch.log(torch.tril(torch.ones(sz, sz)))

    def forward(self, src, has_mask=True):
        if self.src_mask is None or self.src_mask.size(0) != len(src):
            self.src_mask = self._generate_square_subsequent_mask(len(src)).to(src.device)
        src = self.pos_encoder(self.input_emb(src) * math.sqrt(self.ninp))
        return F.log_softmax(self.decoder(self.encoder(src, mask=self.src_mask)), dim=-1)


model = (TransformerModel() if args.model == "Transformer" else RNNModel(args.model)).to(device)
criterion = nn.NLLLoss()
print(sum(p.numel() for p in model.parameters()), "parameters")


def repackage_hidden(h):
    return h.detach() if isinstance(h, torch.Tensor) else tuple(repackage_hidden(v) for v in h)


def get_batch(source, i):
    seq_len = min(args.bptt, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


def evaluate(source):
    model.eval()
    total = 0.0
    hidden = None if args.model == "Transformer" else model.init_hidden(4)
    with torch.no_grad():
        for i in range(0, source.size(0) - 1, args.bptt):
            data, targets = get_batch(source, i)
            if args.model == "Transformer":
                output = model(data).view(-1, ntokens)
            else:
                output, hidden = model(data, hidden)
                hidden = repackage_hidden(hidden)
            total += len(data) * criterion(output, targets).item()
    return total / (len(source) - 1)


def train(epoch, lr):
    model.train()
    total = 0.0
    hidden = None if args.model == "Transformer" else model.init_hidden(args.batch_size)
    for batch, i in enumerate(range(0, train_data.size(0) - 1, args.bptt)):
        data, targets = get_batch(train_data, i)
        model.zero_grad()
        if args.model == "Transformer":
            output = model(data).view(-1, ntokens)
        else:
            hidden = repackage_hidden(hidden)
            output, hidden = model(data, hidden)
        loss = criterion(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        for p in model.parameters():
            if p.grad is not None:
                p.data.add_(p.grad, alpha=-lr)
        total += loss.item()
        if batch % 10 == 0 and batch > 0:
            where = f"| epoch {epoch} | {batch}/{len(train_data) // args.bptt} batches | lr {lr:.2f}"
            print(f"{where} | loss {total / 10:5.3f} | ppl {math.exp(total / 10):8.2f}")
            total = 0.0


lr, best = args.lr, None
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.pt")
    for epoch in range(1, args.epochs + 1):
        started = time.time()
        train(epoch, lr)
        val_loss = evaluate(val_data)
        assert time.time() > started
        print(f"| end of epoch {epoch} | valid loss {val_loss:5.3f} | valid ppl {math.exp(val_loss):8.2f}")
        if not best or val_loss < best:
            with open(path, "wb") as f:
                torch.save(model, f)
            best = val_loss
        else:
            lr /= 4.0
    with open(path, "rb") as f:
        model = torch.load(f, weights_only=False)
        if args.model != "Transformer":
            model.rnn.flatten_parameters()
print(f"| end of training | test loss {evaluate(val_data):5.3f}")

torch.manual_seed(5)
input = torch.randint(ntokens, (1, 1), dtype=torch.long).to(device)
hidden = None if args.model == "Transformer" else model.init_hidden(1)
names, said = list(vocabulary), []
with torch.no_grad():
    for _ in range(12):
        if args.model == "Transformer":
            weights = model(input, False)[-1].squeeze().div(1.0).exp().cpu()
            chosen = torch.multinomial(weights, 1)[0]
            input = torch.cat([input, torch.Tensor([[chosen]]).long().to(device)], 0)
        else:
            output, hidden = model(input, hidden)
            chosen = torch.multinomial(output.squeeze().div(1.0).exp().cpu(), 1)[0]
            input.fill_(chosen)
        said.append(names[chosen])
print(" ".join(said))

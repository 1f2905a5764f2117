"""A recurrent language model on sentences of different lengths: one source in PyTorch's idiom, run on both."""

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import compat

WORDS = 17
FACES = (torch, jaxnn)


def language_model(torch, cell):
    nn = torch.nn
    rnn = nn.utils.rnn

    class LanguageModel(nn.Module):
        """Predicts each next word; sentences come padded, with their lengths."""

        def __init__(self, words, width, hidden, layers):
            super().__init__()
            self.drop = nn.Dropout(0.2)
            self.encoder = nn.Embedding(words, width, padding_idx=0)
            self.rnn = getattr(nn, cell)(width, hidden, layers, dropout=0.2, batch_first=True)
            self.decoder = nn.Linear(hidden, words)
            self.init_weights()

        def init_weights(self):
            nn.init.uniform_(self.encoder.weight, -0.3, 0.3)
            nn.init.zeros_(self.decoder.bias)
            for name, p in self.rnn.named_parameters():
                if name.startswith("weight_hh"):
                    nn.init.uniform_(p, -0.4, 0.4)

        def forward(self, tokens, lengths, hidden=None):
            embedded = self.drop(self.encoder(tokens))
            packed = rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            packed, hidden = self.rnn(packed, hidden)
            output, _ = rnn.pad_packed_sequence(packed, batch_first=True, total_length=tokens.size(1))
            return self.decoder(self.drop(output)), hidden

        def init_hidden(self, batch):
            weight = next(self.parameters())
            shape = (self.rnn.num_layers, batch, self.rnn.hidden_size)
            return (weight.new_zeros(shape), weight.new_zeros(shape)) if cell == "LSTM" else weight.new_zeros(shape)

    return LanguageModel(WORDS, 8, 12, 2)


def batches(torch):
    """Sentences of 3 to 9 words, sorted in no way; 0 is padding. The state goes on from batch to batch."""
    rng = np.random.default_rng(1)
    for lengths in ([5, 9, 3, 7], [9, 4, 4, 7], [3, 9, 8, 4]):
        sentences = [torch.tensor(rng.integers(1, WORDS, n + 1).tolist()) for n in lengths]
        padded = torch.nn.utils.rnn.pad_sequence(sentences, batch_first=True)
        yield padded[:, :-1], padded[:, 1:], torch.tensor(lengths)


def trained(torch, cell, dtype, make_optimizer, start):
    """First outputs, losses, the parameters after three steps, and what the trained model says of a new sentence."""
    torch.manual_seed(3)
    model = language_model(torch, cell)
    if start is not None:
        model.load_state_dict({name: torch.tensor(a.tolist()) for name, a in start.items()})
    model.to(getattr(torch, dtype))
    first = {name: t.detach().numpy().copy() for name, t in model.state_dict().items()}
    criterion = torch.nn.CrossEntropyLoss(ignore_index=0)
    optimizer = make_optimizer(torch, model.parameters())
    hidden, outputs, losses = model.init_hidden(4), [], []
    model.train()
    for tokens, targets, lengths in batches(torch):
        hidden = tuple(h.detach() for h in hidden) if cell == "LSTM" else hidden.detach()
        optimizer.zero_grad()
        logits, hidden = model(tokens, lengths, hidden)
        loss = criterion(logits.reshape(-1, WORDS), targets.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        outputs.append(logits.detach().numpy())
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        logits, _ = model(torch.tensor([[3, 1, 2]]), [3])
    return first, outputs, losses, {n: t.detach().numpy() for n, t in model.state_dict().items()}, logits.numpy()


OPTIMIZERS = {
    "SGD": lambda torch, ps: torch.optim.SGD(ps, lr=0.5, momentum=0.9),
    "Adam": lambda torch, ps: torch.optim.Adam(ps, lr=0.01),
}


@pytest.mark.parametrize("cell, name, dtype", [
    ("LSTM", "SGD", "float32"), ("LSTM", "Adam", "float32"), ("GRU", "SGD", "float64"),
])  # fmt: skip
def test_language_model(cell, name, dtype):
    theirs = trained(torch, cell, dtype, OPTIMIZERS[name], None)
    ours = trained(jaxnn, cell, dtype, OPTIMIZERS[name], None)
    forward, after = (1e-5, 1e-4) if dtype == "float32" else (1e-10, 1e-10)
    assert list(ours[0]) == list(theirs[0])
    for key, a in theirs[0].items():
        np.testing.assert_array_equal(ours[0][key], a, err_msg=key)
    np.testing.assert_allclose(ours[1][0], theirs[1][0], rtol=forward, atol=forward)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=after)
    for key, a in theirs[3].items():
        np.testing.assert_allclose(ours[3][key], a, rtol=after, atol=after, err_msg=key)
    np.testing.assert_allclose(ours[4], theirs[4], rtol=after, atol=after)


def test_weights_go_both_ways():
    theirs = trained(torch, "LSTM", "float32", OPTIMIZERS["SGD"], None)
    ours = trained(jaxnn, "LSTM", "float32", OPTIMIZERS["SGD"], theirs[3])
    back = trained(torch, "LSTM", "float32", OPTIMIZERS["SGD"], ours[0])
    for key, a in theirs[3].items():
        np.testing.assert_array_equal(ours[0][key], a, err_msg=key)
    np.testing.assert_allclose(ours[4], back[4], rtol=1e-4, atol=1e-5)


def test_every_layer_in_double_precision():
    """What each submodule gives, packed sequences and states among it, and every gradient."""
    theirs, ours = (language_model(face, "LSTM").double() for face in FACES)
    ours.load_state_dict(theirs.state_dict())
    tokens, _, lengths = next(batches(torch))
    state = np.random.default_rng(0).standard_normal((2, 2, 4, 12))
    compat.parity(theirs, ours, tokens, lengths, tuple(state), steps=0, rtol=1e-10, grad_rtol=1e-10).check()

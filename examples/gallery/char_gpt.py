"""A small GPT that learns the letters of a text, then goes on with it. The text is what this folder's programs say.

Source: Radford and others, Improving Language Understanding by Generative Pre-Training, 2018.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from common import options, save, steps

import jaxnn as torch
import jaxnn.nn.functional as F
from jaxnn import nn

CONTEXT = 64


class Block(nn.Module):
    """Attention to what came before, then a network for each place."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        count, length, width = x.shape
        parts = self.project(self.first(x)).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(count, length, width))
        return x + self.network(self.second(x))


class GPT(nn.Module):
    """Letters to scores of the next ones."""

    def __init__(self, letters: int, width: int = 64, heads: int = 4, layers: int = 2):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters)

    def forward(self, text):
        x = self.letters(text) + self.places(torch.arange(text.shape[1]))
        return self.head(self.norm(self.blocks(x)))


@torch.no_grad()
def written(model, start, count):
    """The text that the model goes on with, one letter after the other, within a window of fixed length."""
    window = start
    letters = []
    for _ in range(count):
        scores = model(window[None])[0, -1]
        letters.append(torch.multinomial((scores / 0.8).softmax(0), 1))
        window = torch.cat([window[1:], letters[-1]])
    return torch.cat(letters)


def main(arguments=None):
    """Train, draw the loss, print what it writes."""
    given = options(__doc__, 1500, arguments)
    text = "".join(file.read_text() for file in sorted(Path(__file__).parent.glob("*.py")))
    alphabet = sorted(set(text))
    data = torch.tensor([alphabet.index(letter) for letter in text])
    model = GPT(len(alphabet))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.steps)
    places = torch.arange(CONTEXT + 1)
    losses = []
    bar = steps(given.steps)
    for step in bar:
        chosen = data[torch.randint(0, len(data) - CONTEXT - 1, (32, 1)) + places]
        optimizer.zero_grad()
        scores = model(chosen[:, :-1])
        loss = F.cross_entropy(scores.flatten(0, 1), chosen[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.2f}")
    print(f"loss: {loss.item():.2f}")
    print("".join(alphabet[k] for k in written(model, data[:CONTEXT], min(200, given.steps)).tolist()))
    figure, axis = plt.subplots(figsize=(6, 3))
    axis.plot(torch.stack(losses).numpy())
    axis.set(xlabel="step", ylabel="loss of a letter (nats)")
    save(figure, given.out / "char_gpt.png")


if __name__ == "__main__":
    main()

"""A checkpoint that PyTorch's format holds, fine-tuned with low-rank changes to its layers alone.

Source: Hu and others, LoRA: Low-Rank Adaptation of Large Language Models, https://arxiv.org/abs/2106.09685
"""

import matplotlib.pyplot as plt
from common import digits, options, save, steps

import jaxnn as torch
import jaxnn.nn.functional as F
from jaxnn import nn


def network() -> nn.Module:
    """The network of the checkpoint: digits of 8x8 to ten classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


class LowRank(nn.Module):
    """A linear layer that stays, and a change of low rank beside it."""

    def __init__(self, layer: nn.Linear, rank: int = 4):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / rank)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x):
        return self.layer(x) + x @ self.down.T @ self.up.T


def train(model, images, labels, count, lr=2e-3):
    """Train what requires gradients; the loss of every step."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses = []
    for _ in steps(count):
        chosen = torch.randint(0, len(images), (64,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def main(arguments=None):
    """Train on digits, save; read the file, fine-tune on mirrored digits."""
    given = options(__doc__, 600, arguments)
    images, labels = digits()
    whole = network()
    before = train(whole, images[:1500], labels[:1500], given.steps)
    torch.save(whole.state_dict(), given.out / "digits.pt")

    model = network()
    model.load_state_dict(torch.load(given.out / "digits.pt"))
    for k, layer in enumerate(model):
        if isinstance(layer, nn.Linear):
            model[k] = LowRank(layer)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"training {trained} of {sum(p.numel() for p in model.parameters())} numbers")
    mirrored = images.flip(-1)
    after = train(model, mirrored[:1500], labels[:1500], given.steps)
    with torch.no_grad():
        right = (model(mirrored[1500:]).argmax(1) == labels[1500:]).float().mean()
        wrong = (whole(mirrored[1500:]).argmax(1) == labels[1500:]).float().mean()
    print(f"accuracy on mirrored digits: {wrong.item():.2f} before, {right.item():.2f} after")
    figure, axis = plt.subplots(figsize=(6, 3))
    axis.plot(before.numpy(), label="digits, the whole network")
    axis.plot(after.numpy(), label="mirrored digits, low-rank changes")
    axis.set(xlabel="step", ylabel="loss", yscale="log")
    axis.legend()
    save(figure, given.out / "lora.png")


if __name__ == "__main__":
    main()

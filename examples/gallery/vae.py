"""A variational autoencoder of handwritten digits.

Source: Kingma and Welling, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114
"""

from common import digits, options, rows_of_images, steps

import jaxnn as torch
import jaxnn.nn.functional as F
from jaxnn import nn


class Autoencoder(nn.Module):
    """Images of 64 numbers to the mean and spread of a code, and back."""

    def __init__(self, code: int = 8, hidden: int = 128):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 2 * code))
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, 64), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, images):
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(code), mean, log_variance


def loss_of(scores, images, mean, log_variance):
    """The negative evidence bound of an image, on average."""
    reconstruction = F.binary_cross_entropy_with_logits(scores, images, reduction="sum")
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return (reconstruction + divergence) / len(images)


def main(arguments=None):
    """Train, then draw digits, what they are decoded to, and new ones."""
    given = options(__doc__, 2000, arguments)
    images, _ = digits()
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    bar = steps(given.steps)
    for step in bar:
        batch = images[torch.randint(0, len(images), (128,))]
        optimizer.zero_grad()
        scores, mean, log_variance = model(batch)
        loss = loss_of(scores, batch, mean, log_variance)
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.2f}")
    print(f"loss: {loss.item():.2f}")
    with torch.no_grad():
        again = model(images[:12])[0].sigmoid()
        drawn = model.decoder(torch.randn(12, 8)).sigmoid()
    rows_of_images({"digits": images[:12], "decoded": again, "new": drawn}, given.out / "vae.png")


if __name__ == "__main__":
    main()

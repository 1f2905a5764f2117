"""Two networks that play against each other: one draws digits, one tells them from real ones.

Source: Goodfellow and others, Generative Adversarial Networks, https://arxiv.org/abs/1406.2661
"""

from common import digits, options, rows_of_images, steps

import jaxnn as torch
from jaxnn import nn

NOISE = 16


def generator() -> nn.Module:
    """Noise to images of 8x8."""
    return nn.Sequential(
        nn.Linear(NOISE, 64 * 4), nn.Unflatten(1, (64, 2, 2)), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1), nn.Sigmoid(),
    )  # fmt: skip


def critic() -> nn.Module:
    """Images to the score of being real."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(256, 1),
    )  # fmt: skip


def main(arguments=None):
    """Train both, then draw."""
    given = options(__doc__, 3000, arguments)
    images, _ = digits()
    artist, judge = generator(), critic()
    criterion = nn.BCEWithLogitsLoss()
    artist_optimizer = torch.optim.Adam(artist.parameters(), lr=1e-3, betas=(0.5, 0.999))
    judge_optimizer = torch.optim.Adam(judge.parameters(), lr=5e-4, betas=(0.5, 0.999))
    real, false = torch.full((64, 1), 0.9), torch.zeros(64, 1)
    fixed = torch.randn(24, NOISE)
    bar = steps(given.steps)
    for step in bar:
        batch = images[torch.randint(0, len(images), (64,))]
        drawn = artist(torch.randn(64, NOISE))

        judge_optimizer.zero_grad()
        judged = criterion(judge(batch), real) + criterion(judge(drawn.detach()), false)
        judged.backward()
        judge_optimizer.step()

        artist_optimizer.zero_grad()
        fooled = criterion(judge(drawn), real)
        fooled.backward()
        artist_optimizer.step()
        if step % 50 == 0:
            bar.set_postfix(judge=f"{judged.item():.2f}", artist=f"{fooled.item():.2f}")
    print(f"judge: {judged.item():.2f}, artist: {fooled.item():.2f}")
    artist.eval()
    with torch.no_grad():
        drawn = artist(fixed)
    rows_of_images({"drawn": drawn[:12], "": drawn[12:]}, given.out / "gan.png")


if __name__ == "__main__":
    main()

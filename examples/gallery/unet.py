"""A U-Net that finds the shapes in noisy pictures, pixel by pixel.

Source: Ronneberger, Fischer and Brox, U-Net, https://arxiv.org/abs/1505.04597
"""

from common import options, rows_of_images, steps

import jaxnn as torch
import jaxnn.nn.functional as F
from jaxnn import nn

SIDE = 32


def pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy pictures of discs and squares (count, 1, SIDE, SIDE), and where the discs are."""
    places = torch.arange(SIDE).float()
    center, size = torch.rand(2, 2, count, 1, 1) * 20 + 6, torch.rand(2, count, 1, 1) * 4 + 3
    y, x = places.view(1, -1, 1), places.view(1, 1, -1)
    disc = ((y - center[0, 0]) ** 2 + (x - center[0, 1]) ** 2 < size[0] ** 2).float()
    square = (((y - center[1, 0]).abs() < size[1]) & ((x - center[1, 1]).abs() < size[1])).float()
    seen = torch.maximum(disc, square * (1 - disc)) + 0.5 * torch.randn(count, SIDE, SIDE)
    return seen[:, None], disc[:, None]


def double(inputs: int, outputs: int) -> nn.Module:
    """Two convolutions."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    """Down to a quarter of the size and up again, each level seeing what it was before."""

    def __init__(self, width: int = 12):
        super().__init__()
        self.down1, self.down2, self.bottom = double(1, width), double(width, 2 * width), double(2 * width, 4 * width)
        self.up2, self.up1 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.merge2, self.merge1 = double(4 * width, 2 * width), double(2 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.up2(self.bottom(F.max_pool2d(two, 2)))
        x = self.up1(self.merge2(torch.cat([x, two], 1)))
        return self.head(self.merge1(torch.cat([x, one], 1)))


def main(arguments=None):
    """Train, then show pictures, what is there and what was found."""
    given = options(__doc__, 300, arguments)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    bar = steps(given.steps)
    for step in bar:
        seen, disc = pictures(16)
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(seen), disc)
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()
    with torch.no_grad():
        seen, disc = pictures(64)
        found = (model(seen) > 0).float()
    overlap = (found * disc).sum() / torch.maximum(found, disc).sum()
    print(f"loss: {loss.item():.3f}, overlap: {overlap.item():.3f}")
    rows_of_images({"seen": seen[:10], "discs": disc[:10], "found": found[:10]}, given.out / "unet.png")


if __name__ == "__main__":
    main()

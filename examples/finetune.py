"""Put a trained network to another task: freeze its convolutions, give it a new head, train the head.

    python examples/train_cnn.py                                    # writes runs/train_cnn/model.pt
    python examples/finetune.py --weights runs/train_cnn/model.pt   # takes its convolutions to scikit-learn's digits
    python examples/finetune.py --weights FILE --thaw 2             # and trains the convolutions too, for two epochs

FILE may come from PyTorch just as well: any state_dict with the keys `features.*` of train_cnn.py's network. The task is
to tell even digits from odd ones, on other pictures than the network has seen.
"""

import argparse
from pathlib import Path

from image_sets import SmallDigits
from train_cnn import ConvNet, accuracy

import jaxnn as torch
from jaxnn import nn
from jaxnn.utils.data import DataLoader
from jaxnn.utils.progress import Progress
from jaxnn.vision import transforms


def load_backbone(model, path):
    """Load the weights of `model.features` from a file and leave the rest."""
    state = torch.load(path)
    features = {key: value for key, value in state.items() if key.startswith("features.")}
    missing, unexpected = model.load_state_dict(features, strict=False)
    lacking = [key for key in missing if key.startswith("features.")]
    if lacking or unexpected:
        raise ValueError(f"{path}: not the weights of train_cnn.py's network; it lacks {lacking} and has {unexpected}")


def trainable(module):
    return [p for p in module.parameters() if p.requires_grad]


def train(model, loader, optimizer, epochs, title):
    criterion = nn.CrossEntropyLoss()
    model.train()
    for epoch in range(epochs):
        progress = Progress(loader, f"{title}, epoch {epoch + 1}/{epochs}")
        for images, labels in progress:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            progress.loss(loss.item())


def is_odd(digit):
    return digit % 2


def loaders(batch_size):
    """scikit-learn's digits in the size and the range that the network has learned with, even or odd as the class."""
    transform = transforms.Compose([
        transforms.Resize(20), transforms.Pad(4), transforms.ToTensor(), transforms.Normalize(0.13, 0.31),
    ])  # fmt: skip
    train_set, test_set = (SmallDigits(train, transform) for train in (True, False))
    for dataset in (train_set, test_set):
        dataset.targets = [is_odd(digit) for digit in dataset.targets]
    return DataLoader(train_set, batch_size, shuffle=True), DataLoader(test_set, 500)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path("runs/train_cnn/model.pt"), help="the trained network")
    parser.add_argument("--channels", type=int, default=1, help="of the images that it was trained on")
    parser.add_argument("--epochs", type=int, default=3, help="with the convolutions frozen")
    parser.add_argument("--thaw", type=int, default=0, metavar="EPOCHS", help="then train everything this long")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/finetune"), help="folder for the results")
    arguments = parser.parse_args()
    if not arguments.weights.is_file():
        parser.error(f"{arguments.weights} is not there: run examples/train_cnn.py first, or give --weights FILE")
    return arguments


def main():
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    train_loader, test_loader = loaders(arguments.batch_size)

    model = ConvNet(channels=arguments.channels, side=28)
    load_backbone(model, arguments.weights)
    for parameter in model.features.parameters():
        parameter.requires_grad = False
    model.classifier = nn.Sequential(nn.Flatten(), nn.Linear(32 * 7 * 7, 2))
    counts = [sum(p.numel() for p in parameters) for parameters in (trainable(model), model.parameters())]
    print(f"training {counts[0]} of {counts[1]} numbers")

    before = {key: value.clone() for key, value in model.features.state_dict().items()}
    optimizer = torch.optim.Adam(trainable(model), lr=arguments.lr)
    train(model, train_loader, optimizer, arguments.epochs, "head")
    unchanged = all(torch.equal(value, before[key]) for key, value in model.features.state_dict().items())
    print(f"the convolutions are {'as they were' if unchanged else 'CHANGED'}")
    print(f"test accuracy with frozen convolutions: {accuracy(model, test_loader):.4f}")

    if arguments.thaw:
        for parameter in model.features.parameters():
            parameter.requires_grad = True
        # What has been learned moves slowly.
        groups = [
            {"params": model.features.parameters(), "lr": arguments.lr / 10},
            {"params": model.classifier.parameters()},
        ]
        train(model, train_loader, torch.optim.Adam(groups, lr=arguments.lr), arguments.thaw, "everything")
        print(f"test accuracy after training everything: {accuracy(model, test_loader):.4f}")

    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), arguments.out / "model.pt")
    print(f"saved {arguments.out / 'model.pt'}")


if __name__ == "__main__":
    main()

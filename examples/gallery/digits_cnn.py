"""A convolutional network reads handwritten digits: `Dataset`, `DataLoader`, training, accuracy on digits that it has not seen."""

import matplotlib.pyplot as plt
from common import digits, options, save, steps

import jaxnn as torch
from jaxnn import nn
from jaxnn.utils.data import DataLoader, TensorDataset, random_split


class ConvNet(nn.Module):
    """Two convolutions and two linear layers, for images of 8x8."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(32 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = self.dropout(torch.flatten(x, 1))
        return self.fc2(torch.relu(self.fc1(x)))


def forever(loader):
    """The batches of epoch after epoch."""
    while True:
        yield from loader


def main(arguments=None):
    """Train, test, draw what was read."""
    given = options(__doc__, 600, arguments)
    train, test = random_split(TensorDataset(*digits()), [1500, 297])
    model = ConvNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    losses = []
    bar = steps(given.steps)
    for _, (images, labels) in zip(bar, forever(DataLoader(train, batch_size=64, shuffle=True)), strict=False):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.3f}")

    model.eval()
    images, labels = next(iter(DataLoader(test, batch_size=len(test))))
    with torch.no_grad():
        read = model(images).argmax(1)
    print(f"{(read == labels).sum().item()} of {len(test)} digits that it has not seen are read correctly")

    figure, (curve, table) = plt.subplots(1, 2, figsize=(8, 3), width_ratios=(3, 2))
    curve.plot(losses)
    curve.set(xlabel="step", ylabel="loss", yscale="log")
    confusion = torch.zeros(10, 10, dtype=torch.int64).index_put_((labels, read), torch.tensor(1), accumulate=True)
    table.imshow(confusion.float().sqrt().numpy(), cmap="Blues")
    for row, column in (confusion > 0).nonzero().tolist():
        ink = "white" if row == column else "black"
        table.text(column, row, confusion[row, column].item(), ha="center", va="center", fontsize=6, color=ink)
    table.set(xlabel="read", ylabel="shown", xticks=range(10), yticks=range(10))
    save(figure, given.out / "digits_cnn.png")


if __name__ == "__main__":
    main()

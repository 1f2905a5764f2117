"""Do two digits show the same? A siamese network."""

import argparse
import random

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    def __init__(self, first, last):
        super().__init__()
        digits = load_digits()
        self.images = torch.tensor(digits.images[first:last], dtype=torch.float32)[:, None] / 16
        self.targets = digits.target[first:last]
        self.groups = {k: [i for i, t in enumerate(self.targets) if t == k] for k in range(10)}

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        kind = random.randint(0, 9)
        one = random.choice(self.groups[kind])
        if index % 2 == 0:
            return self.images[one], self.images[random.choice(self.groups[kind])], torch.tensor(1, dtype=torch.float)
        other = random.choice([k for k in range(10) if k != kind])
        return self.images[one], self.images[random.choice(self.groups[other])], torch.tensor(0, dtype=torch.float)


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torch.nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten())
        self.fc = nn.Sequential(nn.Linear(8 * 36 * 2, 32), nn.ReLU(inplace=True), nn.Linear(32, 1))
        self.sigmoid = nn.Sigmoid()
        self.trunk.apply(self.init_weights)
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward(self, input1, input2):
        output = torch.cat((self.trunk(input1), self.trunk(input2)), 1)
        return self.sigmoid(self.fc(output))


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=2)
args = parser.parse_args()
random.seed(1)
torch.manual_seed(1)
device = torch.device("cpu")
loader, held = DataLoader(Pairs(0, 800), batch_size=32, shuffle=True), DataLoader(Pairs(800, 1000), batch_size=50)
model = SiameseNetwork().to(device)
optimizer = optim.Adadelta(model.parameters(), lr=1.0)
scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
criterion = nn.BCELoss()
for epoch in range(1, args.epochs + 1):
    model.train()
    for batch, (images_1, images_2, targets) in enumerate(loader):
        optimizer.zero_grad()
        outputs = model(images_1, images_2).squeeze()
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        if batch % 5 == 0:
            print(f"Train Epoch: {epoch} [{batch}/{len(loader)}]\tLoss: {loss.item():.6f}")
    model.eval()
    correct = test_loss = 0
    with torch.no_grad():
        for images_1, images_2, targets in held:
            outputs = model(images_1, images_2).squeeze()
            test_loss += criterion(outputs, targets).sum().item()
            pred = torch.where(outputs > 0.5, 1, 0)
            correct += pred.eq(targets.view_as(pred)).sum().item()
    print(f"Test: {test_loss / len(held):.4f}, {correct}/{len(held.dataset)}")
    scheduler.step()

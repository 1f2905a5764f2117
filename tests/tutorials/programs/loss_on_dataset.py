"""Loss and gradients, one image at a time, without an optimizer: gradients add up."""

import torch
from torch import nn
from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, Sequential
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(9)
dataset = TensorDataset(torch.rand(20, 3, 32, 32), torch.randint(0, 10, (20,)))
loader = DataLoader(dataset, batch_size=1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.model1 = Sequential(
            Conv2d(3, 32, 5, padding=2),
            MaxPool2d(2),
            Conv2d(32, 32, 5, padding=2),
            MaxPool2d(2),
            Conv2d(32, 64, 5, padding=2),
            MaxPool2d(2),
            Flatten(),
            Linear(1024, 64),
            Linear(64, 10),
        )

    def forward(self, x):
        x = self.model1(x)
        return x


net = Net()
criterion = nn.CrossEntropyLoss()
print(net.model1[0].weight.grad)
for images, labels in loader:
    result_loss = criterion(net(images), labels)
    print(result_loss)
    result_loss.backward()
print(net.model1[8].bias.grad)
print(f"{net.model1[0].weight.grad.abs().sum().item():.4f}")

"""The full loop: clear, backward, step; the epoch's loss is summed as a tensor."""

import torch
from torch import nn
from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, Sequential
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(10)
dataset = TensorDataset(torch.rand(24, 3, 32, 32), torch.randint(0, 10, (24,)))
loader = DataLoader(dataset, batch_size=8)


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
loss = nn.CrossEntropyLoss()
optim = torch.optim.SGD(net.parameters(), lr=0.01)
print(optim)
for epoch in range(20):
    running_loss = 0.0
    for data in loader:
        images, labels = data
        output = net(images)
        result_loss = loss(output, labels)
        optim.zero_grad()
        result_loss.backward()
        optim.step()
        running_loss += result_loss
    print(f"Epoch: {epoch + 1}/20 Loss: {running_loss:.4f}")
print(running_loss)
print(f"{running_loss}")

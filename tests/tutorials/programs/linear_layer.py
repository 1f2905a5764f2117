"""A linear layer on a whole batch flattened into one row; the last, smaller batch does not fit it."""

import torch
from torch import nn
from torch.nn import Linear
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(6)
dataset = TensorDataset(torch.rand(144, 3, 32, 32), torch.randint(0, 10, (144,)))
loader = DataLoader(dataset, batch_size=64)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1 = Linear(196608, 10)

    def forward(self, x):
        x = self.linear1(x)
        return x


layer = Layer()
print(layer)
try:
    for images, _labels in loader:
        print(images.shape)
        flat = torch.flatten(images)
        print(flat.shape)
        output = layer(flat)
        print(output.shape, [round(value, 3) for value in output.tolist()])
except RuntimeError as error:
    print("RuntimeError:", error)

loader = DataLoader(dataset, batch_size=64, drop_last=True)
for images, _labels in loader:
    print(layer(torch.reshape(images, (1, 1, 1, -1))).shape)
print(layer.linear1.bias)

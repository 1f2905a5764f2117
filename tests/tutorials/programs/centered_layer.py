"""A layer without parameters that subtracts the mean."""

import torch
from torch import nn


class CenteredLayer(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, X):
        return X - X.mean()


layer = CenteredLayer()
print(layer(torch.FloatTensor([1, 2, 3, 4, 5])))
print(torch.FloatTensor([1, 2, 3]).dtype, torch.LongTensor([1, 2]), torch.FloatTensor(2, 3).shape)
try:
    layer(torch.tensor([1, 2, 3, 4, 5]))
except RuntimeError as error:
    print("RuntimeError:", error)

torch.manual_seed(11)
net = nn.Sequential(nn.Linear(8, 128), CenteredLayer())
print(net)
Y = net(torch.rand(4, 8))
print(Y.shape, abs(Y.mean().item()) < 1e-6)

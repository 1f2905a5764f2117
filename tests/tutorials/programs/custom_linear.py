"""A linear layer from raw parameters; first cut off from autograd through .data, then properly."""

import torch
import torch.nn.functional as F
from torch import nn


class MyLinear(nn.Module):
    def __init__(self, in_units, units):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_units, units))
        self.bias = nn.Parameter(torch.randn(units))

    def forward(self, X):
        return torch.matmul(X, self.weight.data) + self.bias.data


class Trainable(MyLinear):
    def forward(self, X):
        return F.relu(torch.matmul(X, self.weight) + self.bias)


torch.manual_seed(24)
linear = MyLinear(5, 3)
print(linear)
print(linear.weight)
print(linear.bias)
print(linear.state_dict())
X = torch.rand(2, 5)
out = linear(X)
print(out, out.requires_grad)
try:
    out.sum().backward()
except RuntimeError as error:
    print("RuntimeError:", error)

trainable = Trainable(5, 3)
print(dict(trainable.named_parameters()).keys())
trainable(X).sum().backward()
print(trainable.weight.grad)
print(trainable.bias.grad)

net = nn.Sequential(Trainable(64, 8), MyLinear(8, 1))
print(net)
print(net(torch.rand(2, 64)))

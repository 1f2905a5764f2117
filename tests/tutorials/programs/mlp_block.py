"""A perceptron with the functional ReLU, and a block that shares a layer and has control flow."""

import torch
from torch import nn
from torch.nn import functional as F


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.out = nn.Linear(256, 10)

    def forward(self, X):
        return self.out(F.relu(self.hidden(X)))


class FixedHidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.rand_weight = torch.rand((20, 20), requires_grad=False)
        self.linear = nn.Linear(20, 20)

    def forward(self, X):
        X = self.linear(X)
        X = F.relu(torch.mm(X, self.rand_weight) + 1)
        X = self.linear(X)
        while X.abs().sum() > 1:
            X /= 2
        return X.sum()


torch.manual_seed(13)
X = torch.rand(2, 20)
net = MLP()
print(net)
print(net(X))

fixed = FixedHidden()
print(fixed)
result = fixed(X)
print(result)
result.backward()
print(fixed.linear.bias.grad)
print([name for name, _ in fixed.named_parameters()])
chimera = nn.Sequential(MLP(), nn.Linear(10, 20), FixedHidden())
print(chimera)
print(chimera(X))

"""Looking at parameters: state_dict, type, value, gradient, all at once."""

import torch
from torch import nn

torch.manual_seed(15)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
X = torch.rand(size=(2, 4))
print(net(X))
print(net[2].state_dict())
print(type(net[2].weight))
print(net[2].weight)
print(net[2].weight.data)
print(type(net[2].bias), net[2].bias, net[2].bias.data)
print(net[2].weight.grad is None, net[2].weight.requires_grad, net[2].weight.is_leaf)
try:
    net[2].weight.grid  # a slip of the pen in the tutorial
except AttributeError as error:
    print("AttributeError:", error)

print(*[(name, param.shape) for name, param in net[0].named_parameters()])
print(*[(name, param.shape) for name, param in net.named_parameters()])
print(net.state_dict()["2.bias"].data)
print(net.state_dict())
print(list(net.parameters()))
print(net.get_parameter("0.weight").shape, net.get_submodule("2"))

net(X).sum().backward()
print(net[2].weight.grad)
print(net[2].bias.grad)
print(isinstance(net[0].weight, nn.Parameter), isinstance(net[0].weight, torch.Tensor))

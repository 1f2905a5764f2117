"""Blocks inside blocks, with a space in their names."""

import torch
from torch import nn


def block1():
    return nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4), nn.ReLU())


def block2():
    net = nn.Sequential()
    for i in range(3):
        net.add_module(f"block {i}", block1())
    return net


torch.manual_seed(16)
rgnet = nn.Sequential(block2(), nn.Linear(4, 1))
print(rgnet)
X = torch.rand(size=(2, 4))
print(rgnet(X))
print(rgnet[0][1][0].bias.data)
print(list(rgnet.state_dict()))
print([name for name, _ in rgnet.named_modules()])
print(rgnet.get_submodule("0.block 1.2"))
for name, parameter in rgnet.named_parameters():
    print(name, parameter.shape, parameter)

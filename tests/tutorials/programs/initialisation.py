"""Initialising through apply: normal, constant, different blocks differently, by hand."""

import torch
from torch import nn

torch.manual_seed(17)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def init_normal(m):
    if type(m) is nn.Linear:
        nn.init.normal_(m.weight, mean=0, std=0.01)
        nn.init.zeros_(m.bias)


def init_constant(m):
    if type(m) is nn.Linear:
        nn.init.constant_(m.weight, 1)
        nn.init.zeros_(m.bias)


def init_xavier(m):
    if type(m) is nn.Linear:
        nn.init.xavier_uniform_(m.weight)


def init_by_hand(m):
    if type(m) is nn.Linear:
        print("Init", *[(name, param.shape) for name, param in m.named_parameters()][0])
        nn.init.uniform_(m.weight, -10, 10)
        m.weight.data *= m.weight.data.abs() >= 5


print(net.apply(init_normal) is net)
print((net[0].weight.data[0], net[0].bias.data[0]))
net.apply(init_constant)
print((net[0].weight.data[0], net[0].bias.data[0]))
net[0].apply(init_normal)
net[2].apply(init_constant)
print(net[0].weight.data[0])
print(net[2].weight.data)
net[0].apply(init_xavier)
print(net[0].weight.data[0])
net.apply(init_by_hand)
print(net[0].weight[:2])
net[0].weight.data[:] += 1
net[0].weight.data[0, 0] = 42
print(net[0].weight.data[0])

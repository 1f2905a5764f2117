"""The smallest module: forward adds one."""

import torch
from torch import nn


class AddOne(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, input):
        output = input + 1
        return output


add_one = AddOne()
x = torch.tensor(1.0)
print(add_one(x))
print(add_one)
print(list(add_one.parameters()), add_one.state_dict())
print(add_one(torch.tensor([1, 2])), add_one(torch.tensor(2.5, dtype=torch.float64)))
print(add_one(torch.tensor(1.0, requires_grad=True)))
print(add_one.training, add_one.eval().training, add_one.train() is add_one)

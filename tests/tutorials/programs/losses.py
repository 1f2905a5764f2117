"""L1, squared error and cross entropy on numbers one can check by hand."""

import torch
from torch import nn
from torch.nn import CrossEntropyLoss, L1Loss, MSELoss

inputs = torch.tensor([1, 2, 3], dtype=torch.float32)
targets = torch.tensor([1, 2, 5], dtype=torch.float32)
inputs = torch.reshape(inputs, (1, 1, 1, 3))
targets = torch.reshape(targets, (1, 1, 1, 3))

print(L1Loss(reduction="mean")(inputs, targets))
print(L1Loss(reduction="sum")(inputs, targets))
print(L1Loss(reduction="none")(inputs, targets))
print(MSELoss(reduction="mean")(inputs, targets))
print(nn.MSELoss()(inputs, targets).item())

x = torch.tensor([0.1, 0.2, 0.3])
y = torch.tensor([1])
x = torch.reshape(x, (1, 3))
cross = CrossEntropyLoss()
result = cross(x, y)
print(cross, result, result.shape)
# Cross entropy is log-softmax followed by the negative log likelihood.
print(nn.NLLLoss()(nn.LogSoftmax(dim=1)(x), y))

x.requires_grad_()
loss = cross(x, y)
print(loss)
loss.backward()
print(x.grad)

try:
    cross(x, torch.tensor([1, 2]))
except ValueError as error:
    print("ValueError:", error)
try:
    L1Loss(reduction="average")(inputs, targets)
except ValueError as error:
    print("ValueError:", error)

"""Sequential by position and by name: text, indexing, slicing, growing."""

from collections import OrderedDict

import torch
from torch import nn

torch.manual_seed(7)
model = nn.Sequential(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.Conv2d(20, 64, 5), nn.ReLU())
print(model)

named = nn.Sequential(
    OrderedDict(
        [
            ("conv1", nn.Conv2d(1, 20, 5)),
            ("relu1", nn.ReLU()),
            ("conv2", nn.Conv2d(20, 64, 5)),
            ("relu2", nn.ReLU()),
        ]
    )
)
print(named)
print(list(named.state_dict()), list(model.state_dict()))

x = torch.rand(2, 1, 12, 12)
print(model(x).shape, named(x).shape)
print(len(model), model[0], model[-1], named.conv2 is named[2])
print(model[1:3])
print([type(layer).__name__ for layer in named])

model.append(nn.Flatten())
model[1] = nn.Sigmoid()
print(model)
del model[3]
print(model, model(x).shape)

try:
    model[9]
except IndexError as error:
    print("IndexError:", error)
try:
    nn.Sequential(nn.ReLU(), "relu")
except TypeError as error:
    print("TypeError:", error)

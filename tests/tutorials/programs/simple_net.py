"""Two linear layers around a ReLU, built from sizes, with a text of its own."""

import torch
import torch.nn as nn


class SimpleNet(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(SimpleNet, self).__init__()  # noqa: UP008 (the older form must work too)
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        out = self.fc1(x)
        out = self.relu(out)
        return self.fc2(out)


class DescribedNet(SimpleNet):
    def __str__(self):
        return f"DescribedNet with {sum(p.numel() for p in self.parameters())} parameters"


torch.manual_seed(1)
model = SimpleNet(100, 50, 10)
print(model)
out = model(torch.randn(4, 100))
print(out.shape, out.dtype, out.requires_grad)
print(out)
print(len(list(model.parameters())), [tuple(p.shape) for p in model.parameters()])
print([name for name, _ in model.named_children()])
print([type(module).__name__ for module in model.modules()])

described = DescribedNet(100, 50, 10)
print(described)
print(repr(described))
described.load_state_dict(model.state_dict())
print(torch.equal(described.fc1.weight, model.fc1.weight))
print(described.load_state_dict(model.state_dict()))

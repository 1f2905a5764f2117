"""A Sequential of our own that writes its children straight into _modules."""

import torch
from torch import nn


class MySequential(nn.Module):
    def __init__(self, *args):
        super().__init__()
        for idx, module in enumerate(args):
            self._modules[str(idx)] = module

    def forward(self, X):
        for block in self._modules.values():
            X = block(X)
        return X


torch.manual_seed(14)
net = MySequential(*[nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)])
print(net)
X = torch.rand(2, 20)
print(net(X))
print([(name, tuple(p.shape)) for name, p in net.named_parameters()])
print(list(net.state_dict()), list(net._modules))

# More than ten children stay in the order they were added.
deep = MySequential(*(nn.Linear(3, 3) for _ in range(12)))
print([name for name, _ in deep.named_children()])
print(deep(torch.rand(1, 3)))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(20):
    loss = net(X).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.4f}")

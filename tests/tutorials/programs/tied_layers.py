"""One layer used twice: a write through .data shows in both places, gradients add."""

import torch
from torch import nn

torch.manual_seed(18)
shared = nn.Linear(8, 8)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))
print(net)
print(net[2].weight.data[0, 0])
print(net[4].weight.data[0, 0])
print(net[2].weight.data[0] == net[4].weight.data[0])

net[2].weight.data[0, 0] = 100
print(net[2].weight.data[0, 0])
print(net[4].weight.data[0, 0])
print(net[2].weight.data[0] == net[4].weight.data[0])

print([name for name, _ in net.named_parameters()])
print(list(net.state_dict()))
X = torch.rand(2, 4)
loss = net(X).sum()
print(loss)
loss.backward()
print(net[2].weight.grad is net[4].weight.grad)
print(net[4].bias.grad)

net[2].weight.data[0, 0] = 0
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
for step in range(20):
    loss = (net(X) - 1).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.4f}")
print(torch.equal(net[2].weight, net[4].weight))

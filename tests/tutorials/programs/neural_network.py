"""A digit classifier from Flatten and Sequential: prediction, structure, layer by layer, parameters."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

device = "cuda" if torch.cuda.is_available() else "cpu"
print("device:", device)


class NeuralNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(28 * 28, 512),
            nn.ReLU(),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Linear(512, 10),
            nn.ReLU(),
        )

    def forward(self, x):
        x = self.flatten(x)
        return self.linear_relu_stack(x)


torch.manual_seed(0)
model = NeuralNetwork().to(device)

image = torch.rand(1, 28, 28, device=device)
logits = model(image)
probabilities = nn.Softmax(dim=1)(logits)
predicted = probabilities.argmax(1)
print(f"Predicted class: {predicted}")
print("logits", logits)
print("probabilities", probabilities)
print("they sum to", probabilities.sum().item())

print("Model structure:", model, "\n")
for name, parameter in model.named_parameters():
    print(f"Layer: {name} | Size: {parameter.size()} | Values: {parameter[:2]} \n")

# The same pieces, one at a time.
batch = torch.rand(3, 28, 28)
print(batch.size())
flat = nn.Flatten()(batch)
print(flat.size())
first = nn.Linear(in_features=28 * 28, out_features=20)
hidden = first(flat)
print(hidden.size())
print("Before the activation:", hidden)
hidden = nn.ReLU()(hidden)
print("After the activation:", hidden)
sequence = nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(20, 10))
print(nn.Softmax(dim=1)(sequence(batch)))

# A few steps on a loader of random images.
data = TensorDataset(torch.rand(60, 28, 28), torch.randint(0, 10, (60,)))
loader = DataLoader(data, batch_size=12, shuffle=True)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for epoch in range(4):
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        loss = criterion(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.4f}")

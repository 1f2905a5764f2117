"""The same network as a module, updated by optim.SGD, in training and evaluation mode."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.metrics import accuracy_score

x_data_torch = torch.from_numpy(np.array([[0, 0], [1, 0], [1, 1], [0, 0], [0, 0], [0, 1]])).float()
y_data = np.array([0, 1, 2, 0, 0, 2])
y_data_torch = torch.from_numpy(y_data)


class ModelWithHiddenLayer(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(ModelWithHiddenLayer, self).__init__()  # noqa: UP008 (the older form must work too)
        self.linear1 = nn.Linear(input_size, hidden_size)
        self.linear2 = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        z1 = self.linear1(x)
        return self.linear2(F.relu(z1))


torch.manual_seed(20)
model = ModelWithHiddenLayer(2, 5, 3)
print(model)
criterion = nn.CrossEntropyLoss()
optimiser = optim.SGD(model.parameters(), lr=0.01)
print(optimiser)

for epoch in range(1000):
    inputs = x_data_torch
    labels = y_data_torch
    model.train()
    optimiser.zero_grad()
    outputs = model(inputs)
    loss = criterion(outputs, labels)
    loss.backward()
    optimiser.step()
    if epoch < 20:
        print(f"step {epoch} loss {loss.item():.4f}")
    if epoch % 200 == 199:
        model.eval()
        pred_outputs = model(inputs)
        predicted = torch.argmax(pred_outputs, 1)
        train_acc = accuracy_score(predicted.numpy(), y_data)
        print(f"{epoch + 1}, loss: {loss.item():.4f}, train_acc: {train_acc:.4f}")

pred_outputs = model(inputs)
_, predicted = torch.max(pred_outputs, 1)
print("Predicted:", predicted.numpy())
print("Truth:", y_data)
print(f"Accuracy: {accuracy_score(predicted.numpy(), y_data):.2f}")
try:
    pred_outputs.numpy()
except RuntimeError as error:
    print("RuntimeError:", error)
print(optimiser.param_groups[0]["lr"], len(optimiser.param_groups[0]["params"]))
print(loss)

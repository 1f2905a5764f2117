"""A network from four tensors, with gradient descent written out by hand through .data."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score

x_data = np.array([[0, 0], [1, 0], [1, 1], [0, 0], [0, 0], [0, 1]])
x_data_torch = torch.from_numpy(x_data).float()
y_data = np.array([0, 1, 2, 0, 0, 2])
y_data_torch = torch.from_numpy(y_data)
print(x_data_torch, y_data_torch)

num_features = 2
num_classes = 3
n_hidden_1 = 5

torch.manual_seed(19)
W1 = torch.randn(num_features, n_hidden_1, requires_grad=True)
B1 = torch.randn(n_hidden_1, requires_grad=True)
Wout = torch.randn(n_hidden_1, num_classes, requires_grad=True)
Bout = torch.randn(num_classes, requires_grad=True)
print(W1)

learning_rate = 0.01
for epoch in range(1000):
    z1 = torch.add(torch.matmul(x_data_torch, W1), B1)
    Zout = torch.add(torch.matmul(F.relu(z1), Wout), Bout)
    log_softmax = F.log_softmax(Zout, dim=1)
    loss = F.nll_loss(log_softmax, y_data_torch)
    loss.backward()
    with torch.no_grad():
        W1.data -= learning_rate * W1.grad.data
        B1.data -= learning_rate * B1.grad.data
        Wout.data -= learning_rate * Wout.grad.data
        Bout.data -= learning_rate * Bout.grad.data
    if epoch == 0:
        print(W1.grad, loss)
    W1.grad.data.zero_()
    B1.grad.data.zero_()
    Wout.grad.data.zero_()
    Bout.grad.data.zero_()

    if epoch < 20:
        print(f"step {epoch} loss {loss.item():.4f}")
    if epoch % 200 == 199:
        with torch.no_grad():
            z1 = torch.add(torch.matmul(x_data_torch, W1), B1)
            Zout = torch.add(torch.matmul(F.relu(z1), Wout), Bout)
            predicted = torch.argmax(Zout, 1)
            train_acc = accuracy_score(predicted.numpy(), y_data)
            print(f"Epoch: {epoch + 1}, loss: {loss.item():.4f}, train_acc: {train_acc:.3f}")
print("Predicted:", predicted.numpy())
print("Truth:", y_data)
print(f"Accuracy: {train_acc:.2f}")
print(W1.grad, W1.requires_grad, z1.requires_grad)

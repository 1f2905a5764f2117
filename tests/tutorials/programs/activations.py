"""ReLU, in place and not, and Sigmoid over a loader of images."""

import torch
from torch import nn
from torch.nn import ReLU, Sigmoid
from torch.utils.data import DataLoader, TensorDataset

input = torch.tensor([[1, -0.5], [-1, 3]])
output = torch.reshape(input, (-1, 1, 2, 2))
print(output.shape)


class Activation(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu1 = ReLU(inplace=False)
        self.sigmoid1 = Sigmoid()

    def forward(self, x):
        output = self.sigmoid1(x)
        return output


activation = Activation()
print(activation)
print(activation.relu1(input))
print(input)

in_place = ReLU(inplace=True)
print(in_place)
result = in_place(input)
print(input, result is input)
print(output)  # a reshape that shares memory sees the change

torch.manual_seed(5)
loader = DataLoader(TensorDataset(torch.randn(9, 3, 4, 4), torch.randint(0, 10, (9,))), batch_size=4)
for images, labels in loader:
    print(images.shape, activation(images)[0, 0], labels)
print(torch.sigmoid(torch.tensor([-1.0, 0.0, 1.0])), torch.tanh(torch.tensor([-1.0, 0.0, 1.0])))

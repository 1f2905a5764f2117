"""Max pooling with and without the incomplete windows, on one small image and over a loader."""

import torch
from torch import nn
from torch.nn import MaxPool2d
from torch.utils.data import DataLoader, TensorDataset

image = torch.tensor(
    [
        [1, 2, 0, 3, 1],
        [0, 1, 2, 3, 1],
        [1, 2, 1, 0, 0],
        [5, 2, 3, 1, 1],
        [2, 1, 0, 1, 1],
    ],
    dtype=torch.float32,
)
image = torch.reshape(image, (-1, 1, 5, 5))
print(image.shape)


class Pool(nn.Module):
    def __init__(self, ceil_mode):
        super().__init__()
        self.maxpool1 = MaxPool2d(kernel_size=3, ceil_mode=ceil_mode)

    def forward(self, input):
        output = self.maxpool1(input)
        return output


for ceil_mode in (True, False):
    pool = Pool(ceil_mode)
    print(pool)
    print(pool(image))

# Whole numbers: the first tutorials needed dtype=torch.float32 here.
try:
    print(Pool(True)(image.long()))
except RuntimeError as error:
    print("RuntimeError:", error)

values, indices = MaxPool2d(2, stride=1, return_indices=True)(image)
print(values, indices)

torch.manual_seed(4)
loader = DataLoader(TensorDataset(torch.rand(70, 3, 32, 32), torch.randint(0, 10, (70,))), batch_size=64)
for step, (images, labels) in enumerate(loader):
    output = Pool(True)(images)
    print(step, output.shape, labels.shape, output[0, 0, -1])

image.requires_grad_()
Pool(True)(image).sum().backward()
print(image.grad)

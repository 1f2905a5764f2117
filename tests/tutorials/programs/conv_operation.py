"""The convolution as an operation on whole numbers: stride and padding."""

import torch
import torch.nn.functional as F

image = torch.tensor(
    [
        [1, 2, 0, 3, 1],
        [0, 1, 2, 3, 1],
        [1, 2, 1, 0, 0],
        [5, 2, 3, 1, 1],
        [2, 1, 0, 1, 1],
    ]
)
kernel = torch.tensor([[1, 2, 1], [0, 1, 0], [2, 1, 0]])
print(image.shape, kernel.shape, image.dtype)

try:
    print(F.conv2d(image, kernel, stride=1))
except RuntimeError as error:
    print("RuntimeError:", error)

image = torch.reshape(image, (1, 1, 5, 5))
kernel = torch.reshape(kernel, (1, 1, 3, 3))
print(image.shape, kernel.shape)
print(F.conv2d(image, kernel, stride=1))
print(F.conv2d(image, kernel, stride=2))
print(F.conv2d(image, kernel, stride=1, padding=1))
print(F.conv2d(image.float(), kernel.float(), stride=(1, 2), padding=(0, 1)))
print(F.conv2d(image.float(), kernel.float(), bias=torch.tensor([0.5]), padding="same"))
print(F.conv2d(image.float(), kernel.float(), padding=2, dilation=2))

"""A convolution layer over a loader of colour images; six channels regrouped as three for display."""

import torch
from torch import nn
from torch.nn import Conv2d
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)
dataset = TensorDataset(torch.rand(150, 3, 32, 32), torch.randint(0, 10, (150,)))
loader = DataLoader(dataset, batch_size=64)
print(len(dataset), len(loader))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = Conv2d(in_channels=3, out_channels=6, kernel_size=3, stride=1, padding=0)

    def forward(self, x):
        x = self.conv1(x)
        return x


layer = Layer()
print(layer)
for step, data in enumerate(loader):
    images, targets = data
    output = layer(images)
    print(step, images.shape, output.shape, targets[:5])
    shown = torch.reshape(output, (-1, 3, 30, 30))
    print(shown.shape, shown[0, :, 0, :4])

print(layer.conv1.weight[0], layer.conv1.bias)
print(Conv2d(3, 6, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1)))
print(Conv2d(4, 8, 3, padding="same", groups=2, bias=False, padding_mode="reflect"))

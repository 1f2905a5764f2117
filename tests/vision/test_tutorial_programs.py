"""The programs of CIFAR-10 tutorials, with their imports changed and nothing else, print what they print with torchvision."""

import contextlib
import io
import re

import pytest

from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)
from tests.vision.small_files import tiny_cifar, write

CONVOLUTION = """
import torch
import torchvision
from torch import nn
from torch.nn import Conv2d
from torch.utils.data import DataLoader

torch.manual_seed(0)
dataset = torchvision.datasets.CIFAR10("./Dataset",
    train=False,
    transform=torchvision.transforms.ToTensor(),
    download=True)
dataloader = DataLoader(dataset, batch_size=2)

class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = Conv2d(in_channels=3, out_channels=6, kernel_size=3, stride=1, padding=0)
    def forward(self, x):
        x = self.conv1(x)
        return x

net = Net()
print(net)
for data in dataloader:
    imgs, targets = data
    output = net(imgs)
    print(imgs.shape, output.shape, targets)
    output = torch.reshape(output, (-1, 3, 30, 30))
    print(output.shape, round(output.mean().item(), 4))
    print(torchvision.utils.make_grid(imgs).shape)
"""

TRAINING = """
import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import functional as TF
import torchvision.transforms as T

torch.manual_seed(0)
transform = transforms.Compose([
    transforms.RandomCrop(32, padding=4),
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
    transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
])
dataset = datasets.CIFAR10(root="./Dataset", train=True, download=True, transform=transform)
print(dataset)
loader = DataLoader(dataset, batch_size=10, shuffle=True)
model = nn.Sequential(
    nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(512, 10))
loss_fn = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.01)
for epoch in range(2):
    running_loss = 0.0
    for imgs, labels in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(imgs), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    print("Epoch: {} Loss: {:.3f}".format(epoch + 1, running_loss))
print(T.Resize(8), TF.hflip(imgs).shape, dataset.classes[labels[0]])
"""

REWRITES = (
    (r"^import torch$", "import jaxnn as torch"),
    (r"^from torch\b", "from jaxnn"),
    (r"^import torchvision$", "from jaxnn import vision as torchvision"),
    (r"^import torchvision\.transforms as T$", "import jaxnn.vision.transforms as T"),
    (r"^from torchvision\b", "from jaxnn.vision"),
)


@pytest.mark.parametrize("source", [CONVOLUTION, TRAINING], ids=["convolution", "training"])
def test_prints_the_same(tmp_path, monkeypatch, source):
    files, _, classes = tiny_cifar("CIFAR10", True)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "Dataset" / "cifar-10-batches-py", files)
    for original, small in zip((classes[0].__base__, classes[1].__base__), classes, strict=True):
        for field in ("train_list", "test_list", "meta", "tgz_md5"):
            monkeypatch.setattr(original, field, getattr(small, field))
    ours = source
    for pattern, replacement in REWRITES:
        ours = re.sub(pattern, replacement, ours, flags=re.MULTILINE)
    printed = []
    for program in (ours, source):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(program, "program", "exec"), {"__name__": "__main__"})
        printed.append(out.getvalue())
    assert printed[0] == printed[1]

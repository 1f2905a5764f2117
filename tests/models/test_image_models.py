"""Image models written once in PyTorch's idiom, trained on PyTorch and on jaxnn from the same weights."""

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import compat


def u_net(torch):
    nn, F = torch.nn, torch.nn.functional

    def double(inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.bottom = double(2, 4), double(4, 8), double(8, 8)
            self.pool = nn.MaxPool2d(2)
            self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
            self.right, self.last = double(16, 8), double(12, 4)
            self.out = nn.Conv2d(4, 3, 1)

        def forward(self, x):
            a = self.first(x)
            b = self.second(self.pool(a))
            y = self.up(self.bottom(self.pool(b)))
            y = self.right(torch.cat([y, b], dim=1))
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            return self.out(self.last(torch.cat((y, a), 1)))

    return UNet()


def densenet(torch):
    nn = torch.nn

    class DenseLayer(nn.Module):
        def __init__(self, inputs, growth):
            super().__init__()
            self.norm1 = nn.BatchNorm2d(inputs)
            self.relu = nn.ReLU(inplace=True)
            self.conv1 = nn.Conv2d(inputs, 2 * growth, kernel_size=1, bias=False)
            self.norm2 = nn.BatchNorm2d(2 * growth)
            self.conv2 = nn.Conv2d(2 * growth, growth, kernel_size=3, padding=1, bias=False)

        def forward(self, features):
            x = torch.cat(features, 1)
            return self.conv2(self.relu(self.norm2(self.conv1(self.relu(self.norm1(x))))))

    class DenseBlock(nn.ModuleDict):
        def __init__(self, layers, inputs, growth):
            super().__init__()
            for i in range(layers):
                self.add_module(f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth))

        def forward(self, x):
            features = [x]
            for _, layer in self.items():
                features.append(layer(features))
            return torch.cat(features, 1)

    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False), DenseBlock(2, 6, 3), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 6, 1, bias=False), nn.AvgPool2d(2), DenseBlock(2, 6, 3), nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip


def mobilenet(torch):
    nn = torch.nn

    class InvertedResidual(nn.Module):
        def __init__(self, inputs, outputs, stride, ratio):
            super().__init__()
            hidden = inputs * ratio
            self.use_res_connect = stride == 1 and inputs == outputs
            self.conv = nn.Sequential(
                nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True),
                nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden),
                nn.ReLU6(inplace=True), nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
            )  # fmt: skip

        def forward(self, x):
            return x + self.conv(x) if self.use_res_connect else self.conv(x)

    class MobileNetV2(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU6(inplace=True),
                InvertedResidual(4, 6, 2, 2), InvertedResidual(6, 6, 1, 3),
            )  # fmt: skip
            self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(6, 3))
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out")
                elif isinstance(m, nn.Linear):
                    nn.init.normal_(m.weight, 0, 0.01)
                    nn.init.zeros_(m.bias)

        def forward(self, x):
            return self.classifier(self.features(x).mean([2, 3]))

    return MobileNetV2()


def resnet18(torch):
    nn, F = torch.nn, torch.nn.functional

    class BasicBlock(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            out = F.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return F.relu(out)

    class ResNet(nn.Module):
        def __init__(self, widths=(4, 4, 6, 8)):
            super().__init__()
            self.conv1 = nn.Conv2d(2, widths[0], 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(widths[0])
            inputs, stages = widths[0], []
            for i, width in enumerate(widths):
                stages.append(nn.Sequential(BasicBlock(inputs, width, 1 if i == 0 else 2), BasicBlock(width, width, 1)))
                inputs = width
            self.layer1, self.layer2, self.layer3, self.layer4 = stages
            self.fc = nn.Linear(inputs, 3)

        def forward(self, x):
            x = F.relu(self.bn1(self.conv1(x)))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
            return self.fc(x)

    return ResNet()


def vgg11(torch):
    nn = torch.nn
    layers, inputs = [], 2
    for v in (3, "M", 4, "M", 5, 5, "M", 6, 6, "M", 6, 6, "M"):
        if v == "M":
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            layers += [nn.Conv2d(inputs, v, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            inputs = v

    class VGG(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.features = features
            self.classifier = nn.Sequential(nn.Linear(6, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 3))

        def forward(self, x):
            x = self.features(x)
            return self.classifier(x.view(x.size(0), -1))

    return VGG(nn.Sequential(*layers))


def lenet(torch):
    nn, F = torch.nn, torch.nn.functional

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(2, 6, 5), nn.Conv2d(6, 16, 3)
            self.fc1, self.fc2 = nn.Linear(16 * 2 * 2, 20), nn.Linear(20, 3)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, self.num_flat_features(x))
            return self.fc2(torch.tanh(self.fc1(x)))

        def num_flat_features(self, x):
            n = 1
            for s in x.size()[1:]:
                n *= s
            return n

    return LeNet()


MODELS = {  # image size, optimizer
    u_net: (8, "Adam"), densenet: (8, "SGD"), mobilenet: (8, "SGD"), resnet18: (16, "SGD"), vgg11: (32, "Adam"),
    lenet: (16, "SGD"),
}  # fmt: skip


def trained(face, make, start=None):
    """Keys and weights before, outputs before, losses of three steps, and the state after them."""
    size, optimizer = MODELS[make]
    face.manual_seed(0)
    model = make(face)
    before = {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}
    if start is not None:
        model.load_state_dict({k: face.from_numpy(v.copy()) for k, v in start.items()})
    rng = np.random.default_rng(0)
    x = face.from_numpy(rng.standard_normal((4, 2, size, size)).astype(np.float32))
    shape = (4, size, size) if make is u_net else (4,)
    y = face.from_numpy(rng.integers(0, 3, shape))
    model.eval()
    with face.no_grad():
        out = model(x).numpy()
    model.train()
    if optimizer == "SGD":
        optimizer = face.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    else:
        optimizer = face.optim.Adam(model.parameters(), lr=1e-3)
    criterion, losses = face.nn.CrossEntropyLoss(), []
    for _ in range(3):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return before, out, losses, {k: v.detach().numpy() for k, v in model.state_dict().items()}


def close(ours, theirs, rtol, what=""):
    scale = max(float(np.abs(theirs).max()), 1e-3) if theirs.size else 1.0
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * scale, err_msg=what)


@pytest.mark.parametrize("make", list(MODELS), ids=lambda f: f.__name__)
def test_model(make):
    before, out, losses, after = trained(torch, make)
    ours = trained(jaxnn, make, start=before)
    assert list(ours[0]) == list(before)
    if make is not mobilenet:  # normal_ agrees to a unit in the last place
        for name, value in before.items():
            np.testing.assert_array_equal(ours[0][name], value, err_msg=name)
    close(ours[1], out, 1e-5)
    close(np.array(ours[2]), np.array(losses), 1e-4)
    for name, value in after.items():
        close(ours[3][name], value, 1e-4, name)


@pytest.mark.parametrize(
    "make", [pytest.param(f, marks=() if f is resnet18 else pytest.mark.long) for f in MODELS], ids=lambda f: f.__name__
)
def test_every_layer_in_double_precision(make):
    """What each submodule gives, every gradient, and three steps."""
    size, optimizer = MODELS[make]
    theirs, ours = (make(face).double() for face in (torch, jaxnn))
    ours.load_state_dict({k: jaxnn.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((4, 2, size, size))
    compat.parity(theirs, ours, x, steps=3, optimizer=optimizer, lr=1e-3, rtol=1e-10, grad_rtol=1e-10).check()

"""Fast style transfer in small: a residual network, instance norms, reflection padding and Gram matrices."""

import argparse
import sys
import time
from collections import namedtuple

import numpy as np
import torch
from torch.optim import Adam


class ConvLayer(torch.nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super().__init__()
        self.reflection_pad = torch.nn.ReflectionPad2d(kernel_size // 2)
        self.conv2d = torch.nn.Conv2d(in_channels, out_channels, kernel_size, stride)

    def forward(self, x):
        return self.conv2d(self.reflection_pad(x))


class ResidualBlock(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3, 1)
        self.in1 = torch.nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = ConvLayer(channels, channels, 3, 1)
        self.in2 = torch.nn.InstanceNorm2d(channels, affine=True)
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        out = self.relu(self.in1(self.conv1(x)))
        return self.in2(self.conv2(out)) + x


class UpsampleConvLayer(ConvLayer):
    def __init__(self, in_channels, out_channels, kernel_size, stride, upsample=None):
        super().__init__(in_channels, out_channels, kernel_size, stride)
        self.upsample = upsample

    def forward(self, x):
        if self.upsample:
            x = torch.nn.functional.interpolate(x, mode="nearest", scale_factor=self.upsample)
        return super().forward(x)


class TransformerNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = ConvLayer(3, 8, 5, 1)
        self.in1 = torch.nn.InstanceNorm2d(8, affine=True)
        self.conv2 = ConvLayer(8, 16, 3, 2)
        self.in2 = torch.nn.InstanceNorm2d(16, affine=True)
        self.res1, self.res2 = ResidualBlock(16), ResidualBlock(16)
        self.deconv1 = UpsampleConvLayer(16, 8, 3, 1, upsample=2)
        self.in4 = torch.nn.InstanceNorm2d(8, affine=True)
        self.deconv3 = ConvLayer(8, 3, 5, 1)
        self.relu = torch.nn.ReLU()

    def forward(self, X):
        y = self.relu(self.in1(self.conv1(X)))
        y = self.relu(self.in2(self.conv2(y)))
        y = self.res2(self.res1(y))
        return self.deconv3(self.relu(self.in4(self.deconv1(y))))


class Features(torch.nn.Module):
    def __init__(self, requires_grad=False):
        super().__init__()
        layers = [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        layers += [torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.ReLU()]
        self.slice1, self.slice2 = torch.nn.Sequential(), torch.nn.Sequential()
        for x in range(2):
            self.slice1.add_module(str(x), layers[x])
        for x in range(2, 5):
            self.slice2.add_module(str(x), layers[x])
        if not requires_grad:
            for param in self.parameters():
                param.requires_grad = False

    def forward(self, X):
        h1 = self.slice1(X)
        return namedtuple("Outputs", ["relu1", "relu2"])(h1, self.slice2(h1))


def gram_matrix(y):
    (b, ch, h, w) = y.size()
    features = y.view(b, ch, w * h)
    return features.bmm(features.transpose(1, 2)) / (ch * h * w)


def normalize_batch(batch):
    mean = batch.new_tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
    std = batch.new_tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)
    return batch.div_(255.0).sub(mean).div(std)


def train(args):
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    transformer, vgg = TransformerNet(), Features()
    optimizer = Adam(transformer.parameters(), args.lr)
    mse_loss = torch.nn.MSELoss()
    style = torch.from_numpy(np.random.uniform(0, 255, (3, 16, 16)).astype("float32")).repeat(2, 1, 1, 1)
    gram_style = [gram_matrix(y) for y in vgg(normalize_batch(style))]
    agg_content = agg_style = 0.0
    for batch_id in range(args.steps):
        x = torch.from_numpy(np.random.uniform(0, 255, (2, 3, 16, 16)).astype("float32"))
        optimizer.zero_grad()
        y = transformer(x)
        y, x = normalize_batch(y), normalize_batch(x)
        features_y, features_x = vgg(y), vgg(x)
        content_loss = args.content_weight * mse_loss(features_y.relu2, features_x.relu2)
        style_loss = 0.0
        for ft_y, gm_s in zip(features_y, gram_style):
            style_loss += mse_loss(gram_matrix(ft_y), gm_s[: len(x), :, :])
        style_loss *= args.style_weight
        (content_loss + style_loss).backward()
        optimizer.step()
        agg_content += content_loss.item()
        agg_style += style_loss.item()
        if (batch_id + 1) % args.log_interval == 0:
            print(f"[{batch_id + 1}/{args.steps}]\tcontent: {agg_content / (batch_id + 1):.6g}\tstyle: {agg_style / (batch_id + 1):.6g}")
    assert time.ctime()
    out = transformer.eval().cpu()(x * 255)[0].clone().clamp(0, 255).detach().numpy().transpose(1, 2, 0)
    print(out.shape, float(out.mean()).__round__(2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--log-interval", type=int, default=5)
    parser.add_argument("--content-weight", type=float, default=1e2)
    parser.add_argument("--style-weight", type=float, default=1e3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=42)
    train(parser.parse_args())
    sys.exit(0)

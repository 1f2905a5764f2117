"""Super-resolution by a sub-pixel network (Shi et al., 2016)."""

import argparse
import os
import tempfile
from math import log10

import torch
import torch.nn as nn
import torch.nn.init as init
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--upscale_factor", type=int, default=3)
parser.add_argument("--nEpochs", type=int, default=5)
parser.add_argument("--lr", type=float, default=0.001)
parser.add_argument("--seed", type=int, default=123)
opt = parser.parse_args()
torch.manual_seed(opt.seed)
device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
y, x = torch.meshgrid(torch.arange(18.0), torch.arange(18.0), indexing="ij")
fine = torch.stack([torch.sin(x * (0.2 + 0.01 * k)) * torch.cos(y * 0.3) for k in range(48)]).unsqueeze(1) / 2 + 0.5
coarse = nn.functional.interpolate(fine, scale_factor=1 / opt.upscale_factor, mode="bicubic", align_corners=False)
training = DataLoader(TensorDataset(coarse[:40], fine[:40]), batch_size=4, shuffle=True)
testing = DataLoader(TensorDataset(coarse[40:], fine[40:]), batch_size=4)


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 16, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(16, 16, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(16, 8, (3, 3), (1, 1), (1, 1))
        self.conv4 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        for conv in (self.conv1, self.conv2, self.conv3):
            init.orthogonal_(conv.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv4.weight)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        x = self.relu(self.conv3(x))
        return self.pixel_shuffle(self.conv4(x))


model = Net(upscale_factor=opt.upscale_factor).to(device)
criterion = nn.MSELoss()
optimizer = optim.Adam(model.parameters(), lr=opt.lr)
for epoch in range(1, opt.nEpochs + 1):
    epoch_loss = 0
    for iteration, batch in enumerate(training, 1):
        input, target = batch[0].to(device), batch[1].to(device)
        optimizer.zero_grad()
        loss = criterion(model(input), target)
        epoch_loss += loss.item()
        loss.backward()
        optimizer.step()
        print(f"===> Epoch[{epoch}]({iteration}/{len(training)}): Loss: {loss.item():.4f}")
    avg_psnr = 0
    with torch.no_grad():
        for input, target in testing:
            avg_psnr += 10 * log10(1 / criterion(model(input.to(device)), target.to(device)).item())
    print(f"===> Epoch {epoch}: {epoch_loss / len(training):.4f} PSNR: {avg_psnr / len(testing):.4f} dB")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"model_epoch_{epoch}.pth")
        torch.save(model, path)
        net = torch.load(path, weights_only=False)
        net = net.to(device)
        print(net(coarse[:1]).mean().item())

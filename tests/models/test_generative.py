"""A variational autoencoder and a pair of convolutional GAN networks, written once and trained on both."""

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import compat
from tests.comparison import check


def vae(torch):
    nn, F = torch.nn, torch.nn.functional

    class Encoder(nn.Module):
        def __init__(self, width, latent):
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(36, width), nn.ReLU())
            self.mean = nn.Linear(width, latent)
            self.log_var = nn.Linear(width, latent)

        def forward(self, x):
            h = self.hidden(x.flatten(1))
            return self.mean(h), self.log_var(h)

    class VAE(nn.Module):
        def __init__(self, width=16, latent=3):
            super().__init__()
            self.encoder = Encoder(width, latent)
            self.decoder = nn.Sequential(nn.Linear(latent, width), nn.Tanh(), nn.Linear(width, 36))

        def sample(self, mean, log_var):
            if not self.training:
                return mean
            std = torch.exp(0.5 * log_var)
            return mean + std * torch.randn_like(std)

        def forward(self, x):
            mean, log_var = self.encoder(x)
            return torch.sigmoid(self.decoder(self.sample(mean, log_var))).view(x.shape), mean, log_var

    def loss(result, x):
        made, mean, log_var = result
        likelihood = F.binary_cross_entropy(made, x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return (likelihood + divergence) / x.shape[0]

    return VAE(), loss


def gan(torch):
    nn = torch.nn

    def initialise(module):
        name = type(module).__name__
        if name.find("Conv") != -1:
            nn.init.normal_(module.weight.data, 0.0, 0.02)
        elif name.find("BatchNorm") != -1:
            nn.init.normal_(module.weight.data, 1.0, 0.02)
            nn.init.constant_(module.bias.data, 0)

    class Generator(nn.Module):
        def __init__(self, latent=5, width=4):
            super().__init__()
            self.main = nn.Sequential(
                nn.ConvTranspose2d(latent, width * 2, 3, 1, 0, bias=False),
                nn.BatchNorm2d(width * 2),
                nn.ReLU(True),
                nn.ConvTranspose2d(width * 2, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(True),
                nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False),
                nn.Tanh(),
            )

        def forward(self, z):
            return self.main(z)

    class Discriminator(nn.Module):
        def __init__(self, width=4):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(1, width, 4, 2, 1, bias=False),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width * 2),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width * 2, 1, 3, 1, 0, bias=False),
                nn.Sigmoid(),
            )

        def forward(self, x):
            return self.main(x).view(-1)

    return Generator().apply(initialise), Discriminator().apply(initialise)


def data(*shape, seed, low=0.0):
    return np.random.default_rng(seed).uniform(low, 1, shape)


def train_vae(torch, model, loss, dtype):
    """The first forward and the losses of three steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(3)
    found = []
    for step in range(3):
        x = torch.from_numpy(data(8, 1, 6, 6, seed=step)).to(dtype)
        optimizer.zero_grad()
        result = model(x)
        value = loss(result, x)
        value.backward()
        optimizer.step()
        found.extend(result if step == 0 else ())
        found.append(value)
    model.eval()
    with torch.no_grad():
        found.append(model(x)[0])
    return found


def train_gan(torch, generator, discriminator, dtype):
    """The first images and verdicts and the losses of three steps, with an optimizer each."""
    criterion = torch.nn.BCELoss()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    found = []
    for step in range(3):
        real = torch.from_numpy(data(6, 1, 12, 12, seed=step, low=-1.0)).to(dtype)
        noise = torch.from_numpy(np.random.default_rng(50 + step).standard_normal((6, 5, 1, 1))).to(dtype)
        label = torch.full((6,), 1.0, dtype=dtype)

        discriminator.zero_grad()
        on_real = discriminator(real)
        real_loss = criterion(on_real, label)
        real_loss.backward()
        fake = generator(noise)
        label.fill_(0.0)
        on_fake = discriminator(fake.detach())
        fake_loss = criterion(on_fake, label)
        fake_loss.backward()
        d_optimizer.step()

        generator.zero_grad()
        label.fill_(1.0)
        g_loss = criterion(discriminator(fake), label)
        g_loss.backward()
        g_optimizer.step()
        found.extend((fake, on_real, on_fake) if step == 0 else ())
        found.append(real_loss + fake_loss)
        found.append(g_loss)
    return found


def compare(results, models):
    for a, b in zip(*results, strict=True):
        check(b, a, "generative")
    for theirs, ours in zip(*models, strict=True):
        assert list(theirs.state_dict()) == list(ours.state_dict())
        for (name, a), b in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
            check(b, a, "generative, trained", name)


def test_vae():
    (theirs, loss), (ours, our_loss) = (vae(face) for face in (torch, jaxnn))
    assert repr(theirs) == repr(ours)
    ours.load_state_dict(theirs.state_dict())
    results = train_vae(torch, theirs, loss, torch.float32), train_vae(jaxnn, ours, our_loss, jaxnn.float32)
    compare(results, ([theirs], [ours]))


def test_gan():
    pairs = [gan(face) for face in (torch, jaxnn)]
    for theirs, ours in zip(*pairs):
        assert repr(theirs) == repr(ours)
        ours.load_state_dict(theirs.state_dict())
    results = train_gan(torch, *pairs[0], torch.float32), train_gan(jaxnn, *pairs[1], jaxnn.float32)
    compare(results, pairs)


INPUTS = {"vae": (8, 1, 6, 6), "generator": (6, 5, 1, 1), "discriminator": (6, 1, 12, 12)}


@pytest.mark.parametrize("name", INPUTS)
def test_every_layer_in_double_precision(name):
    """What each submodule gives, and every gradient; the VAE draws the same noise."""
    theirs, ours = (vae(f)[0] if name == "vae" else gan(f)[name == "discriminator"] for f in (torch, jaxnn))
    ours.load_state_dict(theirs.state_dict())
    x = data(*INPUTS[name], seed=0)
    compat.parity(theirs.double(), ours.double(), x, steps=0, rtol=1e-10, grad_rtol=1e-10).check()


def test_initial_weights():
    """The same seed draws the same weights."""
    for build in (lambda face: [vae(face)[0]], gan):
        found = []
        for face in (torch, jaxnn):
            face.manual_seed(0)
            found.append([t.numpy() for model in build(face) for t in model.state_dict().values()])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-8)

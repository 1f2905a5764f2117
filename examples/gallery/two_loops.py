"""One network, trained in PyTorch's loop and in Flax's, from the same weights on the same batches: the curves lie on each other."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from common import digits, options, save, steps
from flax import nnx

import jaxnn as torch
from jaxnn import nn


def network() -> nn.Module:
    """A small convolutional network for digits of 8x8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 10),
    )  # fmt: skip


def in_pytorchs_loop(model, batches):
    """zero_grad, forward, backward, step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for images, labels in batches:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def in_flaxs_loop(model, batches):
    """A function of model and optimizer, compiled."""
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    def loss_of(model, images, labels):
        return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

    @nnx.jit
    def step(model, optimizer, images, labels):
        loss, gradients = nnx.value_and_grad(loss_of)(model, images, labels)
        optimizer.update(model, gradients)
        return loss

    return [float(step(model, optimizer, jnp.asarray(images.numpy()), jnp.asarray(labels.numpy()))) for images, labels in batches]


def main(arguments=None):
    """Train twice, compare, draw."""
    given = options(__doc__, 200, arguments)
    images, labels = digits()
    chosen = [torch.randint(0, len(images), (64,)) for _ in steps(given.steps)]
    batches = [(images[k], labels[k]) for k in chosen]
    first, second = network(), network()
    second.load_state_dict(first.state_dict())
    one, two = in_pytorchs_loop(first, batches), in_flaxs_loop(second, batches)
    print(f"largest difference of the losses: {max(abs(a - b) for a, b in zip(one, two, strict=True)):.1e}")
    figure, axis = plt.subplots(figsize=(6, 3))
    axis.plot(one, linewidth=4, alpha=0.4, label="PyTorch's loop")
    axis.plot(two, linewidth=1, label="Flax's loop")
    axis.set(xlabel="step", ylabel="loss")
    axis.legend()
    save(figure, given.out / "two_loops.png")


if __name__ == "__main__":
    main()

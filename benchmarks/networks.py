"""The networks that are measured: one description each, built for torch's API and for flax.nnx with equal weights."""

import math
from dataclasses import dataclass

import numpy as np
from larger_networks import LARGER, Larger
from larger_networks import build_flax as build_larger_flax
from larger_networks import build_torch as build_larger_torch


@dataclass(frozen=True)
class Linear:
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Conv:
    """5x5, padded to keep the size."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class ReLU:
    pass


@dataclass(frozen=True)
class MaxPool:
    """2x2."""


@dataclass(frozen=True)
class Flatten:
    """From this (C, H, W) to a vector; a flax network gets there from (H, W, C)."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Network:
    batch: int
    input: tuple[int, ...]  # without the batch; images as (C, H, W)
    classes: int
    layers: tuple[object, ...]


NETWORKS: dict[str, Network | Larger] = {
    "tiny": Network(6, (2,), 3, (Linear(2, 5), ReLU(), Linear(5, 3))),
    "mlp": Network(64, (784,), 10, (Linear(784, 512), ReLU(), Linear(512, 512), ReLU(), Linear(512, 10))),
    "deep": Network(64, (64,), 64, (Linear(64, 64), ReLU()) * 40),
    "cnn": Network(
        64,
        (3, 32, 32),
        10,
        (
            *(Conv(3, 32), MaxPool()),
            *(Conv(32, 32), MaxPool()),
            *(Conv(32, 64), MaxPool()),
            *(Flatten((64, 4, 4)), Linear(1024, 64), Linear(64, 10)),
        ),
    ),
    **LARGER,
}


def batches(network: Network | Larger, size: int, count: int = 4, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        (
            rng.standard_normal((size, *network.input), dtype=np.float32),
            rng.integers(0, network.classes, size, dtype=np.int64),
        )
        for _ in range(count)
    ]


def weights(network: Network, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of every layer that has them, in PyTorch's layout: (out, in) and OIHW."""
    rng = np.random.default_rng(seed)
    drawn = []
    for layer in network.layers:
        if isinstance(layer, Linear | Conv):
            shape = (layer.outputs, layer.inputs) + ((5, 5) if isinstance(layer, Conv) else ())
            # He's bound, so that forty layers with ReLU still pass a signal.
            bound = math.sqrt(6 / math.prod(shape[1:]))
            weight = rng.uniform(-bound, bound, shape).astype(np.float32)
            drawn.append((weight, rng.uniform(-0.1, 0.1, layer.outputs).astype(np.float32)))
    return drawn


def build_torch(torch, network: Network | Larger):
    """The network as a module of `torch`, which is PyTorch or jaxnn."""
    if isinstance(network, Larger):
        return build_larger_torch(torch, network)
    nn = torch.nn
    make = {
        Linear: lambda layer: nn.Linear(layer.inputs, layer.outputs),
        Conv: lambda layer: nn.Conv2d(layer.inputs, layer.outputs, 5, padding=2),
        ReLU: lambda layer: nn.ReLU(),
        MaxPool: lambda layer: nn.MaxPool2d(2),
        Flatten: lambda layer: nn.Flatten(),
    }
    model = nn.Sequential(*(make[type(layer)](layer) for layer in network.layers))
    values = [torch.from_numpy(array) for pair in weights(network) for array in pair]
    model.load_state_dict(dict(zip(model.state_dict(), values, strict=True)))
    return model


def build_flax(network: Network | Larger):
    """The network as a module of nnx, on NHWC images."""
    if isinstance(network, Larger):
        return build_larger_flax(network)
    import jax.numpy as jnp  # a torch process must not load jax: its memory is measured
    from flax import nnx

    rngs = nnx.Rngs(0)
    make = {
        Linear: lambda layer: nnx.Linear(layer.inputs, layer.outputs, rngs=rngs),
        Conv: lambda layer: nnx.Conv(layer.inputs, layer.outputs, (5, 5), padding="SAME", rngs=rngs),
        ReLU: lambda layer: nnx.relu,
        MaxPool: lambda layer: lambda x: nnx.max_pool(x, (2, 2), (2, 2)),
        Flatten: lambda layer: lambda x: x.reshape(x.shape[0], -1),
    }
    model = nnx.Sequential(*(make[type(layer)](layer) for layer in network.layers))
    values = iter(weights(network))
    channels_first = None
    for described, layer in zip(network.layers, model.layers, strict=True):
        if isinstance(described, Flatten):
            channels_first = described.shape
        if not isinstance(described, Linear | Conv):
            continue
        weight, bias = next(values)
        if isinstance(described, Conv):
            kernel = weight.transpose(2, 3, 1, 0)
        elif channels_first:
            kernel = weight.reshape(-1, *channels_first).transpose(2, 3, 1, 0).reshape(described.inputs, -1)
            channels_first = None
        else:
            kernel = weight.T
        layer.kernel.set_value(jnp.asarray(kernel))
        layer.bias.set_value(jnp.asarray(bias))
    return model

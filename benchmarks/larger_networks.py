"""Networks that are more than a row of layers: the same source for PyTorch and jaxnn, and as one writes them for flax.nnx.

Both are filled from one set of arrays by name; a Flax module has its attributes under PyTorch's names.

Sources: He et al. 2015 (arXiv 1512.03385), Vaswani et al. 2017 (arXiv 1706.03762), Sandler et al. 2018 (arXiv 1801.04381),
Xie et al. 2016 (arXiv 1611.05431), Hochreiter and Schmidhuber 1997.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Larger:
    """What is trained: inputs of this shape (images as (C, H, W)), so many at a time; at a share of the usual rate."""

    name: str
    batch: int
    input: tuple[int, ...]
    classes: int = 10
    rate: float = 1.0


LARGER = {
    "resnet18": Larger("resnet18", 16, (3, 32, 32), rate=0.1),  # at the usual one rounding grows to 1e-2 in ten steps
    "encoder": Larger("encoder", 16, (64, 128)),
    "mobilenet": Larger("mobilenet", 16, (3, 32, 32)),
    "grouped": Larger("grouped", 16, (64, 16, 16)),
    "lstm": Larger("lstm", 32, (40, 64)),
}
#: ResNet-18's stages: width and stride. Inverted residuals: width, stride.
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
INVERTED = ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1))
EXPANSION, GROUPS, HEADS, HIDDEN = 4, 8, 4, 512


def torch_modules(torch, network):
    """The network as a module of `torch`, which is PyTorch or jaxnn."""
    nn, F = torch.nn, torch.nn.functional

    def conv_norm(inputs, outputs, size, stride=1, groups=1):
        return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)

    class Basic(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.conv1, self.bn1 = conv_norm(inputs, width, 3, stride)
            self.conv2, self.bn2 = conv_norm(width, width, 3)
            self.short = stride != 1 or inputs != width
            if self.short:
                self.conv3, self.bn3 = conv_norm(inputs, width, 1, stride)

        def forward(self, x):
            h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(h + (self.bn3(self.conv3(x)) if self.short else x))

    class Inverted(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.same = stride == 1 and inputs == width
            self.conv1, self.bn1 = conv_norm(inputs, EXPANSION * inputs, 1)
            self.conv2, self.bn2 = conv_norm(EXPANSION * inputs, EXPANSION * inputs, 3, stride, EXPANSION * inputs)
            self.conv3, self.bn3 = conv_norm(EXPANSION * inputs, width, 1)

        def forward(self, x):
            h = F.relu6(self.bn1(self.conv1(x)))
            h = self.bn3(self.conv3(F.relu6(self.bn2(self.conv2(h)))))
            return x + h if self.same else h

    class Pictures(nn.Module):
        """A stem, blocks, the mean over the places, a linear layer."""

        def __init__(self, block, stem, stages):
            super().__init__()
            self.conv, self.bn = conv_norm(network.input[0], stem, 3)
            widths = [stem, *(width for width, _ in stages)]
            made = [block(i, w, s) for i, (w, s) in zip(widths, stages, strict=False)]
            self.blocks, self.head = nn.Sequential(*made), nn.Linear(widths[-1], network.classes)

        def forward(self, x):
            return self.head(self.blocks(F.relu(self.bn(self.conv(x)))).mean((2, 3)))

    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = (nn.Conv2d(64, 64, 3, 1, 1, groups=GROUPS) for _ in range(3))
            self.head = nn.Linear(64, network.classes)

        def forward(self, x):
            for conv in (self.conv1, self.conv2, self.conv3):
                x = F.relu(conv(x))
            return self.head(x.mean((2, 3)))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(network.input[1], HEADS, HIDDEN, 0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.head = nn.Linear(network.input[1], network.classes)

        def forward(self, x):
            return self.head(self.encoder(x).mean(1))

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(network.input[1], 128, batch_first=True), nn.Linear(128, network.classes)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    stages = [(width, s if k == 0 else 1) for width, s in STAGES for k in range(2)]
    return {
        "resnet18": lambda: Pictures(Basic, 64, stages), "mobilenet": lambda: Pictures(Inverted, 16, INVERTED),
        "grouped": Grouped, "encoder": Encoder, "lstm": Recurrent,
    }[network.name]()  # fmt: skip


def array(name, shape):
    """The value of a parameter in PyTorch's layout: He's bound, norms that change nothing."""
    if len(shape) == 1:
        return np.full(shape, float(name.endswith("weight")), np.float32)
    bound = math.sqrt(3 / math.prod(shape[1:]))
    return np.random.default_rng(zlib.crc32(name.encode())).uniform(-bound, bound, shape).astype(np.float32)


def build_torch(torch, network):
    """The network of `torch`, filled."""
    model = torch_modules(torch, network)
    values = {name: torch.from_numpy(array(name, tuple(p.shape))) for name, p in model.named_parameters()}
    model.load_state_dict(values, strict=False)
    return model


def build_flax(network):
    """The network as nnx modules on images of (N, H, W, C), filled."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    rngs = nnx.Rngs(0)

    def conv_norm(inputs, outputs, size, stride=1, groups=1):
        pad = [(size // 2, size // 2)] * 2
        conv = nnx.Conv(
            inputs, outputs, (size, size), (stride, stride), padding=pad, feature_group_count=groups, use_bias=False, rngs=rngs
        )
        return conv, nnx.BatchNorm(outputs, momentum=0.9, epsilon=1e-5, rngs=rngs)

    class Basic(nnx.Module):
        def __init__(self, inputs, width, stride):
            self.conv1, self.bn1 = conv_norm(inputs, width, 3, stride)
            self.conv2, self.bn2 = conv_norm(width, width, 3)
            self.short = stride != 1 or inputs != width
            if self.short:
                self.conv3, self.bn3 = conv_norm(inputs, width, 1, stride)

        def __call__(self, x):
            h = self.bn2(self.conv2(nnx.relu(self.bn1(self.conv1(x)))))
            return nnx.relu(h + (self.bn3(self.conv3(x)) if self.short else x))

    class Inverted(nnx.Module):
        def __init__(self, inputs, width, stride):
            self.same = stride == 1 and inputs == width
            self.conv1, self.bn1 = conv_norm(inputs, EXPANSION * inputs, 1)
            self.conv2, self.bn2 = conv_norm(EXPANSION * inputs, EXPANSION * inputs, 3, stride, EXPANSION * inputs)
            self.conv3, self.bn3 = conv_norm(EXPANSION * inputs, width, 1)

        def __call__(self, x):
            h = nnx.relu6(self.bn1(self.conv1(x)))
            h = self.bn3(self.conv3(nnx.relu6(self.bn2(self.conv2(h)))))
            return x + h if self.same else h

    class Pictures(nnx.Module):
        def __init__(self, block, stem, stages):
            self.conv, self.bn = conv_norm(network.input[0], stem, 3)
            widths = [stem, *(width for width, _ in stages)]
            self.blocks = nnx.List([block(i, w, s) for i, (w, s) in zip(widths, stages, strict=False)])
            self.head = nnx.Linear(widths[-1], network.classes, rngs=rngs)

        def __call__(self, x):
            x = nnx.relu(self.bn(self.conv(x)))
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean((1, 2)))

    class Grouped(nnx.Module):
        def __init__(self):
            make = lambda: nnx.Conv(64, 64, (3, 3), padding="SAME", feature_group_count=GROUPS, rngs=rngs)
            self.conv1, self.conv2, self.conv3 = make(), make(), make()
            self.head = nnx.Linear(64, network.classes, rngs=rngs)

        def __call__(self, x):
            for conv in (self.conv1, self.conv2, self.conv3):
                x = nnx.relu(conv(x))
            return self.head(x.mean((1, 2)))

    class Attention(nnx.Module):
        def __init__(self, width):
            self.in_proj, self.out_proj = nnx.Linear(width, 3 * width, rngs=rngs), nnx.Linear(width, width, rngs=rngs)

        def __call__(self, x):
            q, k, v = jnp.split(self.in_proj(x).reshape(*x.shape[:2], 3 * HEADS, -1), 3, axis=2)
            return self.out_proj(jax.nn.dot_product_attention(q, k, v).reshape(x.shape))

    class EncoderLayer(nnx.Module):
        def __init__(self, width):
            self.self_attn = Attention(width)
            self.linear1, self.linear2 = nnx.Linear(width, HIDDEN, rngs=rngs), nnx.Linear(HIDDEN, width, rngs=rngs)
            self.norm1, self.norm2 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs), nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)

        def __call__(self, x):
            x = self.norm1(x + self.self_attn(x))
            return self.norm2(x + self.linear2(nnx.relu(self.linear1(x))))

    class Encoder(nnx.Module):
        def __init__(self):
            self.encoder = nnx.Dict(layers=nnx.List([EncoderLayer(network.input[1]) for _ in range(4)]))
            self.head = nnx.Linear(network.input[1], network.classes, rngs=rngs)

        def __call__(self, x):
            for layer in self.encoder.layers:
                x = layer(x)
            return self.head(x.mean(1))

    class Cell(nnx.Module):
        """An LSTM with the two biases of PyTorch's, its input's products taken for all times at once."""

        def __init__(self, inputs, width):
            self.width = width
            self.ih, self.hh = nnx.Linear(inputs, 4 * width, rngs=rngs), nnx.Linear(width, 4 * width, rngs=rngs)

        def __call__(self, x):
            graph, state = nnx.split(self.hh)

            def one(carry, given):
                h, c = carry
                i, f, g, o = jnp.split(given + nnx.merge(graph, state)(h), 4, -1)
                c = nnx.sigmoid(f) * c + nnx.sigmoid(i) * jnp.tanh(g)
                h = nnx.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            zero = jnp.zeros((x.shape[0], self.width), x.dtype)
            return jax.lax.scan(one, (zero, zero), self.ih(x).swapaxes(0, 1))[1].swapaxes(0, 1)

    class Recurrent(nnx.Module):
        def __init__(self):
            self.lstm, self.head = Cell(network.input[1], 128), nnx.Linear(128, network.classes, rngs=rngs)

        def __call__(self, x):
            return self.head(self.lstm(x)[:, -1])

    stages = [(width, s if k == 0 else 1) for width, s in STAGES for k in range(2)]
    model = {
        "resnet18": lambda: Pictures(Basic, 64, stages), "mobilenet": lambda: Pictures(Inverted, 16, INVERTED),
        "grouped": Grouped, "encoder": Encoder, "lstm": Recurrent,
    }[network.name]()  # fmt: skip
    _fill(model)
    return model


#: PyTorch's names of what Flax calls otherwise.
RENAMED = {
    "in_proj.weight": "in_proj_weight", "in_proj.bias": "in_proj_bias", "ih.weight": "weight_ih_l0", "ih.bias": "bias_ih_l0",
    "hh.weight": "weight_hh_l0", "hh.bias": "bias_hh_l0",
}  # fmt: skip


#: By number of dimensions, where PyTorch's dimensions stand in Flax's layout, and the reverse.
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
TO_FLAX = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


def _fill(model):
    import jax.numpy as jnp
    from flax import nnx

    for path, param in nnx.iter_graph(model):
        if not isinstance(param, nnx.Param):
            continue
        name = ".".join(map(str, path)).replace("kernel", "weight").replace("scale", "weight")
        for ours, theirs in RENAMED.items():
            name = name.replace(ours, theirs)
        value = array(name, tuple(param.shape[k] for k in TO_TORCH[param.ndim]))
        param.set_value(jnp.asarray(value.transpose(TO_FLAX[param.ndim])))

"""ResNet-50, GPT-2 small and a ViT-B/16: one source for PyTorch and jaxnn, and the same as pure functions of JAX.

Sources: He et al. 2015 (arXiv 1512.03385), Radford et al. 2019 (GPT-2), Dosovitskiy et al. 2020 (arXiv 2010.11929).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What is trained: the batch, the picture's side or the sequence, and the network's width and depth."""

    batch: int
    length: int  # side of the picture, or tokens of a sequence
    width: int = 0
    depth: int = 0
    heads: int = 0
    classes: int = 1000
    patch: int = 16


FULL = {
    "resnet50": Sizes(batch=128, length=224),
    "gpt2": Sizes(batch=8, length=1024, width=768, depth=12, heads=12, classes=50257),
    "vit": Sizes(batch=64, length=224, width=768, depth=12, heads=12),
}
#: The same networks small enough for a CPU.
SMALL = {
    "resnet50": Sizes(batch=2, length=64, classes=10),
    "gpt2": Sizes(batch=2, length=16, width=32, depth=2, heads=2, classes=97),
    "vit": Sizes(batch=2, length=32, width=32, depth=2, heads=2, classes=10, patch=8),
}
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def build(torch, name: str, sizes: Sizes):
    """The network as a module of `torch`, which is PyTorch or jaxnn."""
    nn, F = torch.nn, torch.nn.functional

    class Bottleneck(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            outputs = 4 * width
            self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            self.shortcut = None
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            h = F.relu(self.bn1(self.conv1(x)))
            h = F.relu(self.bn2(self.conv2(h)))
            h = self.bn3(self.conv3(h))
            return F.relu(h + (x if self.shortcut is None else self.shortcut(x)))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
            blocks, inputs = [], 64
            for width, count, stride in STAGES:
                for k in range(count):
                    blocks.append(Bottleneck(inputs, width, stride if k == 0 else 1))
                    inputs = 4 * width
            self.blocks = nn.Sequential(*blocks)
            self.head = nn.Linear(inputs, sizes.classes)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.bn(self.conv(x))), 3, 2, 1)
            return self.head(self.blocks(x).mean((2, 3)))

    class Block(nn.Module):
        def __init__(self, causal):
            super().__init__()
            self.causal = causal
            self.norm1, self.norm2 = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)
            self.qkv, self.out = nn.Linear(sizes.width, 3 * sizes.width), nn.Linear(sizes.width, sizes.width)
            self.up, self.down = nn.Linear(sizes.width, 4 * sizes.width), nn.Linear(4 * sizes.width, sizes.width)

        def forward(self, x):
            batch, tokens, width = x.shape
            q, k, v = (
                part.view(batch, tokens, sizes.heads, width // sizes.heads).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).chunk(3, dim=-1)
            )
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(sizes.classes, sizes.width)
            self.places = nn.Embedding(sizes.length, sizes.width)
            self.blocks = nn.Sequential(*(Block(True) for _ in range(sizes.depth)))
            self.norm = nn.LayerNorm(sizes.width)
            self.head = nn.Linear(sizes.width, sizes.classes, bias=False)
            nn.init.normal_(self.tokens.weight, std=0.02)
            nn.init.normal_(self.places.weight, std=0.02)
            self.head.weight = self.tokens.weight

        def forward(self, ids):
            x = self.tokens(ids) + self.places.weight
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            tokens = (sizes.length // sizes.patch) ** 2
            self.patches = nn.Conv2d(3, sizes.width, sizes.patch, sizes.patch)
            self.first = nn.Parameter(torch.zeros(1, 1, sizes.width))
            self.places = nn.Parameter(torch.randn(1, tokens + 1, sizes.width) * 0.02)
            self.blocks = nn.Sequential(*(Block(False) for _ in range(sizes.depth)))
            self.norm = nn.LayerNorm(sizes.width)
            self.head = nn.Linear(sizes.width, sizes.classes)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1) + self.places
            return self.head(self.norm(self.blocks(x))[:, 0])

    torch.manual_seed(0)
    return {"resnet50": ResNet, "gpt2": GPT, "vit": ViT}[name]()


def pure(name: str, sizes: Sizes):
    """The network's forward as a pure function `f(parameters by name, x)`, as one writes it by hand in JAX.

    Products are taken in bfloat16 and norms in float32, as under autocast; pictures are (N, H, W, C).
    """
    import jax
    import jax.numpy as jnp

    half = jnp.bfloat16

    def linear(p, key, x):
        y = x.astype(half) @ p[f"{key}.weight"].astype(half).T
        return y + p[f"{key}.bias"].astype(half) if f"{key}.bias" in p else y

    def conv(p, key, x, stride=1, padding=0):
        y = jax.lax.conv_general_dilated(
            x.astype(half), p[f"{key}.weight"].astype(half), (stride, stride), [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "OIHW", "NHWC"),
        )  # fmt: skip
        return y + p[f"{key}.bias"].astype(half) if f"{key}.bias" in p else y

    def batch_norm(p, key, x):
        x32 = x.astype(jnp.float32)
        mean = x32.mean((0, 1, 2))
        variance = jnp.maximum((x32 * x32).mean((0, 1, 2)) - mean * mean, 0)
        scale = p[f"{key}.weight"] * jax.lax.rsqrt(variance + 1e-5)
        return (x32 * scale + (p[f"{key}.bias"] - mean * scale)).astype(half)

    def layer_norm(p, key, x):
        x = x.astype(jnp.float32)
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p[f"{key}.weight"] + p[f"{key}.bias"]

    def bottleneck(p, key, x, stride):
        h = jax.nn.relu(batch_norm(p, f"{key}.bn1", conv(p, f"{key}.conv1", x)))
        h = jax.nn.relu(batch_norm(p, f"{key}.bn2", conv(p, f"{key}.conv2", h, stride, 1)))
        h = batch_norm(p, f"{key}.bn3", conv(p, f"{key}.conv3", h))
        if f"{key}.shortcut.0.weight" in p:
            x = batch_norm(p, f"{key}.shortcut.1", conv(p, f"{key}.shortcut.0", x, stride))
        return jax.nn.relu(h + x)

    def resnet(p, x):
        x = jax.nn.relu(batch_norm(p, "bn", conv(p, "conv", x, 2, 3)))
        x = jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)]
        )
        k = 0
        for _, count, stride in STAGES:
            for place in range(count):
                x = bottleneck(p, f"blocks.{k}", x, stride if place == 0 else 1)
                k += 1
        return linear(p, "head", x.astype(jnp.float32).mean((1, 2)))

    def blocks(p, x, causal):
        for k in range(sizes.depth):
            batch, tokens, width = x.shape
            q, key, v = (
                part.reshape(batch, tokens, sizes.heads, width // sizes.heads)
                for part in jnp.split(linear(p, f"blocks.{k}.qkv", layer_norm(p, f"blocks.{k}.norm1", x)), 3, axis=-1)
            )
            mixed = jax.nn.dot_product_attention(q, key, v, is_causal=causal)
            x = x + linear(p, f"blocks.{k}.out", mixed.reshape(batch, tokens, width))
            up = linear(p, f"blocks.{k}.up", layer_norm(p, f"blocks.{k}.norm2", x))
            x = x + linear(p, f"blocks.{k}.down", jax.nn.gelu(up, approximate=False))
        return layer_norm(p, "norm", x)

    def gpt(p, ids):
        x = blocks(p, p["tokens.weight"][ids] + p["places.weight"], True)
        return linear({"head.weight": p["tokens.weight"]}, "head", x).reshape(-1, sizes.classes)

    def vit(p, x):
        x = conv(p, "patches", x, sizes.patch)
        x = x.reshape(x.shape[0], -1, sizes.width)
        first = jnp.broadcast_to(p["first"], (x.shape[0], 1, sizes.width))
        x = jnp.concatenate([first, x.astype(jnp.float32)], axis=1) + p["places"]
        return linear(p, "head", blocks(p, x, False)[:, 0])

    return {"resnet50": resnet, "gpt2": gpt, "vit": vit}[name]

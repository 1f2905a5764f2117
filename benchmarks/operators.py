"""Operators beside PyTorch's: `python benchmarks/operators.py`, about ten minutes.

    python benchmarks/operators.py --only conv attention --rounds 9 --json operators.json

Each operator runs at two sizes, forward (under no_grad) and forward with backward (of the results' sum; where inputs
have gradients), on PyTorch eager and on jaxnn, in turns in one process: the same source on the same arrays. A round runs each
library often enough to take `--seconds`; printed are the least processor time and the least wall time of a call over the rounds
and jaxnn's ratio to PyTorch. The process keeps to one core (`--cores`), so that processor time is that of the work and not of threads
that wait for each other, and is the same on a loaded machine.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]


def floats(*shape):
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def whole(high, *shape):
    return lambda rng: rng.integers(0, high, shape)


def positive(n, batch=()):
    """Symmetric matrices far from singular."""

    def draw(rng):
        a = rng.standard_normal((*batch, n, n)).astype(np.float32)
        return a @ np.swapaxes(a, -1, -2) / n + np.eye(n, dtype=np.float32)

    return draw


def rows(torch):
    """(name, function of tensors, operands at the small size, operands at the large one); integers have no gradient."""
    nn, F, linalg = torch.nn, torch.nn.functional, torch.linalg

    def made(layer):
        torch.manual_seed(0)
        return layer()

    def recurrent(kind, *sizes):
        layer = made(lambda: kind(*sizes))
        return lambda x: layer(x)[0]

    def conv(**options):
        return lambda x, w: F.conv2d(x, w, **options)

    def both(*operands):
        return operands, operands

    attend = F.scaled_dot_product_attention
    encoder = made(lambda: nn.TransformerEncoderLayer(128, 4, 256, 0.0, batch_first=True))
    small_lstm, large_lstm = recurrent(nn.LSTM, 64, 128), recurrent(nn.LSTM, 256, 256)
    small_gru, large_gru = recurrent(nn.GRU, 64, 128), recurrent(nn.GRU, 256, 256)
    by_width = lambda small, large, width: lambda x: (small if x.shape[-1] == width else large)(x)
    return [
        ("matmul", lambda a, b: a @ b, [floats(128, 128)] * 2, [floats(768, 768)] * 2),
        ("batched matmul", torch.bmm, [floats(16, 32, 32)] * 2, [floats(32, 128, 128)] * 2),
        ("linear", F.linear, [floats(64, 256), floats(256, 256), floats(256)], [floats(512, 1024), floats(512, 1024), floats(512)]),
        ("einsum", lambda a, b: torch.einsum("bij,bkj->bik", a, b), [floats(8, 64, 32)] * 2, [floats(16, 192, 64)] * 2),
        ("attention", attend, [floats(2, 4, 64, 32)] * 3, [floats(4, 8, 256, 64)] * 3),
        ("attention causal", lambda q, k, v: attend(q, k, v, is_causal=True), [floats(2, 4, 64, 32)] * 3, [floats(4, 8, 256, 64)] * 3),
        ("encoder layer", encoder, [floats(4, 32, 128)], [floats(16, 128, 128)]),
        ("lstm", by_width(small_lstm, large_lstm, 64), [floats(20, 8, 64)], [floats(40, 32, 256)]),
        ("gru", by_width(small_gru, large_gru, 64), [floats(20, 8, 64)], [floats(40, 32, 256)]),
        ("conv1d", lambda x, w: F.conv1d(x, w, padding=2),
         [floats(8, 16, 128), floats(32, 16, 5)], [floats(16, 64, 512), floats(64, 64, 5)]),
        ("conv2d 3x3", conv(padding=1), [floats(8, 16, 16, 16), floats(32, 16, 3, 3)], [floats(16, 64, 28, 28), floats(64, 64, 3, 3)]),
        ("conv2d 1x1", conv(), [floats(8, 32, 16, 16), floats(64, 32, 1, 1)], [floats(16, 128, 28, 28), floats(256, 128, 1, 1)]),
        ("conv2d 7x7 stride 2", conv(padding=3, stride=2),
         [floats(2, 3, 64, 64), floats(32, 3, 7, 7)], [floats(8, 3, 112, 112), floats(64, 3, 7, 7)]),
        ("conv2d depthwise", lambda x, w: F.conv2d(x, w, padding=1, groups=x.shape[1]),
         [floats(4, 32, 28, 28), floats(32, 1, 3, 3)], [floats(8, 192, 28, 28), floats(192, 1, 3, 3)]),
        ("conv2d grouped", conv(padding=1, groups=8),
         [floats(4, 64, 14, 14), floats(64, 8, 3, 3)], [floats(8, 256, 28, 28), floats(256, 32, 3, 3)]),
        ("conv2d dilated", conv(padding=2, dilation=2),
         [floats(4, 16, 28, 28), floats(16, 16, 3, 3)], [floats(8, 64, 28, 28), floats(64, 64, 3, 3)]),
        ("conv3d", lambda x, w: F.conv3d(x, w, padding=1),
         [floats(2, 4, 8, 16, 16), floats(8, 4, 3, 3, 3)], [floats(2, 16, 16, 28, 28), floats(32, 16, 3, 3, 3)]),
        ("conv_transpose2d", lambda x, w: F.conv_transpose2d(x, w, stride=2),
         [floats(4, 16, 14, 14), floats(16, 8, 3, 3)], [floats(8, 64, 28, 28), floats(64, 32, 3, 3)]),
        ("unfold", lambda x: F.unfold(x, 3, padding=1), [floats(4, 8, 16, 16)], [floats(8, 32, 56, 56)]),
        ("max_pool2d", lambda x: F.max_pool2d(x, 2), [floats(8, 16, 16, 16)], [floats(16, 64, 56, 56)]),
        ("max_pool2d 3 stride 2", lambda x: F.max_pool2d(x, 3, 2, 1), [floats(8, 16, 16, 16)], [floats(16, 64, 56, 56)]),
        ("avg_pool2d", lambda x: F.avg_pool2d(x, 2), [floats(8, 16, 16, 16)], [floats(16, 64, 56, 56)]),
        ("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 7), [floats(8, 16, 16, 16)], [floats(16, 64, 56, 56)]),
        ("interpolate nearest", lambda x: F.interpolate(x, scale_factor=2), [floats(4, 8, 16, 16)], [floats(8, 32, 56, 56)]),
        ("interpolate bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
         [floats(4, 8, 16, 16)], [floats(8, 32, 56, 56)]),
        ("interpolate bicubic", lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
         [floats(4, 8, 16, 16)], [floats(4, 16, 56, 56)]),
        ("grid_sample", lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False),
         [floats(2, 4, 16, 16), floats(2, 16, 16, 2)], [floats(8, 16, 56, 56), floats(8, 56, 56, 2)]),
        ("batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
         [floats(8, 16, 16, 16), floats(16), floats(16)], [floats(32, 64, 32, 32), floats(64), floats(64)]),
        ("layer_norm", lambda x, w, b: F.layer_norm(x, w.shape, w, b),
         [floats(8, 32, 128), floats(128), floats(128)], [floats(32, 128, 512), floats(512), floats(512)]),
        ("group_norm", lambda x, w, b: F.group_norm(x, 8, w, b),
         [floats(8, 16, 16, 16), floats(16), floats(16)], [floats(16, 64, 32, 32), floats(64), floats(64)]),
        ("rms_norm", lambda x, w: F.rms_norm(x, w.shape, w), [floats(8, 32, 128), floats(128)], [floats(32, 128, 512), floats(512)]),
        ("cross_entropy", F.cross_entropy, [floats(64, 100), whole(100, 64)], [floats(256, 32000), whole(32000, 256)]),
        ("mse_loss", F.mse_loss, [floats(64, 256)] * 2, [floats(1024, 1024)] * 2),
        ("embedding", lambda i, w: F.embedding(i, w), [whole(100, 8, 16), floats(100, 64)], [whole(20000, 32, 128), floats(20000, 256)]),
        ("relu", F.relu, [floats(64, 256)], [floats(2048, 1024)]),
        ("gelu", F.gelu, [floats(64, 256)], [floats(2048, 1024)]),
        ("silu", F.silu, [floats(64, 256)], [floats(2048, 1024)]),
        ("softmax", lambda x: F.softmax(x, -1), [floats(64, 256)], [floats(2048, 1024)]),
        ("log_softmax", lambda x: F.log_softmax(x, -1), [floats(64, 256)], [floats(2048, 1024)]),
        ("dropout", lambda x: F.dropout(x, 0.1), [floats(64, 256)], [floats(1024, 1024)]),
        ("add of rows", lambda x, y: x + y, [floats(64, 256), floats(256)], [floats(2048, 1024), floats(1024)]),
        ("exp", torch.exp, [floats(64, 256)], [floats(2048, 1024)]),
        ("where", lambda x, y: torch.where(x > 0, x, y), [floats(64, 256)] * 2, [floats(2048, 1024)] * 2),
        ("sum", torch.sum, [floats(64, 256)], [floats(2048, 1024)]),
        ("mean of rows", lambda x: x.mean(-1), [floats(64, 256)], [floats(2048, 1024)]),
        ("sum of columns", lambda x: x.sum(0), [floats(64, 256)], [floats(2048, 1024)]),
        ("max of rows", lambda x: x.max(-1)[0], [floats(64, 256)], [floats(2048, 1024)]),
        ("argmax", lambda x: x.detach().argmax(-1), [floats(64, 256)], [floats(2048, 1024)]),
        ("std", lambda x: x.std(-1), [floats(64, 256)], [floats(2048, 1024)]),
        ("norm", lambda x: x.norm(dim=-1), [floats(64, 256)], [floats(2048, 1024)]),
        ("logsumexp", lambda x: x.logsumexp(-1), [floats(64, 256)], [floats(2048, 1024)]),
        ("cumsum", lambda x: x.cumsum(-1), [floats(64, 256)], [floats(1024, 1024)]),
        ("cumprod", lambda x: (1 + 0.01 * x).cumprod(-1), [floats(64, 128)], [floats(512, 512)]),
        ("sort", lambda x: x.sort(-1)[0], [floats(64, 256)], [floats(512, 1024)]),
        ("argsort", lambda x: x.detach().argsort(-1), [floats(64, 256)], [floats(512, 1024)]),
        ("topk", lambda x: x.topk(10)[0], [floats(64, 256)], [floats(256, 8192)]),
        ("unique", lambda x: torch.unique(x), [whole(50, 1000)], [whole(5000, 200000)]),
        ("nonzero", lambda x: (x > 0).nonzero(), [whole(2, 1000)], [whole(2, 1000000)]),
        ("boolean mask", lambda x: x[x > 0], [floats(1000)], [floats(1000000)]),
        ("index", lambda x, i: x[i], [floats(256, 64), whole(256, 128)], [floats(20000, 256), whole(20000, 8192)]),
        ("gather", lambda x, i: x.gather(1, i), [floats(64, 256), whole(256, 64, 32)], [floats(1024, 1024), whole(1024, 1024, 512)]),
        ("scatter_add", lambda x, i, s: x.scatter_add(0, i, s),
         [floats(64, 32), whole(64, 128, 32), floats(128, 32)], [floats(1024, 256), whole(1024, 4096, 256), floats(4096, 256)]),
        ("index_add", lambda x, i, s: x.index_add(0, i, s),
         [floats(64, 32), whole(64, 128), floats(128, 32)], [floats(2048, 256), whole(2048, 16384), floats(16384, 256)]),
        ("cat", lambda x, y: torch.cat([x, y], 1), [floats(64, 128)] * 2, [floats(2048, 512)] * 2),
        ("transpose", lambda x: x.mT.contiguous(), [floats(128, 128)], [floats(1536, 1536)]),
        ("permute", lambda x: x.permute(0, 3, 1, 2).contiguous(), [floats(4, 16, 16, 8)], [floats(16, 56, 56, 64)]),
        ("roll", lambda x: x.roll((3, 5), (0, 1)), [floats(64, 256)], [floats(2048, 1024)]),
        ("fft", lambda x: torch.fft.rfft(x).abs(), [floats(16, 256)], [floats(256, 4096)]),
        ("fft2", lambda x: torch.fft.fft2(x).abs(), [floats(4, 32, 32)], [floats(8, 256, 256)]),
        ("solve", linalg.solve, [positive(16), floats(16, 4)], [positive(256), floats(256, 64)]),
        ("inverse", linalg.inv, [positive(16)], [positive(256)]),
        ("cholesky", linalg.cholesky, [positive(16)], [positive(256)]),
        ("qr", lambda a: linalg.qr(a)[1], [floats(32, 16)], [floats(256, 128)]),
        ("eigh", lambda a: linalg.eigh(a)[0], [positive(16)], [positive(128)]),
        ("svd", lambda a: linalg.svd(a, full_matrices=False)[1], [floats(16, 8)], [floats(128, 96)]),
        ("triangular solve", lambda a, b: linalg.solve_triangular(a.tril(), b, upper=False),
         [positive(16), floats(16, 4)], [positive(256), floats(256, 64)]),
    ]  # fmt: skip


def optimizers(torch):
    """(name, a step) of optimizers over 400 tensors, given gradients."""
    found = []
    for name, kind, options in (
        ("SGD with momentum", "SGD", {"momentum": 0.9}), ("Adam", "Adam", {}), ("AdamW", "AdamW", {}), ("RMSprop", "RMSprop", {}),
    ):  # fmt: skip
        for size, shape in (("small", (64,)), ("large", (64, 64))):
            rng = np.random.default_rng(0)
            draw = lambda: torch.from_numpy(rng.standard_normal(shape).astype(np.float32))  # noqa: B023
            weights = [torch.nn.Parameter(draw()) for _ in range(400)]
            for w in weights:
                w.grad = draw()
            optimizer = getattr(torch.optim, kind)(weights, lr=1e-3, **options)
            found.append((f"{name}, 400 tensors", size, step_of(optimizer, weights)))
    return found


def step_of(optimizer, weights):
    def step():
        optimizer.step()
        return weights

    return step


def ready(results):
    """Have jaxnn's results computed, as reading them would, but not handed out; PyTorch's are there."""
    for t in results:
        if hasattr(t, "__jax_array__"):
            from jaxnn.core.record.recorder import value_of

            value = value_of(t)  # small ones are computed by numpy
            if hasattr(value, "block_until_ready"):
                value.block_until_ready()
    return results


def calls(torch, f, operands):
    """``{"forward": call, "forward+backward": call}``; a call returns what it computed."""
    tensors = [torch.from_numpy(a).clone() for a in operands]  # what shares memory with numpy, jaxnn copies at every use
    leaves = [t.requires_grad_() for t in tensors if t.is_floating_point()]

    def forward():
        with torch.no_grad():
            return [f(*tensors)]

    def backward():
        result = f(*tensors)
        return [result.detach(), *torch.autograd.grad(result.sum(), leaves)]

    found = {"forward": forward}
    if leaves and f(*tensors).requires_grad:
        found["forward+backward"] = backward
    return found


def count_for(call, seconds):
    """How many calls take ``seconds``, after what compiles."""
    for _ in range(6):
        ready(call())
    start = time.perf_counter()
    ready(call())
    return max(1, min(2000, math.ceil(seconds / max(time.perf_counter() - start, 1e-6))))


def taken(call, count):
    """Processor and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        ready(call())
    return (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count


def compare(pair, rounds, seconds):
    """The least processor and wall milliseconds of a call of each library, and the ratio of the first."""
    counts = {name: count_for(call, seconds) for name, call in pair.items()}
    least = dict.fromkeys(pair, (math.inf, math.inf))
    for k in range(rounds):
        for name in sorted(pair, reverse=bool(k % 2)):
            found = taken(pair[name], counts[name])
            least[name] = tuple(map(min, least[name], found))
    figures = {name: {"cpu_ms": 1e3 * cpu, "wall_ms": 1e3 * wall} for name, (cpu, wall) in least.items()}
    figures["ratio"] = least["jaxnn"][0] / least["torch"][0]
    figures["wall_ratio"] = least["jaxnn"][1] / least["torch"][1]
    return figures


def pairs(only, wanted_sizes):
    """(name, size, direction, {library: call})."""
    import torch

    import jaxnn

    def wanted(name):
        return not only or any(text in name for text in only)

    for (name, theirs, *sizes), (_, ours, *_) in zip(rows(torch), rows(jaxnn), strict=True):
        for size, operands in zip(("small", "large"), sizes, strict=True):
            if wanted(name) and size in wanted_sizes:
                rng = np.random.default_rng(0)
                arrays = [draw(rng) for draw in operands]
                have = calls(torch, theirs, arrays), calls(jaxnn, ours, arrays)
                for direction in have[0]:
                    yield name, size, direction, {"torch": have[0][direction], "jaxnn": have[1][direction]}
    if any(wanted(f"{n}, 400 tensors") for n in ("SGD with momentum", "Adam", "AdamW", "RMSprop")):
        for (name, size, theirs), (_, _, ours) in zip(optimizers(torch), optimizers(jaxnn), strict=True):
            if wanted(name) and size in wanted_sizes:
                yield name, size, "step", {"torch": theirs, "jaxnn": ours}


def agree(pair):
    """The largest difference of the two libraries' floating results, relative to the largest value."""
    worst = 0.0
    for a, b in zip(pair["torch"](), pair["jaxnn"](), strict=True):
        a, b = a.detach().numpy(), b.detach().numpy()
        if a.shape != b.shape:
            return math.inf
        if a.dtype.kind == "f" and a.size:
            worst = max(worst, float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="parts of operators' names")
    parser.add_argument("--sizes", nargs="+", choices=("small", "large"), default=["small", "large"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.05, help="of a library in a round")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before the libraries count them
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.cores :])
    found, wrong = [], []
    print(f"{'operator':28}{'size':7}{'direction':18}{'torch ms':>9}{'jaxnn ms':>9}{'ratio':>7}{'wall':>7}")
    for name, size, direction, pair in pairs(options.only, options.sizes):
        if name != "dropout" and direction != "step" and agree(pair) > 2e-3:
            wrong.append((name, size, direction))
        figures = compare(pair, options.rounds, options.seconds)
        found.append({"operator": name, "size": size, "direction": direction, **figures})
        print(
            f"{name:28}{size:7}{direction:18}{figures['torch']['cpu_ms']:9.3f}{figures['jaxnn']['cpu_ms']:9.3f}"
            f"{figures['ratio']:7.2f}{figures['wall_ratio']:7.2f}", flush=True,
        )  # fmt: skip
    ratios = [row["ratio"] for row in found]
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        median, above = statistics.median(ratios), sum(r > 2 for r in ratios)
        print(f"\n{len(ratios)} rows: geometric mean {mean:.2f}, median {median:.2f}, above 2: {above}")
    for row in wrong:
        print("DIFFERS:", *row)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

"""Programs that do not repeat: each in a process of its own, compilation included, as a ratio to PyTorch eager.

    python benchmarks/irregular_programs.py [--programs policy chain ...] [--json FILE]

What every program returns is compared between the two libraries, and between two processes of this one (bitwise).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def policy(torch: Any, episodes: int = 60) -> list[float]:
    """Policy gradient: one read a step, one backward an episode of 10 to 60 steps."""
    nn = torch.nn
    net = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    lengths = [10 + (k * 37) % 51 for k in range(episodes)]
    out = []
    for length in lengths:
        state, saved, rewards = torch.zeros(4), [], []
        for t in range(length):
            probabilities = torch.softmax(net(state), dim=0)
            action = int(torch.multinomial(probabilities, 1).item())
            saved.append(torch.log(probabilities[action]))
            state = torch.tensor([0.1 * t, float(action), 0.5, -0.01 * t])
            rewards.append(float(action))
        returns, r = [], 0.0
        for x in reversed(rewards):
            r = x + 0.99 * r
            returns.insert(0, r)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + 1e-6)
        loss = torch.stack([-log * g for log, g in zip(saved, returns)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return out


def elements(torch: Any, count: int = 10_000) -> list[float]:
    """An element loop."""
    a, b, c = torch.arange(count) * 0.5, torch.arange(count) * 0.25, torch.zeros(count)
    for i in range(count):
        c[i] = a[i] + b[i]
    return [c.sum().item(), c[1].item(), c[-1].item()]


def chain(torch: Any, count: int = 1_000) -> list[float]:
    """A chain of operators, then backward."""
    x = torch.ones(8, requires_grad=True)
    y = x
    for _ in range(count // 2):
        y = y + y * 2e-4
    y.sum().backward()
    return [y.sum().item(), x.grad.sum().item()]


def ragged(torch: Any, batches: int = 200) -> list[float]:
    """Batches whose ragged pieces are joined and padded to one shape."""
    nn = torch.nn
    embedding, head = nn.Embedding(50, 16), nn.Linear(16, 5)
    optimizer = torch.optim.SGD([*embedding.parameters(), *head.parameters()], lr=0.1)
    out = []
    for k in range(batches):
        pieces = [torch.tensor([(k * 7 + j * 3 + i) % 49 + 1 for i in range(2 + (k * 5 + j * 11) % 13)]) for j in range(8)]
        rows = [torch.cat([p, torch.zeros(16 - len(p), dtype=torch.long)]) for p in pieces]
        tokens = torch.stack(rows)
        mask = (tokens != 0).float()
        pooled = (embedding(tokens) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        target = torch.tensor([len(p) % 5 for p in pieces])
        loss = nn.functional.cross_entropy(head(pooled), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return out


def generate(torch: Any, tokens: int = 64) -> list[float]:
    """Tokens one by one from a two-layer GPT with a growing cache."""
    nn, width, heads = torch.nn, 32, 4

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any, cache: Any) -> Any:
            q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
            q, k, v = (t.view(1, -1, heads, width // heads).transpose(1, 2) for t in (q, k, v))
            if cache is not None:
                k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
            scores = torch.softmax(q @ k.transpose(-2, -1) / (width // heads) ** 0.5, dim=-1)
            x = x + self.out((scores @ v).transpose(1, 2).reshape(1, -1, width))
            return x + self.down(nn.functional.gelu(self.up(self.norm2(x)))), (k, v)

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(65, width), nn.Embedding(256, width)
            self.blocks = nn.ModuleList([Block(), Block()])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 65)

        def forward(self, token: Any, place: int, caches: Any) -> Any:
            x = self.tokens(token) + self.places(torch.tensor([[place]]))
            kept = []
            for block, cache in zip(self.blocks, caches):
                x, new = block(x, cache)
                kept.append(new)
            return self.head(self.norm(x)), kept

    model = GPT().eval()
    token, caches, out = torch.tensor([[1]]), [None, None], []
    with torch.no_grad():
        for place in range(tokens):
            logits, caches = model(token, place, caches)
            token = logits[:, -1].argmax(-1, keepdim=True)
            out.append(float(token.item()))
    return out


def runge_kutta(torch: Any, end: float = 10.0) -> list[float]:
    """An adaptive Runge-Kutta solve of the Van der Pol oscillator, tolerances read by `item()`."""
    def f(y: Any) -> Any:
        return torch.stack([y[1], 2.0 * (1 - y[0] ** 2) * y[1] - y[0]])

    y, t, h, steps = torch.tensor([2.0, 0.0], dtype=torch.float64), 0.0, 0.1, 0
    while t < end:
        h = min(h, end - t)
        k1 = f(y)
        k2 = f(y + h * k1 / 4)
        k3 = f(y + h * (3 * k1 / 32 + 9 * k2 / 32))
        k4 = f(y + h * (1932 * k1 - 7200 * k2 + 7296 * k3) / 2197)
        k5 = f(y + h * (439 * k1 / 216 - 8 * k2 + 3680 * k3 / 513 - 845 * k4 / 4104))
        k6 = f(y + h * (-8 * k1 / 27 + 2 * k2 - 3544 * k3 / 2565 + 1859 * k4 / 4104 - 11 * k5 / 40))
        fourth = y + h * (25 * k1 / 216 + 1408 * k3 / 2565 + 2197 * k4 / 4104 - k5 / 5)
        fifth = y + h * (16 * k1 / 135 + 6656 * k3 / 12825 + 28561 * k4 / 56430 - 9 * k5 / 50 + 2 * k6 / 55)
        error = (fifth - fourth).abs().max().item()
        if error < 1e-6:
            t, y = t + h, fifth
        h = 0.9 * h * (1e-6 / max(error, 1e-12)) ** 0.2
        steps += 1
    return [float(steps), *y.tolist()]


def activations(torch: Any, models: int = 40) -> list[float]:
    """Models with different activations through one training function; the steady step of each is what counts."""
    nn = torch.nn
    kinds = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Softsign, nn.Mish,
             nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU, nn.LogSigmoid, nn.Tanhshrink, nn.ReLU6, nn.Softshrink,
             nn.Hardshrink]  # fmt: skip
    x, y = torch.randn(32, 8), torch.randn(32, 1)
    out, times = [], []

    def train(model: Any) -> float:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

        def steps(count: int) -> float:
            for _ in range(count):
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(x), y)
                loss.backward()
                optimizer.step()
            return loss.item()

        value = steps(30)
        begin = time.process_time()
        steps(90)
        times.append(time.process_time() - begin)
        return value

    for k in range(models):
        kind = kinds[k % len(kinds)]
        width = 16 + k // len(kinds)
        out.append(train(nn.Sequential(nn.Linear(8, width), kind(), nn.Linear(width, width), kind(), nn.Linear(width, 1))))
    print(f"   slowest steady step / first model's: {max(times) / times[0]:.2f}", file=sys.stderr)
    return out


PROGRAMS = {
    "policy": policy, "elements": elements, "chain": chain, "long chain": lambda torch: chain(torch, 6_000),
    "ragged": ragged, "generate": generate, "runge-kutta": runge_kutta, "activations": activations,
}  # fmt: skip
#: What is asked of each: at most this many times PyTorch's time.
ASKED = {"policy": 5, "elements": 10, "chain": 30, "ragged": 3, "generate": 8, "runge-kutta": 8}


def child(library: str, name: str) -> None:
    """Run one program here and print what it took and returned."""
    if library == "torch":
        import torch
    else:
        import jaxnn as torch
    torch.manual_seed(0)
    torch.ones(2).sum().item()  # the backend's start
    begin, cpu = time.perf_counter(), time.process_time()
    result = PROGRAMS[name](torch)
    took, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    statistics = {} if library == "torch" else {
        k: v for k, v in torch.engine_statistics().items() if isinstance(v, (int, float))
    }  # fmt: skip
    print(json.dumps({"seconds": took, "cpu": cpu, "result": [x.hex() for x in result], "peak": peak, "statistics": statistics}))


def measure(library: str, name: str) -> Any:
    """One run in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", library, name], stdout=subprocess.PIPE, text=True, timeout=900,
        env={**os.environ, "JAX_PLATFORMS": "cpu"}, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a row for each program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    rows = {}
    for name in options.programs:
        theirs, ours, again = measure("torch", name), measure("jaxnn", name), measure("jaxnn", name)
        if theirs is None or ours is None or again is None:
            print(f"{name:12s} failed", flush=True)
            continue
        a, b = ([float.fromhex(x) for x in r["result"]] for r in (ours, theirs))
        difference = max(abs(x - y) / max(abs(y), 1e-3) for x, y in zip(a, b, strict=True))
        seconds = min(ours["seconds"], again["seconds"])
        rows[name] = {"torch": theirs["seconds"], "jaxnn": seconds, "ratio": seconds / theirs["seconds"],
                      "difference": difference, "same bits": ours["result"] == again["result"]}  # fmt: skip
        asked = ASKED.get(name, "-")
        print(
            f"{name:12s} torch {theirs['seconds']:7.2f} s  jaxnn {seconds:7.2f} s  ratio {rows[name]['ratio']:6.1f} (asked "
            f"{asked})  processor time {again['cpu'] / theirs['cpu']:6.1f}  difference {difference:.1e}  same bits "
            f"{rows[name]['same bits']}  peak {ours['peak']:.0f} MB  {ours['statistics']}", flush=True,
        )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

"""What `jaxnn.core.run.policy` reckons beside what it takes: `python benchmarks/policy_prices.py [--programs lstm ...]`.

Processor time over the price that is written down, for compiling whole steps, and for preparing and calling their operators one by
one. The choices rest on prices in proportion, so what matters is that all ratios of a run are alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxnn as torch
from jaxnn import nn
from jaxnn.core.host.function import host_function
from jaxnn.core.process.config import x64
from jaxnn.core.run import cut, one_by_one, policy
from jaxnn.core.run.one_by_one import OneByOne, runs_on_host

#: Calls of one operator that are timed.
CALLS = 50


def _trained(model: Any, *inputs: Any) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        found = model(*inputs)
        (found[0] if isinstance(found, tuple) else found).pow(2).mean().backward()
        optimizer.step()

    return step


class Cells(nn.Module):
    """An LSTM cell unrolled in Python."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.cell, self.steps = nn.LSTMCell(16, 32), steps

    def forward(self, x: Any) -> Any:
        state = None
        for _ in range(self.steps):
            state = self.cell(x, state)
        return state[0]


class Chain(nn.Module):
    """Many small operators."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight, self.count = nn.Parameter(torch.ones(8)), count

    def forward(self) -> Any:
        y = self.weight
        for _ in range(self.count // 2):
            y = y + y * 2e-4
        return y


def _images(*layers: Any) -> Callable[[], None]:
    return _trained(nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 8 * 8, 10)), torch.randn(8, 3, 16, 16))


PROGRAMS: dict[str, Callable[[], Callable[[], None]]] = {
    "mlp": lambda: _trained(nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10)), torch.randn(16, 32)),
    "40 layers": lambda: _trained(nn.Sequential(*[m for _ in range(40) for m in (nn.Linear(32, 32), nn.ReLU())]), torch.randn(16, 32)),
    "cnn": lambda: _images(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    ),
    "transformer": lambda: _trained(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), torch.randn(8, 12, 32)),
    "large transformer": lambda: _trained(nn.TransformerEncoderLayer(128, 4, 256, batch_first=True), torch.randn(4, 200, 128)),
    "lstm": lambda: _trained(nn.LSTM(16, 32, 2), torch.randn(12, 8, 16)),
    "10 cells": lambda: _trained(Cells(10), torch.randn(8, 16)),
    "60 cells": lambda: _trained(Cells(60), torch.randn(8, 16)),
    "chain of 60": lambda: _trained(Chain(60)),
    "chain of 300": lambda: _trained(Chain(300)),
}  # fmt: skip


def spent(run: Callable[[], Any], times: int = 1) -> float:
    """Microseconds of processor time, the least of some rounds."""
    rounds = []
    for _ in range(1 if times == 1 else 3):
        begin = time.process_time()
        for _ in range(times):
            run()
        rounds.append((time.process_time() - begin) / times)
    return 1e6 * min(rounds)


def whole(make: Callable[[], Callable[[], None]]) -> tuple[float, float]:
    """What compiling a first step takes, and its price."""
    step = make()
    found: list[tuple[float, float]] = []
    program = cut.Program

    def timed(layout: Any, *rest: Any) -> Any:
        begin = time.process_time()
        made = program(layout, *rest)
        found.append((1e6 * (time.process_time() - begin), policy.price(layout)))
        return made

    torch.set_execution_mode("whole")
    cut.Program = timed  # type: ignore[misc,assignment]
    try:
        step()
    finally:
        cut.Program = program  # type: ignore[misc]
    return max(found)


def operators(make: Callable[[], Callable[[], None]], seen: set[int], found: dict[str, list[tuple[float, float]]]) -> None:
    """What preparing and calling the operators of a first step takes, and their prices."""
    step = make()
    met: dict[int, tuple[Any, list[Any]]] = {}
    call = OneByOne.call

    def noted(self: Any, traced: Any, operands: Any) -> Any:
        met.setdefault(traced.serial, (traced, [np.asarray(a) for a in operands]))
        return call(self, traced, operands)

    torch.set_execution_mode("operators")
    OneByOne.call = noted  # type: ignore[method-assign]
    try:
        step()
    finally:
        OneByOne.call = call  # type: ignore[method-assign]
    placement = jax.local_devices()[0]
    for serial, (traced, operands) in met.items():
        if serial in seen:
            continue
        seen.add(serial)
        run = host_function(traced.closed)
        if not run.fallbacks:  # type: ignore[attr-defined]
            price = policy.HOST_FORM + policy.HOST_FORM_EQUATION * traced.equations
            found["form in numpy"].append((spent(lambda traced=traced: host_function(traced.closed)), price))
            small = runs_on_host(traced, placement)
            kind = "call in numpy" if small else "large call in numpy"
            found[kind].append((spent(lambda run=run, o=operands: run(*o), CALLS if small else 3), one_by_one.host_cost(traced)))
            if small:
                continue
        with x64(True):
            arrays = [jax.device_put(a) for a in operands]
            price = one_by_one.EXECUTABLE + one_by_one.EXECUTABLE_EQUATION * traced.equations
            fresh = jax.jit(lambda *a, traced=traced: jax.extend.core.jaxpr_as_fun(traced.closed)(*a))
            found["executable"].append((spent(lambda f=fresh, a=arrays: f.lower(*a).compile()), price))
            if traced.elements <= 4096 and not traced.loops:
                run = lambda t=traced, a=arrays: jax.block_until_ready(t.jitted(*a))
                found["call of an executable"].append((spent(run, CALLS), policy.EXECUTABLE_CALL))


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    chosen = parser.parse_args().programs
    torch.ones(2).sum().item()
    seen: set[int] = set()
    found: dict[str, list[tuple[float, float]]] = {
        kind: [] for kind in ("form in numpy", "call in numpy", "large call in numpy", "executable", "call of an executable")
    }
    for name in chosen:
        operators(PROGRAMS[name], seen, found)
        took, price = whole(PROGRAMS[name])
        print(f"compiling {name:14s} {took / 1e6:6.2f} s, price {price / 1e6:6.2f} s, ratio {took / price:5.2f}", flush=True)
    for kind, pairs in found.items():
        if pairs:
            ratios = sorted(took / price for took, price in pairs)
            together = sum(took for took, _ in pairs) / sum(price for _, price in pairs)
            print(
                f"{kind:22s} {len(ratios):4d} of them, took / price: median {statistics.median(ratios):5.2f}, "
                f"all together {together:5.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}"
            )


if __name__ == "__main__":
    main()

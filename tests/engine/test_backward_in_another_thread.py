"""A graph that one thread has recorded and another one walks, beside PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import jaxnn


def here(f: Callable[[], Any]) -> Any:
    return f()


def elsewhere(f: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(f()))
    thread.start()
    thread.join()
    (result,) = found
    return result


def function(library: Any) -> Any:
    class Sine(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

    return Sine.apply


GRAPHS: dict[str, Any] = {
    "a sum": lambda t, x, w: ((x * 2).sin() * w).sum(),
    "a vector": lambda t, x, w: (x * w).exp(),
    "of a view": lambda t, x, w: ((x * w)[1:].view(2, 1) * 3).cos(),
    "through a Function": lambda t, x, w: function(t)(x * 2) * w,
    "written in place": lambda t, x, w: (x * 1).mul_(w).sin_(),
    "a checkpoint": lambda t, x, w: t.utils.checkpoint.checkpoint(lambda x: (x * w).sin(), x, use_reentrant=False),
}


def with_gradient(t: Any, y: Any, x: Any, w: Any) -> None:
    y.backward(t.ones_like(y) * 3)


def twice(t: Any, y: Any, x: Any, w: Any) -> None:
    y.sum().backward(retain_graph=True)
    y.sum().backward()


def twice_differentiated(t: Any, y: Any, x: Any, w: Any) -> None:
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    (g * g).sum().backward()


def with_hooks(t: Any, y: Any, x: Any, w: Any) -> None:
    y.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: g + 1)
    y.backward(t.ones_like(y) * 3)


@pytest.mark.parametrize("graph", GRAPHS)
def test_gradients(graph: str) -> None:
    def run(library: Any) -> list[Any]:
        found = []
        ways = (with_gradient, twice, twice_differentiated, with_hooks)
        for walk in ways:
            for made, walked in ((here, elsewhere), (elsewhere, here)):
                if made is elsewhere and walk is not with_gradient:
                    continue
                x, w = (library.tensor(v, requires_grad=True) for v in ([0.3, 0.7, 1.1], [2.0, 3.0, 4.0]))
                y = made(lambda x=x, w=w: GRAPHS[graph](library, x, w))
                walked(lambda x=x, w=w, y=y, walk=walk: walk(library, y, x, w))
                found += [x.grad.numpy(), w.grad.numpy()]
        return found

    for ours, theirs in zip(run(jaxnn), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)

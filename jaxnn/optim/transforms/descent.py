"""Formulas that follow the gradient itself, its sign, or its direction."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .pieces import full_like, mixed, prepared, zeros_like

__all__ = ["ASGDState", "MomentumState", "MuonState", "RpropState", "asgd", "muon", "rprop", "sgd"]


class MomentumState(NamedTuple):
    """``fresh`` is 1 before the first step, when the buffer becomes the gradient itself."""

    fresh: Any
    momentum_buffer: Any = ()


class ASGDState(NamedTuple):
    """``count`` steps done, the next step's rate, the average's next share, the average."""

    count: Any
    eta: Any
    mu: Any
    ax: Any


class RpropState(NamedTuple):
    """``count`` steps done, the last gradient, the size of each entry's step."""

    count: Any
    prev: Any
    step_size: Any


class MuonState(NamedTuple):
    """The running average of the gradient."""

    momentum_buffer: Any


def sgd(
    lr: Any, momentum: Any = 0.0, dampening: Any = 0.0, weight_decay: Any = 0.0, *, use_momentum: bool = False,
    use_decay: bool = False, nesterov: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Gradient descent; unlike `optax.sgd` the first momentum buffer is the undampened gradient; decay is first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    def init(params: Any) -> MomentumState:
        return MomentumState(jnp.ones(()), zeros_like(params) if use_momentum else ())

    def update(updates: Any, state: MomentumState, params: Any = None) -> tuple[Any, MomentumState]:
        updates = prepared(updates, params, weight_decay, use_decay, maximize)
        buffers = state.momentum_buffer
        back, share, fresh = -lr, 1 - dampening, state.fresh > 0
        if use_momentum:
            buffers = jax.tree.map(lambda b, g: jnp.where(fresh, g, momentum * b + share * g), buffers, updates)
            updates = jax.tree.map(lambda g, b: g + momentum * b, updates, buffers) if nesterov else buffers
        return jax.tree.map(lambda g: back * g, updates), MomentumState(state.fresh * 0, buffers)

    return optax.GradientTransformation(init, update)


def asgd(
    lr: Any, lambd: Any = 1e-4, alpha: Any = 0.75, t0: Any = 1e6, weight_decay: Any = 0.0, *, use_decay: bool = False,
    maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Gradient descent whose rate decays, beside an average of the parameters from step ``t0`` on.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html
    """

    def init(params: Any) -> ASGDState:
        return ASGDState(jnp.zeros(()), jnp.asarray(lr, float), jnp.ones(()), zeros_like(params))

    def update(updates: Any, state: ASGDState, params: Any = None) -> tuple[Any, ASGDState]:
        updates = prepared(updates, params, weight_decay, use_decay, maximize)
        shrink, whole = -(lambd * state.eta), state.mu == 1
        changes = jax.tree.map(lambda g, p: shrink * p - state.eta * g, updates, params)
        moved = jax.tree.map(lambda p, c: p + c, params, changes)
        averages = jax.tree.map(lambda a, x: jnp.where(whole, x, a + (x - a) * state.mu), state.ax, moved)
        count = state.count + 1
        eta = lr / (1 + lambd * lr * count) ** alpha
        return changes, ASGDState(count, eta, 1 / jnp.maximum(1, count - t0), averages)

    return optax.GradientTransformation(init, update)


def rprop(
    lr: Any, slower: Any = 0.5, faster: Any = 1.2, smallest: Any = 1e-6, largest: Any = 50.0, *, maximize: bool = False
) -> optax.GradientTransformation:
    """Resilient propagation; unlike `optax.rprop` the first step has the whole initial size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html
    """

    def init(params: Any) -> RpropState:
        return RpropState(jnp.zeros(()), zeros_like(params), full_like(params, lr))

    def one(g: Any, prev: Any, size: Any) -> Any:
        agreement = g * prev
        size = size * jnp.where(agreement > 0, faster, jnp.where(agreement < 0, slower, 1.0)).astype(size.dtype)
        size = jnp.clip(size, smallest, largest)
        g = jnp.where(agreement < 0, 0, g)
        return -jnp.sign(g) * size, g, size

    def update(updates: Any, state: RpropState, params: Any = None) -> tuple[Any, RpropState]:
        updates = prepared(updates, params, 0.0, False, maximize)
        gs, structure = jax.tree.flatten(updates)
        made = [one(*e) for e in zip(gs, *map(jax.tree.leaves, state[1:]), strict=True)]
        changes, *kept = (jax.tree.unflatten(structure, list(kind)) for kind in zip(*made, strict=True))
        return changes, RpropState(state.count + 1, *kept)

    return optax.GradientTransformation(init, update)


def _orthogonalised(g: Any, coefficients: tuple[Any, Any, Any], steps: int, eps: Any) -> Any:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix, in bfloat16.

    Source: https://kellerjordan.github.io/posts/muon/
    """
    a, b, c = coefficients

    def rounded(m: Any) -> Any:
        # float32 that holds bfloat16's values: XLA would leave out conversions to bfloat16 and back.
        return jax.lax.reduce_precision(m.astype(jnp.float32), 8, 7)

    def product(m: Any, n: Any) -> Any:
        return jnp.matmul(m.astype(jnp.bfloat16), n.astype(jnp.bfloat16), preferred_element_type=jnp.float32)

    x = rounded(g)
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = rounded(x / jnp.maximum(rounded(jnp.sqrt(jnp.sum(x * x))), eps))
    for _ in range(steps):
        gram = rounded(product(x, x.T))
        change = rounded(b * gram + c * product(gram, gram))
        x = rounded(a * x + product(change, x))
    return x if wide else x.T


def muon(
    lr: Any, weight_decay: Any = 0.1, momentum: Any = 0.95, a: Any = 3.4445, b: Any = -4.775, c: Any = 2.0315,
    eps: Any = 1e-7, *, nesterov: bool = True, steps: int = 5, adjust: str = "original",
) -> optax.GradientTransformation:  # fmt: skip
    """Momentum made orthogonal, for matrices; `optax.contrib.muon` has other scales.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html
    """

    def init(params: Any) -> MuonState:
        return MuonState(zeros_like(params))

    def factor(shape: tuple[int, ...]) -> float:
        rows, columns = shape
        return max(1.0, rows / columns) ** 0.5 if adjust == "original" else 0.2 * max(rows, columns) ** 0.5

    def update(updates: Any, state: MuonState, params: Any = None) -> tuple[Any, MuonState]:
        buffers = mixed(state.momentum_buffer, updates, 1 - momentum)
        directions = mixed(updates, buffers, momentum) if nesterov else buffers
        shrink = lr * weight_decay

        def change(direction: Any, p: Any) -> Any:
            made = _orthogonalised(direction, (a, b, c), steps, eps).astype(p.dtype)
            return -(lr * factor(p.shape)) * made - shrink * p

        return jax.tree.map(change, directions, params), MuonState(buffers)

    return optax.GradientTransformation(init, update)

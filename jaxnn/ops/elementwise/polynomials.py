"""Orthogonal polynomials by their recurrences; the degree may differ from element to element.

Args:
    input, x: where to evaluate.
    n: the degree: a number or a tensor.

Shape: two that broadcast -> their common shape.

Source: https://dlmf.nist.gov/18.9
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.registry import Operand, op
from jaxnn.ops.common.promotion import compute

__all__ = [
    "chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w",
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
]  # fmt: skip

#: (x, k, P_k, P_(k-1)) -> P_(k+1)
Next = Callable[[Array, Array, Array, Array], Array]


def _recur(x: Array, n: Array, second: Array, following: Next, skipped: Array) -> Array:
    """P_n from P_0 = 1 and P_1; 0 for a negative degree. ``skipped`` elements are known otherwise."""
    degree = n.astype(np.int64)
    last = jnp.max(jnp.where(skipped, 0, degree), initial=0)
    first = jnp.ones_like(x)
    found = jnp.where(degree <= 0, first, second)

    def step(carry: Any) -> Any:
        k, before, now, found = carry
        after = following(x, k.astype(x.dtype), now, before)
        return k + 1, now, after, jnp.where(degree == k + 1, after, found)

    start = (jnp.asarray(1, np.int64), first, second, found)
    found = lax.while_loop(lambda carry: carry[0] < last, step, start)[3]
    return jnp.where(degree < 0, 0, found).astype(x.dtype)


def _public(name: str, f: Callable[[Array, Array], Array], doc: str) -> Any:
    """Like PyTorch's, without a gradient."""

    def kernel(input: Operand, n: Operand) -> Array:
        def broadcast(x: Array, n: Array) -> Array:
            whole = jnp.where(jnp.abs(n) < 2.0**63, jnp.trunc(n), -1)  # NaN and infinity count as negative
            return f(*jnp.broadcast_arrays(x, whole))

        return compute(broadcast, input, n, to_floating=True)

    kernel.__name__, kernel.__doc__ = "special_" + name, doc + " A negative degree gives 0."
    return op(kernel, method=False, differentiable=False)


def _chebyshev(
    second: Callable[[Array], Array],
    by_angle: Callable[[Array, Array], Array],
    at_ends: Callable[[Array, Array], Array],
    many: int,
    shifted: bool = False,
) -> Callable[[Array, Array], Array]:
    """2 x P_n - P_(n-1), above degree ``many`` between -1 and 1 by trigonometry, which does not add up errors."""

    def f(x: Array, n: Array) -> Array:
        x = x + x - 1 if shifted else x
        size = jnp.abs(x)
        end, inside = size == 1, (n > many) & (size < 1)
        angle = jnp.arccos(jnp.where(inside, x, 0))
        recurred = _recur(x, n, second(x), lambda x, k, now, before: (x + x) * now - before, end | inside)
        found = jnp.where(inside, by_angle(angle, n), recurred)
        return jnp.where(n < 0, 0, jnp.where(end, at_ends(x, n), found)).astype(x.dtype)

    return f


def _alternating(n: Array) -> Array:
    return jnp.where(jnp.mod(n, 2) == 0, 1, -1).astype(n.dtype)


_KINDS: dict[str, tuple[Any, Any, Any, int]] = {
    "t": (
        lambda x: x,
        lambda a, n: jnp.cos(n * a),
        lambda x, n: jnp.where(x > 0, 1, _alternating(n)),
        6,
    ),
    "u": (
        lambda x: x + x,
        lambda a, n: jnp.sin((n + 1) * a) / jnp.sin(a),
        lambda x, n: jnp.where(x > 0, 1, _alternating(n)) * (n + 1),
        8,
    ),
    "v": (
        lambda x: x + x - 1,
        lambda a, n: jnp.cos((n + 0.5) * a) / jnp.cos(a / 2),
        lambda x, n: jnp.where(x > 0, 1, _alternating(n) * (n + n + 1)),
        8,
    ),
    "w": (
        lambda x: x + x + 1,
        lambda a, n: jnp.sin((n + 0.5) * a) / jnp.sin(a / 2),
        lambda x, n: jnp.where(x > 0, n + n + 1, _alternating(n)),
        8,
    ),
}
_NUMBERED = {"t": "first", "u": "second", "v": "third", "w": "fourth"}


def _both(kind: str) -> tuple[Any, Any]:
    doc = f"The Chebyshev polynomial of the {_NUMBERED[kind]} kind, of degree ``n``"
    plain = _public(f"chebyshev_polynomial_{kind}", _chebyshev(*_KINDS[kind]), doc + ".")
    shifted = _public(
        f"shifted_chebyshev_polynomial_{kind}", _chebyshev(*_KINDS[kind], shifted=True), doc + ", at 2 x - 1."
    )
    return plain, shifted


chebyshev_polynomial_t, shifted_chebyshev_polynomial_t = _both("t")
chebyshev_polynomial_u, shifted_chebyshev_polynomial_u = _both("u")
chebyshev_polynomial_v, shifted_chebyshev_polynomial_v = _both("v")
chebyshev_polynomial_w, shifted_chebyshev_polynomial_w = _both("w")


def _plain(second: Callable[[Array], Array], following: Next) -> Callable[[Array, Array], Array]:
    return lambda x, n: _recur(x, n, second(x), following, jnp.zeros(x.shape, bool))


hermite_polynomial_h = _public(
    "hermite_polynomial_h",
    _plain(lambda x: x + x, lambda x, k, now, before: (x + x) * now - (k + k) * before),
    "The physicist's Hermite polynomial of degree ``n``.",
)
hermite_polynomial_he = _public(
    "hermite_polynomial_he",
    _plain(lambda x: x, lambda x, k, now, before: x * now - k * before),
    "The probabilist's Hermite polynomial of degree ``n``.",
)
laguerre_polynomial_l = _public(
    "laguerre_polynomial_l",
    _plain(lambda x: 1 - x, lambda x, k, now, before: ((k + k + 1 - x) * now - k * before) / (k + 1)),
    "The Laguerre polynomial of degree ``n``.",
)
legendre_polynomial_p = _public(
    "legendre_polynomial_p",
    _plain(lambda x: x, lambda x, k, now, before: ((k + k + 1) * x * now - k * before) / (k + 1)),
    "The Legendre polynomial of degree ``n``.",
)

"""Random tensors on accelerators, drawn there: part of the program that uses them, seeded by two numbers that are its inputs.

PyTorch's CPU stream gives the seeds, a counter-based hash the numbers, the same for any sharding. Initial values of parameters are not
among them: `uniform_` and `normal_` draw from the stream itself, so that a seed gives the same weights on every device.

Args:
    input: a tensor of the shape that is wanted; or probabilities.
    first, second: the seeds.
    low, span: the least number, and how many there are.
    rate: of the exponential distribution.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds.device import META, device_of, placement_of
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.registry import Operand, op
from jaxnn.ops.creation.factories import zeros  # type: ignore[attr-defined]

from .masks import hashed_words, seeds

__all__ = ["bernoulli_there", "drawn_there", "filled_there", "integers_there", "multinomial_there", "on_accelerator"]

#: The bits of a uniform number of each size: those of its mantissa and the hidden one.
_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24}


def on_accelerator(placement: Any) -> bool:
    """Whether tensors that lie there are drawn there."""
    return placement is not META and device_of(placement).type != "cpu"


@op(name="rand", method=False, differentiable=False)
def _uniform(input: Array, first: Operand, second: Operand) -> Array:
    """Uniform in [0, 1): as many bits as the type holds exactly."""
    digits = _DIGITS[str(input.dtype)]
    words = hashed_words(input.shape, first, second) >> np.uint32(32 - digits)
    return words.astype(input.dtype) * jnp.asarray(2.0**-digits, input.dtype)


@op(name="randn", method=False, differentiable=False)
def _normal(input: Array, first: Operand, second: Operand) -> Array:
    """Normal, by Box and Muller's transformation of two words for each."""
    radius, angle = hashed_words((2, *input.shape), first, second)
    # In (0, 1], so that the logarithm is finite.
    u = (radius.astype(np.float32) + 1.0) * np.float32(2.0**-32)
    v = (angle >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24 * 2 * math.pi)
    return (jnp.sqrt(-2.0 * jnp.log(jnp.minimum(u, 1.0))) * jnp.cos(v)).astype(input.dtype)


@op(name="multinomial", method=False, differentiable=False)
def _chosen(input: Array, first: Operand, second: Operand, count: int, replacement: bool) -> Array:
    """Indices by probabilities: Gumbel's trick without replacement, places in the summed probabilities with it."""
    p = input.astype(jnp.promote_types(input.dtype, jnp.float32))
    scale = np.float32(2.0**-24)
    if replacement and count > 1:
        u = (hashed_words((*p.shape[:-1], count), first, second) >> np.uint32(8)).astype(p.dtype) * scale
        summed = jnp.cumsum(p, axis=-1)
        place = jax.vmap if p.ndim == 2 else lambda f: f
        found = place(lambda s, x: jnp.searchsorted(s, x * s[-1], side="right"))(summed, u)
        last = p.shape[-1] - 1 - jnp.argmax(p[..., ::-1] > 0, axis=-1, keepdims=True)  # rounding ends at a possible one
        return jnp.minimum(found, last).astype(jnp.int64)
    u = ((hashed_words(p.shape, first, second) >> np.uint32(8)).astype(p.dtype) + 0.5) * scale
    keys = jnp.log(p) - jnp.log(-jnp.log(u))
    if count == 1:
        return lax.argmax(keys, keys.ndim - 1, jnp.int32)[..., None].astype(jnp.int64)
    return lax.top_k(keys, count)[1].astype(jnp.int64)


@op(name="randint", method=False, differentiable=False)
def _integers(input: Array, first: Operand, second: Operand, low: Operand, span: Operand) -> Array:
    """Integers of [low, low + span): the upper half of the product of a 32-bit word and ``span``, which has 32 bits, too."""
    words, n = hashed_words(input.shape, first, second), jnp.asarray(span).astype(np.uint32)
    (a, b), (c, d) = ((x >> np.uint32(16), x & np.uint32(0xFFFF)) for x in (words, n))
    middle = (b * d >> np.uint32(16)) + (a * d & np.uint32(0xFFFF)) + (b * c & np.uint32(0xFFFF))
    found = a * c + (a * d >> np.uint32(16)) + (b * c >> np.uint32(16)) + (middle >> np.uint32(16))
    wide = np.float32 if jnp.issubdtype(input.dtype, np.floating) else np.int64
    return (found.astype(wide) + jnp.asarray(low).astype(wide)).astype(input.dtype)


@op(name="bernoulli", method=False, differentiable=False)
def _chances(input: Array, first: Operand, second: Operand) -> Array:
    """Ones with the probabilities in ``input``."""
    u = (hashed_words(input.shape, first, second) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return (u < input).astype(input.dtype)


@op(name="bernoulli_", method=False, differentiable=False)
def _coins(input: Array, first: Operand, second: Operand, rate: Operand) -> Array:
    """Ones with one probability."""
    u = (hashed_words(input.shape, first, second) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return (u < jnp.asarray(rate).astype(np.float32)).astype(input.dtype)


@op(name="exponential_", method=False, differentiable=False)
def _waits(input: Array, first: Operand, second: Operand, rate: Operand) -> Array:
    """Exponential numbers, by the inverse of their distribution."""
    u = ((hashed_words(input.shape, first, second) >> np.uint32(8)).astype(np.float32) + 0.5) * np.float32(2.0**-24)
    return (-jnp.log(u) / jnp.asarray(rate).astype(np.float32)).astype(input.dtype)


_DRAWS = {"rand": _uniform, "randn": _normal}


def drawn_there(name: str, shape: tuple[int, ...], dtype: Any, device: Any, requires_grad: bool) -> Any:
    """`rand` or `randn` on an accelerator; None where the host draws."""
    if name not in _DRAWS or dtype.name not in _DIGITS or not on_accelerator(placement_of(device)):
        return None
    found = _DRAWS[name](zeros(shape, dtype=dtype, device=device), *seeds())
    return found.requires_grad_() if requires_grad else found


def multinomial_there(input: TensorBase, num_samples: int, replacement: bool) -> Any:
    """`multinomial` on an accelerator. Probabilities are not read: what is no distribution gives indices without a meaning.

    Raises:
        RuntimeError: for other shapes and types, and too many samples.
    """
    described = aval(input)
    if not described.dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {described.dtype}")
    count = operator.index(num_samples)
    if len(described.shape) not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if count <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and count > described.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    return _chosen(input, *seeds(), count, bool(replacement))


def integers_there(input: TensorBase, low: int, high: int) -> Any:
    """Integers in the shape and type of a tensor on an accelerator; None where the host draws: for bounds that it refuses or that are
    further apart than 32 bits.
    """
    described = aval(input)
    if not 0 < high - low < 2**32 or described.dtype.is_complex or str(described.dtype).endswith("bool"):
        return None
    if not described.dtype.is_floating_point:
        limits = np.iinfo(described.np)
        if low < limits.min or high - 1 > limits.max:
            return None
    return _integers(input, *seeds(), low, high - low)


def bernoulli_there(input: TensorBase) -> Any:
    """Ones with the probabilities in a tensor on an accelerator. They are not read: those outside of [0, 1] count as its ends."""
    return _chances(input, *seeds()) if aval(input).dtype.is_floating_point else None


#: In place: the operator, the name of its number, its default, which numbers the host does not refuse.
_FILLS: dict[str, tuple[Any, str, float, Any]] = {
    "bernoulli_": (_coins, "p", 0.5, lambda p: 0 <= p <= 1),
    "exponential_": (_waits, "lambd", 1.0, lambda rate: 0 < rate < math.inf),
}


def filled_there(name: str, input: TensorBase, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What a tensor on an accelerator is filled with; None where the host draws."""
    if name not in _FILLS or not on_accelerator(aval(input).placement):
        return None
    fill, keyword, default, fits = _FILLS[name]
    told = [*args, *(options[k] for k in options if k == keyword)] or [default]
    kind = aval(input).dtype
    if len(told) != 1 or len(options) > (not args) or not isinstance(told[0], (int, float)) or not fits(told[0]) or kind.is_complex:
        return None
    return fill(input, *seeds(), float(told[0])) if kind.is_floating_point or name == "bernoulli_" else None

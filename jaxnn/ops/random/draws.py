"""Random tensors from PyTorch's own stream: the same seed gives the same numbers.

Drawn on the host by numpy (`core.generator`), then placed on the device; `rand`, `randn` and `multinomial` of accelerators are drawn
there, see `device_draws`.

Args:
    p: the probability of a one, instead of those in the input.
    options: keywords of the distribution and ``generator``.
    args: the distribution's parameters by position.
    median, sigma: the middle and the width.
    from_, to: the bounds; the upper one is never drawn.

Shape: that of ``size``, or of the tensor given.

Source: https://docs.pytorch.org/docs/stable/torch.html#random-sampling
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import META, placement_of
from jaxnn.core.memory.tensor_base import TensorBase, aval, without_values
from jaxnn.core.operator.op import Op
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.random import generator as streams
from jaxnn.core.random.generator import Generator
from jaxnn.core.record.recorder import value_of
from jaxnn.core.record.write import check_writable, put_through, refuse_repeating
from jaxnn.core.registry import FUNCTIONS, METHODS, _into, call, check_out, function, op, resize_out
from jaxnn.ops.common.placement import check_layout, dtype_of, like_device, made
from jaxnn.ops.common.placement import sizes as sizes_of
from jaxnn.ops.creation.factories import described_as, made_like, zeros  # type: ignore[attr-defined]
from jaxnn.ops.memory.strides import in_memory_order, memory_order

from .keys import generator_here, given
from .masks import bernoulli_mask, traced_key_provider, traced_keys
from .on_device import bernoulli_there, drawn_there, filled_there, integers_there, multinomial_there, on_accelerator


def stream(generator: Any, name: str) -> Generator:
    """The generator given, or the default one.

    Raises:
        TypeError: for anything but a generator; RuntimeError: inside a JAX transformation, where a draw on the host
        would be made once and kept in the compiled program.
    """
    if generator is None and given() is not None:
        return generator_here()
    if in_transformation():
        raise RuntimeError(
            f"{name}() draws on the host, which a JAX transformation would do once and repeat for ever: draw "
            "before it and pass the tensor, or use jax.random inside"
        )
    if generator is None:
        return streams.default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"{name}(): argument 'generator' must be torch.Generator, not {type(generator).__name__}")
    return generator


# --- factories


def _drawn(
    name: str,
    draw: Callable[..., np.ndarray],
    shape: tuple[int, ...],
    generator: Any,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    out: Any = None,
    default: dtypes.dtype | None = None,
) -> Any:
    """A tensor of ``draw(generator, place)``, or ``out`` filled so in the order of its memory."""
    g = stream(generator, name)
    if out is None:
        wanted = dtype_of(dtype, default)
        if placement_of(device) is META:
            found = without_values(shape, wanted.np)
            return found.requires_grad_() if requires_grad else found  # type: ignore[attr-defined]
        there = drawn_there(name, shape, wanted, device, requires_grad) if generator is None and given() is None else None
        return made(draw(g, Place(shape, wanted.np, True)), device, requires_grad) if there is None else there
    have = described_as(out, name, "out").dtype
    if dtype is not None and dtype_of(dtype) is not have:
        names = dtypes.SCALAR_NAMES
        raise RuntimeError(
            f"dtype {names[dtype_of(dtype)]} does not match dtype of out parameter ({names[have]})"
        )
    check_out(out, False)
    resize_out(out, shape)
    put_through(out, _drawn_for(out, g, draw))
    return out


class Place(NamedTuple):
    """What is to be filled: its shape in the order of its memory, its numpy type, whether it is contiguous."""

    shape: tuple[int, ...]
    np: Any
    contiguous: bool


def _drawn_for(t: TensorBase, g: Generator, draw: Callable[..., np.ndarray], *beside: Any) -> Any:
    """A tensor for the places of ``t``, drawn in the order of its memory."""
    described, contiguous = aval(t), METHODS["is_contiguous"](t)
    array = in_memory_order(
        t, lambda shape, *given: draw(g, Place(shape, described.np, contiguous), *given), *beside
    )
    return made(array, like_device(t, None, alike=True))


def _drawn_like(
    name: str, input: Any, draw: Callable[..., np.ndarray], dtype: Any, device: Any, requires_grad: bool,
    memory_format: Any = None, generator: Any = None,
) -> Any:  # fmt: skip
    """A tensor like another, drawn in the order of its memory, which is that of the other one's."""
    wanted = dtype_of(dtype, described_as(input, name).dtype)
    g = stream(generator, name)
    if placement_of(like_device(input, device, alike=True)) is META:
        found: Any = without_values(aval(input).shape, wanted.np)
        return found.requires_grad_() if requires_grad else found
    if generator is None and given() is None:
        where = like_device(input, device, alike=True)
        there = drawn_there(name.removesuffix("_like"), tuple(aval(input).shape), wanted, where, requires_grad)
        if there is not None:
            return there
    if str(memory_format) == "torch.contiguous_format":
        return made(draw(g, Place(tuple(aval(input).shape), wanted.np, True)), like_device(input, device, alike=True), requires_grad)
    order = memory_order(input)
    even = order == tuple(range(len(order)))
    array = in_memory_order(input, lambda shape: draw(g, Place(shape, wanted.np, even)))
    return made_like(input, array, like_device(input, device, alike=True), requires_grad, memory_format)


def _factory(name: str, draw: Callable[..., np.ndarray], doc: str) -> None:
    def create(
        *sizes: Any,
        size: Any = None,
        generator: Any = None,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Any:
        check_layout(name, layout, pin_memory)
        return _drawn(name, draw, sizes_of(name, sizes, size), generator, dtype, device, requires_grad, out)

    def create_like(
        input: Any,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
        generator: Any = None,
    ) -> Any:
        check_layout(name + "_like", layout, pin_memory, memory_format)
        return _drawn_like(name + "_like", input, draw, dtype, device, requires_grad, memory_format, generator)

    for f, public in ((create, name), (create_like, name + "_like")):
        f.__name__ = f.__qualname__ = public
        f.__doc__ = doc
        FUNCTIONS[public] = globals()[public] = f


_factory("rand", lambda g, place: g.rand(place.shape, place.np), "Uniform numbers of [0, 1).")
_factory(
    "randn",
    lambda g, place: g.normal(place.shape, 0.0, 1.0, place.np, contiguous=place.contiguous),
    "Standard normal numbers.",
)


def _range(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, int, Any]:
    """``low``, ``high`` and the rest, from PyTorch's two overloads."""
    low, high, size = options.pop("low", None), options.pop("high", None), options.pop("size", None)
    rest = list(args)
    if rest and isinstance(rest[-1], (tuple, list)):
        size = rest.pop()
    if len(rest) == 2:
        low, high = rest
    elif len(rest) == 1:
        low, high = (rest[0], high) if high is not None and low is None else (low, rest[0])
    if high is None:
        raise TypeError(f'{name}() missing 1 required positional arguments: "high"')
    return (0 if low is None else _integer(name, low)), _integer(name, high), size


def _integer(name: str, value: Any) -> int:
    if isinstance(value, TensorBase):
        return int(value)  # type: ignore[call-overload]
    if isinstance(value, float):
        raise TypeError(f"{name}(): argument 'high' must be int, not float")
    return int(value)


@function(method=False)
def randint(
    *args: Any,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **options: Any,
) -> Any:
    """``randint(low=0, high, size)``: integers of [low, high). Raises RuntimeError for an empty range."""
    check_layout("randint", layout, pin_memory)
    low, high, size = _range("randint", args, options)
    if options:
        raise TypeError(f"randint() got an unexpected keyword argument '{next(iter(options))}'")
    if size is None:
        raise TypeError('randint() missing 1 required positional arguments: "size"')
    if generator is None and out is None and given() is None and not in_transformation() and on_accelerator(placement_of(device)):
        there = integers_there(zeros(tuple(size), dtype=dtype_of(dtype, dtypes.int64), device=device), low, high)
        if there is not None:
            return there.requires_grad_() if requires_grad else there
    return _drawn(
        "randint",
        lambda g, place: g.randint(low, high, place.shape, place.np),
        sizes_of("randint", (tuple(size),)),
        generator,
        dtype,
        device,
        requires_grad,
        out,
        dtypes.int64,
    )


@function(method=False)
def randint_like(
    input: Any,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    memory_format: Any = None,
    **options: Any,
) -> Any:
    """``randint_like(input, low=0, high)``: integers of [low, high) in the shape and type of another tensor."""
    check_layout("randint_like", layout, False, memory_format)
    low, high, _ = _range("randint_like", args, options)
    where = like_device(input, device, alike=True) if isinstance(input, TensorBase) else None
    if where is not None and given() is None and not in_transformation() and on_accelerator(placement_of(where)):
        there = integers_there(zeros(tuple(aval(input).shape), dtype=dtype_of(dtype, aval(input).dtype), device=where), low, high)
        if there is not None:
            return there.requires_grad_() if requires_grad else there
    return _drawn_like(
        "randint_like", input, lambda g, place: g.randint(low, high, place.shape, place.np), dtype, device,
        requires_grad, memory_format,
    )  # fmt: skip


@function(method=False)
def randperm(
    n: int,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """A permutation of 0 to n - 1.

    Args:
        n: how many numbers.
        dtype: the type of the result's elements; None: int64.

    Shape: -> (n).
    """
    check_layout("randperm", layout, pin_memory)
    return _drawn(
        "randperm", lambda g, place: g.randperm(n, place.np), (n,), generator, dtype, device, requires_grad, out,
        dtypes.int64,
    )  # fmt: skip


def _array(t: Any) -> Any:
    if isinstance(t, TensorBase):
        return np.asarray(value_of(t, "random parameters"))
    if not isinstance(t, (np.ndarray, np.generic, bool, int, float)):
        raise TypeError(f"the parameters of random numbers must be Tensors or Numbers, not {type(t).__name__}")
    return t


# A drawn number does not move with its parameters: their gradient is zero.
_NORMAL = op(lambda drawn, parameter: drawn, name="normal_of", method=False, grad_name="NormalBackward1")
_BERNOULLI = op(lambda drawn, parameter: drawn, name="bernoulli_of", method=False, grad_name="BernoulliBackward0")


@function(method=False)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Any:
    """Normal numbers with tensors of means or deviations, or of one mean and deviation and a ``size``."""
    check_layout("normal", layout, pin_memory)
    tensors = [x for x in (mean, std) if isinstance(x, TensorBase)]
    if not tensors:
        if size is None:
            raise TypeError("normal() received an invalid combination of arguments: size is missing")
        return _drawn(
            "normal",
            lambda g, place: g.normal(place.shape, mean, std, place.np, contiguous=place.contiguous),
            sizes_of("normal", (tuple(size),)),
            generator,
            dtype,
            device,
            requires_grad,
            out,
        )
    g, of = stream(generator, "normal"), tuple(x if isinstance(x, (int, float)) else _array(x) for x in (mean, std))
    if out is not None:
        check_out(out, any(t.requires_grad for t in tensors))
        drawn = np.broadcast_shapes(*(np.shape(x) for x in of))
        if aval(out).shape.numel() and tuple(aval(out).shape) != drawn:
            raise RuntimeError(
                f"The size of tensor a ({drawn[-1] if drawn else 1}) must match the size of tensor b "
                f"({aval(out).shape[-1] if aval(out).shape else 1}): out= has the shape {list(aval(out).shape)}"
            )
        resize_out(out, drawn)

        def draw(g: Generator, place: Place, mean: Any, std: Any) -> np.ndarray:
            return g.normal(place.shape, mean, std, place.np, contiguous=place.contiguous)

        put_through(out, _drawn_for(out, g, draw, *of))
        return out
    found = made(g.normal(None, of[0], of[1]), like_device(tensors[0], device))
    for t in tensors:
        found = _NORMAL(found, t) if t.requires_grad else found
    return found


@function
def bernoulli(input: Any, p: float | None = None, *, generator: Any = None, out: Any = None) -> Any:
    """Ones with the probabilities in ``input`` (or ``p`` everywhere), else zeros.

    Raises RuntimeError for probabilities outside [0, 1].
    """
    described = described_as(input, "bernoulli")
    g = stream(generator, "bernoulli")
    if out is not None:
        check_out(out, input.requires_grad)
        resize_out(out, described.shape)
        put_through(out, _drawn_for(out, g, _bernoulli, _array(input) if p is None else float(p)))
        return out
    there = None
    if generator is None and given() is None and on_accelerator(aval(input).placement):
        there = bernoulli_there(input) if p is None else filled_there("bernoulli_", input, (p,), {})
    if there is None:
        array = g.bernoulli(_array(input)) if p is None else g.bernoulli(float(p), tuple(described.shape), described.np)
        there = made(array, like_device(input, None))
    found = there
    return _BERNOULLI(found, input) if input.requires_grad else found


@function
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None
) -> Any:
    """Indices drawn with unnormalised probabilities: (m,) or (n, m) to (num_samples,) or (n, num_samples).

    Shape: (m) or (n, m) -> (num_samples) or (n, num_samples).
    """
    g, by_columns = stream(generator, "multinomial"), memory_order(input) == (1, 0)
    if generator is None and given() is None and on_accelerator(aval(input).placement):
        there = multinomial_there(input, num_samples, replacement)
        return there if out is None else _into(out, there, name="multinomial")
    found = made(g.multinomial(_array(input), num_samples, replacement, by_columns), like_device(input, None))
    return found if out is None else _into(out, found, name="multinomial")


# --- in place


def _fill(name: str, draw: Callable[..., np.ndarray], doc: str) -> None:
    """``Tensor.NAME_``: the tensor's elements drawn anew, in the order in which they lie in memory."""
    title = "".join(part.capitalize() for part in name.split("_"))
    replaced = Op(name, lambda input, new: new, grad_name=f"{title}Backward{2 if name == 'bernoulli_' else 0}")

    def in_place(self: Any, *args: Any, generator: Any = None, **options: Any) -> Any:
        check_writable(self)
        refuse_repeating(self)
        if aval(self).placement is META:
            return self
        if isinstance(options.get("p"), TensorBase):
            args = (options.pop("p"),)
        drawn = None
        if generator is None and given() is None and not in_transformation():
            drawn = filled_there(name, self, args, options)
        if drawn is None:
            beside = [_array(a) if isinstance(a, TensorBase) else a for a in args]
            drawn = _drawn_for(
                self, stream(generator, name), lambda g, place, *given: draw(g, place, *given, **options), *beside
            )
        if state.grad_enabled and self.requires_grad:  # the old value gets a gradient: zeros
            drawn = call(replaced, (self, drawn))
        put_through(self, drawn)
        return self

    in_place.__name__ = in_place.__qualname__ = name
    in_place.__doc__ = doc
    own = list(inspect.signature(draw).parameters.values())[2:]  # behind the generator and the place
    keywords = list(inspect.signature(in_place).parameters.values())
    in_place.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [keywords[0], *(p for p in own if p.kind is not p.VAR_KEYWORD), keywords[2]]
    )
    METHODS[name] = in_place


def _uniform(g: Generator, place: Place, from_: float = 0.0, to: float = 1.0, **options: Any) -> np.ndarray:
    return g.uniform(place.shape, options.pop("from", from_), to, place.np)


def _normal(g: Generator, place: Place, mean: Any = 0.0, std: Any = 1.0) -> np.ndarray:
    return g.normal(place.shape, mean, std, place.np, contiguous=place.contiguous)


_UPPER_END = object()


def _random(g: Generator, place: Place, from_: Any = None, to: Any = _UPPER_END, **options: Any) -> np.ndarray:
    low = options.pop("from", from_)
    if to is _UPPER_END:  # one number is the upper end; an end that is None is what the type holds
        low, to = (None, None) if low is None else (0, low)
    return g.random(place.shape, place.np, low, to)


def _bernoulli(g: Generator, place: Place, p: Any = 0.5) -> np.ndarray:
    return g.bernoulli(_array(p), place.shape, place.np)


def _exponential(g: Generator, place: Place, lambd: float = 1.0) -> np.ndarray:
    return g.exponential(place.shape, lambd, place.np)


def _geometric(g: Generator, place: Place, p: float) -> np.ndarray:
    return g.geometric(place.shape, p, place.np)


def _cauchy(g: Generator, place: Place, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
    return g.cauchy(place.shape, median, sigma, place.np)


def _log_normal(g: Generator, place: Place, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
    return g.log_normal(place.shape, mean, std, place.np)


_fill("uniform_", _uniform, "Uniform numbers of [from, to), [0, 1) by default.")
_fill("normal_", _normal, "Normal numbers of a mean and a deviation.")
_fill("random_", _random, "Integers: of [from, to), of [0, to), or of all that the type holds exactly.")
_fill("bernoulli_", _bernoulli, "Ones with probability p (a number or a tensor), else zeros.")
_fill("exponential_", _exponential, "Exponential numbers of a rate.")
_fill("geometric_", _geometric, "Trials up to the first success.")
_fill("cauchy_", _cauchy, "Cauchy numbers.")
_fill("log_normal_", _log_normal, "Exponentials of normal numbers.")

# --- seeds and states


@function(method=False)
def manual_seed(seed: Any) -> Generator:
    """Restart the default stream. Raises ValueError for a seed of more than 64 bits."""
    return streams.manual_seed(seed)


@function(method=False)
def seed() -> int:
    """Restart the default stream from a random seed, and return the seed."""
    return streams.seed()


@function(method=False)
def initial_seed() -> int:
    """The seed that the default stream started from."""
    return streams.initial_seed()


@function(method=False)
def get_rng_state() -> Any:
    """The default stream's state as PyTorch lays it out, uint8 (5056,)."""
    return streams.default_generator.get_state()


@function(method=False)
def set_rng_state(new_state: Any) -> None:
    """Put back a state of the default stream. Raises TypeError for anything but a uint8 tensor."""
    streams.default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Leave the default stream as it was before the block. ``devices`` is a hint: one stream serves all devices.

    Source: https://docs.pytorch.org/docs/stable/random.html#torch.random.fork_rng
    """
    kept = streams.default_generator.state_bytes() if enabled else None
    try:
        yield
    finally:
        if kept is not None:
            streams.default_generator.set_state_bytes(kept)


def _state_array(given: Any) -> np.ndarray:
    """The bytes of a state that is given as a tensor."""
    if not isinstance(given, TensorBase):
        shown = "numpy.ndarray" if isinstance(given, np.ndarray) else type(given).__name__
        raise TypeError(f"expected a torch.ByteTensor, but got {shown}")
    if aval(given).dtype is dtypes.uint8 and not METHODS["is_contiguous"](given):
        raise RuntimeError("RNG state must be contiguous")
    return np.array(value_of(given))


Generator._as_tensor, Generator._as_array = staticmethod(made), staticmethod(_state_array)
FUNCTIONS["Generator"] = Generator
FUNCTIONS["fork_rng"] = fork_rng
default_generator = streams.default_generator
FUNCTIONS["default_generator"] = default_generator  # type: ignore[assignment]

__all__ = [name for name in globals() if name in FUNCTIONS]
__all__ += ["bernoulli_mask", "traced_key_provider", "traced_keys"]

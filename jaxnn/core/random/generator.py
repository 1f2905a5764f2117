"""PyTorch's CPU random stream in numpy: the same seed gives the same numbers.

The engine is MT19937, seeded as in `mt19937ar` (Matsumoto and Nishimura 1998, "Mersenne Twister"). Each distribution consumes
the engine's 32-bit words in PyTorch's order, so seeds, states and draws can be exchanged with PyTorch at any point.

The stream is that of PyTorch 2.13 on an x86-64 CPU with AVX2. Without AVX2 PyTorch's own numbers can differ in the last bit (other
logarithms and cosines, no fused multiply-add); its older versions drew `bernoulli_` from MKL on Intel CPUs.
"""

import math
import operator
import secrets
import struct
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..kinds.device import device as device_type
from . import bounds
from .arithmetic import fma32, fma64, libm, normal_blocks

Shape = int | Sequence[int]

DEFAULT_SEED = 67280421310721
STATE_SIZE = 5056
_WORDS = 624
# seed, left, seeded, next, 624 words of 64 bits, normal_x/y/rho and its flag, padding, next float normal and its flag
_STATE = struct.Struct(f"<QiiQ{8 * _WORDS}sdddi4xf?3x")
_RANDPERM_LARGE = (2**32 - 1) // 20  # from here PyTorch draws 64 bits an element

_F32, _F64, _U32, _U64 = np.float32, np.float64, np.uint32, np.uint64
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def _seed_word(seed: int) -> int:
    if not _INT64_MIN <= seed < 2**64:
        raise ValueError("Overflow when unpacking long long")
    return seed % 2**64


class Generator:
    """A stream of random numbers, like `torch.Generator` on the CPU.

    The methods that draw give a numpy array of the wanted shape and numpy dtype with the values that PyTorch's factory
    or in-place method of the same name gives. Complex dtypes (`rand`, `uniform`, `normal`) draw the real and the
    imaginary part in turn. Safe to share between threads: every call takes one piece of the stream.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Generator.html
    """

    #: Between arrays and tensors: set by the operators, which this file knows nothing of.
    _as_tensor: Any = None
    _as_array: Any = None

    def __init__(self, device: Any = "cpu") -> None:
        """Raises NotImplementedError for a device other than the CPU."""
        if str(device) not in ("cpu", "cpu:0"):
            raise NotImplementedError(f"Generator: device {device} has no host generator, expected 'cpu'")
        self._device = device_type(device)
        self._lock = threading.RLock()
        # RandomState rather than numpy.random.Generator: its stream is frozen by numpy's compatibility policy
        self._engine = np.random.RandomState(0)
        self._reset(DEFAULT_SEED)

    # ---- seeds and states

    def _reset(self, seed: int) -> None:
        with self._lock:
            self._engine.seed(seed & 0xFFFFFFFF)
            self._seed = seed
            self.epoch = getattr(self, "epoch", 0) + 1  # how often the stream has been restarted
            self._forks = 0
            self._start: int | None = 0  # the stored read position while no word of the current table is left
            self.spare_normal: float | None = None  # of the last pair: draws of fewer than 16 take it first
            self._next_float_normal: float | None = None  # PyTorch's CPU never uses it; kept for exchanged states

    @property
    def device(self) -> device_type:
        """The device that the generator was made for."""
        return self._device

    def manual_seed(self, seed: int) -> "Generator":
        """Restarts the stream; a negative seed counts from 2**64. Returns the generator.

        Raises RuntimeError for a seed that is no int and ValueError for one outside [-2**63, 2**64).
        """
        if isinstance(seed, np.integer):
            raise TypeError("an integer is required")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self._reset(_seed_word(seed))
        return self

    def seed(self) -> int:
        """Restarts the stream from a seed of 53 random bits and returns that seed."""
        seed = secrets.randbits(53)
        self._reset(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the stream started from, in [0, 2**64)."""
        return self._seed

    def fork(self) -> int:
        """A seed for a stream beside this one, which draws nothing from it: the same ones after the same `manual_seed`."""
        with self._lock:
            self._forks += 1
            return (self._seed * 0x9E3779B97F4A7C15 + self._forks * 0xBF58476D1CE4E5B9) % 2**64

    def get_state(self) -> Any:
        """The state as PyTorch lays it out: a tensor of uint8 and shape (5056,)."""
        return self._as_tensor(self.state_bytes())

    def set_state(self, new_state: Any) -> None:
        """Continues from a state of `get_state`. Raises TypeError for no uint8 tensor, RuntimeError for an impossible state."""
        self.set_state_bytes(self._as_array(new_state))

    def state_bytes(self) -> np.ndarray:
        """The state as an array."""
        with self._lock:
            state = self._engine.get_state(legacy=False)["state"]
            position = int(state["pos"])
            left = _WORDS + 1 - position
            position = self._start if position == _WORDS and self._start is not None else position
            normal, float_normal = self.spare_normal, self._next_float_normal
            data = _STATE.pack(
                self._seed, left, 1, position, state["key"].astype("<u8").tobytes(), 0.0, normal or 0.0, 0.0,
                normal is not None, float_normal or 0.0, float_normal is not None,
            )  # fmt: skip
        return np.frombuffer(data, np.uint8).copy()

    def set_state_bytes(self, new_state: np.ndarray) -> None:
        """Continues from a state given as an array. Raises as `set_state`."""
        if new_state.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if not new_state.flags.c_contiguous:
            raise RuntimeError("RNG state must be contiguous")
        if new_state.size != STATE_SIZE:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_SIZE} but found the input RNG state size to be "
                f"{new_state.size}"
            )
        unpacked = _STATE.unpack(new_state.tobytes())
        seed, left, seeded, position, words, _, normal, _, has_normal, float_normal, has_float_normal = unpacked
        consistent = left == 1 or left + position == _WORDS + 1
        if not (seeded and 0 < left <= _WORDS and position <= _WORDS and consistent):
            raise RuntimeError("Invalid mt19937 state")
        key = np.frombuffer(words, "<u8").astype(_U32)
        read = _WORDS if left == 1 else position
        with self._lock:
            self._engine.set_state({"bit_generator": "MT19937", "state": {"key": key, "pos": read}})
            self._seed = seed
            self.epoch += 1
            self._forks = 0
            self._start = position if left == 1 else None
            self.spare_normal = normal if has_normal else None
            self._next_float_normal = float_normal if has_float_normal else None

    def clone_state(self) -> "Generator":
        """A new generator that continues from the same state."""
        clone = Generator(self._device)
        clone.set_state_bytes(self.state_bytes())
        return clone

    def get_offset(self) -> int:
        """Raises RuntimeError: only accelerator generators have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> None:
        """Raises RuntimeError: only accelerator generators have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    def __getstate__(self) -> tuple[int, None, Any]:  # as PyTorch's pickles have it
        return self._seed, None, self.get_state()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        Generator.__init__(self)
        if isinstance(state[-1], np.ndarray):  # of a pickle of ours before there were tensors in it
            self.set_state_bytes(state[-1])
        else:
            self.set_state(state[-1])

    # ---- raw words

    def _words32(self, n: int) -> np.ndarray:
        if n:
            self._start = None
        return self._engine.randint(0, 2**32, n, dtype=_U32)

    def _words64(self, n: int) -> np.ndarray:
        """64-bit words, the high half drawn first."""
        words = self._words32(2 * n).astype("<u4", copy=False).view("<u8").astype(_U64, copy=False)
        high = words << _U64(32)
        words >>= _U64(32)
        words |= high
        return words

    def _uniform32(self, n: int) -> np.ndarray:
        words = self._words32(n)
        words &= _U32(2**24 - 1)
        out = words.astype(_F32)
        out *= _F32(2.0**-24)
        return out

    def _uniform64(self, n: int) -> np.ndarray:
        words = self._words64(n)
        words &= _U64(2**53 - 1)
        out = words.astype(_F64)
        out *= 2.0**-53
        return out

    # ---- continuous distributions

    def rand(self, shape: Shape, dtype: DTypeLike = _F32) -> np.ndarray:
        """Uniform on [0, 1): `torch.rand`. Raises NotImplementedError for a dtype that is not floating or complex."""
        return self.uniform(shape, 0.0, 1.0, dtype)

    def uniform(self, shape: Shape, a: float = 0.0, b: float = 1.0, dtype: DTypeLike = _F32) -> np.ndarray:
        """Uniform on [a, b): `Tensor.uniform_`. Raises RuntimeError for bounds reversed or too wide for the dtype."""
        shape, dtype, a, b = bounds.sizes_of(shape), np.dtype(dtype), float(a), float(b)
        if dtype.kind == "c":
            return self.uniform((*shape, 2), a, b, bounds.real_part(dtype)).view(dtype)[..., 0]
        bounds.require_float(dtype, "check_uniform_bounds")
        bounds.check_uniform(a, b, dtype)
        n = math.prod(shape)
        with self._lock:
            u = self._uniform64(n) if dtype == _F64 else self._uniform32(n)
        if (a, b) != (0.0, 1.0):
            if dtype == _F64:
                u = fma64(u, b - a, a)
            else:
                low, high = _F32(a), _F32(b)
                u = fma32(u, float(high - low), float(low))
        elif dtype in (_F32, _F64):
            return u.reshape(shape)
        out = u.astype(dtype, copy=False)
        np.copyto(out, np.array(a, dtype), where=out == np.array(b, dtype))  # rounding up may reach b
        return out.reshape(shape)

    def normal(
        self,
        shape: Shape | None = None,
        mean: float | np.ndarray = 0.0,
        std: float | np.ndarray = 1.0,
        dtype: DTypeLike | None = None,
        *,
        contiguous: bool = True,
    ) -> np.ndarray:
        """Normal numbers: `torch.randn`, `Tensor.normal_` and, where mean or std is an array, `torch.normal`.

        With array arguments the shape defaults to their broadcast shape and the dtype to that of `mean` (else of
        `std`); without, the dtype defaults to float32. `contiguous=False` gives what `normal_` writes, in memory
        order, to a tensor that is not contiguous. Raises RuntimeError for a negative std, NotImplementedError for a
        dtype that is not floating or complex.
        """
        arrays = [p for p in (mean, std) if isinstance(p, np.ndarray)]
        if arrays:
            return self._normal_like(shape, mean, std, np.dtype(dtype or arrays[0].dtype), contiguous)
        if shape is None:
            raise TypeError("normal: shape is needed where mean and std are numbers")
        shape, dtype, mean, std = bounds.sizes_of(shape), np.dtype(dtype or _F32), float(mean), float(std)
        if not std >= 0.0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        if dtype.kind == "c":
            parts = self.normal((*shape, 2), mean, std / math.sqrt(2.0), bounds.real_part(dtype), contiguous=contiguous)
            return parts.view(dtype)[..., 0]
        n = math.prod(shape)
        if n == 0:
            return np.empty(shape, dtype)
        bounds.require_float(dtype, "normal_kernel_cpu")
        with self._lock:
            if n < 16 or not contiguous:
                values = fma64(self._normal_pairs(n, dtype == _F64), std, mean)
                return bounds.cast(values, dtype).reshape(shape)
            draw = self._uniform64 if dtype == _F64 else self._uniform32
            # a tail redraws the last 16; the 16-bit floats skip the draws that a wider tensor makes and overwrites
            u = draw(n - n % 16 if dtype.itemsize == 2 else n)
            tail = draw(16) if n % 16 else u[:0]
        values = normal_blocks(np.concatenate([u[: n - n % 16], tail]), mean, std)
        if n % 16:
            values = np.concatenate([values[: n - 16], values[-16:]])
        return values.astype(dtype, copy=False).reshape(shape)

    def _normal_like(
        self, shape: Shape | None, mean: float | np.ndarray, std: float | np.ndarray, dtype: np.dtype, contiguous: bool
    ) -> np.ndarray:
        try:
            common = np.broadcast_shapes(
                np.shape(mean), np.shape(std), *([bounds.sizes_of(shape)] if shape is not None else [])
            )
        except ValueError:
            raise RuntimeError(
                f"normal: mean of shape {list(np.shape(mean))}, std of shape {list(np.shape(std))} and size "
                f"{shape} do not broadcast"
            ) from None
        if isinstance(std, np.ndarray):
            if std.dtype.kind == "c":
                raise RuntimeError("normal expects standard deviation to be non-complex")
            if std.size and not std.min() >= 0:
                raise RuntimeError("normal expects all elements of std >= 0.0")
            out = self.normal(common, 0.0, 1.0, dtype, contiguous=contiguous)
            out = (out * std).astype(dtype, copy=False)
        else:
            out = self.normal(common, 0.0, std, dtype, contiguous=contiguous)
        return (out + (mean if isinstance(mean, np.ndarray) else dtype.type(mean))).astype(dtype, copy=False)

    def _normal_pairs(self, n: int, exact: bool) -> np.ndarray:
        """Standard normals by Box-Muller in float64, two at a time; the spare one waits for the next call."""
        out = np.empty(n, _F64)
        done = 0
        if n and self.spare_normal is not None:
            out[0], self.spare_normal, done = self.spare_normal, None, 1
        pairs = (n - done + 1) // 2
        if pairs == 0:
            return out
        u = self._uniform64(2 * pairs)
        exact = exact or n <= 64
        radius = np.sqrt(-2.0 * libm(math.log1p, np.log1p, -u[1::2], exact))
        theta = (2.0 * math.pi) * u[0::2]
        sine = radius * libm(math.sin, np.sin, theta, exact)
        out[done::2] = radius * libm(math.cos, np.cos, theta, exact)
        if (n - done) % 2:
            spare = math.sqrt(-2.0 * math.log1p(-u[-1])) * math.sin(
                theta[-1]
            )  # exchanged with PyTorch: every bit counts
            self.spare_normal, sine = spare, sine[:-1]
        out[done + 1 :: 2] = sine
        return out

    def log_normal(self, shape: Shape, mean: float = 1.0, std: float = 2.0, dtype: DTypeLike = _F32) -> np.ndarray:
        """Normal numbers, exponentiated: `Tensor.log_normal_`. Raises RuntimeError unless std > 0."""
        shape, dtype, mean, std = bounds.sizes_of(shape), np.dtype(dtype), float(mean), float(std)
        if not std > 0.0:
            raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
        n, exact = math.prod(shape), dtype == _F64
        if n == 0:
            return np.empty(shape, dtype)
        bounds.require_float(dtype, "log_normal_cpu")
        with self._lock:
            values = fma64(self._normal_pairs(n, exact), std, mean)
        return bounds.cast(libm(math.exp, np.exp, values, exact), dtype).reshape(shape)

    def exponential(self, shape: Shape, lambd: float = 1.0, dtype: DTypeLike = _F32) -> np.ndarray:
        """Exponential with rate lambd: `Tensor.exponential_`. Raises RuntimeError unless lambd > 0, dtype floating."""
        shape, dtype, lambd = bounds.sizes_of(shape), np.dtype(dtype), float(lambd)
        if not lambd > 0.0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
        n = math.prod(shape)
        if n and bounds.digits_of(dtype) is None:
            raise RuntimeError(
                "Exponential distribution is a continuous probability distribution. dtype must be a floating point but "
                f"you specified {bounds.describe(dtype)[0]}"
            )
        with self._lock:
            u = self._uniform64(n)
        values = (-1.0 / lambd) * libm(math.log1p, np.log1p, -u, dtype == _F64)
        return bounds.cast(values, dtype).reshape(shape)

    def cauchy(self, shape: Shape, median: float = 0.0, sigma: float = 1.0, dtype: DTypeLike = _F32) -> np.ndarray:
        """Cauchy numbers: `Tensor.cauchy_`. Raises RuntimeError unless sigma > 0 and the dtype is floating."""
        shape, dtype, median, sigma = bounds.sizes_of(shape), np.dtype(dtype), float(median), float(sigma)
        if not sigma > 0.0:
            raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
        if bounds.digits_of(dtype) is None:
            raise RuntimeError(
                "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you "
                f"specified {bounds.describe(dtype)[1]}"
            )
        with self._lock:
            u = self._uniform64(math.prod(shape))
        values = libm(math.tan, np.tan, math.pi * (u - 0.5), dtype == _F64)
        with np.errstate(over="ignore"):
            return bounds.cast(fma64(values, sigma, median), dtype).reshape(shape)

    # ---- discrete distributions

    def geometric(self, shape: Shape, p: float, dtype: DTypeLike = _F32) -> np.ndarray:
        """Trials up to the first success: `Tensor.geometric_`. Raises RuntimeError unless 0 < p < 1."""
        shape, dtype, p = bounds.sizes_of(shape), np.dtype(dtype), float(p)
        if not 0.0 < p < 1.0:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
        n = math.prod(shape)
        if n:
            bounds.require_real(dtype, "geometric_cpu", no_bool=True)
        with self._lock:
            u = self._uniform64(n)
        with np.errstate(all="ignore"):
            return bounds.cast(np.ceil(libm(math.log, np.log, u, dtype == _F64) / math.log1p(-p)), dtype).reshape(shape)

    def bernoulli(
        self, p: float | np.ndarray, shape: Shape | None = None, dtype: DTypeLike | None = None
    ) -> np.ndarray:
        """Ones with probability p, else zeros: `Tensor.bernoulli_`; `torch.bernoulli` for an array without shape.

        One number draws 53 bits an element; an array draws 24, or 53 where it is float64. Raises RuntimeError for a p
        outside [0, 1] or an array that does not broadcast to the shape.
        """
        if not isinstance(p, np.ndarray):
            if shape is None:
                raise TypeError("bernoulli: shape is needed where p is a number")
            shape, dtype, p = bounds.sizes_of(shape), np.dtype(dtype or _F32), float(p)
            if not 0.0 <= p <= 1.0:
                raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
            n = math.prod(shape)
            if n:
                bounds.require_real(dtype, "bernoulli_scalar_cpu_")
            with self._lock:
                words = self._words64(n)
            words &= _U64(2**53 - 1)
            return (words < _U64(math.ceil(p * 2.0**53))).astype(dtype).reshape(shape)
        shape, dtype = p.shape if shape is None else bounds.sizes_of(shape), np.dtype(dtype or p.dtype)
        n = math.prod(shape)
        if n == 0:
            return np.empty(shape, dtype)
        bounds.require_real(dtype, "bernoulli_tensor_cpu_self_")
        bounds.require_float(p.dtype, "bernoulli_tensor_cpu_p_")
        if not bool(((p >= 0) & (p <= 1)).all()):
            raise RuntimeError("bernoulli: expected p_in >= 0 && p_in <= 1 for every element of p, but got false")
        try:
            p = np.broadcast_to(p, shape)
        except ValueError:
            raise RuntimeError(
                f"bernoulli: the expanded size {list(shape)} must match the existing size {list(p.shape)} of p at "
                "non-singleton dimensions"
            ) from None
        with self._lock:
            u = self._uniform64(n) if p.dtype == _F64 else self._uniform32(n)
        return (u.reshape(shape) < p.astype(u.dtype, copy=False)).astype(dtype)

    def randint(self, low: int, high: int, shape: Shape, dtype: DTypeLike = np.int64) -> np.ndarray:
        """Integers of [low, high): `torch.randint`. Raises RuntimeError unless low < high and the dtype holds both."""
        return self.random(shape, dtype, low, high)

    def random(
        self, shape: Shape, dtype: DTypeLike = _F32, low: int | None = None, high: int | None = None
    ) -> np.ndarray:
        """Integers of [low, high) in any real dtype: `Tensor.random_`.

        Without bounds [0, largest integer of the dtype], for floats [0, 2**significand bits]; without `high` up to that
        same end. Raises RuntimeError for an empty range or bounds that the dtype cannot hold; warns where it cannot
        hold all between.
        """
        shape, dtype = bounds.sizes_of(shape), np.dtype(dtype)
        n = math.prod(shape)
        if low is None and high is None:
            return self._random_all(shape, dtype)
        low = 0 if low is None else operator.index(low)
        if high is None and low == _INT64_MIN:
            return self._random_full(shape, dtype)
        low, last = bounds.integer_range(low, high, dtype)
        size = last - low + 1
        with self._lock:
            if size >= 2**28:  # PyTorch bounds the bias of the remainder this way
                values = self._words64(n)
                values %= _U64(size)
            else:
                values = (self._words32(n) % _U32(size)).astype(_U64)
        values = values.view(np.int64)
        values += np.int64(low)
        return bounds.cast(values, dtype).reshape(shape)

    def _random_all(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        n, digits = math.prod(shape), bounds.digits_of(dtype)
        if n == 0:
            return np.empty(shape, dtype)
        bounds.require_real(dtype, "random_kernel_cpu")
        size = 2**digits + 1 if digits else 2 if dtype.kind == "b" else int(np.iinfo(dtype).max) + 1
        with self._lock:
            if dtype.itemsize == 8:
                values = self._words64(n) % _U64(size)
            else:
                values = (self._words32(n) % _U32(size)).astype(_U64)
        return bounds.cast(values.view(np.int64), dtype).reshape(shape)

    def _random_full(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        n = math.prod(shape)
        if n == 0:
            return np.empty(shape, dtype)
        kernel = "random_full_64_bits_range_kernel_cpu"
        if dtype in (np.dtype(np.bool_), bounds.HALF):
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{bounds.describe(dtype)[0]}'")
        bounds.require_real(dtype, kernel)
        if dtype != np.int64 and not bounds.digits_of(dtype):
            raise RuntimeError(f"{kernel} handles only int64, double, float and bfloat16")
        with self._lock:
            words = self._words64(n)
        return bounds.cast(words.view(np.int64), dtype).reshape(shape)

    def randperm(self, n: int, dtype: DTypeLike = np.int64) -> np.ndarray:
        """A permutation of 0..n-1: `torch.randperm`. Raises RuntimeError for n negative or too large for the dtype."""
        n, dtype = operator.index(n), np.dtype(dtype)
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
        bounds.check_randperm(n, dtype)
        bounds.require_real(dtype, "randperm", no_bool=True)
        if n >= _RANDPERM_LARGE:
            return bounds.cast(self._randperm_large(n), dtype)
        steps = max(n - 1, 0)
        with self._lock:
            words = self._words32(steps)
        first = np.arange(steps, dtype=_U32)
        words %= _U32(n) - first
        words += first
        # each swap depends on those before it: Python integers in a list are the fastest place for that
        items = list(range(n))
        for i, j in enumerate(words.tolist()):
            items[i], items[j] = items[j], items[i]
        return bounds.cast(np.array(items, np.int64), dtype)

    def _randperm_large(self, n: int) -> np.ndarray:
        """The inside-out shuffle that PyTorch takes where remainders of 32 bits would be skewed; a minute or more."""
        out = np.arange(n)
        items, chunk = out.data, 1 << 20
        with self._lock:
            for start in range(0, n, chunk):
                count = np.arange(start + 1, min(start + chunk, n) + 1, dtype=_U64)
                for i, j in enumerate((self._words64(len(count)) % count).tolist(), start):
                    items[i] = items[j]
                    items[j] = i
        return out

    def multinomial(
        self, probs: np.ndarray, num_samples: int, replacement: bool = False, by_columns: bool = False
    ) -> np.ndarray:
        """Indices drawn with unnormalised probabilities, (m,) or (n, m) -> int64 (num_samples,) or (n, num_samples).

        `torch.multinomial`. Without replacement, categories of zero probability come last, in an unspecified order.
        ``by_columns`` says that in memory the columns follow each other, which is the order of the draws.
        Raises RuntimeError for other shapes, a dtype that is not floating, too many samples, or rows that are no
        distribution.
        """
        if bounds.digits_of(probs.dtype) is None:
            raise RuntimeError(
                f"multinomial only supports floating-point dtypes for input, got: {bounds.describe(probs.dtype)[0]}"
            )
        num_samples = operator.index(num_samples)
        if probs.ndim not in (1, 2):
            raise RuntimeError("prob_dist must be 1 or 2 dim")
        if num_samples <= 0:
            raise RuntimeError("cannot sample n_sample <= 0 samples")
        if not replacement and num_samples > probs.shape[-1]:
            raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
        shape = (*probs.shape[:-1], num_samples)
        if math.prod(shape) == 0:
            return np.empty(shape, np.int64)
        if replacement and num_samples > 1:
            return self._multinomial_replacement(np.atleast_2d(probs), num_samples).reshape(shape)
        if not bool(((probs >= 0) & np.isfinite(probs)).all()):
            raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
        if not bool(probs.any(-1).all()):
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        with np.errstate(all="ignore"):
            shape = probs.shape[::-1] if by_columns else probs.shape
            drawn = self.exponential(shape, 1.0, probs.dtype)
            keys = probs / (drawn.T if by_columns else drawn)
        if num_samples == 1:
            return np.argmax(keys, -1, keepdims=True)
        return np.argsort(-keys, -1, kind="stable")[..., :num_samples]

    def _multinomial_replacement(self, probs: np.ndarray, num_samples: int) -> np.ndarray:
        if not bool((probs >= 0).all()):
            raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
        if not bool(np.isfinite(probs).all()):
            raise RuntimeError("invalid multinomial distribution (encountering probability entry = infinity or NaN)")
        if probs.shape[-1] == 0 or not bool(probs.any(-1).all()):
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        cumulative = np.cumsum(probs.astype(_F64 if probs.dtype == _F64 else _F32, copy=False), axis=-1)
        cumulative /= cumulative[:, -1:].copy()
        cumulative[:, -1] = 1
        with self._lock:
            u = self._uniform64(len(probs) * num_samples).reshape(len(probs), num_samples)
        return np.stack([np.searchsorted(c, row) for c, row in zip(cumulative.astype(_F64), u, strict=True)])


default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Restarts the default generator from `int(seed)` and returns it: `torch.manual_seed`."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Restarts the default generator from a random seed and returns the seed: `torch.seed`."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator started from: `torch.initial_seed`."""
    return default_generator.initial_seed()

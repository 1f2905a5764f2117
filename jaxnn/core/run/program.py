"""Programs: a path compiled by XLA, with the inputs that it may destroy and the tape that it leaves."""

from __future__ import annotations

import contextlib
import functools
import os
from array import array
from typing import Any

import jax
import numpy as np
from jax import lax

from ..kinds.device import put
from ..process.config import x64
from .duplication import Settling, worth
from .interpret import Tracing, interpret
from .layout import Layout

__all__ = ["Program", "device_context", "on_device"]

#: How much LLVM is to optimize a program for a CPU. XLA's own choice is 3: ResNet-18 compiles for 30 s of processor instead of 28 (on a
#: slow machine), a network of inverted residuals for 38 instead of 26, and neither runs a step in less time.
_LEVEL = "xla_backend_optimization_level"
_OPTIONS: Any = None if _LEVEL in os.environ.get("XLA_FLAGS", "") else {_LEVEL: 2}


def _unpacked(packed: Any) -> list[Any]:
    """Packed Python numbers as 0-d arrays, each taken out once."""
    count = packed.shape[0]
    parts = lax.split(packed, [1] * count) if count > 1 else [packed]
    return [lax.reshape(part, ()) for part in parts]


class Program:
    """A compiled path: which results it returns, which inputs it may destroy, and the tape that it leaves."""

    __slots__ = (
        "_last",
        "call",
        "calls_back",
        "device",
        "donated",
        "guess",
        "kept",
        "numbers",
        "one",
        "size",
        "sources",
        "spread",
        "tape",
        "tape_key",
        "wanted",
    )

    def __init__(
        self,
        layout: Layout,
        rec: Any,
        wanted: tuple[int, ...],
        taped: frozenset[int],
        donate: frozenset[int],
        pinned: dict[int, Any],
    ) -> None:
        self.wanted = wanted
        self._last: tuple[Any, Any] = (None, None)  # the numbers of the last run, and where they repeat their arrays
        count = len(rec.leaves)
        self.donated = tuple(s for s in range(count) if s in donate)
        self.kept = tuple(s for s in range(count) if s not in donate)
        self.tape = layout.tape
        self.tape_key = taped
        self.spread: Any = None  # how its inputs are spread over several devices
        self.guess: Any = None  # on which it was compiled, until it is used again
        #: For each wanted result: None, or ("input", slot) / ("output", k) when it is that very array.
        self.sources: list[Any] = []

        def run(donated: list[Any], kept: list[Any], numbers: list[Any]) -> Any:
            leaves: list[Any] = [None] * count
            for slot, value in zip(self.donated, donated, strict=True):
                leaves[slot] = value
            for slot, value in zip(self.kept, kept, strict=True):
                leaves[slot] = value
            given = iter(numbers)
            scalars = {
                kind: _unpacked(next(given)) if held else []
                for kind, held in zip((float, int, complex), self.numbers, strict=True)
            }
            way = Tracing if self.one is None else Settling(next(given))
            env, residuals, _ = interpret(layout, leaves, scalars, way)
            extra = [residuals[start][k] for start, k in layout.extras]
            slots = {id(leaf): ("input", slot) for slot, leaf in enumerate(leaves)}
            outputs: list[Any] = []
            self.sources = []
            for place in wanted:
                value = env[place]
                source = slots.get(id(value))
                if source is None:
                    slots[id(value)] = ("output", len(outputs))
                    outputs.append(value)
                    self.sources.append(None)
                else:
                    self.sources.append(source)
            return outputs, extra

        #: Whether it calls Python, whose error may come when it has returned.
        self.calls_back = any(node.instance is not None and node.instance.forward.calls_back for node in layout.path)
        #: The number that settles chains of operators, where the program may have any.
        on_host = isinstance(rec.placement, jax.Device) and rec.placement.platform == "cpu"
        self.one = np.ones((), np.float32) if on_host and worth(layout) else None
        #: Which kinds of Python numbers the program takes.
        self.numbers = (bool(rec.floats), bool(rec.ints), bool(rec.complexes))
        #: Where inputs that nobody has placed belong, if JAX would put them elsewhere.
        self.device = device_context(rec.placement)
        jit = functools.partial(jax.jit, donate_argnums=(0,), compiler_options=_OPTIONS if on_host else None)
        with x64(True), on_device(self.device):
            jitted = jit(run)
            traced = jitted.trace(*self._arguments(rec))
            returned = {s[1] for s in self.sources if s is not None and s[0] == "input"}
            if returned & set(self.donated):  # an input that is also a result must stay
                self.donated = tuple(s for s in self.donated if s not in returned)
                self.kept = tuple(s for s in range(count) if s not in self.donated)
                jitted = jit(lambda *args: run(*args))
                traced = jitted.trace(*self._arguments(rec))
            if pinned:
                shardings = self._shardings(pinned, traced)
                jitted = jit(run, out_shardings=shardings)
                traced = jitted.trace(*self._arguments(rec))
            needed = traced.lower().compile().memory_analysis()
        # Called through jit, which finds what was just compiled and dispatches faster than the compiled object.
        self.call = jitted
        #: Bytes that a run allocates: results that take the memory of donated inputs are none.
        self.size = 0 if needed is None else (
            needed.temp_size_in_bytes + needed.output_size_in_bytes - needed.alias_size_in_bytes
        )  # fmt: skip

    def _arguments(self, rec: Any) -> Any:
        arrays = [b.array for b in rec.leaves]
        return [arrays[s] for s in self.donated], [arrays[s] for s in self.kept], self.packed(rec)

    def packed(self, rec: Any) -> list[Any]:
        """The Python numbers of a recording, those kinds that the program takes; on the device if the last were the same."""
        # Bytes: as numbers 0. and -0. would be the same, and NaN not even itself.
        content = array("d", rec.floats).tobytes(), array("q", rec.ints).tobytes(), repr(rec.complexes)
        last, placed = self._last
        if last == content and placed is not None:
            return placed
        kinds = ((rec.floats, np.float64), (rec.ints, np.int64), (rec.complexes, np.complex128))
        made: list[Any] = [np.array(v, kind) for (v, kind), takes in zip(kinds, self.numbers, strict=True) if takes]
        if self.one is not None:
            made.append(self.one)
        if last != content or not isinstance(rec.placement, jax.Device):
            self._last = content, None
            return made
        with x64(True):
            placed = [put(a, rec.placement, beside=True) for a in made]
        self._last = content, placed
        return placed

    def _shardings(self, pinned: dict[int, Any], traced: Any) -> Any:
        """Updated storages keep their sharding; the compiler is free with the rest."""
        outputs = [pinned.get(p) for p, s in zip(self.wanted, self.sources, strict=True) if s is None]
        extra = len(jax.tree.leaves(traced.out_info)) - len(outputs)
        return outputs, [None] * extra


def device_context(placement: Any) -> Any:
    """The device to make JAX's default while a placement's operators run, or None where it is that already."""
    return placement if isinstance(placement, jax.Device) and placement != jax.local_devices()[0] else None


def on_device(device: Any) -> Any:
    """A context with another default device, if one is given."""
    return contextlib.nullcontext() if device is None else jax.default_device(device)

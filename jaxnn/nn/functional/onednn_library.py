"""oneDNN's convolutions, prepared and run: the library that PyTorch computes convolutions with on a CPU, called through its C interface.

It comes with the package `onednn-cpu-gomp` (the extra `jaxnn-torch[onednn]`), needs no compiler, and is loaded when it is first asked for.

Source: https://uxlfoundation.github.io/oneDNN/ (convolution, reorder, scratchpad)
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import threading
from collections.abc import Sequence
from ctypes import byref, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np

PACKAGE = "onednn-cpu-gomp"
FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = range(3)

# Constants of its interface, the same in all of version 3.
_CPU, _IN_ORDER, _FLOAT32, _ANY_LAYOUT, _TRAINING, _DIRECT, _USER_SCRATCHPAD = 1, 1, 3, 1, 64, 1, 1
_SCRATCHPAD, _FROM, _TO, _SCRATCHPAD_LAYOUT = 80, 1, 17, 136
# Arguments of a primitive with the questions for their layouts: the two operands and the result of each kind.
_SOURCE, _WEIGHT, _RESULT = (1, 129), (33, 131), (17, 133)
_OF_SOURCE, _OF_WEIGHT, _OF_RESULT = (129, 130), (161, 132), (145, 134)
_PLACES = ((_SOURCE, _WEIGHT, _RESULT), (_OF_RESULT, _WEIGHT, _OF_SOURCE), (_SOURCE, _OF_RESULT, _OF_WEIGHT))
_PAGE = 4096


class Unsupported(RuntimeError):
    """oneDNN refuses such a convolution."""


class _Argument(ctypes.Structure):
    _fields_ = [("place", c_int), ("memory", c_void_p)]


class _Library:
    """The loaded library, one engine and one stream."""

    def __init__(self) -> None:
        path = _path()
        # Threads that wait by spinning would take the cores from XLA's own. What is set already counts.
        quiet = "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ
        if quiet:
            os.environ["GOMP_SPINCOUNT"] = "0"
        try:
            # PyDLL keeps Python's lock: right for what takes a microsecond, not for the work itself.
            self.short, self.long = ctypes.PyDLL(path), ctypes.CDLL(path)
        finally:
            if quiet:
                del os.environ["GOMP_SPINCOUNT"]
        self.execute, self.set_data = self.long.dnnl_primitive_execute, self.short.dnnl_memory_set_data_handle
        self.execute.argtypes = [c_void_p, c_void_p, c_int, c_void_p]
        self.set_data.argtypes = [c_void_p, c_void_p]
        self.short.dnnl_primitive_desc_query_md.restype = c_void_p
        self.short.dnnl_memory_desc_get_size.restype = c_size_t
        self.engine = self.make("dnnl_engine_create", c_int(_CPU), c_size_t(0))
        self.stream = self.make("dnnl_stream_create", self.engine, c_int(_IN_ORDER))

    def make(self, function: str, *arguments: Any) -> c_void_p:
        """The object that `function` makes."""
        made = c_void_p()
        status = getattr(self.short, function)(byref(made), *arguments)
        if status:
            raise Unsupported(f"{function} returned {status}")
        return made

    def drop(self, kind: str, made: c_void_p) -> None:
        """Give back an object of that kind."""
        getattr(self.short, f"dnnl_{kind}_destroy")(made)


def _path() -> str:
    for file in importlib.metadata.files(PACKAGE) or ():
        if file.name == "libdnnl.so.3":
            return str(file.locate())
    raise FileNotFoundError(f"{PACKAGE} holds no libdnnl.so.3")


@functools.cache
def load() -> _Library | str:
    """The library, or why there is none."""
    try:
        return _Library()
    except importlib.metadata.PackageNotFoundError:
        return f"the package {PACKAGE} is not installed (pip install 'jaxnn-torch[onednn]')"
    except (OSError, AttributeError, Unsupported) as error:
        return str(error)


class _Workspace:
    """Memory for operands in oneDNN's own layouts, shared by all convolutions: they run one at a time, on all cores."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.buffer = np.empty(0, np.uint8)

    def start(self, size: int) -> int:
        """The address of that many bytes."""
        if len(self.buffer) < size + _PAGE:
            self.buffer = np.empty(size + _PAGE, np.uint8)
        return -(-self.buffer.ctypes.data // _PAGE) * _PAGE


_workspace = _Workspace()


def _integers(values: Sequence[int]) -> Any:
    return (c_int64 * len(values))(*values)


class Convolution:
    """One kind of convolution of two-dimensional float32 operands in PyTorch's layout, ready to run.

    oneDNN chooses the layouts that it is fastest in, and the operands are brought there and the result back.
    """

    def __init__(
        self, kind: int, source: Sequence[int], weight: Sequence[int], result: Sequence[int],
        stride: Sequence[int], padding: Sequence[tuple[int, int]], dilation: Sequence[int], groups: int,
    ) -> None:  # fmt: skip
        library = load()
        if isinstance(library, str):
            raise Unsupported(library)
        self._library = library
        self._made: list[tuple[str, c_void_p]] = []
        self._steps: list[tuple[c_void_p, int, Any]] = []
        self._temporary: list[tuple[c_void_p, int]] = []  # with their places in the workspace
        self._size, self._start = 0, 0
        if groups > 1:
            weight = (groups, weight[0] // groups, *weight[1:])
        self._attributes = self._make("primitive_attr", "dnnl_primitive_attr_create")
        library.short.dnnl_primitive_attr_set_scratchpad_mode(self._attributes, c_int(_USER_SCRATCHPAD))
        description = self._describe(kind, (source, weight, result), stride, padding, dilation)
        shapes = ((source, weight, result), (result, weight, source), (source, result, weight))[kind]
        places = _PLACES[kind]
        primitive = self._make("primitive", "dnnl_primitive_create", description)
        arguments = []
        self._operands: list[c_void_p] = []
        for shape, (place, question) in zip(shapes[:2], places[:2], strict=True):
            given, wanted = self._plain(shape), self._asked(description, question)
            memory = self._memory(given)
            self._operands.append(memory)
            if not library.short.dnnl_memory_desc_equal(given, wanted):
                memory = self._reordered(given, wanted, memory, self._temporary_of(wanted))
            arguments.append((place, memory))
        place, question = places[2]
        given, made = self._plain(shapes[2]), self._asked(description, question)
        self._result = memory = self._memory(given)
        direct = library.short.dnnl_memory_desc_equal(given, made)
        if not direct:
            memory = self._temporary_of(made)
        self._step(primitive, [*arguments, (place, memory)], description)
        if not direct:
            self._reordered(made, given, memory, self._result)

    def _make(self, kind: str, function: str, *arguments: Any) -> c_void_p:
        made = self._library.make(function, *arguments)
        self._made.append((kind, made))
        return made

    def _describe(
        self, kind: int, shapes: Sequence[Sequence[int]],
        stride: Sequence[int], padding: Sequence[tuple[int, int]], dilation: Sequence[int],
    ) -> c_void_p:  # fmt: skip
        """The description of the primitive, which also says what layouts it wants."""
        source, weight, result = (
            self._make(
                "memory_desc", "dnnl_memory_desc_create_with_tag", c_int(len(s)), _integers(s), c_int(_FLOAT32), c_int(_ANY_LAYOUT)
            )
            for s in shapes
        )
        low, high = zip(*padding, strict=True)
        windows = [_integers(v) for v in (stride, [d - 1 for d in dilation], low, high)]
        engine, attributes = self._library.engine, self._attributes
        forward = self._make(
            "primitive_desc", "dnnl_convolution_forward_primitive_desc_create",
            engine, c_int(_TRAINING), c_int(_DIRECT), source, weight, None, result, *windows, attributes,
        )  # fmt: skip
        if kind == FORWARD:
            return forward
        if kind == INPUT_GRADIENT:
            return self._make(
                "primitive_desc", "dnnl_convolution_backward_data_primitive_desc_create",
                engine, c_int(_DIRECT), source, weight, result, *windows, forward, attributes,
            )  # fmt: skip
        return self._make(
            "primitive_desc", "dnnl_convolution_backward_weights_primitive_desc_create",
            engine, c_int(_DIRECT), source, weight, None, result, *windows, forward, attributes,
        )  # fmt: skip

    def _asked(self, description: c_void_p, question: int) -> c_void_p:
        return c_void_p(self._library.short.dnnl_primitive_desc_query_md(description, c_int(question), c_int(0)))

    def _plain(self, shape: Sequence[int]) -> c_void_p:
        strides = [1]
        for size in reversed(shape[1:]):
            strides.insert(0, strides[0] * size)
        sizes = _integers(shape), c_int(_FLOAT32), _integers(strides)
        return self._make("memory_desc", "dnnl_memory_desc_create_with_strides", c_int(len(shape)), *sizes)

    def _memory(self, layout: c_void_p) -> c_void_p:
        return self._make("memory", "dnnl_memory_create", layout, self._library.engine, None)

    def _temporary_of(self, layout: c_void_p) -> c_void_p:
        memory = self._memory(layout)
        self._temporary.append((memory, self._size))
        size = self._library.short.dnnl_memory_desc_get_size(layout)
        self._size += -(-size // _PAGE) * _PAGE
        return memory

    def _reordered(self, given: c_void_p, wanted: c_void_p, source: c_void_p, target: c_void_p) -> c_void_p:
        engine, function = self._library.engine, "dnnl_reorder_primitive_desc_create"
        description = self._make("primitive_desc", function, given, engine, wanted, engine, self._attributes)
        primitive = self._make("primitive", "dnnl_primitive_create", description)
        self._step(primitive, [(_FROM, source), (_TO, target)], description)
        return target

    def _step(self, primitive: c_void_p, arguments: list[tuple[int, c_void_p]], description: c_void_p) -> None:
        scratchpad = self._asked(description, _SCRATCHPAD_LAYOUT)
        if scratchpad and self._library.short.dnnl_memory_desc_get_size(scratchpad):
            arguments = [*arguments, (_SCRATCHPAD, self._temporary_of(scratchpad))]
        packed = (_Argument * len(arguments))(*(_Argument(place, memory) for place, memory in arguments))
        self._steps.append((primitive, len(arguments), packed))

    def run(self, first: int, second: int, result: int) -> None:
        """Read two operands at these addresses, write the result."""
        library, set_data = self._library, self._library.set_data
        with _workspace.lock:
            start = _workspace.start(self._size)
            if start != self._start:
                for memory, place in self._temporary:
                    set_data(memory, start + place)
                self._start = start
            set_data(self._operands[0], first)
            set_data(self._operands[1], second)
            set_data(self._result, result)
            for primitive, count, arguments in self._steps:
                status = library.execute(primitive, library.stream, count, arguments)
                if status:
                    raise RuntimeError(f"oneDNN's convolution failed with status {status}")

    def __del__(self) -> None:
        for kind, made in reversed(getattr(self, "_made", ())):
            self._library.drop(kind, made)

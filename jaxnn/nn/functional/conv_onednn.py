"""Convolutions by oneDNN inside of XLA's programs on a CPU, where the switch is on and the library is there.

XLA calls a function of Python, made callable from C by ctypes, with the addresses of the operands. Everything about a
convolution stands in the call's one attribute, so that a program from JAX's cache on disk is right in another process.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from ctypes import c_char_p, c_int32, c_uint64, c_void_p

import jax
import numpy as np

from jaxnn.nn.functional import onednn_library as library
from jaxnn.nn.functional.conv_plain import ConvConfig

Array = jax.Array

_TARGET = "jaxnn_onednn_convolution"
# A call costs some 30 microseconds of Python: fewer multiplications than these are done sooner by XLA.
LEAST_WORK = 2**20
# The input gradient for fewer channels than this is made in blocks of that many, mostly of zeros.
_BLOCK = 8
# More configurations than this are prepared anew when they come back.
_KEPT = 512

# Where XLA's structures hold what is read here, in words of eight bytes (xla/ffi/api/c_api.h).
_EXTENSION, _API, _OPERANDS, _RESULTS, _ATTRIBUTES, _FRAME_WORDS = 1, 2, 9, 14, 20, 22
_DATA, _API_MINOR_BYTE, _ERROR_CREATE = 3, 36, 6
_METADATA_OF_EXTENSION, _METADATA_VERSION_BYTE = 3, 24
_KNOWN_MINOR, _INTERNAL_ERROR = 3, 13

_Frame = c_uint64 * _FRAME_WORDS


def _word(address: int, index: int = 0) -> int:
    return c_uint64.from_address(address + 8 * index).value


@functools.lru_cache(_KEPT)
def _prepared(key: bytes) -> library.Convolution:
    """The convolution that an attribute describes."""
    kind, *v = (int(n) for n in np.frombuffer(key, np.int64))
    padding = ((v[14], v[15]), (v[16], v[17]))
    return library.Convolution(kind, v[0:4], v[4:8], v[8:12], v[12:14], padding, v[18:20], v[20])


class _ErrorArguments(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("extension", c_void_p), ("message", c_char_p), ("code", ctypes.c_int)]


def _error(api: int, message: str) -> int:
    """XLA's error with this message."""
    create = ctypes.CFUNCTYPE(c_void_p, c_void_p)(_word(api, _ERROR_CREATE))
    arguments = _ErrorArguments(_ErrorArguments.code.offset + 4, None, message.encode(), _INTERNAL_ERROR)
    return create(ctypes.byref(arguments)) or 0


def _answer_metadata(frame: ctypes.Array[c_uint64]) -> None:
    """Tell XLA the version of its interface that is spoken here."""
    minor = c_int32.from_address(frame[_API] + _API_MINOR_BYTE).value
    version = _word(frame[_EXTENSION], _METADATA_OF_EXTENSION) + _METADATA_VERSION_BYTE
    c_int32.from_address(version).value = 0
    c_int32.from_address(version + 4).value = min(minor, _KNOWN_MINOR)


def _handle(address: int) -> int:
    """What XLA calls: 0, or an error of its own kind. An exception that left here would be printed, and the result be garbage."""
    frame = _Frame.from_address(address)
    if frame[_EXTENSION]:
        _answer_metadata(frame)
        return 0
    try:
        operands, attribute = frame[_OPERANDS], _word(frame[_ATTRIBUTES])
        key = ctypes.string_at(_word(attribute, 2), 8 * _word(attribute, 1))
        result = _word(_word(frame[_RESULTS]), _DATA)
        _prepared(key).run(_word(_word(operands), _DATA), _word(_word(operands, 1), _DATA), result)
    except BaseException as error:
        return _error(frame[_API], f"{type(error).__name__}: {error}")
    return 0


_callback = ctypes.CFUNCTYPE(c_void_p, c_void_p)(_handle)


@functools.cache
def why_not() -> str:
    """Why convolutions cannot be computed by oneDNN here; empty where they can."""
    loaded = library.load()
    if isinstance(loaded, str):
        return loaded
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [c_void_p, c_char_p, c_void_p]
    try:
        jax.ffi.register_ffi_target(_TARGET, new(ctypes.cast(_callback, c_void_p), None, None), platform="cpu")
    except Exception as error:  # another version of XLA's interface
        return f"XLA does not take the call: {error}"
    return ""


def _call(
    kind: int, a: Array, b: Array, source: Sequence[int], weight: Sequence[int], result: Sequence[int], cfg: ConvConfig
) -> Array | None:  # fmt: skip
    made = (result, source, weight)[kind]
    if a.dtype != np.float32 or b.dtype != np.float32 or not all((*source, *weight, *result)):
        return None
    pairs = [n for pair in cfg.padding for n in pair]
    if min(pairs) < 0 or math.prod(result) * math.prod(weight[1:]) < LEAST_WORK or why_not():
        return None
    if kind == library.INPUT_GRADIENT:
        skipping = any(k < s for k, s in zip(weight[2:], cfg.stride, strict=True))
        if skipping or weight[1] < min(_BLOCK, weight[0] // cfg.groups):
            return None
    key = np.array([kind, *source, *weight, *result, *cfg.stride, *pairs, *cfg.dilation, cfg.groups], np.int64)
    try:
        _prepared(key.tobytes())
    except library.Unsupported:
        return None
    return jax.ffi.ffi_call(_TARGET, jax.ShapeDtypeStruct(tuple(made), np.float32))(a, b, convolution=key)


def convolve(x: Array, w: Array, cfg: ConvConfig) -> Array | None:
    """The forward convolution, or None where XLA should do it."""
    spatial = (
        (n + lo + hi - d * (k - 1) - 1) // s + 1
        for n, (lo, hi), d, k, s in zip(x.shape[2:], cfg.padding, cfg.dilation, w.shape[2:], cfg.stride, strict=True)
    )
    return _call(library.FORWARD, x, w, x.shape, w.shape, (x.shape[0], w.shape[0], *spatial), cfg)


def input_gradient(g: Array, w: Array, cfg: ConvConfig, shape: tuple[int, ...]) -> Array | None:
    """The gradient of the input, or None."""
    return _call(library.INPUT_GRADIENT, g, w, shape, w.shape, g.shape, cfg)


def weight_gradient(x: Array, g: Array, cfg: ConvConfig, shape: tuple[int, ...]) -> Array | None:
    """The gradient of the weight, or None."""
    return _call(library.WEIGHT_GRADIENT, x, g, x.shape, shape, g.shape, cfg)

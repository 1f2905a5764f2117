"""Tensors as text, character by character as PyTorch prints them.

Source: https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


@dataclasses.dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
#: Asked first how a tensor is printed: functions of it that give text, or None. Filled at import.
forms: list[Callable[[Any], str | None]] = []


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors are printed.

    Args:
        precision: digits after the decimal point.
        threshold: number of elements above which the middle is left out.
        edgeitems: elements kept at each end of each dimension where the middle is left out.
        linewidth: characters in a line.
        profile: 'default', 'short' or 'full', applied before the other options. Any other raises ValueError.
        sci_mode: scientific notation always (True), never (False), or where the values ask for it (None). Unlike the
            other options, None does not keep the present value.
    """
    if profile is not None and profile not in _PROFILES:
        raise ValueError(f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, but got {profile!r}")
    changed = dict(_PROFILES.get(profile or "", {}))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changed.update({name: value for name, value in given.items() if value is not None})
    for name, value in changed.items():
        setattr(_options, name, value)
    _options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The present options, as `set_printoptions` takes them."""
    return dataclasses.asdict(_options)


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """A context with other print options; takes what `set_printoptions` takes."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


# ---- numbers


def _pad(write: Callable[[Any], str], width: int) -> Callable[[Any], str]:
    return lambda value: write(value).rjust(width)


def _float_style(values: np.ndarray) -> tuple[Callable[[float], str], int]:
    """One notation for all values, and its width; nan, inf and zero have no say in either."""
    telling = values[np.isfinite(values) & (values != 0)]
    scientific, width = False, 1
    whole = bool((telling == np.ceil(telling)).all())
    if telling.size:
        sizes = np.abs(telling)
        smallest, largest = float(sizes.min()), float(sizes.max())
        scientific = largest > 1e8 or smallest < 1e-4 or largest / smallest > 1000.0
        if _options.sci_mode is not None:
            scientific = _options.sci_mode
    precision = _options.precision

    def write(value: float) -> str:
        if scientific:
            return f"{value:.{precision}e}"
        if whole:
            return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return f"{value:.{precision}f}"

    width = max((len(write(value)) for value in telling.tolist()), default=width)
    return _pad(write, width), width


def _texts(values: np.ndarray) -> tuple[list[str], int]:
    """The text of each value of a flat array, and the width that lines are laid out by."""
    kind = values.dtype.kind
    if kind == "c":
        (real, real_width), (imag, imag_width) = map(_float_style, (values.real, values.imag))
        texts = []
        for value in values.tolist():
            part = imag(value.imag).lstrip()
            sign = "" if part.startswith("-") else "+"
            texts.append(f"{real(value.real)}{sign}{part}j")
        return texts, real_width + imag_width + 1
    if kind in "iub":
        texts = [str(value) for value in values.tolist()]
        width = max(map(len, texts))
        return [text.rjust(width) for text in texts], width
    values = values.astype(np.float64)  # also the types of ml_dtypes, whose kind numpy does not know
    write, width = _float_style(values)
    return [write(value) for value in values.tolist()], width


# ---- layout


def _nested(texts: list[str], shape: tuple[int, ...], cut: tuple[bool, ...], indent: int, per_line: int) -> str:
    """Brackets and line breaks around texts of the given shape; `cut` says which dimensions lost their middle."""
    if len(shape) == 1:
        if cut[0]:
            edge = len(texts) // 2
            texts = [*texts[:edge], " ...", *texts[edge:]]
        lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    step = math.prod(shape[1:])
    rows = [
        _nested(texts[i * step : (i + 1) * step], shape[1:], cut[1:], indent + 1, per_line) for i in range(shape[0])
    ]
    if cut[0]:
        rows.insert(len(rows) // 2, "...")
    return "[" + ("," + "\n" * (len(shape) - 1) + " " * (indent + 1)).join(rows) + "]"


def _contents(array: np.ndarray, indent: int) -> str:
    if array.size == 0:
        return "[]"
    edge = _options.edgeitems
    summarised = array.size > _options.threshold
    cut = tuple(summarised and size > 2 * edge for size in array.shape)
    if any(cut):
        kept = [
            np.r_[0:edge, size - edge : size] if c else np.arange(size)
            for size, c in zip(array.shape, cut, strict=True)
        ]
        array = array[np.ix_(*kept)]
    if array.size == 0:  # no edges at all
        return "[...]"
    texts, width = _texts(array.reshape(-1))
    if array.ndim == 0:
        return texts[0]
    per_line = max(1, (_options.linewidth - indent - (array.ndim - 1)) // (width + 2))
    return _nested(texts, array.shape, cut, indent, per_line)


def _part_text(array: jax.Array, dtype_name: str, type_name: str) -> str:
    """The repr of a tensor that lies partly on devices of other processes: what it is, and what is here of it."""
    spread = getattr(array.sharding, "spec", array.sharding)
    here = [
        f"[{', '.join(':'.join('' if n is None else str(n) for n in (r.start, r.stop)) for r in s.index)}] is {np.asarray(s.data).tolist()}"
        for s in array.addressable_shards
        if s.data.size <= _options.threshold and s.replica_id == 0
    ]
    known = f"; here {', '.join(here)}" if here else ""
    return f"{type_name}(<in parts on other processes>, size={tuple(array.shape)}, dtype={dtype_name}, {spread}{known})"


def tensor_text(
    array: Any,
    *,
    dtype_name: str,
    requires_grad: bool = False,
    grad_fn: str | None = None,
    device: str | None = None,
    is_parameter: bool = False,
    type_name: str = "tensor",
    default_dtype: str = "torch.float32",
    tangent: object = None,
    indent: int = 0,
) -> str:
    """A tensor's repr.

    Only the corners of an array above the threshold are read. bfloat16 and 8-bit floats arrive as types of ml_dtypes.

    Args:
        array: the values, of any shape.
        dtype_name: such as 'torch.float32'; left out of the text where it follows from the values and `default_dtype`.
        requires_grad: printed unless `grad_fn` is.
        grad_fn: name of the node that made the tensor, such as 'AddmmBackward0', or None.
        device: such as 'cuda:0', or None where it is the default one.
        type_name: the word in front of the bracket: the class of a tensor that is an instance of a subclass.
        is_parameter: puts 'Parameter containing:' and a line break in front.
        default_dtype: name of the default floating dtype.
        tangent: that of a dual number, or None.
        indent: column in which the text starts.
    """
    if isinstance(array, jax.Array) and not array.is_fully_addressable and not array.is_fully_replicated:
        return _part_text(array, dtype_name, type_name)
    array = np.asarray(array)
    prefix = f"{type_name}("
    text = prefix + _contents(array, indent + len(prefix))
    suffixes = [] if device is None else [f"device='{device}'"]
    if array.size == 0:
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        implied = {default_dtype}
    else:
        if not _options.edgeitems:
            suffixes.append(f"size={tuple(array.shape)}")
        default_complex = "torch.complex128" if default_dtype == "torch.float64" else "torch.complex64"
        implied = {default_dtype, default_complex, "torch.int64", "torch.bool"}
    if dtype_name not in implied:
        suffixes.append(f"dtype={dtype_name}")
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")
    text = with_suffixes(text, suffixes, indent, len(prefix))
    return f"Parameter containing:\n{text}" if is_parameter else text


def with_suffixes(text: str, suffixes: list[str], indent: int, hanging: int, newline: bool = False) -> str:
    """Text with what follows the values behind it, in lines that are not too long; ``newline`` begins one."""
    start = text.rfind("\n")
    column = len(text) - start + 1 + (indent if start < 0 else 0)
    for suffix in suffixes:
        if newline or column + len(suffix) + 2 > _options.linewidth:
            newline = False
            text += ",\n" + " " * (indent + hanging) + suffix
            column = indent + hanging + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"


def tensor_format(
    array: np.ndarray, format_spec: str, text: Callable[[], str], *, type_name: str = "Tensor", is_plain: bool = True
) -> str:
    """A tensor's `__format__`.

    Args:
        array: the values. A 0-dim array of a plain tensor is formatted as its Python number.
        format_spec: the part of a replacement field after the colon.
        text: gives the tensor's str, taken for every other tensor with an empty specification.
        type_name: class of the tensor, for the TypeError that every other specification raises.
        is_plain: False for a Parameter or another subclass, which is never formatted as a number.
    """
    if is_plain and array.ndim == 0:
        number = array.item() if array.dtype.kind in "biufc" else float(array)
        return format(number, format_spec)
    if format_spec:
        raise TypeError(f"unsupported format string passed to {type_name}.__format__")
    return text()

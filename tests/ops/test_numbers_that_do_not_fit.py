"""Numbers that a tensor's type can't hold, by every way of writing a number to a tensor."""

import pytest
import torch

import jaxnn

VALUES = (255.5, -0.5, -0.75, 127.5, -128.5, -129.0, 2147483647.5, 1e300, -256, -255, -1, 300, float("nan"), float("inf"), -0.0, -1 + 0j,
          2 + 1j, 65504.0, 1e39)  # fmt: skip
TYPES = ("uint8", "int8", "int32", "bool", "float16", "float32")

WAYS = {
    "a slice": lambda t, x, v: x.__setitem__(slice(None, None, 2), v),
    "an element": lambda t, x, v: x.__setitem__(0, v),
    "a list": lambda t, x, v: x.__setitem__([0, 1], v),
    "a mask": lambda t, x, v: x.__setitem__(x > 1, v),
    "all": lambda t, x, v: x.__setitem__(..., v),
    "fill_": lambda t, x, v: x.fill_(v),
    "scatter_": lambda t, x, v: x.scatter_(0, t.tensor([0]), v),
    "index_fill_": lambda t, x, v: x.index_fill_(0, t.tensor([0]), v),
    "full_like": lambda t, x, v: t.full_like(x, v).tolist(),
    "new_full": lambda t, x, v: x.new_full((2,), v).tolist(),
    "masked_fill_": lambda t, x, v: None if isinstance(v, complex) else x.masked_fill_(x > 1, v),
    "tensor": lambda t, x, v: t.tensor([v], dtype=x.dtype).tolist(),
}


def _done(library, kind, way, value):
    x = library.tensor([1, 2, 3]).to(getattr(library, kind))
    try:
        made = WAYS[way](library, x, value)
    except (RuntimeError, TypeError, ValueError) as error:
        return type(error).__name__
    return repr((made if isinstance(made, list) else None, x.tolist()))


@pytest.mark.parametrize("way", WAYS)
def test_are_refused_where_pytorch_refuses_them(way):
    for kind in TYPES:
        for value in VALUES:
            assert _done(jaxnn, kind, way, value) == _done(torch, kind, way, value), (kind, value)

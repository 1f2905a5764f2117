"""Printed tensors beside PyTorch's, character by character."""

import math
import time

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxnn.core.kinds import printing
from jaxnn.core.kinds.printing import tensor_format, tensor_text

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
INF, NAN = math.inf, math.nan


@pytest.fixture(autouse=True)
def default_options():
    yield
    set_options(profile="default")
    torch.set_default_dtype(torch.float32)


def set_options(**options):
    printing.set_printoptions(**options)
    torch.set_printoptions(**options)


def to_numpy(tensor):
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()


def text_of(tensor, **arguments):
    grad_fn = type(tensor.grad_fn).__name__ if tensor.grad_fn is not None else None
    return tensor_text(
        to_numpy(tensor.detach()),
        dtype_name=str(tensor.dtype),
        requires_grad=tensor.requires_grad,
        grad_fn=grad_fn,
        is_parameter=isinstance(tensor, torch.nn.Parameter),
        default_dtype=str(torch.get_default_dtype()),
        **arguments,
    )


def check(tensor):
    assert text_of(tensor) == repr(tensor)


def cases():
    g = torch.Generator().manual_seed(0)
    randn = lambda *size, **kw: torch.randn(*size, generator=g, **kw)
    yield from (
        torch.tensor(v) for v in (0.0, -0.0, 1.5, 1e-5, 123456789.0, 1e9, 3, -7, True, NAN, INF, -INF, 1 + 2j, 1j)
    )
    yield from (
        torch.tensor(v)
        for v in (
            [],
            [[]],
            [0.0, 0.0],
            [1.0, 2.0, 30.0],
            [1.0, INF],
            [1.0, NAN, -INF],
            [NAN, INF],
            [0.5, INF, -100.25],
            [1e-4, 1.0],
            [0.99e-4, 1.0],
            [1e-3, 1.0],
            [9.99e-4, 1.0],
            [1.0, 1000.0],
            [1.0, 1001.0],
            [1e8],
            [1.0e8 + 8],
            [1.0, 0.0, -0.0],
            [1e-40, 1.0],
            [3e38, -3e38],
            [100000.5],
            [99999999.0, 99998.0],
            [1, -200, 3],
            [True, False],
            [1 + 2j, -1.5 - 0.25j],
            [complex(0.0, -0.0), complex(NAN, INF), complex(-1, NAN), complex(-1, -INF)],
            [1e-9 + 1j, 1e9 + 1e-3j],
        )
    )
    for shape in ((0, 3), (2, 0, 4), (3, 4), (2, 3, 4), (1, 2, 2, 2), (1,), (1, 1, 1), (40,), (3, 40), (2, 2, 30)):
        yield randn(shape)
    for shape in (
        (1001,),
        (1000,),
        (2000, 3),
        (3, 2000),
        (10, 10, 11),
        (30, 7, 7),
        (2, 3, 400),
        (5, 5, 5, 5, 5),
        (2000, 1),
    ):
        yield randn(shape)
        yield torch.randint(-50, 5000, shape, generator=g)
        yield randn(shape, dtype=torch.complex64)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        yield from (
            randn(3, 4).to(dtype),
            torch.arange(30.0).to(dtype),
            (randn(4) * 1e4).to(dtype),
            torch.empty(0, dtype=dtype),
        )
        yield torch.tensor(0.1, dtype=dtype)
        yield (randn(3) * 1e-6).to(dtype)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool):
        yield from (
            torch.arange(20).to(dtype),
            torch.empty(0, dtype=dtype),
            torch.empty(2, 0, dtype=dtype),
            torch.ones((), dtype=dtype),
        )
    yield torch.arange(20).to(torch.complex128)
    yield randn(1200) > 0
    yield torch.zeros(1001)
    yield torch.cat([torch.zeros(500), torch.full((1,), 1e6), torch.zeros(500)])


@pytest.mark.parametrize("tensor", list(cases()), ids=lambda t: f"{t.dtype}-{tuple(t.shape)}".removeprefix("torch."))
def test_values(tensor):
    check(tensor)


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 2},
        {"precision": 0},
        {"precision": 10},
        {"sci_mode": True},
        {"sci_mode": False},
        {"threshold": 5},
        {"threshold": 5, "edgeitems": 1},
        {"threshold": 0},
        {"edgeitems": 0},
        {"threshold": 3, "edgeitems": 0},
        {"linewidth": 40},
        {"linewidth": 1},
        {"linewidth": 200, "edgeitems": 10},
        {"profile": "short"},
        {"profile": "full"},
        {"profile": "short", "precision": 7},
    ],
    ids=str,
)
def test_options(options):
    set_options(**options)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    for tensor in cases():
        check(tensor)
        check(torch.nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))


def test_options_persist():
    set_options(precision=2, sci_mode=True)
    set_options(linewidth=50)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    with printing.printoptions(precision=6, profile="short"):
        assert printing.get_printoptions()["precision"] == 6
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    with pytest.raises(ZeroDivisionError), printing.printoptions(precision=9):
        _ = 1 / 0
    assert printing.get_printoptions()["precision"] == 2
    with pytest.raises(ValueError, match="profile must be one of default, short, full, but got 'long'"):
        printing.set_printoptions(profile="long")


@pytest.mark.parametrize("shape", [(), (3,), (9,), (10,), (2, 3), (8, 8), (1, 1, 5), (100, 100), (0,), (2, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_suffixes(shape, dtype):
    leaf = torch.linspace(-1, 2, math.prod(shape)).reshape(shape).to(dtype).requires_grad_()
    weight = torch.ones(shape, dtype=dtype, requires_grad=True)
    for tensor in (
        leaf,
        leaf * 3,
        leaf + weight,
        (leaf * weight).exp(),
        torch.nn.Parameter(leaf),
        torch.nn.Parameter(leaf, False),
    ):
        check(tensor)


@pytest.mark.parametrize("columns", range(1, 14))
def test_suffixes_at_the_edge_of_a_line(columns):
    tensor = torch.linspace(0, 1, columns).requires_grad_()
    for t in (tensor, tensor * 1, tensor.double() * 1, torch.sigmoid(tensor)):
        check(t)
        for width in (20, 60, 73, 74, 75, 76, 77):
            set_options(linewidth=width)
            check(t)
        set_options(profile="default")


@pytest.mark.parametrize("default", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_default_dtype(default):
    torch.set_default_dtype(default)
    for dtype in (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
        torch.int64,
        torch.bool,
    ):
        check(torch.ones(2, dtype=dtype))
        check(torch.ones(0, dtype=dtype))


def test_device(monkeypatch):
    """PyTorch leaves the default device out; with another default, tensors on the CPU name theirs."""
    monkeypatch.setattr(torch._C, "_get_default_device", lambda: "cuda")
    g = torch.Generator().manual_seed(0)
    for columns in range(14):
        tensor = torch.randn(columns, generator=g)
        for t in (tensor, tensor.requires_grad_(), tensor * 2, tensor.half() * 2, tensor.reshape(1, -1), tensor > 0):
            assert text_of(t, device="cpu") == repr(t)
    meta = repr(torch.ones(2, 0, device="meta", dtype=torch.float16))
    ours = tensor_text(np.ones((2, 0), np.float16), dtype_name="torch.float16", device="meta")
    assert ours.replace("[]", "...") == meta


def test_subclass():
    class Labelled(torch.Tensor):
        pass

    tensor = torch.randn(30, generator=torch.Generator().manual_seed(0)).as_subclass(Labelled)
    array = np.asarray(tensor.as_subclass(torch.Tensor).numpy())
    assert tensor_text(array, dtype_name="torch.float32", type_name="Labelled") == repr(tensor)


def test_indent():
    """Like a tensor of which the first characters of every line belong to something else."""
    tensor = torch.randn(6, 9, generator=torch.Generator().manual_seed(0)).requires_grad_() * 2
    plain = text_of(tensor)
    printing.set_printoptions(linewidth=84)
    assert text_of(tensor, indent=4) == plain.replace("\n", "\n    ")


FLOATS = st.floats(width=32) | st.integers(-(10**6), 10**6).map(float) | st.floats(-10, 10, width=32)


@settings(max_examples=150, deadline=None)
@given(
    st.data(),
    st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.int32]),
)
def test_any_values(data, dtype):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=8))
    values = data.draw(hnp.arrays(np.float64, shape, elements=FLOATS))
    tensor = torch.from_numpy(np.asarray(np.nan_to_num(values, nan=3) if dtype == torch.int32 else values))
    if dtype.is_complex:
        tensor = torch.complex(tensor, tensor.flip(list(range(tensor.ndim)))).to(dtype)
    else:
        tensor = (tensor.clamp(-(2**31), 2**31 - 1) if dtype == torch.int32 else tensor).to(dtype)
    threshold = data.draw(st.sampled_from([1000, 10]))
    set_options(threshold=threshold)
    try:
        check(tensor)
    finally:
        set_options(profile="default")


@pytest.mark.parametrize("spec", ["", ".2f", "8.3f", "d", "s", ">10", "e", ",", "x", ".1%"])
@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(0.1),
        torch.tensor(0.1, requires_grad=True),
        torch.tensor(7),
        torch.tensor(True),
        torch.tensor(1 + 2j),
        torch.tensor(0.1, dtype=torch.bfloat16),
        torch.tensor(0.1, dtype=torch.float16),
        torch.tensor([0.1]),
        torch.tensor([[1, 2]]),
        torch.nn.Parameter(torch.tensor(0.1)),
    ],
    ids=repr,
)
def test_format(tensor, spec):
    plain = type(tensor) is torch.Tensor
    ours = lambda: tensor_format(
        to_numpy(tensor.detach()), spec, lambda: text_of(tensor), type_name=type(tensor).__name__, is_plain=plain
    )
    try:
        expected = format(tensor, spec)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)) as raised:
            ours()
        assert str(raised.value) == str(error)
    else:
        assert ours() == expected


def test_only_corners_of_a_large_array_are_read():
    array = np.ones((4000, 4000), np.float32)
    start = time.perf_counter()
    for _ in range(20):
        text = tensor_text(array, dtype_name="torch.float32")
    assert time.perf_counter() - start < 1.0
    assert text == repr(torch.from_numpy(array))

"""Integers where C decides: division by zero, powers that overflow, numbers that do not fit a type."""

import warnings

import numpy as np
import pytest
import torch

import jaxnn
from tests.ops.agreement import agree

ODD = [
    -0.1, 306.0, 255.0, 256.0, -1.0, -1.5, 300.7, 127.0, 128.0, -129.0, 32768.0, 65535.0, 65536.0, -32769.0,
    2147483647.0, 2147483648.0, -2147483649.0, 4294967295.0, 4294967296.0, 1e10, -1e10, 9.3e18, -9.3e18, 1.8e19, 1.9e19,
    1e30, -1e30, float("inf"), -float("inf"), float("nan"),
]  # fmt: skip
FLOATS = ["float16", "bfloat16", "float32", "float64"]
OTHERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "bool"]


def converted(module, source, numbers):
    x = module.tensor(numbers, dtype=module.float64).to(getattr(module, source))
    found = [x.to(getattr(module, name)) for name in OTHERS]
    return [t.tolist() for t in found]


@pytest.mark.parametrize("source", FLOATS)
def test_floats_become_integers_as_in_c(source):
    one_by_one = [converted(torch, source, [x]) for x in ODD]  # its vectorised loops differ where a number does not fit
    expected = [[row[k][0] for row in one_by_one] for k in range(len(OTHERS))]
    assert converted(jaxnn, source, ODD) == expected


WAYS = {
    "to": lambda m, x: x.mul(255).to(m.uint8),
    "byte": lambda m, x: x.byte(),
    "copy_": lambda m, x: m.zeros(3, dtype=m.int8).copy_(x),
    "assignment": lambda m, x: _assigned(m, x),
    "tensor": lambda m, x: m.tensor(x, dtype=m.uint8),
    "of numpy": lambda m, x: m.tensor(x.numpy(), dtype=m.uint8),
    "sum": lambda m, x: x.sum(dtype=m.int64),
    "type": lambda m, x: x.type(m.int16),
    "complex": lambda m, x: m.complex(x, x).to(m.int32),
    "index_put": lambda m, x: m.zeros(3, dtype=m.uint8).masked_scatter(m.tensor([True] * 3), x.to(m.uint8)),
}


def _assigned(m, x):
    held = m.zeros(2, 3, dtype=m.uint8)
    held[1] = x
    return held


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_conversion(way):
    agree(WAYS[way], np.array([-0.1, 1.2, 300.7], np.float32), grad=False)


OPERATIONS = {
    "//": lambda m, a, b: a // b,
    "%": lambda m, a, b: a % b,
    "fmod": lambda m, a, b: m.fmod(a, b),
    "remainder": lambda m, a, b: m.remainder(a, b),
    "floor_divide": lambda m, a, b: m.floor_divide(a, b),
    "div floor": lambda m, a, b: m.div(a, b, rounding_mode="floor"),
    "div trunc": lambda m, a, b: m.div(a, b, rounding_mode="trunc"),
    "div_": lambda m, a, b: a.clone().div_(b, rounding_mode="floor"),
    "remainder_": lambda m, a, b: a.clone().remainder_(b),
    "true division": lambda m, a, b: a / b,
    "gcd": lambda m, a, b: m.gcd(a, b),
    "lcm": lambda m, a, b: m.lcm(a, b),
}
DIVIDENDS = {
    "int": lambda m: m.tensor([5, 6]),
    "uint8": lambda m: m.tensor([5, 6], dtype=m.uint8),
    "bool": lambda m: m.tensor([True, False]),
    "float": lambda m: m.tensor([5.0, 6.0]),
    "no elements": lambda m: m.zeros(0, 2, dtype=m.int64),
}
DIVISORS = {
    "zero among others": lambda m: m.tensor([0, 2]),
    "computed": lambda m: m.arange(2) * 2,
    "view": lambda m: m.arange(4)[::2],
    "0-d": lambda m: m.tensor(0),
    "number": lambda m: 0,
    "False": lambda m: False,
    "bool": lambda m: m.tensor([False, True]),
    "float": lambda m: m.tensor([0.0, 2.0]),
    "float number": lambda m: 0.0,
    "none zero": lambda m: m.tensor([1, -3]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_division_by_zero(operation):
    for dividend in DIVIDENDS.values():
        for divisor in DIVISORS.values():
            if operation in ("gcd", "lcm") and not hasattr(divisor(torch), "dtype"):
                continue
            outcomes = []
            for m in (jaxnn, torch):
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        found = OPERATIONS[operation](m, dividend(m), divisor(m))
                    outcomes.append((str(found.dtype), str(found.tolist())))
                except Exception as error:
                    outcomes.append((type(error).__name__, str(error).split(".")[0]))
            ours, theirs = outcomes
            if operation.endswith("_") and ours[0] == theirs[0] == "RuntimeError":
                continue  # a bool that can't hold the result, or a zero: either may be noticed first
            assert ours == theirs


def test_division_by_a_number_under_zero():
    agree(lambda m: (5 // m.tensor([1, 2]), m.tensor([-7, 7]) % -2, 7 % m.tensor([-2, 3])))
    agree(lambda m: 5 // m.tensor([0, 2]))
    agree(lambda m: 5 % m.tensor([0, 2]))
    agree(lambda m: 5.0 // m.tensor([0, 2]))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_integer_powers_wrap_around(dtype):
    agree(
        lambda m: m.tensor([-1, 5, 3, 2, 0, 0], dtype=m.int64).to(getattr(m, dtype))
        ** m.tensor([65, 255, 77, 63, 0, 64], dtype=m.int64).to(getattr(m, dtype))
    )

"""torch.testing beside PyTorch's: what passes, what the messages say, the tensors that are made."""

import re

import numpy as np
import pytest
import torch
import torch.testing

import jaxnn
import jaxnn.testing
from tests.parity import parity

NAN = float("nan")
#: Pairs to compare, with options, as source over the module `t`.
CASES = [
    "t.tensor([1., 2, 3]), t.tensor([1., 2, 4])", "t.ones(2), t.ones(2).double()", "t.ones(2), t.ones(3)", "1.0, 2.0",
    "1, 1.0", "[1., 2.], [1., 3.]", "[1.0], [1.0, 2]", "{'a': t.ones(2)}, {'a': t.zeros(2)}", "{'a': 1}, {'b': 1}",
    "t.ones(2), t.ones(2) * NAN", "t.ones(2) * NAN, t.ones(2) * NAN, equal_nan=True", "t.ones(2), t.ones(2) + 1e-7",
    "t.ones(2), t.ones(2) + 0.1, rtol=0.2, atol=0", "t.ones(2), t.ones(2), rtol=0.2", "t.tensor([1, 4]), t.tensor([1, 2])",
    "t.tensor([True]), t.tensor([False])", "t.tensor(1.), t.tensor(2.)", "np.ones(2), np.ones(2) + 1", "None, None",
    "None, 3", "t.ones(2), t.zeros(2), msg='hi'", "t.ones(2), t.zeros(2) + 2, msg=lambda m: '<' + m + '>'",
    "t.ones(2).bfloat16(), t.ones(2).bfloat16() * 1.01", "t.ones(2), t.ones(2).double(), check_dtype=False",
    "t.ones(2, 2) * 1j, t.ones(2, 2) * 2j", "[t.ones(2), [t.ones(2)]], [t.ones(2), [t.ones(2) * 2]]", "3, 4", "True, False",
    "1 + 2j, 1 + 2.5j", "NAN, NAN", "NAN, NAN, equal_nan=True", "t.ones(1, 0), t.ones(1, 0)",
    "t.tensor([0., 2.]), t.tensor([0., 0.])", "5, 7, rtol=0.1, atol=0.1", "t.nn.Parameter(t.ones(2)), t.ones(2)",
    "'a', 'b'", "t.tensor([float('inf'), 1.]), t.tensor([float('inf'), 1.])",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_assert_close(case):
    def outcome(t):
        scope = {"t": t, "np": np, "NAN": NAN, "close": t.testing.assert_close}
        try:
            eval(f"close({case})", scope)
        except Exception as error:
            return type(error), re.sub(r"(0\.\d{6})\d*", r"\1", str(error))
        return None

    assert outcome(jaxnn) == outcome(torch)


@pytest.mark.parametrize("options", [
    "dtype=t.float32", "dtype=t.float64, low=0, high=1", "dtype=t.bfloat16", "dtype=t.float16, low=-1e9, high=1e9",
    "dtype=t.int64", "dtype=t.uint8", "dtype=t.int32, low=-2, high=3, exclude_zero=True", "dtype=t.int64, low=0.5, high=3.5",
    "dtype=t.bool", "dtype=t.complex64", "dtype=t.float32, noncontiguous=True", "dtype=t.float32, requires_grad=True",
    "dtype=t.float32, low=2, high=2",
])  # fmt: skip
def test_make_tensor(options):
    def program(t):
        t.manual_seed(0)
        made = [
            eval(f"make({shape}, device='cpu', {options})", {"t": t, "make": t.testing.make_tensor})
            for shape in ("3, 4", "(2,)")
        ]
        return *made, t.rand(2)

    parity(program, grad=False)


@pytest.mark.parametrize(("options", "message"), [
    ({"low": 3, "high": 1}, "`low` must be less than `high`, but got 3 >= 1"),
    ({"low": NAN}, "cannot be NaN"),
    ({"dtype": "int64", "requires_grad": True}, "`requires_grad=True` is not supported for boolean and integral dtypes"),
])  # fmt: skip
def test_make_tensor_refuses(options, message):
    def program(t):
        return t.testing.make_tensor(
            2, device="cpu", **{**options, "dtype": getattr(t, options.get("dtype", "float32"))}
        )

    parity(program, message=message)

"""Factories, construction from data, types and devices against PyTorch."""

import copy
import pickle

import numpy as np
import pytest
import torch

import jaxnn
from tests.parity import parity

X = np.array([[1.5, -2.5], [0.0, 3.0]], np.float32)
I = np.array([1, 2, 300])

CASES = {
    "nested": lambda t: t.tensor([[1, 2.5], [3, 4]]),
    "ints": lambda t: t.tensor([1, 2]),
    "bools": lambda t: t.tensor([True, False]),
    "mixed": lambda t: t.tensor([True, 2, 3.5]),
    "complex": lambda t: t.tensor([1j, 2]),
    "scalar": lambda t: t.tensor(3.25),
    "empty": lambda t: t.tensor([]),
    "empty2": lambda t: t.tensor([[], []]),
    "tuple": lambda t: t.tensor(((1, 2), (3, 4))),
    "range": lambda t: t.tensor(range(4)),
    "numpy": lambda t: t.tensor(X),
    "numpy_scalars": lambda t: t.tensor([np.float32(1), np.float32(2)]),
    "numpy_double": lambda t: t.tensor([np.float64(1)]),
    "numpy_number": lambda t: t.tensor(np.int32(3)),
    "numpy_list": lambda t: t.tensor([X[0], X[1]]),
    "tensors": lambda t: t.tensor([t.tensor(1), t.tensor(2.5)]),
    "dtype": lambda t: t.tensor([1.7, -1.7], dtype=t.int64),
    "wraps": lambda t: t.tensor(-1, dtype=t.uint8),
    "half": lambda t: t.tensor([0.1, 3], dtype=t.bfloat16),
    "to_bool": lambda t: t.tensor([0.5, 0], dtype=t.bool),
    "requires_grad": lambda t: t.tensor([1.0], requires_grad=True),
    "of_tensor": lambda t: t.tensor(t.ones(2)),
    "as_tensor": lambda t: t.as_tensor([1, 2]),
    "from_numpy": lambda t: t.from_numpy(X),
    "zeros": lambda t: t.zeros(2, 3),
    "ones": lambda t: t.ones((2, 3), dtype=t.long),
    "size_kw": lambda t: t.zeros(size=(2,)),
    "zeros_scalar": lambda t: t.zeros(()),
    "zeros_empty": lambda t: t.zeros(0, 3),
    "full": lambda t: (t.full((2,), 1), t.full((2,), 1.5), t.full((1,), True)),
    "full_dtype": lambda t: t.full((2,), 3, dtype=t.float64),
    "like": lambda t: (t.zeros_like(t.ones(2)), t.ones_like(t.arange(3)), t.full_like(t.ones(2), 4)),
    "new": lambda t: (
        t.ones(1).long().new_zeros(2),
        t.ones(1).new_ones((2, 2)),
        t.ones(1).new_full((2,), 3),
        t.ones(1).new_tensor([1, 2]),
    ),
    "arange": lambda t: (
        t.arange(5),
        t.arange(1, 7, 2),
        t.arange(5.0),
        t.arange(0, 1, 0.1),
        t.arange(5, 0, -2),
        t.arange(1, 2.5, 0.5),
    ),
    "arange_dtype": lambda t: (t.arange(3, dtype=t.float32), t.arange(0.5, 3.5, dtype=t.long)),
    "arange_long": lambda t: t.arange(0, 100, 0.7),
    "linspace": lambda t: (t.linspace(0, 1, 11), t.linspace(-3, 10, 7), t.linspace(2, 5, 1), t.linspace(0, 1, 0)),
    "linspace_long": lambda t: t.linspace(-1, 1, 100),
    "linspace_int": lambda t: t.linspace(0, 10, 5, dtype=t.long),
    "logspace": lambda t: t.logspace(0, 2, 5),
    "eye": lambda t: (t.eye(3), t.eye(2, 3, dtype=t.long)),
    "triangles": lambda t: (t.tril_indices(3, 4), t.triu_indices(3, 3, 1)),
    "legacy": lambda t: (
        t.Tensor([1, 2]),
        t.Tensor(),
        t.LongTensor([1, 2]),
        t.FloatTensor([[1, 2]]),
        t.ByteTensor(2).shape,
    ),
    "legacy_sizes": lambda t: (t.Tensor(2, 3).shape, t.Tensor(t.Size([4])).shape),
    "complex_pair": lambda t: t.complex(t.ones(2), t.zeros(2)),
    "frombuffer": lambda t: t.frombuffer(bytearray(b"\x01\x02\x03\x04"), dtype=t.uint8),
    "scalar_tensor": lambda t: t.scalar_tensor(3),
    "asarray": lambda t: t.asarray([1, 2]),
    "out": lambda t: t.zeros(2, 2, out=t.ones(2, 2)),
    "window": lambda t: t.hann_window(5),
}


@pytest.mark.parametrize("name", CASES)
def test_factories(name):
    parity(CASES[name], grad=False)


CASTS = {
    "double": lambda t, x: x.double(),
    "long": lambda t, x: x.long(),
    "half": lambda t, x: x.half(),
    "bfloat16": lambda t, x: x.bfloat16(),
    "bool": lambda t, x: x.bool(),
    "int": lambda t, x: (x.int(), x.short(), x.char()),
    "to": lambda t, x: x.to(t.float64),
    "to_str": lambda t, x: x.to("cpu", t.float64),
    "to_other": lambda t, x: x.to(t.ones(1).double()),
    "to_same": lambda t, x: (x.to(t.float32) is x, x.to("cpu") is x, x.float() is x, x.cpu() is x, x.to(x) is x),
    "to_copy": lambda t, x: x.to(t.float32, copy=True),
    "to_kw": lambda t, x: x.to(device="cpu", dtype=t.float16),
    "type": lambda t, x: (x.type(), x.long().type(), x.type(t.float64)),
    "type_str": lambda t, x: x.type("torch.DoubleTensor"),
    "type_class": lambda t, x: x.type(t.LongTensor),
    "type_as": lambda t, x: x.type_as(t.ones(1).double()),
    "clone": lambda t, x: x.clone(),
    "clone_detached": lambda t, x: x.detach().clone(),
    "is": lambda t, x: (t.is_tensor(x), t.is_tensor(3), t.is_floating_point(x), t.numel(x), t.is_complex(x)),
    "result_type": lambda t, x: (
        t.result_type(x, 2),
        t.result_type(t.arange(2), 1.5),
        t.promote_types(t.int8, t.uint8),
        t.can_cast(t.float32, t.int64),
    ),
    "finfo": lambda t, x: (
        repr(t.finfo(t.float32)),
        t.finfo(t.float16).eps,
        t.finfo(t.bfloat16).max,
        t.finfo(t.float64).tiny,
        repr(t.iinfo(t.int32)),
        t.iinfo(t.uint8).max,
    ),
    "isinstance": lambda t, x: (
        isinstance(x, t.FloatTensor),
        isinstance(x, t.LongTensor),
        isinstance(x.long(), t.LongTensor),
    ),
    "typename": lambda t, x: (t.typename(x), t.typename("a")),
    "complex": lambda t, x: x.to(t.complex64),
}


@pytest.mark.parametrize("name", CASTS)
def test_casts(name):
    parity(CASTS[name], X, grad="complex" not in name)


ERRORS = {
    "ragged": (lambda t: t.tensor([[1, 2], [3]]), "expected sequence of length 2 at dim 1 (got 1)"),
    "str": (lambda t: t.tensor("a"), "new(): invalid data type 'str'"),
    "str_list": (lambda t: t.tensor(["a"]), "too many dimensions 'str'"),
    "none": (lambda t: t.tensor(None), "Could not infer dtype of NoneType"),
    "int_grad": (lambda t: t.tensor([1], requires_grad=True), "Only Tensors of floating point"),
    "many": (lambda t: t.tensor([t.ones(2), t.ones(2)]), "only one element tensors can be converted to Python scalars"),
    "negative": (lambda t: t.zeros(-1), "Dimension size must be non-negative"),
    "float_size": (lambda t: t.zeros(2.5), "zeros(): argument 'size' (position 1) must be tuple of ints, not float"),
    "no_size": (lambda t: t.zeros(), 'missing 1 required positional arguments: "size"'),
    "full": (lambda t: t.full((2,), 300, dtype=t.uint8), "value cannot be converted to type uint8_t without overflow"),
    "arange_step": (lambda t: t.arange(0, 1, 0), "step must be nonzero"),
    "arange_sign": (lambda t: t.arange(1, 0), "upper bound and lower bound inconsistent with step sign"),
    "steps": (lambda t: t.linspace(0, 1, -1), "number of steps must be non-negative"),
    "eye": (lambda t: t.eye(-1), "n must be greater or equal to 0, got -1"),
    "like": (lambda t: t.zeros_like(3), "zeros_like(): argument 'input' (position 1) must be Tensor, not int"),
    "legacy": (lambda t: t.Tensor(3.5), "new(): data must be a sequence (got float)"),
    "device": (lambda t: t.zeros(1).to("foo"), "device type at start of device string: foo"),
    "overflow": (lambda t: t.tensor(2**63), "Overflow when unpacking long long"),
    "too_large": (lambda t: t.tensor(300, dtype=t.uint8), "value cannot be converted to type uint8 without overflow"),
    "from_numpy": (lambda t: t.from_numpy([1]), "expected np.ndarray (got list)"),
    "cuda": (lambda t: t.zeros(1).cuda(), "Torch not compiled with CUDA enabled"),
    "object": (lambda t: t.from_numpy(np.array(["a"])), "can't convert np.ndarray of type numpy.str_"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, message = ERRORS[name]
    parity(f, message=message, grad=False)


def test_host_data_is_copied_by_tensor_only():
    for module in (torch, jaxnn):
        array = X.copy()
        copied, *shared = module.tensor(array), module.from_numpy(array), module.as_tensor(array)
        array[:] = 7
        assert copied.tolist() == X.tolist()
        for t in shared:
            assert t.tolist() == array.tolist()


def test_sharing_follows_pytorch():
    for module in (torch, jaxnn):
        x = module.ones(3)
        same = module.as_tensor(x)
        copy_ = x.clone()
        x += 1
        assert same.tolist() == [2.0] * 3 and copy_.tolist() == [1.0] * 3


@pytest.mark.parametrize("option", [{"pin_memory": True}, {"layout": jaxnn.sparse_coo}])
def test_options_that_are_refused(option):
    with pytest.raises(NotImplementedError, match=next(iter(option))):
        jaxnn.zeros(2, **option)


def test_results_are_pickled_and_copied():
    found = pickle.loads(pickle.dumps(jaxnn.ones(2, 3).max(1)))
    assert type(found).__name__ == "max" and found.values.tolist() == [1.0, 1.0]
    assert copy.deepcopy(jaxnn.arange(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("start,end,step", [(0, 1, 0.1), (-2.5, 7.25, 0.375), (10, -3, -1.3), (0, 1000, 3.3)])
def test_arange_bit_for_bit(start, end, step):
    assert jaxnn.arange(start, end, step).tolist() == torch.arange(start, end, step).tolist()


@pytest.mark.parametrize("start,end,step", [(10, -3, -1.3), (0, 1000, 3.3), (0, 10, 0.01)])
def test_arange_double(start, end, step):
    ours = jaxnn.arange(start, end, step, dtype=jaxnn.float64).tolist()
    assert ours == torch.arange(start, end, step, dtype=torch.float64).tolist()


def _holding_itself(*items):
    made = list(items)
    made.append(made)
    return made


@pytest.mark.parametrize("data", [
    [0, "a"], [[0], ["a"]], [0, None], [0, b"a"], [1.5, {}], [[1, 2], [3]], [1, [2]], [0, object()],
    _holding_itself(), _holding_itself(0), _holding_itself([1, 2]),
], ids=range(11))  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "int64", None])
def test_data_that_is_no_numbers(data, dtype):
    def failure(m):
        class Own(m.Tensor):  # from now on every call looks for classes that want to be asked
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return super().__torch_function__(func, types, args, kwargs)

        with pytest.raises(Exception) as raised:
            m.tensor(data, dtype=dtype and getattr(m, dtype))
        return raised.type, dtype or str(raised.value)

    assert failure(jaxnn) == failure(torch)

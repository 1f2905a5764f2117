"""Lists in brackets: when they stand for several indices, when for one tensor of places."""

import numpy as np
import pytest
import torch

from tests.ops.agreement import agree

KEYS = {
    "slice and list": lambda m: [slice(0, 2), [0, 1]],
    "two lists": lambda m: [[0, 1], [1, 2]],
    "ragged lists": lambda m: [[0, 1], [1]],
    "lists that do not broadcast": lambda m: [[0, 1], [1, 2, 0]],
    "numbers": lambda m: [0, 1],
    "None": lambda m: [0, None],
    "only None": lambda m: [None],
    "ellipsis": lambda m: [..., 0],
    "tensors": lambda m: [m.tensor([0]), m.tensor([1])],
    "0-d tensor and number": lambda m: [m.tensor(0), 1],
    "tuple of lists": lambda m: ([0, 1], [1, 2]),
    "number beside a list": lambda m: [0, [1, 2]],
    "list beside a number": lambda m: [[0, 1], 0],
    "list and slice": lambda m: [[0, 1], slice(None, 2)],
    "list, slice, list": lambda m: ([0, 1], slice(None), [0, 1]),
    "nested twice": lambda m: [[[0, 1]]],
    "bools": lambda m: [True, False],
    "one bool": lambda m: [True],
    "bools in a list": lambda m: [[True, False]],
    "slice and bools": lambda m: [slice(None), [True, False, True]],
    "bool and number": lambda m: [True, 0],
    "nothing": lambda m: [],
    "list of nothing": lambda m: [[]],
    "tuple of nothing": lambda m: ([],),
    "numpy array and number": lambda m: [np.array([0, 1]), 1],
    "numpy number": lambda m: [np.int64(1), 0],
    "numpy number in a tuple": lambda m: ([np.int64(0), 1],),
    "one slice": lambda m: [slice(1, None)],
    "tuple in a list": lambda m: [(0, 1)],
    "tuple in a tuple": lambda m: ((0, 1), [1, 2]),
    "range": lambda m: range(2),
    "range in a list": lambda m: [range(2)],
    "long": lambda m: [0] * 40,
    "long in a list": lambda m: [[0] * 40],
    "tensors in a list": lambda m: [[m.tensor(0), m.tensor(1)], [0, 1]],
    "tensors in a tuple": lambda m: ([m.tensor(0), 1],),
    "matrix in a tuple": lambda m: ([[0, 1], [1, 0]],),
    "bool mask in a tuple": lambda m: (slice(None), [True, False, True]),
    "floats": lambda m: [1.5],
    "strings": lambda m: ["a"],
    "string": lambda m: "a",
    "ragged in a tuple": lambda m: ([[0, 1], [1]],),
    "ragged numbers": lambda m: ([0, [1]],),
    "None in a list in a tuple": lambda m: ([None, 0],),
    "slice in a list in a tuple": lambda m: ([0, slice(0, 1)],),
    "float tensor": lambda m: [m.tensor(1.0)],
}


def written(m, key, value):
    x = m.arange(24).view(2, 3, 4).clone()
    x[key] = value
    return x


@pytest.mark.parametrize("name", KEYS)
def test_lists_in_brackets(name):
    key = KEYS[name]
    agree(lambda m: m.arange(24).view(2, 3, 4)[key(m)], text=False)
    agree(lambda m: written(m, key(m), -1), text=False)


def test_a_long_list_of_lists_is_one_tensor():
    agree(lambda m: m.arange(24).view(2, 3, 4)[[[0, 1]] * 32], text=False)
    assert torch.arange(4)[[[0, 1]] * 32].shape == (32, 2)

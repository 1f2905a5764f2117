"""A new user's mistakes, one row each: jaxnn refuses where PyTorch does, at the call, with the same type of exception
and a message that says as much; where PyTorch accepts, so does jaxnn.

The rows are the lines of bad_input/*.txt, a file for each family."""

import re
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.utils.parametrizations
import torch.nn.utils.prune

import jaxnn

# PyTorch accepts what its kernels then read past the end of; raw arrays are welcome here, as in Flax.
OTHERWISE = {
    "rnn.pack_padded_sequence(x(5, 2, 4), [7, 5])": (None, RuntimeError),
    "nn.Linear(5, 3)(np.zeros((2, 5), 'float32'))": (TypeError, None),
    "nn.Conv2d(3, 4, 3)(np.zeros((2, 3, 8, 8), 'float32'))": (TypeError, None),
    "nn.RNN(4, 3)(np.zeros((5, 2, 4), 'float32'))": (AttributeError, None),
    "nn.MSELoss()(x(2, 3), np.zeros((2, 3)))": (TypeError, None),
}

# Part of our message where PyTorch's own speaks of its internals, counts its own arguments or lists its devices.
CLEARER = {
    "nn.Conv2d(3, 4, 0)(x(2, 3, 8, 8))": "kernel size should be greater than zero, but got weight of size [4, 3, 0, 0]",
    "nn.Conv2d(3, 4, 3, padding=1.5)(x(2, 3, 8, 8))": "'padding' (position 5) must be tuple of ints, but found element",
    "nn.ConvTranspose2d(3, 4, 3, padding=5)(x(2, 3, 4, 4))": "output size per channel: (-4 x -4). Output size is too small",
    "nn.ConstantPad2d(1, 'foo')(x(1, 4, 4))": "argument 'value' (position 3) must be Number, not str",
    "nn.AdaptiveAvgPool2d('foo')(x(2, 3, 8, 8))": "argument 'output_size' (position 2) must be tuple of ints, not str",
    "nn.MaxUnpool1d(2)(x(2, 3, 4), i(8, 2, 3, 5))": "input tensor ([2, 3, 4]) but got indices tensor with shape: [2, 3, 5]",
    "nn.Embedding(5, 3)(1)": "embedding(): argument 'input' (position 1) must be Tensor, not int",
    "nn.Embedding(5, 3)([0, 1])": "embedding(): argument 'input' (position 1) must be Tensor, not list",
    "nn.EmbeddingBag(5, 3)(k(5, 2, 4))": "Index 0 of input takes value 5 which is not in the valid range [0, 5)",
    "nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3, 6])(x(2, 5), i(9, 2))": "cannot be multiplied (2x5 and 4x1)",
    "nn.LSTM(4, 3)(rnn.pack_sequence([x(3, 4), x(2, 4)]), (x(1, 3, 3), x(1, 3, 3)))":
        "Expected hidden[0] size (1, 2, 3), got [1, 3, 3]",
    "rnn.pad_sequence(x(3))": "expected sequences of at least one dimension",
    "F.grid_sample(x(2, 3, 4, 4), x(2, 5, 2))": "input with sizes [2, 3, 4, 4] and grid with sizes [2, 5, 2]",
    "optim.SGD([w], lr='foo')": "a hyperparameter must be a number, not str: 'foo'",
    "optim.Adam([w], betas=0.9)": "betas must be a tuple of numbers, not float: 0.9",
    "init.constant_(x(2), 'foo')": "argument 'value' (position 1) must be Number, not str",
    "init.zeros_(1)": "a Tensor is needed to initialise, but got a 'int' object",
}  # fmt: skip

# What shows through where an error of a layer below was not foreseen.
LEAKS = re.compile(r"jnp|\bjax\b|_lax|ShapeDtypeStruct|Tracer|object has no attribute '_|dot_general|broadcast_in_dim")


def names(module):
    """What a row can name: x(shape) are floats, d doubles, c complex numbers, b booleans, i(n, shape) integers below n,
    k(v, shape) nothing but v; w and v are parameters."""

    def made(array):
        return module.from_numpy(np.asarray(array))

    def x(*shape):
        return made(np.random.default_rng(0).standard_normal(shape).astype("float32"))

    def i(n, *shape):
        return made(np.random.default_rng(0).integers(0, n, shape))

    nn, optim = module.nn, module.optim
    return {
        "torch": module, "nn": nn, "F": nn.functional, "init": nn.init, "utils": nn.utils, "rnn": nn.utils.rnn,
        "optim": optim, "sched": optim.lr_scheduler, "np": np, "x": x, "i": i, "d": lambda *s: x(*s).double(),
        "k": lambda value, *shape: module.tensor(np.full(shape, value).tolist()),
        "b": lambda *s: made(np.zeros(s, "bool")), "c": lambda *s: made(np.ones(s, "complex64")),
        "w": nn.Parameter(x(2)), "v": nn.Parameter(x(2)),
    }  # fmt: skip


def error_of(module, row):
    """The exception that a row raises, and None if there is none."""
    module.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            eval(row, names(module))
        except Exception as error:
            return error
    return None


def words(text):
    """What a message has to say: its words, numbers and bad options."""
    return set(re.findall(r"[A-Za-z_]{4,}|(?<!\w)\d+|foo", text.split("\n")[0]))


ROWS = [
    pytest.param(row, id=f"{file.stem}: {row}")
    for file in sorted(Path(__file__).with_name("bad_input").glob("*.txt"))
    for row in file.read_text().splitlines()
]


@pytest.mark.parametrize("row", ROWS)
def test_same_refusal(row):
    theirs, ours = error_of(torch, row), error_of(jaxnn, row)
    kinds = tuple(None if e is None else type(e) for e in (theirs, ours))
    if row in OTHERWISE:
        assert kinds == OTHERWISE[row], f"{ours!r}, PyTorch: {theirs!r}"
        return
    assert kinds[0] is kinds[1], f"{ours!r}, PyTorch: {theirs!r}"
    if ours is None:
        return
    message = str(ours)
    assert not LEAKS.search(message.removeprefix(str(theirs))), message
    if row in CLEARER:
        assert CLEARER[row] in message
        return
    needed, said = words(str(theirs.args[0])), words(str(ours.args[0]))
    facts = {word for word in needed if word == "foo" or word[0].isdigit()}
    assert facts <= said, f"{message!r} lacks {facts - said}. PyTorch: {theirs}"
    assert 2 * len(needed & said) >= len(needed), f"{message!r}. PyTorch: {theirs}"


def test_tables_name_rows():
    rows = {row for p in ROWS for row in p.values}
    assert OTHERWISE.keys() | CLEARER.keys() <= rows


# --- three first programs with a mistake: what the user sees, and at which of the program's lines ---------------------


def wrong_size_after_a_convolution(torch):
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3)
            self.pool = nn.MaxPool2d(2)
            self.fc = nn.Linear(8 * 14 * 14, 10)

        def forward(self, x):
            x = self.pool(torch.relu(self.conv(x)))
            return self.fc(torch.flatten(x, 1))

    Net()(torch.zeros(4, 1, 28, 28))


def labels_from_one(torch):
    net = torch.nn.Linear(5, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    data = [(torch.ones(5), 1 + n % 3) for n in range(4)]
    for x, y in torch.utils.data.DataLoader(data, batch_size=2):
        optimizer.zero_grad()
        loss = torch.nn.CrossEntropyLoss()(net(x), y)
        loss.backward()
        optimizer.step()


def backward_twice(torch):
    loss = torch.nn.Linear(5, 3)(torch.ones(4, 5)).pow(2).mean()
    loss.backward()
    loss.backward()


@pytest.mark.parametrize("program", [wrong_size_after_a_convolution, labels_from_one, backward_twice])
def test_first_mistake(program):
    seen = []
    for module in (torch, jaxnn):
        with pytest.raises(Exception) as caught:
            program(module)
        own = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == __file__]
        seen.append((caught.type, str(caught.value), own[-1].lineno))
    assert seen[0] == seen[1]

"""`torch.export` beside PyTorch's: numbers, open sizes, errors, weights, files that run without the source."""

from __future__ import annotations

import copy
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import jaxnn
from tests.comparison import check

pytest.importorskip("flatbuffers")
RANDOM = np.random.default_rng(0)
LIBRARIES = (jaxnn, torch)


def export_of(library):
    return jaxnn.export if library is jaxnn else __import__("torch.export").export


def model(library, name):
    """A module of one library, made by the same source."""
    nn = library.nn

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
            self.again = self.inner[0]
            self.register_buffer("shift", library.ones(4))
            self.register_buffer("hidden", library.zeros(4), persistent=False)

        def forward(self, x, pair, n=2, *, scale=None):
            y = self.inner(x) + self.shift + self.hidden + self.again(x)
            return {"y": y * n if scale is None else y * scale, "same": n, "pair": (pair["a"] + pair["b"][0], None)}

    class Add(nn.Module):
        def forward(self, x, y):
            return x + y

    class Sizes(nn.Module):
        def forward(self, x, y):
            return library.cat([x, x[1:]]) + y

    class Branch(nn.Module):
        def forward(self, x):
            return x * x.shape[0] if x.shape[0] == 4 else x

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(11, 4)
            self.rnn = nn.LSTM(4, 3, batch_first=True)
            self.head = nn.Linear(3, 11, bias=False)

        def forward(self, tokens):
            return self.head(self.rnn(self.embedding(tokens))[0]), tokens.argmax(1)

    library.manual_seed(0)
    return {c.__name__: c for c in (Joined, Add, Sizes, Branch, Words)}[name]()


def joined(library, mode="train"):
    d = export_of(library).Dim
    module = getattr(model(library, "Joined"), mode)()
    batch = d("batch", min=3, max=16)
    args = library.ones(5, 3), {"a": library.ones(2), "b": [library.ones(2)]}
    shapes = {"x": {0: batch}, "pair": {"a": {0: d("len")}, "b": [{0: d("len")}]}, "scale": None}
    return module, export_of(library).export(module, args, {"scale": library.tensor(0.5)}, dynamic_shapes=shapes)


def called(library, program, n=7, length=5, **changed):
    x, a = (library.tensor(np.random.default_rng(n).normal(size=s).astype(np.float32)) for s in ((n, 3), (length,)))
    pair, scale = {"a": a, "b": [a * 2]}, library.tensor(3.0)
    return program(changed.get("x", x), changed.get("pair", pair), scale=changed.get("scale", scale))


def everything(library):
    """What can be seen of an exported module in training: results, gradients, statistics, names, before and after a file."""
    module, program = joined(library)
    runner = program.module()
    found = called(library, runner)
    found["y"].square().sum().backward()
    assert found["same"] == 2 and found["pair"][1] is None
    tensors = [found["y"], found["pair"][0], *(p.grad for p in runner.parameters())]
    names = [sorted(runner.state_dict()), sorted(program.state_dict), [n for n, _ in program.named_parameters()]]
    names += [sorted(n for n, _ in program.named_buffers()), sorted(n for n, _ in runner.named_buffers())]
    assert runner.get_parameter("inner.0.weight") is module.inner[0].weight
    optimizer = library.optim.SGD(runner.parameters(), lr=0.1)
    optimizer.step()
    tensors += [called(library, runner)["y"], *(b for _, b in sorted(runner.named_buffers()))]
    tensors.append(module.eval()(*program.example_inputs[0])["y"])
    return tensors, names


@pytest.fixture(scope="module")
def both():
    return [everything(library) for library in LIBRARIES]


def test_numbers_gradients_statistics_and_names(both):
    (ours, names), (theirs, expected) = both
    assert names == expected
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        check(a, b, "program", str(k))


@pytest.fixture(scope="module")
def programs():
    return [joined(library, "eval")[1] for library in LIBRARIES]


WRONG = [
    {"x": (17, 3)}, {"x": (2, 3)}, {"x": (5, 4)}, {"pair": {"a": (3,), "b": [(4,)]}},
    {"pair": {"a": (3,), "b": ((3,),)}}, {"pair": {"b": [(3,)]}},
]  # fmt: skip


def of_shapes(library, value):
    if isinstance(value, dict):
        return {k: of_shapes(library, v) for k, v in value.items()}
    if isinstance(value, list) or (isinstance(value, tuple) and isinstance(value[0], tuple)):
        return type(value)(of_shapes(library, v) for v in value)
    return None if value is None else library.ones(value)


@pytest.mark.parametrize("changed", WRONG, ids=str)
def test_wrong_inputs_say_what_pytorch_says(programs, changed):
    messages = []
    for library, program in zip(LIBRARIES, programs, strict=True):
        with pytest.raises((AssertionError, ValueError)) as raised:
            called(library, program.module(), **of_shapes(library, changed))
        messages.append((raised.type, str(raised.value).split("\n")[0]))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("name", "shapes", "sizes"),
    [
        ("Add", "lambda d: ({0: d('p')}, {0: d('q')})", None),
        ("Add", "lambda d: {'x': {0: d.AUTO}, 'y': {0: d.AUTO}}", [(3, 3), (9, 9)]),
        ("Add", "lambda d: [(d.DYNAMIC,), (d.DYNAMIC,)]", [(6, 6)]),
        ("Add", "lambda d: {'x': {0: 3}, 'y': None}", None),
        ("Add", "lambda d: {'z': None}", None),
        ("Add", "lambda d: (None,)", None),
        ("Sizes", "lambda d: {'x': {0: d('n', min=3)}, 'y': {0: 2 * d('n', min=3) - 1}}", [(3, 5), (4, 7)]),
        ("Branch", "lambda d: {'x': {0: d('n')}}", None),
        ("Branch", "lambda d: {'x': {0: d.DYNAMIC}}", None),
        ("Branch", "lambda d: {'x': {0: d.AUTO}}", [(4,)]),
    ],
)
def test_open_sizes(name, shapes, sizes):
    results = []
    for library in LIBRARIES:
        module, dim = model(library, name), export_of(library).Dim
        lengths = {"Sizes": (4, 7), "Branch": (4,)}.get(name, (4, 4))
        given = tuple(library.arange(float(n)) for n in lengths)
        try:
            program = export_of(library).export(module, given, dynamic_shapes=eval(shapes)(dim)).module()
            results.append([program(*(library.arange(float(n)) for n in case)) for case in sizes or ()])
        except Exception as error:
            if sizes is not None:
                raise
            assert isinstance(error, (RuntimeError, ValueError)), error
            results.append([])
    for a, b in zip(*results, strict=True):
        check(a, b, "program")


def test_files_hold_all_that_a_program_needs(tmp_path):
    module = model(jaxnn, "Words").eval()
    module.head.weight.requires_grad_(False)
    d = jaxnn.export.Dim
    tokens = jaxnn.tensor(RANDOM.integers(0, 11, (2, 4)))
    program = jaxnn.export.export(module, (tokens,), dynamic_shapes={"tokens": {0: d("batch"), 1: d("length")}})
    jaxnn.export.save(program, tmp_path / "words.pt2", extra_files={"notes": "by heart"})
    given = RANDOM.integers(0, 11, (3, 6))
    expected = module(jaxnn.tensor(given))
    expected[0].sum().backward()
    np.savez(tmp_path / "found.npz", given=given, *[e.detach().numpy() for e in expected], grad=module.rnn.weight_hh_l0.grad.numpy())
    source = f"""
    import numpy as np, jaxnn as torch
    held = np.load({str(tmp_path / "found.npz")!r})
    notes = {{"notes": ""}}
    program = torch.export.load({str(tmp_path / "words.pt2")!r}, extra_files=notes)
    module = program.module()
    logits, places = module(torch.from_numpy(held["given"]))
    logits.sum().backward()
    np.testing.assert_allclose(logits.detach().numpy(), held["arr_0"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(places.numpy(), held["arr_1"])
    np.testing.assert_allclose(module.rnn.weight_hh_l0.grad.numpy(), held["grad"], rtol=1e-5, atol=1e-6)
    assert places.dtype == torch.int64 and notes == {{"notes": "by heart"}}
    assert not module.head.weight.requires_grad and module.head.weight.grad is None
    assert list(program.state_dict) == {list(program.state_dict)!r} and program.example_inputs[0][0].shape == (2, 4)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], check=True)


def test_what_has_no_meaning_is_refused(tmp_path):
    export = jaxnn.export
    _, program = joined(jaxnn, "eval")
    for name in ("graph", "graph_module", "graph_signature"):
        with pytest.raises(NotImplementedError, match=name):
            getattr(program, name)
    with pytest.raises(NotImplementedError, match="run_decompositions"):
        program.run_decompositions()
    with pytest.raises(RuntimeError, match="module()"):
        program(jaxnn.ones(1))
    with pytest.raises(NotImplementedError, match="eval"):
        program.module().eval()
    with pytest.raises(RuntimeError, match="expected a tensor of torch.float32"):
        called(jaxnn, program.module(), x=jaxnn.ones(5, 3).double())
    with pytest.raises(NotImplementedError, match="random"):
        export.export(jaxnn.nn.Dropout(), (jaxnn.ones(3),))
    with pytest.raises(ValueError, match="Module"):
        export.export(jaxnn.sin, (jaxnn.ones(3),))
    with pytest.raises(export.UserError, match="tuple"):
        export.export(jaxnn.nn.ReLU(), jaxnn.ones(3))
    for option in ({"preserve_module_call_signature": ("a",)}, {"prefer_deferred_runtime_asserts_over_guards": True}):
        with pytest.raises(NotImplementedError, match=next(iter(option))):
            export.export(jaxnn.nn.ReLU(), (jaxnn.ones(3),), **option)
    theirs = torch.export.export(torch.nn.ReLU(), (torch.ones(3),))
    torch.export.save(theirs, tmp_path / "theirs.pt2")
    with pytest.raises(NotImplementedError, match="StableHLO"):
        export.load(tmp_path / "theirs.pt2")


def test_a_copy_has_weights_of_its_own():
    runner = joined(jaxnn, "eval")[1].module()
    copied = copy.deepcopy(runner)
    before = called(jaxnn, runner)["y"]
    with jaxnn.no_grad():
        copied.shift.add_(1.0)
    check(called(jaxnn, runner)["y"], before, "program")
    check(called(jaxnn, copied)["y"], before + 3, "program")

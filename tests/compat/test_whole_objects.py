"""``torch.save(model)`` and ``torch.load(weights_only=False)`` of programs behind the door, and PyTorch's own beside them."""

from __future__ import annotations

import contextlib
import importlib
import io
import pickle
import sys
import warnings

import pytest
import torch

import jaxnn
from jaxnn import compat
from jaxnn.compat.door import whole_objects
from jaxnn.compat.door.facade import Names

SOURCE = """
import argparse, collections, dataclasses, enum, functools
import torch, torch.nn as nn, torch.nn.functional as F


class Kind(enum.Enum):
    A, B = 1, 2


@dataclasses.dataclass
class Config:
    n: int = 3
    kind: Kind = Kind.B


class Bag(dict):
    pass


def hook(module, args, output):
    return output * 2


class Net(nn.Module):
    class Inner(nn.Linear):
        pass

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.lstm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LSTM(4, 5, 2, dropout=0.1, bidirectional=True)
        self.seq = nn.Sequential(nn.Linear(2, 3), nn.GELU(), nn.Dropout(0.3), nn.LayerNorm(3))
        self.listed, self.named = nn.ModuleList([self.Inner(1, 1)]), nn.ModuleDict({"a": nn.PReLU()})
        self.plist = nn.ParameterList([nn.Parameter(torch.ones(2))])
        self.pdict = nn.ParameterDict({"x": nn.Parameter(torch.zeros(1), requires_grad=False)})
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2)
        self.register_buffer("range", torch.arange(3.0))
        self.register_buffer("kept", torch.ones(1), persistent=False)
        self.register_parameter("none", None)
        self.tied, self.loss = self.seq[0], nn.CrossEntropyLoss(weight=torch.ones(3))
        self.act, self.builtin, self.part = F.relu, F.gelu, functools.partial(F.leaky_relu, negative_slope=0.2)
        self.function, self.cls = torch.tanh, nn.Linear
        self.config, self.kind, self.bag, self.names = Config(), Kind.A, Bag(a=1), argparse.Namespace(lr=0.1)
        self.dtype, self.device, self.size = torch.float16, torch.device("cpu"), torch.Size([1, 2])
        self.queue, self.lists = collections.deque([1, 2], maxlen=5), collections.defaultdict(list, {"a": [1]})
        self.leaf = torch.ones(2, requires_grad=True)
        self.conv.double()
        self.register_forward_hook(hook)

    def forward(self, x):
        return self.builtin(self.act(self.seq(x))) + self.plist[0].sum() + self.part(-self.range).sum() + self.function(x).sum()


def seen(net):
    net.eval()
    x = torch.ones(1, 1, 4)
    return (
        repr(net), list(net.state_dict()), [n for n, _ in net.named_buffers()], net.tied is net.seq[0], net.cls is nn.Linear,
        repr((net.config, net.kind, net.bag, type(net.bag).__name__, net.names, net.dtype, net.device, net.size, net.queue, net.lists)),
        net.none, net.leaf.requires_grad, [p.requires_grad for p in net.parameters()], str(net.conv.weight.dtype),
        net(torch.ones(1, 2)).tolist(), net.lstm(x)[0].tolist(), net.encoder(x).tolist(), list(net._forward_hooks.values()) == [hook],
    )
"""


@pytest.fixture
def both(tmp_path, monkeypatch):
    """The module of models twice: bound to PyTorch, and to jaxnn through a door, which is open."""
    (tmp_path / "whole_models.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = importlib.import_module("whole_models")
    with compat.install(scope={"whole_models"}, quiet=True):
        ours = importlib.import_module("whole_models")
        yield ours, theirs
    sys.modules.pop("whole_models", None)


def close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(a, list) and a and not isinstance(a[0], (str, bool)):
            torch.testing.assert_close(torch.tensor(a), torch.tensor(b))
        else:
            assert a == b


def written(lib, value, **options):
    file = io.BytesIO()
    lib.save(value, file, **options)
    file.seek(0)
    return file


@contextlib.contextmanager
def found_as(models):
    """In this block pickle finds the classes of one of the two."""
    before, sys.modules["whole_models"] = sys.modules["whole_models"], models
    yield
    sys.modules["whole_models"] = before


@pytest.mark.parametrize("zipped", [True, False])
def test_modules_go_both_ways(both, zipped):
    ours, theirs = both
    lib = ours.torch
    assert lib is not torch and theirs.torch is torch
    options = {"_use_new_zipfile_serialization": zipped}
    torch.manual_seed(0)
    net = theirs.Net()
    wanted = theirs.seen(net)
    with found_as(theirs):
        file = written(torch, [net, net], **options)
    found = lib.load(file, weights_only=False)
    assert found[0] is found[1] and type(found[0]) is ours.Net
    close(ours.seen(found[0]), wanted)
    again = lib.load(written(lib, found[0], **options), weights_only=False)
    close(ours.seen(again), wanted)
    again.train()
    again(lib.ones(1, 2)).sum().backward()
    assert again.seq[0].weight.grad is not None and found[0].seq[0].weight.grad is None
    file = written(lib, {"model": again, "epoch": 3}, **options)
    with found_as(theirs):
        back = torch.load(file, weights_only=False)
    assert type(back["model"]) is theirs.Net and back["epoch"] == 3
    close(theirs.seen(back["model"]), wanted)
    back["model"].train()(torch.ones(1, 2)).sum().backward()


def test_objects_are_refused_unless_the_file_is_trusted(both):
    lib = both[0].torch
    file = written(lib, lib.nn.Linear(2, 2))
    for trusted in (None, True):
        file.seek(0)
        with pytest.raises(pickle.UnpicklingError, match="torch.nn.modules.linear.Linear"):
            lib.load(file, weights_only=trusted)
    file.seek(0)
    assert repr(torch.load(file, weights_only=False)) == "Linear(in_features=2, out_features=2, bias=True)"


def test_what_cannot_be_pickled(both):
    for models in both:
        lib = models.torch

        class Local(lib.nn.Module):
            pass

        for value, kind, text in (
            (lambda x: x, (pickle.PicklingError, AttributeError), "lambda"), (Local(), AttributeError, "Can't pickle local object"),
        ):  # fmt: skip
            with pytest.raises(kind, match=text):
                written(lib, value)


def test_attributes_of_tensors(both):
    ours, _ = both
    for writer in (torch, ours.torch):
        t = writer.ones(2)
        t.note = "kept"
        p = writer.nn.Parameter(writer.ones(2))
        p.kind = {"decay": False}
        for reader in (torch, ours.torch):
            a, b = reader.load(written(writer, [t, p]), weights_only=False)
            assert a.note == "kept" and b.kind == {"decay": False} and isinstance(b, reader.nn.Parameter), (writer, reader)


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64", "float8_e4m3fn", "bfloat16", "complex64"])
def test_types(both, name):
    ours, _ = both
    for writer in (torch, ours.torch):
        t = writer.arange(3).to(getattr(writer, name))
        for reader in (torch, ours.torch):
            read, kind = reader.load(written(writer, [t, t.dtype]), weights_only=False)
            assert read.dtype is kind is getattr(reader, name) and read.to(reader.float32).tolist() == [0, 1, 2]


def test_data_is_written_as_without_a_door():
    value = {"a": torch.arange(3).tolist(), "b": (1, None, "x")}
    with warnings.catch_warnings(action="error"):
        assert pickle.loads(pickle.dumps(Names().module("torch").save)) is not None
    ours = written(Names().module("torch"), value).getvalue()
    assert torch.load(io.BytesIO(ours)) == value


KINDS = {
    "coordinates": lambda t: t.eye(2).to_sparse(),
    "rows": lambda t: t.eye(2).to_sparse_csr(),
    "meta": lambda t: t.nn.Parameter(t.empty(2, 3, device="meta")),
    "layout": lambda t: t.sparse_coo,
    "uninitialized": lambda t: t.nn.UninitializedParameter(),
    "packed": lambda t: t.nn.utils.rnn.pack_sequence([t.ones(2)]),
    "generator": lambda t: t.Generator().manual_seed(3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_and_objects_of_other_kinds(kind):
    def seen(found):
        return found.get_state().tolist() if kind == "generator" else repr(found)

    for source, writer in ((torch, torch), (jaxnn, whole_objects)):
        for reader in (whole_objects, torch):
            file = io.BytesIO()
            writer.save([KINDS[kind](source)], file)
            file.seek(0)
            assert seen(reader.load(file, weights_only=False)[0]) == seen(KINDS[kind](torch))

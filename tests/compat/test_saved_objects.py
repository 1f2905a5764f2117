"""What `save` takes beside tensors: numpy's data, the old format, and objects of classes that the program allows."""

import datetime
import enum
import functools
import io
import pickle
import warnings
from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import nn
from jaxnn.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    safe_globals,
)
from tests.compat.files import rewritten

DATA = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.float64(3.5),
    "text": np.array(["x", "yy"]),
    "empty": np.zeros((0, 2), bool),
    "small": np.int8(-3),
    "0-d": np.array(1.5 + 2j),
    "swapped": np.array([1, 2], ">i4"),
    "type": np.dtype("float32"),
    "bytes": np.array([b"ab", b""]),
    "twice": [np.ones(2)] * 2,
}


def written(library, obj, **options):
    file = io.BytesIO()
    library.save(obj, file, **options)
    file.seek(0)
    return file


def same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, list):
        assert len(ours) == len(theirs) and (ours[0] is ours[1]) == (theirs[0] is theirs[1])
        ours, theirs = ours[0], theirs[0]
    if isinstance(ours, np.dtype):
        assert ours == theirs
    else:
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", DATA)
def test_numpy_data(key, zipped):
    value = DATA[key]
    options = {"_use_new_zipfile_serialization": zipped}
    reference = torch.load(written(torch, value, **options), weights_only=False)
    for library, reader in ((jaxnn, jaxnn), (jaxnn, torch), (torch, jaxnn)):
        same(reader.load(written(library, value, **options), weights_only=False), reference)
    for reader in (jaxnn, torch):
        with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
            reader.load(written(jaxnn, value, **options))


def zone(hours):
    return datetime.timezone(datetime.timedelta(hours=hours), "here")


PYTHON = {
    "frozen set": lambda t: frozenset([1, "a", (2, None)]),
    "slices": lambda t: [slice(1, None, 2), slice(None)],
    "ranges": lambda t: [range(3), range(10, 0, -2)],
    "deque": lambda t: deque([1, [2]], maxlen=3),
    "deque without end": lambda t: deque("ab"),
    "dict with defaults": lambda t: defaultdict(list, a=[1]),
    "dicts with other defaults": lambda t: [defaultdict(k, a=1) for k in (None, int, float, str, set, dict, tuple, bool, OrderedDict)],
    "times": lambda t: [datetime.datetime(2026, 2, 3, 4, 5, 6, 7), datetime.date(2026, 2, 3), datetime.time(1, 2, 3, 4)],
    "spans": lambda t: [datetime.timedelta(-1, 2, 3), datetime.UTC, zone(2)],
    "times of zones": lambda t: [datetime.datetime(2026, 2, 3, tzinfo=datetime.UTC), datetime.time(1, tzinfo=zone(-3))],
    "keys": lambda t: {frozenset([1]): 1, datetime.date(2026, 1, 1): 2, range(2): 3},
    "large ints": lambda t: [1 << 3000, -(1 << 4000)],
    "tensors within": lambda t: {"d": deque([t.ones(2)]), "c": defaultdict(list, a=[t.zeros(1)])},
    "generator": lambda t: drawn_from(t.Generator().manual_seed(5), t),
    "packed sequence": lambda t: t.nn.utils.rnn.pack_sequence([t.ones(2), t.arange(3.0)], enforce_sorted=False),
    "uninitialized": lambda t: [t.nn.UninitializedParameter(), t.nn.UninitializedParameter(requires_grad=False)],
    "lazy": lambda t: list(t.nn.LazyLinear(3).state_dict().values()),
}


def drawn_from(generator, t):
    t.rand(5, generator=generator)
    return generator


def seen(t, value):
    """What can be seen of an object, the same for both libraries."""
    if isinstance(value, t.Generator):
        return value.initial_seed(), value.get_state().tolist(), str(value.device)
    if isinstance(value, t.Tensor):
        return repr(value), value.requires_grad
    if isinstance(value, dict):
        defaults = value.default_factory if isinstance(value, defaultdict) else None
        return type(value).__name__, defaults, [(k, seen(t, v)) for k, v in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return type(value).__name__, getattr(value, "maxlen", None), [seen(t, v) for v in value]
    return type(value), value


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", PYTHON)
def test_more_of_pythons_data(kind, zipped):
    if kind == "generator" and not zipped:
        pytest.skip("PyTorch reads the state before it is there")
    make, options = PYTHON[kind], {"_use_new_zipfile_serialization": zipped}
    expected = seen(torch, torch.load(written(torch, make(torch), **options), weights_only=False))
    for library, reader in ((jaxnn, jaxnn), (jaxnn, torch), (torch, jaxnn)):
        file = written(library, make(library), **options)
        assert seen(reader, reader.load(file, weights_only=False)) == expected
        if kind != "large ints":  # which are read here
            file.seek(0)
            with pytest.raises(pickle.UnpicklingError):
                reader.load(file, weights_only=True)


HOSTILE = {
    "a slice of text": b"c__builtin__\nslice\nX\x01\x00\x00\x00aNN\x87R.",
    "a slice of one": b"c__builtin__\nslice\nK\x01\x85R.",
    "a range of text": b"c__builtin__\nxrange\nX\x01\x00\x00\x00a\x85R.",
    "defaults of a function": b"ccollections\ndefaultdict\nc_codecs\nencode\n\x85R.",
    "defaults of data": b"ccollections\ndefaultdict\nK\x01\x85R.",
    "a type alone": b"c__builtin__\nlist\n.",
    "a type called": b"c__builtin__\nlong\nK\x01\x85R.",
    "a date of text": b"cdatetime\ndate\nX\x04\x00\x00\x00aaaa\x85R.",
    "a date that is none": b"cdatetime\ndate\nc_codecs\nencode\nX\x04\x00\x00\x00\x00\x00\x7f\x7fX\x06\x00\x00\x00latin1\x86R\x85R.",
    "a time of a zone that is none": b"cdatetime\ntimezone\nK\x01\x85R.",
    "a generator of text": b"ctorch._C\nGenerator\nX\x01\x00\x00\x00a\x85R.",
    "a generator's state": b"ctorch._C\nGenerator\nX\x03\x00\x00\x00cpu\x85RK\x01b.",
    "a packed sequence of nothing": b"ctorch.nn.utils.rnn\nPackedSequence\n)\x81.",
    "a frozen set of lists": b"c__builtin__\nfrozenset\n(]]l\x85R.",
    "a deque by itself": b"ccollections\ndeque\n)R0.",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_data_that_is_none_of_its_type(kind):
    file = rewritten(written(torch, 1).getvalue(), {"data.pkl": lambda _: b"\x80\x02" + HOSTILE[kind]})
    with pytest.raises(pickle.UnpicklingError):
        jaxnn.load(file, weights_only=False)


def made_here():
    return 7


def test_defaults_that_the_program_makes():
    value = defaultdict(made_here, a=1)
    with pytest.raises(pickle.PicklingError, match=r"made_here.*add_safe_globals"):
        written(jaxnn, value)
    with safe_globals([made_here]):
        assert jaxnn.load(written(jaxnn, value), weights_only=False)["b"] == 7
    theirs = written(torch, value)
    with pytest.raises(pickle.UnpicklingError, match="made_here"):
        jaxnn.load(theirs, weights_only=False)


def test_numpy_data_that_is_none():
    for bad in (np.array([object()]), np.zeros(2, [("a", int)]), np.array(["2020-01-01"], "datetime64[D]")):
        with pytest.raises(pickle.PicklingError, match="numbers, truth values and text"):
            written(jaxnn, bad)


def test_allowed_names_of_numpy_let_its_data_in():
    file = written(jaxnn, {"a": np.ones(2)})
    names = get_unsafe_globals_in_checkpoint(file)
    file.seek(0)
    assert names == sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    with safe_globals([(print, name) for name in names]):  # a name of numpy's stands for its data, whatever it is given as
        file.seek(0)
        assert jaxnn.load(file)["a"].tolist() == [1, 1]


def test_the_old_format():
    w = jaxnn.arange(6.0).view(2, 3)
    state = {"w": w, "row": w[1], "half": jaxnn.ones(2, dtype=jaxnn.bfloat16), "p": nn.Parameter(jaxnn.ones(2)), "n": [1, "a"]}
    file = written(jaxnn, state, _use_new_zipfile_serialization=False)
    theirs = torch.load(file)
    file.seek(0)
    ours = jaxnn.load(file)
    for found in (theirs, ours):
        assert found["w"].tolist() == w.tolist() and found["n"] == [1, "a"] and found["p"].requires_grad
        found["row"].zero_()
        assert found["w"].tolist() == [[0, 1, 2], [0, 0, 0]]
    assert theirs["half"].dtype == torch.bfloat16 and ours["half"].dtype == jaxnn.bfloat16


def test_pickle_modules():
    file = written(jaxnn, {"a": jaxnn.ones(2)}, pickle_module=pickle)
    assert jaxnn.load(file, pickle_module=pickle, weights_only=False)["a"].tolist() == [1, 1]
    for library in (jaxnn, torch):
        with pytest.raises(RuntimeError, match="explicit pickle_module"):
            library.load(file, pickle_module=pickle, weights_only=True)
    with pytest.raises(NotImplementedError, match="pickle_module=json: .*add_safe_globals"):
        import json

        jaxnn.save({}, io.BytesIO(), pickle_module=json)
    with pytest.raises(NotImplementedError, match="pickle_protocol"):
        jaxnn.save({}, io.BytesIO(), pickle_protocol=4)


@pytest.mark.parametrize("view", [False, True])
def test_requires_grad_of_what_was_computed(view):
    found = []
    for library in (torch, jaxnn):
        x = library.ones(2, 2, requires_grad=True)
        h = x * 2
        y = library.load(written(library, h.t() if view else h))
        found.append((y.requires_grad, y.is_leaf, y.tolist()))
    assert found[0] == found[1]


# ---- whole modules


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.register_buffer("scale", jaxnn.full((2,), 2.0), persistent=False)
        self.notes = {"tried": np.arange(3), "by": ["a", None]}
        self.tied = self.first

    def forward(self, x):
        return self.rest(self.norm(self.first(x))) * self.scale


class Hostile:
    ran = 0

    def __reduce__(self):
        return _ran, ()


def _ran():
    Hostile.ran += 1


CLASSES = [Net, nn.Linear, nn.BatchNorm1d, nn.Sequential, nn.ReLU]


@pytest.fixture(autouse=True)
def nothing_allowed():
    clear_safe_globals()
    yield
    clear_safe_globals()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_module_of_allowed_classes(zipped):
    model = Net()
    x = jaxnn.randn(5, 3)
    model(x)
    with safe_globals(CLASSES):
        file = written(jaxnn, {"model": model, "again": model}, _use_new_zipfile_serialization=zipped)
        found = jaxnn.load(file, weights_only=False)
    assert get_safe_globals() == []
    loaded = found["model"]
    assert loaded is found["again"] and loaded.tied is loaded.first and type(loaded) is Net
    assert list(loaded.state_dict()) == list(model.state_dict()) and [n for n, _ in loaded.named_buffers()] == [
        n for n, _ in model.named_buffers()
    ]
    assert type(loaded.norm.running_mean) is type(model.norm.running_mean)
    assert loaded.notes["tried"].tolist() == [0, 1, 2] and loaded.notes["by"] == ["a", None]
    jaxnn.testing.assert_close(loaded(x), model(x))
    loaded(x).sum().backward()
    assert loaded.first.weight.grad is not None and model.first.weight.grad is None


def test_a_module_is_refused_until_its_classes_are_allowed():
    model = Net()
    with pytest.raises(pickle.PicklingError, match=r"Net.*state_dict\(\).*add_safe_globals\(\[Net\]\)"):
        written(jaxnn, model)
    add_safe_globals([Net])
    with pytest.raises(pickle.PicklingError, match=r"add_safe_globals\(\[Linear\]\)"):
        written(jaxnn, model)
    add_safe_globals(CLASSES)
    assert get_safe_globals() == CLASSES
    file = written(jaxnn, model)
    clear_safe_globals()
    name = f"{Net.__module__}.Net"
    unsafe = get_unsafe_globals_in_checkpoint(file)
    assert name in unsafe and "jaxnn.nn.linear.Linear" in unsafe and not any("_rebuild" in n for n in unsafe)
    for weights_only in (None, True, False):
        file.seek(0)
        with pytest.raises(pickle.UnpicklingError, match=rf"{name} (.|\n)*Nothing of it was run(.|\n)*safe_globals"):
            jaxnn.load(file, weights_only=weights_only)


def test_pytorchs_whole_modules_are_refused_and_nothing_runs():
    with warnings.catch_warnings(action="ignore"):
        file = written(torch, torch.nn.Linear(2, 2))
        hostile = written(torch, {"a": Hostile()})
    theirs = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    file.seek(0)
    assert get_unsafe_globals_in_checkpoint(file) == sorted(theirs)
    for given in (file, hostile):
        given.seek(0)
        with pytest.raises(pickle.UnpicklingError, match="Nothing of it was run"):
            jaxnn.load(given, weights_only=False)
    assert Hostile.ran == 0
    hostile.seek(0)
    with safe_globals([_ran]):
        jaxnn.load(hostile)
    assert Hostile.ran == 1, "what the program allows is called"


class Color(enum.Enum):
    RED = 1


Pair = namedtuple("Pair", "a b")


class Bag(dict):
    pass


class Row(list):
    pass


class Slotted:
    __slots__ = ("value",)


def doubled(x):
    return 2 * x


def filled(made, **attributes):
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


ALLOWED = {
    "enumeration": lambda: [Color.RED, Color.RED],
    "named tuple": lambda: Pair(1, [2]),
    "dict of its own": lambda: filled(Bag(a=1, b=[2]), note="x"),
    "list of its own": lambda: filled(Row([1, {"a": 2}]), note="x"),
    "slots": lambda: filled(Slotted(), value=3),
    "function": lambda: [doubled, {"f": doubled}],
    "class": lambda: Color,
    "partial": lambda: functools.partial(doubled, 3),
}


def opened(value):
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    held = None if isinstance(value, Slotted) else value
    return type(value), getattr(value, "value", None), vars(value) if hasattr(value, "note") else None, held


@pytest.mark.parametrize("kind", ALLOWED)
def test_objects_that_the_program_allows(kind):
    names = [Color, Pair, Bag, Row, Slotted, doubled, functools.partial]
    with safe_globals(names):
        files = [written(library, ALLOWED[kind]()) for library in (torch, jaxnn)]
        for file in files:
            assert opened(jaxnn.load(file)) == opened(ALLOWED[kind]())
            file.seek(0)
            assert opened(torch.load(file, weights_only=False)) == opened(ALLOWED[kind]())
    for file in files:
        file.seek(0)
        with pytest.raises(pickle.UnpicklingError, match="Nothing of it was run"):
            jaxnn.load(file, weights_only=False)


def test_names_that_are_given_with_the_class():
    class Renamed:
        pass

    with safe_globals([(Renamed, "old.place.Renamed")]):
        made = Renamed()
        made.value = 3
        file = written(jaxnn, made)
        assert get_unsafe_globals_in_checkpoint(file) == []
        file.seek(0)
        assert jaxnn.load(file).value == 3
    with pytest.raises(TypeError, match="safe_globals takes"):
        add_safe_globals(["text"])

"""What packages for PyTorch do beside calling operators: names they reach for, and names they give to what is their own."""

from __future__ import annotations

import collections
import copy
import gc
import inspect

import numpy as np
import pytest
import torch

import jaxnn
import jaxnn.nn.functional as F
from jaxnn import compat
from jaxnn.compat.check import check
from jaxnn.compat.door.facade import Names

NAMES = Names()

SCALARS = (np.float64(1.5), np.float32(2.5), np.int64(2))
CALLS = {
    "leaky_relu": lambda t, F, v: F.leaky_relu(t, v),
    "layer_norm": lambda t, F, v: F.layer_norm(t, (np.int64(4),), eps=v),
    "sum": lambda t, F, v: t.sum(np.int64(1)),
    "pad": lambda t, F, v: F.pad(t, (np.int64(1), 1), value=v),
    "mul": lambda t, F, v: t * v,
    "clamp": lambda t, F, v: t.clamp(v),
    "view": lambda t, F, v: t.view(np.int64(4), np.int64(3)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", SCALARS, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("way", ["known", "pending", "traced"])
def test_numpy_scalars_are_numbers(name, value, way):
    if name == "leaky_relu" and not isinstance(value, float):
        value = float(value)
    given = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
    theirs = CALLS[name](torch.tensor(given), torch.nn.functional, value)

    def ours(t):
        return CALLS[name](t * 1 if way == "pending" else t, F, value)

    t = jaxnn.tensor(given)
    made = jaxnn.func.vmap(ours)(t[None])[0] if way == "traced" else ours(t)
    assert str(made.dtype) == str(theirs.dtype)
    torch.testing.assert_close(torch.tensor(made.numpy()), theirs)


@pytest.mark.parametrize("place", [(..., 0), 1, [0, 2], slice(None)], ids=str)
def test_a_numpy_scalar_is_written(place):
    theirs, ours = torch.zeros(3, 4), jaxnn.zeros(3, 4) * 1
    theirs[place], ours[place] = np.float64(1.5), np.float64(1.5)
    theirs[theirs > 1], ours[ours > 1] = np.float64(2.5), np.float64(2.5)
    assert ours.tolist() == theirs.tolist()


def test_children_can_be_walked_backwards():
    for lib in (jaxnn, torch):
        net = lib.nn.Sequential(lib.nn.Linear(1, 2), lib.nn.ReLU(), lib.nn.Linear(2, 1))
        assert [n for n, _ in reversed(net._modules.items())] == list(reversed(net._modules.keys())) == ["2", "1", "0"]
        assert list(reversed(net._modules.values())) == [net[2], net[1], net[0]]


def test_names_of_modules_are_free_for_users():
    """A module that uses any private name but PyTorch's for an attribute or method of its own is as good as before."""
    theirs = {*dir(torch.nn.Module()), *dir(torch.nn.Module)}
    flax = {n for c in jaxnn.nn.Module.__mro__ if c.__module__.startswith("flax") for n in vars(c)}
    own = {n for n in dir(jaxnn.nn.Module()) if n not in theirs | flax and not n.startswith(("__", "_jaxnn_"))}
    assert own == {"_pytree__state", "set_view"}  # Flax's


def test_a_metaclass_behind_a_door(tmp_path, monkeypatch):
    (tmp_path / "with_metaclass.py").write_text(
        "from torch import nn\n"
        "class Meta(type):\n"
        "    def __call__(cls, *args, **kwargs):\n"
        "        made = cls.__new__(cls, *args, **kwargs)\n"
        "        made.__init__(*args, **kwargs)\n"
        "        made.seen = True\n"
        "        return made\n"
        "class Base(nn.Module, metaclass=Meta):\n"
        "    def __new__(cls, kind, *args):\n"
        "        return super().__new__(Derived if kind == 'derived' else cls)\n"
        "    def __init__(self, kind):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(2, 1)\n"
        "class Derived(Base):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with compat.torch_alias(scope={"with_metaclass"}, quiet=True):
        import with_metaclass

        made = with_metaclass.Base("derived")
        assert type(made) is with_metaclass.Derived and made.seen and isinstance(made, jaxnn.nn.Module)
        assert [n for n, _ in made.named_parameters()] == ["layer.weight", "layer.bias"]


def private_functions(torch, x):
    """Functions that PyTorch keeps for itself."""
    from torch import _utils
    from torch.nn.parallel.scatter_gather import gather, is_namedtuple, scatter, scatter_kwargs
    from torch.utils._contextlib import _DecoratorContextManager
    from torch.utils.checkpoint import get_device_states
    from torch.utils.data._utils.worker import _generate_state
    from torch.utils.data.dataloader import Dataset, _DatasetKind

    flat = _utils._flatten_dense_tensors([x, x[0]])
    parts = _utils._unflatten_dense_tensors(flat, [x, x[0]])
    entered = []

    class Noted(_DecoratorContextManager):
        def __enter__(self):
            entered.append("in")

        def __exit__(self, *_):
            entered.append("out")

    @Noted()
    def steps():
        yield entered[-1]
        yield len(entered)

    named = collections.namedtuple("Pair", "a b")(x, 1)
    return {
        "flat": flat.tolist(), "parts": [p.tolist() for p in parts], "size": _utils._element_size(torch.int16),
        "steps": list(steps()), "states": get_device_states(x), "seed": _generate_state(2**40 + 7, 3),
        "named": is_namedtuple(named), "kind": (_DatasetKind.Map, _DatasetKind.Iterable),
        "same": Dataset is torch.utils.data.Dataset, "module": torch.get_device_module("cpu").__name__.endswith("cpu"),
        "shape": torch._shape_as_tensor(x).tolist(), "entered": entered,
        "aten": torch.ops.aten.convolution(x[None], x[:, None, :2], None, [1], [0], [1], False, [0], 3).tolist(),
        "slice": torch.ops.aten.slice(x, 1, 1, 3).tolist(),
    }, (gather, scatter, scatter_kwargs)  # fmt: skip


def test_private_functions():
    given = np.arange(12, dtype=np.float32).reshape(3, 4)
    theirs, _ = private_functions(torch, torch.tensor(given))
    with compat.torch_alias(quiet=True) as door:
        ours, (gather, scatter, scatter_kwargs) = private_functions(door.names.module("torch"), jaxnn.tensor(given))
    assert ours == theirs
    parts, named = scatter_kwargs((jaxnn.arange(4), [1]), {"k": jaxnn.ones(2)}, ["cpu", "cpu"])
    assert [p[0].tolist() for p in parts] == [[0, 1], [2, 3]] and [n["k"].tolist() for n in named] == [[1.0], [1.0]]
    assert gather([p[0] for p in parts], "cpu").tolist() == [0, 1, 2, 3]


def test_whether_it_is_a_tensor_is_not_asked_of_classes():
    class Like:
        @classmethod
        def __torch_function__(cls, *_):
            raise AssertionError

    assert jaxnn.is_tensor(Like()) is torch.is_tensor(Like()) is False


def test_a_signature_may_be_assigned():
    for lib in (jaxnn, torch):

        class Layer(lib.nn.Module):
            def __init__(self, size):
                super().__init__()

        Layer.__signature__ = wanted = inspect.signature(lambda width, height: None)
        assert inspect.signature(Layer) == wanted == Layer.__signature__


def test_types_that_no_tensor_has():
    types = NAMES.module("torch")
    for name in ("complex32", "qint8", "quint8", "qint32", "uint4", "int4"):
        ours, theirs = getattr(types, name), getattr(torch, name)
        assert (repr(ours), ours.itemsize, ours.is_complex, ours.is_floating_point) == (
            repr(theirs), theirs.itemsize, theirs.is_complex, theirs.is_floating_point,
        )  # fmt: skip
        assert isinstance(ours, jaxnn.dtype) and ours in {ours: 1} and ours != jaxnn.float16
        with pytest.raises(NotImplementedError, match=f"torch.{name}"):
            jaxnn.zeros(2, dtype=ours)


def test_operators_are_named_without_being_there():
    aten = NAMES.module("torch").ops.aten
    with pytest.raises(NotImplementedError, match="aten._pin_memory"):
        aten._pin_memory.default(jaxnn.ones(1))
    assert not hasattr(aten, "no_such_operator") and not hasattr(torch.ops.aten, "no_such_operator")


def test_keys_by_identity():
    for weak in (torch.utils.weak, NAMES.module("torch.utils.weak")):
        table, key = weak.WeakIdKeyDictionary(), torch.nn.Linear(1, 1)
        table[key] = 1
        assert table[key] == 1 and key in table and len(table) == 1 and list(table) == [key]
        del key
        gc.collect()
        assert len(table) == 0


def test_all_layers_of_a_file():
    """Packages resolve a layer's name by looking through the file that has it."""
    for file in ("activation", "normalization", "rnn", "pooling"):
        found = []
        for lib in (torch, NAMES.module("torch")):
            values = vars(getattr(lib.nn.modules, file)).items()
            found.append({n for n, v in values if isinstance(v, type) and issubclass(v, lib.nn.Module) and hasattr(torch.nn, n)})
        theirs, ours = found
        assert ours and ours == theirs - {"Module"}


def test_rows_of_sparse_matrices():
    rows, starts, columns = [0, 0, 2, 2, 3], [0, 2, 2, 4, 5], [1, 0, 1, 2, 3]
    found = []
    for lib in (torch, NAMES.module("torch")):
        made = [
            lib._convert_indices_from_coo_to_csr(lib.tensor(rows), size, out_int32=narrow) for size in (4, 6) for narrow in (False, True)
        ]
        made += [
            lib._convert_indices_from_csr_to_coo(lib.tensor(starts), lib.tensor(columns), out_int32=narrow, transpose=turned)
            for narrow in (False, True) for turned in (False, True)
        ]  # fmt: skip
        found.append([(str(t.dtype), t.tolist()) for t in made])
    assert found[0] == found[1]


def test_reductions_as_numbers():
    found = []
    for module in (torch.nn._reduction, NAMES.module("torch.nn._reduction")):
        flags = [(a, b) for a in (None, True, False) for b in (None, True, False)]
        found.append(
            [module.get_enum(name) for name in ("none", "mean", "sum")] + [module.legacy_get_string(*f, False) for f in flags]
            + [module.legacy_get_enum(*f, emit_warning=False) for f in flags]
        )  # fmt: skip
        with pytest.raises(ValueError, match="median is not a valid value for reduction"):
            module.get_enum("median")
    assert found[0] == found[1]


def test_fans_of_what_is_no_tensor():
    class Factors:
        shape = (4, 3, 2)
        ndim = 3

        def dim(self):
            return 3

        def size(self, k):
            return self.shape[k]

    for lib in (torch, jaxnn):
        assert lib.nn.init._calculate_fan_in_and_fan_out(Factors()) == (6, 8)


def test_a_pickle_is_a_function_and_its_arguments():
    """Subclasses take the pair apart and add to it."""
    for lib in (torch, jaxnn):

        class Marked(lib.Tensor):
            pass

        tensor = lib.ones(2).as_subclass(Marked)
        parameter = lib.nn.Parameter(lib.arange(2.0))
        for value in (tensor, parameter, lib.nn.Buffer(lib.ones(1)), lib.ones(1)):
            value.tag = "x"
            build, parts = value.__reduce_ex__(2)
            again = build(*parts)
            assert type(again) is type(value) and again.tag == "x" and again.tolist() == value.tolist()
            assert again.requires_grad == value.requires_grad
            copied = copy.copy(value)
            assert copied.tag == "x" and type(copied) is type(value)


def test_what_is_in_a_tensor():
    found = []
    for lib in (torch, jaxnn):
        said = []
        for value in (1, 2.0, True, np.float32(1), lib.ones(1), "a", None, [1.0], {}, lib.float32, np.ones(2)):
            try:
                said.append(value in lib.ones(2))
            except RuntimeError as error:
                said.append(str(error).partition("passed in")[0])
        found.append(said)
    assert found[0] == found[1]


def test_classes_of_other_libraries_are_no_names_of_pytorch_s(tmp_path):
    (tmp_path / "program.py").write_text("import torch\ntable = torch.classes.graphs.Table\ntorch.no_such_name\n")
    assert [f.name for f in check(tmp_path)] == ["torch.no_such_name"]

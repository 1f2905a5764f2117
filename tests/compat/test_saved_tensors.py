"""Tensors of other kinds in files, beside PyTorch: sparse ones, those on meta, and instances of subclasses."""

import copy
import io
import pickle
import sys
import types

import pytest
import torch

import jaxnn
from jaxnn.serialization import clear_safe_globals, get_unsafe_globals_in_checkpoint, safe_globals

LIBRARIES = {"torch": torch, "jaxnn": jaxnn}


def written(library, obj, **options):
    file = io.BytesIO()
    library.save(obj, file, **options)
    file.seek(0)
    return file


def each_way(make, look, **options):
    """What is seen of an object after each library has read what each library wrote: all the same as PyTorch alone sees."""
    expected = look(torch, torch.load(written(torch, make(torch)), weights_only=True, **options))
    for writer in (jaxnn, torch):
        for reader in (jaxnn, torch):
            for weights_only in (True, False):
                found = reader.load(written(writer, make(writer)), weights_only=weights_only, **options)
                assert look(reader, found) == expected, (writer.__name__, reader.__name__, weights_only)
    file = written(jaxnn, make(jaxnn), _use_new_zipfile_serialization=False)  # the format before 1.6
    assert look(torch, torch.load(file, **options)) == expected
    file.seek(0)
    assert look(jaxnn, jaxnn.load(file, **options)) == expected
    return expected


# ---- sparse


def coordinates(t, indices, values, size, **options):
    return t.sparse_coo_tensor(t.tensor(indices), t.tensor(values, **options), size)


SPARSE = {
    "coordinates": lambda t: coordinates(t, [[0, 2], [1, 0]], [1.5, -2.0], (3, 4)),
    "uncoalesced": lambda t: coordinates(t, [[1, 1, 0], [1, 1, 0]], [1.0, 2.0, 3.0], (2, 2)),
    "coalesced": lambda t: coordinates(t, [[1, 1, 0], [1, 1, 0]], [1.0, 2.0, 3.0], (2, 2)).coalesce(),
    "dense parts": lambda t: coordinates(t, [[0, 1]], [[1.0, 2.0], [3.0, 4.0]], (3, 2)),
    "one dimension": lambda t: coordinates(t, [[4, 1]], [1, 2], (7,)),
    "no values": lambda t: t.sparse_coo_tensor((2, 3)),
    "bfloat16": lambda t: coordinates(t, [[0], [1]], [1.5], (2, 2), dtype=t.bfloat16),
    "complex": lambda t: coordinates(t, [[0], [1]], [1.5 + 2j], (2, 2)),
    "bools": lambda t: t.eye(3, dtype=t.bool).to_sparse(),
    "gradients": lambda t: t.eye(3).to_sparse().requires_grad_(),
    "rows": lambda t: t.sparse_csr_tensor(t.tensor([0, 1, 1, 3]), t.tensor([2, 0, 1]), t.tensor([1.0, 2.0, 3.0]), (3, 4)),
    "rows of int64": lambda t: t.eye(3, dtype=t.int64).to_sparse_csr(),
}


def look_at_sparse(t, found):
    parts = [found._indices()] if found.layout is t.sparse_coo else [found.crow_indices(), found.col_indices()]
    coalesced = found.is_coalesced() if found.layout is t.sparse_coo else None
    parts.append(found._values() if found.layout is t.sparse_coo else found.values())
    described = str(found.layout), str(found.dtype), tuple(found.shape), found.requires_grad, coalesced, vars(found).get("note")
    return *described, [(p.tolist(), str(p.dtype)) for p in parts], found.to_dense().tolist(), repr(found)


@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_tensors(kind):
    each_way(SPARSE[kind], look_at_sparse)


def test_sparse_tensors_in_containers():
    def make(t):
        sparse = SPARSE["coordinates"](t)
        sparse.note = [1, "a"]
        return {"a": [sparse, (t.ones(2), sparse)], "b": SPARSE["rows"](t)}

    def look(t, found):
        assert found["a"][0] is found["a"][1][1]
        return look_at_sparse(t, found["a"][0]), look_at_sparse(t, found["b"]), found["a"][1][0].tolist()

    each_way(make, look, map_location="cpu")


def test_layouts_that_are_not_here():
    for theirs in (torch.eye(4).to_sparse_csc(), torch.eye(4).to_sparse_bsr((2, 2)), torch.eye(4).to_sparse_bsc((2, 2))):
        with pytest.raises(NotImplementedError, match=str(theirs.layout)):
            jaxnn.load(written(torch, theirs))
    with pytest.raises(NotImplementedError, match="batches"):
        jaxnn.load(written(torch, torch.ones(2, 3, 3).to_sparse_csr()))


def test_layouts_themselves():
    names = ["strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"]
    each_way(lambda t: [getattr(t, n) for n in names[:3]], lambda t, found: [f is getattr(t, n) for f, n in zip(found, names)])
    found = jaxnn.load(written(torch, [getattr(torch, n) for n in names]))
    assert [repr(f) for f in found] == [f"torch.{n}" for n in names]


BROKEN = {
    "an index outside": lambda s: s._indices().fill_(7),
    "a negative index": lambda s: s._indices().fill_(-1),
}
BROKEN_ROWS = {
    "more rows than values": lambda s: s.crow_indices()[-1:].fill_(1 << 40),
    "a start before the first": lambda s: s.crow_indices()[:1].fill_(-(1 << 40)),
    "rows in another order": lambda s: s.crow_indices()[1:2].fill_(3),
    "a column outside": lambda s: s.col_indices().fill_(9),
}


@pytest.mark.parametrize("kind", [*BROKEN, *BROKEN_ROWS])
def test_sparse_tensors_that_do_not_fit_together(kind):
    sparse = SPARSE["coordinates" if kind in BROKEN else "rows"](torch)
    {**BROKEN, **BROKEN_ROWS}[kind](sparse)
    file = written(torch, sparse)
    with torch.sparse.check_sparse_tensor_invariants(), pytest.raises(RuntimeError):
        torch.load(file)
    file.seek(0)
    with pytest.raises(RuntimeError):
        jaxnn.load(file)


# ---- meta


def on_meta(t, *size, **options):
    return t.empty(*size, device="meta", **options)


META = {
    "tensor": lambda t: on_meta(t, 2, 3),
    "gradients": lambda t: on_meta(t, 2, dtype=t.float16, requires_grad=True),
    "transposed": lambda t: on_meta(t, 2, 3).t(),
    "part": lambda t: on_meta(t, 5, 3)[1:4, ::2],
    "empty": lambda t: on_meta(t, 0, 3, dtype=t.bool),
    "0-d": lambda t: on_meta(t, (), dtype=t.complex64),
    "expanded": lambda t: on_meta(t, 1).expand(4, 5),
    "parameter": lambda t: t.nn.Parameter(on_meta(t, 2, 3)),
    "frozen parameter": lambda t: t.nn.Parameter(on_meta(t, 2, 3), requires_grad=False),
    "buffer": lambda t: t.nn.Buffer(on_meta(t, 2)),
    "too large to be": lambda t: on_meta(t, 1 << 20, 1 << 20, 1 << 10),
}


def look_at_meta(t, found):
    kind = type(found).__name__, str(found.dtype), str(found.device), found.requires_grad, found.is_leaf
    return *kind, tuple(found.shape), found.stride(), vars(found).get("note")


@pytest.mark.parametrize("kind", META)
def test_meta_tensors(kind):
    if kind == "buffer":  # of a class of its own here
        each_way(META[kind], lambda t, found: look_at_meta(t, found.detach()))
    else:
        each_way(META[kind], look_at_meta)


@pytest.mark.parametrize("place", ["cpu", "meta", None, "function"])
def test_meta_tensors_stay_there(place):
    def make(t):
        with t.device("meta"):
            layer = t.nn.Linear(2, 3, dtype=t.float64)
        layer.weight.note = 3
        return {"layer": layer.state_dict(), "weight": layer.weight}

    def look(t, found):
        return [look_at_meta(t, v) for v in (*found["layer"].values(), found["weight"])], list(found["layer"])

    each_way(make, look, map_location=(lambda storage, location: 1 / 0) if place == "function" else place)


def test_reading_onto_meta():
    def make(t):
        w = t.arange(6.0).view(2, 3)
        return {"w": w, "t": w.t(), "p": t.nn.Parameter(w[1])}

    each_way(make, lambda t, found: [look_at_meta(t, v) for v in found.values()], map_location="meta")


# ---- subclasses


SOURCE = """
class Named(torch.Tensor):
    pass

class Told(torch.Tensor):
    def __getstate__(self):
        return {"told": [1, torch.ones(2)]}
    def __setstate__(self, state):
        self.seen = ("set", state["told"])

class Slotted(torch.Tensor):
    __slots__ = ("unit",)

class Weight(torch.nn.Parameter):
    pass
"""
PLACE = "tests_compat_saved_classes"  # the module's name, the same for either library


def classes(library):
    module = types.ModuleType(PLACE)
    module.torch = library
    exec(SOURCE, vars(module))
    return module


THERE = {library: classes(library) for library in (torch, jaxnn)}


@pytest.fixture(autouse=True)
def nothing_allowed():
    clear_safe_globals()
    yield
    clear_safe_globals()


def of(t, name, data, **attributes):
    made = data.as_subclass(getattr(THERE[t], name))
    for key, value in attributes.items():
        setattr(made, key, value)
    return made


SUBCLASSED = {
    "plain": lambda t: of(t, "Named", t.arange(4.0)),
    "attributes": lambda t: of(t, "Named", t.arange(4.0), unit="m", levels=[1, (2, t.ones(1))]),
    "view": lambda t: of(t, "Named", t.arange(6.0).view(2, 3).t()[1:]),
    "bfloat16": lambda t: of(t, "Named", t.ones(2, dtype=t.bfloat16)),
    "uint16": lambda t: of(t, "Named", t.tensor([1, 2], dtype=t.uint16)),
    "meta": lambda t: of(t, "Named", on_meta(t, 2, 3), unit="m"),
    "state of its own": lambda t: of(t, "Told", t.arange(2.0), left_out=3),
    "slots": lambda t: of(t, "Slotted", t.arange(2.0), unit="m", more=1),
}


def look_at_class(t, found):
    values = None if found.is_meta else found.tolist()
    told = {k: look_at_value(v) for k, v in vars(found).items()}
    return type(found).__name__, values, str(found.dtype), found.stride(), told, getattr(found, "unit", None)


def look_at_value(value):
    if isinstance(value, (list, tuple)):
        return [look_at_value(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize("kind", SUBCLASSED)
def test_subclasses_that_the_program_allows(kind, monkeypatch):
    make = SUBCLASSED[kind]
    monkeypatch.setitem(sys.modules, PLACE, THERE[torch])
    allowed = {t: [getattr(THERE[t], name) for name in ("Named", "Told", "Slotted")] for t in THERE}
    expected = look_at_class(torch, torch.load(written(torch, [make(torch)]), weights_only=False)[0])
    for writer in (torch, jaxnn):
        monkeypatch.setitem(sys.modules, PLACE, THERE[writer])
        file = written(writer, [make(writer)])
        monkeypatch.setitem(sys.modules, PLACE, THERE[torch])
        for weights_only in (True, False):
            with torch.serialization.safe_globals(allowed[torch]):
                file.seek(0)
                assert look_at_class(torch, torch.load(file, weights_only=weights_only)[0]) == expected
            with safe_globals(allowed[jaxnn]):
                file.seek(0)
                assert look_at_class(jaxnn, jaxnn.load(file, weights_only=weights_only)[0]) == expected


def test_subclasses_that_nobody_allows_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, PLACE, THERE[torch])
    for writer in (torch, jaxnn):
        file = written(writer, SUBCLASSED["attributes"](writer))
        for reader in (torch, jaxnn):
            file.seek(0)
            with pytest.raises(pickle.UnpicklingError, match=rf"{PLACE}.Named"):
                reader.load(file)
        file.seek(0)
        assert get_unsafe_globals_in_checkpoint(file) == [f"{PLACE}.Named"]
        file.seek(0)
        with pytest.raises(pickle.UnpicklingError, match="Nothing of it was run"):  # PyTorch would import it
            jaxnn.load(file, weights_only=False)


def test_an_allowed_class_that_is_none_of_tensors():
    class Other:
        pass

    file = written(jaxnn, SUBCLASSED["plain"](jaxnn))
    with safe_globals([(Other, f"{PLACE}.Named")]), pytest.raises(pickle.UnpicklingError, match="Other is no subclass of Tensor"):
        jaxnn.load(file)


def test_local_classes_are_refused_when_written():
    for t in (torch, jaxnn):

        class Local(t.Tensor):
            pass

        with pytest.raises((AttributeError, pickle.PicklingError), match="Can't (pickle|get) local object"):
            written(t, t.ones(2).as_subclass(Local))
    with safe_globals([(Local, "named.Local")]):
        assert type(jaxnn.load(written(jaxnn, jaxnn.ones(2).as_subclass(Local)))) is Local


def test_classes_of_parameters_are_parameters_in_files():
    def make(t):
        found = THERE[t].Weight(t.ones(2), requires_grad=False)
        found.unit = "m"
        return found

    each_way(make, lambda t, found: (type(found) is t.nn.Parameter, found.tolist(), found.requires_grad, found.unit))


def test_subclasses_that_share_memory(monkeypatch):
    for t in (torch, jaxnn):
        monkeypatch.setitem(sys.modules, PLACE, THERE[t])
        base = t.zeros(4)
        file = written(t, {"base": base, "named": of(t, "Named", base)[1:3]})
        with torch.serialization.safe_globals([THERE[torch].Named]), safe_globals([THERE[jaxnn].Named]):
            for reader in (torch, jaxnn):
                file.seek(0)
                found = reader.load(file)
                found["base"][1] = 5
                assert found["named"].tolist() == [5, 0] and type(found["named"]) is THERE[reader].Named


@pytest.mark.parametrize("kind", [k for k in SUBCLASSED if k not in ("meta", "uint16")])  # which PyTorch cannot pickle
def test_pickled_subclasses(kind, monkeypatch):
    found = {}
    for t in THERE:
        monkeypatch.setitem(sys.modules, PLACE, THERE[t])
        made = SUBCLASSED[kind](t)
        copied = pickle.loads(pickle.dumps(made))
        made.fill_(0)
        found[t] = look_at_class(t, copied)
    assert found[jaxnn] == found[torch]


@pytest.mark.parametrize("kind", SUBCLASSED)
def test_copies_of_subclasses(kind):
    """PyTorch's raise, unless the class has a `new_empty` or a `__deepcopy__`."""
    made = SUBCLASSED[kind](jaxnn)
    expected = look_at_class(jaxnn, made)
    copied = copy.deepcopy(made)
    made.fill_(0)
    assert look_at_class(jaxnn, copied) == expected and type(copied) is type(made)


# ---- generators


def test_states_of_generators():
    def make(t):
        g = t.Generator().manual_seed(3)
        t.rand(5, generator=g)
        t.manual_seed(7)
        return {"generator": g.get_state(), "default": t.get_rng_state()}

    def look(t, found):
        g = t.Generator()
        g.set_state(found["generator"])
        t.set_rng_state(found["default"])
        return t.rand(3, generator=g).tolist(), t.rand(2).tolist(), type(found["generator"]) is t.Tensor, str(found["generator"].dtype)

    each_way(make, look)

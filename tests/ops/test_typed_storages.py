"""PyTorch's legacy storages of one type, and storages that change their size, beside PyTorch."""

import copy
import io
import pickle

import pytest
import torch

import jaxnn

LIBRARIES = (torch, jaxnn)
NAMES = (
    "DoubleStorage FloatStorage HalfStorage BFloat16Storage LongStorage IntStorage ShortStorage CharStorage ByteStorage BoolStorage "
    "ComplexDoubleStorage ComplexFloatStorage"
).split()


def both(look):
    """What a function of the library gives, or raises, on each: equal."""
    found = []
    for t in LIBRARIES:
        try:
            found.append(look(t))
        except Exception as error:
            found.append((type(error), str(error).partition("received")[2][:200]))
    assert found[1] == found[0]
    return found[0]


@pytest.mark.parametrize("name", NAMES)
def test_storages_of_a_type(name):
    def look(t):
        kind = getattr(t, name)
        made = kind([1, 0, 3])
        one = made.untyped()
        others = [n for n in NAMES if isinstance(made, getattr(t, n))]
        described = made.tolist(), len(made), made.nbytes(), str(made.dtype), str(kind.dtype), type(made).__name__, made.type()
        sizes = len(kind()), len(kind(5)), len(kind([])), kind(range(2)).tolist(), kind(wrap_storage=one).tolist()
        file = io.BytesIO()
        t.save(made, file)
        file.seek(0)
        read = t.load(file, weights_only=False)
        again = read.tolist(), type(read).__name__, pickle.loads(pickle.dumps(made)).tolist(), copy.deepcopy(made).tolist()
        classes = issubclass(kind, t.TypedStorage), kind.__name__, t.is_storage(made), made.pickle_storage_type()
        return described, sizes, others, again, classes, repr(made), repr(kind)

    both(look)


REFUSED = {
    "text": lambda t: t.FloatStorage("a"),
    "nothing": lambda t: t.FloatStorage(None),
    "a float": lambda t: t.FloatStorage(2.5),
    "a set": lambda t: t.FloatStorage({1, 2}),
    "two": lambda t: t.FloatStorage(1, 2),
    "a type": lambda t: t.FloatStorage(2, dtype=t.float64),
    "a device": lambda t: t.FloatStorage(2, device="cpu"),
    "a number to wrap": lambda t: t.FloatStorage(wrap_storage=3),
    "both": lambda t: t.FloatStorage(3, wrap_storage=t.ones(2).untyped_storage()),
    "resize to text": lambda t: t.UntypedStorage(4).resize_("a"),
    "resize to a float": lambda t: t.UntypedStorage(4).resize_(1.5),
    "a byte order": lambda t: t.FloatStorage.from_buffer(b"1234", "middle"),
    "no whole elements": lambda t: t.FloatStorage.from_buffer(b"12345", "native"),
    "too many elements": lambda t: t.FloatStorage.from_buffer(b"12345678", "native", 3),
    "an offset behind the end": lambda t: t.FloatStorage.from_buffer(b"1234", "native", offset=5),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind):
    assert isinstance(both(REFUSED[kind])[0], type)


def test_storages_of_a_buffer():
    content = bytes(range(1, 25))
    both(lambda t: t.IntStorage.from_buffer(content, "little").tolist())
    both(lambda t: t.ShortStorage.from_buffer(content, "big", 3, 2).tolist())
    both(lambda t: t.ByteStorage._from_buffer(content).tolist())
    both(lambda t: t.ComplexFloatStorage.from_buffer(content, "big").tolist())


def test_tensors_over_storages():
    def look(t):
        made = t.FloatStorage([1, 2, 3])
        tensors = [t.FloatTensor(made), t.Tensor(made), t.ones(1).new(made), t.tensor([]).set_(made)]
        made[1] = 7
        tensors[0][2] = 5
        return [x.tolist() for x in tensors], made.tolist()

    both(look)
    with pytest.raises(TypeError, match="Storage"):
        jaxnn.LongTensor(jaxnn.FloatStorage([1]))


def test_storages_that_nobody_else_shows_change_their_size():
    def look(t):
        s, u = t.FloatStorage([1, 2, 3]), t.UntypedStorage([1, 2, 3])
        found = [s.resize_(5), s.size(), s.tolist()[:3]]
        s.fill_(4)
        s.resize_(2)
        found += [s.tolist(), s.nbytes(), type(u.resize_(6)).__name__, u.tolist()[:3], u.nbytes()]
        s.resize_(0)
        found += [s.tolist(), len(s), s.data_ptr()]
        s.resize_(3)
        s.copy_(t.FloatStorage([1, 2, 3]))
        return [*found, s.tolist()]

    both(look)


def test_memory_that_tensors_show_is_freed_and_had_again():
    """The habit of sharded training: the gathered parameters go, and come back before they are used."""

    def look(t):
        w = t.nn.Parameter(t.arange(6.0).view(2, 3))
        alias, row, version = w.data, w.detach()[1], w._version
        w.untyped_storage().resize_(0)
        found = [w.shape, w.data_ptr(), w.untyped_storage().nbytes()]
        found += [w.storage().size(), row.untyped_storage().size(), w.untyped_storage().tolist()]
        with pytest.raises(RuntimeError, match="out of bounds"):
            row[0].item()
        w.storage().resize_(6)
        with t.no_grad():
            w.copy_(t.arange(6.0).view(2, 3) * 2)
        (w * 3).sum().backward()
        return [*found, w.tolist(), alias.tolist(), row.tolist(), w.grad.tolist(), w._version - version, w.untyped_storage().nbytes()]

    both(look)


def test_freed_memory_that_was_computed_and_not_read():
    h = jaxnn.arange(4.0) * 2
    kept = h + 1
    h.untyped_storage().resize_(0)
    assert kept.tolist() == [1, 3, 5, 7]
    for read in (lambda: h.sum().item(), lambda: h.tolist(), lambda: repr(h), lambda: h.numpy(), lambda: h.clone().tolist()):
        with pytest.raises(RuntimeError, match="out of bounds"):
            read()
    h.untyped_storage().resize_(16)
    h.fill_(3)
    assert h.tolist() == [3] * 4


def test_other_sizes_of_memory_that_tensors_show():
    w = jaxnn.ones(4)
    for size in (8, 32):
        with pytest.raises(NotImplementedError, match=rf"resize_\({size}\).*16 bytes"):
            w.untyped_storage().resize_(size)
    assert w.tolist() == [1] * 4


def test_memory_of_numpy_keeps_its_size():
    array = torch.ones(3).numpy()
    for t in LIBRARIES:
        with pytest.raises(RuntimeError, match="not resizable"):
            t.from_numpy(array).untyped_storage().resize_(0)

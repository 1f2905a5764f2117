"""Memory that tensors and numpy arrays share: each step of a program is compared with PyTorch's."""

import array
import copy
import gc
import threading
import warnings

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.core.memory.buffer import SharedBuffer


def plain(x):
    """What a program noted, comparable: tensors and arrays as lists."""
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    return x.tolist() if hasattr(x, "tolist") else x


def outcome(module, program):
    notes = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program(module, lambda *values: notes.append(plain(values)))
    except Exception as error:
        notes.append((type(error).__name__, str(error).split(".")[0]))
    return notes


def writes_both_ways(m, note):
    a = np.zeros(4, np.float32)
    x = m.from_numpy(a)
    a[0] = 7
    note(x)
    x[1] = 5
    note(a)
    x.add_(1)
    y = x * 2  # read now
    a[2] = 100
    note(a, x, y, x + 0)
    v = x[1:3]
    a[1] = -1
    note(v)
    v.mul_(3)
    note(a)


def arrays_of_tensors(m, note):
    x = m.arange(6.0).view(2, 3)
    n = x.numpy()
    n[0, 0] = 9
    note(x)
    x[1] = 4
    turned = x.t()
    of_turned = turned.numpy()
    of_turned[2, 1] = 77
    note(n, x, of_turned.strides, turned * 1)
    x.zero_()
    note(of_turned)


def views_read_before(m, note):
    x = m.arange(6.0)
    y = x.view(2, 3)
    z = y[1]
    seen = y * 2
    x.numpy()[3] = 50
    note(z, z + 1, y.sum(), seen)


def strided_arrays(m, note):
    a = np.arange(12.0).reshape(3, 4)[:, ::2]
    x = m.from_numpy(a)
    a[1, 1] = -5
    note(x, x.stride())
    x[0] = 1
    x.t()[0].fill_(3)
    note(a)
    f = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    x = m.from_numpy(f)
    x[0, 1] = 9
    note(f, x.stride(), x.is_contiguous())


def each_constructor(m, note):
    a = np.arange(3.0)
    made = [
        m.as_tensor(a), m.asarray(a), m.tensor(a), m.as_tensor(a, dtype=m.float32), m.asarray(a, copy=True),
        m.asarray(a, copy=False), m.from_dlpack(a), m.as_tensor(a, device="cpu"), m.Tensor.numpy(m.as_tensor(a)),
    ]  # fmt: skip
    a[0] = 9
    note(made)
    made[-3][1] = 5
    note(a)


def buffers(m, note):
    b = bytearray(16)
    x = m.frombuffer(b, dtype=m.float32)
    x[1] = 1.0
    note(b.hex())
    b[0] = 1
    note(x.view(m.uint8))


def training(m, note):
    w = np.ones(3, np.float32)
    p = m.from_numpy(w).requires_grad_()
    (p * m.arange(3.0)).sum().backward()
    note(p.grad)
    optimizer = m.optim.SGD([p], lr=1.0)
    optimizer.step()
    note(w, p)
    w[0] = 5
    optimizer.zero_grad()
    (p[:2] ** 2).sum().backward()
    note(p.grad)
    optimizer.step()
    note(w)


def parameters(m, note):
    w = np.ones(3, np.float32)
    p = m.nn.Parameter(m.from_numpy(w))
    m.nn.init.constant_(p, 4.0)
    note(w)
    with m.no_grad():
        p.copy_(m.arange(3.0))
        note(w)
        p[1] = 8
    p.data.mul_(2)
    note(w)


def modules(m, note):
    layer = m.nn.Linear(2, 1)
    n = layer.weight.detach().numpy()
    n[...] = 3
    note(layer.weight)
    layer.load_state_dict({"weight": m.ones(1, 2), "bias": m.zeros(1)})
    note(n)
    y = layer(m.ones(1, 2))
    n[...] = 10
    note(y, layer(m.ones(1, 2)))
    normal = m.nn.BatchNorm1d(2)
    mean = normal.running_mean.numpy()
    normal(m.arange(8.0).view(4, 2))
    note(np.round(mean, 6))


def numpy_protocols(m, note):
    x = m.arange(4.0)
    n = np.asarray(x)
    n[0] = 5
    note(x, np.array(x), np.from_dlpack(x))
    d = np.from_dlpack(x)
    x[1] = 8
    note(n, d)


def complex_numbers(m, note):
    x = m.zeros(2, dtype=m.complex64)
    n = x.numpy()
    n[0] = 1 + 2j
    x.imag[1] = 7
    note(x, n, x.real.numpy().strides)
    m.view_as_real(x)[0] = 3
    note(n)


def small_ones(m, note):
    x = m.tensor(3.0)
    n = x.numpy()
    n[...] = 4
    note(x.item(), n.shape, m.zeros(0, 3).numpy().shape, m.from_numpy(np.zeros((0, 3))))


def read_only(m, note):
    a = np.zeros(3)
    a.flags.writeable = False
    note(m.from_numpy(a), m.frombuffer(b"abcd", dtype=m.uint8))


def index_tensors(m, note):
    a = np.arange(5)
    x, i = m.from_numpy(a), m.tensor([0, 2])
    y = x[i]
    a[0] = 9
    note(y, x[i], x[i + 1], x[x > 3])
    x[i] = m.tensor([7, 8])
    note(a)
    x[x > 3] = 0
    note(a)
    m.add(x, 1, out=x)
    note(a)
    table = np.arange(24.0).reshape(2, 3, 4)
    t = m.from_numpy(table)
    table[0, 0, 0] = 50
    note(t[:, [0, 2]], t[[0, 1], :, [1, 2]], t[0, m.tensor([[0, 1]])], t.permute(2, 0, 1)[[0, 3]])
    note(x[m.tensor([7])])


def copies(m, note):
    a = np.arange(4.0)
    x = m.from_numpy(a)
    shown = x.expand(2, 4)
    a[0] = 3
    note(shown, x.clone())
    same, copied = x.detach(), copy.deepcopy(x)
    a[1] = 9
    note(same, copied, x._version)
    x.add_(1)
    note(x._version)


def read_in_a_loop(m, note):
    a = np.arange(4.0)
    x = m.from_numpy(a)
    seen = []
    for k in range(3):
        a[0] = k
        seen.append(x * 1)
    note(seen)


def arrays_that_are_gone(m, note):
    x = m.ones(3)
    x.numpy()[0] = 5
    note(x, x + 1)
    y = m.from_numpy(np.arange(3.0))
    gc.collect()
    y.mul_(2)
    note(y, y.numpy())


def in_place_operators(m, note):
    x = m.zeros(3)
    n = x.numpy()
    m.nn.functional.relu_(x.sub_(1))
    note(n)
    x.uniform_(5, 6)
    note(bool((n >= 5).all()))
    x.copy_(m.arange(3))
    x[1:].clamp_(max=1)
    x.masked_fill_(x == 0, 4)
    note(n)
    x.resize_(2)
    n[0] = 70
    note(x)


def gradients_through_views(m, note):
    w = np.arange(4.0)
    p = m.from_numpy(w).requires_grad_()
    part = p.view(2, 2)[1]
    w[3] = 10
    (part**2).sum().backward()
    note(p.grad)
    h = p * 1
    n = h.detach().numpy()
    n[0] = 100
    note(h)


PROGRAMS = [
    writes_both_ways, arrays_of_tensors, views_read_before, strided_arrays, each_constructor, buffers, training, parameters,
    modules, numpy_protocols, complex_numbers, small_ones, read_only, index_tensors, copies, read_in_a_loop,
    arrays_that_are_gone, in_place_operators, gradients_through_views,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(program):
    assert outcome(jaxnn, program) == outcome(torch, program)


REFUSED = {
    "backwards": lambda m: m.from_numpy(np.arange(3)[::-1]),
    "foreign bytes": lambda m: m.from_numpy(np.arange(3).astype(">i4")),
    "strings": lambda m: m.from_numpy(np.array(["a"])),
    "field of a record": lambda m: m.from_numpy(np.zeros(2, dtype=[("a", "f4"), ("b", "i1")])["a"]),
    "conjugate": lambda m: m.ones(2, dtype=m.complex64).conj().numpy(),
    "negative": lambda m: m.ones(2, dtype=m.complex64).conj().imag.numpy(),
    "gradient": lambda m: m.ones(2, requires_grad=True).numpy(),
    "bfloat16": lambda m: m.ones(2, dtype=m.bfloat16).numpy(),
    "list as a buffer": lambda m: m.frombuffer([1, 2], dtype=m.int32),
    "empty buffer": lambda m: m.frombuffer(b"", dtype=m.int32),
    "no alias": lambda m: m.asarray([1, 2], copy=False),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_numpy_cannot_share(name):
    def program(m, note):
        note(REFUSED[name](m))

    ours, theirs = outcome(jaxnn, program), outcome(torch, program)
    assert ours[0][0] == theirs[0][0]
    if name != "no alias":
        assert ours == theirs


@pytest.mark.parametrize("options", [
    {}, {"count": 2}, {"offset": 4}, {"offset": 3}, {"count": 9}, {"offset": 16}, {"count": 0}, {"offset": -1},
    {"offset": 2, "count": 1},
])  # fmt: skip
def test_frombuffer(options):
    def program(m, note):
        note(m.frombuffer(bytearray(range(16)), dtype=m.int32, **options))

    assert outcome(jaxnn, program) == outcome(torch, program)


def test_what_nobody_shares_is_a_plain_buffer_again():
    x = jaxnn.ones(3)
    n = x.numpy()
    assert type(x._storage.buf) is SharedBuffer
    del n
    (x + 1).tolist()
    assert type(x._storage.buf) is not SharedBuffer


def test_threads_see_the_same_memory():
    a = np.zeros(3)
    x = jaxnn.from_numpy(a)
    threads = [threading.Thread(target=lambda k=k: x[k].add_(k + 1)) for k in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert a.tolist() == x.tolist() == [1.0, 2.0, 3.0]


_ALIASING = {
    "a scalar": lambda m, copy: m.asarray(np.float64(2.0), copy=copy),
    "another type": lambda m, copy: m.asarray(m.zeros(2), dtype=m.float64, copy=copy),
    "an array of another type": lambda m, copy: m.asarray(np.zeros(2), dtype=m.float32, copy=copy),
    "a list": lambda m, copy: m.asarray([0.0, 1.0], copy=copy),
    "bytes": lambda m, copy: m.asarray(bytearray(8), copy=copy),
    "half numbers": lambda m, copy: m.asarray(memoryview(np.ones(3, np.float16)), dtype=m.float16, copy=copy),
    "complex numbers": lambda m, copy: m.asarray(memoryview(np.ones(3, np.complex64)), dtype=m.complex64, copy=copy),
    "numbers as others": lambda m, copy: m.asarray(array.array("d", [1.0, 2.0]), copy=copy),
    "bytes that don't fit": lambda m, copy: m.asarray(bytearray(3), copy=copy),
    "a capsule": lambda m, copy: m.asarray(m.utils.dlpack.to_dlpack(m.arange(3)), copy=copy),
}


@pytest.mark.parametrize("copy", [None, True, False])
@pytest.mark.parametrize("name", _ALIASING)
def test_asarray_of(name, copy):
    def outcome(m):
        try:
            made = _ALIASING[name](m, copy)
        except Exception as error:
            return type(error).__name__, str(error)
        return str(made.dtype), made.tolist()

    assert outcome(jaxnn) == outcome(torch)


def test_memory_behind_a_view_is_shared():
    def run(m):
        held = np.arange(4, dtype=np.int16)
        m.asarray(memoryview(held), dtype=m.int16)[0] = 9
        m.asarray(memoryview(held), dtype=m.int16, copy=True)[1] = 9
        return held.tolist()

    assert run(jaxnn) == run(torch)

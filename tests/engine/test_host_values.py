"""Operators on small host values run when they are called: the numbers, the memory, and what stays recorded, beside PyTorch."""

import copy

import jax
import numpy as np
import pytest
from both import same

import jaxnn
from jaxnn.core.memory.tensor_base import host_array

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def at_once():
    return jaxnn.engine_statistics()["at_once"]


@program
def views_that_are_kept(t):
    base = t.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    row, block = base[1], base[:, 1:]
    inner = block[0]
    found = [row.clone(), inner + 1]
    base[1, 0] = 10
    inner[1] = -1
    found += [row.clone(), row + base[1], block.clone()]
    base.mul_(2)
    found += [t.tensor(row[0].item()), t.tensor(inner[1].item()), block + 0]
    kept = row + 0
    row.fill_(7)
    found += [base.clone(), kept, t.tensor(base[1][2].item())]
    base.data = t.zeros(2, 3)
    return [x.tolist() for x in (*found, base, row, inner)]


@program
def views_and_writes(torch):
    c = torch.zeros(6)
    v = c[1:4]
    v[1] = 5
    w = c.view(2, 3)
    w[1] += 2
    w.t()[0, 0] = 9
    return c.tolist(), v.tolist(), w.tolist(), c._version


@program
def aliases(torch):
    a = torch.tensor([1.0, 2, 3])
    b, c, d, e = a.clone(), a.contiguous(), a.detach(), a[:]
    held = [a, b * 1]
    a[0] = 5
    d[2] = 0
    return a.tolist(), b.tolist(), c.tolist(), d.tolist(), e.tolist(), held[1].tolist(), copy.deepcopy(e).tolist()


@program
def numpy_sees_writes(torch):
    a = torch.tensor([1.0, 2, 3]) * 2
    n = a.numpy()
    a[0] = 5
    n[1] = 8
    return a.tolist(), n.tolist()


@program
def a_pending_operator_keeps_what_it_read(torch):
    x = torch.ones(2, requires_grad=True)
    b = torch.tensor([1.0, 2.0]) * 2
    y = (x.detach() + x * 0).detach() * b
    b[0] = 100
    b += 1
    return y.tolist(), b.tolist()


@program
def an_element_loop(torch):
    f = torch.zeros(30)
    f[0] = f[1] = 1
    for i in range(2, 30):
        f[i] = f[i - 1] + f[i - 2]
    f[3] += f[4] * 2
    return f.tolist()


@program
def a_long_chain(torch):
    x = torch.tensor([1.0, 2.0])
    for _ in range(40):
        x = x * 0.9 + 1
    return x


@program
def types(torch):
    a = torch.tensor([1.5, 2.5, -3.0])
    i = torch.zeros(3, dtype=torch.int32)
    i[0], i[1] = 2.7, a[2]
    b = a.bool()
    b[0] = 0
    return i, b, a > 1, a.to(torch.int64), a.half() + i, i / 2, (i == 2).sum()


@program
def containers(torch):
    a = torch.tensor([3, 1, 2])
    values, places = a.sort()
    values[0] = 9
    return a, values, places, a.max(0), torch.stack([a, values]).sum(0), torch.cat([a, a])[2:5], a.unbind()[1]


@program
def shapes_that_do_not_fit(torch):
    a = torch.zeros(2, 3)
    found = []
    for write in (lambda: a.__setitem__(0, torch.ones(2)), lambda: a.add_(torch.ones(4)), lambda: a.expand(2, 2, 3).zero_()):
        try:
            write()
            found.append(None)
        except RuntimeError:
            found.append("RuntimeError")
    a[1] = torch.tensor([1, 2, 3])
    a[:, 2] = 4
    a[0, 0] = True
    return found, a


@program
def gradients_are_recorded(torch):
    w = torch.nn.Parameter(torch.zeros(3))
    with torch.no_grad():
        w[0] = 3
        w.add_(1)
    scale = torch.tensor([1.0, 2, 3]) / 2
    (w * scale).sum().backward()
    scale[0] = 7
    return w.detach(), w.grad, scale


@program
def factories(torch):
    a = torch.arange(4.0)
    b = a * 2
    a[1] = 5
    c = torch.full((2,), 1.5)
    c.mul_(2)
    return a, b, c, torch.eye(2) @ torch.ones(2, 2), torch.linspace(0, 1, 3)[1]


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_program(function):
    same(function)


def test_what_runs_at_once():
    before = at_once()
    a = jaxnn.tensor([1.0, 2.0])
    (a * 2 + a)[0]
    assert at_once() == before + 2
    with jaxnn.no_grad():
        jaxnn.nn.Linear(2, 2)(a)
        jaxnn.nn.Parameter(a) * 2
    jaxnn.ones(200, 200) * 2  # not small
    x = jaxnn.ones(2, requires_grad=True) * a
    x.sum()
    assert at_once() == before + 2
    assert jaxnn.set_execution_mode("whole") is None
    try:
        (a * 2).tolist()
    finally:
        jaxnn.set_execution_mode("auto")
    assert at_once() == before + 2


def test_data_that_is_put_together_is_no_part_of_the_step():
    layer = jaxnn.nn.Linear(4, 2)
    optimizer = jaxnn.optim.SGD(layer.parameters(), lr=0.1)
    compiled = []
    for k in range(9):
        pieces = [jaxnn.tensor([float(j) for j in range(n)]) for n in (1 + k % 3, 4 - k % 3 - 1)]
        rows = jaxnn.stack([jaxnn.cat([p, jaxnn.zeros(4 - len(p))]) for p in pieces]) / 4
        optimizer.zero_grad()
        layer(rows).pow(2).sum().backward()
        optimizer.step()
        compiled.append(jaxnn.engine_statistics()["compiled"])
    assert compiled[-1] == compiled[3], "a program for other lengths"


def test_memory_is_written_in_place():
    c = jaxnn.zeros(1000)
    c[0] = 1
    held = id(c._storage.buf)
    c[2] = c[0] + 1
    assert id(c._storage.buf) == held and isinstance(c._storage.buf.array, np.ndarray)
    other = c._storage.buf  # as a recording holds it
    c[3] = 7
    assert c._storage.buf is not other and other.array[3] == 0 and c[3].item() == 7


def test_a_view_of_memory_that_jax_made():
    made = np.asarray(jax.numpy.arange(6.0)).reshape(2, 3)  # its last base is a buffer, no array
    t = host_array(made, jaxnn.ones(1)._storage.aval.placement, depth=0)
    assert t.t()[0].tolist() == [0.0, 3.0]

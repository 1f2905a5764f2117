"""Where elements lie in memory: random fills draw in its order, `out=` and `resize_` stay in it, `expand` shares it."""

import copy
import ctypes
import warnings

import jax
import numpy as np
import pytest
import torch

import jaxnn


def seen(t):
    """What can be seen of a tensor: type, shape, strides, offset, values."""
    values = t.detach().resolve_conj()
    values = (values.to(torch.float64) if isinstance(t, torch.Tensor) else values.to(jaxnn.float64)) if not t.is_complex() else values
    return [str(t.dtype), tuple(t.shape), tuple(t.stride()), t.storage_offset(), np.asarray(values.tolist())]


def outcome(module, case):
    module.manual_seed(3)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = case(module)
    except Exception as error:
        return type(error).__name__, str(error).split(".")[0]
    return [seen(t) if hasattr(t, "stride") else t for t in (found if isinstance(found, tuple) else (found,))]


def same(case, strides=True):
    """Assert that a case gives what it gives in PyTorch, the memory layout included."""
    ours, theirs = outcome(jaxnn, case), outcome(torch, case)
    if isinstance(theirs, tuple):
        assert ours == theirs
        return
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if not isinstance(b, list):
            assert a == b
            continue
        assert (a[:4] == b[:4]) if strides else (a[:2] == b[:2])
        np.testing.assert_allclose(a[4], b[4], rtol=3e-6 if b[0] != "torch.float16" else 2e-3)


PLACES = {
    "contiguous": lambda m: m.empty(5, 7),
    "transposed": lambda m: m.empty(7, 5).t(),
    "transposed, small": lambda m: m.empty(3, 2).t(),
    "every second row": lambda m: m.empty(10, 7)[::2],
    "every second column": lambda m: m.empty(5, 14)[:, ::2],
    "inner part": lambda m: m.empty(20, 8)[::2, 1:3],
    "strided and turned": lambda m: m.empty(2, 3, 8)[:, :, ::2].transpose(0, 2),
    "permuted": lambda m: m.empty(2, 3, 4, 5).permute(0, 2, 3, 1),
    "with a size of one": lambda m: m.empty(2, 3, 1, 5).permute(0, 3, 2, 1),
    "diagonal": lambda m: m.zeros(20, 20).diagonal(),
    "windows": lambda m: m.zeros(6).unfold(0, 2, 2).t(),
    "free strides": lambda m: m.zeros(24).as_strided((2, 3, 4), (1, 8, 2)),
    "expanded": lambda m: m.empty(7, 1).expand(7, 30),
    "expanded by one": lambda m: m.empty(7, 5).t().expand(1, 5, 7),
    "in half": lambda m: m.empty(7, 5, dtype=m.float16).t(),
    "in double": lambda m: m.empty(7, 5, dtype=m.float64).t(),
    "real part": lambda m: m.zeros(4, 5, dtype=m.complex64).t().real,
    "parameter": lambda m: m.nn.Parameter(m.empty(7, 5).t()).data,
}

FILLS = {
    "uniform_": lambda t: t.uniform_(-1, 2),
    "normal_": lambda t: t.normal_(1, 2),
    "bernoulli_": lambda t: t.bernoulli_(0.3),
    "random_": lambda t: t.random_(100),
    "exponential_": lambda t: t.exponential_(),
    "geometric_": lambda t: t.geometric_(0.2),
    "cauchy_": lambda t: t.cauchy_(),
    "log_normal_": lambda t: t.log_normal_(),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fill", FILLS)
def test_random_fills_follow_the_memory(place, fill):
    same(lambda m: FILLS[fill](PLACES[place](m)))


INITS = {
    "uniform_": lambda init, t: init.uniform_(t, -1, 2),
    "normal_": lambda init, t: init.normal_(t, 1, 2),
    "trunc_normal_": lambda init, t: init.trunc_normal_(t),
    "trunc_normal_ by density": lambda init, t: init.trunc_normal_(t, a=3.0, b=4.0),
    "xavier_uniform_": lambda init, t: init.xavier_uniform_(t),
    "kaiming_normal_": lambda init, t: init.kaiming_normal_(t),
    "orthogonal_": lambda init, t: init.orthogonal_(t),
    "sparse_": lambda init, t: init.sparse_(t, 0.3),
    "constant_": lambda init, t: init.constant_(t, 2.0),
}


@pytest.mark.parametrize("place", ["contiguous", "transposed", "every second column", "expanded", "parameter"])
@pytest.mark.parametrize("init", INITS)
def test_initialisation_follows_the_memory(place, init):
    same(lambda m: INITS[init](m.nn.init, PLACES[place](m)))


DRAWS = {
    "rand_like": lambda m: m.rand_like(m.empty(7, 5).t()),
    "randn_like": lambda m: m.randn_like(m.empty(7, 5).t()),
    "randn_like, row-major": lambda m: m.randn_like(m.empty(7, 5).t(), memory_format=m.contiguous_format),
    "randint_like": lambda m: m.randint_like(m.empty(7, 5).t(), 100),
    "rand_like of 4 dimensions": lambda m: m.rand_like(m.empty(2, 3, 4, 5).permute(0, 2, 3, 1)),
    "rand_like of a part": lambda m: m.rand_like(m.empty(3, 4, 10)[:, :, ::2].transpose(0, 2)),
    "rand_like of an expanded tensor": lambda m: m.rand_like(m.empty(3, 1, 2).expand(3, 4, 2).transpose(0, 2)),
    "zeros_like": lambda m: m.zeros_like(m.empty(7, 5).t()),
    "full_like": lambda m: m.full_like(m.empty(7, 5).t(), 3),
    "empty_like, filled": lambda m: m.empty_like(m.empty(7, 5).t()).uniform_(),
    "rand into": lambda m: m.rand(5, 7, out=m.empty(7, 5).t()),
    "rand into doubles": lambda m: m.rand(3, out=m.empty(3, dtype=m.float64)),
    "rand into another type": lambda m: m.rand(3, dtype=m.float32, out=m.empty(3, dtype=m.float64)),
    "rand into a smaller one": lambda m: m.rand(3, out=m.empty(2)),
    "randn into": lambda m: m.randn(5, 7, out=m.empty(7, 5).t()),
    "randint into": lambda m: m.randint(50, (5, 7), out=m.empty(7, 5, dtype=m.int64).t()),
    "randperm into": lambda m: m.randperm(5, out=m.empty(3)),
    "normal into": lambda m: m.normal(0.0, 1.0, (5, 7), out=m.empty(7, 5).t()),
    "normal of tensors into": lambda m: m.normal(m.zeros(5, 7), m.arange(7.0), out=m.empty(7, 5).t()),
    "normal of tensors": lambda m: m.normal(m.zeros(7, 5).t(), m.ones(7, 5).t()),
    "bernoulli": lambda m: m.bernoulli(m.full((7, 5), 0.3).t()),
    "bernoulli into": lambda m: m.bernoulli(m.full((5, 7), 0.5), out=m.empty(7, 5).t()),
    "bernoulli_ of a tensor": lambda m: m.empty(7, 5).t().bernoulli_(m.linspace(0, 1, 35).reshape(7, 5).t()),
    "bernoulli_ broadcast": lambda m: m.empty(7, 5).t().bernoulli_(m.linspace(0, 1, 7)),
    "multinomial": lambda m: m.multinomial((m.arange(15.0) + 1).reshape(5, 3).t(), 5),
    "multinomial, again": lambda m: m.multinomial((m.arange(15.0) + 1).reshape(5, 3).t(), 5, replacement=True),
    "random_ to an end": lambda m: m.empty(5, dtype=m.int64).random_(3, 7),
    "random_ to no end": lambda m: m.empty(5, dtype=m.int32).random_(3, None),
    "random_ of everything": lambda m: m.empty(5, dtype=m.int64).random_(-(2**63), None),
    "normal_ of complex numbers": lambda m: m.view_as_real(m.empty(7, 5, dtype=m.complex64).t().normal_()),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_follow_the_memory(draw):
    same(DRAWS[draw])


def test_dropout_draws_in_the_order_of_a_view():
    same(lambda m: m.nn.functional.dropout(m.ones(7, 5).t()), strides=False)


# --- writing into memory that others see


def into(shape_of_base, view, operation):
    """`operation` with ``out=`` a view of a fresh base: both are seen afterwards."""

    def case(m):
        base = m.zeros(shape_of_base)
        part = view(base)
        operation(m, part)
        return base, part

    return case


def resized(view, *sizes):
    def case(m):
        base = m.arange(6.0).view(2, 3)
        part = view(base).resize_(*sizes)
        part[0] = 9
        return base, part

    return case


def through_expand(write, *sizes):
    def case(m):
        base = m.arange(4.0)
        shown = base.view(-1, 1).expand(4, 3) if not sizes else base.expand(*sizes)
        write(m, shown)
        return base, shown

    return case


def gradient_through_expand(m):
    leaf = m.arange(4.0, requires_grad=True)
    h = leaf * 2
    shown = h.expand(2, 4)
    shown[1] = shown[0] * 3
    (h * m.arange(4.0)).sum().backward()
    return h, leaf.grad


def buffer_that_repeats_nothing(m):
    module = m.nn.Module()
    module.register_buffer("ids", m.arange(4).expand((1, -1)))
    module.load_state_dict({"ids": m.ones(1, 4, dtype=m.int64)})
    return module.ids


WRITES = {
    "out= through a part": into(6, lambda b: b[1:5], lambda m, o: m.add(m.ones(2, 2), 1, out=o)),
    "out= through another shape": into(6, lambda b: b.view(2, 3), lambda m, o: m.add(m.ones(3, 2), 1, out=o)),
    "out= of another shape": into((3, 2), lambda b: b, lambda m, o: m.mm(m.ones(2, 2), m.ones(2, 3), out=o)),
    "out= transposed": into((3, 2), lambda b: b.t(), lambda m, o: m.mm(m.ones(2, 2), m.arange(6.0).view(2, 3), out=o)),
    "out= transposed, other shape": into((3, 2), lambda b: b.t(), lambda m, o: m.mm(m.ones(3, 2), m.ones(2, 2), out=o)),
    "out= of several": into(
        (2, 6), lambda b: b[0], lambda m, o: m.max(m.arange(6.0).view(2, 3), 0, out=(o, m.empty(0, dtype=m.int64)))
    ),
    "out= of a repeated tensor": into(4, lambda b: b.expand(2, 4), lambda m, o: m.add(m.ones(2, 4), 1, out=o)),
    "resize_ transposed": resized(lambda b: b.t(), 6),
    "resize_ transposed to as many": resized(lambda b: b.t(), 3, 2),
    "resize_ transposed to fewer": resized(lambda b: b.t(), 2, 2),
    "resize_ of a part": resized(lambda b: b.view(-1)[2:], 2),
    "resize_ of a part beyond itself": resized(lambda b: b[0, 1:], 2, 2),
    "resize_ of a strided part": resized(lambda b: b[:, ::2], 4),
    "resize_ of all": resized(lambda b: b, 3),
    "resize_ there and back": lambda m: m.arange(6.0).resize_(2, 2).resize_(6),
    "resize_ to nothing and back": lambda m: m.arange(6.0).resize_(0).resize_(6),
    "resize_ to more": lambda m: m.arange(6.0).resize_(8)[:6],
    "resize_ of a leaf": lambda m: m.ones(3, requires_grad=True).resize_(3),
    "expand that repeats nothing": through_expand(lambda m, e: e.mul_(2), 1, -1),
    "element of an expanded tensor": through_expand(lambda m, e: e[1, 2].add_(7)),
    "column of an expanded tensor": through_expand(lambda m, e: e.__setitem__((slice(None), 1), 7)),
    "column added to": through_expand(lambda m, e: e[:, 1].add_(m.arange(4.0))),
    "columns copied to": through_expand(lambda m, e: e[:, 1:2].copy_(m.ones(4, 1))),
    "row of an expanded tensor": through_expand(lambda m, e: e.__setitem__(1, 7)),
    "transposed": through_expand(lambda m, e: e.t()[:, 0].zero_(), 3, 4),
    "all, added to": through_expand(lambda m, e: e.add_(1), 3, 4),
    "all, assigned": through_expand(lambda m, e: e.__setitem__(..., 5), 3, 4),
    "all, filled": through_expand(lambda m, e: e.fill_(5), 3, 4),
    "all, zeroed": through_expand(lambda m, e: e.zero_(), 3, 4),
    "all, filled by a tensor": through_expand(lambda m, e: e.fill_(m.tensor(5.0)), 3, 4),
    "all, random": through_expand(lambda m, e: e.random_(1), 3, 4),
    "free strides of zero": lambda m: m.arange(4.0).as_strided((2, 2), (0, 1)).add_(1),
    "free strides of zero, filled": lambda m: m.arange(4.0).as_strided((2, 2), (0, 1)).fill_(1),
    "gradient": gradient_through_expand,
    "buffer": buffer_that_repeats_nothing,
}


@pytest.mark.parametrize("write", WRITES)
def test_writes_stay_in_the_memory(write):
    same(WRITES[write])


def test_a_result_of_another_shape_warns_when_out_had_elements():
    def warned(module, size):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module.add(module.ones(2, 2), 1, out=module.empty(size))
        return [(w.category, str(w.message).split(". ")[0]) for w in caught]

    for size in (0, 4, 3):
        assert warned(jaxnn, size) == warned(torch, size)


def layouts(m):
    x = m.arange(8, dtype=m.int32).view(2, 4)
    z = m.zeros(2, 4, dtype=m.complex64)
    views = [
        x.view(m.int16), x.view(m.int16)[1], x.view(m.int64), x.t().view(m.float32), z.real[1].view(m.int32),
        z.imag[:, 1:], m.view_as_real(z)[1, 2:], x.expand(1, 2, 4), x[:, :1].expand(3, 2, 5),
    ]  # fmt: skip
    return [(tuple(v.shape), tuple(v.stride()), v.storage_offset()) for v in views]


def test_layouts_count_elements_of_the_own_type():
    assert layouts(jaxnn) == layouts(torch)


# --- addresses


def bytes_at(t):
    """A contiguous tensor's bytes, read from its address as C code reads them."""
    count = t.numel() * t.element_size()
    return bytes((ctypes.c_ubyte * count).from_address(t.data_ptr())) if count else b""


READ = {
    "host data": lambda m: m.tensor([1.5, 2.5]),
    "computed": lambda m: m.arange(10.0) * 2,
    "inner part": lambda m: m.arange(12).view(3, 4)[1:],
    "bools": lambda m: m.tensor([True, False, True]),
    "bfloat16": lambda m: m.ones(3, dtype=m.bfloat16),
    "another type": lambda m: m.arange(8, dtype=m.int32).view(m.int16)[2:],
    "complex": lambda m: m.view_as_complex(m.arange(6.0).view(3, 2)),
    "nothing": lambda m: m.zeros(0),
    "parameter": lambda m: m.nn.Parameter(m.arange(3.0)),
    "written to": lambda m: m.zeros(4).add_(3),
}


@pytest.mark.parametrize("name", READ)
def test_data_ptr_is_the_address(name):
    ours, theirs = READ[name](jaxnn), READ[name](torch)
    assert bytes_at(ours) == bytes_at(theirs)
    assert (ours.data_ptr() == 0) == (theirs.data_ptr() == 0)


def test_the_address_stays_while_programs_read_the_tensor():
    layer = jaxnn.nn.Linear(3, 2)
    held = layer.weight.detach().clone().numpy().tobytes()
    address = layer.weight.data_ptr()
    for _ in range(3):
        layer(jaxnn.ones(4, 3)).sum().backward()
    assert layer.weight.data_ptr() == address == layer.weight.view(-1).untyped_storage().data_ptr()
    assert bytes_at(layer.weight) == held


def test_memory_that_numpy_shares_has_the_address_of_the_array():
    for m in (jaxnn, torch):
        a = np.arange(6.0).reshape(2, 3)
        x = m.from_numpy(a)
        assert x.data_ptr() == a.ctypes.data and x[1].data_ptr() == a[1:].ctypes.data
        n = m.ones(3).numpy()
        assert m.from_numpy(n).data_ptr() == n.ctypes.data


def test_traced_tensors_have_no_address():
    with pytest.raises(RuntimeError, match="data_ptr"):
        jax.jit(lambda x: jaxnn.asarray(x).data_ptr())(np.ones(3, np.float32))


def test_copies_have_addresses_of_their_own():
    """Also where a copy is made without copying: files of weights tell shared memory by its address."""

    def shared(m):
        a = m.arange(5.0)
        b = m.tensor([1.0, 2.0])
        copies = [a.clone(), a.clone().detach(), a.to(a.dtype, copy=True), m.asarray(a, copy=True), m.zeros(5).copy_(a)]
        copies += [a + 0, a.reshape(5, 1).clone(), copy.deepcopy(a), a.contiguous(), a.detach(), a.view(5, 1), a[:]]
        found = [t.untyped_storage().data_ptr() == a.untyped_storage().data_ptr() for t in copies]
        again = [t.data_ptr() == a.data_ptr() for t in copies]
        return found, again, len({t.data_ptr() for t in (*copies, a, b)}), [t.flatten().tolist() for t in copies]

    assert shared(jaxnn) == shared(torch)


def test_memory_of_a_storage_is_set():
    def run(m):
        s, x = m.arange(6.0), m.zeros(2)
        shapes = []
        for arguments in ((s.storage(), 0, (2, 3), (3, 1)), (s.untyped_storage(), 1, (2,), (2,)), (s.untyped_storage(),),
                          (s.storage(), 2, (2, 2)), (s.untyped_storage(), 0, s.size(), s.stride())):  # fmt: skip
            x.set_(*arguments)
            x.mul_(2)
            shapes.append((x.tolist(), s.tolist(), x.stride(), x.storage_offset(), x.data_ptr() - s.data_ptr()))
        return shapes

    assert run(jaxnn) == run(torch)


@pytest.mark.parametrize("make", [
    lambda m: m.empty([2, 4, 2**29, 2**29]), lambda m: m.zeros(8, 8, 2**29, 2**29), lambda m: m.ones([0, 4, 2**61]),
    lambda m: m.zeros(2).resize_([8, 8, 2**29, 2**29]), lambda m: m.zeros(2).new_empty([0, 4, 2**61]),
])  # fmt: skip
def test_sizes_that_cannot_be_counted(make):
    def message(m):
        with pytest.raises(RuntimeError) as raised:
            make(m)
        return str(raised.value).replace("numel: integer multiplication overflow", "Storage size calculation overflowed")[:30]

    assert message(jaxnn) == message(torch)

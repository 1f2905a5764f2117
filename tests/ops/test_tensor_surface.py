"""What tensors and the top level tell about themselves, switches, sizes changed in place, counts drawn at random."""

from __future__ import annotations

import pytest
import torch

import jaxnn


def t(m):
    return m.arange(24.0).reshape(2, 3, 4)


def switched(m, on, off, ask):
    try:
        on(m)
        return ask(m)
    finally:
        off(m)


def mapped(m):
    a = m.tensor([1.0, 2.0])
    a.apply_(lambda x: x + 1)
    a.map_(m.tensor([3.0, 4.0]), lambda x, y: x * y)
    return a.map2_(a, m.tensor([5.0, 6.0]), lambda x, y, z: x + y - z)


def resized(m):
    z = m.tensor([1.0, 2.0, 3.0])
    seen = [z.resize_(2).tolist(), z.resize_as_(m.zeros(1, 2)).tolist()]
    return [*seen, z.set_(m.tensor([5.0])).tolist(), z.set_().shape]


def on(m, where):
    with m.device(where):
        return str(m.zeros(1).device)


def drawn(m, draw):
    m.manual_seed(3)
    return draw(m), m.rand(2)


RATES = [0.0, 0.5, 3.0, 9.5, 10.0, 12.0, 50.0, 1000.0] * 20
COUNTS = [10.0, 20.0, 100.0, 1000.0, 5.0, 0.0, 300.0, 40.0] * 20
CHANCES = [0.1, 0.7, 0.3, 0.05, 0.5, 0.3, 0.9, 1.0] * 20

SAME = {
    "bytes": lambda m: (t(m).element_size(), t(m).nbytes, t(m).itemsize, t(m).untyped_storage().nbytes()),
    "strides": lambda m: (t(m).stride(), t(m).transpose(0, 2).stride(), t(m)[1].storage_offset(), t(m).dim_order()),
    "dim_order": lambda m: (t(m).transpose(0, 2).dim_order(), t(m).permute(1, 2, 0).dim_order()),
    "contiguous": lambda m: (
        t(m).is_contiguous(), t(m).mT.is_contiguous(), m.ones(1, 1, 2, 2).is_contiguous(memory_format=m.channels_last),
    ),
    "type": lambda m: (t(m).type(), t(m).long().type(), t(m).layout, t(m).layout is m.strided, m.strided),
    "same": lambda m: (t(m).is_same_size(t(m)), m.is_same_size(t(m), t(m)[0]), m.ones(1).is_set_to(m.ones(1))),
    "set to": lambda m: [(x.is_set_to(x.view(-1)), x.is_set_to(x.view(2, 3, 4)), x.data_ptr() == x[0].data_ptr()) for x in (t(m),)],
    "flags": lambda m: (t(m).is_pinned(), t(m).is_shared(), t(m).is_neg(), m.is_neg(t(m)), t(m).is_signed(), m.is_signed(t(m).byte())),
    "new": lambda m: (t(m).new(2, 2).shape, t(m).long().new([1, 2]), t(m).double().new(2).dtype),
    "limits": lambda m: (m.finfo(m.float32), m.finfo(m.bfloat16), m.iinfo(m.int8), m.iinfo(m.int64)),
    "types": lambda m: (m.promote_types(m.int8, m.float16), m.result_type(t(m), 1j), m.can_cast(m.float32, m.int32)),
    "questions": lambda m: (
        m.is_tensor(t(m)), m.is_storage(t(m)), m.is_storage(t(m).storage()), m.is_complex(t(m)), m.is_nonzero(m.tensor(1)),
    ),
    "deterministic": lambda m: switched(
        m, lambda m: m.use_deterministic_algorithms(True, warn_only=True), lambda m: m.use_deterministic_algorithms(False),
        lambda m: (
            m.are_deterministic_algorithms_enabled(), m.get_deterministic_debug_mode(),
            m.is_deterministic_algorithms_warn_only_enabled(),
        ),
    ),
    "deterministic mode": lambda m: switched(
        m, lambda m: m.set_deterministic_debug_mode("error"), lambda m: m.set_deterministic_debug_mode(0),
        lambda m: m.get_deterministic_debug_mode(),
    ),
    "threads": lambda m: (m.set_num_threads(m.get_num_threads()), m.is_warn_always_enabled()),
    "no memory": lambda m: (m.cuda.memory_allocated(), m.cuda.memory_reserved(), m.cuda.max_memory_allocated(), m.cuda.is_initialized()),
    "backends": lambda m: (m.backends.mps.is_available(), m.backends.cudnn.benchmark, m.backends.cuda.matmul.allow_tf32),
    "device": lambda m: (on(m, "cpu"), str(m.get_default_device()), m.get_device(t(m))),
    "mapped": mapped,
    "resized": resized,
    "empty_strided": lambda m: (m.empty_strided((2, 3), (1, 2)).stride(), m.empty_permuted((2, 3, 4), (0, 2, 1)).stride()),
    "functions in place": lambda m: (m.fill_(m.zeros(2), 3), m.detach(t(m)).shape, m.relu_(m.tensor([-1.0, 1.0])), m.zero_(m.ones(2))),
    "float_power_": lambda m: (
        m.tensor([2.0], dtype=m.float64).float_power_(2), m.tensor([4]).gcd_(m.tensor([6])), m.tensor([4]).lcm_(m.tensor([6])),
    ),
    "compile": lambda m: m.compile(lambda x: x + 1, disable=True)(m.ones(2)),
    "poisson": lambda m: drawn(m, lambda m: m.poisson(m.tensor(RATES))),
    "poisson double": lambda m: drawn(m, lambda m: m.poisson(m.tensor(RATES, dtype=m.float64).reshape(4, -1))),
    "binomial": lambda m: drawn(m, lambda m: m.binomial(m.tensor(COUNTS), m.tensor(CHANCES))),
    "embedding": lambda m: m.embedding(m.arange(6.0).reshape(3, 2), m.tensor([0, 2])),
    "constant_pad_nd": lambda m: m.constant_pad_nd(m.ones(2), (1, 1), 3.0),
    "batch_norm": lambda m: m.batch_norm(t(m), m.ones(3), m.zeros(3), None, None, True, 0.1, 1e-5, False),
    "instance_norm": lambda m: m.instance_norm(t(m), None, None, None, None, True, 0.1, 1e-5, False),
    "kl_div": lambda m: m.kl_div(m.ones(3), m.ones(3) / 2, reduction=2),
    "losses": lambda m: (
        m.margin_ranking_loss(m.ones(2), m.zeros(2), m.tensor([1.0, -1.0]), 0.5, 2),
        m.hinge_embedding_loss(m.ones(2), m.tensor([1.0, -1.0]), 0.5, 0),
        m.triplet_margin_loss(m.ones(2, 3), m.zeros(2, 3), t(m)[0, :2, :3]),
        m.cosine_embedding_loss(m.ones(2, 3), t(m)[0, :2, :3], m.ones(2), 0.1, 2),
        m.poisson_nll_loss(m.ones(2), m.ones(2), True, False, 1e-8, 1),
        m.ctc_loss(m.zeros(4, 1, 3).log_softmax(-1), m.tensor([[1, 2]]), m.tensor([4]), m.tensor([2]), 0, 2),
    ),
    "in place layers": lambda m: (m.celu_(m.tensor([-1.0])), m.selu_(m.tensor([-1.0])), m.threshold_(m.tensor([-1.0, 2.0]), 0.0, 7.0)),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_same(case):
    assert str(SAME[case](jaxnn)) == str(SAME[case](torch))


ERRORS = {
    "resize_": lambda m: m.zeros(2, requires_grad=True).resize_(3),
    "renorm": lambda m: m.renorm(m.ones(2), 1, 0, 1),
    "index_reduce": lambda m: m.zeros(3).index_reduce(0, m.tensor([0]), m.zeros(1), "sum"),
    "histogram": lambda m: m.histogram(m.arange(3), 2),
    "sum_to_size": lambda m: m.zeros(2).sum_to_size(3),
    "gradient": lambda m: m.gradient(m.ones(1)),
    "threads": lambda m: m.set_num_threads(0),
    "poisson": lambda m: m.poisson(m.tensor([-1.0])),
    "compile": lambda m: m.compile(3),
    "debug mode": lambda m: m.set_deterministic_debug_mode(7),
    "frexp": lambda m: m.frexp(m.tensor([1])),
    "nonzero_static": lambda m: m.nonzero_static(m.ones(2), size=-1),
    "empty_strided": lambda m: m.empty_strided((2,), (1, 2)),
    "map_": lambda m: m.zeros(2, requires_grad=True).map_(m.zeros(2), max),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[case](jaxnn)
    assert type(ours.value) is type(theirs.value)


def reset_precisions(b, m):
    for switch, value in ((b, "none"), (b.cuda.matmul, "ieee"), (b.cudnn, "none"), (b.cudnn.conv, "tf32"), (b.cudnn.rnn, "tf32")):
        switch.fp32_precision = value
    m.set_float32_matmul_precision("highest")
    b.cudnn.allow_tf32 = True


def precisions(m):
    """What each switch says after each change, the newer switches last: PyTorch refuses to read the older ones after these."""
    b = m.backends
    older = lambda: (m.get_float32_matmul_precision(), b.cuda.matmul.allow_tf32, b.cudnn.allow_tf32)
    newer = lambda: tuple(s.fp32_precision for s in (b, b.cuda.matmul, b.cudnn, b.cudnn.conv, b.cudnn.rnn))
    reset_precisions(b, m)  # other tests may have switched
    seen = [older(), newer()]
    for name in ("high", "medium", "highest"):
        m.set_float32_matmul_precision(name)
        seen += [older(), newer()]
    for switch, value in ((b.cudnn, False), (b.cuda.matmul, True), (b.cuda.matmul, False), (b.cudnn, True)):
        switch.allow_tf32 = value
        seen += [older(), newer()]
    for switch, value in ((b, "tf32"), (b.cudnn.conv, "ieee"), (b.cuda.matmul, "ieee"), (b, "ieee"), (b.cudnn.conv, "none"), (b, "none")):
        switch.fp32_precision = value
        seen.append(newer())
    for switch, value in ((b, "x"), (b.cuda.matmul, "bf16")):
        with pytest.raises(RuntimeError) as error:
            switch.fp32_precision = value
        seen.append(str(error.value))
    for switch in (b.cudnn, b.cuda.matmul):
        with pytest.raises(RuntimeError) as error:
            switch.allow_tf32 = 3
        seen.append(str(error.value))
    reset_precisions(b, m)
    return seen


def test_precisions_of_products():
    with torch.backends.__allow_nonbracketed_mutation():  # torch.testing's own helpers lock the switches when they are imported
        expected = precisions(torch)
    for k, (ours, theirs) in enumerate(zip(precisions(jaxnn), expected, strict=True)):
        assert ours == theirs, k
    with jaxnn.backends.cudnn.flags(allow_tf32=False, benchmark=True):
        assert jaxnn.get_float32_matmul_precision() == "highest" and not jaxnn.backends.cudnn.allow_tf32
    assert jaxnn.backends.cudnn.allow_tf32
    with pytest.raises(AttributeError, match="no switch"):
        jaxnn.backends.cudnn.nothing = True


def test_views_of_strided_memory():
    made = jaxnn.empty_strided((2, 3), (1, 2))
    made.copy_(jaxnn.arange(6.0).reshape(2, 3))
    assert made.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert made.t().is_contiguous()

"""Devices as values, and the meta device: shapes and types without values. The same program on PyTorch and on jaxnn."""

import copy
import warnings

import pytest
import torch
from flax import nnx

import jaxnn

PROGRAMS = []


def program(f):
    PROGRAMS.append(f)
    return f


def failed(f):
    try:
        return f()
    except Exception as error:
        return type(error), str(error).split(".")[0]


@program
def devices_are_values(t):
    names = ["cpu", "meta", "mps", "xpu", "mtia", "xla", "hpu", "mps:0", "xpu:1", "cuda:2", "vulkan"]
    made = [t.device(n) for n in names]
    bad = [failed(lambda n=n: t.device(n)) for n in ("nowhere", "cuda:x")]
    return [(repr(d), str(d), d.type, d.index) for d in made], t.device("mps", 1).index, made[2] == t.device("mps"), bad


@program
def a_generator_has_a_device(t):
    d = t.Generator().device
    return d == t.device("cpu"), d.type, isinstance(d, t.device), str(t.default_generator.device)


@program
def tensors(t):
    x = t.ones(2, 3, device="meta")
    y = t.rand(3, 4, device="meta", requires_grad=True)
    z = (x @ y).relu().sum(0, keepdim=True)
    made = [x, y, z, x[0], x.t(), t.cat([x, x]), x.to(t.float64), t.zeros_like(x), t.empty(3, device="meta", dtype=t.int64)]
    made += [t.tensor([1.0, 2.0], device="meta"), t.ones(2).to("meta"), x.clone(), z.detach(), x.new_zeros(4), t.randn_like(x)]
    return [(tuple(m.shape), str(m.dtype), str(m.device), m.is_meta, m.requires_grad, repr(m)) for m in made]


@program
def gradients(t):
    x = t.ones(2, 3, device="meta", requires_grad=True)
    (x * x).sum().backward()
    return tuple(x.grad.shape), x.grad.is_meta


@program
def tables_with_padding(t):
    made = [t.nn.Embedding(4, 3, padding_idx=1, device="meta"), t.nn.EmbeddingBag(4, 3, padding_idx=1, device="meta")]
    with t.device("meta"):
        made.append(t.nn.Embedding(4, 3, 0))
    return [(m.weight.is_meta, tuple(m.weight.shape)) for m in made]


@program
def reading(t):
    x = t.ones(1, device="meta")
    return [failed(f) for f in (x.item, x.tolist, lambda: x.to("cpu"), lambda: x.cpu(), lambda: float(x), x.numpy)]


@program
def in_place(t):
    x = t.zeros(2, 2, device="meta")
    x.add_(1).mul_(2)
    x[0] = 3
    x.uniform_()
    x.copy_(t.ones(2, 2))
    return repr(x), failed(lambda: x.copy_(t.ones(3)))[0]


@program
def draws_leave_the_stream(t):
    t.manual_seed(3)
    with t.device("meta"):
        net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Conv2d(1, 2, 3), t.nn.Embedding(5, 2), t.nn.LSTM(2, 2))
        t.randn(4)
    t.nn.init.orthogonal_(net[0].weight)
    t.nn.init.trunc_normal_(net[0].weight)
    return t.rand(2).tolist(), {str(p.device) for p in net.parameters()}, [tuple(p.shape) for p in net.parameters()]


def network(t, **options):
    return t.nn.Sequential(t.nn.Linear(3, 4, **options), t.nn.BatchNorm1d(4, **options), t.nn.Linear(4, 2, **options))


@program
def modules(t):
    net = network(t, device="meta")
    out = net.eval()(t.ones(5, 3, device="meta"))
    with t.no_grad():
        silent = net(t.ones(5, 3, device="meta"))
    encoder = t.nn.TransformerEncoderLayer(8, 2, 16, device="meta", batch_first=True)
    found = encoder(t.ones(2, 4, 8, device="meta"))
    return tuple(out.shape), out.is_meta, out.requires_grad, tuple(silent.shape), repr(net), tuple(found.shape)


@program
def loading(t):
    t.manual_seed(0)
    full = network(t)
    with t.device("meta"):
        net = network(t)
    log = [failed(lambda: net.to("cpu"))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.load_state_dict(full.state_dict())
    log += [len(caught), "no-op" in str(caught[0].message), {str(p.device) for p in net.parameters()}]
    log.append(str(net.load_state_dict(full.state_dict(), assign=True)))
    log += [{str(p.device) for p in net.parameters()}, [p.requires_grad for p in net.parameters()]]
    x = t.ones(2, 3)
    return log, t.equal(net.eval()(x), full.eval()(x))


@program
def to_empty(t):
    net = network(t, device="meta").to_empty(device="cpu")
    skipped = t.nn.utils.skip_init(t.nn.Linear, 3, 4, bias=False)
    return [(str(p.device), tuple(p.shape)) for p in net.parameters()], repr(skipped), \
        str(skipped.weight.device), {str(b.device) for b in net.buffers()}  # fmt: skip


@program
def copies(t):
    net = copy.deepcopy(network(t, device="meta"))
    return {p.is_meta for p in net.parameters()}, net[0].weight.requires_grad, net.double()[0].weight.dtype == t.float64


@program
def default_device(t):
    with t.device("meta"):
        inside = [t.zeros(2), t.tensor(1.0), t.arange(3), t.eye(2), t.full((2,), 1.0)]
    return [str(x.device) for x in inside], str(t.zeros(2).device)


@program
def beside_a_single_number_of_the_cpu(t):
    x, one = t.empty(2, 3, device="meta"), t.tensor(2.0)
    found = [x * one, one - x, t.where(x > 0, one, x), x.clamp(max=one), x.add_(one), t.maximum(x, one)]
    return [(tuple(v.shape), str(v.device), str(v.dtype)) for v in found]


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_same_as_pytorch(f):
    assert f(jaxnn) == f(torch)


@pytest.mark.parametrize("name", ["mps", "xpu", "mtia", "hpu"])
def test_an_absent_device_says_what_is_there(name):
    with pytest.raises(RuntimeError, match=f"'{name}'.*'cpu'"):
        jaxnn.ones(2, device=name)


def test_eval_shape_gives_meta_parameters():
    net = nnx.eval_shape(lambda: network(jaxnn))
    assert {str(p.device) for p in net.parameters()} == {"meta"}
    full = network(jaxnn)
    nnx.update(net, nnx.state(full))
    assert {str(p.device) for p in net.parameters()} == {"cpu"}
    assert jaxnn.equal(net[0].weight, full[0].weight)


def test_a_large_model_takes_no_memory():
    net = jaxnn.nn.Linear(1 << 20, 1 << 20, device="meta")
    assert net(jaxnn.ones(2, 1 << 20, device="meta")).shape == (2, 1 << 20)
    graph, state = nnx.split(net)
    assert state["weight"].shape == (1 << 20, 1 << 20)

"""torch.nn.Module's public protocol: the same program on PyTorch and on jaxnn, compared by what it logs or raises."""

import copy
import io
import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch

import jaxnn


def make(face):
    """A network with everything: a shared module, a tied parameter, buffers of both kinds, a missing parameter."""
    nn = face.nn

    class Block(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.lin = nn.Linear(n, n)
            self.register_buffer("scale", face.ones(n))
            self.register_buffer("cache", face.zeros(2), persistent=False)
            self.register_parameter("gone", None)

        def forward(self, x, *, gain=1.0):
            return self.lin(x) * self.scale * gain

        def extra_repr(self):
            return "block"

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = Block(3)
            self.second = Block(3)
            self.again = self.first
            self.second.lin.weight = self.first.lin.weight
            self.alpha = nn.Parameter(face.ones(1))
            self.note = "text"

        def forward(self, x):
            return self.again(self.second(self.first(x))) * self.alpha

    face.manual_seed(3)
    return Net()


PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


@program
def walking(face, net, log):
    for remove in (True, False):
        log([n for n, _ in net.named_parameters(remove_duplicate=remove)])
        log([n for n, _ in net.named_buffers(remove_duplicate=remove)])
        log([n for n, _ in net.named_modules(remove_duplicate=remove)])
    log([n for n, _ in net.named_parameters("p", recurse=False)])
    log([n for n, _ in net.named_children()], len(list(net.children())), len(list(net.modules())))
    log(len(list(net.parameters())), len(list(net.buffers())), len(list(net.first.parameters(recurse=False))))
    log(list(net._modules), list(net._parameters), list(net.first._buffers), list(net.first._parameters))
    log(repr(net), str(net) == repr(net), net.first.extra_repr(), net._get_name())
    log(net.first.gone, net.note, net.training, "first" in dir(net), "alpha" in dir(net))
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    log(seen)


@program
def modes(face, net, log):
    log(net.eval() is net, net.first.training, net.train().first.lin.training, net.train(False).training)
    net.train("yes")


@program
def gradients(face, net, log):
    x = face.ones(2, 3)
    net(x).sum().backward()
    log([p.grad is None for p in net.parameters()], net.alpha.grad.shape)
    net.zero_grad(set_to_none=False)
    log(net.alpha.grad.tolist())
    net.zero_grad()
    log(net.alpha.grad, net.requires_grad_(False) is net, net.alpha.requires_grad)


@program
def state_dict(face, net, log):
    state = net.state_dict()
    log(list(state), type(state).__name__, dict(state._metadata), state["alpha"].requires_grad)
    log(list(net.state_dict(prefix="a.")), net.state_dict(keep_vars=True)["alpha"] is net.alpha)
    target = OrderedDict(x=1)
    log(list(net.state_dict(destination=target)), state["second.lin.weight"].shape)
    state["alpha"].fill_(5)
    log(net.alpha.tolist())


@program
def loading(face, net, log):
    state = net.state_dict()
    log(str(net.load_state_dict(state)))
    state.pop("alpha")
    state["wrong"] = face.ones(1)
    state["first.lin.extra.x"] = face.ones(1)
    found = net.load_state_dict(state, strict=False)
    log(str(found), found.missing_keys)
    net.load_state_dict(state)


@program
def loading_sizes(face, net, log):
    net.load_state_dict({**net.state_dict(), "alpha": face.ones(3), "first.scale": 3})


@program
def loading_assign(face, net, log):
    new = net.state_dict()
    new["alpha"] = face.tensor([2.0], dtype=face.float64)
    net.load_state_dict(new)
    log(net.alpha.dtype, net.alpha.tolist())
    net.load_state_dict(new, assign=True)
    log(net.alpha.dtype, net.alpha.requires_grad, type(net.alpha).__name__, net.first.scale.dtype)
    net.load_state_dict(3)


@program
def conversions(face, net, log):
    p = net.alpha
    for f in (net.half, net.bfloat16, net.double, net.float):
        log(f() is net, p is net.alpha, p.dtype, net.first.scale.dtype, p.requires_grad)
    net.to(face.float64)
    log(net.alpha.dtype, net.to("cpu").alpha.device, net.to("cpu", face.float32).alpha.dtype, net.cpu().alpha.dtype)
    log(net.to(face.ones(1, dtype=face.float16)).alpha.dtype, net.to(dtype=face.float32, device="cpu").alpha.dtype)
    log(net.type(face.float64).first.scale.dtype, net.float().to_empty(device="cpu").alpha.shape)
    net.to(face.int64)


@program
def conversion_keeps_gradients(face, net, log):
    net(face.ones(1, 3)).sum().backward()
    net.double()
    log(net.alpha.grad.dtype, net.alpha.is_leaf)


@program
def paths(face, net, log):
    log(
        net.get_submodule("") is net,
        net.get_submodule("first.lin") is net.first.lin,
        net.get_parameter("alpha") is net.alpha,
    )
    log(net.get_buffer("first.scale").shape)
    net.set_submodule("first.lin", face.nn.Identity())
    log(repr(net.first))
    for f in (
        lambda: net.get_submodule("first.nix"), lambda: net.get_submodule("first.scale"),
        lambda: net.get_parameter("first.scale"),
        lambda: net.get_buffer("alpha"), lambda: net.get_parameter("nix"), lambda: net.set_submodule("", net),
        lambda: net.set_submodule("x.y", net.first), lambda: net.set_submodule("alpha", net.first),
    ):  # fmt: skip
        log(error(f))


@program
def registration_errors(face, net, log):
    nn = face.nn
    for f in (
        lambda: net.register_parameter("a.b", None), lambda: net.register_parameter("", None),
        lambda: net.register_parameter("note", None), lambda: net.register_parameter(3, None),
        lambda: net.register_parameter("x", face.ones(1)), lambda: net.register_buffer("a.b", None),
        lambda: net.register_buffer("", None), lambda: net.register_buffer("alpha", None),
        lambda: net.register_buffer("x", 3),
        lambda: net.register_buffer(3, None), lambda: net.add_module("a.b", nn.ReLU()),
        lambda: net.add_module("", nn.ReLU()),
        lambda: net.add_module("alpha", nn.ReLU()), lambda: net.add_module("x", 3),
        lambda: net.add_module(3, nn.ReLU()),
        lambda: net.add_module("note", None), lambda: setattr(net, "alpha", face.ones(1)),
        lambda: setattr(net, "first", 3),
        lambda: setattr(net.first, "scale", 3), lambda: setattr(net, "alpha", "x"), lambda: net.nix,
        lambda: delattr(net, "nix"),
        lambda: nn.Module(3), lambda: nn.Module(a=3), lambda: nn.Module()(3), lambda: nn.Parameter(face.tensor([1])),
        lambda: net.register_parameter("forward", None), lambda: net.register_buffer("eval", None),
    ):  # fmt: skip
        log(error(f))


@program
def before_init(face, net, log):
    class Bad(face.nn.Module):
        def __init__(self, value):
            self.x = value

    for value in (face.nn.Parameter(face.ones(1)), face.nn.ReLU()):
        log(error(lambda value=value: Bad(value)))
    log(error(lambda: Bad(3).register_buffer("a", None)), error(lambda: Bad(3).register_parameter("a", None)), Bad(3).x)


@program
def attributes(face, net, log):
    nn = face.nn
    net.alpha = None
    log(list(net._parameters), [n for n, _ in net.named_parameters()][:2])
    net.alpha = nn.Parameter(face.zeros(2))
    log(list(net._parameters), net.alpha.shape)
    net.first.scale = face.zeros(3)
    log([n for n, _ in net.first.named_buffers()], net.first.scale.tolist())
    net.first.scale = None
    log(list(net.first._buffers), list(net.first.state_dict()))
    net.note = nn.ReLU()
    log(list(net._modules))
    net.note = None
    log(net.note, list(net._modules))
    del net.note
    log(list(net._modules), hasattr(net, "note"))
    net.alpha2 = face.ones(1)
    log([n for n, _ in net.named_parameters()][-1], [n for n, _ in net.named_buffers()][-1])
    net.buf = nn.Buffer(face.ones(1), persistent=False)
    log([n for n, _ in net.named_buffers(recurse=False)], "buf" in net.state_dict())
    net._modules["block 0"] = nn.Tanh()
    net._parameters["q"] = nn.Parameter(face.ones(1))
    net._buffers["r"] = face.ones(1)
    log(list(net._modules), getattr(net, "block 0"), net.q.shape, net.r.shape, list(net.state_dict())[:4])
    del net._modules["block 0"]
    log(list(net._modules), net._parameters.pop("q").shape, hasattr(net, "q"))


@program
def forward_hooks(face, net, log):
    x = face.ones(1, 3)
    order = []
    handles = [
        net.first.register_forward_pre_hook(lambda m, a: order.append("pre")),
        net.first.register_forward_pre_hook(lambda m, a: (a[0] * 2,), prepend=True),
        net.first.register_forward_pre_hook(lambda m, a, k: (a, {**k, "gain": 3.0}), with_kwargs=True),
        net.first.register_forward_hook(lambda m, a, o: order.append("post")),
        net.first.register_forward_hook(lambda m, a, o: o + 1, prepend=True),
        net.first.register_forward_hook(lambda m, a, k, o: order.append(sorted(k)), with_kwargs=True),
    ]
    log(net.first(x).detach().numpy().round(4).tolist(), order)
    with handles[3]:
        pass
    for h in handles:
        h.remove()
    log(
        len(net.first._forward_hooks),
        len(net.first._forward_pre_hooks),
        net.first(x).detach().numpy().round(4).tolist(),
    )
    net.first.register_forward_hook(lambda m, a, o: order.append("always"), always_call=True)
    log(error(lambda: net.first(face.ones(1, 4))) is not None, order[-1])
    net.first.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    net.first(x)


@program
def backward_hooks(face, net, log):
    x = face.ones(2, 3, requires_grad=True)
    seen = []
    lin = net.first.lin
    a = lin.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0], go[0])))
    b = lin.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
    lin(x).sum().backward()
    log([(a.shape, b.tolist()) for a, b in seen], x.grad.numpy().round(5).tolist(), lin.bias.grad.tolist())
    a.remove()
    b.remove()
    x.grad = None
    lin.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0 + 7,))
    lin(x).sum().backward()
    log(x.grad.tolist())
    inputs = []
    act = face.nn.Tanh()
    act.register_full_backward_hook(lambda m, gi, go: inputs.append((gi, go[0])))
    weight = face.nn.Parameter(face.ones(1))
    (act(face.ones(1)) * weight).sum()
    (act(weight) * 2).sum().backward()
    log(len(inputs), inputs[0][1].tolist())
    log(error(lambda: lin.register_backward_hook(print)))


@program
def global_hooks(face, net, log):
    if face is torch:
        from torch.nn.modules import module as hooks
    else:
        from jaxnn.nn import hooks
    order = []
    handles = [
        hooks.register_module_forward_pre_hook(lambda m, a: order.append("pre " + type(m).__name__)),
        hooks.register_module_forward_hook(lambda m, a, o: order.append("post " + type(m).__name__)),
        hooks.register_module_parameter_registration_hook(lambda m, n, p: order.append("parameter " + n)),
        hooks.register_module_buffer_registration_hook(lambda m, n, b: order.append("buffer " + n)),
        hooks.register_module_module_registration_hook(lambda m, n, c: order.append("module " + n)),
        hooks.register_module_full_backward_hook(lambda m, gi, go: order.append("backward " + type(m).__name__)),
    ]
    out = net.first(face.ones(1, 3))
    out.sum().backward()
    made = face.nn.Sequential(face.nn.BatchNorm1d(2))
    made.x = face.nn.Parameter(face.ones(1))
    for h in handles:
        h.remove()
    net(face.ones(1, 3))
    log(order)


@program
def state_hooks(face, net, log):
    order = []
    net.first.register_state_dict_pre_hook(lambda m, prefix, keep: order.append(("pre", prefix, keep)))
    net.first.register_state_dict_post_hook(lambda m, s, prefix, meta: order.append(("post", len(s), prefix, meta)))
    net.first.register_load_state_dict_pre_hook(lambda m, s, prefix, *rest: order.append(("load", prefix, len(rest))))
    net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    net._register_state_dict_hook(lambda m, s, prefix, meta: OrderedDict(k=1))
    log(net.state_dict())
    log(str(net.load_state_dict({}, strict=False)), order)
    net.first.register_state_dict_post_hook(lambda *a: 3)
    net.state_dict()


@program
def extra_state(face, net, log):
    class WithState(face.nn.Module):
        def get_extra_state(self):
            return {"epoch": 3}

        def set_extra_state(self, state):
            self.epoch = state["epoch"]

    m = face.nn.Sequential(WithState())
    log(m.state_dict(), str(m.load_state_dict(m.state_dict())), m[0].epoch)
    log(error(lambda: m.load_state_dict({})))
    log(error(lambda: face.nn.Sequential(face.nn.ReLU()).load_state_dict({"0._extra_state": 1})))


@program
def copies(face, net, log):
    net(face.ones(1, 3)).sum().backward()
    for other in (copy.deepcopy(net), copy.copy(net)):
        log(other.first is net.first, other.first is other.again, other.second.lin.weight is other.first.lin.weight)
        log(repr(other) == repr(net), other.alpha.grad is None, other.alpha.requires_grad)
    other = copy.deepcopy(net)
    other.alpha.data.fill_(9)
    log(net.alpha.tolist(), other.alpha.is_leaf)
    linear = face.nn.Sequential(face.nn.Linear(2, 2), face.nn.BatchNorm1d(2))
    linear.register_buffer("b", face.ones(1), persistent=False)
    loaded = pickle.loads(pickle.dumps(linear))
    log(repr(loaded), list(loaded.state_dict()), type(loaded[0].weight).__name__, loaded[0].weight.requires_grad)
    log(loaded[0].weight.tolist() == linear[0].weight.tolist(), [n for n, _ in loaded.named_buffers()])
    buffer = io.BytesIO()
    pickle.dump(loaded.state_dict(), buffer)


@program
def parameter(face, net, log):
    nn = face.nn
    data = face.ones(2)
    p = nn.Parameter(data)
    data[0] = 5
    log(p.tolist(), repr(p), p.is_leaf, p.requires_grad, isinstance(p, face.Tensor), type(p.data).__name__)
    q = nn.Parameter(data, requires_grad=False)
    log(q.requires_grad, repr(q), (p == p).tolist(), p in {p: 1}, p in [p])
    p.tag = 3
    log(p.tag, copy.deepcopy(q).requires_grad, pickle.loads(pickle.dumps(p)).tolist(), hasattr(p, "foo"))
    log(nn.Parameter().shape, (p * 2).grad_fn is not None, type(p * 2).__name__, type(p.detach()).__name__)
    with face.no_grad():
        p -= 1
    log(p.tolist(), type(p).__name__, data.tolist())
    p.data = face.zeros(3)
    log(p.shape, data.tolist(), p.requires_grad)
    p.grad = face.ones(3)
    log(p.grad.tolist(), error(lambda: nn.Parameter(face.ones(1)).add_(1)))
    p.foo


def error(f):
    try:
        f()
    except Exception as e:
        return type(e).__name__, plain(str(e))
    return None


def plain(text):
    """Messages without the names of the packages."""
    for a, b in (
        ("jaxnn.nn.linear.", "torch.nn.modules.linear."), ("jaxnn.nn.activation.", "torch.nn.modules.activation."),
        ("jaxnn.core.memory.tensor_base.", "torch."), ("jaxnn.", "torch."),
    ):  # fmt: skip
        text = text.replace(a, b)
    return text


def run(face, f):
    logged = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            f(face, make(face), lambda *values: logged.append(plain(repr(values))))
    except Exception as e:
        logged.append((type(e).__name__, plain(str(e))))
    return logged


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    theirs, ours = run(torch, PROGRAMS[name]), run(jaxnn, PROGRAMS[name])
    for a, b in zip(theirs, ours, strict=False):
        assert b == a
    assert len(theirs) == len(ours)


def test_load_from_torch_and_numpy():
    """PyTorch's tensors and numpy arrays load, bfloat16 too; what is loaded is a copy."""
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    ours = jaxnn.nn.Sequential(jaxnn.nn.Linear(3, 2), jaxnn.nn.BatchNorm1d(2))
    ours.load_state_dict(theirs.state_dict())
    arrays = {k: v.numpy().copy() for k, v in theirs.state_dict().items()}
    with torch.no_grad():
        theirs[0].weight.zero_()
    assert ours[0].weight.detach().numpy().any()
    ours.load_state_dict(arrays)
    arrays["0.weight"][:] = 0
    assert ours[0].weight.detach().numpy().any()
    half = torch.nn.Linear(3, 2, dtype=torch.bfloat16)
    mine = jaxnn.nn.Linear(3, 2, dtype=jaxnn.bfloat16)
    mine.load_state_dict(half.state_dict())
    np.testing.assert_array_equal(mine.weight.float().detach().numpy(), half.weight.float().detach().numpy())


def test_what_is_not_there():
    with pytest.raises(NotImplementedError, match="share_memory"):
        jaxnn.nn.Linear(1, 1).share_memory()
    with pytest.raises(NotImplementedError, match="fullgraph"):
        jaxnn.nn.Linear(1, 1).compile(fullgraph=True)
    assert jaxnn.nn.Linear(1, 1).compile() is None

"""Classes with a ``__getattr__`` of their own are asked for parameters, buffers and children, as PyTorch's are; Flax sees no difference."""

import copy
import pickle

import jax
import jax.numpy as jnp
import optax
import pytest
import torch
from flax import nnx

import jaxnn

PROGRAMS = []


def program(f):
    PROGRAMS.append(f)
    return f


def recording(t):
    """A module that writes down what its ``__getattr__`` is asked for."""

    class Net(t.nn.Module):
        def __init__(self):
            object.__setattr__(self, "log", [])
            super().__init__()
            self.inner = t.nn.Linear(2, 3)
            self.scale = t.nn.Parameter(t.ones(2))
            self.register_buffer("shift", t.zeros(2))
            self.register_parameter("nothing", None)
            self.plain = 5

        def __getattr__(self, name):
            self.__dict__["log"].append(name)
            return super().__getattr__(name)

        def forward(self, x):
            return self.inner(x * self.scale + self.shift)

    made = Net()
    made.log.clear()
    return made


@program
def reads(t):
    net = recording(t)
    found = net.inner is net._modules["inner"], net.scale is net._parameters["scale"], net.shift.tolist(), net.nothing, net.plain
    return found, net.training, hasattr(net, "missing"), net.log


@program
def a_call(t):
    net = recording(t)
    return net(t.ones(1, 2)).shape == (1, 3), net.log


@program
def walks_do_not_ask(t):
    net = recording(t)
    found = [n for n, _ in net.named_parameters()], [n for n, _ in net.named_modules()], list(net.state_dict()), repr(net)
    net.load_state_dict(net.state_dict())
    net.eval().requires_grad_(False).double().zero_grad()
    return found, [name for name in net.log if name != "_is_replica"]


@program
def assigned_and_deleted(t):
    net = recording(t)
    net.scale, net.inner, net.shift, net.plain = t.nn.Parameter(t.zeros(2)), t.nn.ReLU(), t.ones(2), 6
    found = net.scale.tolist(), repr(net.inner), net.shift.tolist(), net.plain
    del net.scale, net.inner, net.shift
    return found, [hasattr(net, name) for name in ("scale", "inner", "shift", "nothing")], list(net.state_dict())


@program
def registered_twice(t):
    net, found = recording(t), []
    for name in ("inner", "shift", "log"):
        try:
            net.register_parameter(name, None)
        except KeyError as error:
            found.append(str(error))
    return found


@program
def copies(t):
    net = recording(t)
    deep, shallow = copy.deepcopy(net), copy.copy(net)
    deep.log.clear()
    return deep.scale.tolist(), deep.scale is net.scale, deep.log, shallow.inner is net.inner


@program
def through_pickle(t):
    made = pickle.loads(pickle.dumps(CLASSES[t]()))
    return made.weight.tolist(), list(made.state_dict())


@program
def dictionary(t):
    net = recording(t)
    return [k for k in vars(net) if k in ("_parameters", "_modules", "inner", "plain")], list(net.__dict__["_buffers"]), "scale" in dir(net)


@program
def a_changed_value_trains(t):
    class Doubled(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = t.nn.Parameter(t.ones(2))

        def __getattr__(self, name):
            found = super().__getattr__(name)
            return found * 2 if name == "w" else found

    net = Doubled()
    optimizer = t.optim.SGD(net.parameters(), 0.0625)
    for _ in range(2):
        optimizer.zero_grad()
        net.w.pow(2).sum().backward()
        optimizer.step()
    return net.w.tolist(), net._parameters["w"].grad.tolist()


@program
def what_a_wrapper_passes_on(t):
    class Wrapper(t.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.module, name)

    net = Wrapper(Wrapper(t.nn.Linear(2, 3)))
    return net.out_features, net.weight.shape == (3, 2), list(net.state_dict())


@program
def a_plain_class_beside(t):
    class Seen:
        def __getattr__(self, name):
            return "dynamic" if name == "x" else ("seen", type(super().__getattr__(name)).__name__)

    class First(Seen, t.nn.Module):
        pass

    class Last(t.nn.Module, Seen):
        pass

    found = []
    for kind in (First, Last):
        net = kind()
        net.w = t.nn.Parameter(t.ones(1))
        found.append((type(net.w) is tuple, hasattr(net, "x")))
    return found


@program
def subclasses_and_containers(t):
    class Chain(t.nn.Sequential):
        asked = 0

        def __getattr__(self, name):
            type(self).asked += 1
            return super().__getattr__(name)

    class Longer(Chain):
        pass

    net = Longer(t.nn.Linear(2, 3), t.nn.ReLU())
    net.append(t.nn.Tanh())
    del net[1]
    Longer.asked = 0
    return list(net.state_dict()), repr(net), repr(getattr(net, "1")), Longer.asked


@program
def a_layer_of_the_library(t):
    log = []

    class Layer(t.nn.Linear):
        def __getattr__(self, name):
            log.append(name)
            return super().__getattr__(name)

    t.manual_seed(0)
    net = Layer(2, 2)
    log.clear()
    return [round(v, 5) for v in net(t.ones(2)).tolist()], log


@program
def getattribute(t):
    log = []

    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = t.nn.Parameter(t.ones(1))
            self.p = 3

        def __getattribute__(self, name):
            try:
                return super().__getattribute__(name)
            except AttributeError:
                log.append(("not found", name))
                raise

    class Both(Net):
        def __getattr__(self, name):
            log.append(("asked", name))
            return super().__getattr__(name)

    one, both = Net(), Both()
    log.clear()
    return one.w.tolist(), both.w.tolist(), both.p, log, list(vars(both)["_parameters"])


@program
def given_later(t):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = t.nn.Parameter(t.ones(1))

    def ask(self, name):
        log.append(name)
        return t.nn.Module.__getattr__(self, name)

    net, log = Net(), []
    Net.__getattr__ = ask
    assert net.w.requires_grad
    del Net.__getattr__
    return net.w.tolist(), log


@program
def another_class_later(t):
    class Raised(t.nn.Linear):
        def __getattr__(self, name):
            found = super().__getattr__(name)
            return found + 1 if name == "bias" else found

    net = t.nn.Linear(2, 2)
    t.nn.init.zeros_(net.bias)
    net.__class__ = Raised
    return net.bias.tolist(), net(t.zeros(2)).tolist()


@program
def before_the_constructor(t):
    class Net(t.nn.Module):
        def __init__(self):
            pass

        def __getattr__(self, name):
            return super().__getattr__(name)

    found = []
    for f in (lambda: Net().w, lambda: setattr(Net(), "w", t.nn.Parameter(t.ones(1)))):
        with pytest.raises(AttributeError) as error:
            f()
        found.append(str(error.value))
    return found


@program
def parametrized(t):
    class Layer(t.nn.Linear):
        def __getattr__(self, name):
            return super().__getattr__(name)

    net = t.nn.utils.parametrizations.weight_norm(Layer(2, 2))
    net.register_forward_hook(lambda *given: None)
    return list(net.state_dict()), net(t.ones(1, 2)).shape == (1, 2)


class Theirs(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 1)
        torch.nn.init.ones_(self.weight)

    def __getattr__(self, name):
        return super().__getattr__(name)


class Ours(jaxnn.nn.Linear):
    def __init__(self):
        super().__init__(2, 1)
        jaxnn.nn.init.ones_(self.weight)

    def __getattr__(self, name):
        return super().__getattr__(name)


CLASSES = {torch: Theirs, jaxnn: Ours}


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_like_pytorch(f):
    assert f(jaxnn) == f(torch)


def usual():
    class Net(jaxnn.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = jaxnn.nn.Linear(2, 3)
            self.scale = jaxnn.nn.Parameter(jaxnn.ones(2))
            self.register_buffer("shift", jaxnn.zeros(2))
            self.drop = jaxnn.nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(self.inner(x * self.scale + self.shift))

    return Net


def test_flax_sees_no_difference():
    def loss(net, x):
        return (net(x) ** 2).mean()

    @nnx.jit
    def step(net, optimizer, x):
        value, gradients = nnx.value_and_grad(loss)(net, x)
        optimizer.update(net, gradients)
        return value

    class Holder(nnx.Module):
        def __init__(self, net):
            self.net = net

    def found(kind):
        jaxnn.manual_seed(0)
        net, x = kind().eval(), jnp.ones((4, 2))
        graph, state = nnx.split(net)
        optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
        results = [nnx.merge(graph, state)(x), step(net, optimizer, x), step(net, optimizer, x), nnx.clone(net)(x)]
        results += [jax.tree.map(lambda a: a * 0, net)(x), jax.jit(lambda net, x: net(x))(net, x), *jax.tree.leaves(state)]
        modes = [net.drop.training]
        for change in (Holder(net).train, Holder(net).eval):
            change()
            modes += [net.training, net.drop.training]
        return [a.tolist() for a in results], modes, sorted(nnx.to_pure_dict(state)), len(list(nnx.iter_graph(net)))

    class Asking(usual()):
        def __getattr__(self, name):
            return super().__getattr__(name)

    assert found(Asking) == found(usual())

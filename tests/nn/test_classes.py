"""What users do with classes: the same program on PyTorch and on jaxnn, compared by what it returns or raises."""

import abc
import copy
import inspect
import pickle
from typing import Generic, Protocol, TypeVar

import pytest
import torch

import jaxnn

PROGRAMS = []


def program(f):
    PROGRAMS.append(f)
    return f


def outcome(f, face):
    try:
        return f(face)
    except Exception as error:
        return type(error), str(error)


def shape_of(signature):
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


# --- modules


@program
def signature_of_a_module(t):
    class Net(t.nn.Module):
        def __init__(self, width, depth=2, *, act="relu", **rest):
            super().__init__()

    class Child(Net):
        pass

    class Other(t.nn.Module):
        def __new__(cls, a, b=1):
            return super().__new__(cls)

        def __init__(self, *args):
            super().__init__()

    class Declared(t.nn.Module):
        __signature__ = inspect.Signature()

    found = [inspect.signature(c) for c in (Net, Child, Other, Declared, t.nn.Module)]
    return [shape_of(s) for s in found], shape_of(inspect.signature(Net.forward))


@program
def new_returns_another_class(t):
    class Base(t.nn.Module):
        def __new__(cls, kind=None):
            if kind == "number":
                return 5
            if kind == "sub":
                return object.__new__(Sub)
            if kind == "other":
                return t.nn.ReLU()
            return super().__new__(cls)

        def __init__(self, kind=None):
            super().__init__()
            self.kind = kind

    class Sub(Base):
        pass

    made = [Base(), Base("number"), Base("sub"), Base("other")]
    return [type(m).__name__ for m in made], made[2].kind, made[2].training, str(made[0].train())


@program
def abstract_methods_without_abc(t):
    class Abstract(t.nn.Module):
        @abc.abstractmethod
        def build(self): ...

    class Below(Abstract, abc.ABC):
        pass

    return type(Abstract()).__name__, type(Below()).__name__


@program
def abstract_methods_below_abc(t):
    class Abstract(t.nn.Module, abc.ABC):
        @abc.abstractmethod
        def build(self): ...

    class Concrete(Abstract):
        def build(self):
            return 3

    return Concrete().build(), outcome(lambda _: Abstract(), t)


@program
def a_metaclass_of_ones_own(t):
    class Meta(type(t.nn.Module)):
        def __call__(cls, *args, **kwargs):
            made = super().__call__(*args, **kwargs)
            made.finished = made.a
            return made

    class Net(t.nn.Module, metaclass=Meta):
        def __init__(self, a):
            super().__init__()
            self.a = a

    return Net(4).finished, shape_of(inspect.signature(Net))


@program
def generics_and_protocols(t):
    T = TypeVar("T")

    class Encodes(Protocol):
        def encode(self): ...

    class Net(t.nn.Module, Generic[T]):
        pass

    class Encoder(t.nn.Module, Encodes):
        def encode(self):
            return 1

    return type(Net[int]()).__name__, Encoder().encode(), isinstance(Encoder(), t.nn.Module), isinstance(3, t.nn.Module)


@program
def parameters_that_is_a_list(t):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = t.nn.Linear(2, 2)

        def parameters(self, recurse=True):
            return list(super().parameters(recurse))

        def forward(self, x):
            return self.lin(x)

    net = Net()
    with t.no_grad():
        shape = net(t.ones(1, 2)).shape
    net(t.ones(1, 2)).sum().backward()
    net.zero_grad()
    net.requires_grad_(False)
    return shape, [p.grad for p in net.parameters()], [p.requires_grad for p in net.parameters()]


# --- the dictionaries of children


@program
def children_are_dicts(t):
    net = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.BatchNorm1d(2))
    own = (net._modules, net[0]._parameters, net[1]._buffers)
    kinds = [(isinstance(d, dict), len(d), bool(d), list(reversed(d)), list(d | {"z": 1}), list({"z": 1} | d)) for d in own]
    copies = [type(c) for d in own for c in (copy.copy(d), copy.deepcopy(d), d.copy(), pickle.loads(pickle.dumps(d)))]
    spread = [list({**d}) for d in own], [list(dict(d)) for d in own], [list(d.keys()) for d in own]
    return kinds, copies, spread, net._modules == dict(net._modules), net._modules != {}, net[0]._buffers == {}


@program
def children_change_as_dicts_do(t):
    net = t.nn.Linear(2, 2)
    log = []
    net._parameters |= {"q": t.nn.Parameter(t.ones(1))}
    log.append(list(net._parameters))
    log.append(net._parameters.pop("q").shape)
    log.append(net._parameters.setdefault("bias") is net.bias)
    log.append(net._parameters.get("none", 7))
    log.append(net._parameters.popitem()[0])
    net._parameters.update(z=t.nn.Parameter(t.ones(3)))
    log.append([n for n, _ in net.named_parameters()])
    net._parameters.clear()
    log.append(outcome(lambda _: net._parameters.popitem(), t))
    log.append(outcome(lambda _: net._parameters["q"], t))
    return log


# --- parameters


@program
def parameter_with_new(t):
    class Scaled(t.nn.Parameter):
        def __new__(cls, data, scale=1):
            made = super().__new__(cls, data)
            made.scale = scale
            return made

    class Frozen(t.nn.Parameter):
        def __new__(cls, data, tag=None):
            return t.nn.Parameter.__new__(cls, data, False)

        def __init__(self, data, tag=None):
            self.tag = tag

    p, q = Scaled(t.ones(2), scale=5), Frozen(t.ones(3), tag="f")
    net = t.nn.Module()
    net.p, net.q = p, q
    return (
        [(type(v).__name__, v.requires_grad, v.is_leaf) for v in net.parameters()], p.scale, q.tag, type(p + 1).__name__,
        type(p.data).__name__, type(copy.deepcopy(net).p).__name__, shape_of(inspect.signature(Scaled)),
        shape_of(inspect.signature(t.nn.Parameter)),
    )  # fmt: skip


@program
def parameter_with_init(t):
    class Tagged(t.nn.Parameter):
        def __init__(self, data, requires_grad=True):
            self.tag = data.sum().item()

    p = Tagged(t.ones(2))
    p.sum().backward()
    return p.tag, p.grad.tolist(), isinstance(p, t.nn.Parameter), isinstance(p, t.Tensor)


@program
def parameter_new_returns_a_tensor(t):
    class Odd(t.nn.Parameter):
        def __new__(cls, data):
            return data

    return type(Odd(t.ones(1))).__name__


# --- optimizers


@program
def an_optimizer_around_another(t):
    class Lookahead(t.optim.Optimizer):
        def __init__(self, inner):
            self.inner, self.param_groups, self.calls = inner, inner.param_groups, 0

        def step(self, closure=None):
            self.calls += 1
            return self.inner.step(closure)

        def zero_grad(self, set_to_none=True):
            self.inner.zero_grad(set_to_none)

    p = t.nn.Parameter(t.ones(2))
    optimizer = Lookahead(t.optim.SGD([p], lr=0.25))
    seen = []
    handle = t.optim.Optimizer.register_step_post_hook(optimizer.inner, lambda *_: seen.append(1))
    for _ in range(3):
        optimizer.zero_grad()
        p.pow(2).sum().backward()
        optimizer.step()
    handle.remove()
    return p.tolist(), optimizer.calls, len(seen), type(t.optim.lr_scheduler.StepLR(optimizer.inner, 1)).__name__


@program
def getattr_that_asks_the_base(t):
    """What wrappers do: their own children first, then those of what they wrap."""

    class Wrapped(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = t.nn.Linear(2, 3)
            self.scale = t.nn.Parameter(t.ones(1))

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(super().__getattr__("inner"), name)

    made = Wrapped()
    return made.out_features, made.__getattr__("scale") is made.scale, hasattr(made, "nothing")


@program
def class_keywords_and_slots(t):
    found = {}

    class Base(t.nn.Module):
        __slots__ = ("one", "two")

        def __init_subclass__(cls, name="none", bases=(), **options):
            super().__init_subclass__(**options)
            found[name] = bases

    class Child(Base, name="child", bases=(1,)):
        __slots__ = "three"

        def __init__(self):
            super().__init__()
            self.one, self.three, self.four = 1, 3, 4

    made = Child()
    return found, made.one, made.three, made.four, hasattr(made, "two")


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_same_as_pytorch(f):
    assert outcome(f, jaxnn) == outcome(f, torch)


def layers():
    found = {n: getattr(torch.nn, n) for n in dir(torch.nn) if isinstance(getattr(torch.nn, n), type)}
    # A deprecated class shows nothing of its arguments in PyTorch.
    return [n for n, c in found.items() if issubclass(c, torch.nn.Module) and n not in ("Container", "NLLLoss2d")]


@pytest.mark.parametrize("name", layers())
def test_a_layer_shows_its_arguments(name):
    theirs, ours = (inspect.signature(getattr(face.nn, name)) for face in (torch, jaxnn))
    plain = [(n, k, getattr(d, "__name__", d)) for n, k, d in shape_of(ours) if n != "rngs"]
    assert plain == [(n, k, getattr(d, "__name__", d)) for n, k, d in shape_of(theirs)]


@pytest.mark.parametrize("name", ["relu", "conv2d", "max_pool2d", "softmax", "dropout", "linear", "layer_norm"])
def test_layers_call_functions_by_name(name, monkeypatch):
    """As programs that count operations expect, which put others in their place."""
    calls = {"relu": "ReLU()", "conv2d": "Conv2d(2, 2, 1)", "max_pool2d": "MaxPool2d(1)", "softmax": "Softmax(1)",
             "dropout": "Dropout(0.0)", "linear": "Linear(2, 2)", "layer_norm": "LayerNorm(2)"}  # fmt: skip

    def counted(face):
        plain, seen = getattr(face.nn.functional, name), []
        with monkeypatch.context() as patch:
            patch.setattr(face.nn.functional, name, lambda *args, **kwargs: (seen.append(1), plain(*args, **kwargs))[1])
            eval(f"face.nn.{calls[name]}", {"face": face})(face.ones(1, 2, 2, 2))
        return len(seen)

    assert counted(jaxnn) == counted(torch) == 1

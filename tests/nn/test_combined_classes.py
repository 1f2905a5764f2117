"""Classes that are both a subclass of Tensor and of Parameter, and parameters with a ``__torch_function__``: the same program on both."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import jaxnn
from tests.comparison import check


def classes(t):
    """A kind of tensor with state of its own, and the parameter of that kind, by the ways in which such classes are written."""

    def decorated(f):
        def inner(self, *args):
            return f(self, *args)

        return inner

    class Mixed:
        def twice(self):
            return self * 2

    class Kind(t.Tensor):
        if t is torch:
            __torch_function__ = torch._C._disabled_torch_function_impl
        else:
            __torch_function__ = jaxnn._C._disabled_torch_function_impl

        def __new__(cls, *args, tag="kind", requires_grad=False):
            data = args[0].data if len(args) == 1 and isinstance(args[0], t.Tensor) else t.Tensor(*args)
            made = t.Tensor._make_subclass(cls, data, requires_grad)
            made.tag = tag
            return made

        def named(self):
            return self.tag + str(tuple(self.shape))

        def dist(self, other, p=2):
            return super().dist(other) + 1

        def norm(self):
            return super(Kind, self).norm() * 3  # noqa: UP008  (both forms are meant)

        @decorated
        def sum(self):
            return super().sum() + 5

        @property
        def half(self):
            return super().mul(0.5)

        @classmethod
        def make(cls, *sizes):
            return cls(t.ones(*sizes), tag="made")

        def __deepcopy__(self, memo):
            if id(self) not in memo:
                memo[id(self)] = type(self)(self.data.clone(), tag=copy.deepcopy(self.tag, memo), requires_grad=self.requires_grad)
            return memo[id(self)]

    class Further(Kind):
        def norm(self):
            return super().norm() + 1

    class Both(Further, Mixed, t.nn.Parameter):
        def __new__(cls, data=None, tag="both", requires_grad=True):
            data = data if isinstance(data, Kind) else Kind(data, tag=tag)
            made = Further._make_subclass(cls, data, requires_grad)
            made.tag = data.tag
            return made

        def norm(self):
            return super().norm() + 1

    class Plain(Kind, t.nn.Parameter):
        pass

    return Kind, Further, Both, Plain


class Program:
    """A module with such parameters, trained, copied and saved."""

    def __init__(self, t):
        self.t = t
        kind, further, both, plain = classes(t)
        self.log, self.tensors = [], []

        class Net(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.w = both(t.arange(6.0).reshape(2, 3))
                self.v = plain(t.ones(3), tag="v", requires_grad=True)

            def forward(self, x):
                w = self.w
                return (w.dist(x) + w.norm() + w.twice().sum() + w.half.sum() + w.sum()) * self.v.sum()

        net = Net()
        w = net.w
        self.log += [isinstance(w, c) for c in (kind, further, both, plain, t.Tensor, t.nn.Parameter)]
        self.log += [issubclass(both, c) for c in (kind, further, both, plain, t.Tensor, t.nn.Parameter)]
        self.log += [isinstance(t.nn.Parameter(t.ones(1)), kind), isinstance(kind(t.ones(1)), both), issubclass(kind, t.nn.Parameter)]
        self.log += [[n for n, _ in net.named_parameters()], w.named(), net.v.named()]
        self.log += [type(v).__name__ for v in (w * 2, w.data, w.detach(), net.v + w, both.make(2), further.make(2), w.half)]
        optimizer = t.optim.Adam(net.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = net(t.ones(2, 3))
            loss.backward()
            optimizer.step()
            self.tensors += [loss, w.grad, net.v.grad]
        with t.no_grad():
            w.add_(1)
        copied = copy.deepcopy(net)
        self.log += [type(copied.w).__name__, copied.w.tag, copied.w is w, copied.w.requires_grad, type(w.grad).__name__]
        other = Net()
        other.load_state_dict(net.state_dict())
        other.double()
        self.log += [type(other.w).__name__, other.w.tag, str(other.w.dtype), [type(v).__name__ for v in net.state_dict().values()]]
        self.tensors += [copied.w, other.w, net(t.ones(2, 3)), further.make(3).norm(), kind.make(2, 2).dist(t.zeros(2, 2))]


@pytest.fixture(scope="module")
def both():
    return Program(jaxnn), Program(torch)


def test_what_such_a_class_is(both):
    ours, theirs = both
    assert ours.log == theirs.log


def test_numbers(both):
    ours, theirs = both
    for k, (a, b) in enumerate(zip(ours.tensors, theirs.tensors, strict=True)):
        check(a, b, "program", str(k))


def asked(t):
    log = []

    class Asked(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            log.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs or {})

    class Parameter(Asked, t.nn.Parameter):
        pass

    class Own(t.nn.Parameter):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            log.append("own " + func.__name__)
            return super().__torch_function__(func, types, args, kwargs or {})

    results = [Parameter(t.ones(2)), Own(t.ones(2)), t.ones(2).as_subclass(Asked)]
    found = [(p + 1, p[None], t.nn.functional.linear(t.ones(1, 2), p[None])) for p in results]
    seen = [n for n in log if not n.endswith("__get__")]  # attributes are no functions here
    return [[type(v).__name__ for v in row] for row in found], seen, [p.requires_grad for p in results]


def test_parameters_with_a_torch_function():
    assert asked(jaxnn) == asked(torch)


class Tagged(jaxnn.Tensor):
    pass


class TaggedParameter(Tagged, jaxnn.nn.Parameter):
    pass


def test_pickle():
    made = TaggedParameter(jaxnn.ones(2))
    made.tag = "a"
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is TaggedParameter and again.tag == "a" and isinstance(again, Tagged) and again.requires_grad


def test_slots_can_not_be_combined():
    class Slotted(jaxnn.Tensor):
        __slots__ = ("a",)

    with pytest.raises(TypeError, match="slots"):
        type("Both", (Slotted, jaxnn.nn.Parameter), {})

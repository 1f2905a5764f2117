"""A module's ``__dict__`` as PyTorch's programs know it: the same statements on both libraries, compared by what they give."""

import copy
from collections import OrderedDict

import pytest
import torch

import jaxnn


def network(face):
    net = face.nn.Sequential(face.nn.Linear(2, 3), face.nn.BatchNorm1d(3))
    net.tag = "x"
    return net


def layout(face):
    net = network(face)
    net[1].register_forward_hook(lambda *_: None)
    return [list(m.__dict__) for m in net.modules()], [len(vars(m)) for m in net.modules()], len(net[1].__dict__["_forward_hooks"])


def through_the_mappings(face):
    layer = network(face)[1]
    layer.__dict__["_parameters"]["weight"].data.fill_(2.0)
    bias = layer.__dict__["_parameters"].pop("bias")
    seen = [layer.weight.tolist(), hasattr(layer, "bias"), "weight" in layer.__dict__, list(layer.__dict__.get("_buffers"))]
    layer.__dict__["_parameters"]["bias"] = bias
    return seen, [n for n, _ in layer.named_parameters()], layer.bias is bias


def plain(face):
    net = network(face)
    held = net.__dict__
    net.__dict__["extra"] = 5
    del net.__dict__["tag"]
    seen = [net.extra, hasattr(net, "tag"), held["extra"], "tag" in held, net.__dict__.setdefault("extra", 6)]
    with pytest.raises(KeyError, match="nope"):
        net.__dict__["nope"]
    return seen, {**vars(net)}["extra"], sorted(dict(**vars(net)))


def replicas(face):
    layer = network(face)[1]
    first, second = layer.__new__(type(layer)), layer.__new__(type(layer))
    first.__dict__ = layer.__dict__.copy()
    first._parameters = dict(layer._parameters)
    first._parameters["weight"] = None
    second.__dict__.update(layer.__dict__)
    copied = copy.copy(layer)
    return (
        [layer.weight is None, first.weight is None, second.weight is layer.weight, copied.weight is layer.weight],
        [list(m.state_dict()) for m in (first, second, copied)], second.training,
    )  # fmt: skip


def rebuilt_by_type(face):
    layer = network(face)[1]
    made = [type(d)(OrderedDict(d)) for d in (layer.__dict__, layer._parameters, layer._modules)]
    empty = type(layer._buffers)()
    return [list(d) for d in made], made[1]["weight"] is layer.weight, empty, type(made[0]) is dict


def before_init(face):
    class Net(face.nn.Module):
        def __init__(self):
            self.__dict__["early"] = 1
            self.seen_early = "_parameters" in self.__dict__
            super().__init__()
            self.seen = "_parameters" in self.__dict__

    made = Net()
    return made.early, made.seen_early, made.seen


def behind_a_plain_class(face):
    class Plain:
        pass

    class Net(Plain, face.nn.Linear):
        pass

    return list(Net(2, 2).__dict__), "_parameters" in Net(2, 2).__dict__


@pytest.mark.parametrize(
    "program", [layout, through_the_mappings, plain, replicas, rebuilt_by_type, before_init, behind_a_plain_class], ids=lambda f: f.__name__
)
def test_attributes(program):
    assert program(jaxnn) == program(torch)


def test_hook_tables_can_be_assigned():
    def seen(face):
        net, calls = network(face), []
        net[0].register_forward_hook(lambda *_: calls.append(1))
        other = face.nn.Linear(2, 3)
        other._forward_hooks = net[0]._forward_hooks
        other(face.ones(1, 2))
        other._forward_hooks = type(net[0]._forward_hooks)()
        other(face.ones(1, 2))
        return calls, other._is_full_backward_hook

    assert seen(jaxnn) == seen(torch)


def test_what_a_copy_registers_is_not_the_original_s():
    layer = jaxnn.nn.Linear(2, 3)
    copied = copy.copy(layer)
    copied.register_buffer("scale", jaxnn.ones(1))
    copied.extra = jaxnn.nn.ReLU()
    del copied.bias
    assert list(copied.state_dict()) == ["weight", "scale"] and not hasattr(layer, "scale") and not hasattr(layer, "extra")
    assert list(layer.state_dict()) == ["weight", "bias"] and copied.weight is layer.weight


def another_module_s_buffer(face):
    """A tensor that one module registered is a plain attribute of another; a `Buffer` that somebody made is registered there, too."""

    class Net(face.nn.Module):
        def __init__(self):
            super().__init__()
            norm = face.nn.BatchNorm1d(2)
            self.register_buffer("hidden", face.zeros(1), persistent=False)
            self.register_buffer("own", face.ones(1))
            made = face.nn.Module()
            made.register_buffer("given", face.arange(3.0))
            made.explicit = face.nn.Buffer(face.ones(2))
            self.mean, self.given, self.explicit = norm.running_mean, made.given, made.explicit
            self.own = self.hidden
            made.given.mul_(2)

    net = Net()
    twin = copy.deepcopy(net)
    twin.again = twin.own
    return [list(m.state_dict()) for m in (net, twin)], [n for n, _ in net.named_buffers()], net.given.tolist(), net.mean.tolist()


def test_another_module_s_buffer():
    assert another_module_s_buffer(jaxnn) == another_module_s_buffer(torch)

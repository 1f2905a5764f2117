"""Attributes, subclasses and ``__torch_function__`` of tensors: the same program on PyTorch and on jaxnn."""

import copy
import pickle
import warnings

import pytest
import torch
import torch.overrides

import jaxnn

PROGRAMS = []


def program(f):
    PROGRAMS.append(f)
    return f


def outcome(f, face):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f(face)
        except Exception as error:
            return type(error)


@program
def attributes(t):
    x = t.ones(2)
    x.label, x.notes = "a", [1]
    others = [copy.deepcopy(x), pickle.loads(pickle.dumps(x)), copy.copy(x), x.to("cpu"), x.requires_grad_()]
    log = [(o.label, o.notes, o.notes is x.notes) for o in others]
    log += [hasattr(o, "label") for o in (x.clone(), x.detach(), x.data, x + 1, x[0])]
    x.add = 3  # an instance's attribute hides the method
    log.append(x.add)
    del x.label
    return log, hasattr(x, "label"), vars(x)


@program
def attributes_of_a_module_in_a_deepcopy(t):
    net = t.nn.Module()
    net.plain = t.ones(2)
    net.plain.tag = 1
    made = copy.deepcopy(net)
    return made.plain.tag, made.plain.tolist()


@program
def bases(t):
    x = t.ones(2, 3)
    v = x[0]
    views = [v, v[1:], x.view(6), x.t(), x.unsqueeze(0), x.expand(4, 2, 3), x.clone(), x + 1, x.detach()]
    log = [(u._base is x, u._base is None, u._is_view()) for u in views]
    w = t.ones(4).view(2, 2)
    return log, x._base, x._is_view(), w._base.shape, w._base.unsqueeze_(0)._is_view()


@program
def flags(t):
    x = t.ones(2)
    names = """is_cuda is_cpu is_xpu is_ipu is_xla is_mps is_meta is_mtia is_maia is_vulkan is_sparse is_sparse_csr is_quantized
    is_nested is_mkldnn name""".split()
    return [getattr(x, n) for n in names], x.is_inference(), x.is_distributed(), outcome(lambda _: x.is_coalesced(), t)


@program
def types_of_nodes(t):
    x = t.ones(2, requires_grad=True)
    a, b = x + 1, x * 2
    node = a.grad_fn
    return (
        type(node).__name__, type(b.grad_fn).__name__, type(a.grad_fn) is type((x + 2).grad_fn),
        type(node) is type(b.grad_fn), isinstance(node, t.autograd.graph.Node), type(node.next_functions[0][0]).__name__,
        isinstance(node.next_functions[0][0], t.autograd.graph.Node), node.next_functions[0][0].variable is x,
    )  # fmt: skip


# --- subclasses


@program
def a_subclass_keeps_its_class(t):
    class Point(t.Tensor):
        def norm1(self):
            return self.abs().sum()

    x = t.ones(2, 3).as_subclass(Point)
    made = [x + 1, 1 - x, x.sum(), t.add(x, 1), x[0], x.data, x.detach(), t.stack([x, x]), t.nn.functional.relu(x), x.T, x.norm1()]
    values, places = x.max(0)
    made += [values, places, x.to(t.float64), x.view(-1), x.clone(), t.ones(2, 3) + x, x == 1]
    y = x.clone()
    y += 1
    y[0] = 5
    log = [type(m).__name__ for m in made], type(y).__name__, y.tolist(), repr(x), isinstance(x, t.Tensor)
    return log, type(Point([1.0, 2.0])).__name__, Point([1.0, 2.0]).tolist(), type(x.tolist()), issubclass(Point, t.Tensor)


@program
def a_subclass_with_new(t):
    class Tagged(t.Tensor):
        @staticmethod
        def __new__(cls, data, tag=None, requires_grad=False):
            return t.Tensor._make_subclass(cls, data, requires_grad)

        def __init__(self, data, tag=None, requires_grad=False):
            self.tag = tag

    data = t.ones(2)
    x = Tagged(data, "a", requires_grad=True)
    (x * 3).sum().backward()
    with t.no_grad():
        x.mul_(2)
    y = Tagged(data, "b")
    y.requires_grad_()
    return x.tag, x.is_leaf, x.grad.tolist(), data.tolist(), y.tag, hasattr(x + 1, "tag")


@program
def gradients_flow_through_as_subclass(t):
    class Point(t.Tensor):
        pass

    x = t.ones(2, requires_grad=True)
    (x.as_subclass(Point) * 3).sum().backward()
    y = (x * 2).as_subclass(Point)
    y.pow(2).sum().backward()
    return x.grad.tolist(), type(y).__name__, y.requires_grad


@program
def torch_function_sees_operators(t):
    class Logged(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append((func.__name__, [k.__name__ for k in types]))
            return super().__torch_function__(func, types, args, kwargs)

    seen = []
    x = t.ones(2, 2).as_subclass(Logged)
    del seen[:]
    made = x.sum() + t.mm(x, x), t.nn.functional.relu(x), x @ x, t.cat([x, t.ones(2, 2)]), t.mean(x, dim=0)
    return seen, [type(m).__name__ for m in made[1:]]


@program
def torch_function_sees_a_function_once(t):
    """Also one that consists of several operators, and a method."""

    class Logged(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func.__name__ != "__get__":
                seen.append((func.__name__, [k.__name__ for k in types]))
            return super().__torch_function__(func, types, args, kwargs)

    seen = []
    F = t.nn.functional
    x = t.tensor([[1.0, 2.0], [3.0, -4.0]]).as_subclass(Logged)
    made = [
        x.chunk(2), x.split(1), x.reshape(-1), t.flatten(x), t.ones_like(x), x.double(), x.new_zeros(2), t.diff(x), x.select(0, 1),
        F.cross_entropy(x, x), F.layer_norm(x, (2,)), F.dropout(x, 0.5), F.pad(x, (1, 1)), F.relu6(x),
        F.mse_loss(x, x), F.softmax(x, dim=-1), F.normalize(x), F.linear(x, x), F.gelu(x), F.max_pool1d(x, 2),
        F.batch_norm(x, None, None, training=True), x.masked_select(x > 0), F.layer_norm(x, (2,)),
        x.norm(), x.std(), t.stack([x, x]), t.where(x > 0, x, x), t.einsum("ij,jk->ik", x, x), t.linalg.norm(x), t.sum(input=x, dim=0),
        x[0], x.add_(1), x.view(-1), x.t(), x.to(t.float64), x.detach(), x.size(), x.tolist(), x.sum().item(), x.allclose(x),
    ]  # fmt: skip
    x[0] = 1.0
    return seen, [type(m).__name__ for m in made if isinstance(m, t.Tensor)]


@program
def torch_function_gets_what_was_given(t):
    class Logged(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append((func in known, len(args), sorted(kwargs or {})))
            return super().__torch_function__(func, types, args, kwargs)

        def double(self):
            return "mine"

    seen = []
    known = [t.Tensor.reshape, t.Tensor.chunk, t.flatten, t.Tensor.new_zeros, t.meshgrid, t.nn.functional.dropout]
    x = t.ones(2, 2).as_subclass(Logged)
    del seen[:]
    x.reshape(-1), x.reshape(4, 1), x.chunk(2, dim=1), t.flatten(x), x.new_zeros(2, 3, dtype=t.float64)
    return seen, x.double()


@program
def torch_function_replaces_operators(t):
    handled = {}

    class Diagonal:
        def __init__(self, n, value):
            self.n, self.value = n, value

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func not in handled or not all(issubclass(k, (t.Tensor, Diagonal)) for k in types):
                return NotImplemented
            return handled[func](*args, **(kwargs or {}))

    handled[t.mean] = lambda input: input.value / input.n
    handled[t.add] = lambda input, other, **options: "added"
    handled[t.nn.functional.relu] = lambda input, **options: "relu"
    d = Diagonal(4, 2.0)
    log = [t.mean(d), t.add(d, d), t.add(t.ones(1), d), t.nn.functional.relu(d)]
    return log, outcome(lambda _: t.sum(d), t), t.overrides.is_tensor_like(d), t.overrides.is_tensor_like(3)


@program
def a_subclass_before_its_class(t):
    class A(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return "A"

    class B(A):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return "B"

    a, b = t.Tensor._make_subclass(A, t.ones(2)), t.Tensor._make_subclass(B, t.ones(2))
    return a + b, b + a, a + 1, t.ones(2) + b, t.add(t.ones(2), a)


@program
def torch_function_switched_off(t):
    class Plain(t.Tensor):
        __torch_function__ = t._C._disabled_torch_function_impl

    class Kept(t.Tensor):
        pass

    x, y = t.ones(2).as_subclass(Plain), t.ones(2).as_subclass(Kept)
    with t._C.DisableTorchFunctionSubclass():
        inside = type(y + 1).__name__
    return type(x + 1).__name__, type(x.sum()).__name__, inside, type(y + 1).__name__


@program
def handle_torch_function(t):
    class Wide(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, len(args), sorted(kwargs or {})

    def mine(x, scale=1):
        if t.overrides.has_torch_function((x,)):
            return t.overrides.handle_torch_function(mine, (x,), x, scale=scale)
        return x * scale

    return mine(t.Tensor._make_subclass(Wide, t.ones(1)), scale=2), mine(t.ones(1), 3).tolist()


@program
def a_parameter_by_make_subclass(t):
    class Odd(t.nn.Parameter):
        def __new__(cls, data, requires_grad=True, tag=None):
            return t.Tensor._make_subclass(cls, data, requires_grad)

        def __init__(self, data, requires_grad=True, tag=None):
            self.tag = tag

    net = t.nn.Module()
    net.p = Odd(t.ones(2), tag=3)
    return type(net.p).__name__, net.p.tag, [n for n, _ in net.named_parameters()], net.p.requires_grad, type(net.p + 1).__name__


@program
def bad_classes(t):
    return [outcome(lambda _, k=k: t.ones(1).as_subclass(k), t) for k in (int, t.nn.Module)]


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_same_as_pytorch(f):
    assert outcome(f, jaxnn) == outcome(f, torch)


def test_what_cannot_keep_a_class_is_refused():
    class Dispatched(jaxnn.Tensor):  # the statement is allowed: packages import such classes without using them
        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    for make in (
        lambda: Dispatched([1.0]), lambda: jaxnn.ones(1).as_subclass(Dispatched),
        lambda: jaxnn.Tensor._make_subclass(Dispatched, jaxnn.ones(1)),
    ):  # fmt: skip
        with pytest.raises(NotImplementedError, match="__torch_dispatch__"):
            make()
    with pytest.raises(NotImplementedError, match="_make_wrapper_subclass"):
        jaxnn.Tensor._make_wrapper_subclass(jaxnn.Tensor, (2,))

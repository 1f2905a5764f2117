"""Lazy modules and uninitialized parameters beside PyTorch's."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch

import jaxnn
import jaxnn.nn

ROWS = [
    ("LazyLinear(3)", (2, 5)),
    ("LazyLinear(3, bias=False)", (5,)),
    ("LazyConv1d(4, 3, padding=1, groups=2)", (2, 2, 8)),
    ("LazyConv2d(4, 3, bias=False)", (2, 2, 6, 6)),
    ("LazyConv2d(4, (3, 2), padding='same')", (2, 6, 6)),
    ("LazyConv3d(4, 2)", (1, 2, 3, 3, 3)),
    ("LazyConvTranspose1d(4, 3)", (2, 2, 5)),
    ("LazyConvTranspose2d(4, 3, stride=2, output_padding=1, groups=2)", (1, 2, 3, 3)),
    ("LazyConvTranspose3d(4, 2, bias=False)", (1, 2, 2, 3, 2)),
    ("LazyBatchNorm1d()", (4, 3)),
    ("LazyBatchNorm2d(affine=False, momentum=0.3)", (2, 3, 4, 4)),
    ("LazyBatchNorm3d(track_running_stats=False, bias=False)", (2, 3, 2, 2, 2)),
    ("LazyInstanceNorm1d()", (2, 3, 5)),
    ("LazyInstanceNorm2d(affine=False)", (2, 3, 4, 4)),
    ("LazyInstanceNorm3d(1e-3)", (2, 3, 2, 2, 2)),
]
FACES = (torch, jaxnn)


def numbers(*shape):
    return np.random.default_rng([3, *shape]).standard_normal(shape).astype(np.float32)


def built(face, source):
    face.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval("nn." + source, {"nn": face.nn, "torch": face})


def described(layer):
    return (
        repr(layer), type(layer).__name__,
        [(k, repr(v) if repr(v).startswith("<") else tuple(v.shape)) for k, v in layer.state_dict().items()],
        [(k, p.requires_grad, str(p.dtype)) for k, p in layer.named_parameters()],
        len(layer._forward_pre_hooks),
    )  # fmt: skip


def failure(run):
    with pytest.raises(Exception) as raised:
        run()
    return raised.type, str(raised.value)


@pytest.mark.parametrize(("source", "shape"), ROWS, ids=[r[0] for r in ROWS])
def test_first_call(source, shape):
    """Before and after the first call; the same numbers drawn; a step of an optimizer made before."""
    found = []
    for face in FACES:
        layer = built(face, source)
        before = described(layer)
        assert layer.has_uninitialized_params()
        optimizer = face.optim.SGD([*layer.parameters(), face.nn.Parameter(face.ones(1))], lr=0.1)
        x = face.from_numpy(numbers(*shape)).requires_grad_()
        out = layer(x)
        initial = [p.detach().clone().numpy() for p in layer.parameters()]
        out.sin().sum().backward()
        optimizer.step()
        state = [t.numpy() for t in layer.state_dict().values()]
        found.append((before, described(layer), initial, [out.detach().numpy(), x.grad.numpy(), *state]))
    assert found[0][:2] == found[1][:2]
    for a, b in zip(found[0][2], found[1][2], strict=True):
        np.testing.assert_array_equal(b, a)
    for a, b in zip(found[0][3], found[1][3], strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("source", "shape"), ROWS, ids=[r[0] for r in ROWS])
def test_state_dict(source, shape, whole):
    """An initialized state makes a lazy module initialized; its class changes at the first call only."""
    for face in FACES:
        full, lazy, other = (built(face, source) for _ in range(3))
        x = face.from_numpy(numbers(*shape))
        full(x)
        lazy.load_state_dict(full.state_dict())
        assert type(lazy).__name__.startswith("Lazy")
        assert not lazy.has_uninitialized_params()
        for a, b in zip(full.state_dict().values(), lazy.state_dict().values(), strict=True):
            assert a.tolist() == b.tolist()
        if "InstanceNorm" in source:
            continue  # there PyTorch forgets num_features
        full.eval()
        assert lazy.eval()(x).tolist() == full(x).tolist()
        assert not type(lazy).__name__.startswith("Lazy")
        if "Linear" in source:
            assert repr(lazy) == repr(full)
        assert str(built(face, source).load_state_dict(other.state_dict())) == "<All keys matched successfully>"
    failures = []
    for face in FACES:
        full, lazy = built(face, source), built(face, source)
        full(face.from_numpy(numbers(*shape)))
        failures.append(failure(lambda full=full, lazy=lazy: full.load_state_dict(lazy.state_dict())))
    assert failures[0] == failures[1]


def test_state_dict_of_torch():
    theirs = torch.nn.Linear(5, 3)
    ours = jaxnn.nn.LazyLinear(3)
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_array_equal(ours.weight.detach().numpy(), theirs.weight.detach().numpy())


ERRORS = [
    ("LazyConv2d(4, 3)", (2, 3)), ("LazyConv2d(4, 3)", (2, 3, 4, 5, 6)), ("LazyConv2d(4, 3, groups=2)", (1, 3, 4, 4)),
    ("LazyConv2d(4, 3, groups=0)", (1, 3, 4, 4)), ("LazyConvTranspose2d(4, 3, padding_mode='reflect')", (1, 3, 4, 4)),
    ("LazyBatchNorm2d()", (2, 3)), ("LazyInstanceNorm2d()", (2, 3)), ("LazyInstanceNorm2d()", (3, 2, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("source", "shape"), ERRORS, ids=[f"{s}-{len(i)}" for s, i in ERRORS])
def test_error(source, shape):
    found = [failure(lambda face=face: built(face, source)(face.from_numpy(numbers(*shape)))) for face in FACES]
    assert found[0] == found[1]


def test_copies():
    for face in FACES:
        layer = built(face, "LazyLinear(3)").double()
        for made in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert made.has_uninitialized_params()
            assert made.weight is not layer.weight
            made(face.ones(2, 4, dtype=made.weight.dtype))
            assert type(made).__name__ == "Linear"
        assert layer.has_uninitialized_params()
        assert str(layer.to(face.bfloat16).weight.dtype) == "torch.bfloat16"


def test_in_a_network():
    found = []
    for face in FACES:
        net = built(
            face, "Sequential(nn.LazyConv2d(3, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))"
        )
        before = repr(net)
        out = net(face.from_numpy(numbers(2, 1, 5, 5)))
        found.append((before, repr(net), list(net.state_dict()), out.detach().numpy()))
    assert found[0][:3] == found[1][:3]
    np.testing.assert_allclose(found[1][3], found[0][3], rtol=1e-5, atol=1e-6)


def test_on_arrays():
    layer = built(jaxnn, "LazyLinear(3)")
    assert layer(numbers(2, 5)).shape == (2, 3)
    assert layer.in_features == 5


def test_uninitialized():
    for name in ("UninitializedParameter", "UninitializedBuffer"):
        found = []
        for face in FACES:
            t = getattr(face.nn, name)(dtype=face.float64)
            texts = [repr(t), str(t), str(t.dtype), str(t.device), t.requires_grad, t.is_leaf, t.grad]
            texts += [failure(lambda t=t: t.shape), failure(t.share_memory_), t.is_floating_point()]
            for run in (lambda t=t: t + 1, lambda t=t: t.sum(), lambda t=t, f=face: f.nn.init.ones_(t)):
                kind, text = failure(run)
                assert text.startswith("Attempted to use an uninitialized parameter in")
                texts.append(kind)
            texts.append(face.nn.parameter.is_lazy(t))
            t.materialize((2, 3))
            texts += [tuple(t.shape), str(t.dtype), t.requires_grad, face.nn.parameter.is_lazy(t)]
            again = getattr(face.nn, name)()
            again.materialize([4], dtype=face.float16, device="cpu")
            one = getattr(face.nn, name)()
            one.materialize(3)
            texts.append(tuple(one.shape))
            texts += [tuple(again.shape), str(again.dtype), isinstance(again, face.nn.Buffer)]
            found.append(texts)
            assert isinstance(t, face.Tensor)
        assert found[0] == found[1]
    for face in FACES:
        t = face.nn.UninitializedParameter(requires_grad=False)
        t.materialize((2,))
        assert not t.requires_grad
        assert type(t) is face.nn.Parameter
        assert not face.nn.UninitializedBuffer(persistent=False).persistent


@pytest.mark.parametrize("use", [
    lambda face, layer: layer.share_memory(),
    lambda face, layer: face.nn.utils.weight_norm(layer),
    lambda face, layer: face.nn.utils.spectral_norm(layer),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_uninitialized_layers_refuse(use):
    ours, theirs = (failure(lambda face=face: use(face, face.nn.LazyLinear(7))) for face in FACES)
    assert ours == theirs


def test_mixin():
    """A lazy module of one's own, with and without a class to become; what it may forget."""
    for face in FACES:
        Mixin = face.nn.modules.lazy.LazyModuleMixin

        class Scale(Mixin, face.nn.Module):
            def __init__(self, face=face):
                super().__init__()
                self.weight = face.nn.UninitializedParameter()
                self.register_buffer("seen", face.nn.UninitializedBuffer())

            def initialize_parameters(self, x, face=face):
                self.weight.materialize((x.shape[-1],))
                face.nn.init.ones_(self.weight)
                self.seen.materialize((1,))

            def forward(self, x):
                return x * self.weight

        made = Scale()
        assert made(face.ones(2, 3)).tolist() == [[1.0] * 3] * 2
        assert type(made) is Scale
        assert len(made._forward_pre_hooks) == 0

        class Forgetful(Scale):
            def initialize_parameters(self, x):
                self.weight.materialize((1,))

        assert failure(lambda made=Forgetful(), face=face: made(face.ones(2))) == (
            RuntimeError, "module Forgetful has not been fully initialized",
        )  # fmt: skip
        del Scale.initialize_parameters
        assert failure(lambda made=Scale(), face=face: made(face.ones(2)))[0] is NotImplementedError

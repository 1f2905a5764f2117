"""Losses with margins and likelihoods, and the adaptive softmax, as layers beside PyTorch's."""

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest
import torch

import jaxnn
import jaxnn.nn


def numbers(*shape, seed=3, low=None, high=None):
    rng = np.random.default_rng([seed, *shape])
    return (rng.standard_normal(shape) if low is None else rng.uniform(low, high, shape)).astype(np.float32)


X, Y, Z = (numbers(3, 4, seed=k) for k in range(3))
SIGNS = np.sign(numbers(3, 4, seed=9))
POSITIVE = numbers(3, 4, low=0.2, high=2)
CLASSES = np.array([1, 0, 3])
LABELS = np.array([[1, 3, -1, 0], [-1, 2, 2, 2], [0, 1, 2, 3]])
STEPS = numbers(6, 2, 4)
CTC = (STEPS - np.log(np.exp(STEPS).sum(-1, keepdims=True)), np.array([[1, 2], [3, 3]]), (6, 5), (2, 2))
ROWS = [
    ("CosineEmbeddingLoss()", (X, Y, SIGNS[:, 0])),
    ("CosineEmbeddingLoss(0.3, reduction='sum')", (X, Y, SIGNS[:, 0])),
    ("HingeEmbeddingLoss(margin=0.5)", (X, SIGNS)),
    ("MarginRankingLoss(0.2, reduction='none')", (X, Y, SIGNS)),
    ("MultiMarginLoss()", (X, CLASSES)),
    ("MultiMarginLoss(2, 0.5, torch.ones(4) * 2)", (X, CLASSES)),
    ("MultiLabelMarginLoss(size_average=False)", (X, LABELS)),
    ("MultiLabelSoftMarginLoss(torch.ones(4) * 2)", (X, POSITIVE)),
    ("SoftMarginLoss(reduce=False)", (X, SIGNS)),
    ("TripletMarginLoss(0.4, 1.0, 1e-4, True)", (X, Y, Z)),
    ("TripletMarginWithDistanceLoss(swap=True, margin=2.0)", (X, Y, Z)),
    ("GaussianNLLLoss(full=True, eps=0.5)", (X, Y, POSITIVE)),
    ("PoissonNLLLoss(full=True)", (X, POSITIVE)),
    ("PoissonNLLLoss(False, eps=0.1)", (POSITIVE, POSITIVE)),
    ("CTCLoss()", CTC),
    ("CTCLoss(1, 'none', True)", (CTC[0], np.array([[0, 2], [3, 3]]), (1, 5), (2, 2))),
    ("LinearCrossEntropyLoss(4, 5)", (X, CLASSES)),
    ("LinearCrossEntropyLoss(4, 5, bias=True, weight=torch.arange(5.0), ignore_index=0)", (X, CLASSES)),
    ("LinearCrossEntropyLoss(4, 5, bias=True, label_smoothing=0.1, reduction='sum')", (X, CLASSES)),
    ("LinearCrossEntropyLoss(4, 5, out_features=(2, 3), bias=True)", (X, np.arange(18).reshape(3, 2, 3) % 5)),
    ("LinearCrossEntropyLoss(4, 5)", (X, numbers(3, 5, low=0, high=1))),
    *[(f"LinearCrossEntropyLoss(4, 50, bias=True, options=nn.LinearCrossEntropyOptions({o}), reduction='{r}')",
       (numbers(7, 4), np.arange(7) * 7)) for o in ("", "batch_chunk_size=2", "True, chunking_method=None")
      for r in ("mean", "sum", "none")],
    ("LinearCrossEntropyLoss(4, 5, weight=torch.arange(5.0), ignore_index=3, options=nn.LinearCrossEntropyOptions())",
     (X, CLASSES)),
    ("LinearCrossEntropyLoss(4, 5, options=nn.LinearCrossEntropyOptions())", (X[0], CLASSES[:1].reshape(()))),
    ("NLLLoss2d()", (numbers(1, 4, 2, 2), np.ones((1, 2, 2), int))),
    ("AdaptiveLogSoftmaxWithLoss(4, 20, [4, 10])", (X, np.array([3, 19, 7]))),
    ("AdaptiveLogSoftmaxWithLoss(4, 20, [4, 10], div_value=2.0, head_bias=True)", (X, np.array([3, 0, 19]))),
    ("AdaptiveLogSoftmaxWithLoss(4, 20, [4])", (X[0], np.array(5))),
]  # fmt: skip


def built(face, source):
    face.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval("nn." + source, {"nn": face.nn, "torch": face})


def flat(result):
    return list(result) if isinstance(result, tuple) else [result]


def ran(face, layer, inputs):
    tensors = [face.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in inputs]
    floating = tensors[:1]
    floating[0].requires_grad_()
    outs = flat(layer(*tensors))
    sum((o * 1.5).sum() for o in outs).backward()
    return outs, [t.grad for t in floating] + [p.grad for p in layer.parameters()]


@pytest.mark.parametrize(("source", "inputs"), ROWS, ids=[f"{k}-{r[0]}" for k, r in enumerate(ROWS)])
def test_layer(source, inputs):
    theirs, ours = built(torch, source), built(jaxnn, source)
    assert repr(theirs) == repr(ours)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    for (name, a), b in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        np.testing.assert_array_equal(b.numpy(), a.numpy(), err_msg=name)
    (outs, grads), (our_outs, our_grads) = ran(torch, theirs, inputs), ran(jaxnn, ours, inputs)
    for a, b in zip(outs, our_outs, strict=True):
        torch.testing.assert_close(torch.from_numpy(b.detach().numpy()), a.detach())
        if "options" not in source:
            assert a.grad_fn.name() == b.grad_fn.name()
    for a, b in zip(grads, our_grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(torch.from_numpy(b.numpy()), a)
    again = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    assert repr(again) == repr(ours)


def annotated(source, *inputs):
    return pytest.param(source, inputs, id=source + str([np.shape(i) for i in inputs]))


ERRORS = [
    annotated("MultiMarginLoss(3)"), annotated("MultiMarginLoss(weight=torch.ones(2, 2))"),
    annotated("TripletMarginLoss(margin=0)"), annotated("TripletMarginWithDistanceLoss(margin=-1)"),
    annotated("SoftMarginLoss(reduction='x')", X, SIGNS),
    annotated("GaussianNLLLoss(reduction='x')", X, Y, POSITIVE), annotated("GaussianNLLLoss()", X, Y, -POSITIVE),
    annotated("LinearCrossEntropyLoss(4, 5)", numbers(2, 3, 4), CLASSES),
    annotated("LinearCrossEntropyLoss(4, 5)", numbers(3, 3), CLASSES),
    annotated("LinearCrossEntropyLoss(4, 5, out_features=(2,))", X[0], CLASSES[:2]),
    annotated("LinearCrossEntropyLoss(4, 5, ignore_index=1)", X, numbers(3, 5, low=0, high=1)),
    annotated("LinearCrossEntropyLoss(4, 5)", X, CLASSES + 3),
    annotated("LinearCrossEntropyLoss(4, 5, options=nn.LinearCrossEntropyOptions())", X, CLASSES + 3),
    annotated("LinearCrossEntropyLoss(4, 5, options=nn.LinearCrossEntropyOptions(acc_dtype=torch.float64))", X, CLASSES),
    annotated("LinearCrossEntropyOptions(batch_chunk_size=0)"), annotated("LinearCrossEntropyOptions(acc_policy='x')"),
    annotated("LinearCrossEntropyOptions(chunking_method='aspect_ratio:1.5')"),
    annotated("LinearCrossEntropyOptions(acc_dtype=torch.int32)"),
    *[annotated(f"AdaptiveLogSoftmaxWithLoss(4, 20, {c})") for c in ("[]", "[10, 4]", "[4, 4]", "[0, 4]", "[4, 20]")],
    *[annotated("AdaptiveLogSoftmaxWithLoss(4, 20, [4, 10])", *i) for i in (
        (X, np.array([3, 20, 7])), (X, np.array([3, -1, 7])), (X, CLASSES[:2]), (X[0], CLASSES), (X, CLASSES[:1].reshape(())),
        (X, CLASSES[:, None]), (numbers(3, 4, 1), CLASSES))],
]  # fmt: skip


@pytest.mark.parametrize(("source", "inputs"), ERRORS)
def test_error(source, inputs):
    found = []
    for face in (torch, jaxnn):
        with pytest.raises(Exception) as raised:
            built(face, source)(*(face.from_numpy(i) for i in inputs))
        found.append((raised.type, str(raised.value)))
    assert found[0] == found[1]


def test_linear_cross_entropy_falls_back():
    """What cannot be done in pieces warns as PyTorch does."""
    for given in ("label_smoothing=0.1", "out_features=(2,)"):
        found = []
        for face in (torch, jaxnn):
            layer = built(face, f"LinearCrossEntropyLoss(4, 5, {given}, options=nn.LinearCrossEntropyOptions())")
            target = CLASSES if "smoothing" in given else np.stack([CLASSES, CLASSES], 1)
            with pytest.warns(UserWarning) as seen:
                value = layer(face.from_numpy(X), face.from_numpy(target)).item()
            found.append((str(seen[0].message), pytest.approx(value, rel=1e-5)))
        assert found[0] == found[1]


def test_linear_cross_entropy_in_half_precision():
    """The weight's gradient adds up in float32, but for the compact policy."""
    x, w = numbers(64, 8), numbers(30, 8, seed=4)
    target = np.arange(64) % 30
    errors = {}
    for policy in ("accurate", "compact"):
        weight = jaxnn.from_numpy(w).bfloat16().requires_grad_()
        options = jaxnn.nn.LinearCrossEntropyOptions(batch_chunk_size=2, acc_policy=policy)
        loss = jaxnn.nn.functional.linear_cross_entropy(
            jaxnn.from_numpy(x).bfloat16(), weight, jaxnn.from_numpy(target), options=options
        )
        loss.backward()
        exact = torch.from_numpy(w).bfloat16().double().requires_grad_()
        torch.nn.functional.cross_entropy(
            torch.from_numpy(x).bfloat16().double() @ exact.T, torch.from_numpy(target)
        ).backward()
        errors[policy] = np.abs(weight.grad.float().numpy() - exact.grad.numpy()).max()
    assert errors["accurate"] < errors["compact"]


def test_adaptive_softmax():
    for source in (
        "AdaptiveLogSoftmaxWithLoss(4, 20, [4, 10])",
        "AdaptiveLogSoftmaxWithLoss(4, 20, [2, 15], 2.0, True)",
    ):
        found = []
        for face in (torch, jaxnn):
            layer = built(face, source)
            x = face.from_numpy(numbers(40, 4) * 3)
            found.append((layer.log_prob(x).detach().numpy(), layer.predict(x).numpy(), layer.log_prob(x).dtype))
        np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found[1][1], found[0][1])
    layer = built(jaxnn, "AdaptiveLogSoftmaxWithLoss(4, 20, [4, 10])")
    out = layer(jaxnn.from_numpy(X), jaxnn.from_numpy(np.array([3, 19, 7])))
    assert out.output is out[0]
    assert type(out).__name__ == "_ASMoutput"


def test_deprecated_names():
    for source in ("NLLLoss2d()", "Container(a=nn.Linear(2, 3))"):
        found = []
        for face in (torch, jaxnn):
            with pytest.warns(FutureWarning) as seen:
                made = eval("nn." + source, {"nn": face.nn})
            found.append((str(seen[0].message), repr(made)))
        assert found[0] == found[1]


def test_data_parallel():
    for face in (torch, jaxnn):
        layer = built(face, "DataParallel(nn.Linear(2, 3), device_ids=[0])")
        assert list(layer.state_dict()) == ["module.weight", "module.bias"]
        assert layer.device_ids == []
        assert layer(face.ones(4, 2)).tolist() == layer.module(face.ones(4, 2)).tolist()


def test_sync_batch_norm():
    found = []
    for face in (torch, jaxnn):
        layer = built(face, "SyncBatchNorm(3, momentum=None)")
        x = face.from_numpy(numbers(4, 3, 5))
        layer(x)
        out = layer(x * 2)
        for bad in (face.ones(3), face.ones(2, 0)):
            with pytest.raises(ValueError, match="expected at least 2D|should be non-zero"):
                layer(bad)
        net = face.nn.SyncBatchNorm.convert_sync_batchnorm(
            face.nn.Sequential(face.nn.Conv2d(1, 2, 1), face.nn.Sequential(face.nn.BatchNorm2d(2, momentum=0.2))).eval()
        )
        assert not net[1][0].training
        found.append((repr(layer), repr(net), list(net.state_dict()), out.detach().numpy(), layer.running_var.numpy()))
    assert found[0][:3] == found[1][:3]
    for a, b in zip(found[0][3:], found[1][3:]):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_sync_batch_norm_over_a_mapped_axis():
    """Two halves of a batch under a named axis are normalized as the whole batch is."""
    import jax
    from flax import nnx

    x = numbers(8, 3, 5)
    whole = jaxnn.nn.BatchNorm1d(3)
    expected = whole(jaxnn.from_numpy(x)).detach().numpy()
    layer = jaxnn.nn.SyncBatchNorm(3, process_group="batch")
    graph, state = nnx.split(layer)

    def part(state, piece):
        made = nnx.merge(graph, state)
        return made(piece), nnx.state(made)

    out, after = jax.vmap(part, in_axes=(None, 0), axis_name="batch")(state, x.reshape(2, 4, 3, 5))
    np.testing.assert_allclose(np.asarray(out).reshape(x.shape), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.asarray(after["running_var"].get_value())[0], whole.running_var.numpy(), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_rrelu_in_training(dtype):
    """One number of PyTorch's stream for each negative element."""
    found = []
    for face in (torch, jaxnn):
        layer = built(face, "RReLU(0.1, 0.4)")
        face.manual_seed(2)
        x = face.from_numpy(numbers(5, 7)).to(getattr(face, dtype)).requires_grad_()
        out = layer(x)
        out.sum().backward()
        y = face.from_numpy(numbers(5, 7))
        assert face.nn.functional.rrelu_(y, training=True) is y
        found.append((*(t.detach().double().numpy() for t in (out, x.grad, y)), face.rand(2).numpy()))
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["activation", "batchnorm", "container", "conv", "linear", "loss", "module", "rnn"])
def test_modules_namespace(name):
    ours, theirs = getattr(jaxnn.nn.modules, name), getattr(torch.nn.modules, name)
    for public in theirs.__all__:
        assert hasattr(ours, public), public
    with pytest.raises(AttributeError):
        ours.nothing


def test_bases():
    from jaxnn.nn.modules.batchnorm import _BatchNorm
    from jaxnn.nn.modules.conv import _ConvNd
    from jaxnn.nn.modules.loss import _Loss
    from jaxnn.nn.modules.module import Module
    from jaxnn.nn.modules.utils import _pair

    assert Module is jaxnn.nn.Module
    assert isinstance(jaxnn.nn.ConvTranspose1d(1, 1, 1), _ConvNd)
    assert isinstance(jaxnn.nn.SyncBatchNorm(2), _BatchNorm)
    assert isinstance(jaxnn.nn.CTCLoss(), _Loss)
    assert _pair(3) == (3, 3)
    assert _pair((1, 2)) == (1, 2)
    for face in (torch, jaxnn):
        state = face.nn.DataParallel(face.nn.Sequential(face.nn.Linear(1, 1))).state_dict()
        face.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
        assert list(state) == ["0.weight", "0.bias"]
        assert set(state._metadata) == {"", "0"}


def test_gradients_of_convolutions():
    found = []
    for face in (torch, jaxnn):
        x, w, g = (face.from_numpy(numbers(*s)) for s in ((2, 4, 5, 6), (3, 2, 3, 3), (2, 3, 3, 3)))
        options = {"stride": 2, "padding": 1}
        w6 = face.from_numpy(numbers(4, 2, 3, 3))
        g6 = face.from_numpy(numbers(2, 4, 3, 3))
        found.append([
            face.nn.grad.conv2d_input(x.shape, w6, g6, groups=2, **options).numpy(),
            face.nn.grad.conv2d_weight(x, w6.shape, g6, groups=2, **options).numpy(),
            face.nn.grad.conv1d_input((2, 2, 6), face.from_numpy(numbers(3, 2, 3)), face.from_numpy(numbers(2, 3, 4))).numpy(),
        ])  # fmt: skip
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)


def test_functional_rest():
    found = []
    for face in (torch, jaxnn):
        F = face.nn.functional
        x = face.from_numpy(numbers(1, 2, 4, 4))
        t = face.from_numpy(numbers(6, 2, 3))
        found.append([
            *F.max_pool2d_with_indices(x, 2), *F.adaptive_max_pool2d_with_indices(x, 2),
            F.conv_tbc(t, face.from_numpy(numbers(3, 3, 4)), face.from_numpy(numbers(4)), 1),
        ])  # fmt: skip
        with pytest.raises(RuntimeError, match="Bias must be 1-D"):
            F.conv_tbc(t, face.ones(3, 3, 4), face.ones(4, 1))
    for a, b in zip(*found):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-5, atol=1e-5)


def test_signatures():
    names = [n for n in dir(torch.nn.functional) if n.endswith("_loss") and hasattr(jaxnn.nn.functional, n)]
    for name in [*names, "linear_cross_entropy", "rrelu"]:
        a, b = (inspect.signature(getattr(m.nn.functional, name)).parameters.values() for m in (torch, jaxnn))
        # Losses of elements have a `weight` in PyTorch's documentation that its signatures hide.
        assert [(p.name, p.kind, p.default) for p in a] == [(p.name, p.kind, p.default) for p in b], name

"""One layer on PyTorch and on jaxnn: what the tests of layers share."""

import warnings

import numpy as np
import pytest
import torch

import jaxnn
from tests.comparison import check


def built(face, source):
    face.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval("nn." + source, {"nn": face.nn, "torch": face})


def arrays(shapes):
    rng = np.random.default_rng(3)
    return [
        rng.integers(0, s[1], s[0]) if isinstance(s[0], tuple) else rng.standard_normal(s).astype(np.float32)
        for s in shapes
    ]


def ran(face, layer, inputs):
    """Output, gradients and state after one call on copies of the inputs."""
    tensors = [face.tensor(a.tolist(), dtype=face.int64 if a.dtype.kind == "i" else face.float32) for a in inputs]
    floating = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    face.manual_seed(11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = layer(*[t * 1 if t.is_floating_point() else t for t in tensors])
    weights = face.arange(out.numel(), dtype=face.float32).reshape(out.shape) / max(out.numel(), 1) + 0.5
    (out * weights).sum().backward()
    grads = [t.grad for t in floating] + [p.grad for p in layer.parameters()]
    return out, grads, layer.state_dict()


def check_layer(source, shapes):
    """Initial weights bit for bit, forward, gradients, state_dict, repr, the name of the gradient's node."""
    theirs, ours = built(torch, source), built(jaxnn, source)
    assert repr(theirs) == repr(ours)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    for (name, a), b in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_array_equal(b.numpy(), a.numpy(), err_msg=name)
    inputs = arrays(shapes)
    (out, grads, state), (our_out, our_grads, our_state) = ran(torch, theirs, inputs), ran(jaxnn, ours, inputs)
    check(our_out, out, "layer", "result")
    # The digit counts overloads: PyTorch's in-place activations are some of their own.
    assert our_out.grad_fn.name().rstrip("01") == out.grad_fn.name().rstrip("01")
    for k, (a, b) in enumerate(zip(grads, our_grads, strict=True)):
        assert (a is None) == (b is None)
        if a is not None:
            check(b, a, "layer", f"gradient {k}")
    for name, a in state.items():
        check(our_state[name], a, "layer", name)


def check_error(source):
    """The same type and words of an exception."""
    found = []
    for face in (torch, jaxnn):
        with pytest.raises(Exception) as raised:
            built(face, source)
        # PyTorch prints a set there, in an order that changes from process to process.
        found.append((raised.type, str(raised.value).replace("{'valid', 'same'}", "{'same', 'valid'}")))
    assert found[0] == found[1]

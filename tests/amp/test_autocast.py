"""autocast and GradScaler beside PyTorch's, on a CPU."""

import warnings

import numpy as np
import pytest
import torch
from parity import values

import jaxnn
import jaxnn.amp
from jaxnn.core.operator import autocast as modes
from jaxnn.core.operator.op import OPERATORS

RNG = np.random.default_rng(0)


def data(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


A, B, V, S = data(3, 3), data(3, 3), data(3), data(3, 3) @ data(3, 3)
X, W, Q, IMAGE, KERNEL = data(4, 3), data(2, 3), data(1, 2, 4, 8), data(1, 2, 6, 6), data(3, 2, 3, 3)
ROWS = {
    "mm": lambda t: t.mm(t.tensor(A), t.tensor(B)),
    "matmul": lambda t: t.tensor(A) @ t.tensor(V),
    "bmm": lambda t: t.bmm(t.tensor(A)[None], t.tensor(B)[None]),
    "addmm": lambda t: t.addmm(t.tensor(A), t.tensor(A), t.tensor(B)),
    "baddbmm": lambda t: t.baddbmm(t.tensor(A)[None], t.tensor(A)[None], t.tensor(B)[None]),
    "mv": lambda t: t.mv(t.tensor(A), t.tensor(V)),
    "dot": lambda t: t.dot(t.tensor(V), t.tensor(V)),
    "einsum": lambda t: t.einsum("ij,kj->ik", t.tensor(A), t.tensor(B)),
    "tensordot": lambda t: t.tensordot(t.tensor(A), t.tensor(B), 1),
    "linear": lambda t: t.nn.functional.linear(t.tensor(X), t.tensor(W)),
    "bilinear": lambda t: t.nn.functional.bilinear(t.tensor(X), t.tensor(X), t.tensor(A)[None]),
    "conv2d": lambda t: t.nn.functional.conv2d(t.tensor(IMAGE), t.tensor(KERNEL)),
    "conv_transpose2d": lambda t: t.nn.functional.conv_transpose2d(t.tensor(IMAGE), t.tensor(KERNEL).transpose(0, 1)),
    "attention": lambda t: t.nn.functional.scaled_dot_product_attention(t.tensor(Q), t.tensor(Q), t.tensor(Q)),
    "softmax": lambda t: (t.tensor(A) @ t.tensor(B)).softmax(-1),
    "layer_norm": lambda t: t.nn.functional.layer_norm(t.tensor(A) @ t.tensor(B), (3,)),
    "exp": lambda t: (t.tensor(A) @ t.tensor(B)).exp(),
    "sum": lambda t: (t.tensor(A) @ t.tensor(B)).sum(),
    "add float32": lambda t: t.tensor(A) @ t.tensor(B) + t.tensor(A),
    "prod": lambda t: (t.tensor(A) @ t.tensor(B)).prod(),
    "trace": lambda t: (t.tensor(A) @ t.tensor(B)).trace(),
    "cat": lambda t: t.cat([t.tensor(A) @ t.tensor(B), t.tensor(A)]),
    "stack": lambda t: t.stack([t.tensor(A) @ t.tensor(B), t.tensor(A)]),
    "mse_loss": lambda t: t.nn.functional.mse_loss(t.tensor(A) @ t.tensor(B), t.tensor(A)),
    "cross_entropy": lambda t: t.nn.functional.cross_entropy(t.tensor(A) @ t.tensor(B), t.tensor([0, 1, 2])),
    "nll_loss": lambda t: t.nn.functional.nll_loss((t.tensor(A) @ t.tensor(B)).log_softmax(1), t.tensor([0, 1, 2])),
    "bce with logits": lambda t: t.nn.functional.binary_cross_entropy_with_logits(
        t.tensor(A) @ t.tensor(B), t.tensor(A).sigmoid()
    ),
    "kl_div": lambda t: t.nn.functional.kl_div((t.tensor(A) @ t.tensor(B)).log_softmax(1), t.tensor(A).softmax(1)),
    "smooth_l1": lambda t: t.nn.functional.smooth_l1_loss(t.tensor(A) @ t.tensor(B), t.tensor(A)),
    "double stays": lambda t: t.tensor(A).double() @ t.tensor(B).double(),
    "replication pad": lambda t: t.nn.functional.pad((t.tensor(A) @ t.tensor(B))[None], (1, 1), mode="replicate"),
    "inside disabled": lambda t: _disabled(t),
    "LSTM": lambda t: _layer(t, t.nn.LSTM(3, 2), X[:, None]),
    "GRU": lambda t: _layer(t, t.nn.GRU(3, 2), X[:, None]),
    "MultiheadAttention": lambda t: _layer(t, t.nn.MultiheadAttention(4, 2), data_of(4), 3),
    "BatchNorm1d": lambda t: _layer(t, t.nn.BatchNorm1d(3), X),
}


def data_of(n):
    return np.linspace(-1, 1, 3 * n, dtype=np.float32).reshape(3, 1, n)


def _disabled(t):
    with t.amp.autocast("cpu", enabled=False):
        return t.tensor(A) @ t.tensor(B)


def _layer(t, layer, x, copies=1):
    rng = np.random.default_rng(1)
    layer.load_state_dict({
        k: t.tensor(rng.standard_normal(tuple(v.shape)).astype(np.float32) if v.ndim else 0) for k, v in
        layer.state_dict().items()
    })  # fmt: skip
    return layer(*[t.tensor(x)] * copies)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ROWS)
def test_types_and_values(name, dtype):
    if (name, dtype) == ("LSTM", "float16"):
        pytest.skip("PyTorch's CPU library has no LSTM in float16")
    found = []
    for face in (torch, jaxnn):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with face.amp.autocast("cpu", dtype=getattr(face, dtype)):
                try:
                    result = ROWS[name](face)
                except RuntimeError as error:
                    if face is torch and "could not create a primitive" in str(error):
                        pytest.skip("PyTorch's library for CPUs has no such kernel for this processor")
                    raise
        found.append(result[0] if isinstance(result, tuple) else result)
    theirs, ours = found
    assert str(ours.dtype) == str(theirs.dtype)
    # A product in the lower type, rounded once, on numbers near 1.
    tolerance = 0.05 if dtype == "bfloat16" else 0.01
    np.testing.assert_allclose(values(ours), values(theirs), rtol=tolerance, atol=tolerance)


def test_nested_and_decorated():
    for face in (torch, jaxnn):

        @face.amp.autocast("cpu", dtype=face.float16)
        def product(face=face):
            return (face.ones(2, 2) @ face.ones(2, 2)).dtype

        assert str(product()) == "torch.float16"
        assert not face.is_autocast_enabled("cpu")
        with face.autocast("cpu"):
            assert face.is_autocast_enabled("cpu") and str(face.get_autocast_dtype("cpu")) == "torch.bfloat16"
            with face.autocast("cpu", dtype=face.float16):
                assert str((face.ones(2, 2) @ face.ones(2, 2)).dtype) == "torch.float16"
            assert str((face.ones(2, 2) @ face.ones(2, 2)).dtype) == "torch.bfloat16"
        assert str(face.get_autocast_dtype("cpu")) == "torch.bfloat16"


def test_gradients_are_float32_and_training_goes_on_in_one_program():
    losses = {}
    for face in (torch, jaxnn):
        face.manual_seed(0)
        model = face.nn.Sequential(face.nn.Linear(3, 8), face.nn.ReLU(), face.nn.Linear(8, 2))
        optimizer = face.optim.SGD(model.parameters(), lr=0.1)
        x, y = face.tensor(X), face.tensor([0, 1, 1, 0])
        losses[face] = []
        for _ in range(6):
            optimizer.zero_grad()
            with face.autocast("cpu", dtype=face.bfloat16):
                loss = face.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            assert all(p.grad.dtype == face.float32 for p in model.parameters())
            optimizer.step()
            losses[face].append(loss.item())
    np.testing.assert_allclose(losses[jaxnn], losses[torch], rtol=5e-3)


def scaled_steps(face, overflow_at):
    face.manual_seed(0)
    model = face.nn.Linear(3, 1)
    optimizer = face.optim.Adam(model.parameters(), lr=0.1)
    scaler = face.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    scales = []
    for number in range(6):
        optimizer.zero_grad()
        x = face.tensor(X) * (float("inf") if number == overflow_at else 1.0)
        scaler.scale(model(x).square().mean()).backward()
        if number % 2:
            scaler.unscale_(optimizer)
            face.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales, scaler.state_dict(), [p.tolist() for p in model.parameters()]


@pytest.mark.parametrize("overflow_at", [None, 1, 3])
def test_grad_scaler(overflow_at):
    theirs, ours = scaled_steps(torch, overflow_at), scaled_steps(jaxnn, overflow_at)
    assert ours[:2] == theirs[:2]
    for a, b in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [
    lambda t: t.autocast("foo"),
    lambda t: t.autocast(3),
    lambda t: t.amp.GradScaler("cpu", growth_factor=1.0),
    lambda t: t.amp.GradScaler("cpu").update(),
    lambda t: t.amp.GradScaler("cpu").scale(3),
    lambda t: t.amp.GradScaler("cpu").load_state_dict({}),
])  # fmt: skip
def test_errors(wrong):
    with pytest.raises(Exception) as theirs:
        wrong(torch)
    with pytest.raises(type(theirs.value)):
        wrong(jaxnn)


def test_no_gpu_disables_with_a_warning():
    if jaxnn.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.warns(UserWarning, match="CUDA is not available"), jaxnn.autocast("cuda"):
        assert not jaxnn.is_autocast_enabled("cuda")
    with pytest.warns(UserWarning, match="Disabling"):
        assert not jaxnn.amp.GradScaler().is_enabled()
    with pytest.warns(UserWarning, match="not supported"):
        jaxnn.autocast("cpu", dtype=jaxnn.float64)


def test_custom_function():
    for face in (torch, jaxnn):

        class Double(face.autograd.Function):
            @staticmethod
            @face.amp.custom_fwd(device_type="cpu", cast_inputs=face.float32)
            def forward(ctx, x):
                assert not face.is_autocast_enabled("cpu")
                return x * 2

            @staticmethod
            @face.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                return g * 2

        x = face.ones(2, 2, requires_grad=True)
        with face.autocast("cpu"):
            y = Double.apply(x @ x)
        assert str(y.dtype) == "torch.float32"
        y.sum().backward()
        assert x.grad.tolist() == [[8.0, 8.0], [8.0, 8.0]]


def test_older_spellings():
    for face in (torch, jaxnn):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with face.cpu.amp.autocast():
                assert str((face.ones(2, 2) @ face.ones(2, 2)).dtype) == "torch.bfloat16"
            assert face.cuda.amp.GradScaler(enabled=False).state_dict() == {}


def test_listed_operators_exist():
    for table in (modes._LOWER, modes._FLOAT32, modes._WIDEST, modes._REFUSED):
        for names in table.values():
            assert names <= set(OPERATORS)

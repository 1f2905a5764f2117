"""Every layer beside PyTorch's: initial weights bit for bit, forward, gradients, state_dict, repr. One row a layer."""

import inspect

import numpy as np
import pytest
import torch

import jaxnn
import jaxnn.nn
from tests.nn.beside import check_error, check_layer

F, L = "float", "long"
# (layer as source, shapes of the inputs; a pair (shape, n) is integers below n)
ROWS = [
    ("Identity(3, a=1)", [(2, 3)]),
    ("Linear(5, 3)", [(2, 5)]),
    ("Linear(5, 3, bias=False)", [(2, 4, 5)]),
    ("Bilinear(2, 3, 4)", [(5, 2), (5, 3)]),
    ("Conv1d(2, 4, 3, padding='same', dilation=2)", [(2, 2, 9)]),
    ("Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False)", [(2, 2, 7, 6)]),
    ("Conv2d(2, 4, (3, 2), padding=(1, 2), padding_mode='circular')", [(2, 2, 6, 6)]),
    ("Conv2d(2, 4, 3, padding='same', padding_mode='reflect')", [(2, 6, 6)]),
    ("Conv2d(2, 4, 3, padding='valid', padding_mode='replicate')", [(1, 2, 6, 6)]),
    ("Conv3d(1, 2, 2)", [(1, 1, 3, 4, 3)]),
    ("ConvTranspose1d(2, 4, 3, stride=2, output_padding=1)", [(1, 2, 5)]),
    ("ConvTranspose2d(2, 4, 3, stride=2, padding=1, groups=2)", [(1, 2, 4, 4)]),
    ("ConvTranspose3d(1, 2, 2)", [(1, 1, 2, 3, 2)]),
    ("MaxPool1d(2, 1, ceil_mode=True)", [(2, 3, 7)]),
    ("MaxPool2d(2)", [(2, 3, 6, 6)]),
    ("MaxPool2d((3, 2), stride=2, padding=1, ceil_mode=True)", [(2, 3, 7, 6)]),
    ("MaxPool3d(2)", [(1, 1, 4, 4, 4)]),
    ("AvgPool1d(2)", [(2, 3, 6)]),
    ("AvgPool2d((2, 3), padding=1, count_include_pad=False)", [(2, 3, 6, 6)]),
    ("AvgPool3d(2, divisor_override=3)", [(1, 1, 4, 4, 4)]),
    ("AdaptiveAvgPool1d(3)", [(2, 3, 7)]),
    ("AdaptiveAvgPool2d((1, None))", [(2, 3, 5, 4)]),
    ("AdaptiveAvgPool3d(2)", [(1, 2, 4, 4, 5)]),
    ("AdaptiveMaxPool1d(3)", [(2, 3, 7)]),
    ("AdaptiveMaxPool2d(2)", [(2, 3, 5, 4)]),
    ("AdaptiveMaxPool3d(1)", [(1, 2, 4, 4, 5)]),
    ("BatchNorm1d(3)", [(4, 3)]),
    ("BatchNorm2d(3, momentum=None)", [(2, 3, 4, 4)]),
    ("BatchNorm2d(3, affine=False, track_running_stats=False)", [(2, 3, 4, 4)]),
    ("BatchNorm3d(2, momentum=0.3, bias=False)", [(2, 2, 3, 2, 2)]),
    ("InstanceNorm1d(3, affine=True)", [(2, 3, 5)]),
    ("InstanceNorm2d(3, track_running_stats=True)", [(2, 3, 4, 4)]),
    ("InstanceNorm3d(2)", [(2, 3, 2, 2)]),
    ("LayerNorm((3, 4))", [(2, 3, 4)]),
    ("LayerNorm(4, bias=False)", [(2, 3, 4)]),
    ("LayerNorm(4, elementwise_affine=False)", [(2, 3, 4)]),
    ("GroupNorm(2, 4)", [(2, 4, 3)]),
    ("RMSNorm(4)", [(2, 3, 4)]),
    ("LocalResponseNorm(2)", [(2, 4, 3, 3)]),
    ("Embedding(6, 3, padding_idx=-1)", [((2, 4), 6)]),
    ("Embedding(6, 3, max_norm=1.0, norm_type=1.0)", [((5,), 6)]),
    ("Embedding(6, 3, scale_grad_by_freq=True)", [((5,), 6)]),
    ("Flatten()", [(2, 3, 4)]),
    ("Flatten(0, 1)", [(2, 3, 4)]),
    ("Unflatten(1, (2, 3))", [(2, 6)]),
    *[(f"{name}()", [(3, 4)]) for name in (
        "ReLU", "SELU", "SiLU", "Mish", "Hardsigmoid", "Hardswish", "Sigmoid", "Tanh", "LogSigmoid", "Softsign",
        "Tanhshrink",
        "ELU", "CELU", "LeakyReLU", "Hardtanh", "ReLU6", "GELU", "GLU", "Hardshrink", "Softshrink", "Softplus", "PReLU",
    )],
    ("ReLU(inplace=True)", [(3, 4)]),
    ("GELU(approximate='tanh')", [(3, 4)]),
    ("LeakyReLU(0.2, True)", [(3, 4)]),
    ("Hardtanh(-0.5, 0.2)", [(3, 4)]),
    ("PReLU(3, init=0.1)", [(2, 3, 4)]),
    ("RReLU(0.1, 0.2).eval()", [(3, 4)]),
    ("Threshold(0.1, 2.0)", [(3, 4)]),
    ("Softmax(1)", [(3, 4)]),
    ("LogSoftmax(-1)", [(3, 4)]),
    ("Softmin(0)", [(3, 4)]),
    ("Softmax2d()", [(1, 3, 2, 2)]),
    ("Dropout(0.3)", [(6, 8)]),
    ("Dropout(0.3).eval()", [(6, 8)]),
    ("Dropout1d(0.5)", [(2, 8, 3)]),
    ("Dropout2d(0.5)", [(2, 8, 3, 3)]),
    ("AlphaDropout(0.4)", [(6, 8)]),
    ("CosineSimilarity()", [(3, 4), (3, 4)]),
    ("PairwiseDistance(keepdim=True)", [(3, 4), (3, 4)]),
    ("ZeroPad1d(1)", [(1, 2, 4)]),
    ("ZeroPad2d((1, 0, 2, 1))", [(1, 2, 4, 4)]),
    ("ConstantPad2d((1, -1, 0, 0), 3.0)", [(1, 2, 4, 4)]),
    ("ReflectionPad2d(1)", [(1, 2, 4, 4)]),
    ("ReplicationPad1d(2)", [(1, 2, 4)]),
    ("CircularPad2d((1, 1, 0, 2))", [(1, 2, 4, 4)]),
    ("L1Loss()", [(3, 4), (3, 4)]),
    ("MSELoss(reduction='sum')", [(3, 4), (3, 4)]),
    ("SmoothL1Loss(beta=0.5)", [(3, 4), (3, 4)]),
    ("HuberLoss(delta=0.3)", [(3, 4), (3, 4)]),
    ("KLDivLoss(reduction='batchmean', log_target=True)", [(3, 4), (3, 4)]),
    ("BCEWithLogitsLoss(pos_weight=torch.ones(4) * 2)", [(3, 4), (3, 4)]),
    ("NLLLoss(torch.ones(4) * 2, ignore_index=1)", [(3, 4), ((3,), 4)]),
    ("CrossEntropyLoss(label_smoothing=0.1)", [(3, 4), ((3,), 4)]),
    ("CrossEntropyLoss(reduction='none')", [(2, 4, 3), ((2, 3), 4)]),
    ("CrossEntropyLoss(size_average=False)", [(3, 4), ((3,), 4)]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "shapes"), ROWS, ids=[r[0] for r in ROWS])
def test_layer(source, shapes):
    check_layer(source, shapes)


EXTRA = {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"}  # rngs= for Flax


@pytest.mark.parametrize(
    "name", [n for n in jaxnn.nn.__all__ if isinstance(getattr(torch.nn, n, None), type) and n != "Module"]
)
def test_signature(name):
    def parameters(kind):
        return [
            (p.name, p.kind, getattr(p.default, "__name__", p.default))  # a function by its name: relu
            for p in inspect.signature(kind.__init__).parameters.values()
            if not (name in EXTRA and p.name == "rngs")
        ]

    if name in ("Parameter", "Buffer", "Sequential", "UninitializedBuffer", "UninitializedParameter"):
        pytest.skip("written otherwise in PyTorch (overloads, __new__)")
    assert parameters(getattr(jaxnn.nn, name)) == parameters(getattr(torch.nn, name))


ERRORS = [
    "Conv2d(3, 4, 3, groups=0)", "Conv2d(3, 4, 3, groups=2)", "Conv2d(4, 3, 3, groups=2)",
    "Conv2d(3, 4, 3, padding='foo')",
    "Conv2d(3, 4, 3, padding='same', stride=2)", "ConvTranspose2d(3, 4, 3, padding_mode='reflect')", "GroupNorm(3, 4)",
    "Embedding(3, 4, 5)", "Embedding(3, 4, _weight=torch.ones(2, 2))", "Embedding.from_pretrained(torch.ones(2))",
    "Dropout(2)", "Unflatten(1, 3)", "Hardtanh(1, 0)", "BatchNorm1d(3)(torch.ones(3))",
    "BatchNorm2d(3)(torch.ones(3, 3))",
    "BatchNorm3d(3)(torch.ones(3, 3))", "InstanceNorm2d(3)(torch.ones(3, 3))", "Softmax2d()(torch.ones(2, 2))",
    "Bilinear(0, 2, 3)", "ConvTranspose2d(1, 1, 3, stride=2)(torch.ones(1, 1, 3, 3), output_size=(20, 20))",
    "ConvTranspose2d(1, 1, 3, stride=2)(torch.ones(1, 1, 3, 3), output_size=(20,))", "Linear(2, 3)(torch.ones(2, 5))",
    "MSELoss(reduction='x')(torch.ones(2), torch.ones(2))", "BatchNorm1d(3)(torch.ones(1, 3))",
]  # fmt: skip


@pytest.mark.parametrize("source", ERRORS)
def test_error(source):
    check_error(source)


def test_from_pretrained_and_output_size():
    for face in (torch, jaxnn):
        table = face.arange(6.0).reshape(3, 2)
        layer = face.nn.Embedding.from_pretrained(table)
        assert not layer.weight.requires_grad
        assert layer(face.tensor([2, 0])).tolist() == [[4.0, 5.0], [0.0, 1.0]]
        up = face.nn.ConvTranspose2d(1, 1, 3, stride=2)
        assert tuple(up(face.ones(1, 1, 3, 3), output_size=(8, 8)).shape) == (1, 1, 8, 8)
        assert tuple(up(face.ones(1, 1, 3, 3), output_size=[1, 1, 7, 8]).shape) == (1, 1, 7, 8)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtype_of_parameters(dtype):
    states = []
    for face in (torch, jaxnn):
        face.manual_seed(0)
        layer = face.nn.Linear(3, 4, dtype=getattr(face, dtype))
        assert str(layer.weight.dtype) == f"torch.{dtype}"
        states.append([p.detach().to(face.float64).numpy() for p in layer.parameters()])
    for a, b in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b)

"""Floating point operations counted beside PyTorch's counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode as Theirs

import jaxnn
from jaxnn.utils.flop_counter import FlopCounterMode, register_flop_formula


def block(face):
    nn = face.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            first = nn.Conv2d(4, 6, 3, 2, 1, bias=False)
            self.body = nn.Sequential(first, nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, 1, 1, groups=2))
            self.skip = nn.Conv2d(4, 6, 1, 2)
            self.head = nn.Linear(6, 5)

        def forward(self, x):
            return self.head((self.body(x) + self.skip(x)).relu().mean((2, 3)))

    return Block()


def attention(face, x, causal=False):
    q, k, v = (x[:, None] * s for s in (1, 2, 3))
    weights = (q @ k.transpose(-2, -1)).softmax(-1)
    return weights @ v


def loss(face, made):
    (made[0] if isinstance(made, tuple) else made).sum().backward()


#: What is called with the library and a leaf of shape (2, 5, 8); the result of some has a backward.
CASES = {
    "a ResNet block": lambda f, x: loss(f, block(f)(f.ones(2, 4, 9, 9))),
    "transposed": lambda f, x: loss(f, f.nn.ConvTranspose2d(4, 6, 3, 2, groups=2)(x.new_ones(1, 4, 5, 5).requires_grad_())),
    "conv3d": lambda f, x: loss(f, f.nn.Conv3d(2, 4, 3, 2, 1)(f.ones(1, 2, 5, 5, 5))),
    "unbatched": lambda f, x: loss(f, f.nn.Conv1d(8, 4, 3, padding="same")(x[0].t())),
    "products": lambda f, x: loss(f, x @ f.ones(8, 3) + (x.mT @ x).sum() + f.addmm(f.zeros(5), x[0], x[1].t()).sum()),
    "vectors": lambda f, x: loss(f, x[0] @ x[1, 0] + f.outer(x[0, 0], x[0, 1]).sum()),
    "broadcast": lambda f, x: loss(f, x @ x.detach()[:, None].mT),
    "baddbmm": lambda f, x: loss(f, f.baddbmm(f.zeros(1), x, x.mT)),
    "einsum": lambda f, x: loss(f, f.einsum("bij,bkj->bik", x, x)),
    "attention by hand": lambda f, x: loss(f, attention(f, x)),
    "fused attention": lambda f, x: loss(f, f.nn.functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])),
    "attention of three dimensions": lambda f, x: loss(f, f.nn.functional.scaled_dot_product_attention(x, x, x)),
    "attention with dropout": lambda f, x: loss(f, f.nn.functional.scaled_dot_product_attention(*[x[:, None]] * 3, dropout_p=0.1)),
    "heads": lambda f, x: loss(f, f.nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)),
    "heads with dropout": lambda f, x: loss(f, f.nn.MultiheadAttention(8, 2, 0.1, batch_first=True)(x, x, x)),
    "heads without weights": lambda f, x: f.nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x, need_weights=False),
    "an encoder": lambda f, x: loss(f, f.nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)(x)),
    "gru": lambda f, x: f.nn.GRU(8, 3)(x),
    "frozen": lambda f, x: loss(f, f.nn.Linear(8, 2).requires_grad_(False)(x)),
    "no gradients": lambda f, x: f.no_grad()(f.nn.Linear(8, 2))(x),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_by_one():
    jaxnn.set_execution_mode("operators")
    yield
    jaxnn.set_execution_mode("auto")


def counted(face, mode, run):
    with mode(display=False) as counter:
        run(face, face.ones(2, 5, 8, requires_grad=True))
    return counter


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch_counts(name):
    ours, theirs = (counted(face, mode, CASES[name]) for face, mode in ((jaxnn, FlopCounterMode), (torch, Theirs)))
    assert ours.get_total_flops() == theirs.get_total_flops()
    found, wanted = ours.get_flop_counts(), theirs.get_flop_counts()
    if "heads" not in name and name not in ("gru", "an encoder"):  # these name their products otherwise
        assert found["Global"] == {str(k): v for k, v in wanted["Global"].items()}
    if name == "a ResNet block":
        assert found["Block"] == {str(k): v for k, v in wanted["Block"].items()}
        for module in ("Block.skip", "Block.body", "Block.body.3", "Block.head"):  # where a backward stands is another matter
            assert {k: v for k, v in found[module].items() if k in ("aten.convolution", "aten.addmm")} == {
                str(k): v for k, v in wanted[module].items() if str(k) in ("aten.convolution", "aten.addmm")
            }


def test_formulas_table_and_what_is_outside(capsys):
    x = jaxnn.ones(2, 3, requires_grad=True)
    with FlopCounterMode(custom_mapping={jaxnn.exp: lambda shape, *rest, out_shape: 7 * shape[0]}, depth=1) as counter:
        y = (x.exp() @ jaxnn.ones(3, 4)).sum()
    assert counter.get_flop_counts() == {"Global": {"aten.exp": 14, "aten.mm": 48}}
    assert "Global" in capsys.readouterr().out and counter.get_table().count("\n") == 4
    y.backward()  # after the block
    jaxnn.mm(x, x.t())
    assert counter.get_total_flops() == 62
    register_flop_formula([jaxnn.sinh], get_raw=True)(lambda t, *rest, out_val: t.numel() + out_val.numel())
    with FlopCounterMode(display=False) as outer, FlopCounterMode(display=False) as inner:
        jaxnn.sinh(x)
    assert inner.get_total_flops() == 12 == outer.get_total_flops()
    with pytest.raises(TypeError):
        register_flop_formula(3)(len)

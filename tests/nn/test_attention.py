"""Attention and Transformers beside PyTorch: values, weights, gradients, state, representation, errors, warnings."""

import copy
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from functional import raw_parity
from functional.raw_parity import array

import jaxnn
from tests import comparison

#: `both` reads every result of every row on one line.
pytestmark = pytest.mark.filterwarnings("ignore:.*has compiled")

SDPA, TORCH_SDPA = jaxnn.nn.functional.scaled_dot_product_attention, torch.nn.functional.scaled_dot_product_attention


def qkv(*shapes, dtype="float32"):
    return [array(*s, dtype=dtype, seed=i) for i, s in enumerate(shapes)]


LOWER = np.tril(np.ones((4, 5), bool))
HOLES = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]], bool)  # one row without keys
ADDED = np.where(HOLES, array(4, 5, seed=9), -np.inf).astype("float32")
FOUR = ((2, 3, 4, 8), (2, 3, 5, 8), (2, 3, 5, 8))
GROUPED = ((2, 6, 4, 8), (2, 2, 5, 8), (2, 3, 5, 4))


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        (FOUR, {}),
        (FOUR, {"is_causal": True}),
        (FOUR, {"scale": -0.7}),
        (FOUR, {"attn_mask": LOWER}),
        (FOUR, {"attn_mask": HOLES}),
        (FOUR, {"attn_mask": ADDED}),
        (FOUR, {"attn_mask": array(2, 3, 4, 5)}),
        (((3, 7, 4), (3, 2, 4), (3, 2, 6)), {"is_causal": True}),
        (((4, 8), (5, 8), (5, 3)), {"attn_mask": LOWER}),
        (((1, 4, 8), (3, 5, 8), (5, 8)), {}),
        (((2, 2, 2, 3, 4), (2, 2, 2, 4, 4), (2, 2, 2, 4, 4)), {}),
        (((1, 1, 3, 4), (1, 1, 0, 4), (1, 1, 0, 4)), {}),
        (((1, 1, 3, 0), (1, 1, 2, 0), (1, 1, 2, 4)), {}),
        (GROUPED, {"enable_gqa": True}),
        (GROUPED, {"enable_gqa": True, "is_causal": True}),
        (((6, 4, 8), (2, 5, 8), (2, 5, 8)), {"enable_gqa": True, "attn_mask": LOWER}),
    ],
)
def test_scaled_dot_product_attention(shapes, options):
    raw_parity.run(SDPA, TORCH_SDPA, *qkv(*shapes), **options)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("shapes", [FOUR, [s[1:] for s in FOUR]])
def test_dtypes(shapes, dtype):
    raw_parity.run(SDPA, TORCH_SDPA, *qkv(*shapes, dtype=dtype))
    raw_parity.run(SDPA, TORCH_SDPA, *qkv(*shapes, dtype=dtype), attn_mask=ADDED)


def test_gradient_of_the_mask():
    def ours(q, k, v, m):
        return SDPA(q, k, v, m)

    raw_parity.run(ours, lambda q, k, v, m: TORCH_SDPA(q, k, v, m), *qkv(*FOUR), array(4, 5, seed=4))


def test_higher_order_and_transformations():
    arguments = qkv((2, 3, 4), (2, 5, 4), (2, 5, 3))
    raw_parity.second_order(SDPA, TORCH_SDPA, *arguments, is_causal=True)
    raw_parity.transforms(SDPA, *arguments, is_causal=True)
    raw_parity.transforms(SDPA, *arguments, attn_mask=HOLES[:3])


def test_infinite_and_undefined_scores():
    q, k, v = qkv(*FOUR)
    k[0, 0, 1, 2], q[1, 2, 3, 0], v[1, 0, 0, 0] = np.nan, np.inf, np.inf
    raw_parity.run(SDPA, TORCH_SDPA, q, k, v, grad=False)


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        (((3,), (3,), (3,)), {}),
        (((3, 4), (3, 5), (3, 4)), {}),
        (((3, 4), (3, 4), (5, 4)), {}),
        (((1, 1, 3, 4), (1, 1, 3, 5), (1, 1, 3, 4)), {}),
        (((2, 3, 4), (3, 3, 4), (3, 3, 4)), {}),
        (((1, 6, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4)), {}),
        (((1, 6, 3, 4), (1, 4, 3, 4), (1, 2, 3, 4)), {"enable_gqa": True}),
        (((3, 4), (3, 4), (3, 4)), {"enable_gqa": True}),
        (((3, 4), (3, 4), (3, 4)), {"attn_mask": np.zeros((2, 3), "float32")}),
        (((1, 1, 3, 4), (1, 1, 3, 4), (1, 1, 3, 4)), {"attn_mask": np.zeros((2, 3), "float32")}),
        (((1, 1, 3, 4), (1, 1, 3, 4), (1, 1, 3, 4)), {"attn_mask": np.zeros((2, 1, 1, 3, 3), "float32")}),
        (((3, 4), (3, 4), (3, 4)), {"attn_mask": np.zeros((3, 3), "float64")}),
        (((3, 4), (3, 4), (3, 4)), {"attn_mask": np.zeros((3, 3), "int64")}),
        (((3, 4), (3, 4), (3, 4)), {"attn_mask": np.zeros((3, 3), bool), "is_causal": True}),
        (((3, 4), (3, 4), (3, 4)), {"is_causal": 1}),
        (((3, 4), (3, 4), (3, 4)), {"dropout_p": 1.5}),
    ],
)
def test_errors(shapes, options):
    raw_parity.raises(SDPA, TORCH_SDPA, *qkv(*shapes), **options)


def test_errors_of_types():
    raw_parity.raises(SDPA, TORCH_SDPA, array(3, 4), array(3, 4, dtype="float64"), array(3, 4))
    raw_parity.raises(SDPA, TORCH_SDPA, *[array(3, 4, dtype="int64")] * 3)
    raw_parity.raises(SDPA, TORCH_SDPA, *[array(1, 1, 3, 4, dtype="int64")] * 3)
    raw_parity.raises(SDPA, TORCH_SDPA, *[array(3, 4, dtype="complex64")] * 3)
    raw_parity.raises(SDPA, TORCH_SDPA, 3, array(3, 4), array(3, 4))


# --- on both faces -----------------------------------------------------------------------------------------------


def both(program):
    """A program's results as numpy arrays, from PyTorch and from here; its tensors agree."""
    found = []
    for face in (torch, jaxnn):
        face.manual_seed(5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results = program(face)
        texts = [str(w.message) for w in caught if w.category is UserWarning]
        found.append(([r.detach().numpy() if hasattr(r, "detach") else r for r in results], texts))
    (theirs, their_warnings), (ours, our_warnings) = found
    assert their_warnings == our_warnings
    assert len(theirs) == len(ours)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype
            torch.testing.assert_close(torch.from_numpy(a), torch.from_numpy(b), equal_nan=True)
        else:
            assert a == b
    return ours


@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("rank", [2, 3, 4])
def test_dropout_takes_the_same_stream(p, rank):
    def program(face):
        q, k, v = (face.randn(2, 3, 4, 8)[(0,) * (4 - rank)].requires_grad_() for _ in range(3))
        out = face.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        gradients = face.autograd.grad((out**2).sum(), (q, k, v))
        return [out, *gradients, face.rand(1), out.grad_fn.name()]

    both(program)


MHA = [
    ("8, 2", {}),
    ("8, 2, bias=False", {"need_weights": False}),
    ("8, 4, batch_first=True", {}),
    ("8, 2, add_bias_kv=True, add_zero_attn=True", {"key_padding_mask": "padding", "attn_mask": "bool"}),
    ("8, 2, add_bias_kv=True", {"attn_mask": "heads", "need_weights": False}),
    ("8, 2, add_zero_attn=True", {"attn_mask": "float", "average_attn_weights": False}),
    ("8, 2, kdim=3, vdim=5", {"key_padding_mask": "padding"}),
    ("8, 2, kdim=3, vdim=5, bias=False, batch_first=True", {"need_weights": False, "attn_mask": "bool"}),
    ("8, 2, dropout=0.4", {}),
    ("8, 2, dropout=0.4, add_zero_attn=True, add_bias_kv=True", {"need_weights": False}),
    ("8, 2, dropout=1.0", {"key_padding_mask": "padding"}),
    ("8, 1", {"key_padding_mask": "float padding", "attn_mask": "bool"}),  # warns: the types differ
    ("8, 2", {"key_padding_mask": "all but one"}),  # a sample without keys: NaN
    ("8, 2", {"key_padding_mask": "all but one", "need_weights": False}),  # zeros
    ("8, 2, dtype=torch.float64", {"attn_mask": "bool"}),
]  # fmt: skip


def _mask(face, name, n, heads, length, sources):
    rng = np.random.default_rng(1)
    if name == "heads":
        m = rng.random((n * heads, length, sources)) < 0.3
    elif name in ("bool", "float"):
        m = rng.random((length, sources)) < 0.3
    else:
        m = np.arange(sources) >= np.array([[sources], [sources - 2]])[: max(n, 1)]
        if name == "all but one":
            m[0] = True
        m = m if n else m[0]
    m = face.tensor(m.tolist())
    return face.zeros(m.shape).masked_fill(m, -0.5) if "float" in name else m


@pytest.mark.parametrize("kind", ["self", "memory", "apart", "unbatched"])
@pytest.mark.parametrize(("arguments", "options"), MHA, ids=[f"{a}-{o}" for a, o in MHA])
def test_multihead_attention(arguments, options, kind):
    if kind == "self" and "kdim" in arguments:
        pytest.skip("other widths than the query's")
    if kind == "unbatched" and "all but one" in options.values():
        options = {**options, "key_padding_mask": "padding"}

    def program(face):
        layer = eval(f"face.nn.MultiheadAttention({arguments})", {"face": face, "torch": face})
        dtype = layer.out_proj.weight.dtype
        n = 0 if kind == "unbatched" else 2
        sources = 4 if kind == "self" else 5

        def draw(length, width):
            x = face.randn(*((2, length, width) if layer.batch_first else (length, 2, width)), dtype=dtype)
            return (x if n else x.select(0 if layer.batch_first else 1, 0)).detach().requires_grad_()

        q = draw(4, 8)
        k = q if kind == "self" else draw(sources, layer.kdim)
        v = k if kind in ("self", "memory") and layer.kdim == layer.vdim else draw(sources, layer.vdim)
        heads = layer.num_heads
        given = {
            name: _mask(face, o, n, heads, 4, sources) if isinstance(o, str) and not (o == "heads" and not n)
            else _mask(face, o, 1, heads, 4, sources) if isinstance(o, str) else o
            for name, o in options.items()
        }  # fmt: skip
        state = layer.state_dict()
        out, weights = layer(q, k, v, **given)
        total = (out * face.arange(out.numel(), dtype=dtype).reshape(out.shape)).mean() / 10
        if weights is not None:
            total = total + (weights**2).sum()
        total.backward()
        leaves = {id(t): t for t in (q, k, v, *layer.parameters())}.values()
        grads = [t.grad for t in leaves]
        names = [out.grad_fn.name(), None if weights is None else weights.grad_fn.name()]
        return [*state, *(t.detach() for t in state.values()), repr(layer), out, weights, *grads, *names]

    both(program)


def test_initial_weights_are_bitwise_equal():
    for arguments in ({}, {"kdim": 3, "vdim": 5}, {"add_bias_kv": True}, {"bias": False}):
        states = []
        for face in (torch, jaxnn):
            face.manual_seed(3)
            states.append(face.nn.MultiheadAttention(8, 2, **arguments).state_dict())
        assert list(states[0]) == list(states[1])
        for a, b in zip(*(s.values() for s in states), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_is_causal_hint():
    def program(face):
        layer = face.nn.MultiheadAttention(8, 2)
        x = face.randn(4, 2, 8)
        mask = face.nn.Transformer.generate_square_subsequent_mask(4)
        return [
            mask, *layer(x, x, x, attn_mask=mask, is_causal=True),
            layer(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0],
            # The hint is taken at its word.
            layer(x, x, x, attn_mask=mask * 0, is_causal=True, need_weights=False)[0],
            layer(x, x, x, attn_mask=mask * 0, is_causal=True)[0],
        ]  # fmt: skip

    with np.errstate(invalid="ignore"):
        both(program)


def forward(face, **changed):
    """multi_head_attention_forward with separate weights, or what is changed."""
    face.manual_seed(5)
    query, key, value = face.randn(4, 2, 8), face.randn(5, 2, 3), face.randn(5, 2, 6)
    arguments = {
        "query": query, "key": key, "value": value, "embed_dim_to_check": 8, "num_heads": 2, "in_proj_weight": None,
        "in_proj_bias": face.randn(24), "bias_k": None, "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0,
        "out_proj_weight": face.randn(8, 8), "out_proj_bias": face.randn(8), "use_separate_proj_weight": True,
        "q_proj_weight": face.randn(8, 8), "k_proj_weight": face.randn(8, 3), "v_proj_weight": face.randn(8, 6),
    }  # fmt: skip
    changed = {k: v(face) if callable(v) else v for k, v in changed.items()}
    return face.nn.functional.multi_head_attention_forward(**{**arguments, **changed})


def test_static_keys_and_values():
    statics = {"static_k": lambda face: face.randn(4, 7, 4), "static_v": lambda face: face.randn(4, 7, 4)}
    both(lambda face: forward(face, **statics))
    both(lambda face: forward(face, **statics, add_zero_attn=True, dropout_p=0.2))
    both(lambda face: [forward(face, **statics, need_weights=False, training=False, dropout_p=0.2)[0]])
    both(lambda face: [forward(face, static_k=lambda face: face.randn(4, 5, 4))[0]])


@pytest.mark.parametrize(
    "changed",
    [
        {"query": lambda face: face.randn(8)},
        {"key": lambda face: face.randn(5, 3)},
        {"key": lambda face: face.randn(4, 2, 3)},
        {"query": lambda face: face.randn(4, 8)},
        {"embed_dim_to_check": 9},
        {"num_heads": 3},
        {"use_separate_proj_weight": False},
        {"use_separate_proj_weight": False, "key": lambda face: face.randn(5, 2, 6)},
        {"q_proj_weight": None},
        {"v_proj_weight": None},
        {"k_proj_weight": lambda face: face.randn(8, 4)},
        {"bias_k": lambda face: face.randn(1, 1, 8)},
        {"bias_v": lambda face: face.randn(1, 1, 8)},
        {
            "bias_k": lambda face: face.randn(1, 1, 8), "bias_v": lambda face: face.randn(1, 1, 8),
            "static_k": lambda face: face.randn(4, 5, 4),
        },
        {"static_k": lambda face: face.randn(3, 5, 4)},
        {"static_v": lambda face: face.randn(4, 5, 3)},
        {"key_padding_mask": lambda face: face.zeros(2)},
        {"key_padding_mask": lambda face: face.zeros(2, 4)},
        {"key_padding_mask": lambda face: face.zeros(3, 5)},
        {"key_padding_mask": lambda face: face.zeros(2, 5, dtype=face.int64)},
        {"attn_mask": lambda face: face.zeros(4, 5, dtype=face.int64)},
        {"attn_mask": lambda face: face.zeros(4)},
        {"attn_mask": lambda face: face.zeros(5, 5)},
        {"attn_mask": lambda face: face.zeros(2, 4, 5)},
        {"attn_mask": lambda face: face.zeros(4, 5, dtype=face.float64)},
        {"attn_mask": lambda face: face.zeros(4, 5, dtype=face.float64), "need_weights": False},
        {"is_causal": True},
        {"dropout_p": 1.5},
        {"dropout_p": 1.5, "need_weights": False},
    ],
)  # fmt: skip
def test_errors_of_multi_head_attention_forward(changed):
    found = []
    for face in (torch, jaxnn):
        with pytest.raises(Exception) as raised:
            forward(face, **changed)
        found.append((raised.type, str(raised.value)))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "source",
    [
        "MultiheadAttention(0, 2)", "MultiheadAttention(8, 3)", "TransformerEncoderLayer(8, 2, activation='tanh')",
        "TransformerDecoderLayer(8, 2, activation='tanh')", "MultiheadAttention(8, 2)(*[torch.ones(2)] * 3)",
        "Transformer(4, 2, 1, 1, 4)(torch.ones(3, 2, 4), torch.ones(3, 3, 4))",
        "Transformer(4, 2, 1, 1, 4)(torch.ones(3, 2, 4), torch.ones(3, 2, 5))",
    ],
)  # fmt: skip
def test_errors_of_layers(source):
    found = []
    for face in (torch, jaxnn):
        with warnings.catch_warnings(), pytest.raises(Exception) as raised:
            warnings.simplefilter("ignore")
            eval("nn." + source, {"nn": face.nn, "torch": face})
        found.append((raised.type, str(raised.value)))
    assert found[0] == found[1]


# --- Transformers ------------------------------------------------------------------------------------------------

ENCODERS = [
    ("8, 2, 16", {}),
    ("8, 2, 16, dropout=0.0, norm_first=True, batch_first=True", {"src_mask": "bool"}),
    ("8, 1, 16, activation='gelu', bias=False", {"src_key_padding_mask": "padding"}),
    ("8, 2, 16, activation=nn.GELU(), layer_norm_eps=0.1", {"src_key_padding_mask": "padding", "src_mask": "bool"}),
    ("8, 2, 16, activation=torch.tanh, batch_first=True", {"src_mask": "bool", "is_causal": True}),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("arguments", "options"), ENCODERS, ids=[r[0] for r in ENCODERS])
def test_encoder_layer(arguments, options, training):
    def program(face):
        layer = eval(f"nn.TransformerEncoderLayer({arguments})", {"nn": face.nn, "torch": face}).train(training)
        given = {k: _mask(face, o, 2, 2, 4, 4) if isinstance(o, str) else o for k, o in options.items()}
        if given.get("is_causal"):
            given["src_mask"] = face.nn.Transformer.generate_square_subsequent_mask(4)
        x = face.randn(*((2, 4, 8) if layer.self_attn.batch_first else (4, 2, 8))).requires_grad_()
        out = layer(x, **given)
        ((out / 4) ** 3).mean().backward()
        return [*layer.state_dict(), repr(layer), out, x.grad, *(p.grad for p in layer.parameters()), face.rand(1)]

    both(program)


@pytest.mark.parametrize(
    "arguments",
    ["8, 2, 16", "8, 2, 16, norm_first=True, batch_first=True, activation=nn.functional.gelu", "8, 2, 16, bias=False"],
)
def test_decoder(arguments):
    def program(face):
        layer = eval(f"nn.TransformerDecoderLayer({arguments})", {"nn": face.nn})
        stack = face.nn.TransformerDecoder(layer, 1, face.nn.LayerNorm(8))
        batch_first = layer.self_attn.batch_first
        x = face.randn(*((2, 4, 8) if batch_first else (4, 2, 8))).requires_grad_()
        memory = face.randn(*((2, 5, 8) if batch_first else (5, 2, 8))).requires_grad_()
        causal = face.nn.Transformer.generate_square_subsequent_mask(4)
        memory_mask = face.ones(4, 5).tril().bool().logical_not()
        paddings = [_mask(face, "padding", 2, 2, 4, n) for n in (4, 5)]
        outs = [
            stack(x, memory, causal, memory_mask=memory_mask, tgt_is_causal=True),
            stack(x, memory, causal.isinf(), None, *paddings),
        ]
        sum(((o / 4) ** 3).mean() for o in outs).backward()
        return [*stack.state_dict(), repr(stack), *outs, x.grad, memory.grad, *(p.grad for p in stack.parameters())]

    both(program)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", ["", ", batch_first=True", ", norm_first=True, bias=False"])
def test_transformer(options, training):
    def program(face):
        model = eval(f"nn.Transformer(8, 2, 2, 1, 16{options})", {"nn": face.nn}).train(training)
        first = model.batch_first
        src, tgt = (face.randn(*((2, n, 8) if first else (n, 2, 8))).requires_grad_() for n in (5, 4))
        causal = model.generate_square_subsequent_mask(4)
        padding = _mask(face, "padding", 2, 2, 4, 5)
        out = model(
            src, tgt, tgt_mask=causal, src_key_padding_mask=padding, memory_key_padding_mask=padding,
            memory_mask=face.zeros(4, 5).bool(),
        )  # fmt: skip
        ((out / 4) ** 3).mean().backward()
        state = model.state_dict()
        return [*state, *state.values(), repr(model), out, src.grad, tgt.grad, *(p.grad for p in model.parameters())]

    both(program)


def test_unbatched_transformer():
    def program(face):
        model = face.nn.Transformer(8, 2, 1, 1, 16, dropout=0.0)
        return [model(face.randn(5, 8), face.randn(4, 8), tgt_is_causal=None)]

    both(program)


def test_custom_encoder_and_hints():
    def program(face):
        layer = face.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        encoder = face.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False, mask_check=False)
        odd = face.nn.TransformerEncoder(face.nn.TransformerEncoderLayer(9, 3, 16, batch_first=True), 1)  # warns
        model = face.nn.Transformer(8, 2, 1, 1, 16, custom_encoder=encoder, batch_first=True)
        assert model.encoder is encoder and not encoder.use_nested_tensor and encoder.layers[0] is not layer
        x = face.randn(2, 4, 8)
        padding = _mask(face, "float padding", 2, 2, 4, 4)
        return [model(x, x), encoder(x, _mask(face, "bool", 2, 2, 4, 4), padding), odd.use_nested_tensor]  # warns

    both(program)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_evaluation_beside_the_fast_path():
    """Where nothing is padded PyTorch's inference kernels agree; at padded places they give zeros, layers here do not."""
    found = []
    for face in (torch, jaxnn):
        face.manual_seed(5)
        layer = face.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        encoder = face.nn.TransformerEncoder(layer, 2).eval()
        x, padding = face.randn(2, 4, 8), _mask(face, "padding", 2, 2, 4, 4)
        with face.no_grad():
            found.append((encoder(x).numpy(), encoder(x, src_key_padding_mask=padding).numpy(), padding.numpy()))
    (plain, padded, mask), (our_plain, our_padded, _) = found
    np.testing.assert_allclose(our_plain, plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(our_padded[~mask], padded[~mask], rtol=1e-5, atol=1e-6)
    assert not padded[mask].any() and our_padded[mask].any()


def test_copies_and_pickles():
    model = jaxnn.nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    x = jaxnn.randn(2, 3, 8)
    wanted = model(x, x).detach().numpy()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert repr(other) == repr(model)
        for name, value in other.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), model.state_dict()[name].numpy())
        comparison.check(other(x, x), wanted, "layer")  # the second call may be compiled where the first was not
        assert not {id(p) for p in other.parameters()} & {id(p) for p in model.parameters()}


# --- Flax --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_inside_jit_and_grad(dropout):
    count = 1 if dropout else 2
    model = jaxnn.nn.TransformerEncoder(
        jaxnn.nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True), count
    )
    x = jnp.asarray(array(2, 4, 8))
    mask = jnp.asarray(jaxnn.nn.Transformer.generate_square_subsequent_mask(4).numpy())

    def loss(model, x):
        return (model(x, mask=mask) ** 2).sum()

    value, grads = nnx.jit(nnx.value_and_grad(loss))(model, x)
    assert value.dtype == jnp.float32 and len(jax.tree.leaves(grads)) == 12 * count
    if dropout:
        assert float(nnx.jit(loss)(model, x)) != float(nnx.jit(loss)(model, x))
        return
    t = jaxnn.tensor(np.asarray(x).tolist())
    eager = (model(t, mask=jaxnn.tensor(mask.tolist())) ** 2).sum()
    eager.backward()
    np.testing.assert_allclose(float(value), float(eager), rtol=1e-5)
    np.testing.assert_allclose(
        grads["layers"]["0"]["self_attn"]["in_proj_weight"].get_value(),
        model.layers[0].self_attn.in_proj_weight.grad.numpy(), rtol=2e-4, atol=1e-5,
    )  # fmt: skip


def test_dropout_of_weights_inside_jit():
    layer = jaxnn.nn.MultiheadAttention(8, 2, dropout=0.5)
    weights = nnx.jit(lambda m, x: m(x, x, x, average_attn_weights=False)[1])(layer, jnp.ones((40, 1, 8)))
    assert 0.4 < float((weights == 0).mean()) < 0.6
    assert jax.tree.leaves(nnx.state(jaxnn.nn.MultiheadAttention(8, 2), nnx.RngState)) == []


# --- gumbel_softmax, backends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"tau": 0.3}, {"hard": True}, {"hard": True, "dim": 0}, {"dim": 1, "tau": 2}, {"eps": 1e-5}]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gumbel_softmax(options, dtype):
    def program(face):
        x = face.randn(3, 5, dtype=getattr(face, dtype)).requires_grad_()
        out = face.nn.functional.gumbel_softmax(x, **options)
        (out * face.arange(15).reshape(3, 5)).sum().backward()
        return [out, x.grad, out.grad_fn.name(), face.rand(1)]

    both(program)


def test_gumbel_softmax_errors_and_tracing():
    for source in ("torch.ones(3, dtype=torch.int64)", "torch.ones(3), dim=2"):
        found = []
        for face in (torch, jaxnn):
            with pytest.raises(Exception) as raised:
                eval(f"torch.nn.functional.gumbel_softmax({source})", {"torch": face})
            found.append((raised.type, str(raised.value)))
        assert found[0] == found[1]
    sample = jax.jit(lambda x: jaxnn.nn.functional.gumbel_softmax(x, hard=True))
    with pytest.raises(RuntimeError, match="needs a key"):
        sample(jnp.zeros((2, 3)))
    with jaxnn.ops.random.masks.traced_keys(lambda: jax.random.key(0)):
        drawn = jax.jit(lambda x: jaxnn.nn.functional.gumbel_softmax(x, hard=True))(jnp.zeros((200, 4)))
    np.testing.assert_allclose(drawn.sum(1), 1.0)
    assert (drawn.sum(0) > 25).all()


def test_backends():
    for face in (torch, jaxnn):
        attention = face.nn.attention
        with attention.sdpa_kernel([attention.SDPBackend.MATH, attention.SDPBackend.FLASH_ATTENTION]):
            pass
        with pytest.raises(AssertionError, match="got int"), attention.sdpa_kernel(3):
            pass
    theirs = torch.nn.attention.SDPBackend.__members__
    assert {k: int(v) for k, v in theirs.items()} == {
        k: int(v) for k, v in jaxnn.nn.attention.SDPBackend.__members__.items()
    }

"""Recurrent layers and cells beside PyTorch's, and packed sequences: the same code on both."""

import copy
import inspect
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from functional import raw_parity

import jaxnn
import jaxnn.nn
from jaxnn.nn.functional.recurrent import run_layers
from tests.comparison import check

FACES = (torch, jaxnn)
rng = np.random.default_rng(0)
X = rng.standard_normal((5, 3, 4))  # time, batch, features
LENGTHS = [2, 5, 3]

LAYERS = [
    "RNN(4, 6)",
    "RNN(4, 6, 2, 'relu', False, True)",
    "RNN(4, 6, nonlinearity='relu', bidirectional=True)",
    "RNN(4, 6, num_layers=3, dropout=0.4)",
    "LSTM(4, 6)",
    "LSTM(4, 6, bias=False)",
    "LSTM(4, 6, 2, batch_first=True, dropout=0.5)",
    "LSTM(4, 6, 2, bidirectional=True, proj_size=3, dropout=0.3)",
    "LSTM(4, 6, 2, bias=False, proj_size=2, dropout=0.3)",
    "LSTM(4, 6, 2, dropout=1.0)",
    "GRU(4, 6)",
    "GRU(4, 6, 2, bias=False, bidirectional=True, batch_first=True)",
    "GRU(4, 6, num_layers=3, dropout=0.4, bidirectional=True)",
]
#: How a layer is called: what it is given, from (module, input, batch_first), with first states or without, the type.
CALLS = {
    "plain": (lambda t, x, first: x, False, "float32"),
    "unbatched": (lambda t, x, first: x[:, 0], True, "float64"),
    "packed": (lambda t, x, first: t.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, first, False), True, "float64"),
    "sorted": (lambda t, x, first: t.nn.utils.rnn.pack_padded_sequence(x, [5, 3, 2], first), False, "float64"),
}


def built(face, source, dtype="float32"):
    face.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = eval("nn." + source, {"nn": face.nn, "torch": face})
    return layer.to(getattr(face, dtype))


def tensors(result):
    """The tensors of a result, in order."""
    if isinstance(result, (tuple, list)):
        return [t for r in result if r is not None for t in tensors(r)]
    return [result]


def states_for(face, layer, call, dtype):
    directions = 2 if layer.bidirectional else 1
    sizes = [layer.proj_size or layer.hidden_size] + [layer.hidden_size] * (layer.mode == "LSTM")
    made = []
    for k, size in enumerate(sizes):
        shape = (layer.num_layers * directions, 3, size)
        array = np.sin(np.arange(np.prod(shape)) + k).reshape(shape)
        array = array[:, 0] if call == "unbatched" else array
        made.append(face.tensor(array.tolist(), dtype=getattr(face, dtype)).requires_grad_())
    return made


def ran(face, source, call):
    """The results of a call, gradients of inputs and parameters, and the next number of the random stream."""
    made, with_states, dtype = CALLS[call]
    layer = built(face, source, dtype)
    array = np.swapaxes(X, 0, 1) if layer.batch_first and call != "unbatched" else X
    x = face.tensor(array.tolist(), dtype=getattr(face, dtype)).requires_grad_()
    hx = states_for(face, layer, call, dtype) if with_states else []
    given = made(face, x, layer.batch_first)
    face.manual_seed(11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = layer(given, *((tuple(hx) if len(hx) == 2 else hx[0],) if hx else ()))
    found = tensors(result)
    total = 0
    for k, t in enumerate(found):
        if t.is_floating_point():
            weights = face.arange(t.numel(), dtype=t.dtype).reshape(t.shape) / t.numel() + 0.5 + k
            total = total + (t * weights).sum()
    total.backward()
    grads = [x.grad, *(h.grad for h in hx), *(p.grad for p in layer.parameters())]
    return [t.detach() for t in found], grads, face.rand(1)


@pytest.mark.parametrize("source", LAYERS)
@pytest.mark.parametrize("call", CALLS)
def test_layer(source, call):
    theirs, their_grads, their_next = ran(torch, source, call)
    ours, our_grads, our_next = ran(jaxnn, source, call)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        check(a, b, "layer")
    for a, b in zip(our_grads, their_grads, strict=True):
        check(a, b, "layer")
    assert our_next.item() == their_next.item()


@pytest.mark.parametrize("source", [
    *LAYERS, "RNNCell(3, 4)", "RNNCell(3, 4, nonlinearity='relu')", "LSTMCell(3, 4, False)", "GRUCell(3, 4)",
    "RNNBase('LSTM', 3, 4, proj_size=2)", "LSTM(3, 4, device='cpu', dtype=torch.float64)",
])  # fmt: skip
def test_parameters_and_repr(source):
    theirs, ours = (built(face, source, "float64" if "float64" in source else "float32") for face in FACES)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    if "Cell" not in source:
        assert ours._flat_weights_names == theirs._flat_weights_names
        assert [[tuple(w.shape) for w in ws] for ws in ours.all_weights] == [
            [tuple(w.shape) for w in ws] for ws in theirs.all_weights
        ]
        assert ours._flat_weights[0] is next(ours.parameters())
        assert ours.flatten_parameters() is None


@pytest.mark.parametrize("name", ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"])
def test_signature(name):
    ours, theirs = (inspect.signature(getattr(face.nn, name).__init__).parameters.values() for face in FACES[::-1])
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


@pytest.mark.parametrize("source", [
    "RNNCell(4, 6)", "RNNCell(4, 6, nonlinearity='relu', bias=False)", "LSTMCell(4, 6)", "LSTMCell(4, 6, bias=False)",
    "GRUCell(4, 6)", "GRUCell(4, 6, bias=False)",
])  # fmt: skip
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("with_states", [True, False])
def test_cell(source, batched, with_states):
    found = []
    for face in FACES:
        cell = built(face, source, "float64")
        x = face.tensor(X.tolist(), dtype=face.float64).requires_grad_()
        hx = [face.full((3, 6) if batched else (6,), v, dtype=face.float64).requires_grad_() for v in (0.3, -0.2)]
        state = (tuple(hx) if "LSTM" in source else hx[0]) if with_states else None
        for step in x if batched else x[:, 0]:
            state = cell(step, state)
        last = tensors(state)
        sum((t * (k + 1)).sin().sum() for k, t in enumerate(last)).backward()
        grads = [p.grad for p in (x, *cell.parameters(), *(hx[: len(last)] if with_states else []))]
        found.append([*last, *grads])
    for a, b in zip(*found, strict=True):
        check(b, a, "layer")


def test_half_precision():
    for source in ("RNN(4, 6)", "LSTM(4, 6)", "GRU(4, 6)"):
        found = []
        for face in FACES:
            layer = built(face, source, "bfloat16")
            out, _ = layer(face.tensor(X.tolist(), dtype=face.bfloat16))
            assert str(out.dtype) == "torch.bfloat16"
            found.append(out.detach().float().numpy())
        np.testing.assert_allclose(found[1], found[0], rtol=1.6e-2, atol=1e-2)


@pytest.mark.parametrize("source, packed", [
    ("GRU(4, 3, bidirectional=True)", True), ("LSTM(4, 3, bidirectional=True)", False), ("GRU(4, 3, bidirectional=True)", False),
    ("GRU(4, 3, bias=False)", False), ("RNN(4, 3, bidirectional=True)", False), ("RNN(4, 3, nonlinearity='relu')", False),
])  # fmt: skip
def test_second_order(source, packed):
    found = []
    for face in FACES:
        layer = built(face, source, "float64")
        x = face.tensor(X[:, :2].tolist(), dtype=face.float64).requires_grad_()
        out = layer(face.nn.utils.rnn.pack_padded_sequence(x, [5, 2]) if packed else x)[0]
        (first,) = face.autograd.grad(((out.data if packed else out) ** 2).sum(), x, create_graph=True)
        (first**2).sum().backward()
        found.append([x.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*found, strict=True):
        check(b, a, "layer")


# --- packing


def sequences(face, dtype="float32"):
    return [
        face.arange(1, 1 + 2 * n, dtype=getattr(face, dtype)).reshape(n, 2) * (k + 1) for k, n in enumerate(LENGTHS)
    ]


PACKING = [
    "R.pack_sequence(s, enforce_sorted=False)",
    "R.pack_sequence([s[1], s[2], s[0]])",
    "R.pack_sequence([t.long() for t in s], enforce_sorted=False)",
    "R.pack_sequence([t[:, 0] for t in s], enforce_sorted=False)",
    "R.pack_padded_sequence(R.pad_sequence(s), torch.tensor([2, 4, 3]), enforce_sorted=False)",
    "R.pack_padded_sequence(R.pad_sequence(s, batch_first=True), (4, 4, 1), True)",
    "R.pad_sequence(s)",
    "R.pad_sequence(s, True, -1.5)",
    "R.pad_sequence(s, padding_value=3, padding_side='left')",
    "R.pad_sequence([t.long() for t in s], True, -1, 'left')",
    "R.pad_sequence(R.pad_sequence(s))",
    "R.pad_sequence(t for t in s)",
    "R.pad_sequence([s[0], s[1].long()])",
    "R.pad_packed_sequence(R.pack_sequence(s, False))",
    "R.pad_packed_sequence(R.pack_sequence(s, False), True, -1.0, 7)",
    "R.pad_packed_sequence(R.pack_sequence([t.long() for t in s], False), padding_value=2)",
    "R.pad_packed_sequence(R.pack_sequence(s[:2][::-1]), total_length=6)",
    "R.unpack_sequence(R.pack_sequence(s, False))",
    "R.unpad_sequence(R.pad_sequence(s), torch.tensor([2, 5, 9]))",
    "R.unpad_sequence(R.pad_sequence(s, True), torch.tensor([2, 5, 0]), batch_first=True)",
    "R.invert_permutation(torch.tensor([2, 0, 1]))",
    "R.invert_permutation(None)",
    "R.PackedSequence(torch.ones(3, 2), torch.tensor([2, 1]), torch.tensor([1, 0]))",
    "R.PackedSequence((torch.ones(3, 2), torch.tensor([2, 1])))",
    "R.pack_sequence(s, False).double()",
    "R.pack_sequence(s, False).to(torch.float16)",
    "R.pack_sequence(s, False).long()",
    "[R.pack_sequence(s, False).int(), R.pack_sequence(s, False).short(), R.pack_sequence(s, False).half()]",
    "[R.pack_sequence(s, False).char(), R.pack_sequence(s, False).byte(), R.pack_sequence(s, False).float()]",
    "R.pack_sequence(s, False).cpu()",
    "(R.pack_sequence(s, False).is_cuda, R.pack_sequence(s, False).is_pinned())",
]


@pytest.mark.parametrize("source", PACKING)
@pytest.mark.parametrize("grad", [False, True])
def test_packing(source, grad):
    found = []
    for face in FACES:
        s = sequences(face)
        leaves = [t.requires_grad_() for t in s] if grad else []
        result = eval(source, {"torch": face, "R": face.nn.utils.rnn, "s": [t * 1 for t in s] if grad else s})
        text = repr(result)
        total = sum(
            (t.double().sin() * (k + 1)).sum() for k, t in enumerate(tensors(result)) if getattr(t, "requires_grad", 0)
        )
        if grad and not isinstance(total, int):
            total.backward()
        found.append((result, text, [t.grad for t in leaves]))
    (theirs, their_text, their_grads), (ours, our_text, our_grads) = found
    if not grad:
        assert our_text == their_text
    for a, b in zip(tensors(ours), tensors(theirs), strict=True):
        if isinstance(b, torch.Tensor):
            assert str(a.dtype) == str(b.dtype) and tuple(a.shape) == tuple(b.shape)
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        else:
            assert a == b
    for a, b in zip(our_grads, their_grads, strict=True):
        if b is not None:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_packed_sequence_is_itself_where_nothing_changes():
    packed = jaxnn.nn.utils.rnn.pack_sequence(sequences(jaxnn), enforce_sorted=False)
    assert packed.float() is packed and packed.to("cpu") is packed and packed.cpu() is packed
    again = pickle.loads(pickle.dumps(packed))
    assert type(again) is type(packed) and repr(again) == repr(packed)
    assert repr(copy.deepcopy(packed)) == repr(packed)
    with pytest.raises(NotImplementedError, match="pin_memory"):
        packed.pin_memory()


def test_length_beyond_the_input():
    with pytest.raises(RuntimeError, match="at most 5"):  # PyTorch reads what lies behind the input
        jaxnn.nn.utils.rnn.pack_padded_sequence(jaxnn.zeros(5, 2), [6, 1])


# --- errors

SAME_TEXT = [
    "nn.LSTM(3, 4, num_layers=0)", "nn.LSTM(3, 0)", "nn.LSTM(0, 4)", "nn.LSTM(3.0, 4)", "nn.LSTM(3, 4.0)",
    "nn.LSTM(3, 4, num_layers=1.0)", "nn.LSTM(3, 4, dropout=2)", "nn.LSTM(3, 4, dropout='a')",
    "nn.LSTM(3, 4, dropout=True)", "nn.LSTM(3, 4, proj_size=4)", "nn.LSTM(3, 4, proj_size=-1)",
    "nn.GRU(3, 4, proj_size=2)", "nn.RNN(3, 4, proj_size=2)", "nn.RNN(3, 4, nonlinearity='x')", "nn.LSTM(3)",
    "nn.GRU(3, 4, nonlinearity='relu')", "nn.RNNBase('FOO', 3, 4)", "nn.RNNBase('LSTM', 3, 4)(z(5, 2, 3))",
    "nn.LSTM(3, 4)(z(5, 2, 7))", "nn.LSTM(3, 4)(z(5, 7))", "nn.LSTM(3, 4)(z(3))", "nn.GRU(3, 4)(z(1, 2, 3, 3))",
    "nn.RNN(3, 4)(z(3))", "nn.LSTM(3, 4)(z(5, 2, 3), (z(1, 2, 4),))",
    "nn.LSTM(3, 4)(z(5, 2, 3), (z(2, 2, 4), z(1, 2, 4)))", "nn.LSTM(3, 4)(z(5, 2, 3), (z(1, 2, 4), z(1, 2, 5)))",
    "nn.LSTM(3, 4)(z(5, 2, 3), (z(1, 4), z(1, 4)))", "nn.LSTM(3, 4)(z(5, 3), (z(1, 1, 4), z(1, 1, 4)))",
    "nn.GRU(3, 4)(z(5, 2, 3), z(1, 4))", "nn.GRU(3, 4)(z(5, 3), z(1, 1, 4))", "nn.RNN(3, 4)(z(5, 2, 3), z(1, 3, 4))",
    "nn.RNN(3, 4)(z(5, 2, 3).double())", "nn.LSTM(3, 4)(z(5, 2, 3, dtype=torch.int64))", "nn.LSTM(3, 4)(z(0, 2, 3))",
    "nn.GRU(3, 4)(z(5, 2, 3), z(1, 2, 4).double())", "nn.LSTM(3, 4)([1, 2])", "nn.LSTM(3, 4)(P(5, 2, 4))",
    "nn.GRU(3, 4)(P(5, 2, 4))", "nn.GRU(3, 4)(P(5, 2, 3).double())", "nn.LSTM(3, 4)(P(5, 2, 3).double())",
    "nn.GRU(3, 4)(P(5, 2, 3), z(1, 4))", "nn.GRU(3, 4)(R.PackedSequence(z(5, 2, 3), torch.tensor([3, 2])))",
    "nn.LSTM(3, 4).check_input(z(5, 3), None)", "nn.LSTM(3, 4).check_forward_args(z(5, 2, 3), z(1, 2, 4), None)",
    "nn.LSTM(3, 4).check_hidden_size(z(1, 2, 3), (1, 2, 4))", "nn.RNNCell(3, 4)(z(2, 2, 2))",
    "nn.RNNCell(3, 4)(z(2, 5))", "nn.RNNCell(3, 4)(z(2, 3), z(2, 2, 2))", "nn.RNNCell(3, 4)(z(2, 3), z(3, 4))",
    "nn.RNNCell(3, 4)(z(2, 3), z(2, 5))", "nn.RNNCell(3, 4)(z(2, 3), z(4))", "nn.RNNCell(3, 4)(z(3), z(2, 4))",
    "nn.RNNCell(3, 4, nonlinearity='x')(z(2, 3))", "nn.LSTMCell(3, 4)(z(2, 2, 2))", "nn.GRUCell(3, 4)(z(5))",
    "nn.LSTMCell(3, 4)(z(2, 3), (z(2, 2, 2), z(2, 2, 2)))", "nn.LSTMCell(3, 4)(z(2, 3), (z(2, 4), z(3, 4)))",
    "nn.LSTMCell(3, 4)(z(2, 3), (z(2, 4), z(2, 5)))", "nn.LSTMCell(3, 4)(z(2, 3), (z(2, 4), z(2)))",
    "nn.GRUCell(3, 4)(z(2, 3).double())", "R.pack_padded_sequence(z(5, 2, 3), [3, 4])",
    "R.pack_padded_sequence(z(5, 2, 3), [3, 0])", "R.pack_padded_sequence(z(5, 2, 3), [0, 3], enforce_sorted=False)",
    "R.pack_padded_sequence(z(5, 2, 3), [3])", "R.pack_padded_sequence(z(5), [2, 3])",
    "R.pack_padded_sequence(z(5, 0), [])", "R.pad_packed_sequence(P(5, 2, 3), total_length=2)", "R.pad_sequence([])",
    "R.pad_sequence(3)", "R.pad_sequence([z(2, 3), z(3, 4)])", "R.pad_sequence([z(2), z(3)], padding_side='x')",
    "R.pad_sequence([z(2, 2), [1, 2]])", "R.pack_sequence([z(2), z(3)])", "R.PackedSequence(z(3, 2))",
]  # fmt: skip
SAME_TYPE = [
    "nn.LSTM(3, 4)(z(5, 2, 3), (z(1, 2, 4).double(), z(1, 2, 4).double()))", "nn.LSTMCell(3, 4)(z(2, 3), z(2, 4))",
    "R.pad_sequence([z(()), z(2)])", "R.pack_padded_sequence(z(5, 2, 3), torch.tensor([[3, 2]]))",
    "R.pack_padded_sequence([1], [1])", "R.unpad_sequence(z(5, 2, 3), torch.tensor([9, 2, 1]))",
    "nn.LSTM(3, 4)(P(5, 2, 3), (z(1, 3, 4), z(1, 3, 4)))",
]  # fmt: skip


@pytest.mark.parametrize("source", SAME_TEXT + SAME_TYPE)
def test_error(source):
    found = []
    for face in FACES:
        rnn = face.nn.utils.rnn
        scope = {"nn": face.nn, "torch": face, "z": face.zeros, "R": rnn}
        scope["P"] = lambda *shape, face=face, rnn=rnn: rnn.pack_padded_sequence(face.zeros(*shape), [3, 2])
        with pytest.raises(Exception) as raised:
            eval(source, scope)
        found.append((raised.type, str(raised.value) if source in SAME_TEXT else ""))
    assert found[1] == found[0]


def test_warning():
    for face in FACES:
        with pytest.warns(UserWarning, match="dropout option adds dropout after all but last .* num_layers=1"):
            face.nn.GRU(2, 2, dropout=0.5)


# --- torch.lstm and its like


@pytest.mark.parametrize("kind, source", [
    ("lstm", "LSTM(4, 6, 2, bidirectional=True)"), ("gru", "GRU(4, 6, 2, bidirectional=True)"),
    ("rnn_tanh", "RNN(4, 6, 2, bidirectional=True)"), ("rnn_relu", "RNN(4, 6, 2, 'relu', bidirectional=True)"),
])  # fmt: skip
def test_functions(kind, source):
    found = []
    for face in FACES:
        layer = built(face, source, "float64")
        x = face.tensor(X.tolist(), dtype=face.float64)
        hx = [h.detach() for h in states_for(face, layer, "plain", "float64")]
        hx = hx if kind == "lstm" else hx[0]
        call, weights = getattr(face, kind), list(layer.parameters())
        padded = call(x, hx, weights, True, 2, 0.0, False, True, False)
        rows = face.nn.utils.rnn.pack_padded_sequence(x, [5, 3, 1])
        packed = call(rows.data, rows.batch_sizes, hx, weights, True, 2, 0.0, False, True)
        found.append([*padded, *packed])
    for a, b in zip(*found, strict=True):
        check(b, a, "layer")


@pytest.mark.parametrize("kind, gates, count, packed, directions", [
    ("lstm", 4, 2, False, 2), ("lstm", 4, 2, True, 1), ("gru", 3, 1, False, 1), ("rnn_relu", 1, 1, False, 1),
])  # fmt: skip
def test_transforms(kind, gates, count, packed, directions):
    """Rows under jvp and vmap of the gradient: packed ones, and both directions of those that are not."""

    def run(x, *rest):
        sizes = jnp.asarray([2, 2, 1]) if packed else None
        return run_layers(kind, x, sizes, rest[:count], rest[count:], True, 1, 0.0, False, directions == 2)

    cell = [(gates * 3, 4), (gates * 3, 3), (gates * 3,), (gates * 3,)]
    shapes = [(5, 4) if packed else (3, 2, 4), *[(directions, 2, 3)] * count, *cell * directions]
    raw_parity.transforms(run, *[raw_parity.array(*shape, seed=k) for k, shape in enumerate(shapes)])


# --- the engine and Flax


def test_one_program_a_step():
    """New lengths with as many rows are no new program."""
    layer = built(jaxnn, "LSTM(4, 6, 2, bidirectional=True)")
    optimizer = jaxnn.optim.SGD(layer.parameters(), 0.1)
    counts = []
    for lengths in ([5, 2, 3], [3, 5, 2], [1, 4, 5], [4, 5, 1]):
        packed = jaxnn.nn.utils.rnn.pack_padded_sequence(jaxnn.tensor(X.tolist()), lengths, enforce_sorted=False)
        optimizer.zero_grad()
        layer(packed)[0].data.sum().backward()
        optimizer.step()
        jaxnn.finish()
        counts.append(jaxnn.engine_statistics()["compiled"])
    assert counts[-1] == counts[1]


def test_few_programs_for_many_lengths():
    layer = built(jaxnn, "LSTM(4, 6)")
    optimizer = jaxnn.optim.SGD(layer.parameters(), 0.1)
    jaxnn.reset_engine_statistics()
    for total in range(3, 15):
        rows = [jaxnn.ones(total, 4), jaxnn.ones(2, 4)]
        optimizer.zero_grad()
        layer(jaxnn.nn.utils.rnn.pack_sequence(rows))[0].data.sum().backward()
        optimizer.step()
    jaxnn.finish()
    found = jaxnn.engine_statistics()
    assert found["compiled"] <= 2 and found["operator_by_operator"] >= 10


@pytest.mark.parametrize("source", ["LSTM(4, 6, 2, bidirectional=True)", "GRU(4, 6)", "RNN(4, 6, nonlinearity='relu')"])
def test_flax(source):
    layer = built(jaxnn, source)
    x = X.astype(np.float32)
    expected, last = layer(jaxnn.tensor(x.tolist()))
    out, _ = nnx.jit(lambda m, x: m(x))(layer, jnp.asarray(x))
    assert isinstance(out, jax.Array)
    check(out, expected, "layer")
    (expected**2).sum().backward()
    grads = nnx.jit(nnx.grad(lambda m, x: (m(x)[0] ** 2).sum()))(layer, jnp.asarray(x))
    for name, p in layer.named_parameters():
        check(grads[name], p.grad, "layer", name)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), nnx.clone(layer)):
        assert repr(copied) == repr(layer)
        for ours, theirs in zip(copied.parameters(), layer.parameters(), strict=True):
            np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
        # Which way of running is taken depends on what ran before: the last bit may differ.
        check(copied(jaxnn.tensor(x.tolist()))[0], expected, "layer")


def test_flax_packed():
    layer = built(jaxnn, "GRU(4, 6, bidirectional=True)")
    rnn = jaxnn.nn.utils.rnn
    x = X.astype(np.float32)

    packed = rnn.pack_padded_sequence(jaxnn.tensor(x.tolist()), LENGTHS, enforce_sorted=False)
    expected, last = layer(packed)
    arrays = jax.tree.map(lambda t: jnp.asarray(t.numpy()), packed, is_leaf=lambda t: isinstance(t, jaxnn.Tensor))
    out, final = nnx.jit(lambda m, packed: m(packed))(layer, arrays)
    check(out.data, expected.data, "layer")
    check(final, last, "layer")
    unsorted = arrays._replace(sorted_indices=None, unsorted_indices=None)
    with pytest.raises(RuntimeError, match="enforce_sorted=False"):
        nnx.jit(lambda m, packed: m(packed))(layer, unsorted)


def test_flax_dropout():
    layer = built(jaxnn, "LSTM(4, 6, 2, dropout=0.5)")
    run = nnx.jit(lambda m, x: m(x)[0])
    x = jnp.asarray(X, jnp.float32)
    first, second = run(layer, x), run(layer, x)
    assert not np.allclose(first, second)
    layer.eval()
    check(run(layer, x), layer(jaxnn.tensor(x.tolist()))[0], "layer")
    assert not nnx.state(built(jaxnn, "LSTM(4, 6, 2)"), nnx.RngState)


def test_a_long_row_of_cells(whole):
    def run(m):
        m.manual_seed(0)
        cell = m.nn.LSTMCell(3, 4)
        x = m.linspace(-1, 1, 6, dtype=m.float32).reshape(2, 3)
        state = None
        for _ in range(40):
            state = cell(x, state)
        (state[0] * state[1]).sum().backward()
        return [state[1].detach().numpy(), *[p.grad.numpy() for p in cell.parameters()]]

    for ours, theirs in zip(run(jaxnn), run(torch), strict=True):
        check(ours, theirs, "layer")

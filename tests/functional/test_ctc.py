"""CTC loss beside torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, transforms

import jaxnn
from jaxnn.nn.functional import ctc as C

REDUCTIONS = ["mean", "sum", "none"]
PADDED = np.array([[1, 2, 2, 4], [3, 3, 0, 0], [2, 1, 2, 0]])
TARGET_LENGTHS = (4, 2, 3)
JOINED = np.concatenate([row[:n] for row, n in zip(PADDED, TARGET_LENGTHS)])
INPUT_LENGTHS = (8, 7, 5)


def log_probs(*shape, dtype="float32"):
    value = array(*(shape or (8, 3, 5)), dtype=dtype)
    return (value - np.log(np.exp(value).sum(-1, keepdims=True))).astype(dtype)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("targets", [PADDED, JOINED], ids=["padded", "joined"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets(reduction, targets, dtype):
    run(C.ctc_loss, F.ctc_loss, log_probs(dtype=dtype), targets, INPUT_LENGTHS, TARGET_LENGTHS, reduction=reduction)
    lengths = np.array(INPUT_LENGTHS), np.array(TARGET_LENGTHS)
    run(C.ctc_loss, F.ctc_loss, log_probs(dtype=dtype), targets, *lengths, reduction=reduction)


def test_through_log_softmax():
    def both(softmax, loss):
        return lambda v: loss(softmax(v, -1), PADDED if loss is C.ctc_loss else torch.from_numpy(PADDED),
                              INPUT_LENGTHS, TARGET_LENGTHS)  # fmt: skip

    run(both(jax.nn.log_softmax, C.ctc_loss), both(torch.log_softmax, F.ctc_loss), array(8, 3, 5))


@pytest.mark.parametrize("blank", [0, 2, 4])
def test_blank(blank):
    targets = np.where(PADDED == blank, (blank + 1) % 5, PADDED)
    run(C.ctc_loss, F.ctc_loss, log_probs(), targets, INPUT_LENGTHS, TARGET_LENGTHS, blank=blank, reduction="none")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("zero_infinity", [True, False])
def test_infinite(zero_infinity, reduction):
    """The first sequence has too few steps for its labels."""
    lengths = (3, 7, 5)
    run(C.ctc_loss, F.ctc_loss, log_probs(), PADDED, lengths, TARGET_LENGTHS,
        zero_infinity=zero_infinity, reduction=reduction)  # fmt: skip


def test_lengths_of_zero():
    for inputs, wanted in [((0, 7, 5), (0, 2, 3)), ((8, 7, 5), (0, 0, 0)), ((0, 0, 5), (1, 0, 0))]:
        for zero_infinity in (True, False):
            run(C.ctc_loss, F.ctc_loss, log_probs(), PADDED, inputs, wanted, zero_infinity=zero_infinity,
                reduction="none")  # fmt: skip
    run(C.ctc_loss, F.ctc_loss, log_probs(), PADDED[:, :0], (8, 7, 5), (0, 0, 0))
    run(C.ctc_loss, F.ctc_loss, log_probs(), JOINED[:0], (8, 7, 5), (0, 0, 0))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_unbatched(reduction):
    run(C.ctc_loss, F.ctc_loss, log_probs(8, 5), PADDED[0], (7,), (4,), reduction=reduction)
    run(C.ctc_loss, F.ctc_loss, log_probs(8, 5), PADDED[0], np.array(7), np.array(4), reduction=reduction)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_types_of_targets(dtype):
    run(C.ctc_loss, F.ctc_loss, log_probs(), PADDED.astype(dtype), INPUT_LENGTHS, TARGET_LENGTHS)
    lengths = np.array(INPUT_LENGTHS, "int32"), np.array(TARGET_LENGTHS, "int32")
    run(C.ctc_loss, F.ctc_loss, log_probs(), PADDED, *lengths)


def test_transforms():
    transforms(lambda v: C.ctc_loss(v, jnp.asarray(PADDED), INPUT_LENGTHS, TARGET_LENGTHS), log_probs())


ERRORS = [
    ((log_probs(), JOINED[:-1], INPUT_LENGTHS, TARGET_LENGTHS), {}),
    ((log_probs(), PADDED[:, :3], INPUT_LENGTHS, TARGET_LENGTHS), {}),
    ((log_probs(), PADDED[:2], INPUT_LENGTHS, TARGET_LENGTHS), {}),
    ((log_probs(), PADDED[None], INPUT_LENGTHS, TARGET_LENGTHS), {}),
    ((log_probs(), PADDED, (9, 7, 5), TARGET_LENGTHS), {}),
    ((log_probs(), PADDED, (-1, 7, 5), TARGET_LENGTHS), {}),
    ((log_probs(), PADDED, INPUT_LENGTHS, (-1, 2, 3)), {}),
    ((log_probs(), PADDED, INPUT_LENGTHS[:2], TARGET_LENGTHS), {}),
    ((log_probs(), PADDED, INPUT_LENGTHS, TARGET_LENGTHS[:2]), {}),
    ((log_probs(), PADDED, np.array(INPUT_LENGTHS, "float32"), np.array(TARGET_LENGTHS)), {}),
    ((log_probs(), PADDED, INPUT_LENGTHS, TARGET_LENGTHS), {"blank": 5}),
    ((log_probs(), PADDED, INPUT_LENGTHS, TARGET_LENGTHS), {"blank": -1}),
    ((log_probs(), PADDED, INPUT_LENGTHS, TARGET_LENGTHS), {"reduction": "foo"}),
    ((array(8, 3, 5, dtype="bfloat16"), PADDED, INPUT_LENGTHS, TARGET_LENGTHS), {}),
    ((array(8, 3, 5, dtype="int64"), PADDED, INPUT_LENGTHS, TARGET_LENGTHS), {}),
    ((array(8, 3, 5, 1), PADDED, INPUT_LENGTHS, TARGET_LENGTHS), {}),
    ((array(0, 3, 5), PADDED, (0, 0, 0), TARGET_LENGTHS), {}),
]


@pytest.mark.parametrize(("inputs", "options"), ERRORS, ids=range(len(ERRORS)))
def test_error(inputs, options):
    raises(C.ctc_loss, F.ctc_loss, *inputs, **options)


def test_error_of_lengths():
    for lengths in [(5, 2), (INPUT_LENGTHS, np.array(TARGET_LENGTHS))]:
        raises(C.ctc_loss, F.ctc_loss, log_probs(), PADDED, *lengths, gist="invalid combination of arguments")


def test_on_tensors():
    """Other lengths run the program that is there; the names of grad_fn."""
    programs = []
    for inputs, wanted in [((8, 7, 5), (4, 2, 3)), ((7, 7, 6), (3, 2, 1)), ((6, 5, 8), (1, 2, 2))]:
        found = []
        for face in (torch, jaxnn):
            value = face.from_numpy(log_probs()).requires_grad_()
            targets = face.from_numpy(PADDED)
            loss = face.nn.functional.ctc_loss(value, targets, face.tensor(inputs), face.tensor(wanted))
            loss.backward()
            found.append((loss.detach().numpy(), value.grad.numpy()))
        for a, b in zip(*found):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
        programs.append(jaxnn.engine_statistics()["compiled"])
    assert programs[1] == programs[2]
    for reduction in REDUCTIONS:
        for zero_infinity in (True, False):
            names = []
            for face in (torch, jaxnn):
                value = face.from_numpy(log_probs()).requires_grad_()
                loss = face.nn.functional.ctc_loss(value, face.from_numpy(PADDED), INPUT_LENGTHS, TARGET_LENGTHS,
                                                   reduction=reduction, zero_infinity=zero_infinity)  # fmt: skip
                names.append(loss.grad_fn.name())
            assert names[0] == names[1]


def test_lengths_inside_a_transformation():
    with jax.enable_x64():
        arguments = [jnp.asarray(a) for a in (log_probs(), JOINED, INPUT_LENGTHS, TARGET_LENGTHS)]
        np.testing.assert_allclose(jax.jit(C.ctc_loss)(*arguments), C.ctc_loss(*arguments), rtol=1e-6)

"""Methods for other kinds of tensors and devices, called on plain ones: the type of the error and the gist of its message."""

import warnings

import pytest
import torch

import jaxnn

CALLS = {
    "q_scale": (), "q_zero_point": (), "int_repr": (), "to_padded_tensor": (0.0,), "_nested_tensor_size": (), "_indices": (),
    "_values": (), "_nnz": (), "_coalesced_": (True,), "sparse_resize_": ((2,), 1, 0), "xpu": (), "mtia": (), "solve": (3,),
    "lstsq": (3,), "eig": (), "symeig": (), "_is_all_true": (), "resize": (7,), "row_indices": (), "ccol_indices": (),
}  # fmt: skip
WORDS = {"removed": "now removed", "Could not run": "Could not run", "requested resize": "requested resize to", "Torch not": "Torch not"}


@pytest.mark.parametrize("name", CALLS)
def test_refused_as_in_pytorch(name):
    raised = []
    for face in (jaxnn, torch):
        with pytest.raises(Exception) as error, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(face.ones(2, 3), name)(*CALLS[name])
        raised.append(error)
    ours, theirs = raised
    assert issubclass(ours.type, theirs.type)
    for words in WORDS.values():
        assert (words in str(theirs.value)) <= (words in str(ours.value))


def test_what_has_no_meaning_here():
    for name, arguments in (("share_memory_", ()), ("record_stream", (None,)), ("to_sparse_csc", ()), ("index", ((), ()))):
        with pytest.raises(NotImplementedError, match=name):
            getattr(jaxnn.ones(2, 3), name)(*arguments)


def test_what_is_true_of_plain_tensors():
    for face in (jaxnn, torch):
        assert face.ones(2, dtype=face.float16).dequantize().dtype is face.float32
        assert face.ones(2, dtype=face.bool)._is_all_true().item() and not face.zeros(2, dtype=face.bool)._is_any_true().item()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert face.ones(2, 3).resize(3, 2).shape == (3, 2)
            assert face.ones(2, 3)._typed_storage().size() == 6
        leaf = face.ones(2, requires_grad=True)
        assert not leaf._backward_hooks
        leaf.register_hook(len)
        assert list(leaf._backward_hooks.values()) == [len]
        sparse = face.eye(2).to_sparse()
        assert sparse._nnz() == 2 and sparse._indices().shape == (2, 2) and sparse._values().tolist() == [1, 1]

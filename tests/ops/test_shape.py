"""Views: values, gradients, printed names, strides, errors, and writes through them."""

import numpy as np
import pytest
import torch

import jaxnn
from tests.ops.agreement import agree
from tests.parity import parity

X = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
V = np.arange(5, dtype=np.float32)
O = np.ones((2, 1, 3, 1), np.float32)

CASES = {
    "view": (lambda torch, x: x.view(3, 2), X),
    "view one unknown": (lambda torch, x: x.view(-1, 1, 2), X),
    "view sequence": (lambda torch, x: x.view((6,)), X),
    "view size": (lambda torch, x: x.view(x.size()), X),
    "view to scalar": (lambda torch, x: x[0, 1:2].view(()), X),
    "view of a slice": (lambda torch, x: x[1:3].view(2, 6), B),
    "view bad size": (lambda torch, x: x.view(2, 5), X),
    "view two unknown": (lambda torch, x: x.view(-1, -1), X),
    "view negative": (lambda torch, x: x.view(-2, 3), X),
    "view bad unknown": (lambda torch, x: x.view(4, -1), X),
    "view transposed": (lambda torch, x: x.t().view(6), X),
    "view empty": (lambda torch, x: x[:0].view(0, 3, 1), X),
    "view empty unknown": (lambda torch, x: x[:0].view(0, -1), X),
    "view_as": (lambda torch, x, y: x.view_as(y), X, X.reshape(3, 2)),
    "reshape": (lambda torch, x: x.reshape(3, -1), X),
    "reshape function": (lambda torch, x: torch.reshape(x, (3, 2)), X),
    "reshape transposed": (lambda torch, x: x.t().reshape(6), X),
    "reshape bad": (lambda torch, x: x.reshape(7), X),
    "flatten": (lambda torch, x: x.flatten(), B),
    "flatten from": (lambda torch, x: torch.flatten(x, 1), B),
    "flatten middle": (lambda torch, x: torch.flatten(x, 0, 1), B),
    "flatten scalar": (lambda torch, x: x[0].flatten(), V),
    "flatten bad": (lambda torch, x: x.flatten(2, 1), B),
    "flatten range": (lambda torch, x: x.flatten(3), B),
    "ravel": (lambda torch, x: x.ravel(), B),
    "unflatten": (lambda torch, x: x.unflatten(0, (2, -1)), B),
    "unflatten bad": (lambda torch, x: x.unflatten(0, (3, 2)), B),
    "squeeze": (lambda torch, x: x.squeeze(), O),
    "squeeze dim": (lambda torch, x: x.squeeze(1), O),
    "squeeze nothing": (lambda torch, x: x.squeeze(0), O),
    "squeeze dims": (lambda torch, x: x.squeeze((1, 3)), O),
    "unsqueeze": (lambda torch, x: x.unsqueeze(-1), X),
    "unsqueeze range": (lambda torch, x: x.unsqueeze(4), X),
    "transpose": (lambda torch, x: x.transpose(0, -1), B),
    "transpose range": (lambda torch, x: x.transpose(0, 3), B),
    "t": (lambda torch, x: x.t(), X),
    "t vector": (lambda torch, x: x.t() * 1, V),
    "t bad": (lambda torch, x: x.t(), B),
    "T": (lambda torch, x: x.T, X),
    "mT": (lambda torch, x: x.mT, B),
    "swapaxes": (lambda torch, x: x.swapaxes(0, 1), B),
    "permute": (lambda torch, x: x.permute(2, 0, 1), B),
    "permute sequence": (lambda torch, x: torch.permute(x, (1, -1, 0)), B),
    "permute bad": (lambda torch, x: x.permute(0, 1), B),
    "permute twice": (lambda torch, x: x.permute(0, 1, 1), B),
    "movedim": (lambda torch, x: x.movedim(0, -1), B),
    "movedim several": (lambda torch, x: torch.movedim(x, (0, 1), (1, 2)), B),
    "movedim repeated": (lambda torch, x: x.movedim((0, 0), (0, 1)), B),
    "expand": (lambda torch, x: x.expand(2, 4, 3, -1), O),
    "expand more": (lambda torch, x: x.expand(2, 2, 3), X),
    "expand bad": (lambda torch, x: x.expand(2, 4), X),
    "expand few": (lambda torch, x: x.expand(3), X),
    "expand_as": (lambda torch, x, y: x.expand_as(y), X, B),
    "broadcast_to": (lambda torch, x: torch.broadcast_to(x, (2, 2, 3)), X),
    "narrow": (lambda torch, x: x.narrow(1, 1, 2), X),
    "narrow bad": (lambda torch, x: x.narrow(1, 1, 3), X),
    "select": (lambda torch, x: x.select(1, -1), B),
    "select bad": (lambda torch, x: x.select(0, 4), B),
    "unbind": (lambda torch, x: x.unbind(1), X),
    "iteration": (lambda torch, x: list(x), X),
    "split": (lambda torch, x: x.split(2), V),
    "split sizes": (lambda torch, x: torch.split(x, [1, 4]), V),
    "split bad": (lambda torch, x: x.split([1, 3]), V),
    "chunk": (lambda torch, x: x.chunk(3), V),
    "chunk bad": (lambda torch, x: x.chunk(0), V),
    "tensor_split": (lambda torch, x: x.tensor_split(3), V),
    "tensor_split at": (lambda torch, x: torch.tensor_split(x, (1, 3)), V),
    "hsplit": (lambda torch, x: torch.hsplit(x, 3), X),
    "diagonal": (lambda torch, x: x.diagonal(1), X),
    "diagonal dims": (lambda torch, x: x.diagonal(-1, 0, 2), B),
    "unfold": (lambda torch, x: x.unfold(0, 3, 2), V),
    "unfold bad": (lambda torch, x: x.unfold(0, 6, 1), V),
    "as_strided": (lambda torch, x: torch.as_strided(x, (2, 2), (1, 2), 1), X),
    "as_strided bad": (lambda torch, x: x.as_strided((2, 5), (3, 1)), X),
    "atleast": (lambda torch, x: torch.atleast_3d(x), X),
    "view dtype": (lambda torch, x: x.detach().view(torch.int32), X),
    "view narrower": (lambda torch, x: x.detach().view(torch.int16), X),
    "view wider": (lambda torch, x: x.view(torch.int32), np.arange(8, dtype=np.int16)),
    "contiguous": (lambda torch, x: x.t().contiguous(), X),
}


@pytest.mark.parametrize("case", CASES)
def test_parity(case):
    f, *inputs = CASES[case]
    agree(f, *inputs)


WRITES = {
    "view": lambda x: x.view(-1).__setitem__(0, 9),
    "transposed row": lambda x: x.permute(2, 0, 1)[0].mul_(2),
    "slice": lambda x: x[1:3].add_(1),
    "chain": lambda x: x.view(8, 3)[2:4].t()[1].sub_(5),
    "select of select": lambda x: x[1][1].fill_(7),
    "squeeze": lambda x: x[:1].squeeze(0).zero_(),
    "unsqueeze": lambda x: x.unsqueeze(0)[0, 2].zero_(),
    "diagonal": lambda x: x.diagonal(0, 1, 2).fill_(3),
    "unfold": lambda x: x.unfold(2, 2, 1)[0, 0, 1].fill_(4),
    "as_strided": lambda x: x.as_strided((3,), (5,), 2).fill_(6),
    "chunk": lambda x: x.chunk(2, 2)[1].zero_(),
    "unbind": lambda x: x.unbind(1)[1].mul_(3),
    "step": lambda x: x[::2, :, ::2].add_(1),
    "expand": lambda x: x[:1].expand(4, 2, 3).add_(1),
    "reshape copy": lambda x: x.permute(2, 0, 1).reshape(-1).zero_(),
    "reshape view": lambda x: x.reshape(-1)[3:5].zero_(),
    "detached": lambda x: x.detach()[0].zero_(),
    "data": lambda x: x.data.view(-1)[5:].add_(1),
    "bits": lambda x: x.view(torch_int(x)).view(-1)[0:1].zero_(),
}


def torch_int(x):
    return torch.int32 if isinstance(x, torch.Tensor) else jaxnn.int32


@pytest.mark.parametrize("case", WRITES)
def test_write_through(case):
    ours, theirs = jaxnn.from_numpy(B.copy()), torch.from_numpy(B.copy())
    errors = []
    for x in (ours, theirs):
        try:
            WRITES[case](x)
            errors.append(None)
        except Exception as error:
            errors.append((type(error), str(error).split(". ")[0]))
    assert errors[0] == errors[1]
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert ours._version > 0 or theirs._version == 0


GRADIENTS = {
    "in place on a view": lambda x, y: x.view(-1)[1:4].mul_(y[:3]),
    "in place on the base": lambda x, y: x.mul_(2),
    "assignment": lambda x, y: x.__setitem__(0, y[:3]),
    "chain": lambda x, y: x.t()[0].copy_(y[:2] * 2),
    "column": lambda x, y: x.__setitem__((slice(None), 1), y[:2]),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradient_through_views(case):
    def program(torch, x, y):
        z = x * 3
        before = z.view(-1)
        GRADIENTS[case](z, y)
        return z * z, before.sum()

    parity(program, X, V)


def test_strides():
    def strides(torch, x):
        views = [
            x, x.permute(2, 0, 1), x[1:, :, ::2], x[2], x[:, None], x[..., None], x.expand(5, 4, 2, 3),
            x.diagonal(0, 1, 2),
            x.unfold(0, 2, 2), x[1].t().unsqueeze(1), x.view(2, 2, 6).transpose(0, 2), x[:, 1:].squeeze(1),
            x.mT.chunk(3, 1)[2],
            x.as_strided((2, 2), (3, 5), 4), x.reshape(4, 6)[:, 2:4], x[:0], x[0, 0, 0], x.view(4, 2, 3, 1),
        ]  # fmt: skip
        return [
            (v.stride(), v.storage_offset(), v.is_contiguous(), v.data_ptr() - x.data_ptr()) for v in views if v.numel()
        ]

    assert strides(jaxnn, jaxnn.from_numpy(B)) == strides(torch, torch.from_numpy(B.copy()))


def test_storage_identity():
    x = jaxnn.from_numpy(B)
    assert x.view(-1).data_ptr() == x.data_ptr() != x.clone().data_ptr()
    assert x[1].untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert x[1:].storage().tolist() == B.reshape(-1).tolist()
    assert x.contiguous() is x and x.view(6, 4)[1:].contiguous()._view is not None


def test_inplace_views():
    def program(torch, x):
        x.unsqueeze_(0)
        x.transpose_(1, 2)
        x.squeeze_()
        x.t_()
        return x

    parity(program, X, grad=False)

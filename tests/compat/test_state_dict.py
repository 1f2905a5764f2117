"""State_dicts between live PyTorch and jaxnn, and through files, without loss."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import compat


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.norm = torch.nn.BatchNorm1d(3)
        self.scale = torch.nn.Parameter(torch.randn(4).to(torch.bfloat16))


def same(ours, theirs):
    assert str(ours.dtype) == str(theirs.dtype) and tuple(ours.shape) == tuple(theirs.shape)
    mine = compat.to_torch(ours)
    assert mine.dtype == theirs.dtype and torch.equal(mine.detach().cpu(), theirs.detach())


def test_a_whole_state_dict_there_and_back():
    theirs = Tied().state_dict()
    ours = compat.from_torch(theirs)
    assert list(ours) == list(theirs) and ours._metadata == theirs._metadata
    for key in theirs:
        same(ours[key], theirs[key])
    ours["embed.weight"][0, 0] = 7
    assert ours["head.weight"][0, 0].item() == 7, "tied weights stay one"
    back = compat.to_torch(ours)
    assert list(back) == list(theirs)
    assert back["embed.weight"].data_ptr() == back["head.weight"].data_ptr()
    assert back["norm.num_batches_tracked"].shape == () and back["norm.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_every_type_and_shape(dtype, shape):
    value = torch.randn(shape).to(dtype) if dtype is not torch.bool else torch.randn(shape) > 0
    same(compat.from_torch(value), value)


def test_strided_views_keep_their_layout():
    base = torch.arange(12.0).reshape(3, 4)
    ours = compat.from_torch([base, base.t(), base[1:, ::2]])
    ours[0].mul_(2)
    assert ours[1].tolist() == (base * 2).t().tolist() and ours[2].tolist() == (base * 2)[1:, ::2].tolist()


def test_parameters_stay_parameters():
    ours = compat.from_torch(torch.nn.Parameter(torch.ones(2)))
    assert type(ours) is jaxnn.nn.Parameter and ours.requires_grad
    assert type(compat.to_torch(ours)) is torch.nn.Parameter


def test_modules_take_pytorchs_state_and_give_it_back():
    torch.manual_seed(3)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    ours = jaxnn.nn.Sequential(jaxnn.nn.Linear(3, 4), jaxnn.nn.BatchNorm1d(4))
    for state in (
        theirs.state_dict(),
        {k: v.numpy() for k, v in theirs.state_dict().items()},
        compat.from_torch(theirs.state_dict()),
    ):
        assert str(ours.load_state_dict(state)) == "<All keys matched successfully>"
        x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        np.testing.assert_allclose(
            ours(jaxnn.from_numpy(x)).detach().numpy(),
            theirs(torch.from_numpy(x)).detach().numpy(),
            rtol=1e-5,
            atol=1e-6,
        )
        theirs.load_state_dict(compat.to_torch(ours.state_dict()))


def test_files_go_both_ways():
    ours = compat.from_torch(Tied().state_dict())
    file = io.BytesIO()
    jaxnn.save(ours, file)
    file.seek(0)
    read = torch.load(file, weights_only=True)
    for key in ours:
        same(ours[key], read[key])
    file = io.BytesIO()
    torch.save(read, file)
    file.seek(0)
    again = jaxnn.load(file)
    assert list(again) == list(ours)
    for key in again:
        same(again[key], read[key])
    again["embed.weight"].zero_()
    assert again["head.weight"].abs().sum().item() == 0


def test_optimizer_state_goes_both_ways():
    torch.manual_seed(0)
    theirs = torch.nn.Linear(3, 2)
    their_optimizer = torch.optim.Adam(theirs.parameters(), lr=0.1)
    ours = jaxnn.nn.Linear(3, 2)
    ours.load_state_dict(theirs.state_dict())
    our_optimizer = jaxnn.optim.Adam(ours.parameters(), lr=0.1)

    def steps(library, model, optimizer):
        for k in range(3):
            optimizer.zero_grad()
            (model(library.ones(4, 3) * (k + 1)) ** 2).sum().backward()
            optimizer.step()

    steps(torch, theirs, their_optimizer)
    ours.load_state_dict(theirs.state_dict())
    our_optimizer.load_state_dict(compat.from_torch(their_optimizer.state_dict()))
    steps(torch, theirs, their_optimizer)
    steps(jaxnn, ours, our_optimizer)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)
    their_optimizer.load_state_dict(compat.to_torch(our_optimizer.state_dict()))
    assert float(their_optimizer.state[theirs.weight]["step"]) == 6

"""`from_torch` and `to_torch` of live modules: classes, weights, ties, modes, attributes, and a user's own forward."""

from __future__ import annotations

import copy
import functools
import sys
import warnings

import numpy as np
import pytest
import torch
from module_db.samples import ROWS, samples, to_ours
from module_db.test_module_db import build, close, tensors
from parity import values

import jaxnn
from jaxnn import compat
from tests.compat import live_models as models


def same_state(ours, theirs, back):
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state) == list(back.state_dict())
    assert ours.state_dict()._metadata == state._metadata == back.state_dict()._metadata
    for key, value in state.items():
        if not isinstance(value, torch.nn.parameter.UninitializedTensorMixin):
            assert torch.equal(back.state_dict()[key], value) and back.state_dict()[key].dtype == value.dtype
            assert values(ours.state_dict()[key]).tobytes() == values(value).tobytes()


@pytest.mark.parametrize("name", ROWS)
def test_every_module_there_and_back(name):
    dtype = torch.float64 if "Fractional" in name else torch.float32
    constructor, (args, kwargs) = samples(ROWS[name], dtype, True, 1)[0]
    theirs = build(torch, ROWS[name], constructor).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = compat.from_torch(theirs)
        back = compat.to_torch(ours)
    assert type(back) is type(theirs) and type(ours) is getattr(jaxnn.nn, type(theirs).__name__)
    assert repr(ours) == repr(theirs) == repr(back) and set(vars(back)) == set(vars(theirs))
    results = []
    for face, module, given in (
        (jaxnn, ours, to_ours((args, kwargs))), (torch, theirs, (args, kwargs)), (torch, back, (args, kwargs))
    ):  # fmt: skip
        face.manual_seed(0)
        with warnings.catch_warnings(), face.no_grad():
            warnings.simplefilter("ignore")
            results.append(tensors(module(*given[0], **given[1])))
    close(results[0], results[1], dtype, name)
    close(results[2], results[1], dtype, name)
    same_state(ours, theirs, back)


def loss_and_gradients(face, module, *args, **kwargs):
    module.zero_grad()
    results = tensors(module(*args, **kwargs))
    sum((t.float() ** 2).sum() for t in results if t.requires_grad).backward()
    return results, [p.grad for p in module.parameters()]


X = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
SEQUENCE = np.random.default_rng(1).normal(size=(2, 5, 8)).astype(np.float32)
TOKENS = np.array([[1, 2, 3, 4], [5, 6, 7, 10]])
CASES = {
    "cnn": (models.SmallResNet, (X,)),
    "transformer": (lambda: torch.nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True), (SEQUENCE, SEQUENCE[:, :3])),
    "language model": (models.TiedLanguageModel, (TOKENS,)),
    "own": (models.OwnTransformer, (SEQUENCE,)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_models(name, training):
    make, inputs = CASES[name]
    torch.manual_seed(0)
    theirs = make().train(training)
    theirs_before = copy.deepcopy(theirs)
    ours = compat.from_torch(theirs)
    assert str(ours) == str(theirs) and isinstance(ours, jaxnn.nn.Module)
    same_state(ours, theirs_before, theirs)
    results, gradients = loss_and_gradients(torch, theirs, *map(torch.from_numpy, inputs))
    mine, my_gradients = loss_and_gradients(jaxnn, ours, *map(jaxnn.from_numpy, inputs))
    close(mine, results, torch.float32, "result")
    for a, b in zip(my_gradients, gradients, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5 * max(1, b.abs().max().item()))
    back = compat.to_torch(ours)  # with the statistics as they are after the call
    assert type(back) is type(theirs)
    assert [n for n, _ in back.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [m.training for m in back.modules()] == [m.training for m in theirs.modules()]
    again, _ = loss_and_gradients(torch, back, *map(torch.from_numpy, inputs))
    if not training:
        close(again, results, torch.float32, "result there and back")


def test_a_users_class_is_left_alone():
    before = dict(vars(models.OwnTransformer)), dict(vars(models)), dict(sys.modules)
    theirs = models.OwnTransformer()
    ours = compat.from_torch(theirs)
    result = ours(jaxnn.from_numpy(SEQUENCE), return_all=True)
    assert type(ours) is not models.OwnTransformer and type(ours).__qualname__ == "OwnTransformer"
    assert not isinstance(ours, torch.nn.Module) and isinstance(ours.blocks[0].qkv, jaxnn.nn.Linear)
    assert dict(vars(models.OwnTransformer)) == before[0] and dict(vars(models)) == before[1]
    assert all(sys.modules[k] is v for k, v in before[2].items())
    assert type(result).__name__ == "Output" and result.hidden.dtype is jaxnn.float64
    first = ours.blocks[0]
    assert ours.blocks[1].norm is first.norm and first.by_name["pre"] is first.norm, "ties stay ties"
    assert first.config.dtype is jaxnn.float32 and first.config is ours.blocks[1].config and theirs.blocks[0].config.dtype is torch.float32
    assert first.head_width == 4 and first.qkv.seen.item() == 1 and "scratch" not in first.qkv.state_dict()
    assert theirs.blocks[0].qkv.seen.item() == 0
    assert type(compat.to_torch(ours)) is models.OwnTransformer
    assert copy.deepcopy(ours)(jaxnn.from_numpy(SEQUENCE)).shape == (2, 5, 8)


def test_values_modes_and_gradients():
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.3)).to(torch.bfloat16)
    theirs[1].eval()
    theirs[0].weight.requires_grad_(False)
    theirs[0].bias.grad = torch.ones(2, dtype=torch.bfloat16)
    ours = compat.from_torch({"model": theirs, "other": [theirs[0], None, 3]})
    assert ours["other"][0] is ours["model"][0] and ours["other"][1:] == [None, 3]
    ours = ours["model"]
    assert ours[0].weight.dtype is jaxnn.bfloat16 and not ours[0].weight.requires_grad
    assert ours[0].bias.grad.tolist() == [1.0, 1.0] and not ours[1].training and ours.training
    assert type(ours[1].running_mean).__name__ == "BatchStat" and ours[1].num_batches_tracked.dtype is jaxnn.int64
    theirs[0].bias.data.zero_()
    assert ours[0].bias.abs().sum().item() > 0, "memory is not shared between the libraries"
    meta = compat.from_torch(torch.nn.Linear(3, 2, device="meta"))
    assert meta.weight.is_meta and compat.to_torch(meta).weight.is_meta


@pytest.mark.parametrize("kind", ["orthogonal", "weight_norm hook", "spectral_norm hook", "prune", "weight_norm", "spectral_norm", "own"])
def test_reparametrized_layers(kind):
    from torch.nn import utils

    class Symmetric(torch.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

    torch.manual_seed(1)
    layer = torch.nn.Linear(4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {
            "weight_norm hook": lambda: utils.weight_norm(layer),
            "spectral_norm hook": lambda: utils.spectral_norm(layer),
            "prune": lambda: utils.prune.l1_unstructured(layer, "weight", 0.5),
            "orthogonal": lambda: utils.parametrizations.orthogonal(layer),
            "weight_norm": lambda: utils.parametrizations.weight_norm(layer),
            "spectral_norm": lambda: utils.parametrizations.spectral_norm(layer),
            "own": lambda: utils.parametrize.register_parametrization(layer, "weight", Symmetric()),
        }[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = compat.from_torch(theirs)
        back = compat.to_torch(ours)
    assert repr(ours) == repr(theirs) == repr(back)
    same_state(ours, theirs, back)
    x = SEQUENCE[:, :, :4]
    for _ in range(2):
        results, gradients = loss_and_gradients(torch, theirs, torch.from_numpy(x))
        for face, module in ((jaxnn, ours), (torch, back)):
            mine, my_gradients = loss_and_gradients(face, module, face.from_numpy(x.copy()))
            close(mine, results, torch.float32, kind)
            for a, b in zip(my_gradients, gradients, strict=True):
                np.testing.assert_allclose(a.detach().numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


class Unknown(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2))
        self.sparse = torch.eye(2).to_sparse()
        self.quantized = torch.ao.nn.quantized.Linear(2, 2)


def test_what_cannot_be_carried_over_is_named_at_once():
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 2), Unknown())
    theirs[0].register_forward_hook(lambda m, i, o: o + 1)
    with pytest.raises(compat.ConversionError) as raised:
        compat.from_torch(theirs)
    text = str(raised.value)
    for part in ("1.inner: a", "1.sparse: a torch.sparse_coo tensor", "1.quantized: jaxnn lacks torch.ao", "0: the forward hook"):
        assert part in text, text
    assert isinstance(raised.value, TypeError) and len(raised.value.problems) >= 3


class UsesMissing(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 1e9:
            return torch.sparse_bsr_tensor(self, x)
        return torch.relu(x)


def test_what_is_left_behind_is_warned_of_once():
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 2), UsesMissing())
    theirs.register_forward_pre_hook(lambda m, i: None)
    theirs.register_load_state_dict_pre_hook(lambda *a: None)
    theirs[0].weight.register_hook(lambda g: g)
    theirs[0].last = theirs[0](torch.ones(1, 2))
    with pytest.warns(UserWarning) as warned:
        ours = compat.from_torch(theirs)
    assert len(warned) == 1
    text = str(warned[0].message)
    assert "the forward_pre hook" in text and "the load_state_dict_pre hook" in text and "0.weight: the hook" in text
    assert "torch.sparse_bsr_tensor" in text and "graph of the tensor last" in text, text
    assert ours(jaxnn.ones(1, 2)).shape == (1, 2)


ODD = {
    "lambda": lambda: models.Call(lambda x: x.relu() + torch.ones_like(x)),
    "partial": lambda: models.Call(functools.partial(torch.nn.functional.leaky_relu, negative_slope=0.3)),
    "method": lambda: models.Call(torch.Tensor.exp),
    "cached function": lambda: models.Call(lambda x: x + models.table(4)),
    "scripted function": lambda: models.Call(models.doubled),
    "object with slots": lambda: models.Call(models.Slots()),
    "metaclass": models.WithMeta,
    "function with a gradient": lambda: models.Call(lambda x: models.Scale.apply(x, 3.0)),
    "data parallel": lambda: torch.nn.DataParallel(torch.nn.Linear(4, 4)),
    "everything else": models.Odd,
    "compiled": lambda: torch.compile(torch.nn.Linear(4, 4), backend="eager"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_members(name):
    theirs = ODD[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = compat.from_torch(theirs)
        back = compat.to_torch(ours)
    x = SEQUENCE[0, :2, :4].copy()
    results = [face.no_grad()(module)(face.from_numpy(x)) for face, module in ((jaxnn, ours), (torch, theirs), (torch, back))]
    close(results[:1], results[1:2], torch.float32, name)
    assert torch.equal(results[1], results[2]) and (type(back) is type(theirs) or name == "compiled")
    assert list(models.Registered.registry.values()) == [models.Odd]


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_optimizer_goes_on(name):
    def step(face, module, optimizer):
        optimizer.zero_grad()
        module(face.from_numpy(SEQUENCE[:, 0].copy())).square().sum().backward()
        optimizer.step()

    theirs = torch.nn.Linear(8, 4)
    groups = [{"params": [theirs.weight], "lr": 0.01}, {"params": [theirs.bias]}]
    optimizer = getattr(torch.optim, name)(groups, lr=0.1, weight_decay=0.1)
    step(torch, theirs, optimizer)
    ours, its = compat.from_torch((theirs, optimizer))
    back, backs = compat.to_torch((ours, its))
    assert repr(its) == repr(optimizer) == repr(backs) and type(its) is getattr(jaxnn.optim, name)
    for face, module, its_optimizer in ((torch, theirs, optimizer), (jaxnn, ours, its), (torch, back, backs)):
        step(face, module, its_optimizer)
    close([ours.weight, ours.bias], [theirs.weight, theirs.bias], torch.float32, name)
    assert torch.equal(back.weight, theirs.weight)
    with pytest.raises(compat.ConversionError, match=r"StepLR: make one of jaxnn's"):
        compat.from_torch(torch.optim.lr_scheduler.StepLR(optimizer, 1))


class OursOwn(jaxnn.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = jaxnn.nn.Conv1d(2, 3, 3, padding="same")

    def forward(self, x):
        return jaxnn.nn.functional.gelu(self.layer(x), approximate="tanh").mean(dim=-1)


def test_a_module_written_for_jaxnn_becomes_one_of_pytorch():
    ours = OursOwn()
    theirs = compat.to_torch(ours)
    assert isinstance(theirs, torch.nn.Module) and type(theirs).__name__ == "OursOwn"
    x = np.ones((1, 2, 6), np.float32)
    close([ours(jaxnn.from_numpy(x))], [theirs(torch.from_numpy(x))], torch.float32, "result")
    assert type(compat.from_torch(theirs)) is OursOwn

"""Modules that are computed again in the backward, or keep what it needs on the CPU: wrappers beside PyTorch's."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import torch.distributed.algorithms._checkpoint.checkpoint_wrapper
import torch.distributed.fsdp.wrap

import jaxnn
import jaxnn.distributed.algorithms._checkpoint.checkpoint_wrapper
import jaxnn.distributed.fsdp.wrap


def run(torch, case):
    """What is seen of a case on a library: names, texts, numbers."""
    nn, w = torch.nn, torch.distributed.algorithms._checkpoint.checkpoint_wrapper
    calls = []

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.scale = nn.Linear(4, 8), nn.Linear(8, 4), 2.0

        def forward(self, x, *, shift=None, times=1):
            calls.append(times)
            x = x + self.fc2(torch.tanh(self.fc1(x))) * times
            return x if shift is None else x + shift

    def plain(module, *args, **kwargs):
        return module(*args, **kwargs) * 1

    torch.manual_seed(0)
    model = nn.Sequential(Block(), nn.Sequential(nn.Tanh(), Block()), nn.Linear(4, 2))
    x, shift = torch.arange(12.0).reshape(3, 4) / 10, torch.ones(4) * 0.1
    x.requires_grad_()
    shift.requires_grad_()
    extra = {}
    if case == "applied":
        w.apply_activation_checkpointing(model, check_fn=lambda m: isinstance(m, Block))
    elif case == "all":
        w.apply_activation_checkpointing(model)
    elif case == "policy":
        wrapper = functools.partial(w.checkpoint_wrapper, checkpoint_impl=w.CheckpointImpl.REENTRANT)
        policy = torch.distributed.fsdp.wrap.ModuleWrapPolicy([Block])
        w.apply_activation_checkpointing(model, checkpoint_wrapper_fn=wrapper, auto_wrap_policy=policy)
    elif case == "keywords":
        model = nn.Sequential(w.checkpoint_wrapper(Block(), w.CheckpointImpl.REENTRANT), model)
        extra = {"shift": shift, "times": 3}
    elif case == "function":
        model[0] = w.checkpoint_wrapper(model[0], checkpoint_fn=plain)
    elif case == "kept elsewhere":
        model[0] = w.offload_wrapper(model[0])
    y = model[1](model[0](x, **extra)) if extra else model(x)
    y.square().sum().backward()
    first = model[0]
    seen = {
        "y": y, "x": x.grad, "shift": shift.grad, **{f"gradient {n}": p.grad for n, p in model.named_parameters()},
    }  # fmt: skip
    texts = [repr(model), list(model.state_dict()), [n for n, _ in model.named_modules()]]
    if case != "all":  # there PyTorch stops early
        texts.append(len(calls))
    texts += [[n for n, _ in first.named_parameters()], getattr(first, "scale", None), type(first).__mro__[1].__name__]
    texts.append(str(getattr(first, "checkpoint_impl", None)))
    texts.append(str(model.load_state_dict({k: v * 2 for k, v in model.state_dict().items()})))
    seen |= {f"loaded {n}": p for n, p in model.named_parameters()}
    for bad in (lambda: first.nothing, lambda: w.ActivationWrapper(Block())):
        try:
            bad()
        except Exception as error:
            texts.append([type(error).__name__, str(error)[:60]])
    return {k: None if v is None else v.detach().tolist() for k, v in seen.items()}, texts


@pytest.mark.parametrize("case", ["applied", "all", "policy", "keywords", "function", "kept elsewhere"])
def test_wrapped_modules(case):
    (theirs, their_texts), (ours, texts) = run(torch, case), run(jaxnn, case)
    assert texts == their_texts
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if value is None:
            assert ours[name] is None, name
        else:
            np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-6, err_msg=name)

"""``memory_format=``: strides and contiguity as PyTorch's, values and gradients the same."""

import copy
import io

import numpy as np
import pytest
import torch

import jaxnn

PROGRAMS = []


def program(f):
    PROGRAMS.append(f)
    return f


def seen(t, x):
    formats = (t.contiguous_format, t.channels_last, t.channels_last_3d)
    return x.tolist(), tuple(x.stride()), [x.is_contiguous(memory_format=f) for f in formats], x.storage_offset()


@program
def conversions(t):
    x = t.arange(24.0).view(1, 2, 3, 4)
    last = t.channels_last
    made = [
        x.contiguous(memory_format=last), x.to(memory_format=last), x.clone(memory_format=last), x.double().float(memory_format=last),
        x.to(t.float64, memory_format=last), x.cpu(memory_format=last),
    ]  # fmt: skip
    y = made[0]
    made += [y.contiguous(), y[0], y[:, 1:], y.permute(0, 2, 3, 1), y.transpose(1, 2), y.narrow(2, 0, 2)]
    made += [y.permute(0, 2, 3, 1).reshape(3, 8), y.reshape(-1), t.empty_like(y), y.contiguous(memory_format=last)]
    return [seen(t, m) for m in made[:-2]], made[-2].stride(), made[-1] is y, x.to(memory_format=t.preserve_format) is x


@program
def three_dimensions(t):
    x = t.arange(48.0).view(1, 2, 2, 3, 4).contiguous(memory_format=t.channels_last_3d)
    return seen(t, x), seen(t, x[0])


@program
def factories(t):
    made = [f(2, 3, 4, 5, memory_format=t.channels_last) if f is t.empty else f(t.empty(2, 3, 4, 5), memory_format=t.channels_last)
            for f in (t.empty, t.zeros_like, t.ones_like, t.empty_like)]  # fmt: skip
    return [(m.stride(), tuple(m.shape)) for m in made], t.full_like(made[0], 2.0, memory_format=t.contiguous_format).stride()


@program
def strides_along_single_places(t):
    """Where a size is 1 the order is either; `to` gives the strides of the format that it was asked for, `contiguous` does not."""
    last = t.channels_last
    shapes = [(2, 1, 4, 5), (2, 3, 1, 1), (1, 3, 4, 5), (1, 1, 1, 1), (2, 3, 1, 5), (2, 1, 1, 5)]
    made = [t.zeros(shape) for shape in shapes]
    return [(x.to(memory_format=last).stride(), x.contiguous(memory_format=last).stride(), x.to(memory_format=last).is_contiguous(),
             x.to(memory_format=last).to(memory_format=last).stride()) for x in made]  # fmt: skip


@program
def memory_is_shared(t):
    x = t.zeros(1, 2, 2, 2).contiguous(memory_format=t.channels_last)
    y = x.permute(0, 2, 3, 1).view(-1)
    y[1] = 5
    x.add_(1)
    return x.tolist(), y.tolist(), x.data_ptr() == y.data_ptr(), t.as_strided(x, (4,), (2,)).tolist()


@program
def saved(t):
    x = t.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=t.channels_last)
    file = io.BytesIO()
    t.save(x, file)
    file.seek(0)
    return seen(t, t.load(file)), seen(t, copy.deepcopy(x))


@program
def errors(t):
    found = []
    for f in (
        lambda: t.ones(2, 3).to(memory_format=t.channels_last), lambda: t.ones(2).contiguous(memory_format=t.channels_last_3d),
        lambda: t.ones(2, 2, 2, 2).to(memory_format=t.channels_last).view(-1, 2),
        lambda: t.nn.Conv3d(1, 1, 1).to(memory_format=t.channels_last),
    ):  # fmt: skip
        try:
            found.append(f().stride())
        except Exception as error:
            found.append((type(error), str(error).split(".")[0]))
    return found


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_same_as_pytorch(f):
    assert f(jaxnn) == f(torch)


def trained(t):
    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Conv2d(2, 3, 3), t.nn.BatchNorm2d(3), t.nn.ReLU(), t.nn.Flatten(), t.nn.Linear(12, 2))
    net = net.to(memory_format=t.channels_last)
    optimizer = t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x = t.arange(2 * 2 * 4 * 4.0).view(2, 2, 4, 4).div(64).to(memory_format=t.channels_last)
    strides = [tuple(p.stride()) for p in net.parameters()]
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = net(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    after = [tuple(p.stride()) for p in net.parameters()]
    return strides, after, losses, [v.detach().numpy() for v in net.state_dict().values()]


def test_a_network_trains_in_channels_last():
    (strides, after, losses, state), (their_strides, their_after, their_losses, their_state) = trained(jaxnn), trained(torch)
    assert strides == their_strides and after == their_after
    np.testing.assert_allclose(losses, their_losses, rtol=1e-5)
    for a, b in zip(state, their_state, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

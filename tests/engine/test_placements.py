"""Operands of different placements: what is brought together keeps its gradient, which arrives where the operand is.

A process of its own has two devices; without devices of its own, PyTorch runs the same program on one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch


def scalar_beside_a_mesh(torch, here, there):
    s, w = torch.nn.Parameter(torch.tensor(2.0)), there(torch.arange(4.0)).requires_grad_()
    (w * s * there(torch.ones(4))).sum().backward()
    return [s.grad, w.grad]


def tensor_beside_a_mesh(torch, here, there):
    x, w = torch.arange(4.0).requires_grad_(), there(torch.arange(4.0)).requires_grad_()
    (x.exp() * w).sum().backward()
    return [x.grad, w.grad]


def view_of_a_result(torch, here, there):
    x, w = torch.arange(4.0).view(2, 2).requires_grad_(), there(torch.arange(4.0)).requires_grad_()
    h = (x * x).t()
    (h.reshape(4) * w + h[0].sum()).sum().backward()
    return [x.grad, w.grad]


def list_of_operands(torch, here, there):
    x, w = torch.ones(2, requires_grad=True), there(torch.ones(2)).requires_grad_()
    torch.cat([x * 3, w, x]).pow(2).sum().backward()
    return [x.grad, w.grad]


def back_and_forth(torch, here, there):
    """The walk passes a recording of each placement twice."""
    x, w = torch.arange(1.0, 5.0).requires_grad_(), there(torch.arange(1.0, 5.0)).requires_grad_()
    h = x * x
    y = w * h
    z = y * y
    z = z * h
    (z.sum() + (w * w).sum()).backward()
    return [x.grad, w.grad]


def twice(torch, here, there):
    x, w = torch.arange(1.0, 5.0).requires_grad_(), there(torch.arange(1.0, 5.0)).requires_grad_()
    (g,) = torch.autograd.grad((x**3 * w).sum(), x, create_graph=True)
    g.sum().backward()
    return [g, x.grad, w.grad]


def hooks(torch, here, there):
    log = []
    x, w = torch.arange(1.0, 5.0).requires_grad_(), there(torch.ones(4)).requires_grad_()
    h = x * 2
    h.register_hook(lambda g: log.append(g) or g * 10)
    (h * w).sum().backward()
    return [x.grad, w.grad, *log]


def one_parameter_moved(torch, here, there):
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanh(), torch.nn.Linear(2, 2))
    for k, p in enumerate(model.parameters()):
        p.data.copy_((torch.arange(float(p.numel())) / 40 - k / 20).view(p.shape))
    model[0].weight.data = there(model[0].weight.data)
    made = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        made.zero_grad()
        model(torch.ones(3, 4)).pow(2).sum().backward()
        made.step()
    return [p.grad for p in model.parameters()] + [p.detach() for p in model.parameters()]


def scalars_of_another_device(torch, here, there):
    s, w = torch.nn.Parameter(torch.tensor(2.0)), torch.ones(4).to(here).requires_grad_()
    (w * s + s).sum().backward()
    return [s.grad, w.grad]


PROGRAMS = [
    scalar_beside_a_mesh, tensor_beside_a_mesh, view_of_a_result, list_of_operands, back_and_forth, twice, hooks,
    one_parameter_moved, scalars_of_another_device,
]  # fmt: skip

PLACEMENTS = ["split", "replicated"]


def run_all(torch, here, there):
    """Every program's results as lists."""
    return {f.__name__: [t.detach().tolist() for t in f(torch, here, there)] for f in PROGRAMS}


def _here():
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    import jaxnn

    devices = jax.devices()
    mesh = Mesh(np.array(devices), ("d",))
    found = {}
    for name, spec in zip(PLACEMENTS, (PartitionSpec("d"), PartitionSpec()), strict=True):
        found[name] = run_all(jaxnn, devices[1], lambda t, spec=spec: t.to(NamedSharding(mesh, spec)))
    x, y = jaxnn.ones(3, requires_grad=True), jaxnn.ones(3).to(devices[1])
    try:
        x * y
    except RuntimeError as error:
        found["refused"] = str(error)
    print(json.dumps(found))


@pytest.fixture(scope="module")
def ours():
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", "from tests.engine.test_placements import _here; _here()"],
        env=flags, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gradients_arrive(ours, placement):
    theirs = run_all(torch, "cpu", lambda t: t)
    assert list(ours[placement]) == list(theirs)
    for name, tensors in theirs.items():
        for a, b in zip(ours[placement][name], tensors, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, err_msg=name)


def test_two_devices_are_refused(ours):
    assert "Expected all tensors to be on the same device" in ours["refused"]

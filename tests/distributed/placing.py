"""Rules, factories, meshes, DTensors and checkpoints on 8 devices: run by `test_placing` in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from jax.sharding import PartitionSpec as P

import jaxnn as torch
import jaxnn.distributed.checkpoint as dcp
from jaxnn import nn
from jaxnn.core.record.recorder import value_of
from jaxnn.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from jaxnn.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from jaxnn.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor, init_device_mesh
from jaxnn.utils.sharding import abstract_state, place, specs

FOLDER = Path(sys.argv[-1])
grid = init_device_mesh("cpu", (2, 4), mesh_dim_names=("data", "model"))
S = grid.sharding


def spec(t):
    return value_of(t).sharding.spec


def refused(kind, f):
    try:
        f()
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} is not raised")


def factories():
    torch.manual_seed(0)
    here = nn.Linear(8, 16)
    torch.manual_seed(0)
    there = nn.Linear(8, 16, device=S("model"))
    assert torch.equal(here.weight, there.weight) and spec(there.weight) == P("model")
    for t in (torch.zeros(8, device=S("data")), torch.rand(8, device=S("data")), torch.arange(8, device=S("data"))):
        assert spec(t) == P("data")
    assert spec(torch.zeros_like(there.weight)) == P("model")
    torch.set_default_device(S("data"))
    assert spec(torch.ones(4)) == P("data")
    torch.set_default_device(None)
    torch.save({"w": torch.ones(8)}, FOLDER / "w.pt")
    assert spec(torch.load(FOLDER / "w.pt", map_location=S("data"))["w"]) == P("data")
    assert "cannot be divided into 2" in refused(ValueError, lambda: torch.zeros(7, device=S("data")))


def rules():
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def step():
        optimizer.zero_grad()
        model(torch.ones(4, 8)).pow(2).sum().backward()
        optimizer.step()

    step()
    before = list(model.parameters())
    table = {r"0\.weight": P("model", None), r"2\.weight": P(None, "model")}
    for asked in (table, S(), table):
        place(model, asked, grid.jax_mesh if asked is table else None)
        wanted = [P("model", None), P(), P(None, "model"), P()] if asked is table else [P()] * 4
        assert list(specs(model).values()) == wanted
        step()
        for p, w in zip(model.parameters(), wanted, strict=True):
            kept = [v for k, v in optimizer.state[p].items() if k != "step"]
            assert all(spec(t) == w for t in (p, p.grad, *kept)), (spec(p), w)
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    wrong = [({"nothing": P()}, "matches no tensor"), ({"0.weight": P("nope")}, "the mesh has"), ({"0.bias": P(None, "data")}, "entries")]
    for bad, said in wrong:
        assert said in refused(ValueError, lambda bad=bad: place(model, bad, grid.jax_mesh))
    flax = place(nnx.Linear(8, 16, rngs=nnx.Rngs(0)), {"kernel": P(None, "model")}, grid.jax_mesh)
    assert flax.kernel[...].sharding.spec == P(None, "model")


def abstract():
    """Saved on 8 devices, restored by Orbax on 4 from a model without values."""
    model = place(nn.Linear(8, 16), {"weight": P(("data", "model"), None)}, grid.jax_mesh)
    few = init_device_mesh("cpu", (4,), mesh_dim_names=("model",))
    empty = place(nn.Linear(8, 16, device="meta"), {"weight": P("model", None)}, few.jax_mesh)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(FOLDER / "state", nnx.state(model))
        checkpointer.wait_until_finished()
        found = checkpointer.restore(FOLDER / "state", target=abstract_state(empty))
    nnx.update(empty, found)
    assert len(value_of(empty.weight).sharding.device_set) == 4 and torch.equal(empty.weight.cpu(), model.weight.cpu())


def surface():
    x = distribute_tensor(torch.arange(32.0).view(8, 4), grid, [Shard(0), Replicate()])
    assert isinstance(x, DTensor) and isinstance(x + 1, DTensor) and not isinstance(torch.ones(2), DTensor)
    assert x.placements == (Shard(0), Replicate()) and x.device_mesh == grid and not hasattr(torch.ones(2), "placements")
    assert x.redistribute(placements=[Replicate(), Shard(1)]).placements == (Replicate(), Shard(1))
    assert repr(x).startswith("DTensor(local_tensor=tensor([[ 0.") and repr(x).endswith(
        "device_mesh=DeviceMesh((data=2, model=4), 'cpu', stride=(4, 1)), placements=(Shard(dim=0), Replicate()))"
    )
    assert "from S(0) to P(sum)" in refused(RuntimeError, lambda: x.redistribute(placements=[Partial(), Replicate()]))
    y = DTensor.from_local(torch.ones(4), grid, [Partial(), Replicate()])
    assert y.placements == (Partial(), Replicate()) and y.to_local().tolist() == y.full_tensor().tolist() == [1.0] * 4
    assert "found 16 ranks" in refused(RuntimeError, lambda: init_device_mesh("cpu", (16,)))
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 8))
    fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    assert model[0].weight.placements == (Shard(0),)
    model.to_empty(device="cpu")
    for layer in model:
        layer.reset_parameters()
    out = model(torch.ones(8, 8))
    out.sum().backward()
    assert out.dtype is torch.bfloat16 and model[0].weight.grad.dtype is torch.float32
    assert model[0].weight.grad.placements == (Shard(0),) and type(model).__name__ == "FSDPSequential"


def checkpoints():
    def make(devices, seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8))
        if devices > 1:
            fully_shard(model, mesh=init_device_mesh("cpu", (devices,)))
        return model, torch.optim.AdamW(model.parameters(), 1e-2)

    def train(model, optimizer):
        losses = []
        for _ in range(2):
            optimizer.zero_grad()
            loss = model(torch.ones(8, 8)).pow(2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    model, optimizer = make(8, 0)
    train(model, optimizer)
    weights, states = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": states, "step": 3}, checkpoint_id=FOLDER / "dcp")
    future = dcp.async_save({"model": model, "optimizer": optimizer}, checkpoint_id=FOLDER / "async")
    wanted = train(model, optimizer)
    future.result()
    for devices in (4, 1):
        again, its = make(devices, 1)
        weights, states = get_state_dict(again, its)
        state = {"model": weights, "optimizer": states, "step": 0}
        dcp.load(state, checkpoint_id=FOLDER / "dcp")
        set_state_dict(again, its, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        assert state["step"] == 3
        np.testing.assert_allclose(train(again, its), wanted, rtol=1e-5)
    again, its = make(2, 1)
    dcp.load({"model": again, "optimizer": its}, checkpoint_id=FOLDER / "async")
    np.testing.assert_allclose(train(again, its), wanted, rtol=1e-5)
    assert again[0].weight.placements == (Shard(0),)


if __name__ == "__main__":
    assert len(jax.devices()) == 8
    for part in (factories, rules, abstract, surface, checkpoints):
        part()
    print("done")

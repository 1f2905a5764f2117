"""Eight CPU devices in one process: models on different shardings take turns. Writes what it saw as JSON."""

import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxnn as torch
from jaxnn import nn

mesh, other = jax.make_mesh((8,), ("d",)), jax.make_mesh((4, 2), ("a", "b"))  # with explicit axes, as make_mesh has them
everywhere, rows = NamedSharding(mesh, P()), NamedSharding(mesh, P("d"))
seen = {}


def make(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 8))


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(16, 16, generator=generator), torch.randint(0, 8, (16,), generator=generator)


def train(model, opt, where=None, steps=range(4)):
    losses = []
    for k in steps:
        x, y = batch(k) if where is None else [t.to(where) for t in batch(k)]
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return losses


def specs(model, opt):
    """How parameters and what the optimizer keeps of them are spread."""
    tensors = [*model.parameters(), *(v for p in model.parameters() for v in opt.state[p].values() if v.shape == p.shape)]
    return sorted({str(getattr(torch.nn.Parameter(t.detach())._raw_value.sharding, "spec", None)) for t in tensors})


def adam(model):
    return torch.optim.Adam(model.parameters(), 0.01)


plain = make()
opt = adam(plain)
seen["one device"] = [train(plain, opt), train(plain, opt, steps=range(4, 8)), specs(plain, opt)]
models = {}
for name, where in (("everywhere", everywhere), ("rows", rows)):
    model = make().to(where)
    models[name] = model, adam(model)
    seen[name] = [train(*models[name], rows)]
for name in ("everywhere", "rows"):  # each goes on after the other
    before = torch.engine_statistics()["compiled"]
    seen[name] += [train(*models[name], rows, range(4, 8)), specs(*models[name])]
    seen[name].append(torch.engine_statistics()["compiled"] - before)
models["everywhere"][0].to(rows)
train(*models["everywhere"], rows)
seen["moved"] = specs(*models["everywhere"])

model = make().to(everywhere)
x = batch(0)[0].to(rows)
sums = [model(x).sum().item()]
for first, second in ((mesh, other), (other, mesh)):
    with jax.set_mesh(first):
        out = model(x)
    with jax.set_mesh(second):
        sums.append(out.sum().item())
seen["contexts"] = sums

masks = []
for net in (make(0.5), make(0.5).to(everywhere)):
    torch.manual_seed(7)
    masks.append(net(batch(0)[0]).sum().item())
seen["dropout"] = masks

wide = nn.DataParallel(make(), device_ids=jax.devices())
where = wide(batch(0)[0])._storage.aval.placement
seen["data parallel"] = [train(wide, adam(wide)), f"{where.platform}:{where.id}", list(wide.state_dict())[0]]
t = torch.arange(16.0).to(rows)
seen["printed"] = [repr(t), t.tolist(), t[3].item(), str(t.device)]

with open(sys.argv[1], "w") as f:
    json.dump(seen, f)

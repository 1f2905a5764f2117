"""One model trained on all devices in every way: run by `test_sharded_training`, in a process with 8 devices and in two with 2 each.

Writes JSON to ``FOLDER/NUMBER_OF_PROCESSES-RANK.json``: for each way the losses, how parameters, gradients and states lie, what was
compiled, and the collectives of the step's program. The one process leaves a checkpoint, which the two read.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxnn as torch
import jaxnn.distributed as dist
import jaxnn.distributed.checkpoint as dcp
import jaxnn.nn.functional as F
from jaxnn import nn
from jaxnn.core.record.recorder import value_of
from jaxnn.distributed.fsdp import fully_shard
from jaxnn.distributed.tensor import DeviceMesh, DTensor, Shard, init_device_mesh
from jaxnn.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from jaxnn.utils.sharding import place
from tests.distributed.models import GPT

VOCABULARY, WIDTH, LENGTH, STEPS = 64, 32, 16, 20
compiled = [0]
programs: list[str] = []


def count(name, *args, **kwargs):
    compiled[0] += name == "/jax/core/compile/backend_compile_duration"


def keeping(compile):
    def run(self, *args, **kwargs):
        made = compile(self, *args, **kwargs)
        programs.append(made.as_text())
        return made

    return run


DEVICES, PROCESSES, RANK = len(jax.devices()), jax.process_count(), jax.process_index()
FOLDER = Path(sys.argv[-1])
flat = init_device_mesh("cpu", (DEVICES,), mesh_dim_names=("dp",))
grid = init_device_mesh("cpu", (2, DEVICES // 2), mesh_dim_names=("dp", "tp"))


def one(model):
    return None


def replicated(model):
    model.to(flat.sharding())
    return flat.sharding("dp")


def fsdp(model):
    for block in model.blocks:
        fully_shard(block, mesh=flat)
    fully_shard(model, mesh=flat)
    return flat


def by_rules(model):
    rules = {r".*(qkv|fc1)\.weight": P("tp", None), r".*(proj|fc2)\.weight": P(None, "tp"), r".*(qkv|fc1)\.bias": P("tp")}
    place(model, rules, grid.jax_mesh)
    return grid.sharding("dp")


def tensor_parallel(model):
    columns, rows = ColwiseParallel(), RowwiseParallel()
    parallelize_module(model, grid["tp"], {"blocks.*.qkv": columns, "blocks.*.fc1": columns, "blocks.*.proj": rows, "blocks.*.fc2": rows})
    fully_shard(model, mesh=grid["dp"])
    return grid["dp"]


def lies(t):
    sharding = getattr(value_of(t), "sharding", None)
    if not isinstance(sharding, NamedSharding):
        return "one device"
    spec = [x if isinstance(x, str) or x is None else list(x) for x in sharding.spec]
    return str(spec + [None] * (t.dim() - len(spec)))


KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def collectives(text):
    """How often each collective stands in a program, and how many elements the all-reduces take."""
    found: Counter = Counter()
    reduced = 0
    for line in text.splitlines():
        for kind in KINDS:
            results, is_call, _ = line.partition(f" {kind}(")
            if not is_call:
                continue
            found[kind] += 1
            if kind == "all-reduce":
                reduced += sum(math.prod(map(int, filter(None, s.split(",")))) for s in re.findall(r"\w+\[([\d,]*)\]", results))
    return {**found, "reduced": reduced}


def batch(generator, where):
    """The same batch in all processes, put where the way wants it."""
    x, y = (torch.randint(0, VOCABULARY, (8, LENGTH), generator=generator) for _ in range(2))
    if isinstance(where, DeviceMesh):  # of two processes each has its rows
        return [DTensor.from_local(t.chunk(PROCESSES)[RANK], where, [Shard(0)]) for t in (x, y)]
    return (x, y) if where is None else (x.to(where), y.to(where))


def steps(model, optimizer, generator, where, count):
    """Losses, and how many programs were compiled until the end of each step."""
    losses, at = [], []
    for _ in range(count):
        x, y = batch(generator, where)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).view(-1, VOCABULARY), y.view(-1))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        at.append(compiled[0])
    return losses, at


def train(way):
    torch.manual_seed(0)
    model = GPT(VOCABULARY, WIDTH, LENGTH)
    where = way(model)
    asked = {n: lies(p) for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    programs.clear()
    torch.reset_engine_statistics()
    losses, at = steps(model, optimizer, torch.Generator().manual_seed(1), where, STEPS)
    cuts = torch.engine_statistics()["cuts"]
    states = {n: {k: lies(v) for k, v in optimizer.state[p].items() if k != "step"} for n, p in model.named_parameters()}
    step = max(programs, key=len, default="")
    return {
        "losses": losses,
        "asked": asked,
        "parameters": {n: lies(p) for n, p in model.named_parameters()},
        "gradients": {n: lies(p.grad) for n, p in model.named_parameters()},
        "states": states,
        "compiled after step 2": at[-1] - at[1],
        "cuts": cuts,
        "collectives": collectives(step),
        "elements": sum(p.numel() for p in model.parameters()),
        "bytes": sum(value_of(p).addressable_shards[0].data.nbytes for p in model.parameters()),
        "DTensors": all(isinstance(p, DTensor) for p in model.parameters()),
    }


def goes_on(load):
    """Three losses: after as many steps, when the state is saved, or from what was saved."""
    torch.manual_seed(int(load))
    model = GPT(VOCABULARY, WIDTH, LENGTH)
    where = fsdp(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    state = {"model": model, "optimizer": optimizer}
    generator = torch.Generator().manual_seed(1)
    if load:
        dcp.load(state, checkpoint_id=FOLDER / "checkpoint")
        for _ in range(3):
            batch(generator, None)
    else:
        steps(model, optimizer, generator, where, 3)
        dcp.save(state, checkpoint_id=FOLDER / "checkpoint")
    return steps(model, optimizer, generator, where, 3)[0]


def large():
    """Bytes on a device of a GPT with 300 million parameters, from shapes alone: parameters, gradients and both states."""
    width, layers, vocabulary, length = 1024, 22, 50257, 1024

    def block():
        return nn.ModuleDict({
            "ln1": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width),
            "ln2": nn.LayerNorm(width), "fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width),
        })  # fmt: skip

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok, self.pos = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList([block() for _ in range(layers)])
            self.ln = nn.LayerNorm(width)

        def forward(self, x):
            return x

    with torch.device("meta"):
        model = Whole()
    fully_shard(model, mesh=flat)
    whole = part = 0
    for p in model.parameters():
        sharding = p._raw_value.sharding
        rows = sharding.shard_shape(tuple(p.shape))
        part += torch.Size(rows).numel() * 4
        whole += p.numel() * 4
        assert isinstance(p.placements[0], Shard)
    return {"parameters": whole // 4, "share": 8 * part / whole}


def compared():
    """What processes are told that run different programs on global arrays, with the debugging switch on."""
    dist.init_process_group("gloo")
    x = DTensor.from_local(torch.ones(2, 4), flat, [Shard(0)])
    dist.set_debug_level(dist.DebugLevel.DETAIL)
    assert (x + 1).sum().item() == 16 * PROCESSES  # the same in all
    said = []
    for operators_differ in (True, False):
        between = x.exp() if operators_differ and RANK else x.sin()
        total = between.sum()
        if operators_differ or RANK:
            del between  # else one process keeps a result that the other does not
        try:
            total.item()
        except RuntimeError as error:
            said.append(str(error))
    dist.set_debug_level(dist.DebugLevel.OFF)
    return said


def main():
    jax.monitoring.register_event_duration_secs_listener(count)
    jax.stages.Lowered.compile = keeping(jax.stages.Lowered.compile)
    ways = [one, replicated, fsdp, tensor_parallel, by_rules, replicated, fsdp]
    if PROCESSES > 1:
        ways = [fsdp, tensor_parallel, replicated]
    found = {"runs": [[way.__name__, train(way)] for way in ways], "goes on": goes_on(load=PROCESSES > 1)}
    if PROCESSES == 1:
        found["large"] = large()
    else:
        found["compared"] = compared()
    (FOLDER / f"{PROCESSES}-{RANK}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()

"""A GPT of 303 million parameters on 8 CPU devices under `fully_shard`: two steps of AdamW, and what each device holds.

Prints a line of JSON. Run by `test_large`.
"""

from __future__ import annotations

import json
import os
from collections import Counter

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_cpu_collective_call_terminate_timeout_seconds=900"
    " --xla_cpu_collective_call_warn_stuck_timeout_seconds=900"
)

import jax

import jaxnn as torch
import jaxnn.nn.functional as F
from jaxnn import nn
from jaxnn.core.record.recorder import value_of
from jaxnn.distributed.fsdp import fully_shard
from jaxnn.distributed.tensor import DTensor, Shard, init_device_mesh
from tests.distributed.models import GPT

WIDTH, LAYERS, HEADS, VOCABULARY, LENGTH = 1024, 20, 16, 50257, 16
mesh = init_device_mesh("cpu", (8,))
programs = []


def keeping(compile):
    def run(self, *args, **kwargs):
        programs.append(compile(self, *args, **kwargs))
        return programs[-1]

    return run


def held(tensors):
    """Bytes of tensors on each device."""
    found = Counter()
    for t in tensors:
        for shard in value_of(t).addressable_shards:
            found[shard.device.id] += shard.data.nbytes
    return found


def main():
    jax.stages.Lowered.compile = keeping(jax.stages.Lowered.compile)
    with torch.device("meta"):
        model = GPT(VOCABULARY, WIDTH, LENGTH, LAYERS, HEADS, tied=True)
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to_empty(device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            nn.init.normal_(p, std=0.02) if p.dim() == 2 else p.fill_(float(name.endswith(("ln1.weight", "ln2.weight", "ln.weight"))))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens = torch.randint(0, VOCABULARY, (8, LENGTH + 1))
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        targets = DTensor.from_local(tokens[:, 1:], mesh, [Shard(0)])
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    whole = 4 * sum(p.numel() for p in model.parameters())
    states = {k: [optimizer.state[p][k] for p in model.parameters()] for k in ("exp_avg", "exp_avg_sq")}
    groups = {"parameters": list(model.parameters()), "gradients": [p.grad for p in model.parameters()], **states}
    step = max(programs, key=lambda made: len(made.as_text()))
    memory = step.memory_analysis()
    print(json.dumps({
        "parameters": whole // 4,
        "losses": losses,
        "shares": {name: [8 * n / whole for n in held(tensors).values()] for name, tensors in groups.items()},
        "step": {"arguments": memory.argument_size_in_bytes, "temporary": memory.temp_size_in_bytes},
    }))  # fmt: skip


if __name__ == "__main__":
    main()

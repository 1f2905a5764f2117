"""A script of PyTorch's: FSDP2, tensor parallelism and DTensors, written for torchrun. It runs on either library.

Each process takes its part of the batch; losses are averaged over them. The last argument is a file for what came out.
"""

import gc
import json
import os
import signal
import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F
from gpt import GPT
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from tutorials import tutorials
from wrapped import wrapped

VOCABULARY, WIDTH, LENGTH, STEPS = 32, 16, 8, 20


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(self.norm(x))))


def weights(model):
    return {
        name: (p.full_tensor() if isinstance(p, DTensor) else p).detach().flatten().tolist()
        for name, p in model.named_parameters()
    }


def mean_over_ranks(value):
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item() / dist.get_world_size()


def fsdp(make_optimizer, clip, steps=STEPS):
    torch.manual_seed(0)
    model = GPT(VOCABULARY, WIDTH, LENGTH)
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model, mp_policy=MixedPrecisionPolicy(), reshard_after_forward=True)
    assert isinstance(model, FSDPModule) and isinstance(model.tok.weight, DTensor)
    assert model.tok.weight.placements == (Shard(0),), model.tok.weight.placements
    optimizer = make_optimizer(model.parameters())
    data = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        batch = torch.randint(0, VOCABULARY, (8, LENGTH + 1), generator=data)
        mine = batch.chunk(dist.get_world_size())[dist.get_rank()]
        optimizer.zero_grad()
        total = 0.0
        for k, part in enumerate(mine.chunk(2)):  # accumulation
            model.set_requires_gradient_sync(k == 1)
            loss = F.cross_entropy(model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten()) / 2
            loss.backward()
            total += loss.item()
        assert isinstance(model.head.weight.grad, DTensor)
        if clip:
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            assert isinstance(norm, DTensor)
            losses.append(norm.full_tensor().item())
        optimizer.step()
        losses.append(mean_over_ranks(total))
    state = optimizer.state[model.head.weight]
    assert all(isinstance(v, DTensor) and v.placements == (Shard(0),) for k, v in state.items() if k != "step")
    return losses, weights(model)


def tensor_parallel(sequence):
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    torch.manual_seed(0)
    model = MLP()
    if sequence:
        plan = {
            "norm": SequenceParallel(),
            "fc1": ColwiseParallel(input_layouts=Shard(1)),
            "fc2": RowwiseParallel(output_layouts=Replicate()),
        }
    else:
        plan = {"fc1": ColwiseParallel(), "fc2": RowwiseParallel()}
    parallelize_module(model, mesh["tp"], plan)
    if sequence:
        parallelize_module(model, mesh, PrepareModuleInput(input_layouts=Replicate(), desired_input_layouts=Shard(1)))
    assert model.fc1.weight.placements == (Shard(0),) and model.fc2.weight.placements == (Shard(1),)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, foreach=False)
    data = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(6 if sequence else STEPS):
        x = torch.randn(4, LENGTH, WIDTH, generator=data)
        optimizer.zero_grad()
        loss = (model(x) - x.flip(-1)).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, weights(model)


def dtensors():
    mesh = init_device_mesh("cpu", (2,))
    data = torch.Generator().manual_seed(2)
    w = nn.Parameter(distribute_tensor(torch.randn(8, 6, generator=data), mesh, [Shard(0)]))
    v = distribute_tensor(torch.randn(6, 4, generator=data), mesh, [Shard(1)]).requires_grad_()
    x = distribute_tensor(torch.randn(6, 8, generator=data), mesh, [Replicate()])
    losses = []
    for _ in range(STEPS):
        h = (x @ w).relu().redistribute(placements=[Shard(0)])
        y = (h @ v).redistribute(mesh, [Replicate()])
        loss = y.pow(2).mean().full_tensor()
        loss.backward()
        with torch.no_grad():
            for p in (w, v):
                p -= 0.05 * p.grad
                p.grad = None
        losses.append(loss.item())
    found = {"w": w, "v": v, "local": DTensor.from_local(w.to_local(), mesh, [Shard(0)])}
    return losses, {k: t.full_tensor().detach().flatten().tolist() for k, t in found.items()}


def partial_tensors():
    """What each process has of a value that is reduced: the sums, the gradients of the summands, what is printed."""
    mesh, rank = init_device_mesh("cpu", (2,)), dist.get_rank()
    values, texts = [], []
    for name in ("sum", "avg", "max", "min", "product"):
        t = (torch.arange(4.0) + 1 + rank).requires_grad_()
        lies = DTensor.from_local(t * 1, mesh, [Partial(name)])
        everywhere = lies.redistribute(placements=[Replicate()])
        parts = DTensor.from_local(t * 2, mesh, [Partial(name)]).redistribute(placements=[Shard(0)])
        loss = (everywhere.to_local() * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum() + (parts.to_local() * (rank + 2)).sum()
        loss.backward()
        for found in (everywhere.to_local(), parts.to_local(), lies.to_local(), t.grad, (lies.detach() * 2).full_tensor()):
            values += found.detach().tolist()
        texts += [str(lies.placements), str(parts.placements), str(tuple(lies.shape))]
    lies = DTensor.from_local(torch.ones(2, 2) * (rank + 1), mesh, [Partial()])
    texts += [repr(lies), repr(lies.redistribute(placements=[Shard(1)])), repr(distribute_tensor(torch.ones(4), mesh, [Partial()]))]
    for bad in (lambda: lies.redistribute(placements=[Partial("avg")]), lambda: parts.redistribute(placements=[Partial()])):
        try:
            bad()
        except RuntimeError as error:
            texts.append(str(error))
    return values, texts


dist.init_process_group("gloo")
if dist.get_rank() == 1:  # what a process holds, until its garbage is collected, concerns no other
    gc.disable()
results = {
    "fsdp adamw": fsdp(lambda p: torch.optim.AdamW(p, lr=1e-2, eps=1e-4, foreach=False), None),
    "fsdp sgd, clipped": fsdp(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=False), 0.5, 6),
    "tensor parallel": tensor_parallel(False),
    "sequence parallel": tensor_parallel(True),
    "DTensors": dtensors(),
    "partial": partial_tensors(),
    "wrapped": wrapped(sys.argv[-1]),
    "tutorials": tutorials(sys.argv[-1]),
}
if dist.get_rank() == 0:
    with open(sys.argv[-1], "w") as file:
        json.dump(results, file)
if os.environ.get("TORCHELASTIC_RUN_ID") == "loses-one":  # a process dies, and the other one waits for it
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()
dist.destroy_process_group()
assert "RANK" in os.environ

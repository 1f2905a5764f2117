"""Programs in the manner of PyTorch's tutorials, in the processes of `sharded`: checkpoints, DTensors, tensor parallelism.

Sources: https://docs.pytorch.org/tutorials/recipes/distributed_checkpoint_recipe.html,
https://docs.pytorch.org/tutorials/intermediate/TP_tutorial.html, https://docs.pytorch.org/docs/stable/distributed.tensor.html
"""

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

seen = {}


class ToyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.net1 = nn.Linear(16, 16)
        self.relu = nn.ReLU()
        self.net2 = nn.Linear(16, 8)

    def forward(self, x):
        return self.net2(self.relu(self.net1(x)))


class AppState(Stateful):
    """What the recipe saves: a model and its optimizer, whatever they are wrapped in."""

    def __init__(self, model, optimizer=None):
        self.model, self.optimizer = model, optimizer

    def state_dict(self):
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optim": optimizer}

    def load_state_dict(self, state_dict):
        set_state_dict(self.model, self.optimizer, model_state_dict=state_dict["model"], optim_state_dict=state_dict["optim"])


def full(model):
    return {
        n: (p.full_tensor() if isinstance(p, DTensor) else p).detach().flatten().tolist() for n, p in model.named_parameters()
    }


def steps(model, optimizer, count, seed):
    generator = torch.Generator().manual_seed(100 * seed + dist.get_rank())
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = model(torch.rand(8, 16, generator=generator)).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def checkpoints(path):
    """Saved by both processes, loaded into a model that lies so, and into one that lies on each whole."""
    torch.manual_seed(0)
    model = ToyModel()
    fully_shard(model.net1)
    fully_shard(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, foreach=False)
    losses = steps(model, optimizer, 3, 1)
    dcp.save({"app": AppState(model, optimizer)}, checkpoint_id=path)
    losses += steps(model, optimizer, 2, 2)
    torch.manual_seed(5)
    again = ToyModel()
    fully_shard(again)
    second = torch.optim.Adam(again.parameters(), lr=0.1, foreach=False)
    dcp.load({"app": AppState(again, second)}, checkpoint_id=path)
    losses += steps(again, second, 2, 2)
    seen["checkpoint"] = [losses, full(again)]
    plain = ToyModel()
    third = torch.optim.Adam(plain.parameters(), lr=0.1, foreach=False)
    state = {"app": AppState(plain, third)}
    dcp.load(state, checkpoint_id=path)
    seen["checkpoint, whole"] = [[], full(plain)]
    future = dcp.async_save({"app": AppState(again, second)}, checkpoint_id=f"{path}-later")
    future.result()
    dcp.load({"app": AppState(model, optimizer)}, checkpoint_id=f"{path}-later")
    seen["checkpoint, saved meanwhile"] = [[], full(model)]


def recomputed():
    """FSDP with activation checkpointing, of blocks by a function."""
    torch.manual_seed(1)
    model = nn.Sequential(ToyModel(), nn.Linear(8, 16), ToyModel())
    apply_activation_checkpointing(
        model, checkpoint_wrapper_fn=lambda m: checkpoint_wrapper(m, CheckpointImpl.NO_REENTRANT),
        check_fn=lambda m: isinstance(m, ToyModel),
    )  # fmt: skip
    for block in model:
        fully_shard(block)
    fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=False)
    seen["recomputed"] = [steps(model, optimizer, 4, 3), full(model)]
    seen["recomputed names"] = list(model.state_dict())


def tensor_parallel_tutorial():
    """A perceptron divided by columns and rows."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    torch.manual_seed(0)
    model = parallelize_module(ToyModel(), mesh, {"net1": ColwiseParallel(), "net2": RowwiseParallel()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.25, foreach=False)
    losses = []
    for k in range(5):
        torch.manual_seed(k)  # the same on all processes
        output = model(torch.rand(20, 16))
        loss = output.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    seen["tensor parallel tutorial"] = [losses, full(model)]


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(16), ToyModel()
        self.out = nn.Linear(8, 8)

    def forward(self, x):
        return self.out(self.mlp(self.norm(x)))


def two_dimensions():
    """Tensor and sequence parallelism in one dimension of the mesh, FSDP in the other."""
    for shape in ((1, 2), (2, 1)):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("dp", "tp"))
        torch.manual_seed(2)
        model = Norms()
        plan = {
            "norm": SequenceParallel(),
            "mlp": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
            "mlp.net1": ColwiseParallel(),
            "mlp.net2": RowwiseParallel(output_layouts=Replicate()),
        }
        parallelize_module(model, mesh["tp"], plan)
        fully_shard(model, mesh=mesh["dp"])
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, foreach=False)
        dp = mesh["dp"].get_local_rank()
        losses = []
        for k in range(4):
            generator = torch.Generator().manual_seed(10 * k + dp)
            loss = model(torch.rand(4, 6, 16, generator=generator)).pow(2).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        seen[f"two dimensions {shape}"] = [losses, full(model)]


def distributed_module():
    """DTensors of one's own: a function that divides each layer, inputs and outputs that are brought along."""
    mesh = init_device_mesh("cpu", (2,))

    def divided(name, module, mesh):
        if isinstance(module, nn.Linear):
            for key, p in list(module.named_parameters(recurse=False)):
                module.register_parameter(key, nn.Parameter(distribute_tensor(p, mesh, [Shard(0)])))

    torch.manual_seed(3)
    model = distribute_module(
        ToyModel(), mesh, divided,
        input_fn=lambda module, inputs, mesh: (distribute_tensor(inputs[0], mesh, [Replicate()]),),
        output_fn=lambda module, output, mesh: output.redistribute(placements=[Replicate()]).to_local(),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
    losses = []
    for k in range(4):
        generator = torch.Generator().manual_seed(k)
        x = torch.rand(8, 16, generator=generator)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x[:, :8])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    seen["distributed module"] = [losses, full(model)]
    seen["distributed module placements"] = [str(p.placements) for p in model.parameters()]


def tutorials(path):
    """What came out, by name."""
    checkpoints(f"{path}-checkpoint")
    recomputed()
    tensor_parallel_tutorial()
    two_dimensions()
    distributed_module()
    return seen

"""Optimizers and hooks of several processes, part of `ddp_script`: what PyTorch and jaxnn make of the same program."""

import copy
import functools

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import DDPCommHookType, register_ddp_comm_hook
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.distributed.algorithms.join import Join, Joinable, JoinHook
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleLoopedBFS,
)
from torch.nn.parallel import DistributedDataParallel as DDP

seen = {}


def fresh():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 4))


def batches(seed):
    generator = torch.Generator().manual_seed(10 * seed + dist.get_rank())
    while True:
        yield torch.randn(6, 8, generator=generator), torch.randint(0, 4, (6,), generator=generator)


def weights(model):
    return [p.detach().double().sum().item() for p in model.parameters()]


def train(name, model, optimizer, steps=5, seed=1, schedule=None):
    data, losses = batches(seed), []
    for _ in range(steps):
        x, y = next(data)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.item())
    seen[name] = [losses, weights(model)]


def zero():
    """States divided over the processes; saved whole, loaded, and gone on with."""
    model = DDP(fresh())
    groups = [{"params": list(model.parameters())[:4]}, {"params": list(model.parameters())[4:], "lr": 0.02}]
    optimizer = ZeroRedundancyOptimizer(groups, optimizer_class=torch.optim.Adam, lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    train("zero", model, optimizer, schedule=schedule)
    found = [[g["lr"] for g in optimizer.param_groups], [[p.numel() for p in g["params"]] for g in optimizer.optim.param_groups]]
    found.append(len(optimizer.optim.state))
    optimizer.consolidate_state_dict(to=1)
    try:
        state = optimizer.state_dict()
    except RuntimeError as error:
        found.append(str(error))
        state = None
    held = [state]
    dist.broadcast_object_list(held, src=1)
    state = copy.deepcopy(held[0])  # PyTorch's optimizers share what they load
    found.append({k: {n: v.double().sum().item() for n, v in s.items()} for k, s in state["state"].items()})
    found.append([{k: v for k, v in g.items() if k in ("lr", "params", "initial_lr", "betas")} for g in state["param_groups"]])
    again = DDP(fresh())
    again.load_state_dict(model.state_dict())
    second = ZeroRedundancyOptimizer(
        [{"params": list(again.parameters())[:4]}, {"params": list(again.parameters())[4:]}], torch.optim.Adam, lr=0.5,
    )  # fmt: skip
    second.load_state_dict(state)
    train("zero, loaded", again, second, 3, seed=2)
    train("zero, gone on", model, optimizer, 3, seed=2)
    second.add_param_group({"params": [nn.Parameter(torch.ones(3))], "lr": 1.0})
    found.append([len(second.param_groups), len(second.optim.param_groups)])
    seen["zero state"] = found
    errors = []
    for bad in (
        lambda: ZeroRedundancyOptimizer(torch.ones(2), torch.optim.SGD, lr=1.0),
        lambda: ZeroRedundancyOptimizer(3, torch.optim.SGD, lr=1.0),
        lambda: ZeroRedundancyOptimizer([], torch.optim.SGD, lr=1.0),
        lambda: ZeroRedundancyOptimizer([{"lr": 3}], torch.optim.SGD, lr=1.0),
        lambda: ZeroRedundancyOptimizer([torch.ones(2), {"params": []}], torch.optim.SGD, lr=1.0),
        lambda: PowerSGDState(None, start_powerSGD_iter=1),
        lambda: PeriodicModelAverager(0),
        lambda: PeriodicModelAverager(2, -1),
    ):
        try:
            bad()
            errors.append("nothing")
        except Exception as error:
            errors.append([type(error).__name__, str(error)[:50]])
    seen["algorithm errors"] = errors


def low_rank():
    """Gradients sent as thin matrices."""
    sgd = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    for name, options in (
        ("rank 1", {}),
        ("rank 2, together", {"matrix_approximation_rank": 2, "batch_tensors_with_same_shape": True, "min_compression_rate": 1}),
        ("rank 4", {"matrix_approximation_rank": 4, "min_compression_rate": 0.5}),
        ("forgetful", {"use_error_feedback": False, "warm_start": False, "orthogonalization_epsilon": 1e-8}),
    ):
        model, state = DDP(fresh()), PowerSGDState(None, start_powerSGD_iter=2, random_seed=3, **options)
        model.register_comm_hook(state, powerSGD_hook)
        train(f"low rank: {name}", model, sgd(model.parameters()))
        seen[f"low rank: {name}"].append([state.iter, *state.compression_stats()])
    model = DDP(fresh())
    register_ddp_comm_hook(DDPCommHookType.POWER_SGD_RANK2, model)
    train("low rank: not yet", model, sgd(model.parameters()), 2)


def local_sgd():
    """Gradients that stay here after some steps, and parameters that are averaged now and then."""
    model = DDP(fresh())
    alone, _ = dist.new_subgroups(group_size=1)
    model.register_comm_hook(PostLocalSGDState(None, alone, 2), post_localSGD_hook)
    averager = PeriodicModelAverager(period=2, warmup_steps=2)
    optimizer = PostLocalSGDOptimizer(torch.optim.SGD(model.parameters(), 0.1), averager)
    train("local", model, optimizer, 4)
    state = optimizer.state_dict()
    train("local, apart", model, optimizer, 2)
    optimizer.load_state_dict(state)
    seen["local step"] = [state["step"], averager.step, repr(optimizer)]


class Counter(Joinable):
    """Counts the processes' inputs: PyTorch's tutorial on Join."""

    def __init__(self):
        super().__init__()
        self.count = self.most = 0

    def __call__(self):
        Join.notify_join_context(self)
        one = torch.ones(1)
        dist.all_reduce(one)
        self.count += int(one.item())

    def join_hook(self, **kwargs):
        return CounterHook(self, kwargs.get("sync_max_count", False))

    @property
    def join_device(self):
        return torch.device("cpu")

    @property
    def join_process_group(self):
        return dist.group.WORLD


class CounterHook(JoinHook):
    def __init__(self, counter, sync):
        self.counter, self.sync = counter, sync

    def main_hook(self):
        one = torch.zeros(1)
        dist.all_reduce(one)
        self.counter.count += int(one.item())

    def post_hook(self, is_last_joiner):
        if self.sync:
            rank = torch.tensor([dist.get_rank() if is_last_joiner else -1])
            dist.all_reduce(rank, op=dist.ReduceOp.MAX)
            most = torch.tensor([self.counter.count])
            dist.broadcast(most, src=int(rank.item()))
            self.counter.most = int(most.item())


def joined():
    """Uneven inputs of something of one's own, and of DDP with an optimizer whose states are divided."""
    counter = Counter()
    with Join([counter], sync_max_count=True):
        for _ in range(3 + 2 * dist.get_rank()):
            counter()
    seen["counted"] = [counter.count, counter.most]
    model = DDP(fresh())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
    data, losses = batches(5), []
    with Join([model, optimizer]):
        for _ in range(2 + dist.get_rank()):
            x, y = next(data)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    seen["joined"] = [losses, weights(model)]
    counter = Counter()
    try:
        with Join([counter], throw_on_early_termination=True):
            for _ in range(1 + dist.get_rank()):
                counter()
    except RuntimeError as error:
        seen["thrown"] = str(error)


class Deep(nn.Module):
    """Layers, of which each stage has some; two tensors go from stage to stage."""

    def __init__(self, first, last):
        super().__init__()
        self.layer, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
        self.first, self.last = first, last

    def forward(self, x, y=None, scale=1.0):
        y = x * 0.5 if self.first else y
        x, y = torch.tanh(self.layer(x)) * scale, y + self.other(x)
        return x + y if self.last else (x, y)


def pipelines():
    """A model in stages, under each schedule; gradients are those of the whole batch."""
    rank = dist.get_rank()
    generator = torch.Generator().manual_seed(4)
    x, target = torch.randn(8, 8, generator=generator), torch.randn(8, 8, generator=generator)
    loss_fn = nn.functional.mse_loss
    for name, schedule, local, count, options in (
        ("GPipe", ScheduleGPipe, 1, 4, {}),
        ("1F1B", Schedule1F1B, 1, 4, {}),
        ("GPipe, sums", ScheduleGPipe, 1, 2, {"scale_grads": False}),
        ("looped", ScheduleLoopedBFS, 2, 4, {}),
        ("interleaved", ScheduleInterleaved1F1B, 2, 4, {}),
    ):
        torch.manual_seed(11)
        layers = [Deep(k == 0, k == 2 * local - 1) for k in range(2 * local)]
        mine = [PipelineStage(layers[k], k, 2 * local, torch.device("cpu")) for k in range(rank, 2 * local, 2)]
        run = schedule(mine if local > 1 else mine[0], n_microbatches=count, loss_fn=loss_fn, **options)
        optimizer = torch.optim.SGD([p for s in mine for p in s.submod.parameters()], 0.1, momentum=0.9)
        found = []
        for _ in range(3):
            optimizer.zero_grad()
            losses = []
            if rank == 0:
                out = run.step(x)
            else:
                out = run.step(target=target, losses=losses)
            optimizer.step()
            found += [loss.item() for loss in losses]
        found.append(None if out is None else out.detach().double().sum().item())
        seen[f"pipeline {name}"] = [found, [p.detach().double().sum().item() for s in mine for p in s.submod.parameters()]]
    run = ScheduleGPipe(PipelineStage(layers[3 * rank], rank, 2, torch.device("cpu")), 2, loss_fn)
    out = run.eval(x, scale=2.0) if rank == 0 else run.eval(target=target, losses=losses)
    seen["pipeline eval"] = [[loss.item() for loss in losses], None if out is None else [out.requires_grad, out.double().sum().item()]]
    errors = []
    for bad in (
        lambda: PipelineStage(layers[0], 2, 2, torch.device("cpu")),
        lambda: PipelineStage(layers[0], 0, 1, torch.device("cpu")),
        lambda: Schedule1F1B(PipelineStage(layers[0], rank, 2, torch.device("cpu")), 1),
        lambda: ScheduleInterleaved1F1B(mine, 5),
        lambda: torch.no_grad()(run.step)(x),
    ):
        try:
            bad()
            errors.append("nothing")
        except Exception as error:
            errors.append([type(error).__name__, str(error)[:60]])
    seen["pipeline errors"] = errors


def algorithms():
    """What came out, by name."""
    pipelines()
    zero()
    low_rank()
    local_sgd()
    joined()
    return seen

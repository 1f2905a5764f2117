"""A PyTorch program for two processes, run by PyTorch and by jaxnn: python ddp_script.py FOLDER. Each rank writes what it saw."""

import contextlib
import json
import os
import signal
import sys
import time

import torch
import torch.distributed as dist
from algorithms_script import algorithms
from collectives_script import collectives
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import (
    DDPCommHookType,
    debugging_hooks,
    default_hooks,
    register_ddp_comm_hook,
)
from torch.nn.parallel import DistributedDataParallel as DDP

FOLDER = sys.argv[1]
STEPS = 20
seen = {}


def batches(seed, *shape, classes=4):
    generator = torch.Generator().manual_seed(100 * seed + dist.get_rank())
    while True:
        yield torch.randn(*shape, generator=generator), torch.randint(0, classes, (shape[0],), generator=generator)


class Parts(nn.Module):
    """Uses one of two layers, and one never."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.never = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x, which):
        return (self.second if which else self.first)(x)


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )


def note(name, losses, model):
    seen[name] = losses
    seen[name + " state"] = {k: v.double().reshape(-1).tolist() for k, v in model.state_dict().items()}
    seen[name + " same"] = [p.detach().double().sum().item() for p in model.parameters()]


def train(name, make, optimizer, *shape, micro=1, clip=None, watch=False, hook=None, steps=STEPS, **options):
    """``micro``: micro-batches a step. ``watch``: rank 0 reads, prints and saves where rank 1 does not. ``hook``: sends gradients."""
    rank = dist.get_rank()
    torch.manual_seed(rank)  # other weights in each process: DDP begins with those of rank 0
    model = DDP(make(), **options)
    if hook is not None:
        hook(model)
    opt = optimizer(model.parameters())
    data = batches(len(name), *shape)
    losses = []

    def look(step, *tensors):
        if watch and rank == 0 and step % 3 != 1:
            losses.extend(t.item() for t in tensors)
            print(step, *tensors, next(model.parameters()).detach().sum(), flush=True)
            torch.save(model.state_dict(), os.path.join(FOLDER, "watched.pt"))

    for step in range(steps):
        opt.zero_grad()
        look(step)
        for k in range(micro):
            x, y = next(data)
            with model.no_sync() if k < micro - 1 else contextlib.nullcontext():
                out = model(x)
                look(step, out.sum())
                loss = nn.functional.cross_entropy(out, y)
                look(step, loss)
                loss.backward()
            look(step, loss, next(model.parameters()).grad.sum())
        if clip:
            losses.append(nn.utils.clip_grad_norm_(model.parameters(), clip).item())
        opt.step()
        look(step, loss)
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        losses.append(model(next(data)[0]).sum().item())
    note(name, losses, model)


class Reads(nn.Module):
    """Rank 0 reads inside of its forward and at every hook there is."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 4)

    def forward(self, x):
        h = self.first(x)
        look("forward", h)
        h = self.norm(h).relu()
        if h.requires_grad:
            h.register_hook(lambda g: look("tensor hook", g))
        return self.second(h)


places = []


def look(place, *tensors):
    """Rank 0 alone reads, prints and saves."""
    if dist.get_rank() == 0:
        places.append(place)
        print(place, *(t.detach().sum().item() for t in tensors if t is not None), *tensors, flush=True)
        torch.save([t.detach() if t is not None else None for t in tensors], os.path.join(FOLDER, "looked.pt"))


def everywhere():
    """One process looks at each place of the loop where a program may."""
    torch.manual_seed(4)
    model = DDP(Reads())
    inner = model.module
    inner.first.register_forward_pre_hook(lambda m, args: look("forward pre-hook", *args))
    inner.first.register_forward_hook(lambda m, args, out: look("forward hook", out))
    inner.second.register_full_backward_pre_hook(lambda m, grads: look("backward pre-hook", *grads))
    inner.second.register_full_backward_hook(lambda m, given, grads: look("backward hook", *given, *grads))
    inner.first.bias.register_hook(lambda g: look("parameter's hook", g))
    inner.first.weight.register_post_accumulate_grad_hook(lambda p: look("accumulated", p.grad))
    opt = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    opt.register_step_pre_hook(lambda o, args, kwargs: look("step pre-hook", inner.second.weight.grad))
    opt.register_step_post_hook(lambda o, args, kwargs: look("step post-hook", inner.second.weight))
    schedule = torch.optim.lr_scheduler.StepLR(opt, 2)
    data, losses = batches(80, 8, 8), []
    for _ in range(4):
        x, y = next(data)
        opt.zero_grad()
        look("after zero_grad", inner.first.weight.grad, inner.first.weight)
        loss = nn.functional.cross_entropy(model(x), y)
        look("loss", loss)
        loss.backward()
        look("after backward", loss, *[p.grad for p in model.parameters()])
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        look("clipped", *[p.grad for p in model.parameters()])
        opt.step()
        look("after step", *model.state_dict().values())
        schedule.step()
        losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            out = model(x)
            look("eval", out)
            losses.append(out.sum().item())
        model.train()
    note("everywhere", losses, model)
    seen["places"] = places


def parts():
    torch.manual_seed(0)
    model = DDP(Parts(), find_unused_parameters=True)
    opt = torch.optim.SGD(model.parameters(), 0.1)
    data, losses = batches(50, 8, 8), []
    for step in range(6):
        x, y = next(data)
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x, (step + dist.get_rank()) % 2 if step < 4 else 0), y)
        loss.backward()
        losses.append([p.grad is None for p in model.parameters()])
        opt.step()
        losses.append(loss.item())
    note("parts", losses, model)
    model = DDP(Parts())
    out = model(x, 0).sum()
    out.backward()
    try:
        model(x, 0)
    except RuntimeError as error:
        seen["unfinished"] = str(error)[:80]


def uneven():
    """Rank 1 has two batches more."""
    for average in (True, False):
        torch.manual_seed(3)
        model = DDP(convolutions())
        opt = torch.optim.SGD(model.parameters(), 0.1)
        data, losses = batches(70, 6, 1, 6, 6), []
        with model.join(divide_by_initial_world_size=average):
            for _ in range(3 + 2 * dist.get_rank()):
                x, y = next(data)
                opt.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                opt.step()
                losses.append(loss.item())
        note(f"uneven {average}", losses, model)


def restarted():
    """Rank 1 dies by kill -9 in step 7 of the first attempt; the second goes on from the checkpoint of step 4."""
    path = os.path.join(FOLDER, "checkpoint.pt")
    first = not os.path.exists(path)
    torch.manual_seed(1)
    model = DDP(mlp())
    opt = torch.optim.Adam(model.parameters(), 0.01)
    begin, losses = 0, []
    if not first:
        held = torch.load(path)
        model.load_state_dict(held["model"])
        opt.load_state_dict(held["optimizer"])
        begin, losses = held["step"], held["losses"][dist.get_rank()]
    for step in range(begin, 12):
        x, y = next(batches(1000 + step, 8, 8))
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
        if first and step == 7 and dist.get_rank() == 1 and "TORCHELASTIC_MAX_RESTARTS" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        if first and step == 4:
            everybodys = [None, None]
            dist.all_gather_object(everybodys, losses)
            if dist.get_rank() == 0:
                held = {"model": model.state_dict(), "optimizer": opt.state_dict(), "step": step + 1, "losses": everybodys}
                torch.save(held, path + ".new")
                os.replace(path + ".new", path)
            dist.barrier()
    note("restarted", losses, model)


def synchronised():
    """The largest difference between SyncBatchNorm here and BatchNorm of both processes' inputs."""
    rank = dist.get_rank()
    torch.manual_seed(5)
    whole, scale = torch.randn(10, 3, 4, 4) * 3 + 100, torch.randn(10, 3, 4, 4)
    mine = slice(0, 4) if rank == 0 else slice(4, 10)
    plain = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3))
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(3, momentum=0.3)))
    x, part = whole.clone().requires_grad_(), whole[mine].clone().requires_grad_()
    expected, out = plain(x), model(part)
    (expected * scale).sum().backward()
    (out * scale[mine]).sum().backward()
    for p in model.parameters():
        dist.all_reduce(p.grad)
    pairs = [(out, expected[mine]), (part.grad, x.grad[mine])]
    pairs += [(p.grad / 100, q.grad / 100) for p, q in zip(model.parameters(), plain.parameters())]
    pairs += [(p.double() / 100, q.double() / 100) for p, q in zip(model.buffers(), plain.buffers())]
    return max((a - b).abs().max().item() for a, b in pairs)


def compared():
    """What both processes are told who call different collectives, with the debugging switch on."""
    dist.set_debug_level(dist.DebugLevel.DETAIL)
    try:
        dist.all_reduce(torch.ones(2)) if dist.get_rank() == 0 else dist.broadcast(torch.ones(3), 0)
    except RuntimeError as error:
        return str(error)
    finally:
        dist.set_debug_level(dist.DebugLevel.OFF)


def halves(group, bucket: dist.GradBucket):
    """A hook of one's own: the sum, in halves that are sent by themselves; notes what it is given."""
    shapes = [list(g.shape) for g in bucket.gradients()]
    seen["buckets"] = [bucket.index(), bucket.is_last(), bucket.buffer().numel(), shapes, len(bucket.parameters())]
    first, second = bucket.buffer().clone().chunk(2)
    works = [dist.all_reduce(part, group=group, async_op=True) for part in (first, second)]
    for work in works:
        work.wait()
    made = torch.futures.Future()
    made.set_result(torch.cat([first, second]) / 3)
    return made


def hooks():
    """Gradients sent by communication hooks."""
    for name, hook in (
        ("allreduce", lambda m: register_ddp_comm_hook(DDPCommHookType.ALLREDUCE, m, m.process_group)),
        ("fp16", lambda m: m.register_comm_hook(None, default_hooks.fp16_compress_hook)),
        ("fp16 of halves", lambda m: m.register_comm_hook(None, default_hooks.fp16_compress_wrapper(halves))),
        ("halves", lambda m: m.register_comm_hook(dist.group.WORLD, halves)),
        ("noop", lambda m: m.register_comm_hook(None, debugging_hooks.noop_hook)),
    ):
        train(f"hook {name}", mlp, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), 8, 8, hook=hook, steps=4)
    errors = []
    model = DDP(mlp())
    model.register_comm_hook(None, halves)
    for bad in (lambda: DDP(mlp()).register_comm_hook(None, 3), lambda: model.register_comm_hook(None, halves)):
        try:
            bad()
        except (TypeError, RuntimeError) as error:
            errors.append([type(error).__name__, str(error)])
    seen["hook errors"] = errors


def main():
    dist.init_process_group("gloo")
    restarted()
    sgd = lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)
    ours = getattr(torch, "__file__", "").find("jaxnn") >= 0
    if ours:
        import jaxnn

        before = jaxnn.engine_statistics()["compiled"]
    train("sgd", mlp, sgd, 8, 8)
    if ours:
        seen["sgd programs"] = jaxnn.engine_statistics()["compiled"] - before
        seen["synchronised"] = synchronised()
        seen["compared"] = compared()
    train("watched", mlp, sgd, 8, 8, watch=True)
    train("adam", mlp, lambda p: torch.optim.Adam(p, 0.01), 8, 8, bucket_cap_mb=0.0001, gradient_as_bucket_view=True)
    train("batch norm", convolutions, sgd, 6, 1, 6, 6)
    train("accumulation", mlp, sgd, 8, 8, micro=3)
    train("clipping", mlp, lambda p: torch.optim.AdamW(p, 0.01), 8, 8, clip=0.5, static_graph=True)
    hooks()
    everywhere()
    parts()
    uneven()
    seen["algorithms"] = algorithms()
    seen["collectives"] = collectives()
    with open(os.path.join(FOLDER, f"{dist.get_rank()}.json"), "w") as f:
        json.dump(seen, f)
    while not os.path.exists(os.path.join(FOLDER, "0.json")):  # rank 0 still waits at a barrier for one that lives and does not come
        time.sleep(0.1)
    dist.destroy_process_group()


main()

"""Every collective, between the two processes of `ddp_script`: what each gives, as lists of numbers and texts."""

import warnings
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as F


def collectives():
    """(name, values) of each."""
    found = []
    r, n = dist.get_rank(), dist.get_world_size()

    def show(name, *values):
        found.append([name, [v.tolist() if isinstance(v, torch.Tensor) else v for v in values]])

    def error(name, f):
        try:
            f()
            found.append([name, "no error"])
        except Exception as e:
            found.append([name, [type(e).__name__, str(e)[:50]]])

    for kind in (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bfloat16, torch.float16):
        t = (torch.arange(6).reshape(2, 3) + r + 1).to(kind)
        dist.all_reduce(t)
        show(f"sum {kind}", t)
    for op in ("MIN", "MAX", "PRODUCT"):
        t = torch.tensor([1.5, -2.0, 3.0]) * (r + 1)
        dist.all_reduce(t, getattr(dist.ReduceOp, op))
        show(op, t)
    for op in ("BAND", "BOR", "BXOR"):
        t = torch.tensor([5, 6, 12]) + r
        dist.all_reduce(t, getattr(dist.ReduceOp, op))
        show(op, t)
    t = torch.tensor(2.5) * (r + 1)
    dist.all_reduce(t, async_op=True).wait()
    show("async", t)
    x = torch.arange(6.0).reshape(2, 3) + r
    dist.all_reduce(x[1])
    show("a view", x)
    t = torch.tensor([-0.0, float("nan"), 1.0]) if r == 0 else torch.ones(3)
    dist.broadcast(t, 0)
    show("bits", torch.signbit(t), torch.isnan(t))
    for kind in (torch.bool, torch.float16, torch.int8, torch.complex64):
        t = torch.tensor([r, 1 - r, 1]).to(kind)
        dist.broadcast(t, src=1)
        show(f"broadcast {kind}", torch.view_as_real(t) if kind is torch.complex64 else t)
    ts = [torch.zeros(2, 2) for _ in range(n)]
    dist.all_gather(ts, torch.full((2, 2), r + 1.0))
    show("all_gather", *ts)
    t = torch.zeros(n * 2, 3)
    dist.all_gather_into_tensor(t, torch.arange(6.0).reshape(2, 3) + 10 * r)
    show("all_gather_into_tensor", t)
    t = torch.zeros(2, 3)
    dist.reduce_scatter(t, [torch.full((2, 3), k + 1.0 + r) for k in range(n)])
    show("reduce_scatter", t)
    dist.reduce_scatter_tensor(t, torch.arange(n * 6.0).reshape(n * 2, 3) * (r + 1))
    show("reduce_scatter_tensor", t)
    t = torch.zeros(4)
    dist.all_to_all_single(t, torch.arange(4.0) + 10 * r)
    show("all_to_all_single", t)
    t = torch.zeros(3 if r == 0 else 4, 2)
    given = torch.arange(6.0).reshape(3, 2) + 100 * r if r == 0 else torch.arange(8.0).reshape(4, 2) + 100
    sizes = [1, 2] if r == 0 else [2, 2]
    dist.all_to_all_single(t, given, sizes, sizes)
    show("all_to_all_single, uneven", t)
    ts = [torch.zeros(3) for _ in range(n)] if r == 1 else None
    dist.gather(torch.ones(3) * r, ts, dst=1)
    show("gather", *(ts or []))
    t = torch.zeros(3)
    dist.scatter(t, [torch.arange(3.0) + 10 * k for k in range(n)] if r == 0 else None, src=0)
    show("scatter", t)
    t = torch.ones(2) * (r + 1)
    dist.reduce(t, 0)
    if r == 0:
        show("reduce", t)

    held = [None] * n
    dist.all_gather_object(held, {"r": r, "x": "a" * (10 * r)})
    show("all_gather_object", held)
    held = [{"a": 1}, r] if r == 0 else [None, None]
    dist.broadcast_object_list(held, src=0)
    show("broadcast_object_list", held)
    held = [None]
    dist.scatter_object_list(held, [1, "two"] if r == 0 else [None, None], src=0)
    show("scatter_object_list", held)
    held = [None] * n if r == 0 else None
    dist.gather_object(["o", r], held, dst=0)
    show("gather_object", held)

    if r == 0:
        dist.send(torch.arange(4.0), 1)
        t = torch.zeros(3)
        dist.recv(t, 1)
        show("recv", t)
    else:
        t = torch.zeros(4)
        show("recv", dist.recv(t), t)
        dist.send(torch.ones(3) * 7, 0)
    t = torch.zeros(2)
    both = [dist.P2POp(dist.isend, torch.full((2,), float(r)), 1 - r), dist.P2POp(dist.irecv, t, 1 - r)]
    for work in dist.batch_isend_irecv(both):
        work.wait()
    show("batch_isend_irecv", t)

    group = dist.new_group([1])
    show("new_group", dist.get_rank(group), dist.get_world_size(group))
    if r == 1:
        t = torch.ones(2)
        dist.all_reduce(t, group=group)
        show("alone", t)
    group = dist.new_group([0, 1])
    t = torch.ones(2) * r
    dist.broadcast(t, src=1, group=group)
    show("second group", t, dist.get_process_group_ranks(group), dist.get_backend(), dist.is_initialized(), dist.is_available())
    dist.barrier()

    error("no tensor", lambda: dist.all_reduce([1]))
    error("no list", lambda: dist.all_gather(torch.ones(1), torch.ones(1)))
    error("twice", lambda: dist.init_process_group("gloo"))
    error("types", lambda: dist.all_gather([torch.ones(1).double()] * 2, torch.ones(1)))
    error("to myself", lambda: dist.send(torch.ones(1), r))
    error("duplicates", lambda: dist.new_group([0, 0]))
    error("out of range", lambda: dist.new_group([0, 5]))
    error("bits of floats", lambda: dist.all_reduce(torch.ones(2), dist.ReduceOp.BAND))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = (torch.arange(3.0) + r).requires_grad_()
        y = F.all_reduce(x * 2)
        (y * (r + 1)).sum().backward()
        show("gradient of all_reduce", y, x.grad)
        x = (torch.arange(3.0) + r).requires_grad_()
        ys = F.all_gather(x * 2)
        (ys[0] * (r + 1) + ys[1] * 3).sum().backward()
        show("gradient of all_gather", *ys, x.grad)
        x = (torch.arange(3.0) + r).requires_grad_()
        y = F.broadcast(x * 2, 1)
        (y * (r + 1)).sum().backward()
        show("gradient of broadcast", y, x.grad)
        x = (torch.arange(4.0) + r).requires_grad_()
        y = F.all_to_all_single(torch.zeros(4), x * 2)
        (y * torch.arange(4.0) * (r + 1)).sum().backward()
        show("gradient of all_to_all_single", y, x.grad)
        xs = [torch.full((2,), k + 1.0 + r, requires_grad=True) for k in range(n)]
        y = F.reduce_scatter(torch.zeros(2), xs)
        (y * (r + 2)).sum().backward()
        show("gradient of reduce_scatter", y, *[t.grad for t in xs])
    dist.monitored_barrier()
    dist.monitored_barrier(timeout=timedelta(seconds=60), wait_all_ranks=True)
    if r == 0:  # the other one does not come
        error("monitored_barrier", lambda: dist.monitored_barrier(timeout=timedelta(seconds=1)))
    return found

"""FSDP by `FullyShardedDataParallel`, in the processes of `sharded`. It runs on either library."""

import functools

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.fsdp import (
    BackwardPrefetch,
    CPUOffload,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    MixedPrecision,
    ShardedOptimStateDictConfig,
    ShardedStateDictConfig,
    ShardingStrategy,
    StateDictType,
)
from torch.distributed.fsdp.wrap import (
    CustomPolicy,
    ModuleWrapPolicy,
    always_wrap_policy,
    enable_wrap,
    lambda_auto_wrap_policy,
    size_based_auto_wrap_policy,
    transformer_auto_wrap_policy,
    wrap,
)

STEPS = 20
seen = {}
FSDP = functools.partial(FullyShardedDataParallel, device_id=torch.device("cpu"), use_orig_params=True)


class Block(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.fc2(torch.relu(self.fc1(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.blocks, self.end = nn.Linear(6, 8), nn.Sequential(Block(), Block()), nn.Linear(8, 4)

    def forward(self, x):
        return self.end(self.blocks(self.start(x)))


def batches(seed):
    generator = torch.Generator().manual_seed(100 * seed + dist.get_rank())
    while True:
        yield torch.randn(8, 6, generator=generator), torch.randint(0, 4, (8,), generator=generator)


def shown(state):
    return {k: v.double().reshape(-1).tolist() for k, v in state.items()}


def train(name, model, optimizer, steps=STEPS, micro=1, clip=None, seed=1):
    """Trains with accumulation and clipping; notes losses and the whole weights."""
    data, losses = batches(seed), []
    for _ in range(steps):
        optimizer.zero_grad()
        for k in range(micro):
            x, y = next(data)
            if k < micro - 1:
                with model.no_sync():
                    F.cross_entropy(model(x), y).backward()
            else:
                loss = F.cross_entropy(model(x), y)
                loss.backward()
        if clip:
            norm = model.clip_grad_norm_(clip)
            losses.append(norm.item())
        optimizer.step()
        losses.append(loss.item())
        if dist.get_rank() == 0:  # reading concerns no other process
            print(name, loss.item(), loss, flush=True)
    with FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT):
        seen[name] = [losses, shown(model.state_dict())]


def fresh(seed=0):
    torch.manual_seed(seed)
    return Net()


def adam(model):
    return torch.optim.AdamW(model.parameters(), 0.01, foreach=False)


def training():
    blocks = ModuleWrapPolicy({Block})
    model = FSDP(fresh(), auto_wrap_policy=blocks, backward_prefetch=BackwardPrefetch.BACKWARD_POST, forward_prefetch=True)
    train("full shard", model, adam(model))
    model = FSDP(fresh(), auto_wrap_policy=blocks, sharding_strategy=ShardingStrategy.SHARD_GRAD_OP, limit_all_gathers=False)
    train("shard grad op", model, adam(model), 3)
    model = FSDP(fresh(), sharding_strategy=ShardingStrategy.NO_SHARD)
    train("no shard", model, adam(model), 4)
    mesh = dist.device_mesh.init_device_mesh("cpu", (1, 2), mesh_dim_names=("replicate", "shard"))
    hybrid = {"auto_wrap_policy": blocks, "sharding_strategy": ShardingStrategy.HYBRID_SHARD, "device_mesh": mesh}
    if "jaxnn" in torch.__file__:  # PyTorch's needs GPUs for this
        model = FSDP(fresh(dist.get_rank()), sync_module_states=True, **hybrid)
    else:
        model = FSDP(fresh(), **hybrid)
    train("hybrid", model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, foreach=False), 4, micro=2, clip=0.5)
    half = MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, buffer_dtype=torch.bfloat16)
    model = FSDP(fresh(), auto_wrap_policy=blocks, mixed_precision=half)
    x, y = next(batches(3))
    out = model(x)
    F.cross_entropy(out.float(), y).backward()
    seen["mixed"] = [str(out.dtype), sorted({str(p.dtype) for p in model.parameters()}),
                     sorted({str(p.grad.dtype) for p in model.parameters() if p.grad is not None})]  # fmt: skip
    seen["mixed out"] = out.float().tolist()


def structure(model):
    return {n: type(m).__name__ for n, m in model.named_modules()}


def policies():
    found = {}
    for name, policy in (
        ("none", None), ("always", always_wrap_policy), ("module", ModuleWrapPolicy([Block])),
        ("transformer", functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={Block})),
        ("size", functools.partial(size_based_auto_wrap_policy, min_num_params=100)),
        ("lambda", functools.partial(lambda_auto_wrap_policy, lambda_fn=lambda m: isinstance(m, nn.Linear))),
        ("custom", CustomPolicy(lambda m: {"sharding_strategy": ShardingStrategy.NO_SHARD} if isinstance(m, Block) else m is None)),
    ):  # fmt: skip
        model = FSDP(fresh(), auto_wrap_policy=policy)
        found[name] = [structure(model), [n for n, _ in model.named_parameters()], repr(model)]
        found[name].append(sorted(len(FullyShardedDataParallel.fsdp_modules(model, root_only=k)) for k in (True, False)))
    with enable_wrap(wrapper_cls=FullyShardedDataParallel, device_id=torch.device("cpu"), use_orig_params=True):
        torch.manual_seed(0)
        found["by hand"] = structure(wrap(nn.Sequential(wrap(nn.Linear(6, 8)), nn.Linear(8, 4))))
    found["not enabled"] = structure(wrap(nn.Linear(6, 8)))
    seen["policies"] = found


def states(path):
    """State_dicts of each type, saved and loaded; whole parameters for a while."""
    rank = dist.get_rank()
    model = FSDP(fresh(), auto_wrap_policy=ModuleWrapPolicy({Block}))
    optimizer = adam(model)
    train("before", model, optimizer, 3)
    full = FullStateDictConfig(rank0_only=True), FullOptimStateDictConfig(offload_to_cpu=False, rank0_only=True)
    found = {}
    with FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT, *full):
        settings = FullyShardedDataParallel.get_state_dict_type(model)
        found["settings"] = str(settings)
        weights, moments = model.state_dict(), FullyShardedDataParallel.optim_state_dict(model, optimizer)
    found["weights"] = shown(weights)
    found["moments"] = {n: shown(s) for n, s in moments.get("state", {}).items()}
    found["groups"] = [{k: v for k, v in g.items() if k in ("params", "lr", "betas")} for g in moments.get("param_groups", [])]
    if rank == 0:
        torch.save({"model": weights, "optimizer": moments}, f"{path}.pt")
    dist.barrier()
    held = torch.load(f"{path}.pt")
    again = FSDP(fresh(5), auto_wrap_policy=ModuleWrapPolicy({Block}))
    second = adam(again)
    with FullyShardedDataParallel.state_dict_type(again, StateDictType.FULL_STATE_DICT):
        found["load"] = str(again.load_state_dict(held["model"]))
        second.load_state_dict(FullyShardedDataParallel.optim_state_dict_to_load(again, second, held["optimizer"]))
    train("loaded", again, second, 3, seed=2)
    train("went on", model, optimizer, 3, seed=2)
    sharded = ShardedStateDictConfig(offload_to_cpu=False), ShardedOptimStateDictConfig(offload_to_cpu=False)
    FullyShardedDataParallel.set_state_dict_type(model, StateDictType.SHARDED_STATE_DICT, *sharded)
    parts = model.state_dict()
    third = FSDP(fresh(6), auto_wrap_policy=ModuleWrapPolicy({Block}))
    fourth = adam(third)
    FullyShardedDataParallel.set_state_dict_type(third, StateDictType.SHARDED_STATE_DICT, *sharded)
    third.load_state_dict(parts)
    fourth.load_state_dict(
        FullyShardedDataParallel.optim_state_dict_to_load(third, fourth, FullyShardedDataParallel.optim_state_dict(model, optimizer))
    )
    found["sharded keys"] = list(parts)
    train("from shards", third, fourth, 3, seed=4)
    train("same", model, optimizer, 3, seed=4)
    with FullyShardedDataParallel.summon_full_params(model):
        found["summoned"] = {n: [list(p.shape), p.double().sum().item()] for n, p in model.named_parameters()}
        with torch.no_grad():
            model.end.bias.fill_(3.0)
    with FullyShardedDataParallel.summon_full_params(model, writeback=False):
        found["written"] = model.end.bias.tolist()
        with torch.no_grad():
            model.end.bias.zero_()
    with FullyShardedDataParallel.summon_full_params(model, with_grads=True):
        found["kept"] = model.end.bias.tolist()
        found["gradient"] = model.blocks[0].fc1.weight.grad.double().sum().item()
    model.apply(lambda m: m.bias.data.fill_(0.5) if isinstance(m, nn.Linear) else None)
    with FullyShardedDataParallel.summon_full_params(model, recurse=False, rank0_only=True, writeback=False):
        found["applied"] = model.end.bias.tolist() if rank == 0 else None
    found["module"] = [type(model.module).__name__, model.check_is_root(), model.start is model.module.start]
    seen["states"] = found


def errors():
    found = []
    for bad in (
        lambda: FSDP(fresh(), device_mesh=dist.device_mesh.init_device_mesh("cpu", (2,)), process_group=dist.group.WORLD),
        lambda: FSDP(nn.ModuleList([nn.Linear(2, 2)]), auto_wrap_policy=always_wrap_policy),
        lambda: FSDP(fresh(), ignored_modules=[3]),
        lambda: FSDP(fresh(), ignored_modules=3),
        lambda: FSDP(FSDP(nn.Linear(2, 2)), auto_wrap_policy=always_wrap_policy),
        lambda: FSDP(fresh(), ignored_states=[torch.ones(2)]),
        lambda: FullyShardedDataParallel.set_state_dict_type(
            FSDP(nn.Linear(2, 2)), StateDictType.FULL_STATE_DICT, ShardedStateDictConfig()
        ),
        lambda: ModuleWrapPolicy(3),
    ):
        try:
            bad()
            found.append("nothing")
        except Exception as error:
            found.append([type(error).__name__, str(error)[:60]])
    seen["errors"] = found
    classes = repr(ModuleWrapPolicy([Block])).partition("({")[2]
    seen["texts"] = [repr(CPUOffload()), repr(MixedPrecision()), str(list(ShardingStrategy)), classes]


def wrapped(path):
    """What came out, by name."""
    training()
    policies()
    states(path)
    errors()
    return seen

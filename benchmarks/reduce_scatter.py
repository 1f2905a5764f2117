"""What XLA for TPUs makes of the collectives of a training step, compiled here ahead of time for 8 chips that are not there.

    pip install libtpu
    python -m benchmarks.reduce_scatter                    # about a minute; prints a line for each way

A step is recorded on 8 CPU devices, replicated and under `fully_shard`; the very program that the library would run is then compiled for
a TPU v5e of 2 x 4 chips. XLA's CPU backend writes a reduce-scatter as an all-reduce of which each device keeps its part; the TPU's has
a pass for it. Nothing runs on a TPU. The last line is no step of the library's: two products with weights of 1,024 x 1,024 in `jax.jit`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections import Counter
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}  # there is no machine of Google's to ask

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def chips() -> Mesh:
    """The mesh of a TPU v5e of 2 x 4 chips, without any."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x4").devices
    return Mesh(np.array(devices), ("dim_0",), axis_types=(AxisType.Auto,))


def elsewhere(sharding: Any, mesh: Mesh) -> NamedSharding:
    """The same sharding over other devices; what lies on one is replicated."""
    return NamedSharding(mesh, sharding.spec if isinstance(sharding, NamedSharding) else PartitionSpec())


def evaluated(jaxpr: Any, consts: Any, mesh: Mesh, *given: Any) -> list[Any]:
    """A program's operations, its constraints over another mesh."""
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, given, strict=True))

    def read(v: Any) -> Any:
        return v.val if hasattr(v, "val") else env[v]

    for eqn in jaxpr.eqns:
        values = [read(v) for v in eqn.invars]
        if eqn.primitive.name == "sharding_constraint":
            made = [jax.lax.with_sharding_constraint(values[0], elsewhere(eqn.params["sharding"], mesh))]
        else:
            found = eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(eqn.params))
            made = found if eqn.primitive.multiple_results else [found]
        env |= dict(zip(eqn.outvars, made, strict=True))
    return [read(v) for v in jaxpr.outvars]


def compiled(traced: Any, given: Any, mesh: Mesh) -> str:
    """The optimized program for the chips of a traced one whose arguments lie as ``given`` does."""
    leaves = jax.tree.leaves(given)
    arguments = [
        jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=elsewhere(getattr(x, "sharding", None), mesh)) for x in leaves
    ]
    closed = traced.jaxpr

    def run(*values: Any) -> list[Any]:
        return evaluated(closed.jaxpr, closed.consts, mesh, *values)

    with jax.enable_x64(True):  # as the library traced it
        return jax.jit(run).lower(*arguments).compile().as_text()


def collectives(text: str) -> dict[str, int]:
    """How many collectives of each kind a program has; a reduce-scatter is a fusion there that calls %all-reduce-scatter.

    One that runs beside other work stands in several fusions, under one channel.
    """
    found: set[tuple[str, str]] = set()
    inside = ""
    for line in text.splitlines():
        if line.endswith("{"):
            inside = line
        called = re.search(r" ([a-z-]+?)(?:-start)?\(.*channel_id=(\d+)", line)
        if called and called[1] in KINDS:
            scatters = "all-reduce-scatter" in inside.partition("(")[0]
            found.add(("reduce-scatter" if scatters else called[1], called[2]))
    return dict(Counter(kind for kind, _ in found))


def step(sharded: bool, width: int = 256) -> tuple[Any, Any]:
    """The step of a small Transformer as the library traces it, and its arguments."""
    import jaxnn as torch
    from jaxnn import nn
    from jaxnn.core.run import program
    from jaxnn.distributed.fsdp import fully_shard
    from jaxnn.distributed.tensor import DTensor, Shard, init_device_mesh

    mesh = init_device_mesh("cpu", (8,))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width), nn.LayerNorm(width))
    model = fully_shard(model, mesh=mesh) if sharded else model.to(mesh.sharding())
    optimizer = torch.optim.AdamW(model.parameters())
    seen: list[tuple[Any, Any]] = []
    made = program.jax.jit

    def keeping(run: Any, **options: Any) -> Any:
        jitted = made(run, **options)

        class Kept:
            def trace(self, *args: Any) -> Any:
                traced = jitted.trace(*args)
                seen.append((traced, args))
                return traced

            def __call__(self, *args: Any) -> Any:
                return jitted(*args)

        return Kept()

    program.jax.jit = keeping
    try:
        x = DTensor.from_local(torch.randn(2048, width), mesh, [Shard(0)])
        loss = (model(x) - x).pow(2).mean()
        loss.backward()
        optimizer.step()
        loss.item()
    finally:
        program.jax.jit = made
    return max(seen, key=lambda pair: len(pair[0].jaxpr.jaxpr.eqns))


def plain(mesh: Mesh, width: int = 1024) -> str:
    """Two products under `jax.jit`, weights and their gradients divided."""
    rows = NamedSharding(mesh, PartitionSpec("dim_0"))

    def loss(weights: Any, x: Any) -> Any:
        return ((jax.nn.relu(x @ weights[0]) @ weights[1] - x) ** 2).mean()

    def update(weights: Any, x: Any) -> Any:
        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, jax.grad(loss)(weights, x))

    weight = jax.ShapeDtypeStruct((width, width), np.float32, sharding=rows)
    x = jax.ShapeDtypeStruct((8192, width), np.float32, sharding=rows)
    return jax.jit(update, out_shardings=[rows, rows]).lower([weight, weight], x).compile().as_text()


def main() -> int:
    """Print the collectives of each program."""
    if importlib.util.find_spec("libtpu") is None:
        print("libtpu is not installed: pip install libtpu")
        return 1
    mesh = chips()
    for name, sharded in (("replicated", False), ("fully_shard", True)):
        print(json.dumps({"step": name, "tpu": collectives(compiled(*step(sharded), mesh))}), flush=True)
    print(json.dumps({"plain jax.jit": "1,024 x 1,024", "tpu": collectives(plain(mesh))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

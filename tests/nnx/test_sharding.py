"""Flax's guide to scaling up, and the sharded optimizer of its cookbook, on eight pretended devices in a process of its own.

Each use runs on a plain nnx model and on its twin: the values are the same, and so are the shardings.
"""

import os
import subprocess
import sys
import textwrap

PROGRAM = """
    import contextlib, tempfile
    from functools import partial
    from pathlib import Path

    import jax, jax.numpy as jnp, numpy as np, optax
    import orbax.checkpoint as ocp
    from flax import nnx
    from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

    import jaxnn
    from jaxnn import nn

    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    WIDTH = 8
    init = nnx.initializers.lecun_normal()
    draw = np.random.default_rng(0)
    KERNELS = [draw.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 3 for _ in range(2)]

    def everywhere(array):
        return jax.device_put(array, NamedSharding(mesh, P()))

    def kernel(number):
        return lambda key, shape, dtype=jnp.float32: everywhere(KERNELS[number])

    class Plain(nnx.Module):
        def __init__(self, rngs=None, names=("model", None), **metadata):
            rngs = rngs or nnx.Rngs(0)
            self.dot = nnx.Linear(WIDTH, WIDTH, use_bias=False, rngs=rngs,
                                  kernel_init=nnx.with_partitioning(kernel(0), names[::-1], **metadata))
            self.w2 = nnx.Param(everywhere(KERNELS[1]), out_sharding=names, **metadata)

        def __call__(self, x):
            y = jax.lax.with_sharding_constraint(jax.nn.relu(self.dot(x)), P("data", "model"))
            return y @ self.w2

        def arrays(self):
            return self.dot.kernel[...], self.w2[...]

    class Twin(nn.Module):
        def __init__(self, rngs=None, names=("model", None), **metadata):
            super().__init__()
            self.dot = nn.Linear(WIDTH, WIDTH, bias=False)
            self.dot.weight = nn.Parameter(everywhere(KERNELS[0].T), out_sharding=names, **metadata)
            self.w2 = nn.Parameter(nnx.with_partitioning(kernel(1), names, **metadata)(None, (WIDTH, WIDTH)))

        def forward(self, x):
            return self.dot(x).relu() @ self.w2

        def arrays(self):
            return jnp.swapaxes(self.dot.weight[...], -1, -2), self.w2[...]

    def specs(model):
        found = {".".join(map(str, k)): v.get_raw_value() for k, v in nnx.to_flat_state(nnx.get_partition_spec(nnx.state(model)))}
        return found.get("dot.kernel", found.get("dot.weight") and P(*reversed(found["dot.weight"]))), found["w2"]

    def placed(model):
        weight = getattr(model.dot, "kernel", None) if isinstance(model, Plain) else model.dot.weight
        return weight[...].sharding.shard_shape(weight.shape), model.w2[...].sharding

    def both(use, exact=False):
        theirs, ours = use(Plain), use(Twin)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            if isinstance(a, (str, P)):
                assert a == b, (use, a, b)
            elif isinstance(a, jax.sharding.Sharding):
                assert a.is_equivalent_to(b, 2), (use, a, b)
            else:
                np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)

    X = draw.standard_normal((8, WIDTH)).astype(np.float32)
    Y = draw.standard_normal((8, WIDTH)).astype(np.float32)

    # Parameters are sharded as they are made, eagerly and in jit; a batch is sharded along another axis.
    def eager(kind):
        model = kind()
        x = jax.device_put(X, NamedSharding(mesh, P("data", None)))
        out = model(x)
        return out, jax.jit(lambda m, x: m(x))(model, x), nnx.jit(lambda m, x: m(x))(model, x), specs(model), placed(model)[1]

    def in_jit(kind):
        @nnx.jit
        def make():
            model = kind()
            state = nnx.state(model)
            nnx.update(model, jax.lax.with_sharding_constraint(state, nnx.get_partition_spec(state)))
            return model
        model = make()
        return model.arrays(), placed(model)[1], placed(model)[0][0] * placed(model)[0][1]

    def trained(kind):
        model = kind()
        optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
        x, y = (jax.device_put(v, NamedSharding(mesh, P("data", None))) for v in (X, Y))

        @nnx.jit
        def step(model, optimizer, x, y):
            loss, grads = nnx.value_and_grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
            optimizer.update(model, grads)
            return loss

        losses = [step(model, optimizer, x, y) for _ in range(3)]
        return losses, model.arrays(), placed(model)[1], specs(model)

    def stacked(kind):
        # Layers that are scanned over: the new axis is not sharded.
        @nnx.vmap(axis_size=3, in_axes=None, transform_metadata={nnx.PARTITION_NAME: None})
        def make():
            return kind()
        layers = make()
        out, _ = jax.lax.scan(lambda x, layer: (layer(x), None), jnp.asarray(X), layers)
        return out, layers.w2[...], layers.w2.out_sharding, specs(layers)[1]

    def checkpoint(kind):
        model = kind()
        with tempfile.TemporaryDirectory() as folder, ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(Path(folder) / "one", nnx.state(model))
            graphdef, abstract = nnx.get_abstract_model(kind, mesh)
            checkpointer.wait_until_finished()
            restored = nnx.merge(graphdef, checkpointer.restore(Path(folder) / "one", target=abstract))
        return restored.arrays(), placed(restored)[1], restored(X)

    def logical(kind):
        with nnx.logical_axis_rules((("hidden", "model"), ("embed", None))):
            model = kind(names=("hidden", "embed"))
            return model(X), placed(model)[1], model.w2.out_sharding

    def optimizer_sharding(kind):
        # The optimizer's state is sharded, the model is not.
        model = kind(names=(None, None), optimizer_sharding=("model", None))
        optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
        moments = [v for v in jax.tree.leaves(nnx.state(optimizer)) if v.ndim == 2]
        return sorted(str(m.sharding.shard_shape(m.shape)) for m in moments), model(X), placed(model)[1]

    def by_device_put(kind):
        model = kind()
        nnx.update(model, jax.device_put(nnx.state(model), NamedSharding(mesh, P())))
        return model(X), placed(model)[1]

    def shard_mapped(kind):
        model = kind(names=(None, None))
        run = nnx.shard_map(lambda m, x: m.dot(x), mesh=mesh, in_specs=(P(), P("data", None)), out_specs=P("data", None))
        return run(model, jnp.asarray(X))

    with jax.set_mesh(mesh):
        for use in (eager, in_jit, trained, stacked, checkpoint, logical, optimizer_sharding, by_device_put, shard_mapped):
            both(use)
            print(use.__name__)

    # PyTorch's loop on sharded parameters: they stay where they are.
    with jax.set_mesh(mesh):
        model = Twin()
        optimizer = jaxnn.optim.SGD(model.parameters(), lr=0.1)
        before = placed(model)[1]
        for _ in range(2):
            optimizer.zero_grad()
            ((model(jaxnn.from_numpy(X)) - jaxnn.from_numpy(Y)) ** 2).mean().backward()
            optimizer.step()
        assert placed(model)[1].is_equivalent_to(before, 2), placed(model)[1]
    print("pytorch")

    # Explicit axes, which `jax.make_mesh` makes unless it is told otherwise: calls outside a transformation, too.
    explicit = jax.make_mesh((8,), ("x",))
    plain, twin = nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(0)), nn.Linear(WIDTH, WIDTH)
    twin.weight.set_value(plain.kernel[...].T), twin.bias.set_value(plain.bias[...])
    plain = jax.device_put(plain, jax.tree.map(lambda a: NamedSharding(explicit, P(*(None,) * (a.ndim - 1), "x")), plain))
    twin = jax.device_put(twin, NamedSharding(explicit, P("x")))
    x = jnp.ones((2, WIDTH))
    uses = [lambda m: m(x), lambda m: m(jax.device_put(x, NamedSharding(explicit, P()))), lambda m: nnx.jit(lambda m: m(x))(m)]
    for context in (jax.set_mesh(explicit), contextlib.nullcontext()):
        with context:
            for use in uses:
                theirs, ours = use(plain), use(twin)
                assert ours.sharding == theirs.sharding and ours.sharding.mesh == explicit
                np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    twin(jaxnn.ones(2, WIDTH)).sum().backward()
    np.testing.assert_allclose(twin.weight.grad.numpy(), np.full((WIDTH, WIDTH), 2))
    print("explicit")
"""

USES = "eager in_jit trained stacked checkpoint logical optimizer_sharding by_device_put shard_mapped pytorch explicit".split()


def test_sharding():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROGRAM)], env=environment, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.stdout.split() == USES and done.returncode == 0, done.stderr[-3000:]

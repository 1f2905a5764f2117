"""Where arrays live when JAX's default is another device than the CPU: a second one is pretended in a process of its own."""

import os
import subprocess
import sys
import textwrap

PROGRAM = """
    import jax, jax.numpy as jnp, numpy as np, optax
    from flax import nnx
    import jaxnn
    from jaxnn import nn
    from jaxnn.core.record.at_once import tensor_of

    first, second, third = jax.devices()
    def where(t):
        return t._storage.aval.placement

    # PyTorch's loop stays on the CPU, whatever JAX's default is.
    jax.config.update("jax_default_device", second)
    jaxnn.manual_seed(0)
    plain = nn.Linear(3, 2)
    optimizer = jaxnn.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        plain(jaxnn.ones(4, 3)).sum().backward()
        optimizer.step()
    assert where(plain.weight) == first and where(plain.weight.grad) == first
    assert plain.weight[...].devices() == {first}

    # README's loop for Flax runs where JAX's other arrays are.
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    twin = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, x):
        loss, grads = nnx.value_and_grad(lambda m: jnp.mean(m(x) ** 2))(model)
        optimizer.update(model, grads)
        return loss

    loss = step(model, optimizer, jnp.ones((4, 3)))
    assert loss.devices() == twin.kernel[...].devices() == {second}
    for t in (*model.parameters(), *model.buffers()):
        assert where(t) == second and t._raw_value.devices() == {second}, t
    assert model(jnp.ones((4, 3))).devices() == {second}
    out = model(tensor_of(jnp.ones((4, 3))))
    out.sum().backward()
    assert where(model[0].weight.grad) == second

    # The same for JAX's own functions, which take a module for a tree.
    layer = nn.Linear(3, 2)
    assert jax.jit(lambda m, x: m(x))(layer, jnp.ones((1, 3))).devices() == {second}

    # A call with arrays alone, and variables that no module of ours holds.
    x = jnp.ones((1, 3))
    assert nn.Linear(3, 2)(x).devices() == nn.LSTM(3, 2)(x)[0].devices() == {second}
    assert nn.Linear(3, 2)(jax.device_put(x, first)).devices() == {first}
    settled = nn.Linear(3, 2)
    assert settled(np.ones((1, 3), np.float32)).devices() == {first}
    nnx.split(settled)
    assert settled(np.ones((1, 3), np.float32)).devices() == {second}
    placed, theirs = jax.device_put(nn.Linear(3, 2), third), jax.device_put(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), third)
    assert placed(x).devices() == theirs(x).devices() == {third}, "an array without a place follows the module"

    class Holder(nnx.Module):
        def __init__(self):
            self.p, self.b = nn.Parameter(jaxnn.ones(3)), nn.Buffer(jaxnn.ones(3))
            self.listed = nnx.List([nn.Parameter(jaxnn.ones(3))])

        def __call__(self, x):
            return x * self.p[...] + self.b[...] + self.listed[0][...]

    committed = jax.device_put(x, second)
    for graph in (True, False):
        assert nnx.jit(lambda h, x: h(x), graph=graph)(Holder(), committed).devices() == {second}
    alone = nn.Parameter(jaxnn.ones(3))
    assert alone[...].devices() == {first}, "to read it moves nothing"
    assert jax.jit(lambda p, x: p[...] * x)(alone, committed).devices() == {second}

    # What somebody has put elsewhere stays there, and the switch keeps all where it is.
    with jax.default_device(first):
        kept = nn.Linear(3, 2)
        nnx.split(kept)
        assert where(kept.weight) == first
    jaxnn.follow_jax_default_device(False)
    kept = nn.Linear(3, 2)
    nnx.split(kept)
    assert where(kept.weight) == first
    print("done")
"""


def test_jax_default_device():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stderr[-3000:]

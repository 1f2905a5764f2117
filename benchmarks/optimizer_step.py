"""What `optimizer.step()` costs for a model of many parameter tensors: `python benchmarks/optimizer_step.py`.

Gradients are given, so that a step is the update alone. Compared: jaxnn, `nnx.jit` of the same optax update on an
`nnx.Optimizer`, `jax.jit` of it on flat lists with donated memory, and PyTorch's eager step. The variants take turns in
rounds, each waits for its last parameter; figures are the median over the rounds.
"""

import argparse
import statistics
import time

import numpy as np

TENSORS, SIZE = 200, 64
RATE = {"sgd": 0.01, "adam": 0.001}


def arrays(seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(SIZE).astype(np.float32) for _ in range(TENSORS)]


def imperative(torch, kind):
    """PyTorch's loop, for PyTorch and for jaxnn."""
    params = [torch.nn.Parameter(torch.from_numpy(a)) for a in arrays(0)]
    grads = [torch.from_numpy(a) for a in arrays(1)]
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind](params, lr=RATE[kind])
    for p, g in zip(params, grads, strict=True):
        p.grad = g
    return optimizer.step, lambda: params[-1].detach().numpy()


def torch_step(kind):
    import torch  # nothing else needs it

    return imperative(torch, kind)


def jaxnn_step(kind):
    import jaxnn

    return imperative(jaxnn, kind)


def _optax(kind):
    import optax

    return {"sgd": optax.sgd, "adam": optax.adam}[kind](RATE[kind])


def nnx_step(kind):
    import jax.numpy as jnp
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self):
            self.weights = nnx.List([nnx.Param(jnp.asarray(a)) for a in arrays(0)])

    model = Model()
    optimizer = nnx.Optimizer(model, _optax(kind), wrt=nnx.Param)
    grads = nnx.state(model, nnx.Param)
    nnx.update(given := Model(), grads)
    for w, a in zip(given.weights, arrays(1), strict=True):
        w[...] = jnp.asarray(a)
    grads = nnx.state(given, nnx.Param)
    compiled = nnx.jit(lambda model, optimizer, grads: optimizer.update(model, grads) and None)
    return lambda: compiled(model, optimizer, grads), lambda: np.asarray(model.weights[TENSORS - 1][...])


def flat_step(kind):
    import jax
    import jax.numpy as jnp
    import optax

    transformation = _optax(kind)
    params = [jnp.asarray(a) for a in arrays(0)]
    grads = [jnp.asarray(a) for a in arrays(1)]
    held = [params, transformation.init(params)]

    @jax.jit(donate_argnums=(0, 1))
    def pure(params, state, grads):
        changes, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, changes), state

    def step():
        held[:] = pure(*held, grads)

    return step, lambda: np.asarray(held[0][-1])


VARIANTS = {"torch": torch_step, "jaxnn": jaxnn_step, "nnx.jit": nnx_step, "jax.jit": flat_step}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--optimizer", nargs="+", default=["sgd", "adam"], choices=list(RATE))
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--steps", type=int, default=50)
    given = options.parse_args()
    for kind in given.optimizer:
        variants = {name: make(kind) for name, make in VARIANTS.items()}
        for step, wait in variants.values():
            for _ in range(5):
                step()
            wait()
        results = [wait() for _, wait in variants.values()]
        for other in results[1:]:
            np.testing.assert_allclose(other, results[0], rtol=1e-5, atol=1e-6)
        taken: dict[str, list[float]] = {name: [] for name in variants}
        names = list(variants)
        for number in range(given.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                step, wait = variants[name]
                step()
                wait()
                start = time.perf_counter()
                for _ in range(given.steps):
                    step()
                wait()
                taken[name].append((time.perf_counter() - start) / given.steps)
        print(f"{kind}, {TENSORS} tensors of {SIZE}")
        for name, seconds in taken.items():
            ratios = [a / b for a, b in zip(seconds, taken["nnx.jit"], strict=True)]
            print(
                f"  {name:8} {1e6 * statistics.median(seconds):8.0f} us a step   / nnx.jit {statistics.median(ratios):5.2f}"
            )


if __name__ == "__main__":
    main()

"""A training step of many small parameter tensors, with clipping and Adam: `python benchmarks/many_parameters.py`.

Each variant runs in a process of its own, which times its first step (compilation included), keeps its peak memory, and
then takes steps when it is told to: in turns with the others, so that a busy machine slows all alike. Times are of the processor.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

RATE, LARGEST_NORM = 1e-3, 1.0
#: The shapes of a "mixed" model, in turn; a "small" one has the first alone.
SHAPES = [(16,), (64, 64), (256,), (3, 3), (128, 64)]


def arrays(count, kind):
    rng = np.random.default_rng(0)
    shapes = SHAPES if kind == "mixed" else SHAPES[:1]
    return [rng.standard_normal(shapes[k % len(shapes)]).astype(np.float32) for k in range(count)]


def imperative(torch, count, kind):
    """PyTorch's loop, for PyTorch and for jaxnn."""
    params = [torch.nn.Parameter(torch.from_numpy(a)) for a in arrays(count, kind)]
    optimizer = torch.optim.Adam(params, lr=RATE)

    def step():
        optimizer.zero_grad()
        loss = torch.stack([(p * p).sum() for p in params]).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, LARGEST_NORM)
        optimizer.step()
        return loss.detach()

    return step


def torch_step(count, kind):
    import torch  # only the process that measures it loads it

    return imperative(torch, count, kind)


def jaxnn_step(count, kind):
    import jaxnn

    return imperative(jaxnn, count, kind)


def nnx_step(count, kind):
    import jax.numpy as jnp
    import optax
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self):
            self.weights = nnx.List([nnx.Param(jnp.asarray(a)) for a in arrays(count, kind)])

    def loss_of(model):
        return jnp.stack([(w[...] * w[...]).sum() for w in model.weights]).sum()

    @nnx.jit
    def compiled(model, optimizer):
        loss, gradients = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradients)
        return loss

    model = Model()
    chain = optax.chain(optax.clip_by_global_norm(LARGEST_NORM), optax.adam(RATE))
    optimizer = nnx.Optimizer(model, chain, wrt=nnx.Param)
    return lambda: compiled(model, optimizer)


VARIANTS = {"torch": torch_step, "jaxnn": jaxnn_step, "nnx.jit": nnx_step}


def child(variant, count, kind):
    """Print the first step's seconds, the loss after some more and the peak memory; then a step's seconds for each line."""
    step = VARIANTS[variant](count, kind)
    start = time.process_time()
    float(step())
    first = time.process_time() - start
    losses = [float(step()) for _ in range(3)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
    print(json.dumps({"first": first, "loss": losses[-1], "peak": peak}), flush=True)
    for line in sys.stdin:
        start = time.process_time()
        for _ in range(int(line)):
            float(step())
        print((time.process_time() - start) / int(line), flush=True)


def compare(count, kind, names, rounds, steps):
    """One variant after the other takes its first step, then all take turns."""
    children, firsts = {}, {}
    for name in names:
        command = [sys.executable, __file__, "--child", name, str(count), kind]
        children[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        firsts[name] = json.loads(children[name].stdout.readline())
    taken = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            children[name].stdin.write(f"{steps}\n")
            children[name].stdin.flush()
            taken[name].append(float(children[name].stdout.readline()))
    for process in children.values():
        process.stdin.close()
        process.wait()
    for first in firsts.values():
        np.testing.assert_allclose(first["loss"], firsts[names[0]]["loss"], rtol=1e-4)
    print(f"{count} {kind} tensors       first step s  / others'        peak MB   ms a step  / others'")
    for name in names:
        others = [other for other in names if other != name]
        first = ", ".join(f"{firsts[name]['first'] / firsts[o]['first']:.2f} {o}" for o in others)
        ratios = {o: statistics.median(a / b for a, b in zip(taken[name], taken[o], strict=True)) for o in others}
        steady = ", ".join(f"{ratio:.2f} {o}" for o, ratio in ratios.items())
        peak, ms = firsts[name]["peak"], 1e3 * statistics.median(taken[name])
        print(f"  {name:8} {firsts[name]['first']:12.2f}  {first:28} {peak:6.0f}  {ms:8.2f}  {steady}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--counts", nargs="+", type=int, default=[20, 200, 1000])
    options.add_argument("--kinds", nargs="+", default=["small"], choices=["small", "mixed"])
    options.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--steps", type=int, default=10)
    given = options.parse_args()
    for kind in given.kinds:
        for count in given.counts:
            compare(count, kind, given.variants, given.rounds, given.steps)


if __name__ == "__main__":
    main()

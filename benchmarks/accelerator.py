"""Numbers and speed on an accelerator: one command, under eight minutes, nothing downloaded.

    python benchmarks/accelerator.py [--only numbers loop resnet50 gpt2 vit] [--steps 20] [--json FILE] [--small]

`numbers` compares a choice of operators and their gradients on the accelerator with the CPU, `loop` a training loop with what
surrounds it. The three networks are trained in bfloat16 (autocast) by jaxnn's plain loop, a flat `jax.jit` of pure functions,
and, where PyTorch sees a GPU, PyTorch eager and `torch.compile`; each in a process of its own. Exit status 1 where a number
disagrees. `--small` runs tiny networks, on a CPU too: a check of the script.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from accelerator_models import FULL, SMALL, build, pure  # noqa: E402

VARIANTS = ("jaxnn", "jax.jit", "torch", "torch.compile")


# --- numbers -------------------------------------------------------------------------------------------------------


def rows(torch):
    """Name, function of tensors, shapes of its float32 arguments, and the error allowed relative to the largest value."""
    nn, F = torch.nn, torch.nn.functional
    conv = lambda **options: lambda x, w: F.conv2d(x, w, **options)
    square = (4, 12, 12)
    attend, heads = F.scaled_dot_product_attention, [(2, 4, 24, 16)] * 3
    grouped = [(2, 4, 24, 16), (2, 2, 20, 16), (2, 2, 20, 16)]
    half = lambda function: lambda *operands: function(*(a.bfloat16() for a in operands)).float()
    symmetric = lambda a: a @ a.mT + 4 * torch.eye(a.shape[-1], device=a.device)
    labels = lambda x: torch.arange(x.shape[0], device=x.device) % x.shape[1]
    return [
        ("matmul", lambda a, b: a @ b, [(96, 200), (200, 64)], 1e-5),
        ("linear", F.linear, [(32, 100), (50, 100), (50,)], 1e-5),
        ("conv2d 3x3", conv(padding=1), [(4, 16, 20, 20), (32, 16, 3, 3)], 2e-3),  # TF32 is allowed, as in cuDNN
        ("conv2d 7x7 stride 2", conv(padding=3, stride=2), [(2, 3, 32, 32), (16, 3, 7, 7)], 2e-3),
        ("conv2d groups", conv(padding=1, groups=4), [(2, 16, 12, 12), (32, 4, 3, 3)], 2e-3),
        ("conv2d depthwise dilated", conv(padding=2, dilation=2, groups=16), [(2, 16, 12, 12), (16, 1, 3, 3)], 2e-3),
        ("conv1d", lambda x, w: F.conv1d(x, w, padding=2), [(4, 8, 40), (12, 8, 5)], 2e-3),
        ("conv3d", lambda x, w: F.conv3d(x, w), [(2, 3, 8, 8, 8), (4, 3, 3, 3, 3)], 2e-3),
        ("conv_transpose2d", lambda x, w: F.conv_transpose2d(x, w, stride=2), [(2, 8, 9, 9), (8, 6, 3, 3)], 2e-3),
        ("max_pool2d", lambda x: F.max_pool2d(x, 3, 2, 1), [(2, 4, 15, 15)], 1e-6),
        ("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1), [(2, 4, 15, 15)], 1e-5),
        ("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 5), [(2, 4, 13, 13)], 1e-5),
        ("batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [(8, 6, 9, 9), (6,), (6,)], 1e-4),
        ("layer_norm", lambda x, w, b: F.layer_norm(x, (64,), w, b), [(8, 10, 64), (64,), (64,)], 1e-4),
        ("group_norm", lambda x: F.group_norm(x, 4), [(4, 16, 9, 9)], 1e-4),
        ("rms_norm", lambda x, w: F.rms_norm(x, (64,), w), [(8, 64), (64,)], 1e-4),
        ("softmax", lambda x: F.softmax(x, -1), [(20, 50)], 1e-5),
        ("cross_entropy", lambda x: F.cross_entropy(x, labels(x), label_smoothing=0.1), [(30, 50)], 1e-5),
        ("gelu", F.gelu, [(40, 40)], 1e-5),
        ("silu", F.silu, [(40, 40)], 1e-5),
        ("attention", attend, heads, 1e-4),
        ("attention causal", lambda q, k, v: attend(q, k, v, is_causal=True), heads, 1e-4),
        ("attention bfloat16", half(attend), heads, 3e-2),
        ("attention bfloat16 causal", half(lambda q, k, v: attend(q, k, v, is_causal=True, scale=0.3)), heads, 3e-2),
        ("attention bfloat16 grouped", half(lambda q, k, v: attend(q, k, v, enable_gqa=True)), grouped, 3e-2),
        ("attention bfloat16 odd", half(attend), [(2, 4, 23, 16), (2, 4, 19, 16), (2, 4, 19, 16)], 3e-2),
        ("attention bfloat16 masked", half(lambda q, k, v: attend(q, k, v, q[..., :1] > k[..., None, :, 0])), heads, 3e-2),
        ("attention second derivative", half(lambda q, k, v: _penalty(torch, attend(q, k, v), q)), heads, 3e-2),
        ("embedding", lambda w: F.embedding(torch.arange(40, device=w.device) % 7, w), [(9, 12)], 1e-6),
        ("grid_sample", lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False), [(2, 3, 9, 9), (2, 7, 7, 2)], 1e-4),
        ("interpolate", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), [(2, 3, 9, 9)], 1e-5),
        ("sort", lambda x: x.sort(-1)[0], [square], 1e-6),
        ("topk", lambda x: x.topk(3)[0], [square], 1e-6),
        ("cumsum", lambda x: x.cumsum(-1), [square], 1e-5),
        ("logsumexp", lambda x: x.logsumexp(-1), [square], 1e-5),
        ("var", lambda x: x.var(-1), [square], 1e-5),
        ("norm", lambda x: x.norm(dim=-1), [square], 1e-5),
        ("index", lambda x: x[:, [3, 1, 3]], [square], 1e-6),
        ("gather", lambda x: x.gather(1, torch.zeros(4, 2, 12, dtype=torch.int64, device=x.device)), [square], 1e-6),
        ("scatter_add", lambda x: x.scatter_add(1, torch.ones(4, 3, 12, dtype=torch.int64, device=x.device), x[:, :3]), [square], 1e-5),
        ("masked_fill", lambda x: x.masked_fill(x > 0, 0.5), [square], 1e-6),
        ("einsum", lambda a, b: torch.einsum("bij,bkj->bik", a, b), [square, square], 1e-5),
        ("fft", lambda x: torch.fft.rfft(x).abs(), [(6, 30)], 1e-4),
        ("cholesky", lambda a: torch.linalg.cholesky(symmetric(a)), [(8, 8)], 1e-4),
        ("solve", lambda a, b: torch.linalg.solve(symmetric(a), b), [(8, 8), (8, 3)], 1e-4),
        ("qr", lambda a: torch.linalg.qr(symmetric(a))[1].abs(), [(8, 8)], 1e-3),
        ("svdvals", lambda a: torch.linalg.svdvals(a), [(9, 5)], 1e-4),
        ("erfinv", lambda x: torch.erfinv(x.tanh() * 0.9), [(30,)], 1e-4),
        ("lgamma", lambda x: torch.lgamma(x.abs() + 0.5), [(30,)], 1e-4),
        ("in-place through a view", lambda x: _written(x), [(6, 6)], 1e-6),
        ("lstm", lambda x: _seeded(torch, lambda: nn.LSTM(8, 12, 2).to(x.device))(x)[0], [(7, 3, 8)], 1e-4),
        ("gru", lambda x: _seeded(torch, lambda: nn.GRU(8, 12).to(x.device))(x)[0], [(7, 3, 8)], 1e-4),
        ("encoder layer", lambda x: _seeded(torch, lambda: nn.TransformerEncoderLayer(16, 2, 32, 0.0).to(x.device))(x), [(7, 3, 16)], 1e-4),
    ]  # fmt: skip


def _written(x):
    y = x * 2
    y[1:3].mul_(y[0])
    y[:, 2] = 1.0
    return y


def _penalty(torch, y, x):
    return torch.autograd.grad(y.float().pow(2).sum(), x, create_graph=True)[0]


def _seeded(torch, make):
    torch.manual_seed(3)
    return make()


def numbers(arguments):
    """Each row's values and gradients on the accelerator beside the CPU's: name, worst relative error, or the exception."""
    import numpy as np

    import jaxnn as torch

    there = accelerator(torch)
    result = []
    for name, function, shapes, allowed in rows(torch):
        if arguments.rows not in name:
            continue
        rng = np.random.default_rng(len(name))
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        found = []
        try:
            for device in ("cpu", there):
                leaves = [torch.tensor(array, device=device).requires_grad_() for array in arrays]
                value = function(*leaves)
                weight = torch.linspace(-1, 1, value.numel(), device=device).reshape(value.shape)
                (value * weight).sum().backward()
                wrong = {str(t.device) for t in [value, *(leaf.grad for leaf in leaves)]} - {str(leaves[0].device)}
                if wrong:
                    raise AssertionError(f"results lie on {wrong}, operands on {leaves[0].device}")
                found.append([t.detach().cpu().numpy() for t in [value, *(leaf.grad for leaf in leaves)]])
            error = max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-6)) for a, b in zip(*found, strict=True))
            agrees = error <= allowed
        except Exception as problem:  # the table says which row it was
            error, agrees = f"{type(problem).__name__}: {str(problem)[:300]}", False
        result.append({"row": name, "error": error, "allowed": allowed, "agrees": agrees})
    for row in result:
        if not row["agrees"]:
            print(f"  DIFFERS {row['row']}: {row['error']} (allowed {row['allowed']})", flush=True)
    good = [row for row in result if row["agrees"]]
    worst = max(good, key=lambda row: row["error"] / row["allowed"], default=None)
    print(f"numbers: {len(good)} of {len(result)} rows agree with the CPU; nearest to its limit: {worst}", flush=True)
    return result


def accelerator(torch):
    """The accelerator's name, or cpu where there is none."""
    import jax

    platform = jax.default_backend()
    return {"gpu": "cuda", "cuda": "cuda", "tpu": "xla"}.get(platform, "cpu")


def loop(arguments):
    """A training loop and what surrounds it, each as PyTorch's users write it; what failed, by name."""
    import tempfile

    import numpy as np

    import jaxnn as torch

    nn, F = torch.nn, torch.nn.functional
    there = accelerator(torch)
    failures = {}

    def train(device, autocast=None, scaler=False, optimizer=torch.optim.Adam, steps=8):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)).to(
            device
        )
        steering = optimizer(model.parameters(), lr=0.01)
        scale = torch.amp.GradScaler(device, enabled=scaler)
        rng = np.random.default_rng(0)
        losses = []
        for _ in range(steps):
            x = torch.from_numpy(rng.standard_normal((16, 1, 8, 8), dtype=np.float32)).to(device)
            y = torch.from_numpy(rng.integers(0, 10, 16)).to(device)
            steering.zero_grad()
            with torch.autocast(device, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
                loss = F.cross_entropy(model(x), y)
            scale.scale(loss).backward()
            scale.unscale_(steering)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scale.step(steering)
            scale.update()
            losses.append(loss.item())
        return model, losses

    def same(name, device_losses, cpu_losses, allowed):
        worst = float(np.max(np.abs(np.array(device_losses) - cpu_losses) / np.abs(cpu_losses)))
        if not worst <= allowed:
            raise AssertionError(f"{name}: losses differ by {worst}")

    def losses():
        for optimizer in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop):
            same(optimizer.__name__, train(there, optimizer=optimizer)[1], train("cpu", optimizer=optimizer)[1], 5e-3)

    def half():
        same("bfloat16", train(there, torch.bfloat16)[1], train("cpu", torch.bfloat16)[1], 5e-2)
        same("float16", train(there, torch.float16, scaler=True)[1], train("cpu")[1], 5e-2)

    def files():
        model, _ = train(there)
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), f"{folder}/model.pt")
            back = torch.load(f"{folder}/model.pt", map_location=there)
            other = train("cpu", steps=1)[0].to(there)
            other.load_state_dict(back)
            on_cpu = torch.load(f"{folder}/model.pt", map_location="cpu")
        for name, value in model.state_dict().items():
            assert back[name].device == value.device and on_cpu[name].device.type == "cpu", name
            np.testing.assert_array_equal(on_cpu[name].numpy(), value.cpu().numpy())

    def devices():
        x = torch.zeros(3, device=there)
        assert x.device.type == there and x.is_cuda == (there == "cuda"), x.device
        assert torch.zeros_like(x).device == x.device and x.new_ones(2).device == x.device
        assert x.to("cpu").device.type == "cpu" and torch.ones(2).to(x).device == x.device
        assert (x + 1.0).device == x.device and (x + torch.tensor(1.0)).device == x.device
        assert "cuda" in repr(x) or there != "cuda", repr(x)
        with torch.device(there):
            assert torch.ones(2).device == x.device
        if there == "cuda":
            assert torch.cuda.is_available() and torch.cuda.device_count() >= 1 and torch.cuda.get_device_name()
            torch.cuda.synchronize()
            assert torch.cuda.memory_allocated() > 0
            try:
                x + torch.ones(3)
            except RuntimeError as problem:
                assert "same device" in str(problem), problem
            else:
                raise AssertionError("tensors of two devices were added")

    def random():
        for make in (lambda: torch.rand(2000, 500, device=there), lambda: torch.randn(2000, 500, device=there)):
            torch.manual_seed(5)
            first = make()
            torch.manual_seed(5)
            assert (make() == first).all().item() and first.device.type == there
        mask = F.dropout(torch.ones(1000, 1000, device=there), 0.25)
        assert abs((mask == 0).float().mean().item() - 0.25) < 5e-3
        assert torch.randperm(100, device=there).sort()[0].tolist() == list(range(100))
        assert torch.multinomial(torch.ones(5, device=there), 3).device.type == there

    def programs():
        before = torch.engine_statistics()["compiled"]
        train(there, steps=4)
        middle = torch.engine_statistics()["compiled"]
        train(there, steps=20)
        assert torch.engine_statistics()["compiled"] == middle, (before, middle, torch.engine_statistics()["compiled"])

    def flax():
        import jax
        import optax
        from flax import nnx

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)).to(there)
        optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
        x = jax.numpy.ones((4, 8))

        @nnx.jit
        def step(model, optimizer, x):
            value, gradients = nnx.value_and_grad(lambda m: (m(x) ** 2).mean())(model)
            optimizer.update(model, gradients)
            return value

        assert float(step(model, optimizer, x)) > float(step(model, optimizer, x))

    def workers():
        data = torch.utils.data.TensorDataset(torch.arange(40.0).reshape(20, 2), torch.arange(20))
        loader = torch.utils.data.DataLoader(data, 5, num_workers=2, pin_memory=True)
        total = sum(x.to(there, non_blocking=True).sum().item() for x, _ in loader)
        assert total == sum(range(40)), total

    for check in (losses, half, files, devices, random, programs, flax, workers):
        try:
            check()
        except Exception as problem:  # each check is independent
            failures[check.__name__] = f"{type(problem).__name__}: {str(problem)[:500]}"
            print(f"  FAILED {check.__name__}: {failures[check.__name__]}", flush=True)
    print(f"loop: {8 - len(failures)} of 8 checks passed on {there}", flush=True)
    return failures


# --- training ------------------------------------------------------------------------------------------------------


def batch_of(name, sizes):
    """One batch: inputs and labels."""
    import numpy as np

    rng = np.random.default_rng(0)
    if name == "gpt2":
        ids = rng.integers(0, sizes.classes, (sizes.batch, sizes.length + 1))
        return ids[:, :-1], ids[:, 1:].reshape(-1)
    pictures = rng.standard_normal((sizes.batch, 3, sizes.length, sizes.length), dtype=np.float32)
    return pictures, rng.integers(0, sizes.classes, sizes.batch)


def torch_step(torch, name, sizes, device, compiled=False):
    """The loop of PyTorch's users: the same source for PyTorch and for jaxnn."""
    F = torch.nn.functional
    model = build(torch, name, sizes).to(device)
    optimizer = (
        torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        if name == "resnet50" else torch.optim.AdamW(model.parameters(), lr=1e-4)
    )  # fmt: skip
    inputs, labels = (torch.from_numpy(array).to(device) for array in batch_of(name, sizes))
    forward = torch.compile(model) if compiled else model

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = F.cross_entropy(forward(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def jax_step(name, sizes):
    """A jax.jit of pure functions over a dict of donated arrays, as one writes it by hand."""
    import jax
    import jax.numpy as jnp
    import optax

    import jaxnn

    parameters = {key: jnp.array(value.detach().numpy()) for key, value in build(jaxnn, name, sizes).named_parameters()}
    inputs, labels = batch_of(name, sizes)
    if inputs.ndim == 4:
        inputs = inputs.transpose(0, 2, 3, 1)
    inputs, labels = jnp.asarray(inputs), jnp.asarray(labels)
    forward = pure(name, sizes)
    steering = optax.sgd(0.01, momentum=0.9) if name == "resnet50" else optax.adamw(1e-4, weight_decay=1e-2)

    def loss_of(parameters):
        logits = forward(parameters, inputs).astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def update(parameters, state):
        loss, gradients = jax.value_and_grad(loss_of)(parameters)
        updates, state = steering.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state, loss

    compiled = jax.jit(update, donate_argnums=(0, 1))
    state = steering.init(parameters)

    def step():
        nonlocal parameters, state
        parameters, state, loss = compiled(parameters, state)
        return loss

    return step


def measure(name, variant, sizes, steps):
    """First step in seconds, a steady step in milliseconds (median), the losses, and peak memory in MB."""
    if variant.startswith("torch"):
        import torch

        torch.backends.cudnn.benchmark = True
        step = torch_step(
            torch, name, sizes, "cuda" if torch.cuda.is_available() else "cpu", variant == "torch.compile"
        )
        peak = lambda: torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    elif variant == "jaxnn":
        import jaxnn

        step = torch_step(jaxnn, name, sizes, accelerator(jaxnn))
    else:
        step = jax_step(name, sizes)
    if not variant.startswith("torch"):
        import jax

        peak = lambda: (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    start = time.perf_counter()
    losses = [float(step())]
    first = time.perf_counter() - start
    losses += [float(step()) for _ in range(3)]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(max(steps // 5, 1)):
            loss = step()
        float(loss)
        times.append((time.perf_counter() - start) / max(steps // 5, 1))
    return {
        "network": name, "variant": variant, "first_s": first, "ms": 1e3 * statistics.median(times),
        "losses": losses, "peak_mb": peak() / 1e6,
    }  # fmt: skip


def networks(arguments, names):
    """Every network by every variant, each in a process of its own."""
    result = []
    for name in names:
        for variant in arguments.variants:
            command = [sys.executable, __file__, "--measure", name, variant, "--steps", str(arguments.steps)]
            try:
                done = subprocess.run(
                    command + ["--small"] * arguments.small, capture_output=True, text=True, timeout=arguments.limit
                )
                lines = done.stdout.strip().splitlines()
                found = json.loads(lines[-1]) if done.returncode == 0 else {"failed": done.stderr[-1500:]}
            except subprocess.TimeoutExpired:
                found = {"failed": f"took more than {arguments.limit} s"}
            found = {"network": name, "variant": variant, **found}
            result.append(found)
            if "failed" in found:
                print(f"{name:10}{variant:15}failed: {found['failed']}", flush=True)
            else:
                print(
                    f"{name:10}{variant:15}{found['ms']:9.1f} ms a step  first {found['first_s']:6.1f} s  "
                    f"peak {found['peak_mb']:8.0f} MB  losses {' '.join(f'{x:.4f}' for x in found['losses'])}",
                    flush=True,
                )
        base = next((r["ms"] for r in result if r["network"] == name and r["variant"] == "jaxnn" and "ms" in r), None)
        for other in result:
            if base and other["network"] == name and other["variant"] != "jaxnn" and "ms" in other:
                print(f"{name:10}jaxnn / {other['variant']:14}{base / other['ms']:6.2f}", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["numbers", "loop", *FULL], choices=["numbers", "loop", *FULL])
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--rows", default="", help="only the rows of `numbers` whose names contain this")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--limit", type=int, default=150, help="seconds for one network by one variant")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    sizes = SMALL if arguments.small else FULL
    if arguments.measure:
        name, variant = arguments.measure
        print(json.dumps(measure(name, variant, sizes[name], arguments.steps)))
        return 0
    import jax

    print(f"Python {sys.version.split()[0]}, jax {jax.__version__}, {jax.devices()[0].device_kind}", flush=True)
    report, failed = {}, False
    if "numbers" in arguments.only:
        report["numbers"] = numbers(arguments)
        failed |= not all(row["agrees"] for row in report["numbers"])
    if "loop" in arguments.only:
        report["loop"] = loop(arguments)
        failed |= bool(report["loop"])
    report["networks"] = networks(arguments, [name for name in FULL if name in arguments.only])
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

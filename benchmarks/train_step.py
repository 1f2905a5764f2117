"""How long a training step takes: PyTorch, jaxnn, and the same step written by hand for Flax and JAX.

    python benchmarks/train_step.py [--models tiny mlp ...] [--optimizer sgd adam] [--rounds 15] [--json FILE]

The rows are explained in benchmarks/README.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
#: With their batch sizes; networks.py describes the first, larger_networks.py the others.
MODELS = {
    "tiny": 6, "mlp": 64, "deep": 64, "cnn": 64, "resnet18": 16, "encoder": 16, "mobilenet": 16, "grouped": 16, "lstm": 32,
}  # fmt: skip
ONEDNN = "jaxnn+oneDNN"  # the others have no convolution
CONVOLUTIONAL = ("cnn", "resnet18", "mobilenet", "grouped")
VARIANTS = ("torch", "jaxnn", ONEDNN, "nnx.jit", "nnx.cached_partial", "jax.jit")
MEMORY_BATCH = 512
LOSS_TOLERANCE = 1e-3


def measure(**request) -> dict:
    """Run measure.py on the request in a fresh process and return what it found."""
    environment = os.environ.copy()
    environment.setdefault("JAX_PLATFORMS", "cpu")  # torch's wheel here is the CPU one: compare like with like
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), environment.get("PYTHONPATH")]))
    command = [sys.executable, str(HERE / "measure.py"), json.dumps(request)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        raise RuntimeError(f"{request} failed:\n{result.stderr[-4000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def loss_difference(losses: dict[str, list[float]], variant: str) -> float:
    """Largest relative difference of a variant's first losses from those of the first variant."""
    reference = next(iter(losses.values()))
    return max(abs(a - b) / abs(b) for a, b in zip(losses[variant], reference, strict=True))


def ratio(seconds: dict[str, list[float]], variant: str, other: str) -> float | None:
    """Median over the rounds of variant / other: what slows a whole round down falls out."""
    if other not in seconds:
        return None
    return statistics.median(a / b for a, b in zip(seconds[variant], seconds[other], strict=True))


def measure_model(model: str, optimizer: str, arguments) -> list[dict]:
    common = {"network": model, "optimizer": optimizer, "batch": MODELS[model]}
    variants = [v for v in arguments.variants if v != ONEDNN or model in CONVOLUTIONAL]
    found = measure(
        measurement="together", variants=variants, rounds=arguments.rounds, seconds=arguments.seconds, **common
    )
    rows = []
    for variant in variants:
        first = measure(measurement="alone", variant=variant, steps=0, **common)
        rows.append(
            {
                "model": model,
                "optimizer": optimizer,
                "variant": variant,
                "first_step_s": first["first_step_s"],
                "median_ms": 1e3 * statistics.median(found["seconds"][variant]),
                "best_ms": 1e3 * min(found["seconds"][variant]),
                "to_torch": ratio(found["seconds"], variant, "torch"),
                "to_jax_jit": ratio(found["seconds"], variant, "jax.jit"),
                "loss_difference": loss_difference(found["losses"], variant),
                "seconds": found["seconds"][variant],
                "steps_a_round": found["steps_a_round"],
            }
        )
    return rows


def measure_memory(optimizer: str, variants: list[str]) -> list[dict]:
    rows = []
    for variant in variants:
        found = measure(
            measurement="alone", network="cnn", variant=variant, optimizer=optimizer, batch=MEMORY_BATCH, steps=10
        )
        rows.append({"optimizer": optimizer, "variant": variant, **found})
    return rows


def table(header: list[str], rows: list[list[str]]) -> str:
    """A markdown table, its columns aligned; the first three hold words, the others numbers."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells):
        words = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
        return "| " + " | ".join(words + numbers) + " |"

    rule = ["-" * width for width in widths[:3]] + ["-" * (width - 1) + ":" for width in widths[3:]]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def time_table(rows: list[dict]) -> str:
    header = [
        "model",
        "optimizer",
        "variant",
        "ms a step",
        "best",
        "/ torch",
        "/ jax.jit",
        "first step s",
        "loss diff.",
    ]
    cells = [
        [
            *(row["model"], row["optimizer"], row["variant"]),
            *(number(row["median_ms"], 3), number(row["best_ms"], 3)),
            *(number(row["to_torch"], 2), number(row["to_jax_jit"], 2)),
            *(number(row["first_step_s"], 2), f"{row['loss_difference']:.0e}"),
        ]
        for row in rows
    ]
    return table(header, cells)


def memory_table(rows: list[dict]) -> str:
    header = ["model", "optimizer", "variant", "peak MB", "before the first step", "first step s"]
    cells = [
        [
            *(f"cnn, batch {MEMORY_BATCH}", row["optimizer"], row["variant"]),
            *(number(row["peak_mb"], 0), number(row["peak_before_mb"], 0), number(row["first_step_s"], 2)),
        ]
        for row in rows
    ]
    return table(header, cells)


def environment() -> dict:
    packages = {}
    for name in ("jax", "jaxlib", "flax", "optax", "torch"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    machine = {"machine": platform.platform(), "cores": cores, "load": load}
    return {"python": platform.python_version(), **packages, **machine}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS), help="none: memory only")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--optimizer", nargs="+", choices=("sgd", "adam"), default=["sgd"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.3, help="that the slowest variant runs in a round")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory comparison out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file as well")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    setting = environment()
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    if setting["load"] is not None and setting["load"] > 0.5:
        print(f"load average {setting['load']}: other processes distort the figures, torch's most", file=sys.stderr)
    times = [
        row
        for model in arguments.models
        for name in arguments.optimizer
        for row in measure_model(model, name, arguments)
    ]
    if times:
        print(f"\n{time_table(times)}")
    memory = []
    if not arguments.no_memory:
        memory = [row for name in arguments.optimizer for row in measure_memory(name, arguments.variants)]
        print(f"\n{memory_table(memory)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": setting, "times": times, "memory": memory}, indent=1))
    astray = [row for row in times if not row["loss_difference"] < LOSS_TOLERANCE]
    for row in astray:
        print(f"{row['model']}, {row['variant']}: the losses are not those of {arguments.variants[0]}", file=sys.stderr)
    return bool(astray)


if __name__ == "__main__":
    sys.exit(main())

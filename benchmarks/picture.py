"""README's picture: one loss curve in both libraries, and the processor time of a step.

    python benchmarks/picture.py                    # measures (about a minute), writes the figures and draws them
    python benchmarks/picture.py --draw             # draws the figures that are there

Every library runs on one thread. The time is the processor's, of all threads together, and the least of the rounds: what else the machine
does changes it little.
"""

import argparse
import json
import os
from pathlib import Path

from train_step import MODELS, environment, measure

HERE = Path(__file__).parent
FIGURES = HERE / "picture.json"
PICTURE = HERE.parent / "docs" / "gallery" / "steps.png"
VARIANTS = {"torch": "PyTorch", "jaxnn": "jaxnn", "nnx.jit": "Flax, nnx.jit", "nnx.cached_partial": "Flax, cached_partial"}
NETWORKS = {"tiny": "2 linear layers\nof 5", "deep": "40 linear layers\nof 64", "mlp": "3 linear layers\nof 512", "cnn": "3 convolutions"}
CURVE = {"network": "mlp", "optimizer": "adam", "steps": 60}


def measured(networks: list[str], rounds: int, seconds: float) -> dict:
    """Losses of `CURVE`, and milliseconds of processor time a step by network and variant; of other networks as they were."""
    times = json.loads(FIGURES.read_text())["processor_ms"] if FIGURES.exists() else {}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    losses = measure(measurement="curve", variants=["torch", "jaxnn"], batch=MODELS[CURVE["network"]], **CURVE)["losses"]
    for network in networks:
        found = measure(
            measurement="together", network=network, variants=list(VARIANTS), optimizer="adam", batch=MODELS[network],
            rounds=rounds, seconds=seconds,
        )  # fmt: skip
        times[network] = {name: round(1e3 * min(found["processor"][name]), 4) for name in VARIANTS}
        print(network, times[network], flush=True)
    setting = environment()
    del setting["load"], setting["machine"]
    return {"environment": setting, "losses": losses, "processor_ms": times}


def draw(figures: dict) -> None:
    """Both panels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.1), width_ratios=(2, 3))
    left.plot(figures["losses"]["torch"], linewidth=5, alpha=0.35, label="PyTorch")
    left.plot(figures["losses"]["jaxnn"], linewidth=1.2, color="black", label="jaxnn")
    left.set(xlabel="step", ylabel="loss", title="the same numbers")
    left.legend()
    width = 0.8 / len(VARIANTS)
    for k, (variant, label) in enumerate(VARIANTS.items()):
        times = [figures["processor_ms"][n] for n in NETWORKS]
        places = [x + (k - (len(VARIANTS) - 1) / 2) * width for x in range(len(NETWORKS))]
        bars = right.bar(places, [t[variant] / t["torch"] for t in times], width, label=label)
        right.bar_label(bars, [f"{t[variant]:.0f}" if t[variant] >= 10 else f"{t[variant]:.2g}" for t in times], fontsize=6, padding=1)
    right.set(ylabel="processor time, PyTorch = 1", title="a training step; above the bars milliseconds")
    right.set_xticks(range(len(NETWORKS)), NETWORKS.values(), fontsize=8)
    right.axhline(1, color="grey", linewidth=0.6)
    right.legend(fontsize=7, ncols=4, loc="upper center")
    right.margins(y=0.2)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=120)
    print(f"picture: {PICTURE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help=f"do not measure: draw {FIGURES.name}")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="measure these anew")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.2, help="that the slowest variant runs in a round")
    arguments = parser.parse_args()
    if not arguments.draw:
        FIGURES.write_text(json.dumps(measured(arguments.networks, arguments.rounds, arguments.seconds), indent=1) + "\n")
    draw(json.loads(FIGURES.read_text()))


if __name__ == "__main__":
    main()

"""One measurement in a process of its own: `python measure.py JSON` prints one line of JSON.

Started by train_step.py, which itself loads neither torch nor jax: a child's peak memory begins at its parent's.
"""

import json
import resource
import sys
import time

from networks import NETWORKS
from variants import VARIANTS

LOSSES_COMPARED = 10


def peak_megabytes() -> float:
    """Peak resident memory of this process: ru_maxrss counts KiB on Linux, bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)


def alone(network: str, variant: str, optimizer: str, batch: int, steps: int) -> dict:
    """Time of the first step, compilation included, and peak memory after some more, of one variant alone."""
    step = VARIANTS[variant](NETWORKS[network], batch, optimizer)
    before = peak_megabytes()
    start = time.perf_counter()
    float(step())
    first = time.perf_counter() - start
    for _ in range(steps):
        float(step())
    return {"first_step_s": first, "peak_mb": peak_megabytes(), "peak_before_mb": before}


def timed(step, steps: int) -> tuple[float, float]:
    """Seconds a step by the clock, and of the processor."""
    start, start_processor = time.perf_counter(), time.process_time()
    for _ in range(steps):
        loss = step()
    float(loss)
    return (time.perf_counter() - start) / steps, (time.process_time() - start_processor) / steps


def curve(network: str, variants: list[str], optimizer: str, batch: int, steps: int) -> dict:
    """The losses of the first steps."""
    return {"losses": {name: [float(step()) for _ in range(steps)] for name, step in _built(network, variants, optimizer, batch)}}


def _built(network, variants, optimizer, batch):
    return [(name, VARIANTS[name](NETWORKS[network], batch, optimizer)) for name in variants]


def together(network: str, variants: list[str], optimizer: str, batch: int, rounds: int, seconds: float) -> dict:
    """Seconds a step of every variant in every round; a round runs each variant once, starting with another each time.

    `processor` is what all threads of the process took. All take the same number of steps, so many that the slowest takes `seconds`.
    """
    steps = dict(_built(network, variants, optimizer, batch))
    losses = {name: [float(step()) for _ in range(LOSSES_COMPARED)] for name, step in steps.items()}
    slowest = max(timed(step, 5)[0] for step in steps.values())
    count = max(5, min(1000, round(seconds / slowest)))
    taken: dict[str, list[float]] = {name: [] for name in variants}
    processor: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        turn = number % len(variants)
        for name in variants[turn:] + variants[:turn]:
            time.sleep(0.02)  # the threads of the last one stop spinning
            timed(steps[name], 2)
            clock, busy = timed(steps[name], count)
            taken[name].append(clock)
            processor[name].append(busy)
    return {"losses": losses, "steps_a_round": count, "seconds": taken, "processor": processor}


def main() -> None:
    request = json.loads(sys.argv[1])
    measurement = {"alone": alone, "together": together, "curve": curve}[request.pop("measurement")]
    print(json.dumps(measurement(**request)))


if __name__ == "__main__":
    main()

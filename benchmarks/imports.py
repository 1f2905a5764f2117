"""Processor time of `import jaxnn` beside what it stands on: `python benchmarks/imports.py`.

New processes in turns, after one of each that writes the bytecode; the least of the rounds. PyTorch's import stands beside it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTS = {
    "jax, flax.nnx, optax": "import jax, flax.nnx, optax",
    "jaxnn": "import jaxnn",
    "torch": "import torch",
}
ROOT = Path(__file__).resolve().parents[1]


def seconds(statement: str, bytecode: str) -> float:
    """Processor seconds of a new process after an import."""
    script = f"{statement}\nimport time\nprint(time.process_time())"
    around = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=around, timeout=120, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as bytecode:
        for statement in IMPORTS.values():
            seconds(statement, bytecode)
        taken = {name: [] for name in IMPORTS}
        for _ in range(options.rounds):
            for name, statement in IMPORTS.items():
                taken[name].append(seconds(statement, bytecode))
    base = min(taken["jax, flax.nnx, optax"])
    print(f"{'import':24}{'cpu s':>8}{'ratio':>8}")
    for name, times in taken.items():
        print(f"{name:24}{min(times):8.3f}{min(times) / base:8.2f}")
    if options.json:
        options.json.write_text(json.dumps(taken, indent=1))


if __name__ == "__main__":
    main()

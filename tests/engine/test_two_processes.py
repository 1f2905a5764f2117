"""Two runs of a program go the same ways and give the same bits, also one that does not repeat."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The programs of `benchmarks/irregular_programs.py`, made short.
SCRIPT = """
import sys
sys.path[:0] = [{root!r}, {benchmarks!r}]
import jaxnn
import irregular_programs as programs

for name, size in (("policy", 4), ("elements", 60), ("chain", 100), ("ragged", 6), ("generate", 6), ("runge_kutta", 1.0)):
    jaxnn.manual_seed(0)
    print(name, *(float(loss).hex() for loss in getattr(programs, name)(jaxnn, size)))
statistics = jaxnn.engine_statistics()
print(*(statistics[n] for n in ("cuts", "compiled", "cache_hits", "operator_by_operator", "paid", "bought")))
"""


def test_irregular_programs_give_the_same_bits():
    script = SCRIPT.format(root=str(ROOT), benchmarks=str(ROOT / "benchmarks"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    first, second = (p.communicate(timeout=300)[0] for p in processes)
    assert [p.returncode for p in processes] == [0, 0]
    assert len(first.splitlines()) == 7
    assert first == second

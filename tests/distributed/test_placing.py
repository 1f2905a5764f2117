"""See `placing`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_placing(tmp_path):
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.distributed.placing", str(tmp_path)], env=flags, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stderr[-3000:]

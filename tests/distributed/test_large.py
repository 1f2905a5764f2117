"""See `large`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_each_device_holds_an_eighth():
    done = subprocess.run(
        [sys.executable, "-m", "tests.distributed.large"], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["parameters"] > 300_000_000 and found["losses"][1] < found["losses"][0]
    assert all(share <= 1.15 for shares in found["shares"].values() for share in shares) and len(found["shares"]) == 4

"""A checkpoint that one process with 8 devices has saved, read by 4 processes and by 2, with one device each."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.distributed.launching import check, run_together

GO_ON = """
import json
import tests.distributed.training as t
losses = t.goes_on(load=t.PROCESSES > 1)
(t.FOLDER / f"{t.PROCESSES}-{t.RANK}.json").write_text(json.dumps(losses))
"""


@pytest.mark.long
def test_saved_on_eight_read_on_four_and_on_two(tmp_path):
    script = tmp_path / "go_on.py"
    script.write_text(GO_ON)
    path = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": "."}
    found = []
    for processes in (1, 4, 2):
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={8 if processes == 1 else 1}", **path}
        launched = ["-m", "jaxnn.run", "--nproc-per-node", processes, script, tmp_path]
        (ran,) = run_together([launched], [flags], 600)
        check([ran], [0])
        found += [json.loads((tmp_path / f"{processes}-{rank}.json").read_text()) for rank in range(processes)]
    for others in found[1:]:
        np.testing.assert_allclose(others, found[0], rtol=1e-5)

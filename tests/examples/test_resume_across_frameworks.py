"""Three legs in two frameworks print the trajectory of one."""

import re

import torch

from tests.examples.programs import printed


def test_the_relay_runs_the_same_way(tmp_path):
    lines = printed("resume_across_frameworks", "--samples", 150, "--batch-size", 30, "--out", tmp_path)
    rows = [line.split() for line in lines if re.match(r" +\d", line)]
    assert len(rows) == 15
    assert [row[1] for row in rows] == ["PyTorch"] * 5 + ["jaxnn"] * 5 + ["PyTorch"] * 5
    relay, alone = ([float(row[column]) for row in rows] for column in (2, 3))
    torch.testing.assert_close(torch.tensor(relay), torch.tensor(alone))
    assert relay[-1] < relay[0]
    assert float(lines[-2].rpartition(": ")[2]) < 1e-5
    last = [torch.load(tmp_path / name, weights_only=True) for name in ("after_leg_3.pt", "pytorch_alone.pt")]
    for key, value in last[0]["model"].items():
        torch.testing.assert_close(value, last[1]["model"][key], rtol=1.3e-6, atol=1e-5)
    assert torch.equal(last[0]["random"], last[1]["random"])
    assert last[0]["scheduler"]["last_epoch"] == last[1]["scheduler"]["last_epoch"] == 3

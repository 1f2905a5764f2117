"""Checkpoints with Orbax: a run goes on as if it had not stopped; shards come back onto their devices."""

import os
import subprocess
import sys

import numpy as np
import pytest

import jaxnn as torch
from jaxnn import nn
from jaxnn.utils.orbax_checkpoint import CheckpointManager, restore, save


class Run:
    """A small training run with momentum, a schedule and random data."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)

    def step(self):
        self.optimizer.zero_grad()
        loss = self.model(torch.randn(6, 4)).square().mean()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()

    def state(self):
        parts = {k: getattr(self, k).state_dict() for k in ("model", "optimizer", "scheduler")}
        return parts | {"rng": torch.get_rng_state()}

    def load(self, state):
        for k in ("model", "optimizer", "scheduler"):
            getattr(self, k).load_state_dict(state[k])
        torch.set_rng_state(state["rng"])


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_run_goes_on(asynchronous, tmp_path, whole):
    run = Run()
    with CheckpointManager(tmp_path, max_to_keep=2, asynchronous=asynchronous) as checkpoints:
        for step in range(5):
            run.step()
            assert checkpoints.save(step, run.state())
        expected = [run.step() for _ in range(4)]  # while the last is still being written
    again = Run()
    with CheckpointManager(tmp_path) as checkpoints:
        assert checkpoints.all_steps() == [3, 4] and checkpoints.latest_step() == 4
        again.load(checkpoints.restore())
        assert [again.step() for _ in range(4)] == expected
        again.load(checkpoints.restore(3, template=again.state()))
        again.step()
        assert [again.step() for _ in range(4)] == expected


STATE = {
    "int64": torch.tensor([2**40, -1]), "float64": torch.tensor(0.1, dtype=torch.float64), "flag": torch.tensor([True]),
    "bfloat16": torch.ones(2, 3, dtype=torch.bfloat16), "empty": torch.zeros(0, 3, dtype=torch.int32),
    "complex": torch.tensor([1 + 2j]), "numpy": np.arange(3),
    "nested": [1, 2.5, "text", None, True, (float("inf"), {0: {"a": torch.ones(1)}, None: []})],
}  # fmt: skip


def plain(value):
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return (type(value), str(value.dtype), tuple(value.shape), value.tolist())
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("template", [None, STATE])
def test_what_a_state_may_hold(template, tmp_path):
    save(tmp_path / "a", STATE)
    assert plain(restore(tmp_path / "a", template)) == plain(STATE)
    with pytest.raises(ValueError):
        save(tmp_path / "a", STATE)
    save(tmp_path / "a", {"x": 1}, force=True)
    assert restore(tmp_path / "a") == {"x": 1}


def test_a_saved_tensor_is_not_the_next_one(tmp_path):
    x = torch.ones(1000)
    with CheckpointManager(tmp_path) as checkpoints:
        checkpoints.save(0, {"x": x})
        x.mul_(2)
        assert checkpoints.restore()["x"].tolist() == [1.0] * 1000


def test_intervals(tmp_path):
    with CheckpointManager(tmp_path, save_interval_steps=3) as checkpoints:
        assert [checkpoints.save(k, {"k": k}) for k in range(5)] == [True, False, False, True, False]
        assert checkpoints.save(4, {"k": 4}, force=True)
        assert [checkpoints.restore(k)["k"] for k in checkpoints.all_steps()] == [0, 3, 4]


@pytest.mark.parametrize(
    "template",
    [
        {"x": torch.ones(3), "l": [1, 2]}, {"y": torch.ones(2), "l": [1, 2]}, {"x": 1, "l": [1, 2]},
        {"x": torch.ones(2), "l": [1]}, [torch.ones(2)],
    ],
)  # fmt: skip
def test_templates_of_another_form(template, tmp_path):
    save(tmp_path / "a", {"x": torch.ones(2), "l": [1, 2]})
    with pytest.raises(ValueError, match=r"state.*the checkpoint h(as|olds).*the template"):
        restore(tmp_path / "a", template)


def test_refused(tmp_path):
    with pytest.raises(TypeError, match=r"state\['a'\]\[0\]: expected tensors"):
        save(tmp_path / "a", {"a": [object()]})
    with CheckpointManager(tmp_path / "b") as checkpoints:
        assert checkpoints.latest_step() is None
        with pytest.raises(FileNotFoundError):
            checkpoints.restore()


SHARDED = """
import sys, jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import jaxnn as torch
from jaxnn.core.record.recorder import value_of
from jaxnn.utils.orbax_checkpoint import CheckpointManager
assert len(jax.devices()) == 8
mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("a", "b"))
rows, tiles = (NamedSharding(mesh, PartitionSpec(*p)) for p in (["a"], ["a", "b"]))
kinds = (torch.float32, torch.int64, torch.bfloat16)
state = {str(d): [torch.arange(64).reshape(8, 8).to(dtype=d).to(device=s) for s in (rows, tiles)] for d in kinds}
state["host"] = torch.ones(3)
with CheckpointManager(sys.argv[1]) as checkpoints:
    checkpoints.save(0, state)
    found = checkpoints.restore(template=state)
    for d in kinds:
        for x, s in zip(found[str(d)], (rows, tiles)):
            assert value_of(x).sharding == s and x.dtype == d
            assert len({shard.device for shard in value_of(x).addressable_shards}) == 8
            assert (x == state[str(d)][0 if s is rows else 1]).all().item()
            assert (x * 2).sum().item() == (torch.arange(64).to(dtype=d) * 2).sum().item()
    other = {k: v if k == "host" else v[::-1] for k, v in state.items()}
    again = checkpoints.restore(template=other)
    assert [value_of(x).sharding for x in again["torch.float32"]] == [tiles, rows]
    plain = checkpoints.restore()
    assert plain["torch.int64"][0].tolist() == np.arange(64).reshape(8, 8).tolist()
"""


def test_shards_on_eight_devices(tmp_path):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    result = subprocess.run(
        [sys.executable, "-c", SHARDED, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr

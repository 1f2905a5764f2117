"""Two processes of PyTorch's on gloo, and two of jaxnn's by its launcher, run one program: what each of them saw is equal."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from jaxnn.distributed.connection import held_port
from tests.distributed.launching import check, once, run_together

SCRIPT = Path(__file__).parent / "ddp_script.py"
RUNS = ["restarted", "sgd", "watched", "adam", "batch norm", "accumulation", "clipping", "everywhere", "parts"]
RUNS += ["uneven True", "uneven False"]
HOOKS = ["hook allreduce", "hook fp16", "hook fp16 of halves", "hook halves", "hook noop"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    def make(folder):
        theirs, ours = folder / "torch", folder / "jaxnn"
        theirs.mkdir()
        ours.mkdir()
        with held_port() as port:
            told = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
            ended = run_together([[SCRIPT, theirs]] * 2, [{"RANK": rank, **told} for rank in range(2)])
        check(ended, [0, 0])
        command = ["-m", "jaxnn.run", "--nproc-per-node", 2, "--max-restarts", 1, "--door", SCRIPT, ours]
        (ran,) = run_together([command], [{}], 900)
        check([ran], [0])
        (folder / "said").write_text(ran.said)

    folder = once(tmp_path_factory, "ddp", make)

    def read(name):
        return [json.loads((folder / name / f"{rank}.json").read_text()) for rank in range(2)]

    return read("torch"), read("jaxnn"), (folder / "said").read_text()


def same(ours, theirs, tolerance):
    """Both are equal, numbers within a tolerance."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        ours, theirs = list(ours.values()), list(theirs.values())
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b, tolerance)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", [*RUNS, *HOOKS])
def test_losses_and_weights(results, name):
    for theirs, ours in zip(*results[:2], strict=True):
        close = {"rtol": 1e-5, "atol": 1e-5}
        torch.testing.assert_close(torch.tensor(ours[name]).double() if name != "parts" else ours[name],
                                   torch.tensor(theirs[name]).double() if name != "parts" else theirs[name], **close)  # fmt: skip
        torch.testing.assert_close(ours[name + " state"], theirs[name + " state"], **close)
    assert results[1][0][name + " state"].keys() == results[0][0][name + " state"].keys()


def test_one_process_may_look_at_every_place_of_the_loop(results):
    """Inside forward, at each hook, before and after each part of a step."""
    (theirs, _), (ours, other) = results[:2]
    assert Counter(ours["places"]) == Counter(theirs["places"]) and len(set(ours["places"])) == 16 and not other["places"]


def test_all_ranks_end_with_the_same_parameters(results):
    first, second = results[1]
    for name in RUNS:
        assert first[name + " same"] == second[name + " same"]


def test_what_hooks_are_given(results):
    for theirs, ours in zip(*results[:2], strict=True):
        assert ours["buckets"] == theirs["buckets"] and ours["hook errors"] == theirs["hook errors"]


def test_collectives(results):
    for theirs, ours in zip(*results[:2], strict=True):
        assert [name for name, _ in ours["collectives"]] == [name for name, _ in theirs["collectives"]]
        for (name, value), (_, expected) in zip(ours["collectives"], theirs["collectives"], strict=True):
            assert value == expected, name


ALGORITHMS = ["zero", "zero, loaded", "zero, gone on", "zero state", "algorithm errors", "local", "local, apart", "local step"]
ALGORITHMS += ["counted", "joined", "thrown", "low rank: rank 1", "low rank: rank 2, together", "low rank: rank 4"]
ALGORITHMS += ["low rank: forgetful", "low rank: not yet", "pipeline GPipe", "pipeline 1F1B", "pipeline GPipe, sums", "pipeline looped"]
ALGORITHMS += ["pipeline interleaved", "pipeline eval", "pipeline errors"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_optimizers_and_hooks_of_several_processes(results, name):
    for theirs, ours in zip(*results[:2], strict=True):
        assert len(theirs["algorithms"]) == len(ALGORITHMS)
        same(ours["algorithms"][name], theirs["algorithms"][name], 1e-5)


def test_a_parameter_without_a_gradient_is_said(results):
    for theirs, ours in zip(*results[:2], strict=True):
        assert ours["unfinished"] == theirs["unfinished"]


def test_statistics_over_all_processes(results):
    """SyncBatchNorm, which PyTorch has on GPUs only, beside BatchNorm of the whole batch."""
    for ours in results[1]:
        assert ours["synchronised"] < 1e-5


def test_processes_that_call_different_collectives_are_told_where(results):
    line = next(k for k, text in enumerate(SCRIPT.read_text().splitlines(), 1) if "dist.broadcast(torch.ones(3), 0)" in text)
    for rank, ours in enumerate(results[1]):
        assert ours["compared"].count(f"ddp_script.py:{line}") == 2, ours["compared"]
        assert f"rank {rank} at" in ours["compared"] and "all_reduced" in ours["compared"] and "float32[3]" in ours["compared"]


def test_the_launcher_says_who_died_and_starts_again(results):
    assert "was killed by SIGKILL" in results[2] and "starting all again (1 of 1)" in results[2]


def test_one_program_for_each_part_of_a_step(results):
    """Reading, printing and saving in one process compiles nothing in the other, and the others' steps run two programs."""
    for ours in results[1]:
        assert ours["sgd programs"] <= 3  # forward and backward, the update, the call without gradients

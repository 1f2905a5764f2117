"""Worker processes: the same batches, seeds and errors as PyTorch's, and no process left behind.

Most tests take the default, whose server starts workers in milliseconds once it runs; one spawns.
"""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import cloudpickle
import numpy as np
import pytest
import torch
import torch.utils.data

import jaxnn
from jaxnn.core.random import generator
from jaxnn.utils import data as ours

theirs = torch.utils.data
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # importing this file, torch included, takes seconds
X = np.random.default_rng(0).random((23, 2, 3), np.float32)


class Samples:
    """A dataset by protocol: tensors of a library, numbers, text."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __len__(self):
        return len(X)

    def __getitem__(self, k):
        return {"x": self.tensor(X[k]), "array": X[k, 0], "k": (k, float(k)), "name": str(k)}


class Drawn:
    """Samples of everything random in a worker."""

    def __init__(self, library, package):
        self.library, self.package = library, package

    def __len__(self):
        return 8

    def __getitem__(self, k):
        info = self.library.get_worker_info()
        seeds = [info.id, info.num_workers, info.seed, self.package.initial_seed()]
        return [*seeds, self.package.rand(3).tolist(), np.random.rand(), random.random()]


def counting(library):
    class Stream(library.IterableDataset):
        def __iter__(self):
            info = library.get_worker_info()
            return iter(range(100 * info.id, 100 * info.id + (2, 7, 4)[info.id]))

    return Stream()


class Raises:
    def __init__(self, action):
        self.action = action

    def __len__(self):
        return 4

    def __getitem__(self, k):
        return self.action(k)


class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


def raising(error):
    def action(k):
        raise error

    return Raises(action)


def plain(value):
    if isinstance(value, (torch.Tensor, jaxnn.Tensor)):
        return ("tensor", str(value.dtype), value.tolist())
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def both(program, seed=0):
    """A program (library, package) on PyTorch's and on ours, and the generators after it."""
    torch.manual_seed(seed)
    generator.manual_seed(seed)
    expected = plain(program(theirs, torch))
    found = plain(program(ours, jaxnn))
    assert found == expected
    assert generator.default_generator.random((), np.int64) == torch.empty((), dtype=torch.int64).random_().item()
    return found


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_for_ten_seeds(workers, shuffle):
    def program(library, package):
        made = library.DataLoader(Samples(package.tensor), batch_size=5, shuffle=shuffle, num_workers=workers)
        found = []
        for seed in range(10):
            package.manual_seed(seed)
            found.append([list(made), package.rand(1)])
        return found

    both(program)


def test_spawned_workers_give_the_same():
    def program(library, package):
        return list(library.DataLoader(Samples(package.tensor), 4, True, num_workers=2, drop_last=True,
                                       multiprocessing_context="spawn"))  # fmt: skip

    # PyTorch's own spawn would have to import this file; its forked workers give the same.
    torch.manual_seed(3)
    expected = list(theirs.DataLoader(Samples(torch.tensor), 4, True, num_workers=2, drop_last=True))
    generator.manual_seed(3)
    assert plain(program(ours, jaxnn)) == plain(expected)


@pytest.mark.parametrize(
    "options",
    [
        {"persistent_workers": True},
        {"persistent_workers": True, "prefetch_factor": 4, "batch_size": 7},
        {"batch_size": None},
        {"batch_sampler": [[3, 1], [2], [22, 0, 5]]},
        {"sampler": [4, 4, 9], "batch_size": 2},
        {"collate_fn": len, "batch_size": 4},
        {"in_order": False, "num_workers": 1},
    ],
    ids=str,
)
def test_options(options):
    def program(library, package):
        own = {} if "batch_sampler" in options or "sampler" in options else {"shuffle": True}
        made = library.DataLoader(Samples(package.tensor), **{"num_workers": 2} | own | options)
        return [list(made), list(made)]

    both(program)


def test_a_generator_of_its_own():
    def program(library, package):
        g = package.Generator()
        g.manual_seed(5)
        made = library.DataLoader(Samples(package.tensor), batch_size=9, shuffle=True, num_workers=2, generator=g)
        return [list(made), list(made), int(g.initial_seed())]

    both(program)


def test_seeds_of_workers():
    both(lambda library, package: list(library.DataLoader(Drawn(library, package), batch_size=None, num_workers=2)))


def test_worker_init_fn():
    def program(library, package):
        def init(number):
            random.seed(number + 10)

        made = library.DataLoader(Raises(lambda k: random.random()), num_workers=2, worker_init_fn=init)
        return list(made)

    both(program)


@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}, {"drop_last": True}], ids=str)
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_streams_are_split_by_the_dataset(options):
    def program(library, package):
        made = library.DataLoader(counting(library), batch_size=2, num_workers=3, **options)
        return [list(made), list(made)]

    both(program)


def test_an_epoch_left_in_the_middle():
    def program(library, package):
        made = library.DataLoader(Samples(package.tensor), batch_size=2, num_workers=2, persistent_workers=True)
        first = next(iter(made))
        return [first, list(made)]

    both(program)


def test_batches_in_any_order():
    action = lambda k: time.sleep(1.5 * (k == 0)) or k
    made = ours.DataLoader(Raises(action), batch_size=None, num_workers=2, in_order=False)
    found = list(made)
    assert sorted(found) == [0, 1, 2, 3] and found[0] != 0


@pytest.mark.parametrize("error", [KeyError("no such sample"), ValueError("bad"), TwoArguments(1, 2)], ids=repr)
def test_errors_come_with_their_traceback(error):
    messages = []
    for library in (theirs, ours):
        with pytest.raises(Exception) as found:
            list(library.DataLoader(raising(error), num_workers=1))
        messages.append((found.type, str(found.value).splitlines()[0]))
        assert "in action" in str(found.value) and "raise error" in str(found.value)
    assert messages[0] == messages[1]


def test_an_error_in_worker_init_fn():
    def init(number):
        raise ValueError("init")

    for library in (theirs, ours):
        with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0"):
            list(library.DataLoader(Samples(float), num_workers=1, worker_init_fn=init))


def test_iteration_goes_on_after_an_error():
    def action(k):
        if k == 1:
            raise ValueError
        return k

    for library in (theirs, ours):
        batches = iter(library.DataLoader(Raises(action), batch_size=None, num_workers=2))
        assert next(batches) == 0
        with pytest.raises(ValueError):
            next(batches)
        assert list(batches) == [2, 3]


def test_a_worker_that_dies():
    for library in (theirs, ours):
        with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"):
            list(library.DataLoader(Raises(lambda k: os._exit(3)), num_workers=1))


def test_timeout():
    for library in (theirs, ours):
        with pytest.raises(RuntimeError, match="DataLoader timed out after 1 seconds"):
            list(library.DataLoader(Raises(lambda k: time.sleep(60)), num_workers=1, timeout=1))


def test_results_that_cannot_be_pickled():
    with pytest.raises(RuntimeError, match="Caught RuntimeError in DataLoader worker process 0(.|\n)*cannot pickle"):
        list(ours.DataLoader(Raises(lambda k: threading.Lock()), batch_size=None, num_workers=1))


def test_forking_is_refused():
    with pytest.raises(NotImplementedError, match="multiprocessing_context='fork'"):
        ours.DataLoader([1], num_workers=1, multiprocessing_context="fork")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_of_pytorch(workers):
    made = theirs.TensorDataset(torch.from_numpy(X), torch.arange(len(X)), torch.from_numpy(X).bfloat16())
    found = list(ours.DataLoader(made, 6, num_workers=workers))
    for batch, expected in zip(found, theirs.DataLoader(made, 6), strict=True):
        assert all(type(part) is jaxnn.Tensor for part in batch)
        assert plain(batch) == plain(expected)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_stream_of_pytorch_knows_its_worker():
    found = list(ours.DataLoader(counting(theirs), batch_size=2, num_workers=3))
    assert plain(found) == plain(list(theirs.DataLoader(counting(theirs), 2, num_workers=3)))


def test_no_process_stays():
    before = set(multiprocessing.active_children())
    finished = ours.DataLoader(Samples(lambda a: a), num_workers=2)
    list(finished)
    assert set(multiprocessing.active_children()) <= before
    batches = iter(ours.DataLoader(Samples(lambda a: a), num_workers=2))
    next(batches)
    assert len(set(multiprocessing.active_children()) - before) == 2
    del batches
    assert set(multiprocessing.active_children()) == before
    kept = ours.DataLoader(Samples(lambda a: a), num_workers=2, persistent_workers=True)
    list(kept)
    assert len(set(multiprocessing.active_children()) - before) == 2
    del kept
    assert set(multiprocessing.active_children()) == before


SCRIPT = """
import os, signal, sys, time
from jaxnn.utils.data import DataLoader, Dataset

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

class Here(Dataset):  # of the main script, which has no `if __name__ == "__main__"`
    def __len__(self):
        return 100
    def __getitem__(self, k):
        return os.getpid()

batches = iter(DataLoader(Here(), 1, num_workers=2, persistent_workers=True))
print(next(batches).item(), next(batches).item(), flush=True)
{end}
"""

# Short sleeps: a signal between Python's check and a system call that waits for long is seen only after the call.
WAITS = "while True: time.sleep(0.1)"


def alive_in(group):
    """The processes of a process group."""
    found = set()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, _, of = file.read().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == group and state != "Z":
            found.add(pid)
    return found


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")
@pytest.mark.parametrize("end", ["pass", WAITS, "os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(1)"])
def test_the_end_of_a_program_ends_its_workers(end, tmp_path):
    """An ordinary end, Ctrl-C, a kill, an exit."""
    interrupted = end == WAITS
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(end=end)))
    program = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    pids = [int(p) for p in program.stdout.readline().split()]
    assert len(set(pids)) == 2, program.communicate()[1]
    if interrupted:
        assert alive_in(program.pid) >= set(pids)
        os.killpg(program.pid, signal.SIGINT)  # as a terminal sends it: to all
    _, errors = program.communicate(timeout=60)
    assert ("KeyboardInterrupt" in errors) if interrupted else ("Traceback" not in errors), errors
    until = time.monotonic() + 20
    while alive_in(program.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive_in(program.pid)


def test_prefetching_to_a_device():
    made = ours.DataLoader(Samples(jaxnn.tensor), 5)
    found = list(ours.prefetch_to_device(made, "cpu", size=2))
    assert plain(found) == plain(list(made))
    asked = []
    batches = ours.prefetch_to_device((asked.append(k) or jaxnn.ones(2) * k for k in range(5)), size=2)
    assert next(batches).tolist() == [0, 0] and asked == [0, 1, 2]
    with pytest.raises(ValueError, match="size of at least 1"):
        ours.prefetch_to_device([], size=0)

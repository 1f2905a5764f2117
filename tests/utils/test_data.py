"""Datasets, samplers and loaders give what PyTorch's give, for the same seeds."""

import collections
import itertools
import warnings

import numpy as np
import pytest
import torch
import torch.utils.data

import jaxnn
from jaxnn.core.kinds.device import default_placement
from jaxnn.core.memory.tensor_base import Tensor, host_array
from jaxnn.core.random import generator
from jaxnn.utils import data as ours

theirs = torch.utils.data
Point = collections.namedtuple("Point", "x y")


def t(array):
    return host_array(np.array(array), default_placement())


def plain(value):
    if isinstance(value, (torch.Tensor, jaxnn.Tensor)):
        array = value.detach().numpy()
        return ("tensor", str(array.dtype), array.shape, array.tolist())
    if isinstance(value, dict):
        return (type(value).__name__, {k: plain(v) for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [plain(v) for v in value])
    return value


def both(program, seed=0):
    """A program on torch's package and on ours: the same results, the generators at the same place after."""
    torch.manual_seed(seed)
    generator.manual_seed(seed)
    expected = outcome(program, theirs, torch.tensor, lambda: torch.Generator())
    found = outcome(program, ours, t, lambda: generator.Generator())
    assert found == expected
    assert generator.default_generator.random((), np.int64) == torch.empty((), dtype=torch.int64).random_().item()
    return found


def outcome(program, library, tensor, new_generator):
    try:
        return plain(program(library, tensor, new_generator))
    except Exception as error:
        return type(error).__name__


def distributed(library, data, replicas, **options):
    """What every process gets in two epochs."""
    samplers = [library.DistributedSampler(data, replicas, rank, **options) for rank in range(replicas)]
    epochs = []
    for epoch in range(2):
        for s in samplers:
            s.set_epoch(epoch)
        epochs.append([[list(s), len(s)] for s in samplers])
    return epochs


X = np.arange(33 * 2, dtype=np.float32).reshape(33, 2)
Y = np.arange(33)


def dataset(library, tensor):
    return library.TensorDataset(tensor(X), tensor(Y))


@pytest.mark.parametrize("seed", [0, 1, 2**40])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 8, 33, 40])
def test_batches(batch_size, shuffle, drop_last, seed):
    def program(library, tensor, _):
        loader = library.DataLoader(dataset(library, tensor), batch_size, shuffle=shuffle, drop_last=drop_last)
        return [len(loader), [list(loader) for _ in range(2)]]

    both(program, seed)


def test_a_generator_of_its_own():
    def program(library, tensor, new_generator):
        g = new_generator()
        g.manual_seed(5)
        loader = library.DataLoader(dataset(library, tensor), 7, shuffle=True, generator=g)
        return [list(loader), list(loader)]

    both(program)


def test_the_sampler_draws_after_the_first_batch_is_asked_for():
    def program(library, tensor, _):
        loader = library.DataLoader(dataset(library, tensor), 7, shuffle=True)
        first, second = iter(loader), iter(loader)
        return [next(second), next(first), next(first), list(second)]

    both(program)


@pytest.mark.parametrize(
    "sampler",
    [
        lambda d, n, g: d.RandomSampler(range(50)),
        lambda d, n, g: d.RandomSampler(range(50), num_samples=120),
        lambda d, n, g: d.RandomSampler(range(50), num_samples=7),
        lambda d, n, g: d.RandomSampler(range(50), replacement=True, num_samples=70),
        lambda d, n, g: d.RandomSampler(range(50), replacement=True, num_samples=64),
        lambda d, n, g: d.RandomSampler(range(50), generator=g().manual_seed(3)),
        lambda d, n, g: d.SubsetRandomSampler([4, 8, 15, 16, 23, 42]),
        lambda d, n, g: d.SubsetRandomSampler([4, 8, 15], generator=g().manual_seed(3)),
        lambda d, n, g: d.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 5),
        lambda d, n, g: d.WeightedRandomSampler([0.9, 0.4, 0.05, 0.2, 0.3, 0.1], 5, replacement=False),
        lambda d, n, g: d.WeightedRandomSampler(n([1.0, 2.0, 3.0]), 9, generator=g().manual_seed(3)),
        lambda d, n, g: d.SequentialSampler("abcd"),
        lambda d, n, g: distributed(d, range(10), 3, drop_last=False),
        lambda d, n, g: distributed(d, range(10), 3, drop_last=True),
        lambda d, n, g: distributed(d, range(12), 4, drop_last=True, seed=7),
        lambda d, n, g: distributed(d, range(2), 5, shuffle=False),
        lambda d, n, g: distributed(d, range(10), 3, shuffle=False, drop_last=True),
        lambda d, n, g: d.BatchSampler(d.RandomSampler(range(10)), 3, False),
        lambda d, n, g: d.BatchSampler(d.RandomSampler(range(10)), 3, True),
        lambda d, n, g: d.BatchSampler(d.SequentialSampler(range(9)), 3, True),
        # refused
        lambda d, n, g: d.RandomSampler([]),
        lambda d, n, g: d.RandomSampler(range(3), num_samples=0),
        lambda d, n, g: d.RandomSampler(range(3), replacement=1),
        lambda d, n, g: d.WeightedRandomSampler([1.0], True),
        lambda d, n, g: d.WeightedRandomSampler([[1.0]], 1),
        lambda d, n, g: d.WeightedRandomSampler([1.0], 1, replacement=0),
        lambda d, n, g: d.WeightedRandomSampler([1.0, 0.0], 2, replacement=False),
        lambda d, n, g: d.BatchSampler(range(3), 0, False),
        lambda d, n, g: d.DistributedSampler(range(3), 2, 2),
        lambda d, n, g: d.BatchSampler(range(3), 1.0, False),
        lambda d, n, g: d.BatchSampler(range(3), 1, 0),
    ],
)
def test_samplers(sampler):
    def program(library, tensor, new_generator):
        made = sampler(library, tensor, new_generator)
        return [len(made), list(made), list(made)]

    both(program)


@pytest.mark.parametrize(
    "sample",
    [
        1, 2.5, True, "text", b"bytes", np.float32(2), np.int16(3), np.bool_(True), [1, 2.5], (1, "a"),
        {"a": 1, "b": [2.0]},
        Point(1, 2.0), np.ones((2, 3)), np.arange(3, dtype=np.int16), {"nested": ({"deep": 1.0}, [1])}, [], None,
        object,
        np.array(["a"]), range(2), collections.OrderedDict(a=1),
    ],
)  # fmt: skip
def test_collate(sample):
    both(lambda library, tensor, _: library.default_collate([sample, sample]))
    both(lambda library, tensor, _: library.default_convert(sample))


def test_collate_tensors():
    both(lambda library, tensor, _: library.default_collate([tensor(X[0]), tensor(X[1])]))
    both(lambda library, tensor, _: library.default_collate([tensor(X[0]), tensor(X[1:2])]))
    both(lambda library, tensor, _: library.default_collate([[1, 2], [1]]))
    both(lambda library, tensor, _: library.default_collate([np.ones(2), np.ones(3)]))
    both(lambda library, tensor, _: library.default_collate([1, 2.5]))


def test_collate_keeps_gradients():
    a = t(X[0]).requires_grad_()
    b = t(X[1]).requires_grad_()
    joined = ours.default_collate([a, b])
    assert joined.requires_grad and joined.shape == (2, 2)
    joined.backward(t(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)))
    assert a.grad.tolist() == [1.0, 2.0] and b.grad.tolist() == [3.0, 4.0]


class Squares:
    """A dataset by protocol alone."""

    def __init__(self, library, tensor):
        self.tensor = tensor

    def __getitem__(self, k):
        if not 0 <= k < 10:
            raise IndexError(k)
        return {"x": self.tensor(np.full(3, k, np.float32)), "y": k * k}

    def __len__(self):
        return 10


def stream(library, count, length=None):
    class Stream(library.IterableDataset):
        def __iter__(self):
            return iter(range(count))

    if length is not None:
        Stream.__len__ = lambda self: length
    return Stream()


@pytest.mark.parametrize(
    "program",
    [
        lambda d, n, g: list(d.DataLoader(Squares(d, n), batch_size=4, shuffle=True)),
        lambda d, n, g: list(d.DataLoader(Squares(d, n), batch_size=None)),
        lambda d, n, g: list(d.DataLoader(dataset(d, n), batch_size=None, sampler=[[3, 1], [2]])),
        lambda d, n, g: list(d.DataLoader(dataset(d, n), batch_sampler=[[3, 1], [2]])),
        lambda d, n, g: list(d.DataLoader(dataset(d, n), sampler=[-1, 5, 5], batch_size=2)),
        lambda d, n, g: list(d.DataLoader(dataset(d, n), sampler=[33])),
        lambda d, n, g: list(d.DataLoader(dataset(d, n), batch_size=3, collate_fn=len)),
        lambda d, n, g: list(d.DataLoader(d.Subset(dataset(d, n), range(5, 12)), batch_size=3)),
        lambda d, n, g: list(d.DataLoader(d.ConcatDataset([[1, 2], [3.0]]), batch_size=2)),
        lambda d, n, g: list(d.DataLoader(dataset(d, n) + dataset(d, n), batch_size=30, shuffle=True)),
        lambda d, n, g: list(d.DataLoader(d.StackDataset(dataset(d, n), range(33)), batch_size=30)),
        lambda d, n, g: list(d.DataLoader(d.StackDataset(a=range(3), b="xyz"), batch_size=2)),
        lambda d, n, g: list(d.DataLoader(stream(d, 7), batch_size=3)),
        lambda d, n, g: list(d.DataLoader(stream(d, 7), batch_size=3, drop_last=True)),
        lambda d, n, g: list(d.DataLoader(stream(d, 3), batch_size=None)),
        lambda d, n, g: list(d.DataLoader(stream(d, 3) + stream(d, 2), batch_size=2)),
        lambda d, n, g: [len(d.DataLoader(stream(d, 7, 7), 3)), len(d.DataLoader(stream(d, 7, 7), 3, drop_last=True))],
        lambda d, n, g: len(d.DataLoader(stream(d, 7), 3)),
        lambda d, n, g: [len(p) for p in d.random_split(range(10), [3, 7])],
        lambda d, n, g: [list(p) for p in d.random_split(range(10), [0.25, 0.25, 0.5])],
        lambda d, n, g: [list(p) for p in d.random_split(range(10), [3, 7], generator=g().manual_seed(42))],
        lambda d, n, g: [list(d.DataLoader(p, 4, shuffle=True)) for p in d.random_split(dataset(d, n), [0.7, 0.3])],
        lambda d, n, g: d.Subset([1, 2, 3], [2, 0])[1],
        lambda d, n, g: d.ConcatDataset([[1, 2], [3.0]])[-1],
        lambda d, n, g: d.get_worker_info(),
        # refused
        lambda d, n, g: d.random_split(range(10), [3, 6]),
        lambda d, n, g: d.random_split(range(10), [1.5, -0.5]),
        lambda d, n, g: d.ConcatDataset([]),
        lambda d, n, g: d.ConcatDataset([stream(d, 2)]),
        lambda d, n, g: d.ConcatDataset([[1, 2], [3.0]])[-4],
        lambda d, n, g: d.StackDataset(),
        lambda d, n, g: d.StackDataset(range(2), range(3)),
        lambda d, n, g: d.StackDataset(range(2), b=range(2)),
        lambda d, n, g: d.TensorDataset(n(X), n(Y[:3])),
        lambda d, n, g: d.Dataset()[0],
        lambda d, n, g: list(d.DataLoader([object()])),
        lambda d, n, g: d.DataLoader([1], batch_size=0),
        lambda d, n, g: d.DataLoader([1], num_workers=-1),
        lambda d, n, g: d.DataLoader([1], timeout=-1),
        lambda d, n, g: d.DataLoader([1], prefetch_factor=2),
        lambda d, n, g: d.DataLoader([1], persistent_workers=True),
        lambda d, n, g: d.DataLoader([1], multiprocessing_context="fork"),
        lambda d, n, g: d.DataLoader([1], num_workers=1, multiprocessing_context="threads"),
        lambda d, n, g: d.DataLoader([1], num_workers=1, multiprocessing_context=3),
        lambda d, n, g: d.DataLoader([1], num_workers=1, prefetch_factor=-1),
        lambda d, n, g: [d.DataLoader([1], num_workers=1).prefetch_factor, d.DataLoader([1]).prefetch_factor],
        lambda d, n, g: list(d.DataLoader([1], timeout=3)),
        lambda d, n, g: d.DataLoader([1], shuffle=True, sampler=[0]),
        lambda d, n, g: d.DataLoader([1], batch_sampler=[[0]], batch_size=2),
        lambda d, n, g: d.DataLoader([1], batch_size=None, drop_last=True),
        lambda d, n, g: d.DataLoader([], shuffle=True),
        lambda d, n, g: d.DataLoader(stream(d, 3), shuffle=True),
        lambda d, n, g: d.DataLoader(stream(d, 3), sampler=[1]),
        lambda d, n, g: d.DataLoader(stream(d, 3), batch_sampler=[[1]]),
        lambda d, n, g: setattr(d.DataLoader([1]), "batch_size", 3),
    ],
)
def test_loaders(program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both(program)


def test_a_subset_that_overrides_only_getitem_is_refused():
    for library in (ours, theirs):
        kind = type("Mine", (library.Subset,), {"__getitem__": lambda self, k: k})
        with pytest.raises(NotImplementedError, match="Mine overrides __getitem__ but not __getitems__"):
            kind([1, 2], [0])


def test_warnings():
    for library in (ours, theirs):
        with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
            library.random_split(range(1), [0.5, 0.5])
        loader = library.DataLoader(stream(library, 5, 2), batch_size=None)
        assert len(loader) == 2
        with pytest.warns(UserWarning, match="was reported to be 2"):
            list(loader)
        with pytest.warns(UserWarning, match="no accelerator is found"):
            list(library.DataLoader([1], pin_memory=True))


def test_a_gathered_batch_is_what_collating_gives():
    """The one gather a batch, and sample by sample."""
    made = dataset(ours, t)
    first, second = (generator.Generator().manual_seed(1) for _ in range(2))
    loader = ours.DataLoader(made, 5, shuffle=True, generator=first)
    slow = ours.DataLoader(made, 5, shuffle=True, generator=second, collate_fn=lambda b: ours.default_collate(b))
    for fast, careful in itertools.zip_longest(loader, slow):
        assert plain(fast) == plain(careful)
        assert all(type(part) is Tensor for part in fast)


def test_a_batch_does_not_share_memory_with_the_dataset():
    made = dataset(ours, t)
    x, _ = next(iter(ours.DataLoader(made, 4)))
    x.mul_(0)
    assert made.tensors[0].tolist() == X.tolist()


def test_a_dataset_of_values_that_are_not_computed_yet():
    x = t(X) * 2
    batches = list(ours.DataLoader(ours.TensorDataset(x, t(Y)), 8))
    assert np.array_equal(np.concatenate([b[0].numpy() for b in batches]), X * 2)


def test_a_dataset_that_requires_gradients():
    x = t(X).requires_grad_()
    batch = next(iter(ours.DataLoader(ours.TensorDataset(x), 2, sampler=[1, -1])))[0]
    batch.backward(t(np.ones((2, 2), np.float32)))
    expected = np.zeros_like(X)
    expected[[1, -1]] = 1
    assert np.array_equal(x.grad.numpy(), expected)

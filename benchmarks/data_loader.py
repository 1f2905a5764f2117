"""Batches a second of a DataLoader with a transform, beside PyTorch's: `python benchmarks/data_loader.py`.

10,000 images of 28x28 bytes, each turned into a normalised float image and flipped at random; batches of 64, shuffled.
Workers persist and start before the clock does; starting them is given separately. The libraries take turns in rounds;
figures are medians.
"""

import argparse
import os
import statistics
import sys
import time

import numpy as np

IMAGES, SIDE, BATCH = 10_000, 28, 64


class Images:
    """The transform a user writes in numpy; samples are a numpy image and a label."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (IMAGES, SIDE, SIDE), np.uint8)
        self.labels = rng.integers(0, 10, IMAGES)

    def __len__(self):
        return IMAGES

    def __getitem__(self, k):
        image = (self.images[k].astype(np.float32) / 255 - 0.13) / 0.31
        if np.random.random() < 0.5:
            image = image[:, ::-1]
        return image[None].copy(), int(self.labels[k])


def loader_of(library, workers):
    options = {"num_workers": workers, "persistent_workers": True} if workers else {}
    return library.DataLoader(Images(), BATCH, shuffle=True, **options)


def epoch(loader):
    """Seconds for all batches."""
    start = time.perf_counter()
    count = sum(len(labels) for _, labels in loader)
    assert count == IMAGES
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    import torch.utils.data  # a worker reads this file, too, and needs no torch

    import jaxnn.utils.data

    libraries = {"torch": torch.utils.data, "jaxnn": jaxnn.utils.data}
    print(f"{sys.platform}, {os.cpu_count()} processors, torch {torch.__version__}")
    print(f"{'workers':>7} {'':8} {'images/s':>10} {'start s':>8} {'/ torch':>8}")
    for workers in arguments.workers:
        loaders, starts = {}, {}
        for name, library in libraries.items():
            loaders[name] = loader_of(library, workers)
            start = time.perf_counter()
            batches = iter(loaders[name])
            next(batches)
            starts[name] = time.perf_counter() - start
        taken = {name: [] for name in libraries}
        for turn in range(arguments.rounds + 1):
            for name in sorted(libraries, reverse=turn % 2 == 0):
                taken[name].append(epoch(loaders[name]))
        medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
        ratio = statistics.median(t / j for t, j in list(zip(taken["torch"], taken["jaxnn"]))[1:])
        for name in libraries:
            shown = f"{ratio:8.2f}" if name == "jaxnn" else f"{1:8.2f}"
            print(f"{workers:7} {name:8} {IMAGES / medians[name]:10.0f} {starts[name]:8.2f} {shown}")
        del loaders, batches


if __name__ == "__main__":
    main()

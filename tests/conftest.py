"""PyTorch runs on one thread; a test process drops its thousands of programs before they fill the memory."""

import ctypes
import gc
import os
import sys

import jax
import pytest
import torch

from jaxnn.core.process.config import get_setting
from jaxnn.core.run.cut import cut_all
from jaxnn.core.run.policy import set_execution_mode
from jaxnn.core.run.statistics import forget_programs

torch.set_num_threads(1)  # the order of its threads changes its sums; pytest-xdist has the cores
LIMIT = 2_000_000_000  # bytes


def resident() -> int:
    """Bytes of memory in use by this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def pytest_collection_finish(session):
    """What was imported and collected stays: full collections need not walk through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item, nextitem):
    if resident() > LIMIT:
        cut_all()
        forget_programs()
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def whole():
    """Every path is compiled at its first visit."""
    before = get_setting("execution_mode")
    set_execution_mode("whole")
    yield
    set_execution_mode(before)

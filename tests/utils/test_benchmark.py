"""`utils.benchmark`: that what is timed is computed, and that PyTorch's numbers and tables come out of the same times."""

from __future__ import annotations

import re

import pytest
import torch
import torch.utils.benchmark as theirs

import jaxnn
from jaxnn.utils import benchmark as ours

TIMES = [[1e-5, 2e-5, 3e-5, 1.5e-5], [1e-6] * 5, [3.14e-3], [2e-9, 2.1e-9], [1.0, 1.01, 1.02, 1.3]]


def measured(lib, times, number=10, **names):
    return lib.Measurement(number, list(times), lib.TaskSpec(**{"stmt": "x + 1", "setup": "pass", **names}))


def text(value):
    return re.sub(r"<.*? object at .*?>", "<it>", str(value)).replace("jaxnn", "torch")


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("names", [{}, {"label": "L", "sub_label": "s", "description": "d"}, {"setup": "y = 2\nz = 3", "num_threads": 2}])
def test_measurements(times, names):
    a, b = measured(ours, times, **names), measured(theirs, times, **names)
    for name in ("times", "median", "mean", "iqr", "significant_figures", "has_warnings", "title", "as_row_name", "env", "label"):
        assert getattr(a, name) == pytest.approx(getattr(b, name)) if name != "label" else a.label == b.label, name
    assert text(a) == text(b)
    assert [m.times for m in ours.Measurement.merge([a, a])] == [pytest.approx(m.times) for m in theirs.Measurement.merge([b, b])]


def test_numbers():
    for t in (1e-9, 3e-6, 0.02, 5, 999e-9):
        assert ours.select_unit(t) == theirs.select_unit(t)
    for x, n in ((1234.567, 3), (0.0012345, 2), (9.99, 1)):
        assert ours.trim_sigfig(x, n) == pytest.approx(theirs.trim_sigfig(x, n))
    assert ours.unit_to_english("us") == theirs.unit_to_english("us")


def test_tables():
    def table(lib, trim):
        rows = [("a", "first", 1, 3.1e-4), ("a", "second", 1, 2e-3), ("longer name", "first", 1, 5e-4), ("a", "first", 4, 7.77e-4)]
        compare = lib.Compare([
            measured(lib, [t], label="L", sub_label=row, description=column, num_threads=n) for row, column, n, t in rows
        ])  # fmt: skip
        if trim:
            compare.trim_significant_figures()
        return str(compare)

    for trim in (False, True):
        assert table(ours, trim).split() == table(theirs, trim).split()
    with pytest.raises(ValueError, match="Expected an instance of `Measurement`"):
        ours.Compare([3])


@pytest.mark.parametrize("stmt", ["f(x)", "y = f(x)", "y = x\ny += f(x)", "for _ in range(1): f(x)\nf(x)", "(f(x), [f(x)])"])
def test_what_is_timed_is_computed(stmt):
    x = jaxnn.ones(300, 300)
    before = jaxnn.engine_statistics()["cuts"] if "cuts" in jaxnn.engine_statistics() else None
    calls = []

    def f(x):
        calls.append(1)
        return x @ x

    timer = ours.Timer(stmt, globals={"x": x, "f": f})
    found = timer.timeit(3)
    assert len(found.raw_times) == 1 and found.number_per_run == 3 and found.median > 20e-6  # 54 million operations
    assert len(calls) >= 5 and before != jaxnn.engine_statistics().get("cuts", 0)


def test_ranges():
    seen = []
    timer = ours.Timer("x + 1", globals={"x": jaxnn.ones(3)})
    found = timer.blocked_autorange(callback=lambda n, t: seen.append((n, t)), min_run_time=0.01)
    assert [t for _, t in seen] == found.raw_times and sum(found.raw_times) >= 0.01
    assert timer.adaptive_autorange(max_run_time=0.05).raw_times
    for call in (timer.repeat, timer.autorange, timer.collect_callgrind):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(NotImplementedError, match="language"):
        ours.Timer("1;", language="c++")


def test_dlpack_capsules_and_swaps():
    capsule = jaxnn.utils.dlpack.to_dlpack(jaxnn.arange(3))
    assert torch.utils.dlpack.from_dlpack(capsule).tolist() == [0, 1, 2]
    for lib in (jaxnn, torch):
        a, b = lib.ones(2, requires_grad=True), lib.zeros(3)
        (a * 2).sum().backward()
        a.note = "a"
        lib.utils.swap_tensors(a, b)
        assert b.tolist() == [1, 1] and b.grad.tolist() == [2, 2] and b.note == "a" and b.requires_grad
        assert a.tolist() == [0, 0, 0] and a.grad is None and not hasattr(a, "note")

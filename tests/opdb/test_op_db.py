"""Every row of PyTorch's operator database on jaxnn; what differs is listed in `gaps`, and that list may only shrink."""

from __future__ import annotations

import pytest
import torch

from tests.opdb import gaps, harness

#: The type of the normal run: the first that a row supports.
FIRST = (torch.float32, torch.int64, torch.complex64, torch.bool)
OTHERS = (torch.int64, torch.bool, torch.float64, torch.bfloat16, torch.complex64)


def supported(op, dtypes):
    return [d for d in dtypes if op.supports_dtype(d, "cpu")]


def run(name, dtype, limit, known, strict=True):
    """Compare a row; one that is listed as a gap must still differ, unless it is a matter of the machine's rounding."""
    op = harness.ROWS[name]
    if known is None:
        if not harness.check(op, dtype, limit):
            pytest.skip("PyTorch has no sample for the CPU in this type")
        return
    try:
        compared = harness.check(op, dtype, limit)
    except (AssertionError, AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError) as error:
        pytest.xfail(f"{known} ({type(error).__name__})")
    assert not (compared and strict), f"{name} agrees with PyTorch now: take it off the list in gaps.py"
    if not compared:
        pytest.skip("PyTorch has no sample for the CPU in this type")


def compare(name, dtype, limit):
    rounding = gaps.TYPES.get((name, str(dtype).removeprefix("torch.")))
    run(name, dtype, limit, gaps.reason(name) or rounding, strict=rounding is None)


@pytest.mark.parametrize("name", harness.ROWS)
def test_row(name):
    dtypes = supported(harness.ROWS[name], FIRST)
    if not dtypes:
        pytest.skip("no type of the normal run")
    compare(name, dtypes[0], 12)


@pytest.mark.long
@pytest.mark.parametrize("name", harness.ROWS)
def test_row_in_all_types(name):
    """All samples in float32, and in the other types that the row supports."""
    wrong = []
    for dtype in supported(harness.ROWS[name], (torch.float32, *OTHERS)):
        short = str(dtype).removeprefix("torch.")
        try:
            compare(name, dtype, None)
        except (pytest.skip.Exception, pytest.xfail.Exception):
            continue
        except Exception as error:
            notes = "; ".join(getattr(error, "__notes__", []))
            wrong.append(f"{short}: {type(error).__name__}: {str(error)[:400]} {notes[:200]}")
    assert not wrong, "\n".join(wrong)


def test_listed_rows_exist():
    for name in (*gaps.GAPS, *(name for name, _ in gaps.TYPES)):
        assert name in harness.ROWS, f"{name} is no row of the database: take it off the list in gaps.py"

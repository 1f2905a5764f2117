"""``torch.nn._reduction``: the reduction of a loss as a number, and as text from the two deprecated arguments."""

from __future__ import annotations

import warnings

from jaxnn.nn.functional.reduction import checked_reduction

__all__ = ["get_enum", "legacy_get_enum", "legacy_get_string"]

_NUMBERS = {"none": 0, "mean": 1, "sum": 2}


def get_enum(reduction: str) -> int:
    """The number of a reduction.

    Raises:
        ValueError: there is no such reduction.
    """
    return _NUMBERS[checked_reduction(reduction)]


def legacy_get_string(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """The reduction that the deprecated arguments ask for."""
    with warnings.catch_warnings():
        if not emit_warning:
            warnings.simplefilter("ignore")
        asked = True if size_average is None and reduce is None else size_average
        return checked_reduction("mean", asked, reduce)


def legacy_get_enum(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> int:
    """The number of the reduction that the deprecated arguments ask for."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))

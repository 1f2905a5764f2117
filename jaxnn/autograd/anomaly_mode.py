"""Anomaly detection: a backward that stops where a gradient becomes NaN.

The switch lies in the engine's thread state; backward looks at it.

Args:
    mode: whether it is on.
    check_nan: raise where a backward gives NaN.
"""

from __future__ import annotations

import warnings
from typing import Any

from jaxnn.core.process.config import state

__all__ = [
    "detect_anomaly",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "set_anomaly_enabled",
    "set_detect_anomaly",
]


def is_anomaly_enabled() -> bool:
    """Whether backward runs operator by operator and looks for NaN."""
    return bool(getattr(state, "anomaly", False))


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection, when it is on, looks at the values."""
    return bool(getattr(state, "anomaly_check_nan", True))


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Turn anomaly detection on or off; `set_detect_anomaly` also works as a block."""
    state.anomaly = bool(mode)  # type: ignore[attr-defined]
    state.anomaly_check_nan = bool(check_nan)  # type: ignore[attr-defined]


class set_detect_anomaly:
    """Turn anomaly detection on or off, as a call or until the end of a ``with`` block.

    While it is on, backward runs operator by operator and reads every gradient: for debugging alone.

    Raises (from backward):
        RuntimeError: where an operator's gradient holds a NaN; it names the operator's backward function.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.set_detect_anomaly
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = (is_anomaly_enabled(), is_anomaly_check_nan_enabled())
        set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: Any) -> None:
        set_anomaly_enabled(*self._before)


class detect_anomaly:
    """Anomaly detection within a ``with`` block.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.detect_anomaly
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._before = (is_anomaly_enabled(), is_anomaly_check_nan_enabled())
        self._check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.", stacklevel=2,
        )  # fmt: skip

    def __enter__(self) -> None:
        self._before = (is_anomaly_enabled(), is_anomaly_check_nan_enabled())
        set_anomaly_enabled(True, self._check_nan)

    def __exit__(self, *exception: Any) -> None:
        set_anomaly_enabled(*self._before)

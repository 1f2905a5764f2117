"""The version of PyTorch's API that is here, in PyTorch's type of version: text that compares as versions do.

Source: https://github.com/pytorch/pytorch/blob/main/torch/torch_version.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from packaging.version import InvalidVersion, Version

__all__ = ["TorchVersion"]

API_VERSION = "2.13.0"


class TorchVersion(str):
    """A version as text, which compares as a version with text, numbers' tuples and `packaging.version.Version`.

    Text that is no version is compared as text.

    Example:
        >>> TorchVersion("2.13.0") > "2.5", TorchVersion("2.13.0") >= (2, 13)
        (True, True)
    """

    def _compare(self, other: Any, by: Callable[[Any, Any], bool]) -> bool:
        try:
            return by(Version(self), _version(other))
        except InvalidVersion:
            return by(str(self), other)

    def __lt__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a < b)

    def __le__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a <= b)

    def __gt__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a > b)

    def __ge__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a >= b)

    def __eq__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a == b)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _version(other: Any) -> Version:
    if isinstance(other, Version):
        return other
    if isinstance(other, str):
        return Version(other)
    if isinstance(other, (tuple, list)):
        return Version(".".join(str(part) for part in other))
    raise InvalidVersion(f"Can't compare a version with {other!r}")

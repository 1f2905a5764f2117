"""How far a packed file may unpack, which a few bytes of it can drive as far as they like."""

from __future__ import annotations

__all__ = ["FREE", "RATIO", "check_unpacked", "largest_unpacked"]

#: Bytes that any file may unpack to.
FREE = 1 << 26
#: How much larger than the file its content may be beyond these. Numbers that carry information reach 20.
RATIO = 200


def largest_unpacked(packed: int) -> int:
    """The number of bytes that a file of ``packed`` bytes may unpack to."""
    return max(FREE, RATIO * packed)


def check_unpacked(packed: int, unpacked: int, what: str) -> None:
    """Raise ValueError for content that is much larger than the file it comes in."""
    if unpacked > largest_unpacked(packed):
        raise ValueError(f"{what}: {packed} bytes that unpack to {unpacked} hold no data: refused")

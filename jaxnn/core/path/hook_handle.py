"""What registering a hook returns."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from typing import Any

__all__ = ["RemovableHandle"]

_numbers = itertools.count()


class RemovableHandle:
    """Removes a hook: by ``remove()``, or at the end of a ``with`` block.

    Args:
        tables: where the hook stands, each under ``id``; the handle keeps none of them alive.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.register_hook.html
    """

    def __init__(self, *tables: OrderedDict[int, Any]) -> None:
        self.id = next(_numbers)
        self._tables = [weakref.ref(table) for table in tables]

    def hooks_dict_ref(self) -> OrderedDict[int, Any] | None:
        """The table that the hook stands in, as long as it lives."""
        return self._tables[0]()

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        for reference in self._tables:
            table = reference()
            if table is not None:
                table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()

"""``torch.export``: a module's forward as a program that runs without its source, its weights beside it.

The program is StableHLO, by `jax.export`, with the sizes open that ``dynamic_shapes`` names. There is no graph of operators to read
or to rewrite.

Source: https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from jaxnn.missing_names import lacking
from jaxnn.utils._pytree import GetAttrKey, register_pytree_node

from .archive import load, save
from .dynamic_shapes import Dim, UserError, dims
from .exported_program import ExportedProgram
from .tracing import export

__all__ = ["Dim", "ExportedProgram", "UserError", "dims", "export", "load", "register_dataclass", "save"]


def register_dataclass(cls: type[Any], *, serialized_type_name: str | None = None) -> None:
    """Make a dataclass a container, whose fields arguments and results are looked for in. A field that is None stays None.

    Args:
        cls: the class.
        serialized_type_name: its name in files.

    Raises:
        AssertionError: it is no dataclass.
        ValueError: it is registered.
    """
    if not dataclasses.is_dataclass(cls):
        raise AssertionError(f"Only dataclasses can be registered with this function: {cls}")
    fields = [f.name for f in dataclasses.fields(cls)]

    def flatten(value: Any) -> tuple[list[Any], Any]:
        held = [n for n in fields if getattr(value, n) is not None]
        return [getattr(value, n) for n in held], [held, [n for n in fields if n not in held]]

    def with_keys(value: Any) -> tuple[list[tuple[Any, Any]], Any]:
        children, context = flatten(value)
        return [(GetAttrKey(n), c) for n, c in zip(context[0], children, strict=True)], context

    def unflatten(children: Any, context: Any) -> Any:
        return cls(**dict(zip(context[0], children, strict=True)), **dict.fromkeys(context[1]))

    register_pytree_node(cls, flatten, unflatten, serialized_type_name=serialized_type_name, flatten_with_keys_fn=with_keys)


__getattr__ = lacking(sys.modules[__name__])

"""The signature of a class whose metaclass has a ``__call__`` of its own."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["signature_of"]


def signature_of(cls: Any, call: Any) -> inspect.Signature:
    """The signature of a class as Python finds it for one whose metaclass has no ``__call__``: that of ``__new__``, or else
    of ``__init__``. ``call`` is the metaclass's own ``__call__``, which stands behind both.
    """
    places = ("_jaxnn_signature", "__signature__")  # assigned later, or in the class's body
    declared = next((vars(c)[n] for c in cls.__mro__ for n in places if n in vars(c)), None)
    if declared is not None:
        return declared
    if type(cls).__call__ is not call:
        made_by: Any = type(cls).__call__
    else:
        made_by = next(
            (getattr(cls, name) for name in ("__new__", "__init__") if inspect.isfunction(getattr(cls, name))), cls.__init__
        )
    found = inspect.signature(made_by)
    return found.replace(parameters=list(found.parameters.values())[1:])

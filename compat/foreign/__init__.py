"""PyTorch's names that have no meaning of their own here, for source that mentions them.

Each is *harmless*, where what it asks for is nothing to do or no, or *refusing*: it can be imported and says what is lacking when it
is used. `table` has them all; what would change results is never harmless. Names that mean something are in `jaxnn` itself.
"""

from .making import namespace, namespaces, rows
from .objects import OBJECTS

__all__ = ["OBJECTS", "namespace", "namespaces", "rows"]

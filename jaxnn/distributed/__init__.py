"""``torch.distributed`` in one process: a group of one, whose collectives leave things as they are.

Several processes are not here yet: a world size above 1 is refused. Before `init_process_group` all raises as in PyTorch.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

from . import collectives, messages, process_group, reduction
from .collectives import *  # noqa: F403
from .messages import *  # noqa: F403
from .process_group import *  # noqa: F403
from .reduction import *  # noqa: F403

__all__ = collectives.__all__ + messages.__all__ + process_group.__all__ + reduction.__all__

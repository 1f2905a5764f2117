"""``torch.distributed``: processes with arrays of their own, over `jax.distributed`.

Each process runs its own programs on its own devices, as in PyTorch, and meets the others in collectives only: what one of them
reads or prints concerns no other. Arrays that lie over the devices of several processes are JAX's other way; see `DeviceMesh`.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

from jaxnn.ops.processes.groups import DistBackendError as DistBackendError
from jaxnn.ops.processes.groups import DistError as DistError

from ..core.process.late import imported as _imported
from ..nn.parallel.grad_bucket import GradBucket as GradBucket
from . import collectives, debug_level, messages, objects, process_group, reduction, stores, work
from .collectives import *  # noqa: F403
from .debug_level import *  # noqa: F403
from .device_mesh import DeviceMesh as DeviceMesh
from .device_mesh import init_device_mesh as init_device_mesh
from .messages import *  # noqa: F403
from .objects import *  # noqa: F403
from .process_group import *  # noqa: F403
from .reduction import *  # noqa: F403
from .shared_stores import FileStore as FileStore
from .shared_stores import TCPStore as TCPStore
from .stores import *  # noqa: F403
from .work import *  # noqa: F403

from . import algorithms as algorithms  # isort: skip
from . import nn as nn  # isort: skip
from . import optim as optim  # isort: skip

__all__ = ["DeviceMesh", "DistBackendError", "DistError", "FileStore", "GradBucket", "TCPStore", "init_device_mesh"]
__all__ += collectives.__all__ + debug_level.__all__
__all__ += messages.__all__ + objects.__all__ + process_group.__all__ + reduction.__all__ + stores.__all__ + work.__all__

_imported(__name__)

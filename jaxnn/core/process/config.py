"""Process-wide and per-thread switches of the engine, and the two questions it asks of JAX.

Everything that changes what a recorded operator means is part of `configuration()`, under which recordings are kept apart.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..kinds import dtypes
from ..kinds.device import automatic_mesh
from .internals import axis_env_state, eval_trace, top_axis_env, trace_state

__all__ = [
    "ThreadState", "configuration", "get_setting", "in_mesh", "in_transformation", "mesh_in_use", "on_change",
    "set_setting", "settings", "state", "uncut", "x64",
]  # fmt: skip


def in_transformation() -> bool:
    """Whether a JAX transformation is tracing this thread. This is the only place that asks, at every operator."""
    return trace_state.value is not eval_trace or axis_env_state.value is not top_axis_env


def mesh_in_use(placement: Any = None) -> Any:
    """The mesh of `jax.set_mesh` around what runs now, with automatic axes; None where there is none, and in a transformation.

    Operands that JAX's programs have spread over explicit axes need theirs: ``placement`` is where they lie.
    """
    if jax.sharding.get_abstract_mesh().empty or in_transformation():
        return None
    theirs = getattr(placement, "mesh", None)
    if theirs is not None and automatic_mesh(theirs) is not theirs:
        return theirs
    return automatic_mesh(jax.sharding.get_mesh())


def in_mesh(mesh: Any) -> Any:
    """The context of `jax.set_mesh(mesh)`, of no mesh for None; nothing where that is in use already."""
    if jax.sharding.get_abstract_mesh().empty:
        return contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh)
    if mesh is not None and mesh is jax.sharding.get_mesh():
        return contextlib.nullcontext()
    return jax.set_mesh(jax.sharding.Mesh(np.empty((), object), ()) if mesh is None else mesh)


#: The 64-bit context under which operators are traced and programs run; the user's global configuration is left alone.
x64 = jax.enable_x64


class ThreadState(threading.local):
    """What belongs to one thread: its gradient mode, its recordings, whether it runs operators one by one, its mixed precision."""

    grad_enabled: bool = True
    inference: bool = False
    dual: Any = None  # the open level of forward mode
    forward_enabled: bool = True
    saving: Any = None  # hooks on what operators keep for their backward
    observer: Any = None  # called with every operator that a program calls, its arguments and what it gave
    saving_refused: str | None = None  # why there may be none
    callbacks: Any = None  # what a running backward calls at its end
    last_callbacks: Any = None  # the same of the outermost one, after these
    multithreading: bool = True
    immediate: bool = False
    uncut: bool = False  # inside `uncut`
    anomaly: bool = False  # backward looks for NaN in every gradient
    anomaly_check_nan: bool = True
    recording: Any = None  # the recording in use last; `recordings` has one for each placement
    module_depth: int = 0
    direct: bool = False  # inside a module whose operators run when they are called, as `policy.runs_directly` says
    new_path: bool = False  # the last cut was of a path that was never seen, and ran in numpy
    plain_operators: bool = False  # subclasses of Tensor are not asked
    cuts: int = 0  # of paths that had no program; see `policy`
    steps: int = 0  # those of training steps among them
    updates: int = 0  # those that an optimizer's step ended
    last_step: Any = None  # the operators of the last one
    execution_mode: Any = None  # how this thread runs programs, if it says so
    autocast: Any = None  # the kinds of devices for which it is on, if any
    autocast_types: Any = None

    def __init__(self) -> None:
        self.recordings: dict[Any, Any] = {}
        #: When programs were compiled on a guess that have not been used again, by the kind of guess.
        self.guesses: dict[Any, Any] = collections.defaultdict(collections.deque)
        #: The last paths that had no program: of training steps, and others.
        self.recent: collections.deque[Any] = collections.deque(maxlen=8)
        self.evaluated: collections.deque[Any] = collections.deque(maxlen=8)
        #: Outermost calls of modules of a class, without gradients, whose paths were all new: see `policy`.
        self.novel: weakref.WeakKeyDictionary[type, int] = weakref.WeakKeyDictionary()


state = ThreadState()


@contextlib.contextmanager
def uncut() -> Iterator[None]:
    """No operator makes a cut of its own accord (after so many, after a backward), while places of the open recording are in use."""
    before, state.uncut = state.uncut, True
    try:
        yield
    finally:
        state.uncut = before


_listeners: list[Any] = []
#: The precisions are JAX's names for float32 products of matrices and of convolutions; the defaults are PyTorch's on GPUs.
settings: dict[str, Any] = {"matmul_precision": "highest", "conv_precision": "high", "onednn": False, "execution_mode": "auto"}


def configuration() -> tuple[Any, ...]:
    """What recorded operators depend on besides their inputs."""
    return (dtypes.get_default_dtype(), *settings.values())


def get_setting(name: str) -> Any:
    """The value of one switch."""
    return settings[name]


def set_setting(name: str, value: Any) -> None:
    """Change a switch; pending work is finished under the old value first."""
    if settings[name] != value:
        for listener in _listeners:
            listener()
        settings[name] = value


def on_change(listener: Any) -> Any:
    """Call ``listener`` before any switch changes."""
    _listeners.append(listener)
    dtypes.default_listeners.append(listener)
    return listener

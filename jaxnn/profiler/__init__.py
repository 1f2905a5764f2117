"""``torch.profiler`` over `jax.profiler`: what a program does and when, for TensorBoard or https://ui.perfetto.dev.

    with profile(on_trace_ready=tensorboard_trace_handler("runs/profile")) as p:
        for batch in loader:
            step(batch)
            p.step()

Operators are recorded and run as programs: what a trace shows are these and XLA's own steps, not PyTorch's operators.

Source: https://docs.pytorch.org/docs/stable/profiler.html
"""

from __future__ import annotations

import enum
import functools
import gzip
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax

from jaxnn.core.kinds.device import jax_devices
from jaxnn.core.run.cut import cut_all

from ..core.process.late import imported as _imported
from .events import EventList, read_events
from .scopes import record_function

__all__ = [
    "ProfilerAction", "ProfilerActivity", "is_fbcode", "kineto_available", "profile", "record_function", "schedule",
    "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip


class ProfilerActivity(enum.Enum):
    """What is profiled; JAX profiles all that it has."""

    CPU = 0
    CUDA = 2
    XPU = 1
    MTIA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What is done in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def kineto_available() -> bool:
    """False: the profiler is JAX's."""
    return False


def supported_activities() -> set[ProfilerActivity]:
    """What there is to profile."""
    return {ProfilerActivity.CPU} | ({ProfilerActivity.CUDA} if jax_devices("cuda") else set())


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """What to do in each step: ``wait`` steps nothing, ``warmup`` nothing, ``active`` recording, again and again.

    Args:
        repeat: how many times; 0: for ever.
        skip_first: steps before all that.
        skip_first_wait: if not 0, the first round has no waiting.

    Raises:
        AssertionError: for negative numbers, or no active step.
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError("Invalid profiler schedule arguments")
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait != 0:
            step += wait
        if repeat > 0 and step / length >= repeat:
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def _always(_: int) -> ProfilerAction:
    return ProfilerAction.RECORD


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable[[Any], None]:
    """For ``on_trace_ready``: write each trace into a folder, as ``WORKER.TIME.pt.trace.json``.

    Args:
        worker_name: by default the machine's name and the process's number.
        use_gzip: whether to compress it.
        dir_name: the folder.
    """

    def handle(prof: Any) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        ending = "json.gz" if use_gzip else "json"
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.{ending}"))

    return handle


class profile:
    """Profiles a block, or the steps of it that a schedule names.

    Args:
        activities: a hint; JAX profiles all that it has.
        schedule: step -> what to do; None: all is recorded.
        on_trace_ready: called with this object when a trace is there.
        record_shapes, profile_memory, with_stack, with_flops, with_modules: hints; the trace has what JAX puts there.
        experimental_config, execution_trace_observer, acc_events, custom_trace_id_callback, post_processing_timeout_s: only None or False.
        use_cuda: the old word for an activity, a hint.

    Raises:
        NotImplementedError: for an argument that has no meaning here.

    Source: https://docs.pytorch.org/docs/stable/profiler.html#torch.profiler.profile
    """

    def __init__(
        self, *, activities: Iterable[ProfilerActivity] | None = None, schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False, profile_memory: bool = False,
        with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, experimental_config: Any = None,
        execution_trace_observer: Any = None, acc_events: bool = False, use_cuda: bool | None = None,
        custom_trace_id_callback: Any = None, post_processing_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        for name, value in (("execution_trace_observer", execution_trace_observer), ("acc_events", acc_events),
                            ("custom_trace_id_callback", custom_trace_id_callback)):  # fmt: skip
            if value:
                raise NotImplementedError(f"profile({name}=...) is not supported")
        self.activities = set(activities) if activities is not None else supported_activities()
        self.schedule = schedule or _always
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._folder: str | None = None
        self._tracing = False
        self._step: Any = None

    def start(self) -> None:
        """Begin with the first step."""
        self._follow()

    def stop(self) -> None:
        """End; a trace that is being recorded is ready now."""
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = None
        if self._tracing:
            self._end()

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def step(self) -> None:
        """The next step begins."""
        before = self.current_action
        if self._step is not None:
            cut_all()
            self._step.__exit__(None, None, None)
            self._step = None
        if before == ProfilerAction.RECORD_AND_SAVE and self._tracing:
            self._end()
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        self._follow()

    def _follow(self) -> None:
        recording = self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if recording and not self._tracing:
            cut_all()
            self._clear()
            self._folder = tempfile.mkdtemp(prefix="jaxnn-profile-")
            jax.profiler.start_trace(self._folder)
            self._tracing = True
        if recording:
            self._step = jax.profiler.StepTraceAnnotation(f"ProfilerStep#{self.step_num}", step_num=self.step_num)
            self._step.__enter__()

    def _end(self) -> None:
        cut_all()
        jax.profiler.stop_trace()
        self._tracing = False
        self.__dict__.pop("_events", None)
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _clear(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __del__(self) -> None:
        if not self._tracing:
            self._clear()

    def _trace(self) -> str:
        """The file of the trace."""
        if self._tracing or self._folder is None:
            raise AssertionError("Profiler must be initialized before getting its trace: end the block, or reach an active step")
        found = [os.path.join(d, f) for d, _, files in os.walk(self._folder) for f in files if f.endswith(".trace.json.gz")]
        return found[0]

    def export_chrome_trace(self, path: str) -> None:
        """Write the trace as JSON, compressed if the name ends with ``.gz``, for https://ui.perfetto.dev."""
        if path.endswith(".gz"):
            shutil.copyfile(self._trace(), path)
            return
        with gzip.open(self._trace(), "rb") as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)

    @functools.cached_property
    def _events(self) -> EventList:
        return read_events(self._trace())

    def events(self) -> EventList:
        """What ran, one by one: programs, XLA's steps and `record_function`'s scopes."""
        return self._events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:  # fmt: skip
        """What ran by name, with the number of calls and the times.

        Raises:
            NotImplementedError: for grouping by what the trace does not have.
        """
        if group_by_input_shape or group_by_stack_n or group_by_overload_name:
            raise NotImplementedError("key_averages: the trace has no shapes, stacks and overloads to group by")
        return self._events.averages()

    def add_metadata(self, key: str, value: str) -> None:
        """Refuses.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("profile.add_metadata: the trace is JAX's")

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Refuses.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("profile.export_stacks: the trace has no stacks")

_imported(__name__)

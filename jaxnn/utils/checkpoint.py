"""Activation checkpointing: keep a function's inputs, compute everything else again in the backward.

The function is recorded without keeping what its backward needs, and the recording is cut behind it, so that its program
returns its outputs alone. The backward records the function again, from the same inputs and random numbers.

Args:
    is_recompute: whether this is the call in the backward.
    use_reentrant: a hint.
    allow_cache_entry_mutation: a hint.
    enable: a hint.
    devices, states, device_type: of the devices and their generators.

Source: https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

import contextlib
import enum
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jaxnn.core.gradient import backward
from jaxnn.core.gradient.function import Function
from jaxnn.core.gradient.modes import enable_grad, no_grad
from jaxnn.core.memory.cell import Leaf
from jaxnn.core.memory.tensor_base import TensorBase, aval, source_of
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.random import generator as random
from jaxnn.nn.containers import Sequential
from jaxnn.support.compared_runs import Run, differing_counts, differing_tensors, observed, of_both
from jaxnn.support.gates import captured, closed, gated
from jaxnn.support.trees import flatten, unflatten

__all__ = [
    "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "SelectiveCheckpointContext", "check_backward_validity",
    "checkpoint", "checkpoint_sequential", "create_selective_checkpoint_contexts", "detach_variable", "get_device_states",
    "noop_context_fn", "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states",
]  # fmt: skip


class CheckpointError(RuntimeError):
    """The function computed something else the second time."""


def noop_context_fn() -> tuple[Any, Any]:
    """Two contexts that do nothing, the default of ``context_fn``."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """A hint that changes nothing here: a function that is computed again runs to its end.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.set_checkpoint_early_stop
    """
    yield


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Whether checkpoints in the block are made with ``debug``, whatever they are told; None: as they are told.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.set_checkpoint_debug_enabled
    """
    before, _debugging.forced = _debugging.forced, enabled
    try:
        yield
    finally:
        _debugging.forced = before


class _Debugging(threading.local):
    forced: bool | None = None


_debugging = _Debugging()


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if none of several values is a tensor that requires gradients."""
    if not any(isinstance(a, TensorBase) and a.requires_grad for a in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=3)


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Several values, their tensors as new leaves that require gradients where they did.

    Raises:
        RuntimeError: ``inputs`` is no tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(
        a.detach().requires_grad_(a.requires_grad) if isinstance(a, TensorBase) else a for a in inputs
    )


class CheckpointPolicy(enum.Enum):
    """What a policy says of an operator's results: to keep them, or to compute them again."""

    MUST_SAVE, PREFER_SAVE, MUST_RECOMPUTE, PREFER_RECOMPUTE, MUST_CPU_OFFLOAD = range(5)


class SelectiveCheckpointContext:
    """What a policy is told of the call: whether it is the first of the function or one in the backward."""

    def __init__(self, *, is_recompute: bool) -> None:
        self.is_recompute = is_recompute


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False
) -> tuple[Any, Any]:
    """Two contexts for ``context_fn``. The policy is a hint that changes nothing here.

    A checkpointed function keeps its inputs alone; what its backward needs is one program, computed again. The numbers are
    those of every policy.

    Args:
        policy_fn_or_list: a function of (context, operator, ...) that gives a `CheckpointPolicy`, or the operators to keep.

    Raises:
        TypeError: it is neither.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.create_selective_checkpoint_contexts
    """
    if not isinstance(policy_fn_or_list, list) and not callable(policy_fn_or_list):
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    return noop_context_fn()


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The devices of tensors that have random numbers of their own, and their states: none, there is one stream."""
    return [], []


def set_device_states(devices: list[int], states: list[Any], *, device_type: str | None = None) -> None:
    """Set what `get_device_states` gave.

    Raises:
        RuntimeError: there are states: no device has a stream of its own.
    """
    if devices or states:
        raise RuntimeError("set_device_states: no device has random numbers of its own")


class _Segment:
    """A function that runs twice, and what it has to find again."""

    def __init__(self, function: Callable[..., Any], given: Any, preserve: bool, check: str, contexts: Any, debug: bool) -> None:
        self.function = function
        self.contexts = contexts  # around the first run, and around the others
        self.autocast = state.autocast, state.autocast_types and dict(state.autocast_types)
        self.given = given  # (args, kwargs)
        self.check = check  # "reentrant", or what `checkpoint` calls ``determinism_check``
        self.random = random.default_generator.state_bytes() if preserve else None
        self.first = Run(debug)
        self.graph: Any = None  # of the first run, if it keeps nothing: what it was given, and its outputs
        self.described: list[Any] = []
        self.passed: frozenset[int] = frozenset()  # the outputs that are inputs

    def computed(self, outputs: list[Any]) -> list[Any]:
        """The outputs but those that are inputs."""
        return [o for k, o in enumerate(outputs) if k not in self.passed]

    def run(self, noted: Run, tensors: list[Any], places: list[int]) -> tuple[list[Any], Any]:
        """The outputs with gradients, flat, and their form. ``tensors`` stand at ``places`` of the flat arguments."""
        leaves = flatten(self.given)
        for k, t in zip(places, tensors, strict=True):
            leaves[k] = t
        args, kwargs = unflatten(self.given, leaves)
        saving = state.saving
        if noted is self.first or self.check != "reentrant":
            state.saving = None  # hooks from outside see what the node of the whole keeps
        try:
            with enable_grad(), observed(noted):
                result = self.function(*args, **kwargs)
        finally:
            state.saving = saving
        return flatten(result), result

    def again(self, tensors: list[Any], places: list[int]) -> list[Any]:
        """Run with the random numbers of the first time, and compare with that."""
        now = random.default_generator.state_bytes()
        if self.random is not None:
            random.default_generator.set_state_bytes(self.random)
        mixed = state.autocast, state.autocast_types
        state.autocast, state.autocast_types = self.autocast
        noted = Run(self.first.lines is not None)
        try:
            with self.contexts[1]:
                outputs, _ = self.run(noted, tensors, places)
        finally:
            state.autocast, state.autocast_types = mixed
            if self.random is not None:
                random.default_generator.set_state_bytes(now)
        outputs = self.computed(outputs)
        if self.check != "reentrant":
            self.compare(noted, outputs)
        return outputs

    def compare(self, noted: Run, outputs: list[Any]) -> None:
        """Refuse a run that differs from the first one."""
        problem = differing_counts(self.first, noted)
        if not problem and self.check == "default":
            problem = differing_tensors(self.first, noted)
            described = [_described(o) for o in outputs]
            if not problem and described != self.described:
                problem = (
                    f"Recomputed values have different metadata than during the forward pass: {described}, not {self.described}"
                )
        if problem:
            more = "" if self.first.lines is None else "\n\n" + of_both(self.first, noted)
            raise CheckpointError(f"torch.utils.checkpoint: {problem}{more}")


def _described(value: Any) -> Any:
    return (tuple(aval(value).shape), str(aval(value).dtype)) if isinstance(value, TensorBase) else type(value)


class CheckpointFunction(Function):
    """The node of a checkpointed function: its backward runs it again and goes back through that."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, segment: _Segment, places: list[int], outputs: list[Any], outside: int, *tensors: Any) -> Any:
        """Take the outputs that are computed already; the tensors are the inputs, then ``outside`` leaves used from outside."""
        ctx.segment = segment
        ctx.places = places
        count = len(tensors) - outside
        ctx.outside = tensors[count:]
        ctx.save_for_backward(*tensors[:count])
        results = tuple(o.detach() for o in outputs)
        if segment.check != "reentrant":
            ctx.set_materialize_grads(False)
            ctx.mark_non_differentiable(*(r for r, o in zip(results, outputs, strict=True) if not o.requires_grad))
        return results

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """The gradients of all tensors."""
        segment, places = ctx.segment, ctx.places
        inputs, outside = list(ctx.saved_tensors), list(ctx.outside)
        create = state.grad_enabled
        if segment.graph is None:
            ends = [(gated(t) if create else t.detach().requires_grad_()) if t.requires_grad else t for t in inputs]
            outputs = segment.again(ends, places)
        else:
            ends, outputs = segment.graph
        found = [o for o in outputs if isinstance(o, TensorBase)]
        pairs = [(o, ct) for o, ct in zip(found, cotangents, strict=True) if o.requires_grad and ct is not None]
        if not pairs and segment.check == "reentrant":
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        moving = [k for k, t in enumerate(ends) if t.requires_grad]
        wanted = [ends[k] for k in moving]
        grads: list[Any] = [None] * (len(inputs) + len(outside))
        if pairs:
            with closed([*wanted, *outside]):
                made = backward.grad_within([o for o, _ in pairs], wanted, outside, [ct for _, ct in pairs], create)
            for k, g in zip([*moving, *range(len(inputs), len(grads))], made, strict=True):
                grads[k] = g
        return (None, None, None, None, *grads)


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, context_fn: Any = noop_context_fn,
    determinism_check: str = "default", debug: bool = False, early_stop: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """``function(*args, **kwargs)``, whose intermediate values are computed again in the backward instead of being kept.

    Inside a JAX transformation the function is just called: `flax.nnx.remat` and `jax.checkpoint` are for there.

    Args:
        use_reentrant: True: nothing requires gradients unless one of ``args`` does, and what the function returns does then. Both
            ways give the same numbers, and `autograd.grad` works through both.
        context_fn: gives two context managers, one for the first run of the function, one for the others.
        determinism_check: "default" compares shapes and types of what the operators of both runs keep for their backward, "none"
            only how many they keep.
        debug: errors name the operators of both runs and the lines that called them.
        early_stop: a hint that changes nothing here: the function runs to its end.
        preserve_rng_state: draw the same random numbers again (the default).

    Raises:
        ValueError: for keyword arguments with ``use_reentrant=True``.
        CheckpointError: in the backward, when the function computes something else.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.checkpoint
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, "
            "calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but if you "
            "need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details "
            "on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs and use_reentrant:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if use_reentrant and (context_fn is not noop_context_fn or debug):
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    if use_reentrant:
        check_backward_validity(args)
        if state.grad_enabled and not any(isinstance(a, TensorBase) and a.requires_grad for a in args):
            with no_grad():
                return function(*args, **kwargs)
    first, others = context_fn()
    if not state.grad_enabled or in_transformation():
        made = function(*args, **kwargs)
        if not use_reentrant or in_transformation():
            return made
        return unflatten(made, [o.detach() if any(o is a for a in args) else o for o in flatten(made)])
    if state.saving_refused is not None and not use_reentrant:
        raise RuntimeError(state.saving_refused)
    check = "reentrant" if use_reentrant else determinism_check
    forced = _debugging.forced
    segment = _Segment(function, (args, kwargs), preserve, check, (first, others), debug if forced is None else forced)
    return _kept_small(segment)


def _kept_small(segment: _Segment) -> Any:
    """Run a segment for the first time; its outputs know how to run it again."""
    leaves = flatten(segment.given)
    places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, TensorBase)]
    inputs = [leaves[k] for k in places]
    reentrant = segment.check == "reentrant"
    if isinstance(state.observer, Run):  # a checkpoint around this one: it sees what this one keeps
        for t in inputs:
            state.observer.keep(t)
    ends = [t.detach().requires_grad_() if t.requires_grad else t for t in inputs]
    own = {id(source) for source, _ in map(source_of, ends) if type(source) is Leaf}
    own -= {id(source) for source, _ in map(source_of, inputs)}
    with segment.contexts[0]:
        outputs, form = segment.run(segment.first, ends, places)
    passed: dict[int, Any] = {}
    if not reentrant:  # which returns copies of what it is given
        passed = {k: t for k, o in enumerate(outputs) for e, t in zip(ends, inputs, strict=True) if o is e}
    if passed:
        form = unflatten(form, [passed.get(k, o) for k, o in enumerate(outputs)])
        segment.passed = frozenset(passed)
        outputs = segment.computed(outputs)
    segment.described = [_described(o) for o in outputs]
    found = [o for o in outputs if isinstance(o, TensorBase)]
    outside, of_operators = captured(found, own)
    if not outside and not any(o.requires_grad for o in found) and not (reentrant and any(t.requires_grad for t in ends)):
        return form
    if of_operators and not segment.first.kept:
        segment.graph = ends, outputs
    with no_grad():  # copies without the graph behind them, so that nothing of it is kept
        plain = [o.clone().requires_grad_(o.requires_grad) for o in found]
    del found, outputs
    made = iter(CheckpointFunction.apply(segment, places, plain, len(outside), *inputs, *outside))
    leaves = enumerate(flatten(form))
    return unflatten(form, [next(made) if isinstance(o, TensorBase) and k not in passed else o for k, o in leaves])


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run a sequence of functions in segments, all of them checkpointed but the last.

    Args:
        functions: an `nn.Sequential` or a list of functions of one argument.
        segments: how many parts to make of it.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.checkpoint_sequential
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if isinstance(functions, Sequential) else list(functions)

    def part(start: int, stop: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for step in steps[start:stop]:
                x = step(x)
            return x

        return run

    size = len(steps) // segments
    if size == 0:
        raise ValueError("range() arg 3 must not be zero")
    start = 0
    for _ in range(segments - 1):
        input = checkpoint(part(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
        start += size
    return part(start, len(steps))(input)

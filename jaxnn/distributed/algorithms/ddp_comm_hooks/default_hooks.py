"""Hooks that average gradients, as they are or in half precision.

Source: https://docs.pytorch.org/docs/stable/ddp_comm_hooks.html#default-communication-hooks
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core.kinds import dtypes
from ....futures import Future
from ....nn.parallel.grad_bucket import GradBucket
from ...collectives import all_reduce
from ...process_group import member

__all__ = [
    "allreduce_hook", "bf16_compress_hook", "bf16_compress_wrapper", "fp16_compress_hook", "fp16_compress_wrapper",
]  # fmt: skip

Hook = Callable[[Any, GradBucket], Future[Any]]


def _mean(group: Any, tensor: Any) -> Future[Any]:
    tensor.div_(member(group).size())
    work: Any = all_reduce(tensor, group=group, async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Future[Any]:
    """The mean over the processes, as without a hook."""
    return _mean(process_group, bucket.buffer())


def _compressed(process_group: Any, bucket: GradBucket, kind: dtypes.dtype) -> Future[Any]:
    buffer = bucket.buffer()

    def written(done: Any) -> Any:
        buffer.copy_(done.value())
        return buffer

    return _mean(process_group, buffer.to(kind)).then(written)


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Future[Any]:
    """The mean over the processes, sent as float16."""
    return _compressed(process_group, bucket, dtypes.float16)


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Future[Any]:
    """The mean over the processes, sent as bfloat16."""
    return _compressed(process_group, bucket, dtypes.bfloat16)


def _wrapper(hook: Hook, kind: dtypes.dtype) -> Hook:
    def wrapped(hook_state: Any, bucket: GradBucket) -> Future[Any]:
        buffer = bucket.buffer()
        bucket.set_buffer(buffer.to(kind))

        def written(done: Any) -> Any:
            buffer.copy_(done.value())
            return buffer

        return hook(hook_state, bucket).then(written)

    return wrapped


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """Another hook, which gets its gradients as float16."""
    return _wrapper(hook, dtypes.float16)


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """Another hook, which gets its gradients as bfloat16."""
    return _wrapper(hook, dtypes.bfloat16)

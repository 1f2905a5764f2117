"""A hook that sends nothing.

Source: https://docs.pytorch.org/docs/stable/ddp_comm_hooks.html#debugging-communication-hooks
"""

from __future__ import annotations

from typing import Any

from ....futures import Future
from ....nn.parallel.grad_bucket import GradBucket

__all__ = ["noop_hook"]


def noop_hook(_: Any, bucket: GradBucket) -> Future[Any]:
    """Leave each process its gradients: what a step takes without communication."""
    made: Future[Any] = Future()
    made.set_result(bucket.buffer())
    return made

"""Running a path operator by operator, without compiling it: as executables of its operators, or in numpy.

numpy takes small arrays on the CPU: a new shape costs a trace and no compilation, a call some tens of microseconds. Everything else
runs as one executable an operator, which is compiled once for its shapes: on the CPU when as much has been spent on it in numpy, so
that shapes which never come back are never compiled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..host.function import host_function
from ..memory.aval import Aval
from ..operator.traced import Traced, carries_gradient
from .program import device_context, on_device

__all__ = [
    "EXECUTABLE", "EXECUTABLE_EQUATION", "HOST_ELEMENTS", "OneByOne", "host_cost", "in_numpy", "is_host", "rents_numpy", "runs_on_host",
]  # fmt: skip

#: Elements of an operator's largest operand or result up to which numpy runs it: from there on XLA's threads are worth their call.
HOST_ELEMENTS = 16_384
#: The same for an operand of a matrix product, inner ones too.
HOST_MATRIX = 16_384
#: Equations that compute up to which numpy runs an operator (each of those that a backward walks): a whole attention layer is one
#: call of XLA's instead.
HOST_EQUATIONS = 60
#: Equations that a scan may run there, all rounds together: a short recurrence takes a few milliseconds at every call, its
#: executable some hundred for every length.
HOST_ROUNDS = 4_000

#: Prices, in the unit of `policy`: of an operator's executable, and for each of its equations; of a call in numpy, for each of its
#: equations, for each element that one of them computes, and for each product of two numbers.
EXECUTABLE, EXECUTABLE_EQUATION = 40_000, 1_500
HOST_CALL, HOST_CALL_EQUATION, HOST_ELEMENT, HOST_PRODUCT = 8, 1, 1e-3, 2e-4

#: From so many elements on, a result is waited for: that there is no memory for it must show before anything is given its value.
LARGE = 1 << 26


def runs_on_host(traced: Traced, placement: Any) -> bool:
    """Whether numpy runs a traced function."""
    return is_host(placement) and _is_small(traced)


def host_cost(traced: Traced) -> float:
    """What a call of a traced function in numpy costs."""
    elements, products = traced.work
    return HOST_CALL + HOST_CALL_EQUATION * traced.executed + HOST_ELEMENT * elements + HOST_PRODUCT * products


def rents_numpy(traced: Traced, placement: Any) -> bool:
    """Whether numpy runs a traced function that is not small: as long as that has cost less than its executable would."""
    if traced.seen_alone or traced.small or traced.unending or not is_host(placement):
        return False
    return traced.host_paid + host_cost(traced) < EXECUTABLE + EXECUTABLE_EQUATION * traced.equations


def is_host(placement: Any) -> bool:
    """Whether a placement is the CPU alone."""
    return isinstance(placement, jax.Device) and placement.platform == "cpu"


def _is_small(traced: Traced) -> bool:
    small = traced.small
    if small is None:
        small = traced.small = (
            traced.elements <= HOST_ELEMENTS and traced.matrix <= HOST_MATRIX
            and (traced.computing <= HOST_EQUATIONS * traced.parts or traced.loops)
            and not traced.unending and (traced.executed <= HOST_ROUNDS or not traced.loops)
        )  # fmt: skip
    return small


def in_numpy(traced: Traced) -> Any:
    """A traced function in numpy, or None where numpy has no rules for what it does."""
    run = host_function(traced.closed)
    if run.fallbacks:  # type: ignore[attr-defined]
        traced.small, traced.host_paid = False, math.inf
        return None
    traced.host = run
    if traced.form is not None:
        traced.form.compare(run)
        traced.form = None
    traced.seen = traced.seen_on_host = True
    return run


class OneByOne:
    """A way to run operators on arrays, for one placement."""

    def __init__(self, placement: Any) -> None:
        self.placement, self.host = placement, is_host(placement)
        self.device = device_context(placement)

    def call(self, traced: Traced, operands: Sequence[Any]) -> list[Any]:
        """All results of a traced function."""
        if self.host and (_is_small(traced) or rents_numpy(traced, self.placement)):
            run = traced.host or in_numpy(traced)
            if run is not None:
                if not traced.small:
                    traced.host_paid += host_cost(traced)
                operands = [a if type(a) is np.ndarray else np.asarray(a) for a in operands]
                return traced.all_results(operands, run(*operands))
        traced.seen = traced.seen_alone = True
        with on_device(self.device):
            results = traced.all_results(operands, traced.jitted(*operands))
        if traced.elements > LARGE:
            self.wait_for(results)
        return results

    def add(self, a: Any, b: Any) -> Any:
        """The sum of two cotangents."""
        if type(a) is np.ndarray and type(b) is np.ndarray:
            return np.asarray(a + b)
        return jnp.add(a, b)

    def zeros(self, a: Aval) -> Any:
        """The gradient of what no gradient reaches."""
        return np.zeros(tuple(a.shape), a.np if carries_gradient(a) else jax.dtypes.float0)

    def wait_for(self, results: list[Any]) -> None:
        """Wait for results, so that an error of running, such as no memory, shows at its operator."""
        for result in results:
            if isinstance(result, jax.Array):
                result.block_until_ready()

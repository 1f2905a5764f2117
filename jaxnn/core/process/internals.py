"""Every name that JAX and Flax keep to themselves and that this library uses, and what public thing it replaces.

Nothing else imports from ``jax._src`` or from inside ``flax.nnx``. `USED` lists the names, methods of Flax's that are
overridden or called among them; a test looks up each one, so that a release that drops one says which.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from flax import nnx
from flax.errors import TraceContextError
from flax.nnx import graphlib, variablelib
from flax.nnx.pytreelib import PytreeState
from flax.nnx.tracers import TraceState, current_jax_trace
from jax._src import distributed as _distributed
from jax._src.core import ShapedArray, axis_env_state, eval_trace, top_axis_env
from jax._src.core import trace_state_strong_ref as trace_state
from jax._src.interpreters import ad as _ad
from jax._src.interpreters.batching import BatchTracer
from jax._src.lax import lax as lax_rules
from jax._src.lax.lax import _convert_element_type as convert_element_type
from jax._src.xla_bridge import backends_are_initialized
from jax.extend.core import ClosedJaxpr
from jax.interpreters import ad

__all__ = [
    "FLAX_MODES", "TRANSPOSITIONS", "USED", "DataElem", "PytreeState", "StaticElem", "TraceContextError", "TraceState",
    "Use", "ad", "axis_env_state", "backends_are_initialized", "convert_element_type", "current_jax_trace",
    "distributed_client", "eval_trace", "is_flattened_by_jax", "is_graph_node_type", "is_result_of_jax",
    "is_taken_apart", "lax_rules", "noted_differences", "scan_counts", "top_axis_env", "trace_state", "unmapped",
    "with_parts", "with_results",
]  # fmt: skip


#: Where transposition rules stand: in one table, or in two.
TRANSPOSITIONS: list[dict[Any, Any]] = [ad.primitive_transposes, getattr(_ad, "fancy_transposes", {})]


class Use(NamedTuple):
    """One private name."""

    name: str
    where: str
    instead_of: str


_PROTOCOL = "a public protocol by which a module says what its children are; nnx.Pytree only marks attributes"
_VARIABLE = "a public way to keep a variable's value elsewhere; Variable stores it in a slot"
_CONTEXT = "a public question whether a variable or module may be written in the trace at hand"

#: All of them.
USED = (
    *(
        Use(f"jax._src.core.{name}", "core/process/config.py", "a public test whether a transformation is tracing")
        for name in ("trace_state_strong_ref", "eval_trace", "axis_env_state", "top_axis_env")
    ),
    Use("jax._src.interpreters.batching.BatchTracer.batch_dim", "core/record/at_once.py",
        "a public question whether a value is mapped by the vmap at hand"),
    Use("jax._src.interpreters.batching.BatchTracer.val", "core/record/at_once.py", "a public way to take such a value out"),
    Use("jax._src.lax.lax._convert_element_type", "core/record/at_once.py",
        "jax.lax.convert_element_type with weak_type="),
    Use("jax.extend.core.Jaxpr.replace", "core/operator/traced.py", "a public way to leave out some of a jaxpr's results"),
    Use("jax.extend.core.Jaxpr.debug_info", "core/operator/traced.py", "the same: the names that belong to the results"),
    Use("jax.extend.core.JaxprEqn.replace", "core/operator/open_jaxpr.py", "a public way to put other sizes into a jaxpr"),
    Use("jax._src.export.shape_poly._DimExpr.__eq__", "core/operator/open_sizes.py",
        "a public question which sizes were taken for different while a function was traced with open ones"),
    Use("jax._src.lax.lax._unbroadcast", "core/operator/half_sums.py", "a public rule for the gradient of an implied broadcast"),
    Use("jax._src.linear_util.WrappedFun.call_wrapped", "core/tensor.py",
        "a public question whether a function that JAX runs on plain arrays (custom_vjp) is returning"),
    Use("jax._src.xla_bridge.backends_are_initialized", "core/process/forking.py",
        "a public question whether JAX has started its devices, which must not start them"),
    Use("jax._src.distributed.global_state", "core/run/policy.py, distributed/connection.py",
        "public access to the client of jax.distributed's coordination service, its keys and barriers"),
    Use("jax.interpreters.ad.primitive_transposes", "core/operator/half_sums.py",
        "a public way to wrap a transposition rule; and a second table where JAX has one"),
    Use("jax.interpreters.ad.Zero", "core/operator/half_sums.py", "a public test for a symbolic zero"),
    Use("flax.nnx.pytreelib.PytreeState", "nn/module.py, nn/graph_protocol.py, nn/module_class.py",
        "a public constructor of a module without its __init__"),
    Use("flax.nnx.tracers.TraceState", "nn/parameter.py", _CONTEXT),
    Use("flax.nnx.tracers.current_jax_trace", "core/memory/tensor_base.py", _CONTEXT),
    Use("flax.nnx.graphlib.StaticElem", "nn/graph_protocol.py", _PROTOCOL),
    Use("flax.nnx.graphlib.DataElem", "nn/graph_protocol.py", _PROTOCOL),
    Use("flax.nnx.graphlib.GRAPH_REGISTRY", "nn/graph_protocol.py", "a public test for the types of graph nodes"),
    *(
        Use(f"flax.nnx.Module.{name}", "nn/graph_protocol.py", _PROTOCOL)
        for name in (
            "_graph_node_flatten", "_graph_node_init", "_graph_node_clear", "_graph_node_set_key", "_graph_node_pop_key",
            "_pytree__flatten", "_pytree__flatten_with_paths", "_pytree__unflatten", "_pytree__nodes", "_check_value",
        )
    ),
    Use("flax.nnx.Module._check_valid_context", "nn/module.py", _CONTEXT),
    Use("flax.nnx.Variable._check_can_update", "nn/parameter.py", _CONTEXT),
    Use("flax.nnx.Variable._can_update", "nn/parameter.py", _CONTEXT),
    *(Use(f"flax.nnx.variablelib.{name}", "nn/parameter.py", "a public way to say how a variable becomes a tree of JAX's")
      for name in ("_variable_flatten", "_variable_flatten_with_keys")),
    *(Use(f"flax.nnx.Variable.{name}", "nn/parameter.py", _VARIABLE)
      for name in ("_new", "_raw_value", "_trace_state", "_var_metadata")),
)  # fmt: skip

DataElem, StaticElem = graphlib.DataElem, graphlib.StaticElem


def distributed_client() -> Any:
    """The client of `jax.distributed`'s coordination service, this process's number and how many there are; None before it is
    initialized.
    """
    known = _distributed.global_state
    return None if known.client is None else (known.client, known.process_id, known.num_processes)


def with_results(closed: Any, results: list[Any]) -> Any:
    """A closed jaxpr that returns other variables of its."""
    jaxpr = closed.jaxpr.replace(outvars=results, debug_info=closed.jaxpr.debug_info.with_unknown_names())
    return ClosedJaxpr(jaxpr, closed.consts)


def with_parts(jaxpr: Any, inputs: list[Any], constants: list[Any], results: list[Any], equations: list[Any]) -> Any:
    """A jaxpr of other variables and equations."""
    return jaxpr.replace(invars=inputs, constvars=constants, outvars=results, eqns=equations)


def scan_counts(parameters: Any) -> tuple[int, int]:
    """How many constants and carried values a ``scan`` takes: numbers, from JAX 0.12 on trees of them."""
    if "num_consts" in parameters:
        return parameters["num_consts"], parameters["num_carry"]
    constants, carried, _ = parameters["ft_in"].unpack()
    return len(constants), len(carried)


@contextlib.contextmanager
def noted_differences(symbol: Any) -> Iterator[list[Any]]:
    """The differences of open sizes that JAX takes for not zero, without knowing: it answers that the two are not equal.

    Args:
        symbol: an open size; those of its scope are noted. (JAX's caches compare with those of earlier traces, too, and its table of
            descriptions of arrays with whatever has a similar hash.)
    """
    found: list[Any] = []
    kind: Any = type(symbol)
    scope, compare = symbol.scope, kind.__eq__

    def noting(self: Any, other: Any) -> bool:
        equal = bool(compare(self, other))
        if sys._getframe(1).f_code is _DESCRIBED:
            return equal
        if not equal and self.scope is scope and (hasattr(other, "__index__") or (type(other) is kind and other.scope is scope)):
            difference = self - other
            if type(difference) is kind:
                found.append(difference)
        return equal

    kind.__eq__ = noting
    try:
        yield found
    finally:
        kind.__eq__ = compare


#: Where JAX looks whether it has the description of an array already.
_DESCRIBED = getattr(ShapedArray.__new__, "__code__", None)


def unmapped(value: Any) -> Any:
    """The value itself where `vmap` wraps one that is the same in all lanes, as it does behind functions with a derivative of their own:
    it may be used outside, as the result of any other function of unmapped values.
    """
    while isinstance(value, BatchTracer) and value.batch_dim is None:
        value = value.val
    return value


#: The module of nnx that sets modes (`train`, `eval`, `set_attributes`, `view`).
FLAX_MODES = nnx.Module.set_attributes.__module__


def is_graph_node_type(kind: Any) -> bool:
    """Whether Flax takes instances of a type apart as nodes of its graphs."""
    return kind in graphlib.GRAPH_REGISTRY


def is_flattened_by_jax() -> bool:
    """Whether a variable's value is asked for by Flax's function that makes a tree of JAX's of it; ask in the getter itself."""
    return sys._getframe(2).f_code in _FLATTENING


def is_taken_apart() -> bool:
    """Whether a variable's value is asked for by what flattens it for JAX, or takes it apart for nnx; ask one call below the getter."""
    asking = sys._getframe(3)
    return asking.f_code in _FLATTENING or asking.f_globals is vars(graphlib) or (
        asking.f_globals is vars(variablelib) and sys._getframe(4).f_globals is vars(graphlib)
    )  # fmt: skip


_FLATTENING = (variablelib._variable_flatten.__code__, variablelib._variable_flatten_with_keys.__code__)


def is_result_of_jax() -> bool:
    """Whether the tree that JAX flattens now is the result of a function that it runs, not what it was given."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("jax", "flax", "jaxnn", "functools", "contextlib"):
            return False
        if frame.f_code.co_name == "call_wrapped" and name == "jax._src.linear_util":
            return True
        frame = frame.f_back
    return False

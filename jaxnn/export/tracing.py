"""`export`: a module's forward, traced once into a program."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import numpy as np
from jax import export as jax_export

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import x64
from jaxnn.core.random import generator
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.nn.module import Module
from jaxnn.nn.utils.stateless import functional_call
from jaxnn.ops.random.masks import traced_keys
from jaxnn.utils._pytree import tree_flatten, tree_unflatten

from .comparisons import equal_after_all, noted, sizes_by_name
from .dynamic_shapes import Dim, Hint, Size, UserError, expressions, named_sizes
from .exported_program import ExportedProgram, Signature, named_state

__all__ = ["export", "is_exporting"]

PLATFORMS = ("cpu", "cuda", "tpu")


#: The forwards that are being traced.
_running: list[_Forward] = []


def is_exporting() -> bool:
    """Whether `export` traces a forward now."""
    return bool(_running)


def _refuse_to_draw() -> NoReturn:
    raise NotImplementedError(
        "export: the forward draws random numbers, which an exported program can't: call eval() on the module first"
    )


class _Forward:
    """The forward as a function of arrays: the state's and the arguments'. It remembers the form of its result."""

    def __init__(self, module: Module, state: dict[str, Any], leaves: list[Any], spec: Any) -> None:
        self.module, self.state, self.leaves, self.spec = module, state, leaves, spec
        self.out_spec: Any = None
        self.constants: list[Any] = []  # of each leaf of the result: what it is, in a list, unless a tensor
        self.written: list[str] = []

    def __call__(self, state: list[Any], arrays: list[Any]) -> Any:
        held = {n: tensor_of(a) for n, a in zip(self.state, state, strict=True)}
        before = {n: value_of(t) for n, t in held.items()}
        given = iter(arrays)
        leaves = [tensor_of(next(given)) if isinstance(v, TensorBase) else v for v in self.leaves]
        args, kwargs = tree_unflatten(leaves, self.spec)
        _running.append(self)
        try:
            with traced_keys(_refuse_to_draw):
                found, self.out_spec = tree_flatten(functional_call(self.module, held, args, kwargs))
        finally:
            _running.pop()
        self.constants = [None if isinstance(v, TensorBase) else [v] for v in found]
        self.written = [n for n, t in held.items() if value_of(t) is not before[n]]
        return [value_of(v) for v in found if isinstance(v, TensorBase)] + [value_of(held[n]) for n in self.written]


def export(
    mod: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, *, dynamic_shapes: Any = None, strict: bool = False,
    preserve_module_call_signature: tuple[str, ...] = (), prefer_deferred_runtime_asserts_over_guards: bool = False,
) -> ExportedProgram:  # fmt: skip
    """Trace a module's forward into a program, which `ExportedProgram.module` runs and `save` writes.

    Numbers, strings and other arguments that are no tensors are part of the program. The modes are those that the module has; what a
    training module writes to its buffers, the program does.

    Args:
        mod: the module, whose parameters and buffers the program shares.
        args, kwargs: example arguments.
        dynamic_shapes: the sizes that stay open, by parameter of forward: ``{"x": {0: Dim("batch")}}``.
        strict: both ways of PyTorch's to read a forward come to the same here: it is run.
        preserve_module_call_signature, prefer_deferred_runtime_asserts_over_guards: not supported.

    Raises:
        ValueError: it is no module.
        UserError: the arguments are no tuple, ``dynamic_shapes`` does not fit them, or the forward needs a size that it leaves open.
        NotImplementedError: the forward draws random numbers (dropout in training).
    """
    if preserve_module_call_signature:
        raise NotImplementedError("export(preserve_module_call_signature=...): an exported program is one function")
    if prefer_deferred_runtime_asserts_over_guards:
        raise NotImplementedError("export(prefer_deferred_runtime_asserts_over_guards=True)")
    if not isinstance(mod, Module):
        raise ValueError(f"Expected `mod` to be an instance of `torch.nn.Module`, got {type(mod)}.")
    if not isinstance(args, tuple):
        raise UserError(f"Expecting `args` to be a tuple of example positional inputs, got {type(args)}")
    kwargs = dict(kwargs or {})
    leaves, spec = tree_flatten((args, kwargs))
    named = _by_parameter(mod, args, kwargs)
    names, sizes = named_sizes(named, dynamic_shapes)
    state, ties = named_state(mod)
    run = _Forward(mod, state, leaves, spec)
    exported, bounds, differences = _traced(run, sizes)
    kept = mod.state_dict()
    signature = Signature(
        in_spec=spec, out_spec=run.out_spec, names=names, constants=run.constants, written=run.written, ties=ties, bounds=bounds,
        parameters=[n for n, t in state.items() if getattr(t, "_is_parameter", False)],
        transient=[n for n in state if n not in kept], differences=differences,
    )
    return ExportedProgram(exported, signature, state, leaves)


def _by_parameter(mod: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(mod.forward).bind(*args, **kwargs).arguments
    found: dict[str, Any] = {}
    for p in inspect.signature(mod.forward).parameters.values():
        if p.name in bound:
            found.update(bound[p.name] if p.kind is p.VAR_KEYWORD else {p.name: bound[p.name]})
    return found


#: What JAX and the operators raise where a forward's course depends on a size that is open.
_FAILURES = (
    jax.errors.ConcretizationTypeError, IndexError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


def _traced(run: _Forward, sizes: list[Size]) -> tuple[Any, Any, list[str]]:
    """The program, the bounds of its open sizes, and what it takes them to differ by.

    A size of kind AUTO is one of its own; else what equal examples share; else the example's. Sizes of 0 and 1, which PyTorch takes
    for others, are left out where the forward does not hold for them as well.
    """

    def example(size: Size) -> int:
        return run.leaves[size.leaf].shape[size.dim]

    ways: list[Any] = [lambda s: f"s{s.leaf}_{s.dim}"]
    if any(isinstance(s.what, Hint) for s in sizes):
        ways.append(lambda s: f"s{example(s)}")
        if not any(s.what is Dim.DYNAMIC for s in sizes):
            ways.append(lambda s: None)
    failure: Any = None
    for way in ways:
        for least in (0, 2):
            said, constraints, bounds = expressions(sizes, way, least)
            try:
                made, differences = _program(run, said, constraints)
                return made, bounds, differences
            except _FAILURES as error:
                if not said or isinstance(error, NotImplementedError):
                    raise
                failure = error
    open_sizes = sorted({repr(s.what) if isinstance(s.what, Hint) else s.what.root.__name__ for s in sizes})
    raise UserError(
        f"Constraints violated ({', '.join(open_sizes)})! The forward does not hold for all of these sizes: {failure}"
    ) from failure


def _program(run: _Forward, said: dict[tuple[int, int], str], constraints: list[str]) -> tuple[Any, list[str]]:
    tensors = [k for k, v in enumerate(run.leaves) if isinstance(v, TensorBase)]
    texts = [", ".join(said.get((k, d), str(n)) for d, n in enumerate(run.leaves[k].shape)) for k in tensors]
    inputs, weights = [[jax.ShapeDtypeStruct(tuple(a.shape), a.np) for a in map(aval, given)] for given in (
        [run.leaves[k] for k in tensors], run.state.values(),
    )]  # fmt: skip
    before = generator.default_generator.state_bytes()
    try:
        with x64(True):
            specs = list(jax_export.symbolic_args_specs(inputs, texts, constraints=constraints)) if inputs else []
            with noted([s.shape for s in specs]) as differences:
                found = jax_export.export(jax.jit(run.__call__), platforms=PLATFORMS)(weights, specs)
    finally:
        drawn = not np.array_equal(before, generator.default_generator.state_bytes())
        generator.default_generator.set_state_bytes(before)
    if drawn:
        _refuse_to_draw()
    equal = equal_after_all(differences, sizes_by_name([s.shape for s in specs], [a.shape for a in inputs]))
    if equal is not None:
        raise ValueError(f"it asks whether {equal} is zero, which it is for the example and need not be for others")
    return found, differences

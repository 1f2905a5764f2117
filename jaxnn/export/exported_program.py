"""`ExportedProgram`: a traced forward with its weights, and the module that runs it."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.operator.op import Op
from jaxnn.core.process.config import x64
from jaxnn.core.record.write import put_through
from jaxnn.core.registry import call
from jaxnn.nn.module import Module
from jaxnn.utils._pytree import tree_flatten, tree_unflatten

from .comparisons import equal_after_all, sizes_by_name

__all__ = ["ExportedProgram", "Signature", "named_state"]


@dataclasses.dataclass
class Signature:
    """How the program's flat inputs and outputs stand for a module's."""

    in_spec: Any
    out_spec: Any
    names: list[str]  # of the leaves of the arguments
    constants: list[Any]  # of each leaf of the result: what it is, in a list, unless a tensor
    written: list[str]  # buffers that the forward writes to, whose new values follow the result
    ties: dict[str, str]  # a further name of a tensor -> its first
    bounds: dict[str, tuple[int, int | None]]  # of the open sizes
    parameters: list[str]
    transient: list[str]  # buffers that no state_dict has
    differences: list[str]  # of open sizes: what the program holds for while they are not zero


def named_state(module: Module) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters and buffers by name, each once, and the further names of those that have several."""
    state: dict[str, Any] = {}
    ties: dict[str, str] = {}
    first: dict[int, str] = {}
    for named in (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)):
        for name, tensor in named:
            if id(tensor) in first:
                ties[name] = first[id(tensor)]
            else:
                first[id(tensor)], state[name] = name, tensor
    return state, ties


class ExportedProgram:
    """What `export` gives: a program of StableHLO (``exported``, JAX's own object), its weights, and how both are called.

    There is no graph: ``graph``, ``graph_module``, ``graph_signature`` and `run_decompositions` raise NotImplementedError.
    """

    def __init__(self, exported: Any, signature: Signature, state: dict[str, Any], example: list[Any]) -> None:
        self.exported = exported
        self._signature = signature
        self._state = state
        self._example = example

        def exported_program(arrays: tuple[Any, ...], states: int) -> tuple[Any, ...]:
            with x64(True):
                return tuple(exported.call(list(arrays[:states]), list(arrays[states:])))

        self._operator = Op("exported_program", exported_program, lists=True)

    def module(self, check_guards: bool = True) -> Module:
        """The module that runs the program, with the weights that this object holds, under their names.

        Args:
            check_guards: whether sizes and constants are compared, by name, with what was exported, before the program's own
                checks.
        """
        return _Module(self, check_guards)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Not possible, as in PyTorch."""
        raise RuntimeError("Unable to call ExportedProgram directly. You should use `exported_program.module()` instead.")

    @property
    def example_inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that it was exported with."""
        args, kwargs = tree_unflatten(self._example, self._signature.in_spec)
        return args, kwargs

    @property
    def state_dict(self) -> dict[str, Any]:
        """Parameters and persistent buffers by name."""
        left_out = set(self._signature.transient)
        return OrderedDict((n, t) for n, t in self._by_name().items() if self._signature.ties.get(n, n) not in left_out)

    @property
    def constants(self) -> dict[str, Any]:
        """Buffers that no state_dict has."""
        return {n: self._state[n] for n in self._signature.transient}

    @property
    def range_constraints(self) -> dict[str, tuple[int, int | None]]:
        """The bounds of the open sizes by name."""
        return dict(self._signature.bounds)

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """The parameters by name, a tied one by each of its names."""
        held = set(self._signature.parameters)
        return ((n, t) for n, t in self._by_name().items() if self._signature.ties.get(n, n) in held)

    def parameters(self) -> Iterator[Any]:
        """The parameters."""
        return (t for _, t in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """The buffers by name."""
        held = set(self._signature.parameters)
        return ((n, t) for n, t in self._by_name().items() if self._signature.ties.get(n, n) not in held)

    def buffers(self) -> Iterator[Any]:
        """The buffers."""
        return (t for _, t in self.named_buffers())

    def _by_name(self) -> dict[str, Any]:
        return {**self._state, **{n: self._state[first] for n, first in self._signature.ties.items()}}

    def run_decompositions(self, decomp_table: Any = None) -> Any:
        """Not supported.

        Args:
            decomp_table: not used.

        Raises:
            NotImplementedError: always.
        """
        raise _no_graph("run_decompositions")

    def validate(self) -> None:
        """Nothing is left to do: the program was checked when it was made."""

    def __getattr__(self, name: str) -> Any:
        if name in _OF_GRAPHS:
            raise _no_graph(name)
        raise AttributeError(f"'ExportedProgram' object has no attribute '{name}'")

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return ExportedProgram(self.exported, self._signature, copy.deepcopy(self._state, memo), self._example)

    def __reduce__(self) -> Any:
        raise TypeError("an ExportedProgram can't be pickled: export.save writes a file")

    def __repr__(self) -> str:
        inputs = ", ".join(f"{a.dtype.name}[{','.join(map(str, a.shape))}]" for a in self.exported.in_avals[len(self._state) :])
        return f"ExportedProgram({inputs}; {len(self._state)} weights)"

    # --- what its modules call

    def _run(self, held: dict[str, Any], check: bool, args: Any, kwargs: Any) -> Any:
        signature = self._signature
        leaves = self._leaves(args, kwargs)
        tensors = [v for v in leaves if isinstance(v, TensorBase)]
        if check:
            self._check(leaves)
        state = [held[n] for n in self._state]
        self._check_types(tensors)
        if not state and not tensors:
            raise NotImplementedError("ExportedProgram: a program without weights and tensors")
        found = list(call(self._operator, ((*state, *tensors), len(state))))
        values = iter(found)
        results = [next(values) if c is None else c[0] for c in signature.constants]
        with no_grad():
            for name, new in zip(signature.written, values, strict=True):
                put_through(held[name], new.detach())
        return tree_unflatten(results, signature.out_spec)

    def _leaves(self, args: Any, kwargs: Any) -> list[Any]:
        expected = self.example_inputs[1]
        if set(kwargs) != set(expected):
            raise ValueError(
                f"Ran into a kwarg keyword mismatch: Got the following keywords {list(kwargs)} but expected {list(expected)}"
            )
        leaves, spec = tree_flatten((args, {n: kwargs[n] for n in expected}))
        if spec != self._signature.in_spec:
            raise ValueError(
                f"Trying to flatten user inputs with exported input tree spec: \n{self._signature.in_spec}\n"
                f"but actually got inputs with tree spec of: \n{spec}.\n"
                "Please check that the inputs have the same number and type of args and kwargs as the ones you used when tracing."
            )
        return leaves

    def _check(self, leaves: list[Any]) -> None:
        """Compare sizes and constants with what was exported.

        Raises:
            AssertionError: one differs.
        """
        described = iter(self.exported.in_avals[len(self._state) :])
        known: dict[str, tuple[int, str]] = {}
        for name, leaf, example in zip(self._signature.names, leaves, self._example, strict=True):
            if not isinstance(example, TensorBase):
                if isinstance(leaf, TensorBase) or type(leaf) is not type(example) or leaf != example:
                    raise AssertionError(f"Guard failed: {name} == {example!r}")
                continue
            shape = next(described).shape
            if not isinstance(leaf, TensorBase):
                raise AssertionError(f"Guard failed: isinstance({name}, torch.Tensor)")
            if leaf.ndim != len(shape):
                raise AssertionError(f"Guard failed: {name}.dim() == {len(shape)}")
            for dim, (size, wanted) in enumerate(zip(leaf.shape, shape, strict=True)):
                self._check_size(f"{name}.size()[{dim}]", size, wanted, known)
        shapes = [a.shape for a in self.exported.in_avals[len(self._state) :]]
        given = [v.shape for v in leaves if isinstance(v, TensorBase)]
        equal = equal_after_all(self._signature.differences, sizes_by_name(shapes, given))
        if equal is not None:
            raise AssertionError(f"Guard failed: {equal} != 0")

    def _check_size(self, where: str, size: int, wanted: Any, known: dict[str, tuple[int, str]]) -> None:
        if isinstance(wanted, int):
            if size != wanted:
                raise AssertionError(f"Guard failed: {where} == {wanted}")
            return
        # `n`, `2*n + 1`: what JAX's text of a size can be here.
        factor, name, more = re.fullmatch(r"(?:(\d+)\*)?([A-Za-z_]\w*)(?: ([+-] \d+))?", str(wanted)).groups()  # type: ignore[union-attr]
        rest = size - int((more or "0").replace(" ", ""))
        value, remainder = divmod(rest, int(factor or 1))
        low, high = self._signature.bounds.get(name, (0, None))
        if remainder:
            raise AssertionError(f"Guard failed: {where} == {wanted}")
        if name in known and known[name][0] != value:
            raise AssertionError(f"Guard failed: {where} == {str(wanted).replace(name, known[name][1])}")
        if value < low:
            raise AssertionError(f"Guard failed: {where} >= {low}")
        if high is not None and value > high:
            raise AssertionError(f"Guard failed: {where} <= {high}")
        if factor is None and more is None:
            known.setdefault(name, (value, where))

    def _check_types(self, tensors: list[Any]) -> None:
        names = [n for n, e in zip(self._signature.names, self._example, strict=True) if isinstance(e, TensorBase)]
        kept = [e for e in self._example if isinstance(e, TensorBase)]
        for name, tensor, example in zip(names, tensors, kept, strict=True):
            if tensor.dtype != example.dtype:
                raise RuntimeError(f"{name}: expected a tensor of {example.dtype}, as exported, but got {tensor.dtype}")


#: What PyTorch's class has that reads or rewrites a graph of operators.
_OF_GRAPHS = frozenset({
    "call_spec", "dialect", "graph", "graph_module", "graph_signature", "module_call_graph", "tensor_constants", "verifier", "verifiers",
})  # fmt: skip


def _no_graph(name: str) -> NotImplementedError:
    return NotImplementedError(
        f"ExportedProgram.{name}: there is no graph of operators; `exported.mlir_module()` is the program's StableHLO"
    )


class _Holder(Module):
    """Holds the weights of one part of the module."""


class _Module(Module):
    """Runs an exported program. Its mode is the one that was exported."""

    def __init__(self, program: ExportedProgram, check: bool) -> None:
        super().__init__()
        signature = program._signature
        names = [*program._state, *signature.ties]
        for name in names:
            first = signature.ties.get(name, name)
            self._hold(name, program._state[first], first in signature.parameters, first not in signature.transient)
        self._program, self._check_guards = program, check

    def _hold(self, name: str, tensor: Any, parameter: bool, persistent: bool) -> None:
        *path, last = name.split(".")
        holder: Module = self
        for part in path:
            if part not in holder._modules:
                holder.add_module(part, _Holder())
            holder = holder._modules[part]  # type: ignore[assignment]
        if parameter:
            holder.register_parameter(last, tensor)
        else:
            holder.register_buffer(last, tensor, persistent=persistent)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program on tensors of the sizes that it was exported for."""
        held = {n: t for named in (self.named_parameters(), self.named_buffers()) for n, t in named}
        return self._program._run(held, self._check_guards, args, kwargs)

    def train(self, mode: bool = True) -> Any:  # type: ignore[override]
        """Not possible: the mode is part of the program."""
        raise NotImplementedError("Calling train() is not supported yet.")

    def eval(self) -> Any:  # type: ignore[override]
        """Not possible: the mode is part of the program."""
        raise NotImplementedError("Calling eval() is not supported yet.")

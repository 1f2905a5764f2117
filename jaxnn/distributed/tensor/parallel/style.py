"""Styles: how a layer's parameters are spread over a mesh, and its inputs and outputs.

Tensors stay global: where PyTorch hands a layer the part of its rank (``use_local_output=True``), here it gets all of it, spread
as the layouts say. XLA moves what has to be moved.

Source: https://docs.pytorch.org/docs/stable/distributed.tensor.parallel.html
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from jax.sharding import PartitionSpec

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.nn.embedding import Embedding
from jaxnn.nn.linear import Linear

from ...device_mesh import DeviceMesh, mesh_of
from ..dtensor import distribute_module, distribute_parameter
from ..placement_types import Placement, Replicate, Shard, normalised, spec_of

__all__ = [
    "ColwiseParallel", "ParallelStyle", "PrepareModuleInput", "PrepareModuleInputOutput", "PrepareModuleOutput", "RowwiseParallel",
    "SequenceParallel", "laid_out",
]  # fmt: skip


def laid_out(t: Any, mesh: DeviceMesh, layout: Placement | None) -> Any:
    """A tensor in a layout over a mesh; other axes of a mesh that this is a slice of keep what XLA finds for them."""
    if layout is None or not isinstance(t, TensorBase):
        return t
    wanted = normalised(mesh, (layout,), t.dim(), "parallelize_module")  # type: ignore[attr-defined]
    whole = mesh.jax_mesh.size == mesh.size()
    on_it = mesh_of(aval(t).placement) is not None
    other = None if whole or not on_it else PartitionSpec.UNCONSTRAINED
    return t.to(mesh.sharding(*spec_of(mesh, wanted, t.dim(), other)))  # type: ignore[attr-defined]


class ParallelStyle(ABC):
    """How a module is spread: `apply` does it."""

    src_data_rank: int | None = 0

    @abstractmethod
    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any: ...


class _Layer(ParallelStyle):
    """A style of a linear layer or an embedding: the placements of its parameters by name, and of what goes in and out."""

    _inside: Placement

    def __init__(self, input_layouts: Any, output_layouts: Any, use_local_output: bool) -> None:
        self.input_layouts, self.output_layouts = (input_layouts,), (output_layouts,)
        self.desired_input_layouts: tuple[Placement, ...] = (self._inside,)
        self.use_local_output = use_local_output

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_layouts={self.input_layouts}, output_layouts={self.output_layouts}, "
            f"use_local_output={self.use_local_output})"
        )

    def _placements(self, module: Any) -> dict[str, Placement]:
        raise NotImplementedError

    def _input(self, module: Any, inputs: Any, mesh: DeviceMesh) -> Any:
        first = laid_out(laid_out(inputs[0], mesh, self.input_layouts[0]), mesh, self.desired_input_layouts[0])
        return (first, *inputs[1:])

    def _output(self, module: Any, outputs: Any, mesh: DeviceMesh) -> Any:
        return laid_out(outputs, mesh, self.output_layouts[0])

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        placements = self._placements(module)

        def partition(name: str, child: Any, mesh: DeviceMesh) -> None:
            for key, p in child.named_parameters(recurse=False):
                distribute_parameter(p, mesh, [placements.get(key, Replicate())])

        return distribute_module(module, device_mesh, partition, self._input, self._output)


class ColwiseParallel(_Layer):
    """A linear layer whose outputs are spread, or an embedding whose columns are.

    Args:
        input_layouts: of the layer's input, `Replicate` by default; it is replicated for the layer.
        output_layouts: of its output, ``Shard(-1)`` by default.
        use_local_output: a hint; outputs are global tensors.

    Raises:
        NotImplementedError: when applied to another layer.
    """

    _inside = Replicate()

    def __init__(self, *, input_layouts: Any = None, output_layouts: Any = None, use_local_output: bool = True) -> None:
        super().__init__(input_layouts or Replicate(), output_layouts or Shard(-1), use_local_output)

    def _placements(self, module: Any) -> dict[str, Placement]:
        if isinstance(module, Linear):
            return {"weight": Shard(0), "bias": Shard(0)}
        if isinstance(module, Embedding):
            return {"weight": Shard(1)}
        raise NotImplementedError("ColwiseParallel currently only support nn.Linear and nn.Embedding!")


class RowwiseParallel(_Layer):
    """A linear layer whose inputs are spread, or an embedding whose rows are.

    Args:
        input_layouts: of the layer's input, ``Shard(-1)`` by default; an embedding's is replicated for it.
        output_layouts: of its output, `Replicate` by default: the sum over the mesh.
        use_local_output: a hint; outputs are global tensors.

    Raises:
        NotImplementedError: when applied to another layer.
    """

    _inside = Shard(-1)

    def __init__(self, *, input_layouts: Any = None, output_layouts: Any = None, use_local_output: bool = True) -> None:
        super().__init__(input_layouts or Shard(-1), output_layouts or Replicate(), use_local_output)

    def _placements(self, module: Any) -> dict[str, Placement]:
        if isinstance(module, Linear):
            self.desired_input_layouts = (Shard(-1),)
            return {"weight": Shard(1)}
        if isinstance(module, Embedding):
            self.desired_input_layouts = (Replicate(),)
            return {"weight": Shard(0)}
        raise NotImplementedError("RowwiseParallel currently only support nn.Linear and nn.Embedding!")


class SequenceParallel(ParallelStyle):
    """A module (a normalization, dropout) with replicated parameters that works on a part of the sequence.

    Args:
        sequence_dim: the dimension of its input that is spread.
        use_local_output: a hint; outputs are global tensors.
    """

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False) -> None:
        self.sequence_sharding = (Shard(sequence_dim),)
        self.use_local_output = use_local_output

    def __repr__(self) -> str:
        dim = self.sequence_sharding[0].dim
        return f"SequenceParallel({{sequence_dim={dim}, use_local_output={self.use_local_output}}})"

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        def spread(module: Any, inputs: Any, mesh: DeviceMesh) -> Any:
            return (laid_out(inputs[0], mesh, self.sequence_sharding[0]), *inputs[1:])

        return distribute_module(module, device_mesh, None, spread, lambda m, outputs, mesh: outputs)


def _several(given: Any) -> tuple[Any, ...] | None:
    return None if given is None else (given,) if isinstance(given, Placement) else tuple(given)


def _each(values: Sequence[Any], mesh: DeviceMesh, *layouts: Sequence[Any], what: str) -> list[Any]:
    for given in layouts:
        if len(values) != len(given):
            raise ValueError(f"module {what} and {what[:-1]}_layouts should have same length!")
    made = []
    for value, *wanted in zip(values, *layouts, strict=True):
        for layout in wanted:
            value = laid_out(value, mesh, layout)
        made.append(value)
    return made


class PrepareModuleInput(ParallelStyle):
    """Lays a module's inputs out anew before it is called.

    Args:
        input_layouts: how each input lies, None for what is no tensor; an input on no mesh is put there so.
        desired_input_layouts: how each is to lie.
        input_kwarg_layouts, desired_input_kwarg_layouts: the same by keyword.
        use_local_output: a hint; inputs are global tensors.
    """

    def __init__(
        self, *, input_layouts: Any = None, desired_input_layouts: Any = None, input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None, use_local_output: bool = False,
    ) -> None:  # fmt: skip
        self.input_layouts, self.desired_input_layouts = _several(input_layouts), _several(desired_input_layouts)
        self.input_kwarg_layouts = dict(input_kwarg_layouts or {})
        self.desired_input_kwarg_layouts = dict(desired_input_kwarg_layouts or {})
        self.use_local_output = use_local_output
        if self.input_layouts is not None:
            if self.desired_input_layouts is None:
                raise AssertionError("desired module inputs should not be None!")
            if len(self.input_layouts) != len(self.desired_input_layouts):
                raise AssertionError("input_layouts and desired_input_layouts should have same length!")

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        def prepare(module: Any, inputs: Any, kwargs: Any) -> Any:
            if self.input_layouts is not None:
                inputs = tuple(_each(inputs, device_mesh, self.input_layouts, self.desired_input_layouts or (), what="inputs"))
            made = dict(kwargs)
            for key in made:
                for layout in (self.input_kwarg_layouts.get(key), self.desired_input_kwarg_layouts.get(key)):
                    made[key] = laid_out(made[key], device_mesh, layout)
            return inputs, made

        module.register_forward_pre_hook(prepare, with_kwargs=True)
        return module


class PrepareModuleOutput(ParallelStyle):
    """Lays a module's outputs out anew.

    Args:
        output_layouts: how each output lies, None for what is no tensor.
        desired_output_layouts: how each is to lie.
        use_local_output: a hint; outputs are global tensors.
    """

    def __init__(self, *, output_layouts: Any, desired_output_layouts: Any, use_local_output: bool = True) -> None:
        self.output_layouts, self.desired_output_layouts = _several(output_layouts) or (), _several(desired_output_layouts) or ()
        self.use_local_output = use_local_output
        if len(self.output_layouts) != len(self.desired_output_layouts):
            raise AssertionError("output_layouts and desired_output_layouts should have same length!")

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        def prepare(module: Any, inputs: Any, outputs: Any) -> Any:
            given = outputs if isinstance(outputs, tuple) else (outputs,)
            made = tuple(_each(given, device_mesh, self.output_layouts, self.desired_output_layouts, what="outputs"))
            return made if isinstance(outputs, tuple) else made[0]

        module.register_forward_hook(prepare)
        return module


class PrepareModuleInputOutput(ParallelStyle):
    """`PrepareModuleInput` and `PrepareModuleOutput` in one."""

    def __init__(
        self, *, input_layouts: Any = None, desired_input_layouts: Any = None, input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None, use_local_input: bool = False, output_layouts: Any,
        desired_output_layouts: Any, use_local_output: bool = True,
    ) -> None:  # fmt: skip
        self.prepare_module_input = PrepareModuleInput(
            input_layouts=input_layouts, desired_input_layouts=desired_input_layouts, input_kwarg_layouts=input_kwarg_layouts,
            desired_input_kwarg_layouts=desired_input_kwarg_layouts, use_local_output=use_local_input,
        )  # fmt: skip
        self.prepare_module_output = PrepareModuleOutput(
            output_layouts=output_layouts, desired_output_layouts=desired_output_layouts, use_local_output=use_local_output
        )

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        self.prepare_module_input._apply(module, device_mesh)
        return self.prepare_module_output._apply(module, device_mesh)

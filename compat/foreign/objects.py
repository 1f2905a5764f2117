"""Modules of PyTorch's that answer every name, or take every setting: switches of compilers, and ``torch.classes``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .operators import operators

__all__ = ["OBJECTS"]


class Switches(ModuleType):
    """Switches of a compiler that is not here: they hold what they are told, and change nothing."""

    def __init__(self, name: str, **values: Any) -> None:
        super().__init__(name, Switches.__doc__)
        vars(self).update(values, __path__=[])

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}': jaxnn lacks {self.__name__}.{name}")

    @contextlib.contextmanager
    def patch(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Set switches in a block, or for a function."""
        changes = dict(args[0]) if args and isinstance(args[0], dict) else dict([args]) if args else {}
        changes |= kwargs
        before = dict(vars(self))
        vars(self).update(changes)
        try:
            yield
        finally:
            vars(self).clear()
            vars(self).update(before)


class _Group:
    """Switches below a switch."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


class Classes(ModuleType):
    """``torch.classes``: classes of C++ libraries, of which there are none."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _ClassNamespace(name)

    def load_library(self, path: Any) -> None:
        """Refuses, as ``torch.ops.load_library``.

        Raises:
            OSError: always.
        """
        operators.load_library(path)


class _ClassNamespace(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(
            f"Tried to instantiate class '{self.__name__}.{name}', but it does not exist! jaxnn lacks torch.classes.{self.__name__}.{name}"
        )


#: Path -> module.
OBJECTS: dict[str, Any] = {
    "torch.ops": operators,
    "torch.classes": Classes("torch.classes"),
    "torch._dynamo.config": Switches(
        "torch._dynamo.config", suppress_errors=False, verbose=False, cache_size_limit=8, recompile_limit=8,
        accumulated_cache_size_limit=256, accumulated_recompile_limit=256, capture_scalar_outputs=False,
        capture_dynamic_output_shape_ops=False, optimize_ddp=True, inline_inbuilt_nn_modules=True, dynamic_shapes=True,
        assume_static_by_default=True, automatic_dynamic_shapes=True, compiled_autograd=False, disable=False,
        force_parameter_static_shapes=True, skip_fwd_side_effects_in_bwd_under_checkpoint=False, error_on_recompile=False,
        allow_unspec_int_on_nn_module=False, fail_on_recompile_limit_hit=False,
    ),
    "torch._inductor.config": Switches(
        "torch._inductor.config", coordinate_descent_tuning=False, fx_graph_cache=True, epilogue_fusion=True, max_autotune=False,
        freezing=False, conv_1x1_as_mm=False, force_fuse_int_mm_with_mul=False, use_mixed_mm=True, cpp_wrapper=False,
        shape_padding=True, max_autotune_gemm_backends="ATEN,TRITON,CPP", emulate_precision_casts=False, force_disable_caches=False,
        triton=_Group(cudagraphs=False, unique_kernel_names=True, cudagraph_trees=True), cpp=_Group(threads=-1),
    ),
    "torch._functorch.config": Switches("torch._functorch.config", activation_memory_budget=1.0, donated_buffer=True),
}  # fmt: skip

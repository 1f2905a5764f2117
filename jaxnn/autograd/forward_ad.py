"""Forward mode automatic differentiation with dual numbers.

    with forward_ad.dual_level():
        y = f(forward_ad.make_dual(x, tangent))
        primal, tangent = forward_ad.unpack_dual(y)

Args:
    level: the dual level; None: the innermost.

Source: https://docs.pytorch.org/docs/stable/autograd.html#forward-mode-automatic-differentiation
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxnn.core.gradient.forward_mode import Level, dual, tangent_of, unlike
from jaxnn.core.memory.tensor_base import TensorBase, alias, aval, stored
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.registry import FUNCTIONS

__all__ = [
    "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual",
]  # fmt: skip


class UnpackedDualTensor(NamedTuple):
    """A dual number's parts; ``tangent`` is None for a tensor without one."""

    primal: Any
    tangent: Any


def enter_dual_level() -> int:
    """Open a level; its number is 0, since levels do not nest.

    Raises:
        RuntimeError: when one is open.
    """
    if state.dual is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    state.dual = Level(_enabled())
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level: tensors made in it are no dual numbers any more.

    Raises:
        RuntimeError: when none is open, or ``level`` is not the one that is.
    """
    if state.dual is None:
        raise RuntimeError("Dual level must be a positive number.")
    if level not in (None, 0):
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    state.dual = None


class dual_level:
    """A level within a ``with`` block.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.dual_level.html
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exception: Any) -> None:
        exit_dual_level()


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """A tensor that shares the memory of ``tensor`` and carries ``tangent`` through operators.

    Shapes: two equal ones, of one floating type.

    Raises:
        RuntimeError: outside a level, for another shape or type, or for a tensor that is dual already.
        ValueError: for integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.make_dual.html
    """
    if state.dual is None or level not in (None, 0):
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, t in (("primal", tensor), ("tangent", tangent)):
        if not (t.is_floating_point() or t.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {t.dtype}")
    if aval(tensor).shape != aval(tangent).shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(aval(tensor).shape)} while the given forward gradient is of size "
            f"{list(aval(tangent).shape)}."
        )
    if aval(tensor).dtype is not aval(tangent).dtype:
        raise RuntimeError(f"Expected tangent to have dtype {tensor.dtype}, that of the primal, but got {tangent.dtype}")
    if tangent_of(tensor) is not None:
        raise RuntimeError("Trying to set a forward gradient on a tensor that has one already: that is not supported.")
    if tangent_of(tangent) is not None:
        raise RuntimeError("Trying to set a forward gradient that has a forward gradient at the same level: that is not supported.")
    if not state.dual.enabled:
        return alias(tensor)
    return dual(tensor, tangent if _laid_out_alike(tensor, tangent) else FUNCTIONS["zeros_like"](tensor.detach()).copy_(tangent))


def _laid_out_alike(primal: Any, tangent: Any) -> bool:
    """Whether a tangent lies in memory as its primal does, so that every view of the primal is one of the tangent, too."""
    sizes = [stored(t).shape.numel() for t in (primal, tangent)]
    flags = [(t.is_conj(), t.is_neg()) for t in (primal, tangent)]
    return in_transformation() or not aval(primal).shape.numel() or (
        sizes[0] == sizes[1] and primal.stride() == tangent.stride() and flags[0] == flags[1]
    )


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """A dual number's primal, without the tangent, and its tangent (None for other tensors, and outside a level).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.unpack_dual.html
    """
    if state.dual is None or not isinstance(tensor, TensorBase):
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(unlike(tensor), tangent_of(tensor))


class _set_fwd_grad_enabled:
    """Turn forward mode on or off, as a call or until the end of a ``with`` block."""

    def __init__(self, mode: bool) -> None:
        self._before = _enabled()
        _set(bool(mode))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: Any) -> None:
        _set(self._before)


def _is_fwd_grad_enabled() -> bool:
    return _enabled()


def _enabled() -> bool:
    return state.forward_enabled


def _set(mode: bool) -> None:
    state.forward_enabled = mode
    if state.dual is not None:
        state.dual.enabled = mode


def __getattr__(name: str) -> Any:
    if name == "_current_level":
        return -1 if state.dual is None else 0
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

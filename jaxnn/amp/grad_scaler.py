"""Scaling the loss, so that small gradients do not vanish in float16.

Args:
    init_scale: the factor at first.
    growth_factor: the factor of the factor after ``growth_interval`` good steps.
    backoff_factor: the factor of the factor after a step with infinite gradients.
"""

from __future__ import annotations

import warnings
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.device import jax_devices
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.write import put_through
from jaxnn.core.registry import Arrays, Operand, op

__all__ = ["GradScaler"]


@op(name="amp_unscale", method=False, differentiable=False)
def _unscale(grads: Arrays, scale: Operand) -> tuple[Array, ...]:
    """Gradients divided by the scale, and last whether one was infinite or not a number."""
    found = jnp.stack([~jnp.isfinite(g).all() for g in grads]).any()
    return (*((g / scale).astype(g.dtype) for g in grads), found)


class GradScaler:
    """Multiply the loss by a scale, divide gradients by it, skip steps that overflowed, and adapt the scale.

    Whether a step overflowed is read before each step, as in PyTorch: one more program and one more wait a step.

    Args:
        device: "cuda" or "cpu".
        growth_interval: steps without overflow after which the scale grows.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.GradScaler
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        self._device = device
        self._enabled = enabled
        if enabled and device == "cuda" and not jax_devices("cuda"):
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            self._enabled = False
        if self._enabled:
            if growth_factor <= 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if backoff_factor >= 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._found: dict[int, Any] = {}  # for each optimizer whose gradients are unscaled: did one overflow?
        self._stepped: set[int] = set()

    def scale(self, outputs: Any) -> Any:
        """Tensors, or containers of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, TensorBase):
            return outputs * self._scale  # type: ignore[operator]
        if isinstance(outputs, (list, tuple)):
            made = [self.scale(x) for x in outputs]
            return type(outputs)(*made) if hasattr(outputs, "_fields") else type(outputs)(made)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide an optimizer's gradients by the scale, for clipping, say; `step` does it otherwise.

        Raises:
            RuntimeError: when called twice for a step, or after it.
            ValueError: for float16 gradients: parameters are to be float32.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._found:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any(p.grad.dtype.name == "float16" for p in params):
            raise ValueError("Attempting to unscale FP16 gradients.")
        if not params:
            self._found[id(optimizer)] = None
            return
        with no_grad():
            *grads, found = _unscale([p.grad for p in params], self._scale)
            for p, g in zip(params, grads, strict=True):
                put_through(p.grad, g)
        self._found[id(optimizer)] = found

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)``, unless a gradient overflowed.

        Raises:
            RuntimeError: with a closure, when called twice without `update`, or when no gradient was there to check.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        found = self._found[id(optimizer)]
        if found is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        self._stepped.add(id(optimizer))
        overflowed = self._found[id(optimizer)] = bool(found.item())
        return None if overflowed else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Set the scale for the next step: smaller after an overflow, larger after a while without."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale.item() if isinstance(new_scale, TensorBase) else new_scale)  # type: ignore[attr-defined]
        else:
            if not self._found:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(f if isinstance(f, bool) else f is not None and bool(f.item()) for f in self._found.values()):
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._scale *= self._growth_factor
                    self._growth_tracker = 0
        self._found.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """The scale; 1 when disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by after `growth_interval` good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Change the growth factor."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Change the backoff factor."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Steps without overflow after which the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Change the growth interval."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale and counters, with PyTorch's keys; empty when disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale, "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            RuntimeError: for the state of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = int(state_dict["_growth_tracker"])

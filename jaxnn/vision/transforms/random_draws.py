"""Draws from the default generator, in the order and the precision in which torchvision draws."""

from __future__ import annotations

import numpy as np

from jaxnn.core.random.generator import default_generator

__all__ = ["chance", "integer", "log_uniform", "normal", "permutation", "uniform"]


def chance() -> float:
    """A number of [0, 1)."""
    return float(default_generator.rand((1,))[0])


def uniform(low: float, high: float) -> float:
    """A float32 of [low, high)."""
    return float(default_generator.uniform((1,), low, high)[0])


def log_uniform(low: float, high: float) -> float:
    """A float32 of [low, high) whose logarithm is uniform."""
    logs = np.log(np.array([low, high], np.float32))
    return float(np.exp(np.float32(uniform(float(logs[0]), float(logs[1])))))


def integer(high: int) -> int:
    """An integer of [0, high)."""
    return int(default_generator.randint(0, high, (1,))[0])


def permutation(n: int) -> list[int]:
    """0 to n - 1 in random order."""
    return default_generator.randperm(n).tolist()


def normal(shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers in float32."""
    return default_generator.normal(shape)

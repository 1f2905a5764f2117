"""Max pooling that always returns where the maxima are: PyTorch's ``*_with_indices``.

Shape: (N, C, *sizes) or (C, *sizes) -> the same with other sizes, and indices alike.
"""

from collections.abc import Callable
from typing import Any

from jaxnn.nn.functional import pool


def _plain(name: str) -> Callable[..., Any]:
    function = getattr(pool, name)

    def with_indices(
        input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:  # fmt: skip
        return function(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    return _named(with_indices, name)


def _adaptive(name: str) -> Callable[..., Any]:
    function = getattr(pool, name)

    def with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        return function(input, output_size, True)

    return _named(with_indices, name)


def _named(function: Any, name: str) -> Any:
    function.__name__ = function.__qualname__ = f"{name}_with_indices"
    function.__doc__ = f"`{name}` that returns the maxima and their indices, whatever `return_indices` says."
    return function


max_pool1d_with_indices = _plain("max_pool1d")
max_pool2d_with_indices = _plain("max_pool2d")
max_pool3d_with_indices = _plain("max_pool3d")
adaptive_max_pool1d_with_indices = _adaptive("adaptive_max_pool1d")
adaptive_max_pool2d_with_indices = _adaptive("adaptive_max_pool2d")
adaptive_max_pool3d_with_indices = _adaptive("adaptive_max_pool3d")

"""``torch.backends``: switches of libraries below PyTorch. XLA takes their place, so most are hints that it is free to ignore.

``cuda.matmul.allow_tf32`` and ``cudnn.allow_tf32`` are real: they set `set_float32_matmul_precision`.

Source: https://docs.pytorch.org/docs/stable/backends.html
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .core.kinds.device import jax_devices
from .core.process.config import get_setting, set_setting

__all__ = ["cpu", "cuda", "cudnn", "mha", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


class _Switches:
    """Named switches; setting an unknown one raises AttributeError."""

    def __init__(self, name: str, available: Any, **switches: Any) -> None:
        self.__dict__.update(_name=name, _available=available, **switches)

    def is_available(self) -> bool:
        """Whether the library is there."""
        return bool(self._available())

    def __setattr__(self, key: str, value: Any) -> None:
        if key not in self.__dict__ and not hasattr(type(self), key):
            raise AttributeError(f"torch.backends.{self._name} has no switch '{key}'")
        object.__setattr__(self, key, value)

    def __getattr__(self, key: str) -> Any:
        raise AttributeError(f"jaxnn lacks torch.backends.{self._name}.{key}")

    @contextmanager
    def flags(self, **switches: Any) -> Iterator[None]:
        """Set switches for a block."""
        before = {k: getattr(self, k) for k in switches}
        try:
            for k, v in switches.items():
                setattr(self, k, v)
            yield
        finally:
            for k, v in before.items():
                setattr(self, k, v)


class _Precision(_Switches):
    @property
    def allow_tf32(self) -> bool:
        """Whether float32 products may be computed with fewer bits."""
        return get_setting("matmul_precision") != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        set_setting("matmul_precision", "high" if value else "highest")


class _Cudnn(_Precision):
    def version(self) -> None:
        """None: no cuDNN of PyTorch's own."""
        return None


def _gpu() -> bool:
    return bool(jax_devices("cuda"))


def _never() -> bool:
    return False


cudnn = _Cudnn("cudnn", _gpu, enabled=True, benchmark=False, deterministic=False, benchmark_limit=10)


def _no_macos(*version: int) -> bool:
    return False


mps = _Switches("mps", _never, is_built=_never, is_macos_or_newer=_no_macos, is_macos13_or_newer=_no_macos)
mkldnn = _Switches("mkldnn", _never, enabled=False, deterministic=False)
mkl = _Switches("mkl", _never)
openmp = _Switches("openmp", _never)
opt_einsum = _Switches("opt_einsum", lambda: True, enabled=True, strategy="auto")
mha = _Switches("mha", _never, fastpath=False)
cpu = _Switches("cpu", lambda: True, get_cpu_capability=lambda: "DEFAULT")  # none of PyTorch's own kernels


class _Cuda(_Switches):
    def __init__(self) -> None:
        super().__init__("cuda", _gpu)
        self.__dict__["matmul"] = _Precision(
            "cuda.matmul",
            _gpu,
            allow_fp16_reduced_precision_reduction=True,
            allow_bf16_reduced_precision_reduction=True,
        )

    def is_built(self) -> bool:
        """Whether JAX has CUDA."""
        return _gpu()

    def flash_sdp_enabled(self) -> bool:
        """Whether attention may use a fused kernel: XLA decides."""
        return False

    mem_efficient_sdp_enabled = cudnn_sdp_enabled = flash_sdp_enabled

    def math_sdp_enabled(self) -> bool:
        """Whether attention may be computed step by step."""
        return True

    def enable_flash_sdp(self, enabled: bool) -> None:
        """A hint that changes nothing: XLA decides how attention is computed."""

    enable_mem_efficient_sdp = enable_math_sdp = enable_cudnn_sdp = enable_flash_sdp

    @contextmanager
    def sdp_kernel(
        self, enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
    ) -> Iterator[None]:
        """A block with hints that change nothing: XLA decides how attention is computed."""
        yield

    def is_flash_attention_available(self) -> bool:
        """False: there is none of PyTorch's kernels."""
        return False

    def can_use_flash_attention(self, params: Any, debug: bool = False) -> bool:
        """False: there is none of PyTorch's kernels."""
        return False

    can_use_efficient_attention = can_use_cudnn_attention = can_use_flash_attention


cuda = _Cuda()

for _name in __all__:  # ``import jaxnn.backends.cudnn as cudnn``, the first line of many programs
    sys.modules[f"{__name__}.{_name}"] = globals()[_name]

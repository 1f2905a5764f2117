"""``torch.backends``: switches of libraries below PyTorch. XLA takes their place, so most are hints that it is free to ignore.

How float32 products are computed on accelerators is real: ``cuda.matmul`` says it of products of matrices, as
`set_float32_matmul_precision` does, and ``cudnn`` of convolutions, which may use TensorFloat-32 unless told otherwise. On a TPU
"tf32" is three passes in bfloat16, which is more precise, and "ieee" is six. ``cudnn.rnn`` is a hint.

``mkldnn.enabled`` is real, too: convolutions on a CPU are computed by oneDNN, PyTorch's library for them, where the extra
``jaxnn-torch[onednn]`` is installed. It is off until it is set.

Source: https://docs.pytorch.org/docs/stable/backends.html
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .core.kinds.device import jax_devices
from .core.process.config import get_setting, set_setting
from .nn.functional import conv_onednn

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


#: What was said of float32 products, by switch; the switch above each, which counts where nothing was; JAX's names.
_told: dict[str, str] = {}
_ABOVE = {"cuda.matmul": "", "cudnn": "", "cudnn.conv": "cudnn", "cudnn.rnn": "cudnn"}
_JAX = {"none": "highest", "ieee": "highest", "tf32": "high"}


def _said(name: str) -> str:
    own = _told.get(name)
    if own is not None and own != "none":
        return own
    above = _said(_ABOVE[name]) if name else "none"
    layers = _ABOVE.get(name) == "cudnn"  # which may use fewer bits while nobody says anything
    return "tf32" if above == "none" and own is None and layers else above


def _say(value: str, *names: str) -> None:
    """Set switches, and tell the engine what all come to.

    Raises:
        RuntimeError: for another precision.
    """
    if value not in _JAX:
        raise RuntimeError(f"backend 'cuda' does not support precision '{value}'" if value == "bf16" else f"Unknown precision: {value}")
    _told.update(dict.fromkeys(names, value))
    set_setting("conv_precision", _JAX[_said("cudnn.conv")])
    products = _JAX[_said("cuda.matmul")]
    if (products == "highest") != (get_setting("matmul_precision") == "highest"):  # "medium" stays
        set_setting("matmul_precision", products)


def set_float32_matmul_precision(precision: str) -> None:
    """How float32 products are computed where there is a choice: 'highest' (the default), 'high' or 'medium'.

    On GPUs the last two are TensorFloat-32; on TPUs 'highest' takes six passes in bfloat16, 'high' three and 'medium' one.

    Raises:
        ValueError: for another name.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html
    """
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"float32_matmul_precision: expected 'highest', 'high' or 'medium', got {precision!r}")
    _say("ieee" if precision == "highest" else "tf32", "cuda.matmul")
    set_setting("matmul_precision", "default" if precision == "medium" else precision)


def get_float32_matmul_precision() -> str:
    """The setting of `set_float32_matmul_precision`."""
    found = get_setting("matmul_precision")
    return "medium" if found == "default" else found


class _Precision(_Switches):
    """Switches with the precision of some float32 products."""

    @property
    def fp32_precision(self) -> str:
        """How float32 products are computed: "ieee", "tf32", or "none" where nothing is said."""
        return _said(self._name)

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        _say(value, self._name)


def _checked(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RuntimeError(f"set_allow_tf32_cublas expects a bool, but got {type(value).__name__}")
    return value


class _Products(_Precision):
    @property
    def allow_tf32(self) -> bool:
        """Whether float32 products of matrices may be computed with fewer bits."""
        return get_setting("matmul_precision") != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        set_float32_matmul_precision("high" if _checked(value) else "highest")


class _Cudnn(_Precision):
    @property
    def allow_tf32(self) -> bool:
        """Whether float32 convolutions may be computed with fewer bits."""
        return get_setting("conv_precision") != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        _say("tf32" if _checked(value) else "none", "cudnn.conv", "cudnn.rnn")

    def version(self) -> None:
        """None: no cuDNN of PyTorch's own."""
        return None


class _OneDNN(_Switches):
    @property
    def enabled(self) -> bool:
        """Whether large float32 convolutions on a CPU are computed by oneDNN. Setting it loads the library."""
        return get_setting("onednn")

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if value and (why := conv_onednn.why_not()):
            warnings.warn(f"XLA computes convolutions instead of oneDNN: {why}", stacklevel=3)
            value = False
        set_setting("onednn", bool(value))


def _gpu() -> bool:
    return bool(jax_devices("cuda"))


def _never() -> bool:
    return False


cudnn = _Cudnn(
    "cudnn", _gpu, enabled=True, benchmark=False, deterministic=False, benchmark_limit=10,
    conv=_Precision("cudnn.conv", _gpu), rnn=_Precision("cudnn.rnn", _gpu),
)  # fmt: skip


def _no_macos(*version: int) -> bool:
    return False


mps = _Switches("mps", _never, is_built=_never, is_macos_or_newer=_no_macos, is_macos13_or_newer=_no_macos)
mkldnn = _OneDNN("mkldnn", lambda: not conv_onednn.why_not(), deterministic=False)
mkl = _Switches("mkl", _never)
openmp = _Switches("openmp", _never)
opt_einsum = _Switches("opt_einsum", lambda: True, enabled=True, strategy="auto")
mha = _Switches("mha", _never, fastpath=False)
cpu = _Switches("cpu", lambda: True, get_cpu_capability=lambda: "DEFAULT")  # none of PyTorch's own kernels


class _Cuda(_Switches):
    def __init__(self) -> None:
        super().__init__("cuda", _gpu)
        self.__dict__["matmul"] = _Products(
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



class _Module(types.ModuleType):
    @property
    def fp32_precision(self) -> str:
        """How all float32 products are computed where their own switch says nothing."""
        return _said("")

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        _say(value, "")


sys.modules[__name__].__class__ = _Module
for _name in __all__:  # ``import jaxnn.backends.cudnn as cudnn``, the first line of many programs
    sys.modules[f"{__name__}.{_name}"] = globals()[_name]

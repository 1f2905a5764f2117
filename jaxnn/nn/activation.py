"""Activations.

Source: https://docs.pytorch.org/docs/stable/nn.html#non-linear-activations-weighted-sum-nonlinearity
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from . import init
from .dropout import DrawsMasks
from .factory import empty
from .module import Module
from .parameter import Parameter

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
    "LogSoftmax", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmax2d",
    "Softmin",
    "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold",
]  # fmt: skip


class _Plain(Module):
    """A function of the input alone."""

    _function: Any

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return self._function(input)


class _InPlace(Module):
    """A function of the input that may overwrite it."""

    _function: Any

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return self._function(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class _WithParameter(_InPlace):
    """The same with one number, named ``_name``."""

    _name: str

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return self._function(input, getattr(self, self._name), self.inplace)

    def extra_repr(self) -> str:
        return f"{self._name}={getattr(self, self._name)}" + (", inplace=True" if self.inplace else "")


class _Along(Module):
    """A function along one dimension."""

    _function: Any

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The function along the dimension."""
        return self._function(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class ReLU(_InPlace):
    """max(0, x)."""

    _function = staticmethod(F.relu)


class SELU(_InPlace):
    """Scaled `ELU` that keeps mean and variance. Source: https://arxiv.org/abs/1706.02515"""

    _function = staticmethod(F.selu)


class SiLU(_InPlace):
    """x times its sigmoid."""

    _function = staticmethod(F.silu)


class Mish(_InPlace):
    """x tanh(softplus(x)). Source: https://arxiv.org/abs/1908.08681"""

    _function = staticmethod(F.mish)


class Hardsigmoid(_InPlace):
    """A sigmoid of straight pieces."""

    _function = staticmethod(F.hardsigmoid)

    def extra_repr(self) -> str:
        return ""


class Hardswish(_InPlace):
    """x times `Hardsigmoid`. Source: https://arxiv.org/abs/1905.02244"""

    _function = staticmethod(F.hardswish)

    def extra_repr(self) -> str:
        return ""


class Sigmoid(_Plain):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.sigmoid(input)


class Tanh(_Plain):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.tanh(input)


class LogSigmoid(_Plain):
    """The logarithm of the sigmoid."""

    _function = staticmethod(F.logsigmoid)


class Softsign(_Plain):
    """x / (1 + |x|)."""

    _function = staticmethod(F.softsign)


class Tanhshrink(_Plain):
    """x - tanh(x)."""

    _function = staticmethod(F.tanhshrink)


class ELU(_WithParameter):
    """x, or alpha (exp(x) - 1) below 0. Source: https://arxiv.org/abs/1511.07289"""

    _function, _name = staticmethod(F.elu), "alpha"

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha


class CELU(ELU):
    """`ELU` that is smooth for every alpha. Source: https://arxiv.org/abs/1704.07483"""

    _function = staticmethod(F.celu)


class LeakyReLU(_WithParameter):
    """x, or negative_slope x below 0."""

    _function, _name = staticmethod(F.leaky_relu), "negative_slope"

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope


class Hardtanh(_InPlace):
    """x, cut off at ``min_val`` and ``max_val``."""

    def __init__(
        self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False, min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(inplace)
        if min_value is not None or max_value is not None:
            raise NotImplementedError("Hardtanh: min_value and max_value, renamed to min_val and max_val")
        if not max_val > min_val:
            raise AssertionError(f"max_val ({max_val}) must be greater than min_val ({min_val})")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class ReLU6(Hardtanh):
    """max(0, x), cut off at 6."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class RReLU(_InPlace, DrawsMasks):
    """`LeakyReLU` with a random slope in training. Source: https://arxiv.org/abs/1505.00853"""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return self._with_keys(F.rrelu, input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")


class Threshold(_InPlace):
    """x where it is above ``threshold``, else ``value``."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class GELU(Module):
    """x times the normal distribution function; ``approximate='tanh'`` for its approximation."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class GLU(Module):
    """One half of a dimension times the sigmoid of the other. Source: https://arxiv.org/abs/1612.08083"""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The gated half."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class _Shrink(Module):
    _function: Any

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return self._function(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """x, but 0 within lambd of 0."""

    _function = staticmethod(F.hardshrink)


class Softshrink(_Shrink):
    """x moved by lambd towards 0."""

    _function = staticmethod(F.softshrink)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta; x itself above the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class PReLU(Module):
    """`LeakyReLU` with a slope that is learned, one or one a channel. Source: https://arxiv.org/abs/1502.01852"""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty((num_parameters,), device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every slope to the first value."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Softmax(_Along):
    """Exponentials divided by their sum."""

    _function = staticmethod(F.softmax)


class LogSoftmax(_Along):
    """The logarithm of `Softmax`."""

    _function = staticmethod(F.log_softmax)


class Softmin(_Along):
    """`Softmax` of the negative."""

    _function = staticmethod(F.softmin)


class Softmax2d(Module):
    """`Softmax` over the channels. Shape: (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """The probabilities at every place."""
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead")
        return F.softmax(input, -3, _stacklevel=5)

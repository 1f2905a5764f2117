"""Activations, each of which computes the function of `nn.functional` that its documentation names.

Shape: (*) -> (*), the same.

Source: https://docs.pytorch.org/docs/stable/nn.html#non-linear-activations-weighted-sum-nonlinearity
"""

from __future__ import annotations

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
    "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Threshold",
]  # fmt: skip


class _Plain(Module):
    """A function of the input alone."""

    _function: str  # by name, so that a program can replace it

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return getattr(F, self._function)(input)


class _InPlace(Module):
    """A function of the input that may overwrite it."""

    _function: str  # by name, so that a program can replace it

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return getattr(F, self._function)(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class _WithParameter(_InPlace):
    """The same with one number, named ``_name``."""

    _name: str

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return getattr(F, self._function)(input, getattr(self, self._name), self.inplace)

    def extra_repr(self) -> str:
        return f"{self._name}={getattr(self, self._name)}" + (", inplace=True" if self.inplace else "")


class ReLU(_InPlace):
    """max(0, x).

    Example:
        >>> nn.ReLU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 2.])

    Computes: `nn.functional.relu`
    """

    _function = "relu"


class SELU(_InPlace):
    """Scaled `ELU` that keeps mean and variance (https://arxiv.org/abs/1706.02515).

    Example:
        >>> nn.SELU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-1.1113,  0.0000,  2.1014])

    Computes: `nn.functional.selu`
    """

    _function = "selu"


class SiLU(_InPlace):
    """x times its sigmoid, also called swish (https://arxiv.org/abs/1710.05941).

    Example:
        >>> nn.SiLU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.2689,  0.0000,  1.7616])

    Computes: `nn.functional.silu`
    """

    _function = "silu"


class Mish(_InPlace):
    """x tanh(softplus(x)) (https://arxiv.org/abs/1908.08681).

    Example:
        >>> nn.Mish()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.3034,  0.0000,  1.9440])

    Computes: `nn.functional.mish`
    """

    _function = "mish"


class Hardsigmoid(_InPlace):
    """A sigmoid of straight pieces: 0 up to -3, 1 from 3 on, a line between.

    Example:
        >>> nn.Hardsigmoid()(torch.tensor([-4.0, 0.0, 1.5]))
        tensor([0.0000, 0.5000, 0.7500])

    Computes: `nn.functional.hardsigmoid`
    """

    _function = "hardsigmoid"

    def extra_repr(self) -> str:
        return ""


class Hardswish(_InPlace):
    """x times `Hardsigmoid` (https://arxiv.org/abs/1905.02244).

    Example:
        >>> nn.Hardswish()(torch.tensor([-1.0, 0.0, 1.5]))
        tensor([-0.3333,  0.0000,  1.1250])

    Computes: `nn.functional.hardswish`
    """

    _function = "hardswish"

    def extra_repr(self) -> str:
        return ""


class Sigmoid(_Plain):
    """1 / (1 + exp(-x)).

    Example:
        >>> nn.Sigmoid()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0.2689, 0.5000, 0.8808])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.sigmoid(input)


class Tanh(_Plain):
    """The hyperbolic tangent.

    Example:
        >>> nn.Tanh()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.7616,  0.0000,  0.9640])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.tanh(input)


class LogSigmoid(_Plain):
    """The logarithm of the sigmoid.

    Example:
        >>> nn.LogSigmoid()(torch.tensor([-100.0, 0.0, 2.0]))
        tensor([-100.0000,   -0.6931,   -0.1269])

    Computes: `nn.functional.logsigmoid`
    """

    _function = "logsigmoid"


class Softsign(_Plain):
    """x / (1 + |x|).

    Example:
        >>> nn.Softsign()(torch.tensor([-1.0, 0.0, 3.0]))
        tensor([-0.5000,  0.0000,  0.7500])

    Computes: `nn.functional.softsign`
    """

    _function = "softsign"


class Tanhshrink(_Plain):
    """x - tanh(x).

    Example:
        >>> nn.Tanhshrink()(torch.tensor([-1.0, 0.0, 3.0]))
        tensor([-0.2384,  0.0000,  2.0049])

    Computes: `nn.functional.tanhshrink`
    """

    _function = "tanhshrink"


class ELU(_WithParameter):
    """x, or alpha (exp(x) - 1) below 0 (https://arxiv.org/abs/1511.07289).

    Args:
        alpha: minus the value that large negative inputs approach.

    Example:
        >>> nn.ELU(alpha=2.0)(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-1.2642,  0.0000,  2.0000])

    Computes: `nn.functional.elu`
    """

    _function, _name = "elu", "alpha"

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha


class CELU(ELU):
    """`ELU` that is smooth for every alpha: alpha (exp(x / alpha) - 1) below 0 (https://arxiv.org/abs/1704.07483).

    Raises:
        RuntimeError: when called with an ``alpha`` of 0.

    Example:
        >>> nn.CELU(alpha=2.0)(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.7869,  0.0000,  2.0000])

    Computes: `nn.functional.celu`
    """

    _function = "celu"


class LeakyReLU(_WithParameter):
    """x, or negative_slope x below 0.

    Args:
        negative_slope: the slope below 0.

    Example:
        >>> nn.LeakyReLU(0.1)(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.1000,  0.0000,  2.0000])

    Computes: `nn.functional.leaky_relu`
    """

    _function, _name = "leaky_relu", "negative_slope"

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope


class Hardtanh(_InPlace):
    """x, cut off at ``min_val`` and ``max_val``.

    Args:
        min_val: the lowest result.
        max_val: the highest result.
        min_value, max_value: deprecated names of these.

    Raises:
        AssertionError: unless ``max_val`` is above ``min_val``.

    Example:
        >>> nn.Hardtanh(-1.0, 2.0)(torch.tensor([-3.0, 0.5, 3.0]))
        tensor([-1.0000,  0.5000,  2.0000])

    Computes: `nn.functional.hardtanh`
    """

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
    """max(0, x), cut off at 6.

    Example:
        >>> nn.ReLU6()(torch.tensor([-1.0, 3.0, 8.0]))
        tensor([0., 3., 6.])

    Computes: `nn.functional.relu6`
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class RReLU(_InPlace, DrawsMasks):
    """`LeakyReLU` with a random slope for each element in training, their mean in evaluation (https://arxiv.org/abs/1505.00853).

    Args:
        lower, upper: the range of the slopes.

    Example:
        >>> nn.RReLU(0.1, 0.3).eval()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.2000,  0.0000,  2.0000])

    Computes: `nn.functional.rrelu`
    """

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
    """x where it is above ``threshold``, else ``value``.

    Example:
        >>> nn.Threshold(0.5, -1.0)(torch.tensor([0.0, 0.5, 2.0]))
        tensor([-1., -1.,  2.])

    Computes: `nn.functional.threshold`
    """

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
    """x times the normal distribution function (https://arxiv.org/abs/1606.08415).

    Args:
        approximate: 'none', or 'tanh' for its approximation.

    Example:
        >>> nn.GELU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.1587,  0.0000,  1.9545])
        >>> nn.GELU(approximate="tanh")(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.1588,  0.0000,  1.9546])

    Computes: `nn.functional.gelu`
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class GLU(Module):
    """One half of a dimension times the sigmoid of the other (https://arxiv.org/abs/1612.08083).

    Shape: (*, 2n, *) -> (*, n, *).

    Example:
        >>> nn.GLU()(torch.tensor([[1.0, 2.0, 0.0, 100.0]]))
        tensor([[0.5000, 2.0000]])

    Computes: `nn.functional.glu`
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The gated half."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class _Shrink(Module):
    _function: str  # by name, so that a program can replace it

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """The function of every element."""
        return getattr(F, self._function)(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """x, but 0 within lambd of 0.

    Args:
        lambd: half the width of the range that becomes 0.

    Example:
        >>> nn.Hardshrink(0.5)(torch.tensor([-1.0, 0.3, 2.0]))
        tensor([-1.,  0.,  2.])

    Computes: `nn.functional.hardshrink`
    """

    _function = "hardshrink"


class Softshrink(_Shrink):
    """x moved by lambd towards 0.

    Args:
        lambd: how far, at least 0.

    Example:
        >>> nn.Softshrink(0.5)(torch.tensor([-1.0, 0.3, 2.0]))
        tensor([-0.5000,  0.0000,  1.5000])

    Computes: `nn.functional.softshrink`
    """

    _function = "softshrink"


class Softplus(Module):
    """log(1 + exp(beta x)) / beta: a smooth `ReLU`.

    Args:
        beta: the larger, the closer to `ReLU`.
        threshold: where beta x is above it, the result is x itself.

    Example:
        >>> nn.Softplus()(torch.tensor([-1.0, 0.0, 30.0]))
        tensor([ 0.3133,  0.6931, 30.0000])

    Computes: `nn.functional.softplus`
    """

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
    """`LeakyReLU` with a slope that is learned (https://arxiv.org/abs/1502.01852).

    Args:
        num_parameters: 1 for one slope, or the number of channels for one each.
        init: the slope at the start.

    Shape: (*) -> (*); with a slope for each channel (N, C, *).

    Attributes:
        weight: (num_parameters).

    Example:
        >>> nn.PReLU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.2500,  0.0000,  2.0000], grad_fn=<PreluKernelBackward0>)

    Computes: `nn.functional.prelu`
    """

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

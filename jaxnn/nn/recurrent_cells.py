"""Recurrent cells: one step of a recurrent layer.

Source: https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers
"""

from __future__ import annotations

import math
from typing import Any

from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor

from . import init
from .factory import empty
from .functional.recurrent import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from .module import Module
from .parameter import Parameter

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """What cells share: parameters and checks.

    Args:
        input_size: the number of input features.
        hidden_size: the number of features of the state.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        num_chunks: the number of gates.

    Shape: (N, input_size) or (input_size), states (N, hidden_size) or (hidden_size), zero by default -> the next states.

    Attributes:
        weight_ih: (num_chunks * hidden_size, input_size); weight_hh alike with hidden_size, biases without: all drawn uniformly
            within 1 / sqrt(hidden_size).

    Raises:
        RuntimeError: when called with sizes that do not fit.

    Example:
        >>> nn.RNNCellBase(2, 3, bias=True, num_chunks=1).weight_hh.shape
        torch.Size([3, 3])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: DeviceLike = None,
        dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device, dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device, dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty((rows,), device, dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            shown += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            shown += f", nonlinearity={self.nonlinearity}"
        return shown

    def _check_rank(self, what: str, t: Any) -> None:
        if t.dim() not in (1, 2):
            raise ValueError(f"{self._get_name()}: Expected {what} to be 1D or 2D, got {t.dim()}D instead")


class RNNCell(RNNCellBase):
    """One step of `RNN`: ``tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)``, or relu of it.

    Args:
        nonlinearity: 'tanh' or 'relu'.

    Example:
        >>> cell = nn.RNNCell(4, 8)
        >>> state = cell(torch.ones(2, 4))
        >>> cell(torch.ones(2, 4), state).shape
        torch.Size([2, 8])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        self._check_rank("input", input)
        if hx is not None:
            self._check_rank("hidden", hx)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        step = rnn_tanh_cell if self.nonlinearity == "tanh" else rnn_relu_cell
        return step(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class LSTMCell(RNNCellBase):
    """One step of long short-term memory: takes the input and the pair (hidden, cell), and gives the next pair.

    Example:
        >>> cell = nn.LSTMCell(4, 8)
        >>> hidden, memory = cell(torch.ones(2, 4))
        >>> hidden.shape, memory.shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: DeviceLike = None,
        dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next hidden state and the next cell state."""
        self._check_rank("input", input)
        states: Any = () if hx is None else hx
        for k, h in enumerate(states):
            self._check_rank(f"hx[{k}]", h)
        return lstm_cell(input, states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class GRUCell(RNNCellBase):
    """One step of gated recurrent units.

    Example:
        >>> cell = nn.GRUCell(4, 8)
        >>> cell(torch.ones(2, 4), torch.zeros(2, 8)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: DeviceLike = None,
        dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        self._check_rank("input", input)
        if hx is not None:
            self._check_rank("hidden", hx)
        return gru_cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

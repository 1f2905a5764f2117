"""Recurrent layers.

Source: https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor

from . import init
from .dropout import DrawsMasks
from .factory import empty
from .functional.recurrent import run_layers
from .module import typename
from .parameter import Parameter
from .utils.rnn import PackedSequence, number_of_sequences

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

#: What a recurrent layer takes and gives: padded or packed.
Sequences = TypeVar("Sequences", Tensor, PackedSequence)

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _require_int(name: str, value: Any) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} should be of type int, got: {typename(value)}")
    if value <= 0:
        raise ValueError(f"{name} must be greater than zero")


class RNNBase(DrawsMasks):
    """What recurrent layers share: parameters, checks, and the call of the kernel of ``mode``: 'LSTM', 'GRU', 'RNN_TANH', 'RNN_RELU'.

    Args:
        input_size: the number of input features.
        hidden_size: the number of features of the state.
        num_layers: how many layers, each of which reads the results of the one before.
        bias: whether there are ``b_ih`` and ``b_hh``.
        dropout: the probability of a zero in the results of each layer but the last, in training.
        bidirectional: also read the sequence backwards; results of both directions are concatenated.
        proj_size: for `LSTM`: the size that the hidden state is projected to; 0: no projection.

    Shape: (T, N, input_size), with ``batch_first`` (N, T, input_size), without a batch (T, input_size), or a `PackedSequence`;
    states (directions * num_layers, N, hidden_size) -> results with directions * hidden_size features, and the last states.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of the first layer, whose gates lie one after the other in the first
            dimension; ``_reverse`` is added for the other direction. All are drawn uniformly within 1 / sqrt(hidden_size).

    Raises:
        TypeError, ValueError: for arguments that are no size, probability or mode.
        RuntimeError: when called with sizes that do not fit.

    Example:
        >>> nn.RNNBase("GRU", 2, 3)
        RNNBase(2, 3)
    """

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(value, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        if not isinstance(dropout, numbers.Number) or not 0 <= self.dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if self.dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
                f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=2,
            )
        _require_int("input_size", input_size)
        _require_int("hidden_size", hidden_size)
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                shapes = self._shapes(layer)
                self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])
                for name, shape in zip(self._all_weights[-1], shapes.values(), strict=True):
                    setattr(self, name, Parameter(empty(shape, device, dtype)))
        self._flat_weights_names = [name for names in self._all_weights for name in names]
        self.reset_parameters()

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The shapes of one direction's parameters, in PyTorch's order."""
        directions = 2 if self.bidirectional else 1
        state = self.proj_size or self.hidden_size
        rows = _GATES[self.mode] * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, self.input_size if layer == 0 else state * directions),
            "weight_hh": (rows, state),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Draw new parameters, uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: the compiler lays out the weights."""

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def _draws(self) -> bool:
        return self.dropout > 0 and self.num_layers > 1

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        for name, usual in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0),
            ("bidirectional", False),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not usual and value != usual:
                shown += f", {name}={value}"
        return shown

    # --- checks, under PyTorch's names

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise for an input of another type, rank or width: ValueError, RuntimeError."""
        expected = getattr(self, self._flat_weights_names[0]).dtype
        if input.dtype != expected:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({expected}). "
                f"Convert input: input.to({expected}), or convert model: model.to({input.dtype})"
            )
        dims = 3 if batch_sizes is None else 2
        if input.dim() != dims:
            raise RuntimeError(f"input must have {dims} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the hidden state has for an input."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0) if self.batch_first else input.size(1)
        return self._state_shape(batch, self.proj_size or self.hidden_size)

    def _state_shape(self, batch: int, size: int) -> tuple[int, int, int]:
        return self.num_layers * (2 if self.bidirectional else 1), batch, size

    def check_hidden_size(
        self, hx: Any, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raise RuntimeError for a state of another shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(tuple(expected_hidden_size), list(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """`check_input`, and the shape of the state."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its sequences in another order; with None the state itself."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # --- the call

    def _run(self, input: Any, hx: tuple[Any, ...] | None) -> tuple[Any, ...]:
        """Outputs and last states, for any input; ``hx`` of LSTM has two states."""
        data, batch_sizes, order, back = input if isinstance(input, PackedSequence) else (input, None, None, None)
        dims, batch = data.dim(), None
        if batch_sizes is not None:
            batch = number_of_sequences(input)
            if self.mode != "LSTM" or dims != 2:  # of which PyTorch leaves the rest to the kernel, whose errors differ
                self.check_input(data, batch_sizes)
        elif dims not in (2, 3):
            given = f"{dims}D tensor" if self.mode.startswith("RNN") else f"{dims}D"
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {given} instead")
        elif dims == 3:
            self.check_input(data, None)
            batch = data.size(0) if self.batch_first else data.size(1)
        else:
            self._check_unbatched(data)
        if hx is not None:
            self._check_states(hx, dims, batch, batch_sizes is not None)
            hx = tuple(RNNBase.permute_hidden(self, h, order) for h in hx)
        out, *last = self._with_keys(
            run_layers, self.mode.lower(), data, None if batch_sizes is None else batch_sizes.to(data.device), hx or (),
            self._flat_weights, bool(self.bias), self.num_layers, self.dropout, self.training, bool(self.bidirectional),
            self.batch_first and batch_sizes is None and dims == 3, batch if batch_sizes is not None else None,
        )  # fmt: skip
        if batch_sizes is None:
            return out, *last
        last = [RNNBase.permute_hidden(self, h, back) for h in last]
        return PackedSequence(out, batch_sizes, order, back), *last

    def _check_unbatched(self, data: Any) -> None:
        weight = getattr(self, self._flat_weights_names[0])
        if data.dtype != weight.dtype or data.size(-1) != self.input_size:
            self.check_input(data.unsqueeze(1), None)

    def _check_states(self, hx: tuple[Any, ...], dims: int, batch: int | None, packed: bool) -> None:
        if not packed and any(h.dim() != dims for h in hx):
            kind = "batched" if dims == 3 else "unbatched"
            if len(hx) == 2:
                got = f"hx and cx should also be {dims}-D but got ({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
            else:
                got = f"hx should also be {dims}-D but got {hx[0].dim()}-D tensor"
            raise RuntimeError(f"For {kind} {dims}-D input, {got}")
        for k, h in enumerate(hx):
            size = self.hidden_size if k else self.proj_size or self.hidden_size
            expected = self._state_shape(1 if batch is None else batch, size)
            given = tuple(h.shape) if batch is not None else (h.size(0), 1, h.size(1))
            if given != expected:
                name = f"hidden[{k}]" if len(hx) == 2 else "hidden"
                raise RuntimeError(f"Expected {name} size {expected}, got {list(given)}")


def _without_projection(kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(RNNBase):
    """``h = tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)`` step after step, or relu of it.

    ``RNN(input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True, batch_first=False, dropout=0.0,
    bidirectional=False, device=None, dtype=None)``. A call takes the input and the first state (zero by default) and gives
    the last layer's outputs and the last state.

    Args:
        nonlinearity: 'tanh' or 'relu'.

    Example:
        >>> layer = nn.RNN(4, 8, nonlinearity="relu")
        >>> output, state = layer(torch.ones(5, 2, 4))
        >>> output.shape, state.shape
        (torch.Size([5, 2, 8]), torch.Size([1, 2, 8]))
    """

    if TYPE_CHECKING:

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
            bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
            device: DeviceLike = None, dtype: dtype | None = None,
        ) -> None: ...  # fmt: skip
    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            _without_projection(kwargs)
            if len(args) > 3:
                nonlinearity, args = args[3], (*args[:3], *args[4:])
            else:
                nonlinearity = kwargs.pop("nonlinearity", "tanh")
            if nonlinearity not in ("tanh", "relu"):
                raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
            super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
            self.nonlinearity = nonlinearity

    def forward(self, input: Sequences, hx: Tensor | None = None) -> tuple[Sequences, Tensor]:
        """Outputs and the last state."""
        out, last = self._run(input, None if hx is None else (hx,))
        return out, last


class LSTM(RNNBase):
    """Long short-term memory, with ``proj_size`` with projections of the hidden state (https://arxiv.org/abs/1402.1128).

    ``LSTM(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False,
    proj_size=0, device=None, dtype=None)``. A call takes the input and the pair of first states (zero by default) and
    gives the last layer's outputs and the pair of last states. The order of the gates is input, forget, cell, output.

    Example:
        >>> layer = nn.LSTM(4, 8, num_layers=2, batch_first=True, bidirectional=True)
        >>> output, (hidden, cell) = layer(torch.ones(3, 5, 4))
        >>> output.shape, hidden.shape, cell.shape
        (torch.Size([3, 5, 16]), torch.Size([4, 3, 8]), torch.Size([4, 3, 8]))
    """

    if TYPE_CHECKING:

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
            batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
            device: DeviceLike = None, dtype: dtype | None = None,
        ) -> None: ...  # fmt: skip
    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the cell state has for an input."""
        return self._state_shape(self.get_expected_hidden_size(input, batch_sizes)[1], self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """`check_input`, and the shapes of both states."""
        self.check_input(input, batch_sizes)
        for k, expected in enumerate((self.get_expected_hidden_size, self.get_expected_cell_size)):
            self.check_hidden_size(hidden[k], expected(input, batch_sizes), f"Expected hidden[{k}] size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """Both states with their sequences in another order; with None the states themselves."""
        return hx if permutation is None else tuple(RNNBase.permute_hidden(self, h, permutation) for h in hx[:2])

    def forward(
        self, input: Sequences, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Sequences, tuple[Tensor, Tensor]]:
        """Outputs and the last hidden and cell state."""
        out, hidden, cell = self._run(input, None if hx is None else (hx[0], hx[1]))
        return out, (hidden, cell)


class GRU(RNNBase):
    """Gated recurrent units (https://arxiv.org/abs/1406.1078); the reset gate acts after the product with the recurrent weights.

    ``GRU(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False,
    device=None, dtype=None)``. A call takes the input and the first state (zero by default) and gives the last layer's
    outputs and the last state. The order of the gates is reset, update, new.

    Example:
        >>> layer = nn.GRU(4, 8)
        >>> output, state = layer(torch.ones(5, 2, 4), torch.zeros(1, 2, 8))
        >>> output.shape, state.shape
        (torch.Size([5, 2, 8]), torch.Size([1, 2, 8]))
    """

    if TYPE_CHECKING:

        def __init__(
            self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
            batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: DeviceLike = None,
            dtype: dtype | None = None,
        ) -> None: ...  # fmt: skip
    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            _without_projection(kwargs)
            super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Sequences, hx: Tensor | None = None) -> tuple[Sequences, Tensor]:
        """Outputs and the last state."""
        out, last = self._run(input, None if hx is None else (hx,))
        return out, last

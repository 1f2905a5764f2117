"""Attention within windows of a picture, which are shifted in every other block.

Source: Liu et al. 2021, arXiv:2103.14030, and 2022, arXiv:2111.09883
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.nn import functional as F

__all__ = ["ShiftedWindowAttention", "ShiftedWindowAttentionV2", "shifted_window_attention"]


def _windows(x: Tensor, height: int, width: int) -> Tensor:
    """(N, H, W, C) in windows: (N * windows, height * width, C)."""
    count, rows, columns, channels = x.shape
    x = x.reshape(count, rows // height, height, columns // width, width, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height * width, channels)


def _shift_mask(like: Tensor, size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """(windows, L, L): -100 between places that the cyclic shift brought together, 0 elsewhere."""

    def zone(length: int, part: int, by: int) -> Tensor:
        # What comes before the last window, what stays in it, and what the shift brought there from the other side.
        place = jaxnn.arange(length, device=like.device)
        return (place >= length - part).to(jaxnn.int64) + (place >= length - by).to(jaxnn.int64) if by else 0 * place

    rows, columns = (zone(*of) for of in zip(size, window, shift, strict=True))
    zones = _windows((rows[:, None] * 3 + columns)[None, :, :, None], *window).squeeze(-1)
    apart = zones[:, None, :] != zones[:, :, None]
    return jaxnn.zeros(apart.shape, dtype=like.dtype, device=like.device).masked_fill(apart, -100.0)


def shifted_window_attention(
    input: Tensor, qkv_weight: Any, proj_weight: Any, relative_position_bias: Tensor, window_size: Sequence[int],
    num_heads: int, shift_size: Sequence[int], attention_dropout: float = 0.0, dropout: float = 0.0,
    qkv_bias: Tensor | None = None, proj_bias: Tensor | None = None, logit_scale: Any = None,
    training: bool = True,
) -> Tensor:  # fmt: skip
    """Attention of each place to those in its window.

    Args:
        input: (N, H, W, C); padded with zeros where the windows do not fit.
        qkv_weight, qkv_bias: (3 C, C) and (3 C,), of queries, keys and values.
        proj_weight, proj_bias: (C, C) and (C,), of the result.
        relative_position_bias: (1, num_heads, L, L) for windows of L places, added before the softmax.
        window_size, shift_size: height and width.
        num_heads: how many parts the channels are split into.
        attention_dropout, dropout: probabilities, of attention weights and of elements of the result.
        logit_scale: (num_heads, 1, 1); where it is given, attention goes by cosines times its exponential, and keys
            have no bias.
        training: whether anything is dropped.

    Returns:
        (N, H, W, C).
    """
    count, height, width, channels = input.shape
    window = (window_size[0], window_size[1])
    x = F.pad(input, (0, 0, 0, -width % window[1], 0, -height % window[0]))
    size = (x.shape[1], x.shape[2])
    # A window that covers the picture has nothing to be shifted to.
    shift = tuple(0 if part >= length else by for part, length, by in zip(window, size, shift_size, strict=True))
    shifted = any(shift)
    if shifted:
        x = x.roll((-shift[0], -shift[1]), (1, 2))
    x = _windows(x, *window)
    places = window[0] * window[1]
    if logit_scale is not None and qkv_bias is not None:
        kept = jaxnn.ones(3, 1, dtype=qkv_bias.dtype, device=qkv_bias.device)
        kept[1] = 0
        qkv_bias = (qkv_bias.reshape(3, -1) * kept).flatten()
    qkv = F.linear(x, qkv_weight, qkv_bias).reshape(-1, places, 3, num_heads, channels // num_heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    if logit_scale is None:
        scores = (q * (channels // num_heads) ** -0.5) @ k.transpose(-2, -1)
    else:
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        scores = scores * logit_scale.clamp(max=math.log(100.0)).exp()
    scores = scores + relative_position_bias
    if shifted:
        mask = _shift_mask(x, size, window, (shift[0], shift[1]))
        scores = scores.reshape(count, -1, num_heads, places, places) + mask[:, None]
        scores = scores.reshape(-1, num_heads, places, places)
    weights = F.dropout(scores.softmax(-1), p=attention_dropout, training=training)
    x = F.linear((weights @ v).transpose(1, 2).reshape(-1, places, channels), proj_weight, proj_bias)
    x = F.dropout(x, p=dropout, training=training)
    x = x.reshape(count, size[0] // window[0], size[1] // window[1], *window, channels)
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(count, *size, channels)
    if shifted:
        x = x.roll((shift[0], shift[1]), (1, 2))
    return x[:, :height, :width, :]


class ShiftedWindowAttention(nn.Module):
    """`shifted_window_attention` with a learned bias for each distance.

    Args:
        dim: channels.
        window_size, shift_size: height and width.
        num_heads: how many parts the channels are split into.
        qkv_bias, proj_bias: whether the two linear layers have one.
        attention_dropout, dropout: probabilities, of attention weights and of elements of the result.

    Shape: (N, H, W, dim) -> the same.

    Raises:
        ValueError: for sizes that are not two numbers.
    """

    def __init__(
        self, dim: int, window_size: Sequence[int], shift_size: Sequence[int], num_heads: int, qkv_bias: bool = True,
        proj_bias: bool = True, attention_dropout: float = 0.0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if len(window_size) != 2 or len(shift_size) != 2:
            raise ValueError("window_size and shift_size must be of length 2")
        self.window_size = window_size
        self.shift_size = shift_size
        self.num_heads = num_heads
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.define_relative_position_bias_table()
        self.define_relative_position_index()

    def define_relative_position_bias_table(self) -> None:
        """Make the parameter: a bias for each head and each distance that occurs in a window."""
        height, width = self.window_size
        table = jaxnn.zeros((2 * height - 1) * (2 * width - 1), self.num_heads)
        self.relative_position_bias_table = nn.Parameter(table)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def define_relative_position_index(self) -> None:
        """Make the buffer: for each pair of places, the row of their distance in the table."""
        height, width = self.window_size
        rows, columns = jaxnn.arange(height), jaxnn.arange(width)
        down = (rows[:, None] - rows + height - 1)[:, None, :, None]
        across = (columns[:, None] - columns + width - 1)[None, :, None, :]
        self.register_buffer("relative_position_index", (down * (2 * width - 1) + across).flatten())

    def _bias(self, table: Any) -> Tensor:
        """(1, num_heads, L, L) from the table's rows."""
        places = self.window_size[0] * self.window_size[1]
        return table[self.relative_position_index].reshape(places, places, -1).permute(2, 0, 1)[None]

    def get_relative_position_bias(self) -> Tensor:
        """(1, num_heads, L, L)."""
        return self._bias(self.relative_position_bias_table)

    def forward(self, x: Tensor) -> Tensor:
        return self._attend(x, None)

    def _attend(self, x: Tensor, logit_scale: Any) -> Tensor:
        return shifted_window_attention(
            x, self.qkv.weight, self.proj.weight, self.get_relative_position_bias(), self.window_size, self.num_heads,
            self.shift_size, self.attention_dropout, self.dropout, self.qkv.bias, self.proj.bias, logit_scale, self.training,
        )  # fmt: skip


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """`shifted_window_attention` by cosines, with a bias that a small network computes from distances."""

    def __init__(
        self, dim: int, window_size: Sequence[int], shift_size: Sequence[int], num_heads: int, qkv_bias: bool = True,
        proj_bias: bool = True, attention_dropout: float = 0.0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(dim, window_size, shift_size, num_heads, qkv_bias, proj_bias, attention_dropout, dropout)
        self.logit_scale = nn.Parameter(jaxnn.log(10 * jaxnn.ones(num_heads, 1, 1)))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, 512, bias=True), nn.ReLU(inplace=True), nn.Linear(512, num_heads, bias=False)
        )
        if qkv_bias:
            with jaxnn.no_grad():
                self.qkv.bias[dim : 2 * dim] = 0

    def define_relative_position_bias_table(self) -> None:
        """Make the buffer: (1, 2 H - 1, 2 W - 1, 2), each distance on a logarithmic scale, 8 of it to a window."""
        height, width = self.window_size
        down = jaxnn.arange(-(height - 1), height, dtype=jaxnn.float32)
        across = jaxnn.arange(-(width - 1), width, dtype=jaxnn.float32)
        grid = jaxnn.stack(jaxnn.meshgrid([down, across], indexing="ij"), -1)[None]
        grid = grid / jaxnn.tensor([height - 1.0, width - 1.0]) * 8
        self.register_buffer("relative_coords_table", grid.sign() * (grid.abs() + 1.0).log2() / 3.0)

    def get_relative_position_bias(self) -> Tensor:
        """(1, num_heads, L, L)."""
        return 16 * self._bias(self.cpb_mlp(self.relative_coords_table).reshape(-1, self.num_heads)).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self._attend(x, self.logit_scale)

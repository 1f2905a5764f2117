"""Attention with scores and masks that functions give: ``torch.nn.attention.flex_attention``.

The functions are called once, with all places: ``b``, ``h``, ``q_idx`` and ``kv_idx`` are tensors of shapes (B, 1, 1, 1), (1, H, 1, 1),
(1, 1, Q, 1) and (1, 1, 1, K), so tensors are indexed as ``bias[h, q_idx, kv_idx]``, in one pair of brackets. Gradients reach what
they capture. Blocks are kept for those who look at them; all scores are computed, and XLA fuses what it can.

Source: https://docs.pytorch.org/docs/stable/nn.attention.flex_attention.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxnn.core.kinds.dtypes import ALL
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.registry import FUNCTIONS

__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "FlexKernelOptions", "and_masks", "create_block_mask", "create_mask",
    "flex_attention", "noop_mask", "or_masks",
]  # fmt: skip

bool_ = next(t for t in ALL if t.name == "bool")
_DEFAULT_SPARSE_BLOCK_SIZE = 128
FlexKernelOptions = dict


class AuxRequest(NamedTuple):
    """What `flex_attention` gives beside the result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """The logarithm of the sum of the exponentials of the scores, and the largest, of each query; None if not asked for."""

    lse: Any = None
    max_scores: Any = None


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Any:
    """A mask that keeps all."""
    return FUNCTIONS["ones"]((), dtype=bool_, device=batch.device)


def _places(sizes: tuple[int, ...], device: Any) -> list[Any]:
    found = []
    for k, n in enumerate(sizes):
        shape = [1, 1, 1, 1]
        shape[k] = n
        found.append(FUNCTIONS["arange"](n, device=device).reshape(shape))
    return found


def _whole(value: Any, sizes: tuple[int, ...], what: str) -> Any:
    """What a function of the places gave, for all of them."""
    if not isinstance(value, TensorBase) or value.ndim > 4:
        raise ValueError(f"{what} should give a tensor that broadcasts to {sizes}, but gave {getattr(value, 'shape', value)}")
    return value.expand(sizes)


def create_mask(mod_fn: Callable[..., Any], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Any:
    """The mask, or the scores, that a function gives for all places, (B, H, Q_LEN, KV_LEN); None counts as 1.

    Args:
        mod_fn: ``mask(b, h, q_idx, kv_idx)`` or ``score(score, b, h, q_idx, kv_idx)``.
        device: by default the default one.
    """
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    places = _places(sizes, device)
    if mod_fn.__code__.co_argcount - len(mod_fn.__defaults__ or ()) == 5 if hasattr(mod_fn, "__code__") else False:
        made = mod_fn(FUNCTIONS["zeros"](sizes, device=device), *places)
        return FUNCTIONS["where"](FUNCTIONS["isneginf"](made), False, True)
    return _whole(mod_fn(*places), sizes, "mask_mod")


def or_masks(*mask_mods: Callable[..., Any]) -> Callable[..., Any]:
    """A mask that keeps what one of the masks keeps."""
    return _joined(mask_mods, lambda a, b: a | b)


def and_masks(*mask_mods: Callable[..., Any]) -> Callable[..., Any]:
    """A mask that keeps what all masks keep."""
    return _joined(mask_mods, lambda a, b: a & b)


def _joined(mask_mods: Any, join: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    if not all(callable(m) for m in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        found = mask_mods[0](b, h, q_idx, kv_idx)
        for m in mask_mods[1:]:
            found = join(found, m(b, h, q_idx, kv_idx))
        return found

    return mask


class BlockMask:
    """A mask by a function, and which blocks of places it keeps something of.

    Attributes:
        mask_mod: the function.
        seq_lengths: numbers of queries and keys.
        BLOCK_SIZE: of queries and keys in a block.
        kv_num_blocks, kv_indices: for each block of queries the number of blocks of keys that are kept in part, and which come first.
        full_kv_num_blocks, full_kv_indices: the same for blocks kept whole.
    """

    def __init__(
        self, seq_lengths: tuple[int, int], kv_num_blocks: Any, kv_indices: Any, full_kv_num_blocks: Any,
        full_kv_indices: Any, BLOCK_SIZE: tuple[int, int], mask_mod: Callable[..., Any],
    ) -> None:  # fmt: skip
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = seq_lengths, BLOCK_SIZE, mask_mod
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices

    @classmethod
    def from_kv_blocks(
        cls, kv_num_blocks: Any, kv_indices: Any, full_kv_num_blocks: Any = None, full_kv_indices: Any = None,
        BLOCK_SIZE: Any = _DEFAULT_SPARSE_BLOCK_SIZE, mask_mod: Callable[..., Any] | None = None,
        seq_lengths: tuple[int, int] | None = None, compute_q_blocks: bool = True,
    ) -> BlockMask:  # fmt: skip
        """A mask of given blocks: what is outside of them is dropped, inside the function decides.

        Raises:
            RuntimeError: the blocks have fewer than two dimensions.
        """
        if kv_indices.ndim < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else (BLOCK_SIZE[0], BLOCK_SIZE[1])
        lengths = seq_lengths or (kv_indices.shape[-2] * size[0], kv_indices.shape[-1] * size[1])
        made = cls(lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, size, mask_mod or noop_mask)
        kept, inner = made.to_dense(), made.mask_mod

        def mask(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
            rows, heads = kept.shape[:2]
            block = kept[b if rows > 1 else b * 0, h if heads > 1 else h * 0, q_idx // size[0], kv_idx // size[1]] != 0
            return block & inner(b, h, q_idx, kv_idx)

        made.mask_mod = mask
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, Q_LEN, KV_LEN)."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """The number of places."""
        return math.prod(self.shape)

    def _dense(self, counts: Any, indices: Any) -> Any:
        columns = indices.shape[-1]
        chosen = FUNCTIONS["arange"](columns, device=indices.device) < counts.unsqueeze(-1)
        zeros = FUNCTIONS["zeros"](indices.shape, dtype=chosen.int().dtype, device=indices.device)
        return zeros.scatter_add(-1, indices.long(), chosen.int()).clamp(max=1)

    def to_dense(self) -> Any:
        """1 for each block that is kept at all, else 0: (B, H, blocks of queries, blocks of keys)."""
        found = self._dense(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is not None:
            found = found + self._dense(self.full_kv_num_blocks, self.full_kv_indices)
        return found

    def sparsity(self) -> float:
        """How many per cent of the places lie in blocks that are dropped."""
        kept = int(self.kv_num_blocks.sum())
        if self.full_kv_num_blocks is not None:
            kept += int(self.full_kv_num_blocks.sum())
        return 100 * (1 - kept * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1] / self.numel())

    def as_tuple(self, flatten: bool = True) -> Any:
        """The attributes; refuses what PyTorch's kernels need beside them.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("BlockMask.as_tuple: there are no kernels by blocks")

    def to(self, device: Any) -> BlockMask:
        """The mask on another device."""
        moved: list[Any] = [
            None if t is None else t.to(device)
            for t in (self.kv_num_blocks, self.kv_indices, self.full_kv_num_blocks, self.full_kv_indices)
        ]
        counts, indices, full_counts, full_indices = moved
        return BlockMask(self.seq_lengths, counts, indices, full_counts, full_indices, self.BLOCK_SIZE, self.mask_mod)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: Callable[..., Any], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE, _compile: bool = False, separate_full_blocks: bool = True,
    compute_dq_write_order: bool = False, dq_kv_order: bool = True,
) -> BlockMask:  # fmt: skip
    """The blocks that a mask keeps something of.

    Args:
        mask_mod: ``mask(b, h, q_idx, kv_idx)``.
        B, H: numbers of rows and heads for which the mask differs; None: it does not.
        Q_LEN, KV_LEN: numbers of queries and keys.
        device: by default the default one.
        BLOCK_SIZE: of queries and keys in a block.
        separate_full_blocks: whether to list the blocks that are kept whole apart.
        compute_dq_write_order, dq_kv_order, _compile: hints for PyTorch's kernels.
    """
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else (BLOCK_SIZE[0], BLOCK_SIZE[1])
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    rows, columns = -(-Q_LEN // size[0]), -(-KV_LEN // size[1])
    padded = FUNCTIONS["constant_pad_nd"](mask, (0, columns * size[1] - KV_LEN, 0, rows * size[0] - Q_LEN), False)
    sums = padded.reshape(*mask.shape[:2], rows, size[0], columns, size[1]).int().sum((3, 5))
    full = (sums == size[0] * size[1]) & separate_full_blocks
    part = (sums > 0) & ~full

    def ordered(kept: Any) -> tuple[Any, Any]:
        return kept.int().sum(-1).int(), FUNCTIONS["argsort"](kept.int(), dim=-1, descending=True, stable=True).int()

    counts, indices = ordered(part)
    full_counts, full_indices = ordered(full) if separate_full_blocks else (None, None)
    return BlockMask((Q_LEN, KV_LEN), counts, indices, full_counts, full_indices, size, mask_mod)


def flex_attention(
    query: Any, key: Any, value: Any, score_mod: Callable[..., Any] | None = None, block_mask: BlockMask | None = None,
    scale: float | None = None, enable_gqa: bool = False, return_lse: bool = False, kernel_options: Any = None, *,
    return_aux: AuxRequest | None = None,
) -> Any:  # fmt: skip
    """Softmax of scores, times values, where functions change the scores and drop some.

    Args:
        query: (B, H, Q, E).
        key: (B, H, K, E), or fewer heads with ``enable_gqa``.
        value: (B, H, K, V).
        score_mod: ``score(score, b, h, q_idx, kv_idx)``, a new score.
        block_mask: which scores count.
        scale: of the products; None: 1 / sqrt(E).
        enable_gqa: whether a head of keys serves several of queries.
        return_lse: also give the logarithm of the sum of the exponentials of the scores, (B, H, Q).
        kernel_options: a hint.
        return_aux: what else to give.

    Returns:
        (B, H, Q, V). A query of which no score counts gets zeros.

    Raises:
        ValueError: for shapes that do not fit.
    """
    for name, t in (("query", query), ("key", key), ("value", value)):
        if t.ndim != 4:
            raise NotImplementedError(f"NYI: {name} must be 4D tensors, but got {t.ndim}D")
    if query.dtype != key.dtype or query.dtype != value.dtype:
        raise ValueError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype}, key.dtype: {key.dtype}, "
            f"and value.dtype: {value.dtype} instead."
        )
    heads, served = query.shape[1], key.shape[1]
    if heads != served and not enable_gqa:
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={served}. Try setting "
            "enable_gqa=True for GQA."
        )
    if heads % served:
        raise ValueError(f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={served}.")
    if return_aux is not None and return_lse:
        raise ValueError("Cannot specify both return_lse and return_aux. return_lse has been deprecated.")
    if heads != served:
        key, value = (FUNCTIONS["repeat_interleave"](t, heads // served, 1) for t in (key, value))
    wide = query.float() if query.dtype.itemsize < 4 else query
    scores = (wide @ key.to(wide.dtype).transpose(-2, -1)) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    sizes = tuple(scores.shape)
    places = _places(sizes, query.device)
    if score_mod is not None:
        scores = _whole(score_mod(scores.to(query.dtype), *places), sizes, "score_mod").to(wide.dtype)
    if block_mask is not None:
        if block_mask.seq_lengths != sizes[2:]:
            raise ValueError(
                f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={sizes[2]} and kv_len={sizes[3]}."
            )
        scores = FUNCTIONS["where"](_whole(block_mask.mask_mod(*places), sizes, "mask_mod"), scores, -math.inf)
    dropped = (scores == -math.inf).all(-1, keepdim=True)
    weights = FUNCTIONS["softmax"](FUNCTIONS["where"](dropped, 0.0, scores), -1)
    result = (FUNCTIONS["where"](dropped, 0.0, weights).to(query.dtype) @ value)
    if return_lse or (return_aux is not None and return_aux.lse):
        lse = FUNCTIONS["logsumexp"](FUNCTIONS["where"](dropped, 0.0, scores), -1, True)
        lse = FUNCTIONS["where"](dropped, -math.inf, lse)[..., 0]
        if return_lse:
            return result, lse
    if return_aux is None:
        return result
    largest = scores.amax(-1) if return_aux.max_scores else None
    return result, AuxOutput(lse if return_aux.lse else None, largest)

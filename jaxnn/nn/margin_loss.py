"""Losses that ask for a margin, and likelihoods of distributions and of sequences.

Shape: (*), (*) -> (), or each element's loss with ``reduction="none"``.

Source: https://docs.pytorch.org/docs/stable/nn.html#loss-functions
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from .distance import PairwiseDistance
from .functional.linear_cross_entropy_loss import LinearCrossEntropyOptions
from .linear import Linear
from .loss import _Loss, _WeightedLoss

__all__ = [
    "CTCLoss", "CosineEmbeddingLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "LinearCrossEntropyLoss",
    "LinearCrossEntropyOptions", "MarginRankingLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss",
    "MultiMarginLoss", "PoissonNLLLoss", "SoftMarginLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss",
]  # fmt: skip


class CosineEmbeddingLoss(_Loss):
    """1 - cos of pairs with target 1, max(0, cos - margin) of pairs with target -1.

    Args:
        margin: the cosine up to which a pair with target -1 costs nothing.

    Shape: (N, D), (N, D), (N) -> (), or (N) with ``reduction="none"``; or all without N.

    Example:
        >>> one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
        >>> nn.CosineEmbeddingLoss()(one, other, torch.tensor([1]))
        tensor(0.2929)

    Computes: `nn.functional.cosine_embedding_loss`
    """

    def __init__(
        self, margin: float = 0.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """The input, a distance, for target 1; max(0, margin - input) for target -1.

    Args:
        margin: the distance from which on a target of -1 costs nothing.

    Example:
        >>> nn.HingeEmbeddingLoss()(torch.tensor([0.5, 0.5]), torch.tensor([1, -1]))
        tensor(0.5000)

    Computes: `nn.functional.hinge_embedding_loss`
    """

    def __init__(
        self, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """max(0, -target (input1 - input2) + margin): target 1 asks for a larger first input, -1 for a larger second.

    Shape: (*), (*), (*) -> (), or (*) with ``reduction="none"``.

    Example:
        >>> nn.MarginRankingLoss(margin=0.5)(torch.tensor([1.0]), torch.tensor([0.8]), torch.tensor([1]))
        tensor(0.3000)

    Computes: `nn.functional.margin_ranking_loss`
    """

    def __init__(
        self, margin: float = 0.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """Hinge loss of each class against the right one.

    Args:
        p: the exponent of the hinge, 1 or 2.
        weight: (C): a factor of each target's class.

    Shape: (N, C), (N) of class numbers -> (), or (N) with ``reduction="none"``; or all without N.

    Example:
        >>> nn.MultiMarginLoss()(torch.tensor([[0.1, 0.2, 0.4, 0.8]]), torch.tensor([3]))
        tensor(0.3250)

    Computes: `nn.functional.multi_margin_loss`
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, size_average: bool | None = None,
        reduce: bool | None = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError("only p == 1 and p == 2 supported")
        if weight is not None and weight.dim() != 1:
            raise ValueError(f"MultiMarginLoss: expected weight to be None or 1D tensor, got {weight.dim()}D instead")
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multi_margin_loss(
            input, target, p=self.p, margin=self.margin, weight=self.weight, reduction=self.reduction
        )


class MultiLabelMarginLoss(_Loss):
    """Hinge loss of each label against every other class.

    Shape: (N, C), (N, C) of labels that end at the first -1 -> (), or (N) with ``reduction="none"``; or all without N.

    Example:
        >>> labels = torch.tensor([[3, 0, -1, 1]])
        >>> nn.MultiLabelMarginLoss()(torch.tensor([[0.1, 0.2, 0.4, 0.8]]), labels)
        tensor(0.8500)

    Computes: `nn.functional.multilabel_margin_loss`
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of the sigmoid, as a mean over the classes.

    Args:
        weight: (C): a factor of each class.

    Shape: (N, C), (N, C) of zeros and ones -> (), or (N) with ``reduction="none"``.

    Example:
        >>> nn.MultiLabelSoftMarginLoss()(torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.0]]))
        tensor(0.2201)

    Computes: `nn.functional.multilabel_soft_margin_loss`
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target input)), targets being 1 and -1.

    Example:
        >>> nn.SoftMarginLoss()(torch.tensor([2.0, -1.0]), torch.tensor([1.0, -1.0]))
        tensor(0.2201)

    Computes: `nn.functional.soft_margin_loss`
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """max(0, distance of anchor and positive - distance of anchor and negative + margin).

    Args:
        p: the exponent of the norm that is the distance.
        eps: is added to every difference.

    Shape: anchor (N, D), positive (N, D), negative (N, D) -> (), or (N) with ``reduction="none"``; or all without N.

    Example:
        >>> anchor, near, far = torch.zeros(1, 2), torch.ones(1, 2), torch.full((1, 2), 1.5)
        >>> nn.TripletMarginLoss()(anchor, near, far)
        tensor(0.2929)

    Computes: `nn.functional.triplet_margin_loss`
    """

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
        size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: expected margin to be greater than 0, got {margin} instead")
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_loss(
            anchor, positive, negative, margin=self.margin, p=self.p, eps=self.eps, swap=self.swap,
            reduction=self.reduction,
        )  # fmt: skip


class TripletMarginWithDistanceLoss(_Loss):
    """`TripletMarginLoss` with any function of two tensors as distance.

    Args:
        distance_function: takes two tensors and gives their distances; `PairwiseDistance` by default.

    Shape: anchor (N, *), positive (N, *), negative (N, *) -> (), or what the distance has with ``reduction="none"``.

    Example:
        >>> loss = nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: 1 - F.cosine_similarity(x, y))
        >>> loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]]))
        tensor(0.2929)

    Computes: `nn.functional.triplet_margin_with_distance_loss`
    """

    def __init__(
        self, *, distance_function: Callable[[Any, Any], Any] | None = None, margin: float = 1.0, swap: bool = False,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueError(
                f"TripletMarginWithDistanceLoss: expected margin to be greater than 0, got {margin} instead"
            )
        self.distance_function: Any = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function, margin=self.margin, swap=self.swap,
            reduction=self.reduction,
        )  # fmt: skip


class GaussianNLLLoss(_Loss):
    """Negative log likelihood of a normal distribution with mean and variance given.

    Args:
        full: add the constant log(2 pi) / 2.
        eps: variances count as at least this.

    Shape: mean (*), target (*), variance (*) or with a last dimension of 1 -> (), or (*) with ``reduction="none"``.

    Example:
        >>> nn.GaussianNLLLoss()(torch.tensor([0.0]), torch.tensor([1.0]), torch.tensor([2.0]))
        tensor(0.5966)

    Computes: `nn.functional.gaussian_nll_loss`
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        """The loss."""
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


class PoissonNLLLoss(_Loss):
    """Negative log likelihood of a Poisson distribution with the rate, or its logarithm, given.

    Args:
        log_input: the input is the rate's logarithm.
        full: add Stirling's approximation of log(target!).
        eps: is added to the rate, where no logarithm is given.

    Example:
        >>> nn.PoissonNLLLoss()(torch.tensor([0.0]), torch.tensor([2.0]))
        tensor(1.)

    Computes: `nn.functional.poisson_nll_loss`
    """

    def __init__(
        self, log_input: bool = True, full: bool = False, size_average: bool | None = None, eps: float = 1e-8,
        reduce: bool | None = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.poisson_nll_loss(
            log_input, target, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )


class CTCLoss(_Loss):
    """Connectionist temporal classification: how likely a path through time is to spell the labels
    (https://www.cs.toronto.edu/~graves/icml_2006.pdf).

    Args:
        zero_infinity: make infinite losses (labels longer than the input) and their gradients zero.

    Shape: log-probabilities (T, N, C), labels (N, S), their lengths (N), (N) -> (), or (N) with ``reduction="none"``.

    Example:
        >>> log_probabilities = torch.zeros(4, 1, 3).log_softmax(-1)
        >>> nn.CTCLoss()(log_probabilities, torch.tensor([[1, 2]]), torch.tensor([4]), torch.tensor([2]))
        tensor(0.8432)

    Computes: `nn.functional.ctc_loss`
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor | Sequence[int],
        target_lengths: Tensor | Sequence[int],
    ) -> Tensor:  # fmt: skip
        """The loss."""
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


class LinearCrossEntropyLoss(_WeightedLoss):
    """`CrossEntropyLoss` of a linear layer of its own, whose scores need not exist at once.

    Args:
        num_classes: C.
        out_features: dimensions that the layer's result has after C.
        bias: whether the layer adds one.
        weight: (C): a factor of each class.
        options: how to go through the batch in pieces.

    Shape: (N, in_features), (N, *out_features) of class numbers -> (), or the target's shape with ``reduction="none"``.

    Raises:
        RuntimeError: for a weight that is not one for each class, and a label smoothing outside [0, 1].

    Example:
        >>> loss = nn.LinearCrossEntropyLoss(8, 3)
        >>> loss(torch.ones(4, 8), torch.tensor([0, 1, 2, 0])).shape
        torch.Size([])

    Computes: `nn.functional.linear_cross_entropy`
    """

    def __init__(
        self, in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (), bias: bool = False,
        device: DeviceLike = None, dtype: dtype | None = None, reduction: str = "mean", weight: Tensor | None = None,
        ignore_index: int | None = None, label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:  # fmt: skip
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}")
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        super().__init__(weight, reduction=reduction)
        self.num_classes = num_classes
        self.out_features = out_features
        self.linear = Linear(in_features, num_classes * math.prod(out_features), bias=bias, device=device, dtype=dtype)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        weight, bias = self.linear.weight, self.linear.bias
        if self.out_features:
            shape = (self.num_classes, *self.out_features)
            weight = weight.reshape(*shape, -1)
            bias = None if bias is None else bias.reshape(shape)
        return F.linear_cross_entropy(
            input, weight, target, linear_bias=bias, weight=self.weight, reduction=self.reduction,
            ignore_index=self.ignore_index, label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, "
            f"bias={self.linear.bias is not None}, reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )

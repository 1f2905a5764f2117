"""Dropout.

Source: https://docs.pytorch.org/docs/stable/nn.html#dropout-layers
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.process.config import in_transformation
from jaxnn.core.random import generator as random
from jaxnn.ops.random.masks import traced_keys

from . import functional as F
from .module import Module
from .registered import own_dict

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]

#: In which epoch of PyTorch's generator a module's stream was seeded, for streams that no user gave.
_epochs: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


class DrawsMasks(Module):
    """What draws dropout masks.

    Masks come from PyTorch's generator. Inside a JAX transformation that is impossible: there they come from an
    `nnx.RngStream`, the attribute ``rngs``, which the module gets when Flax first takes it apart.
    """

    def _draws(self) -> bool:
        """Whether a call may ever draw; a module that never does gets no stream."""
        return True

    def _graph_node_flatten(self) -> Any:
        if self.training and not in_transformation() and self._draws():
            self._seed_stream()
        return super()._graph_node_flatten()

    def _take_stream(self, rngs: Any) -> None:
        """Draw masks from a stream of its own out of those that were given when the module was made."""
        if not self._draws() or "rngs" in own_dict(self):
            return
        stream = rngs
        if isinstance(rngs, nnx.Rngs):  # which may hold streams for other things only
            stream = next((rngs[name] for name in ("dropout", "default") if name in rngs), None)
        if stream is not None:
            own_dict(self)["rngs"] = stream.fork()

    def _seed_stream(self) -> None:
        """Make the stream, or start it anew after a `manual_seed`; PyTorch's own stream is left alone."""
        generator = random.default_generator
        held = own_dict(self).get("rngs")
        if held is not None and _epochs.get(self, generator.epoch) == generator.epoch:
            return  # a user's, or up to date
        key = jax.random.key(generator.fork() % 2**32)
        if held is None:
            own_dict(self)["rngs"] = nnx.RngStream(key, tag="dropout")
        else:
            held.key.set_value(key)
            held.count.set_value(jax.numpy.zeros((), np.uint32))
        _epochs[self] = generator.epoch

    def __getstate__(self) -> dict[str, Any]:
        kept = super().__getstate__()
        kept.pop("rngs", None)  # JAX's keys can't be pickled; a copy gets a stream of its own
        return kept

    def _with_keys(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a call that may draw masks."""
        if self.training and "rngs" in own_dict(self) and in_transformation():
            with traced_keys(own_dict(self)["rngs"]):
                return function(*args)
        return function(*args)


class _DropoutNd(DrawsMasks):
    """Nothing happens outside the training mode.

    Args:
        p: the probability of a zero; what stays is scaled by 1 / (1 - p).
        rngs: where keys come from inside JAX transformations.

    Raises:
        ValueError: for a probability outside [0, 1].
    """

    _function: str

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rngs: nnx.Rngs | nnx.RngStream | None = None) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace
        if rngs is not None:
            self.rngs = rngs.dropout.fork() if isinstance(rngs, nnx.Rngs) else rngs

    def _draws(self) -> bool:
        return self.p > 0

    def forward(self, input: Tensor) -> Tensor:
        """The input, in training with some elements zero and the others scaled."""
        return self._with_keys(getattr(F, self._function), input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Elements set to zero with probability p in training (https://arxiv.org/abs/1207.0580).

    Shape: (*) -> (*).

    Example:
        >>> layer = nn.Dropout(0.5)
        >>> sorted(set(layer(torch.ones(100)).tolist()))
        [0.0, 2.0]
        >>> layer.eval()(torch.ones(3))
        tensor([1., 1., 1.])

    Computes: `nn.functional.dropout`
    """

    _function = "dropout"


class Dropout1d(_DropoutNd):
    """Whole channels set to zero with probability p in training.

    Shape: (N, C, L) or (C, L), the same in the result.

    Example:
        >>> nn.Dropout1d(1.0)(torch.ones(1, 2, 3))
        tensor([[[0., 0., 0.],
                 [0., 0., 0.]]])

    Computes: `nn.functional.dropout1d`
    """

    _function = "dropout1d"


class Dropout2d(_DropoutNd):
    """Whole channels set to zero with probability p in training (https://arxiv.org/abs/1411.4280).

    Shape: (N, C, H, W), the same in the result.

    Example:
        >>> layer = nn.Dropout2d(0.2).eval()
        >>> layer(torch.ones(1, 1, 2, 2))
        tensor([[[[1., 1.],
                  [1., 1.]]]])

    Computes: `nn.functional.dropout2d`
    """

    _function = "dropout2d"


class Dropout3d(_DropoutNd):
    """Whole channels set to zero with probability p in training.

    Shape: (N, C, D, H, W) or (C, D, H, W), the same in the result.

    Example:
        >>> nn.Dropout3d()(torch.ones(1, 2, 2, 2, 2)).shape
        torch.Size([1, 2, 2, 2, 2])

    Computes: `nn.functional.dropout3d`
    """

    _function = "dropout3d"


class AlphaDropout(_DropoutNd):
    """Dropout that keeps mean 0 and variance 1 of inputs that `SELU` made (https://arxiv.org/abs/1706.02515).

    Args:
        p: the probability of the value that large negative inputs of `SELU` approach.

    Shape: (*) -> (*).

    Example:
        >>> nn.AlphaDropout().eval()(torch.ones(3))
        tensor([1., 1., 1.])

    Computes: `nn.functional.alpha_dropout`
    """

    _function = "alpha_dropout"


class FeatureAlphaDropout(_DropoutNd):
    """`AlphaDropout` of whole channels.

    Args:
        p: the probability of the value that large negative inputs of `SELU` approach.

    Shape: (N, C, *), the same in the result.

    Example:
        >>> nn.FeatureAlphaDropout()(torch.ones(2, 3, 4)).shape
        torch.Size([2, 3, 4])

    Computes: `nn.functional.feature_alpha_dropout`
    """

    _function = "feature_alpha_dropout"

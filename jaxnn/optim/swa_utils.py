"""Averages of a model's weights over a training run.

Source: https://docs.pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.device import default_placement
from jaxnn.core.memory.tensor_base import aval, host_array
from jaxnn.core.operator.arguments import Number
from jaxnn.core.operator.op import Op
from jaxnn.core.registry import replace
from jaxnn.nn import Module
from jaxnn.nn.norm import _BatchNorm

from .lr_scheduler.base import LRScheduler, one_each
from .optimizer import Optimizer

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip


def _mix(averages: Any, values: Any, weight: Any) -> Any:
    return tuple((a + weight * (v - a)).astype(a.dtype) for a, v in zip(averages, values, strict=True))


def _mix_integers(averages: Any, values: Any, weight: Any) -> Any:
    """Averages of counts are truncated, as when PyTorch copies them back."""
    return tuple(
        jnp.trunc(a + weight * (v - a).astype(jnp.float32)).astype(a.dtype)
        for a, v in zip(averages, values, strict=True)
    )


_MIX = Op("weight_average", _mix, lists=True)
_MIX_INTEGERS = Op("weight_average_of_integers", _mix_integers, lists=True)


def _move(averages: list[Any], values: list[Any], weight: float) -> None:
    """Move averages toward values by a share of the way: one recorded operator for each device and kind of number."""
    kinds: dict[Any, tuple[list[Any], list[Any]]] = {}
    for a, v in zip(averages, values, strict=True):
        dtype = aval(a).dtype
        op = _MIX if dtype.is_floating_point or dtype.is_complex else _MIX_INTEGERS
        own, given = kinds.setdefault((op, aval(a).placement), ([], []))
        own.append(a)
        given.append(v)
    for (op, placement), (own, given) in kinds.items():
        replace(op, (tuple(own), tuple(given), Number(float(weight))), own, placement)


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """Exponential moving average of lists of tensors, in place.

    Args:
        decay: the share of the old average, within 0 and 1.

    Raises:
        ValueError: for a decay outside [0, 1].
    """
    _check_decay(decay)

    def ema_update(ema_param_list: list[Any], current_param_list: list[Any], _: Any) -> None:
        _move(ema_param_list, current_param_list, 1 - decay)

    return ema_update


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """Plain average of lists of tensors, in place."""

    def swa_update(averaged_param_list: list[Any], current_param_list: list[Any], num_averaged: Any) -> None:
        _move(averaged_param_list, current_param_list, 1 / (int(num_averaged) + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Any]:
    """Exponential moving average of one tensor.

    Args:
        decay: the share of the old average, within 0 and 1.

    Raises:
        ValueError: for a decay outside [0, 1].
    """
    _check_decay(decay)

    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        with no_grad():
            return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[..., Any]:
    """Plain average of one tensor."""

    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        with no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model that keeps an average of its weights (https://arxiv.org/abs/1803.05407).

    Args:
        model: is copied.
        avg_fn: new average from (average, current value, number averaged), for each tensor.
        multi_avg_fn: the same in place on lists of tensors. Neither: the plain average.
        use_buffers: average the buffers too; else they are copied.

    Raises:
        AssertionError: for both functions.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = torch.optim.swa_utils.AveragedModel(model)
        >>> for value in (1.0, 2.0, 3.0):
        ...     _ = nn.init.constant_(model.weight, value)
        ...     average.update_parameters(model)
        >>> average(torch.ones(1, 1)).item()
        2.0
    """

    def __init__(
        self, model: Module, device: Any = None, avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., None] | None = None, use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        count = host_array(np.array(0, np.int64), default_placement())
        if device is not None:
            self.module = self.module.to(device)
            count = count.to(device)
        self.register_buffer("n_averaged", count)
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's."""
        return self.module(*args, **kwargs)

    def _tensors(self, model: Module) -> Iterable[Any]:
        return itertools.chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()

    def update_parameters(self, model: Module) -> None:
        """Take the model's weights of now into the average; the first time they are the average."""
        with no_grad():
            averages = [t.detach() for t in self._tensors(self.module)]
            values = [t.detach() for t in self._tensors(model)]
            values = [v.to(a.device) for a, v in zip(averages, values, strict=False)]
            averages = averages[: len(values)]
            if int(self.n_averaged) == 0:
                for a, v in zip(averages, values, strict=True):
                    a.copy_(v)
            elif self.avg_fn is not None:
                for a, v in zip(averages, values, strict=True):
                    a.copy_(self.avg_fn(a, v, self.n_averaged.to(a.device)))
            elif self.multi_avg_fn is None:
                get_swa_multi_avg_fn()(averages, values, self.n_averaged)
            else:
                self._by_kind(self.multi_avg_fn, averages, values)
            if not self.use_buffers:
                for own, other in zip(self.module.buffers(), model.buffers(), strict=True):
                    own.detach().copy_(other.detach().to(own.device))
            self.n_averaged += 1

    def _by_kind(self, function: Callable[..., None], averages: list[Any], values: list[Any]) -> None:
        """Call a function of lists for each device and type."""
        kinds: dict[Any, tuple[list[Any], list[Any]]] = {}
        for a, v in zip(averages, values, strict=True):
            own, given = kinds.setdefault((a.device, a.dtype), ([], []))
            own.append(a)
            given.append(v)
        for (device, _), (own, given) in kinds.items():
            function(own, given, self.n_averaged.to(device))


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of the model's batch norms anew, in one pass over the data.

    Args:
        loader: batches, or tuples that begin with one.
        device: where batches are moved first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.update_bn.html
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    was_training = model.training
    with no_grad():
        for m in norms:
            m.reset_running_stats()
        model.train()
        for m in norms:
            m.momentum = None
        for batch in loader:
            inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(inputs if device is None else inputs.to(device))
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Rates that go to ``swa_lr`` in ``anneal_epochs`` epochs, and stay.

    Args:
        swa_lr: one rate, or one for each group.
        anneal_epochs: how many epochs.
        anneal_strategy: "cos" or "linear".

    Raises:
        ValueError: for an unknown strategy, a negative number of epochs, another number of rates than of groups.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> scheduler = torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.1, anneal_epochs=2, anneal_strategy="linear")
        >>> rates = []
        >>> for _ in range(4):
        ...     rates.append(round(scheduler.get_last_lr()[0], 4))
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [1.0, 0.55, 0.1, 0.1]
    """

    def __init__(
        self, optimizer: Optimizer, swa_lr: float | list[float], anneal_epochs: int = 10, anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        for rate, group in zip(one_each("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """The share of ``swa_lr`` after a share of the epochs."""
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def _share(self, step: int) -> float:
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))

    def get_lr(self) -> list[Any]:
        """The next rates, from the groups' own."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        found = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            found.append(goal * now + start * (1 - now))
        return found

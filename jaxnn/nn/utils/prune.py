"""Pruning: a mask that is multiplied into a parameter before every forward.

Args:
    amount: how many to prune: a number, or a share within 0 and 1.
    name: of the parameter.
    n: the order of the norm.
    dim: the dimension of the channels.
    mask: zeros where to prune, of the parameter's shape.
    importance_scores: what is compared instead of the parameter.
    pruning_method: a subclass of `BasePruningMethod`.

Source: https://docs.pytorch.org/docs/stable/nn.html#utilities (torch.nn.utils.prune)
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from jaxnn.core.memory.tensor_base import aval, host_array
from jaxnn.core.random import generator as random
from jaxnn.ops.reductions.sorting import kthvalue, topk
from jaxnn.ops.shapes.join import cat

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
    "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned",
    "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip


class BasePruningMethod(ABC):
    """The base class of pruning methods, which are forward pre-hooks.

    A method gives ``PRUNING_TYPE`` ("unstructured", "structured" or "global") and `compute_mask`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.BasePruningMethod.html
    """

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for a tensor of importances; it keeps the zeros of ``default_mask``."""

    def apply_mask(self, module: Any) -> Any:
        """The parameter times its mask."""
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prune a parameter of a module; ``args`` go to the method's constructor.

        On a parameter that is pruned already, the method works on what is left.
        """
        before = [
            (key, hook) for key, hook in module._forward_pre_hooks.items()
            if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
        ]  # fmt: skip
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        for key, hook in before:
            del module._forward_pre_hooks[key]
            container = hook if isinstance(hook, PruningContainer) else PruningContainer(hook)
            container.add_pruning_method(method)
            method = container
        value = getattr(module, name)
        if importance_scores is None:
            importance_scores = value
        elif importance_scores.shape != value.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, got "
                f"{importance_scores.shape} vs {value.shape}"
            )
        first = not before
        if first:
            module.register_parameter(name + "_orig", value)
            del module._parameters[name]
            mask = value.new_ones(value.shape).detach()
        else:
            mask = getattr(module, name + "_mask").detach().clone()
        try:
            module.register_buffer(name + "_mask", method.compute_mask(importance_scores.detach(), default_mask=mask))
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if first:
                original = getattr(module, name + "_orig")
                module.__dict__.pop(name, None)
                module.register_parameter(name, original)
                del module._parameters[name + "_orig"]
            raise
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """A pruned version of a tensor.

        Raises:
            AssertionError: for importances of another shape.
        """
        if importance_scores is None:
            importance_scores = t
        elif importance_scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        if default_mask is None:
            default_mask = t.new_ones(t.shape)
        return t * self.compute_mask(importance_scores, default_mask=default_mask)

    def remove(self, module: Any) -> None:
        """Make the pruned value the parameter; the zeros stay, the mask goes.

        Raises:
            AssertionError: for a parameter that is not pruned.
        """
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        value = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters[name + "_orig"]
        original.data = value.data
        del module._parameters[name + "_orig"]
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Several pruning methods of one parameter; each works on what those before it left.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.PruningContainer.html
    """

    _tensor_name: Any = None

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1 and not isinstance(args[0], Iterable):
            self._tensor_name = args[0]._tensor_name
        elif args:
            args = tuple(args[0]) if len(args) == 1 else args
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Append a method (None: nothing).

        Raises:
            TypeError: for anything else; ValueError: for a method of another parameter.
        """
        if method is None:
            return
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The last method's mask on what ``default_mask`` leaves."""
        method = self._pruning_methods[-1]
        if method.PRUNING_TYPE == "unstructured":
            left: Any = default_mask == 1
        elif method.PRUNING_TYPE == "structured":
            if not hasattr(method, "dim"):
                raise AttributeError(
                    'Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.'
                )
            ndim = len(t.shape)
            dim = method.dim if method.dim >= 0 else method.dim + ndim
            if dim < 0 or dim >= ndim:
                raise IndexError(f"Index is out of bounds for tensor with dimensions {ndim}")
            others = [d for d in range(ndim) if d != dim]
            kept = default_mask.sum(dim=others) != 0 if others else default_mask != 0
            left = tuple(kept if d == dim else slice(None) for d in range(ndim))
        elif method.PRUNING_TYPE == "global":
            left = tuple(slice(None) for _ in t.shape)
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        mask = default_mask.clone()
        mask[left] = method.compute_mask(t[left], default_mask=default_mask[left]).to(dtype=mask.dtype)
        return mask


class Identity(BasePruningMethod):
    """A mask of ones: nothing is pruned, but the parameter has the form of a pruned one."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask as it is."""
        return default_mask


class _ByAmount(BasePruningMethod):
    """Methods that are told how much to prune: a number of units, or a fraction of them."""

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def _count(self, size: int) -> int:
        count = int(self.amount) if isinstance(self.amount, numbers.Integral) else round(self.amount * size)
        if count > size:
            raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={size}")
        return count


class RandomUnstructured(_ByAmount):
    """Prunes units at random.

    Args:
        amount: their number, or a fraction between 0 and 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.RandomUnstructured.html
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the units with the largest random numbers."""
        mask = default_mask.clone()
        count = self._count(t.nelement())
        if count:
            drawn = random.default_generator.rand((t.nelement(),), aval(t).np)
            mask.view(-1)[topk(host_array(drawn, aval(t).placement), k=count).indices] = 0
        return mask


class L1Unstructured(_ByAmount):
    """Prunes the units of least absolute value.

    Args:
        amount: their number, or a fraction between 0 and 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.L1Unstructured.html
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the least units."""
        mask = default_mask.clone()
        count = self._count(t.nelement())
        if count:
            mask.view(-1)[topk(t.abs().reshape(-1), k=count, largest=False).indices] = 0
        return mask


class RandomStructured(_ByAmount):
    """Prunes channels along a dimension at random.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.RandomStructured.html
    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the channels with the least random numbers."""
        _check_structured(t, self.dim)
        size = t.shape[self.dim]
        count = self._count(size)
        if not count:
            return default_mask
        drawn = host_array(random.default_generator.rand((size,)), aval(t).placement)
        kept = drawn > kthvalue(drawn, k=count).values
        return default_mask * _along(t, self.dim, kept)


class LnStructured(_ByAmount):
    """Prunes the channels along a dimension that have the least norm.

    Args:
        n: the order of the norm.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.LnStructured.html
    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the channels of least norm."""
        _check_structured(t, self.dim)
        size = t.shape[self.dim]
        count = self._count(size)
        if not count:
            return default_mask
        dim = self.dim % t.dim()
        others = [d for d in range(t.dim()) if d != dim]
        norms = t.norm(p=self.n, dim=others)
        kept = norms.new_zeros(norms.shape)
        kept[topk(norms, k=size - count).indices] = 1
        return default_mask * _along(t, self.dim, kept)


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask given."""
        return default_mask * self.mask.to(dtype=default_mask.dtype)


def _along(t: Any, dim: int, kept: Any) -> Any:
    """A mask of channels as one of a tensor's shape."""
    shape = [1] * t.dim()
    shape[dim] = -1
    return kept.to(dtype=t.dtype).reshape(shape).expand(t.shape)


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if not (int(amount) >= 0 if isinstance(amount, numbers.Integral) else 0.0 <= float(amount) <= 1.0):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _check_structured(t: Any, dim: int) -> None:
    if t.dim() <= 1:
        raise ValueError(
            f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape} with "
            f"{t.dim()} dims"
        )
    if dim >= t.dim():
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")
    if dim < -t.dim():
        raise IndexError("tuple index out of range")


# --- functions


def identity(module: Any, name: str) -> Any:
    """Give a parameter the form of a pruned one without pruning it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """Prune units of a parameter at random: a number of them, or a fraction.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_unstructured.html
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:
    """Prune the units of a parameter that have the least absolute value (or importance).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.l1_unstructured.html
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """Prune channels of a parameter along a dimension at random.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_structured.html
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Any:
    """Prune the channels of a parameter along a dimension that have the least norm of order ``n``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.ln_structured.html
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Prune a parameter by a mask.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.custom_from_mask.html
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Any, pruning_method: type, importance_scores: dict[Any, Any] | None = None, **kwargs: Any
) -> None:
    """Prune several parameters, given as (module, name) pairs, as if they were one.

    Raises:
        TypeError: for what is no iterable of pairs, or a method that is not unstructured.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    scores_of = importance_scores or {}
    pairs = list(parameters)
    values = [getattr(module, name) for module, name in pairs]
    scores = [scores_of.get(pair, value).detach().reshape(-1) for pair, value in zip(pairs, values, strict=True)]
    masks = [
        getattr(module, name + "_mask", value.new_ones(value.shape).detach()).reshape(-1)
        for (module, name), value in zip(pairs, values, strict=True)
    ]
    container = PruningContainer()
    container._tensor_name = "temp"
    method: Any = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    container.add_pruning_method(method)
    mask = container.compute_mask(cat(scores), cat(masks))
    start = 0
    for (module, name), value in zip(pairs, values, strict=True):
        stop = start + value.numel()
        custom_from_mask(module, name, mask=mask[start:stop].view(value.shape))
        start = stop


def remove(module: Any, name: str) -> Any:
    """Undo the pruning of a parameter, whose zeros stay.

    Raises:
        ValueError: for a parameter that is not pruned.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.remove.html
    """
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Any) -> bool:
    """Whether a module or one below it has a pruned parameter.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.is_pruned.html
    """
    return any(
        isinstance(hook, BasePruningMethod) for layer in module.modules() for hook in layer._forward_pre_hooks.values()
    )

"""Sizes that an exported program leaves open: `Dim`, and what ``dynamic_shapes`` says of each tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.utils._pytree import SequenceKey, keystr, tree_flatten_with_path

__all__ = ["Derived", "Dim", "Hint", "Size", "UserError", "dims", "expressions", "named_sizes"]


class UserError(RuntimeError):
    """What can't be exported as it was asked for."""


class Hint:
    """What a size is to be: AUTO and DYNAMIC are open, STATIC is the example's."""

    def __init__(self, kind: str) -> None:
        self.type = kind

    def __repr__(self) -> str:
        return f"DimHint({self.type})"


class Derived:
    """A whole multiple of a `Dim`, and a number more: ``2 * batch + 1``."""

    def __init__(self, root: Dim, factor: int, more: int) -> None:
        self.root, self.factor, self.more = root, factor, more

    @property
    def __name__(self) -> str:  # type: ignore[override]  # as a class has one
        product = self.root.__name__ if self.factor == 1 else f"{self.factor}*{self.root.__name__}"
        return f"{product} {'+-'[self.more < 0]} {abs(self.more)}" if self.more else product

    def _whole(self, other: Any, what: str) -> int:
        if type(other) is not int:
            raise NotImplementedError(f"Attempted to {what} {self.__name__} by {other}, where an integer was expected.")
        return other

    def __add__(self, other: int) -> Any:
        return Derived(self.root, self.factor, self.more + self._whole(other, "add"))

    __radd__ = __add__

    def __sub__(self, other: int) -> Any:
        return Derived(self.root, self.factor, self.more - self._whole(other, "subtract"))

    def __mul__(self, other: int) -> Any:
        by = self._whole(other, "multiply")
        if by <= 0:
            raise NotImplementedError(f"Attempted to multiply {self.__name__} by {other}, where a positive integer was expected.")
        return Derived(self.root, self.factor * by, self.more * by)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return self.__name__


class Dim(Derived):
    """An open size. Sizes that carry the same name are equal.

    Args:
        name: an identifier.
        min, max: the sizes that the program is for, both included.

    Raises:
        AssertionError: for bounds that no size fits, or a name that is no identifier.

    Example:
        >>> batch = jaxnn.export.Dim("batch", max=64)
        >>> program = jaxnn.export.export(nn.Linear(3, 2), (jaxnn.ones(4, 3),), dynamic_shapes={"input": {0: batch}})
        >>> program.module()(jaxnn.ones(7, 3)).shape
        torch.Size([7, 2])
    """

    AUTO, DYNAMIC, STATIC = Hint("AUTO"), Hint("DYNAMIC"), Hint("STATIC")
    __name__ = ""

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None) -> None:
        if min is not None and max is not None and min > max:
            raise AssertionError(f"Cannot create Dim with inconsistent min={min}, max={max}")
        if not name.isidentifier():
            raise AssertionError(f"Dim name must be a valid identifier, got {name}")
        super().__init__(self, 1, 0)
        self.__name__ = name
        self.min, self.max = 0 if min is None else min, max

    def __repr__(self) -> str:
        bounds = [f"min={self.min}"] * (self.min != 2) + ([] if self.max is None else [f"max={self.max}"])
        return f"Dim({', '.join([repr(self.__name__), *bounds])})"


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:
    """Several `Dim` of the same bounds.

    Args:
        names: one for each.
    """
    return tuple(Dim(name, min=min, max=max) for name in names)


class Size(NamedTuple):
    """An open size of one tensor: which, and what is said of it."""

    leaf: int
    dim: int
    what: Any  # a `Derived` or a `Hint`


def named_sizes(args: dict[str, Any], dynamic_shapes: Any) -> tuple[list[str], list[Size]]:
    """The leaves of arguments, by name, and the sizes among them that are open.

    Args:
        args: the arguments by the names of forward's parameters.
        dynamic_shapes: a dictionary by these names, or a sequence in their order, of what has the structure of each argument
            with, for a tensor, a dictionary by dimension or a sequence of sizes; None for what is fixed.

    Raises:
        UserError: the structures differ, or a number is not the size that the example has.
    """
    found = tree_flatten_with_path(list(args.values()))[0]
    keys = list(args)
    names = [keys[path[0].idx] + keystr(path[1:]) for path, _ in found]
    if dynamic_shapes is None:
        return names, []
    if isinstance(dynamic_shapes, dict):
        if set(dynamic_shapes) != set(keys):
            raise UserError(
                f"When `dynamic_shapes` is specified as a dict, its top-level keys must be the arg names {keys} of `inputs`, but "
                f"here they are {list(dynamic_shapes)}. Alternatively, you could also ignore arg names entirely and specify "
                "`dynamic_shapes` as a list/tuple matching `inputs`."
            )
        said = [dynamic_shapes[k] for k in keys]
    else:
        said = list(dynamic_shapes)
        if len(said) != len(keys):
            raise UserError(
                f"Detected mismatch between the structure of `inputs` and `dynamic_shapes`: `inputs` has {len(keys)} elements, "
                f"but `dynamic_shapes` has {len(said)} elements"
            )
    sizes: list[Size] = []
    for k, (path, leaf) in enumerate(found):
        shape = _at(said[path[0].idx], path[1:], names[k])
        if isinstance(leaf, TensorBase):
            sizes += _of_tensor(k, names[k], leaf, shape)
        elif shape is not None:
            raise UserError(f"Cannot associate shape {shape} specified at `dynamic_shapes` to non-tensor {names[k]}")
    return names, sizes


def _at(said: Any, path: Any, name: str) -> Any:
    for key in path:
        if said is None:
            return None
        try:
            said = said[key.idx] if isinstance(key, SequenceKey) else said[key.key] if hasattr(key, "key") else getattr(said, key.name)
        except (AttributeError, LookupError, TypeError):
            raise UserError(
                f"Detected mismatch between the structure of `inputs` and `dynamic_shapes`: there is none for {name}"
            ) from None
    return said


def _of_tensor(leaf: int, name: str, tensor: Any, said: Any) -> Iterable[Size]:
    if said is None:
        return
    if isinstance(said, dict):
        entries = list(said.items())
    elif isinstance(said, (tuple, list)):
        if len(said) != tensor.ndim:
            raise UserError(f"Expected dynamic shape spec {said} at {name} to have the same length as the tensor's shape {tensor.shape}")
        entries = list(enumerate(said))
    else:
        raise UserError(f"Unexpected dynamic_shape {said} of tensor {name}, try None instead")
    for dim, what in entries:
        if type(dim) is not int or not 0 <= dim < tensor.ndim:
            raise UserError(f"Unexpected dimension {dim} in the dynamic shape {said} of tensor {name}")
        if what is None or what is Dim.STATIC:
            continue
        if type(what) is int:
            if what != tensor.shape[dim]:
                raise UserError(
                    f"Static shape constraint of {what} does not match input size of {tensor.shape[dim]}, for {name}.size()[{dim}]"
                )
            continue
        if not isinstance(what, (Derived, Hint)):
            raise UserError(f"Unexpected dimension mapped to index {dim} in the dynamic shape {said} of tensor {name}: {what}")
        yield Size(leaf, dim, what)


def expressions(
    sizes: Iterable[Size], hint: Callable[[Size], str | None], least: int
) -> tuple[dict[tuple[int, int], str], list[str], dict[str, tuple[int, int | None]]]:
    """By leaf and dimension the size as JAX reads it; what JAX is to know of the names; and their bounds.

    Args:
        hint: gives the name of a size that has only a `Hint`, None for the example's size.
        least: what open sizes are at least, whatever is said of them.
    """
    found: dict[tuple[int, int], str] = {}
    bounds: dict[str, tuple[int, int | None]] = {}
    for size in sizes:
        if isinstance(size.what, Hint):
            name = hint(size)
            if name is not None:
                found[size.leaf, size.dim] = name
                bounds[name] = least, None
            continue
        root = size.what.root
        found[size.leaf, size.dim] = size.what.__name__
        # A program that is asked for from 2 on is one for 1 too, as PyTorch's is.
        said = max(root.min if root.min > 2 else 0, least), root.max
        if bounds.setdefault(root.__name__, said) != said:
            raise UserError(f"Found different definitions of {root.__name__} in the given dynamic shapes")
    constraints = [f"{n} >= {low}" for n, (low, _) in bounds.items() if low > 1]
    constraints += [f"{n} <= {high}" for n, (_, high) in bounds.items() if high is not None]
    return found, constraints, bounds

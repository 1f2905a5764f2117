"""`vmap`, on `jax.vmap`.

The function runs once on tensors without the mapped dimension, operator by operator, inside JAX's transformation.
Gradients of the result go through one more `vmap`, of the function's vector-Jacobian product.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.core.gradient import backward
from jaxnn.core.gradient.function import Function
from jaxnn.core.gradient.modes import enable_grad
from jaxnn.core.memory.cell import Cell
from jaxnn.core.memory.tensor_base import TensorBase, alias, aval
from jaxnn.core.process.config import state, x64
from jaxnn.core.random import generator as random
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value
from jaxnn.ops.random.masks import traced_keys
from jaxnn.ops.shapes.join import cat
from jaxnn.support.gates import captured, closed, gated
from jaxnn.support.trees import broadcast_prefix, flatten, form, unflatten

from .reverse import Level, start_of_graph

__all__ = ["vmap"]

_RANDOM = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
    "randomness flags on vmap or perform the randomness operation out of vmap"
)


class _Keys:
    """JAX keys for masks drawn inside: none, the same for all lanes, or different ones. A second run gives the same."""

    def __init__(self, randomness: str) -> None:
        self.randomness = randomness
        self.seed: int | None = None

    def provider(self, lane: Any) -> Callable[[], Any]:
        """What `traced_keys` asks, for one lane."""
        count = 0

        def key() -> Any:
            nonlocal count
            if self.randomness == "error":
                raise RuntimeError(_RANDOM)
            if self.seed is None:
                self.seed = int(random.default_generator.randint(0, 2**31, (1,), np.int64)[0])
            count += 1
            with x64(False):
                made = jax.random.fold_in(jax.random.key(self.seed), count)
                return made if self.randomness == "same" else jax.random.fold_in(made, lane)

        return key


class _Mapping:
    """One call: a function on a flat list of tensors, where each is mapped (None: nowhere), and over how many lanes."""

    def __init__(self, f: Callable[..., Any], dims: list[int | None], size: int, keys: _Keys) -> None:
        self.f = f
        self.dims = dims
        self.size = size
        self.keys = keys
        self.outside: list[Any] = []

    def run(self, tensors: list[Any]) -> list[Any]:
        """The results as arrays, lanes first. Notes the leaves that the function used from outside."""
        mapped = [t for t, d in zip(tensors, self.dims, strict=True) if d is not None]
        values = [escaped_value(t) for t in mapped]
        placements = [aval(t).placement for t in mapped]

        def lane(number: Any, values: list[Any]) -> list[Any]:
            given = iter([tensor_of(v, p) for v, p in zip(values, placements, strict=True)])
            inputs = [t if d is None else next(given) for t, d in zip(tensors, self.dims, strict=True)]
            with traced_keys(self.keys.provider(number)):
                made = self.f(*inputs)
            self.outside, _ = captured(made)
            return [escaped_value(t) for t in made]

        axes = [d for d in self.dims if d is not None]
        with x64(True):
            try:
                return jax.vmap(lane, in_axes=(0, axes), axis_size=self.size)(
                    np.arange(self.size, dtype=np.uint32), values
                )
            except jax.errors.TracerBoolConversionError as error:
                raise RuntimeError(
                    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't "
                    "support that yet, please file an issue at https://github.com/pytorch/pytorch/issues ."
                ) from error
            except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
                raise RuntimeError(
                    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on "
                    "a Tensor, please try to rewrite what you're doing with other operations."
                ) from error


class _Vmapped(Function):
    """The node of a result of `vmap`; its backward is `vmap` of the vector-Jacobian product."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, mapping: _Mapping, arrays: list[Any], count: int, *tensors: Any) -> Any:
        """Take the results that are computed already."""
        ctx.mapping = mapping
        ctx.count = count
        ctx.save_for_backward(*tensors)
        return tuple(tensor_of(a) for a in arrays)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """The gradients of the inputs and of the leaves used from outside."""
        mapping, count = ctx.mapping, ctx.count
        tensors = ctx.saved_tensors
        explicit, outside = tensors[:count], tensors[count:]
        moving = [k for k, t in enumerate(explicit) if t.requires_grad]
        floating = [k for k, c in enumerate(cotangents) if c.is_floating_point() or c.is_complex()]

        def pulled(*given: Any) -> list[Any]:
            primals, cts = list(given[:count]), given[count:]
            ends = []
            for k in moving:
                t = primals[k]
                primals[k] = gated(t) if t.requires_grad else start_of_graph(t.detach())
                ends.append(primals[k])
            with enable_grad(), Level(ends):
                made = mapping.f(*primals)
            outputs = [made[k] for k in floating]
            pairs = [(o, c) for o, c in zip(outputs, cts, strict=True) if o.requires_grad]
            wanted = [*ends, *outside]
            if not pairs:
                return [t.new_zeros(t.shape) for t in wanted]
            with closed(wanted):
                found = backward.grad(
                    [o for o, _ in pairs], wanted, [c for _, c in pairs], create_graph=True, allow_unused=True
                )
            return [e.new_zeros(e.shape) if g is None else g for g, e in zip(found, wanted, strict=True)]

        again = _Mapping(pulled, [*mapping.dims, *(0 for _ in floating)], mapping.size, mapping.keys)
        found = _connected(again, [*explicit, *(cotangents[k] for k in floating)])
        grads: list[Any] = [None] * len(tensors)
        places = [*moving, *range(count, len(tensors))]
        for k, g in zip(places, found, strict=True):
            d = mapping.dims[k] if k < count else None
            grads[k] = g.sum(0) if d is None else g.movedim(0, d)
        return (None, None, None, *grads)


def _connected(mapping: _Mapping, tensors: list[Any]) -> list[Any]:
    """Run a mapping; its results know where their gradients go."""
    tracked = state.grad_enabled and any(t.requires_grad for t in tensors)
    # Inside, an unmapped tensor is a leaf: the graph behind it is walked outside.
    given = [
        alias(t, Cell()) if d is None and isinstance(t, TensorBase) else t
        for t, d in zip(tensors, mapping.dims, strict=True)
    ]
    arrays = mapping.run(given)
    if not state.grad_enabled or not (tracked or mapping.outside):
        return [tensor_of(a) for a in arrays]
    return list(_Vmapped.apply(mapping, arrays, len(tensors), *tensors, *mapping.outside))


def _in_dims(in_dims: Any, args: Any, name: str) -> tuple[list[Any], int]:
    """Where each argument is mapped, and the number of lanes."""
    call = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)) or isinstance(in_dims, bool):
        raise ValueError(
            f"{call}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, got: "
            f"{type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
            "function with no inputs. The latter is unsupported."
        )
    dims = broadcast_prefix(in_dims, args)
    if dims is None:
        raise ValueError(
            f"{call}: in_dims is not compatible with the structure of `inputs`. in_dims has structure {form(in_dims)} but "
            f"inputs has structure {form(args)}."
        )
    sizes = []
    made: list[Any] = []
    for leaf, d in zip(flatten(args), dims, strict=True):
        if d is not None and not isinstance(d, int):
            raise ValueError(
                f"{call}: Got in_dim={d} for an input but in_dim must be either an integer dimension or None."
            )
        if d is None:
            made.append(None)
            continue
        if not isinstance(leaf, TensorBase):
            raise ValueError(
                f"{call}: Got in_dim={d} for an input but the input is of type {type(leaf)}. We cannot vmap over non-Tensor "
                "arguments, please use None as the respective in_dim"
            )
        ndim = leaf.dim()
        if not -ndim <= d < ndim:
            raise ValueError(
                f"{call}: Got in_dim={d} for some input, but that input is a Tensor of dimensionality {ndim} so expected "
                f"in_dim to satisfy -{ndim} <= in_dim < {ndim}."
            )
        made.append(d % ndim)
        sizes.append(leaf.shape[d])
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(s != sizes[0] for s in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped "
            "dimension"
        )
    return made, sizes[0]


class _Returned:
    """What the function returned, seen from inside, and the check of ``out_dims`` against it."""

    def __init__(self, out_dims: Any, name: str) -> None:
        self.out_dims = out_dims
        self.name = name
        self.result: Any = None
        self.dims: list[Any] = []

    def take(self, result: Any) -> list[Any]:
        """The tensors of a result."""
        self.result = result
        leaves = flatten(result)
        self.dims = broadcast_prefix(self.out_dims, result)  # type: ignore[assignment]
        if self.dims is None:
            raise ValueError(
                f"vmap({self.name}, ..., out_dims={self.out_dims})(<inputs>): out_dims is not compatible with the structure "
                f"of `outputs`. out_dims has structure {form(self.out_dims)} but outputs has structure {form(result)}."
            )
        for leaf, d in zip(leaves, self.dims, strict=True):
            if not isinstance(leaf, TensorBase) and d is not None:
                raise ValueError(
                    f"vmap({self.name}, ...): `{self.name}` must only return Tensors, got type {type(leaf)}. Did you mean to "
                    "set out_dims= to None for output?"
                )
        return [leaf for leaf in leaves if isinstance(leaf, TensorBase)]

    def put(self, tensors: list[Any]) -> Any:
        """The result with lanes where ``out_dims`` wants them."""
        found = iter(tensors)
        made = []
        for leaf, d in zip(flatten(self.result), self.dims, strict=True):
            if not isinstance(leaf, TensorBase):
                made.append(leaf)
                continue
            t = next(found)
            made.append(t[0] if d is None else t if d == 0 else t.movedim(0, d))
        return unflatten(self.result, made)


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """A function that applies ``func`` along a dimension of its inputs at once.

    Args:
        in_dims: the dimension that is mapped, one for all inputs or a nest like them; None: the same for all lanes.
        out_dims: where the dimension goes in the outputs.
        randomness: "error", "same" or "different": whether the lanes may draw random masks, and which.
        chunk_size: so many lanes at a time.

    Raises:
        ValueError: for dimensions that do not fit, or outputs that are no tensors.
        RuntimeError: where ``func`` needs a value (``item()``, ``if``), or draws while ``randomness="error"``.

    Draws inside come from JAX's generator, seeded by the default one: they are not PyTorch's numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.vmap.html
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", None) or repr(func)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        dims, size = _in_dims(in_dims, args, name)
        leaves = flatten(args)
        places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, TensorBase)]
        returned = _Returned(out_dims, name)

        def flat(*tensors: Any) -> list[Any]:
            full = list(leaves)
            for k, t in zip(places, tensors, strict=True):
                full[k] = t
            return returned.take(func(*unflatten(args, full), **kwargs))

        keys = _Keys(randomness)
        used = [dims[k] for k in places]
        if chunk_size is None or size <= chunk_size:
            made = _connected(_Mapping(flat, used, size, keys), [leaves[k] for k in places])
            return returned.put(made)
        parts = []
        for start in range(0, size, chunk_size):
            stop = min(start + chunk_size, size)
            part = [
                leaves[k] if d is None else leaves[k].narrow(d, start, stop - start)
                for k, d in zip(places, used, strict=True)
            ]
            parts.append(_connected(_Mapping(flat, used, stop - start, _Keys(randomness)), part))
        return returned.put([cat(list(rows)) for rows in zip(*parts, strict=True)])

    return wrapped

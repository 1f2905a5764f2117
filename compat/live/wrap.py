"""A jaxnn model inside a PyTorch program: `as_torch_module`."""

from __future__ import annotations

import enum
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn import nn
from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.process.config import x64
from jaxnn.support.packages import needed

from ..arrays import is_torch_tensor
from ..tensors import TensorsFromTorch, TensorsToTorch
from .pure import PureFunction

__all__ = ["as_torch_module"]


def as_torch_module(model: nn.Module) -> Any:
    """A `torch.nn.Module` that computes what a jaxnn model does, forward and backward compiled by XLA.

    Its parameters and buffers are PyTorch's, with the names that they have in the model, so optimizers, ``state_dict``, hooks and
    layers of PyTorch around it work as usual. Tensors pass through DLPack, without a copy where both libraries have them on the same
    device. Dropout follows ``torch.manual_seed``, but not PyTorch's masks. Gradients of gradients raise.

    Args:
        model: it is copied in the sense that training the result leaves it as it is; ``write_back()`` of the result writes the
            present weights and buffers into it and returns it.

    Raises:
        TypeError: for what is no module of jaxnn's.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), compat.as_torch_module(jaxnn.nn.Linear(4, 2)))
        >>> net(torch.ones(5, 3)).sum().backward()
        >>> [tuple(p.grad.shape) for p in net.parameters()]
        [(4, 3), (4,), (2, 4), (2,)]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"as_torch_module takes a module of jaxnn, not {type(model).__module__}.{type(model).__qualname__}"
        )
    return _wrapper_class()(model)


class _Program:
    """The compiled forward and backward of a model in its present modes, for one structure of arguments."""

    def __init__(self, pure: PureFunction, tree: Any, statics: tuple[Any, ...]) -> None:
        self.results: Any = None  # the structure of the result, known once a call was traced

        def run(params: Any, buffers: Any, arrays: Any, key: Any) -> Any:
            given = iter(arrays)
            leaves = [next(given) if s is _ARRAY else s for s in statics]
            args, kwargs = jax.tree.unflatten(tree, leaves)
            result, after = pure.apply(params, buffers, *args, key=key, **kwargs)
            flat, tree_of_results = jax.tree.flatten(result)
            kept = [_ARRAY if hasattr(r, "dtype") else _plain(r) for r in flat]
            self.results = tree_of_results, kept
            return [jnp.asarray(r) for r in flat if hasattr(r, "dtype")], after

        def linearised(params: Any, buffers: Any, arrays: Any, key: Any, which: Any) -> Any:
            moving = {k: arrays[k] for k in which}

            def of(params: Any, moving: Any) -> Any:
                return run(params, buffers, [moving.get(k, a) for k, a in enumerate(arrays)], key)

            flat, pull, after = jax.vjp(of, params, moving, has_aux=True)
            return flat, after, pull

        self.run = jax.jit(run)
        self.linearised = jax.jit(linearised, static_argnames=("which",))


_ARRAY = object()


def _plain(value: Any) -> Any:
    """A part of a result that is no array, as it is."""
    if not isinstance(value, (bool, int, float, complex, str, bytes, enum.Enum)):
        kind = type(value).__qualname__
        raise TypeError(f"as_torch_module finds tensors in tuples, lists and dictionaries; forward returned one with a {kind}")
    return value


_pull = jax.jit(lambda pull, cotangents: pull(cotangents))


def _to_jax(t: Any) -> jax.Array:
    import torch

    t = t.detach().resolve_conj().resolve_neg().contiguous()
    with x64(True):
        if t.dtype is torch.bool:
            return jax.dlpack.from_dlpack(t.view(torch.uint8)).astype(bool)
        return jax.dlpack.from_dlpack(t)


def _to_torch(a: Any) -> Any:
    import torch

    if a.dtype == jnp.bool_:
        return torch.from_dlpack(a.astype(jnp.uint8)).to(torch.bool)
    return torch.from_dlpack(a)


@functools.cache
def _wrapper_class() -> Any:
    """The class; made when PyTorch is there."""
    needed("torch", "compat.as_torch_module", "torch")
    import torch

    class Call(torch.autograd.Function):
        """A call of the compiled program, with its backward."""

        @staticmethod
        def forward(ctx: Any, work: Any, names: Any, which: Any, *tensors: Any) -> Any:
            count = len(names)
            params = dict(zip(names, map(_to_jax, tensors[:count])))
            arrays = list(map(_to_jax, tensors[count:]))
            flat, ctx.pull = work(params, arrays, which)
            ctx.names, ctx.which, ctx.number = names, which, len(tensors)
            ctx.save_for_backward(*tensors)  # PyTorch notices when one is written to before backward
            results = tuple(_to_torch(r) for r in flat)
            ctx.mark_non_differentiable(*(r for r in results if not (r.is_floating_point() or r.is_complex())))
            ctx.kinds = [(r.shape, r.dtype) for r in results]
            return results

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *gradients: Any) -> Any:
            _ = ctx.saved_tensors
            with x64(True):
                cotangents = []
                for g, (shape, dtype) in zip(gradients, ctx.kinds):
                    if not (dtype.is_floating_point or dtype.is_complex):
                        cotangents.append(jnp.zeros(tuple(shape), jax.dtypes.float0))
                    else:
                        cotangents.append(_to_jax(g if g is not None else torch.zeros(shape, dtype=dtype)))
                of_params, of_arrays = _pull(ctx.pull, cotangents)
                jax.block_until_ready((of_params, of_arrays))
            made = [_to_torch(of_params[n]) for n in ctx.names]
            inputs = [_to_torch(of_arrays[k]) if k in of_arrays else None for k in range(ctx.number - len(ctx.names))]
            return (None, None, None, *made, *inputs)

    class JaxnnModule(torch.nn.Module):
        """A jaxnn model as a module of PyTorch's; see `as_torch_module`."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.__dict__["_model"] = model
            self.__dict__["_pure"] = {}
            self.__dict__["_programs"] = {}
            convert = TensorsToTorch()
            _mirror(self, model, convert, {})
            self.training = model.training

        def train(self, mode: bool = True) -> Any:
            """Set the training mode, the model's too."""
            self._model.train(mode)
            return super().train(mode)

        def _now(self) -> PureFunction:
            """The model as a function in the modes that this module and those below have now."""
            mine = dict(self.named_modules(remove_duplicate=False))
            for name, module in self._model.named_modules(remove_duplicate=False):
                if name in mine and module.training != mine[name].training:
                    module.training = mine[name].training
            modes = tuple(m.training for m in self._model.modules())
            if modes not in self._pure:
                self._pure[modes] = PureFunction(self._model)
            return self._pure[modes]

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            """The model's result for tensors, also in lists and dictionaries."""
            leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=is_torch_tensor)
            statics = tuple(_ARRAY if is_torch_tensor(v) else v for v in leaves)
            pure = self._now()
            how = (id(pure), tree, tuple(s if s is _ARRAY else (type(s), s) for s in statics))
            if how not in self._programs:
                self._programs[how] = _Program(pure, tree, statics)
            program = self._programs[how]
            inputs = [v for v in leaves if is_torch_tensor(v)]
            params = dict(self.named_parameters())
            buffers = dict(self.named_buffers())
            key = jax.random.key(int(torch.randint(2**31, ()))) if self.training else None
            after: dict[str, Any] = {}

            def work(arrays_by_name: Any, arrays: Any, which: Any) -> Any:
                with x64(True):
                    held = {n: _to_jax(b) for n, b in buffers.items()}
                    if which is None:
                        flat, changed = program.run(arrays_by_name, held, arrays, key)
                        pull: Any = None
                    else:
                        flat, changed, pull = program.linearised(arrays_by_name, held, arrays, key, which)
                    # The libraries share memory: what is read must be read before PyTorch goes on.
                    jax.block_until_ready((flat, changed, pull))
                after.update(changed)
                return flat, pull

            tensors = [*params.values(), *inputs]
            if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
                floating = (t.is_floating_point() or t.is_complex() for t in inputs)
                which = tuple(k for k, f in enumerate(floating) if f and inputs[k].requires_grad)
                flat = Call.apply(work, tuple(params), which, *tensors)
            else:
                by_name = {n: _to_jax(p) for n, p in params.items()}
                flat = [_to_torch(r) for r in work(by_name, [_to_jax(t) for t in inputs], None)[0]]
            with torch.no_grad():
                for name, b in buffers.items():
                    new = _to_torch(after[name])
                    if not torch.equal(b, new):
                        b.copy_(new)
            tree_of_results, kept = program.results
            found = iter(flat)
            return jax.tree.unflatten(tree_of_results, [next(found) if k is _ARRAY else k for k in kept])

        def write_back(self) -> nn.Module:
            """The jaxnn model, with the weights and buffers that this module has now."""
            convert = TensorsFromTorch()
            with no_grad():
                for ours, theirs in ((self._model.named_parameters(), self.named_parameters()),
                                     (self._model.named_buffers(), self.named_buffers())):  # fmt: skip
                    found = dict(theirs)
                    for name, t in ours:
                        t.copy_(convert(found[name].detach()))
            return self._model

        def __deepcopy__(self, memo: Any) -> Any:
            made = JaxnnModule(self.write_back().__deepcopy__({}))
            memo[id(self)] = made
            return made

        def extra_repr(self) -> str:
            return type(self._model).__name__

    return JaxnnModule


def _mirror(target: Any, module: Any, convert: Any, seen: dict[int, Any]) -> None:
    """Modules of PyTorch's with the parameters and buffers of a model, by the same names."""
    import torch

    seen[id(module)] = target
    for name, p in module._parameters.items():
        target.register_parameter(name, None if p is None else convert(p))
    for name, b in module._buffers.items():
        persistent = name not in module._non_persistent_buffers_set
        target.register_buffer(name, None if b is None else convert(b), persistent)
    for name, child in module._modules.items():
        if child is None or id(child) in seen:
            target.add_module(name, None if child is None else seen[id(child)])
            continue
        inner = torch.nn.Module()
        inner.training = child.training
        target.add_module(name, inner)
        _mirror(inner, child, convert, seen)

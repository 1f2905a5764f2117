"""Parametrizations: a tensor of a module as a function of others, which the module trains instead.

Args:
    tensor_name: of a parameter or buffer of the module.
    from_module, to_module: the modules.

Source: https://docs.pytorch.org/docs/stable/nn.html#torch.nn.utils.parametrize.register_parametrization
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.memory.tensor_base import Tensor, TensorBase
from jaxnn.nn.containers import ModuleDict, ModuleList
from jaxnn.nn.module import Module
from jaxnn.nn.parameter import Parameter

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip


class _Cache:
    """Values of parametrized tensors within `cached` blocks."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[tuple[int, str], Any] = {}


_cache = _Cache()


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Compute every parametrized tensor once within the block, at its first use.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.cached.html
    """
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values.clear()


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _name(value: Any) -> str:
    return type(value).__name__


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied in turn, and the tensor or tensors that they start from.

    These are ``original``, or ``original0``, ``original1``, ... when the last ``right_inverse`` gives several.

    Raises:
        ValueError: when the parametrizations change shape or type of the tensor, unless ``unsafe``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.ParametrizationList.html
    """

    original: Tensor
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original
        shape, dtype = original.shape, original.dtype
        new = self._inverted(original)
        self.is_tensor = isinstance(new, TensorBase)
        if self.is_tensor:
            if dtype is not new.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            if original.device != new.device:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the device.\n"
                    f"original.device: {original.device}\nright_inverse(original).device: {new.device}"
                )
            if new is not original:
                original.data = new.detach()
            self._register("original", original)
            self.ntensors = 1
        else:
            self.ntensors = len(new)
            for k, part in enumerate(new):
                self._register(f"original{k}", Parameter(part.detach(), before.requires_grad) if isinstance(before, Parameter) else part)
        if not unsafe:
            self._check_result(before, shape, dtype)

    def _inverted(self, value: Any) -> Any:
        """What the parametrizations need to start from for a tensor to come out."""
        with no_grad(), contextlib.suppress(NotImplementedError):
            for module in reversed(self):
                if hasattr(module, "right_inverse"):  # else the tensor itself is taken for the start
                    value = module.right_inverse(value)
        if isinstance(value, TensorBase):
            return value
        if not _is_sequence(value):
            raise ValueError(
                f"'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got {_name(value)}"
            )
        for k, part in enumerate(value):
            if not isinstance(part, TensorBase):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                    f"Got element {k} of the sequence with type {_name(part)}."
                )
        return value

    def _register(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value)

    def _originals(self) -> list[Any]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{k}") for k in range(self.ntensors)]

    def _check_result(self, before: Any, shape: Any, dtype: Any) -> None:
        made = self()
        if not isinstance(made, TensorBase):
            raise ValueError(f"A parametrization must return a tensor. Got {_name(made)}.")
        if made.dtype is not dtype:
            raise ValueError(
                "Registering a parametrization may not change the dtype of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized dtype: {dtype}\nparametrized dtype: {made.dtype}"
            )
        if made.shape != shape:
            raise ValueError(
                "Registering a parametrization may not change the shape of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized shape: {shape}\nparametrized shape: {made.shape}"
            )

    def right_inverse(self, value: Any) -> None:
        """Set the originals so that the parametrized tensor becomes ``value``.

        Raises:
            RuntimeError: for a parametrization without ``right_inverse``.
            ValueError: for a result that does not fit the originals.
        """
        with no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {_name(module)} does not implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                if not isinstance(value, TensorBase):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {_name(value)}")
                self._set(self.original, value, "The tensor returned by `right_inverse`", "`original`")
                return
            if not _is_sequence(value):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {_name(value)}.")
            if len(value) != self.ntensors:
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors of length "
                    f"{self.ntensors}. Got a sequence of length {len(value)}."
                )
            for k, part in enumerate(value):
                if not isinstance(part, TensorBase):
                    raise ValueError(
                        f"`right_inverse` must return a sequence of tensors. Got element {k} of type {_name(part)}"
                    )
                self._set(
                    getattr(self, f"original{k}"), part, f"Tensor {k} returned by `right_inverse`", f"`original{k}`"
                )

    @staticmethod
    def _set(target: Any, value: Any, what: str, name: str) -> None:
        if value.dtype is not target.dtype:
            raise ValueError(f"{what} has dtype {value.dtype} while {name} has dtype {target.dtype}")
        if value is not target:
            target.data = value.detach()

    def forward(self) -> Any:
        """The parametrized tensor."""
        modules = iter(self)
        value = next(modules)(*self._originals())
        for module in modules:
            value = module(value)
        return value


def _new_class(module: Module) -> None:
    """Give a module a class of its own, on which properties can stand for tensors."""
    base: Any = type(module)
    metaclass: Any = type(base)

    def refuse(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See:\n"
            "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
            "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
        )

    def copied(self: Any, memo: Any) -> Any:
        memo = {} if memo is None else memo
        if id(self) in memo:
            return memo[id(self)]
        made = memo[id(self)] = object.__new__(type(self))
        made.__setstate__(copy.deepcopy(Module.__getstate__(self), memo))
        return made

    attributes: dict[str, Any] = {
        "__getstate__": refuse,
        "__module__": __name__,
        "__qualname__": f"Parametrized{base.__name__}",
    }
    if "__deepcopy__" not in base.__dict__:
        attributes["__deepcopy__"] = copied
    module.__class__ = metaclass(f"Parametrized{base.__name__}", (base,), attributes)


def _put_property(module: Module, tensor_name: str) -> None:
    """A property that computes the tensor when read and inverts the parametrizations when written."""

    def value(self: Any) -> Any:
        if not _cache.depth:
            return self.parametrizations[tensor_name]()
        key = (id(self), tensor_name)
        if key not in _cache.values:
            _cache.values[key] = self.parametrizations[tensor_name]()
        return _cache.values[key]

    def assign(self: Any, given: Any) -> None:
        self.parametrizations[tensor_name].right_inverse(given)

    setattr(type(module), tensor_name, property(value, assign))


def _assigned(self: Any, name: str, value: Any) -> None:
    """Assignment that reaches properties, which `Module` passes over for parameters."""
    found = getattr(type(self), name, None)
    if isinstance(found, property) and found.fset is not None and is_parametrized(self, name):
        found.fset(self, value)
    else:
        Module.__setattr__(self, name, value)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make a tensor of a module the result of ``parametrization``, applied to what the module trains from now on.

    A second parametrization of the same tensor is applied after the first.

    Args:
        unsafe: the parametrization may change shape and type, and is not checked.

    Raises:
        ValueError: for a name that the module lacks, or a change of shape or type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.register_parametrization.html
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        lists: Any = module.parametrizations
        if not unsafe:
            _check_added(module, tensor_name, parametrization)
        lists[tensor_name].append(parametrization)
        lists[tensor_name].unsafe |= unsafe
    elif module._jaxnn_registered.get(tensor_name) in ("parameter", "buffer"):
        original = getattr(module, tensor_name)
        made = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _new_class(module)
            type(module).__setattr__ = _assigned  # type: ignore[assignment]
            module.parametrizations = ModuleDict()
        _put_property(module, tensor_name)
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'"
        )
    return module


def _check_added(module: Module, name: str, parametrization: Any) -> None:
    """Whether one more parametrization keeps shape and type, forwards and backwards."""
    before = getattr(module, name)
    after = parametrization(before)
    if not isinstance(after, TensorBase):
        raise ValueError(f"A parametrization must return a tensor. Got: {_name(after)}")
    _same_kind(before, after, f"module.{name}", f"parametrization(module.{name})",
               "Registering a parametrization may not change the {} of the tensor, unless the `unsafe` flag is enabled.")  # fmt: skip
    if hasattr(parametrization, "right_inverse"):
        with no_grad():
            inverse = parametrization.right_inverse(after)
        if not isinstance(inverse, TensorBase):
            raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {_name(inverse)}")
        _same_kind(before, inverse, f"module.{name}", f"parametrization.right_inverse(module.{name})",
                   "The tensor returned by parametrization.right_inverse must have the same {} as module." + name + ".")  # fmt: skip


def _same_kind(before: Any, after: Any, first: str, second: str, message: str) -> None:
    for what in ("dtype", "shape"):
        a, b = getattr(before, what), getattr(after, what)
        if a != b:
            raise ValueError(f"{message.format(what)}\n{first}.{what}: {a}\n{second}.{what}: {b}")


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one for this tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.is_parametrized.html
    """
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized tensor a plain parameter or buffer again.

    Args:
        leave_parametrized: it keeps its parametrized value; otherwise it gets back the original.

    Raises:
        ValueError: for a tensor without parametrization, or whose originals are several and shall be given back.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.remove_parametrizations.html
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    lists: Any = module.parametrizations
    found = lists[tensor_name]
    if found.is_tensor:
        original = found.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del lists[tensor_name]
    if isinstance(original, Parameter):
        module.register_parameter(tensor_name, original)
    else:
        module.register_buffer(tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before it got parametrizations.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.type_before_parametrizations.html
    """
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give a module another one's parametrizations (of one tensor, or all) and the parameters below them.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.transfer_parametrizations_and_params.html
    """
    if not is_parametrized(from_module):
        return to_module
    lists: Any = from_module.parametrizations
    wanted: Any = list(lists) if tensor_name is None else [tensor_name]
    if not isinstance(to_module, Module):
        raise AssertionError("transfer_parametrizations_and_params: to_module must be a Module")
    for name in wanted:
        source = lists[name]
        if not hasattr(to_module, name):
            first = source._originals()[0]
            setattr(to_module, name, Parameter(first.detach().clone()) if isinstance(first, Parameter) else first)
        for one in source:
            register_parametrization(to_module, name, one, unsafe=source.unsafe)
        target = to_module.parametrizations[name]
        names = ["original"] if source.is_tensor else [f"original{k}" for k in range(source.ntensors)]
        for own in names:
            target.__dict__[own] = source.__dict__[own]
    return to_module

"""`Module.state_dict` and `Module.load_state_dict`.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html
"""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from typing import Any

import jax
import ml_dtypes
import numpy as np

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.device import META
from jaxnn.core.memory.tensor_base import TensorBase, aval, check_writable_here, is_view
from jaxnn.core.process.internals import TraceContextError
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.core.record.write import put_through
from jaxnn.core.run.cut import LOCK

from .foreign import below, is_foreign_module, tensors_below
from .parameter import Parameter

__all__ = ["StateDictMethods"]

_EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if self.missing_keys or self.unexpected_keys else "<All keys matched successfully>"

    __str__ = __repr__


def _is_torch(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def foreign_tensor(value: Any) -> Any:
    """A tensor of ours for a PyTorch tensor, a numpy array or a jax array; None for anything else."""
    if isinstance(value, TensorBase):
        return value
    if isinstance(value, np.ndarray):
        return tensor_of(value.copy())
    if isinstance(value, jax.Array):
        return tensor_of(value)
    if not _is_torch(value):
        return None
    value = value.detach().cpu().contiguous()
    if str(value.dtype) == "torch.bfloat16":
        # torch.int16 comes from sys.modules: a value of torch is here, so torch is loaded; this package does not
        # import it.
        return tensor_of(value.view(sys.modules["torch"].int16).numpy().view(ml_dtypes.bfloat16).copy())
    return tensor_of(value.numpy().copy())


def _copy_into(target: Any, source: TensorBase) -> None:
    """``target.copy_(source)``: a plain parameter takes the array itself, without a program."""
    have, want = aval(source), aval(target)
    if want.placement is META:
        return
    if (
        not is_view(target)
        and have.dtype is want.dtype
        and have.placement == want.placement
        and have.shape == want.shape
    ):
        array = value_of(source)
        check_writable_here(target)
        with LOCK:
            if source._view is None:
                source._storage.buf.owned = False
            target._raw_value = array
        return
    if have.shape != want.shape or have.placement != want.placement:
        target.copy_(source)
        return
    put_through(target, source)


class StateDictMethods:
    """The part of `Module` that writes and reads its state."""

    _version: int = 1
    _jaxnn_hooks: Any
    _parameters: Any
    _buffers: Any
    _modules: Any
    _non_persistent_buffers_set: set[str]

    def get_extra_state(self) -> Any:
        """What `state_dict` should hold besides tensors; a module that has such state overrides this."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called. Please file an issue at "
            "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml to report this bug."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` gave; a module that overrides that one overrides this one too."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called. Please file an issue at "
            "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml to report this bug."
        )

    def _jaxnn_overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(StateDictMethods, method)

    def _jaxnn_persistent(self) -> dict[str, Any]:
        """Parameters, then persistent buffers, by their own names."""
        left_out = self._non_persistent_buffers_set
        found = dict(self._parameters)
        found.update((k, b) for k, b in self._buffers.items() if k not in left_out)
        return {k: v for k, v in found.items() if v is not None}

    def _jaxnn_of_flax(self) -> dict[str, Any]:
        """The tensors of the submodules that are Flax's own, by their paths."""
        children = self._modules.items()
        return {k: t for name, child in children if is_foreign_module(child) for k, t in tensors_below(child, name)}

    def _jaxnn_modules_of_ours(self) -> dict[str, Any]:
        """The submodules by their paths, those inside modules of Flax's too."""
        found: dict[str, Any] = {}
        for name, child in self._modules.items():
            if is_foreign_module(child):
                found.update((path, v) for path, _, v in below(child, name) if isinstance(v, StateDictMethods))
            elif child is not None:
                found[name] = child
        return found

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, t in self._jaxnn_persistent().items():
            destination[prefix + name] = t if keep_vars else t.detach()
        if self._jaxnn_overrides("get_extra_state"):
            destination[prefix + _EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """All parameters and persistent buffers by their paths, as tensors that share memory and have no gradients."""
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
                FutureWarning, stacklevel=2,
            )  # fmt: skip
            given: list[Any] = [destination, prefix, keep_vars]
            given[: len(args)] = args
            destination, prefix, keep_vars = given
        if destination is None:
            made: Any = OrderedDict()
            made._metadata = OrderedDict()
            destination = made
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        hooks = self._jaxnn_hooks
        if hooks is not None:
            for hook in list(hooks.state_dict_pre.values()):
                hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if is_foreign_module(child):
                for path, t in tensors_below(child, prefix + name):
                    destination[path] = t if keep_vars else t.detach()
                inner = [(path, found) for path, _, found in below(child, name) if isinstance(found, StateDictMethods)]
            else:
                inner = [] if child is None else [(name, child)]
            for path, found in inner:
                found.state_dict(destination=destination, prefix=f"{prefix}{path}.", keep_vars=keep_vars)
        if hooks is not None:
            for hook in list(hooks.state_dict.values()):
                changed = hook(self, destination, prefix, local_metadata)
                if getattr(hook, "_from_public_api", False):
                    if changed is not None:
                        raise RuntimeError("state_dict post-hook must return None")
                elif changed is not None:
                    destination = changed
        return destination

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """Load this module alone, without those below it; a layer that changed its format overrides this."""
        if self._jaxnn_hooks is not None:
            for hook in list(self._jaxnn_hooks.load_state_dict_pre.values()):
                hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own = self._jaxnn_persistent() | self._jaxnn_of_flax()
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                self._jaxnn_load_one(name, key, target, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA_STATE
        if self._jaxnn_overrides("set_extra_state"):
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if not strict:
            return
        children = self._jaxnn_modules_of_ours()
        for key in state_dict:
            if key.startswith(prefix) and key != extra:
                name = key[len(prefix) :]
                if name not in own and not any(name.startswith(f"{child}.") for child in children):
                    unexpected_keys.append(key)

    def _jaxnn_load_one(self, name: str, key: str, target: Any, value: Any, assign: bool, errors: list[str]) -> None:
        """Copy one value of a state dict into a parameter or buffer, or put it in its place."""
        source = foreign_tensor(value)
        if source is None:
            errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                f"checkpoint "
                f"but received {type(value)}"
            )
            return
        with no_grad():
            if target.dim() == 0 and tuple(source.shape) == (1,):  # how very old checkpoints hold numbers
                source = source[0]
            if source.shape != target.shape:
                errors.append(
                    f"size mismatch for {key}: copying a param with shape {source.shape} from checkpoint, the shape in "
                    f"current model is {target.shape}."
                )
                return
            try:
                if not assign:
                    if target.is_meta and not source.is_meta:
                        warnings.warn(
                            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the "
                            "current model, which is a no-op. (Did you mean to pass `assign=True` to assign items in the "
                            "state dictionary to their corresponding key in the module instead of copying them in place?)",
                            stacklevel=2,
                        )
                    _copy_into(target, source)
                    return
                if "." in name:  # in a module of Flax's
                    target.data = source.detach()
                    return
                if isinstance(target, Parameter):
                    if isinstance(source, Parameter):
                        source.requires_grad_(target.requires_grad)
                    else:
                        source = Parameter(source, requires_grad=target.requires_grad)
                setattr(self, name, source)
            except TraceContextError:
                raise
            except Exception as error:
                errors.append(
                    f'While copying the parameter named "{key}", whose dimensions in the model are {target.size()} and '
                    f"whose dimensions in the checkpoint are {source.size()}, an exception occurred : {error.args}."
                )

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy tensors of ours, PyTorch tensors or arrays into this module's parameters and buffers.

        Args:
            strict: the keys must be exactly those of `state_dict`.
            assign: put the tensors themselves in the place of the parameters and buffers, with their types and devices.

        Returns:
            The missing and the unexpected keys.

        Raises:
            RuntimeError: lists everything that does not fit.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata  # type: ignore[attr-defined]

        def load(module: Any, state: Any, prefix: str) -> None:
            local = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local["assign_to_params_buffers"] = assign
            module._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
            for name, child in module._jaxnn_modules_of_ours().items():
                inner = f"{prefix}{name}."
                load(child, {k: v for k, v in state.items() if k.startswith(inner)}, inner)
            if module._jaxnn_hooks is not None:
                keys = _IncompatibleKeys(missing, unexpected)
                for hook in list(module._jaxnn_hooks.load_state_dict_post.values()):
                    if hook(module, keys) is not None:
                        raise AssertionError(
                            "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to "
                            "return new "
                            "values, if incompatible_keys need to be modified, it should be done inplace."
                        )

        load(self, state, "")
        if strict:
            for keys, what in ((unexpected, "Unexpected"), (missing, "Missing")):
                if keys:
                    named = ", ".join(f'"{k}"' for k in keys)
                    errors.insert(0, f"{what} key(s) in state_dict: {named}. ")
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(type(self).__name__, "\n\t".join(errors))
            )
        return _IncompatibleKeys(missing, unexpected)

"""What every tensor answers itself: description, values, gradients, Python's protocols. Operators are bound from the registry.

Args:
    gradient: what arrives at this tensor; None is 1 for one element.
"""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from types import FunctionType
from typing import Any

import jax
import numpy as np

from .gradient import backward
from .gradient.arrays_out import refuse_to_end_gradient
from .gradient.forward_mode import tangent_of
from .gradient.grad_fn import GradFn, grad_fn_of, output_number
from .gradient.operators import call
from .kinds import dtypes, printing
from .kinds.conversion import real_number
from .kinds.device import META, device_of
from .kinds.size import strided
from .memory.aval import aval_of
from .memory.buffer import Buffer
from .memory.cell import NOWHERE, Cell, Later, Leaf, Moved, Pin
from .memory.inference import is_inference
from .memory.pickled_state import restored, slots_of, state_of
from .memory.storage import Storage
from .memory.tensor_base import Tensor, TensorBase, alias, aval, check_class, has_own_source, tracked, unguarded, wrap
from .memory.view import View
from .operator.keyword_names import with_other_names
from .operator.overrides import as_class
from .operator.type_errors import with_type_errors
from .path.hook_handle import RemovableHandle
from .path.tensor_hooks import hooks_at, retain, retained
from .process.config import in_transformation, state, x64
from .record import readings
from .record.at_once import tensor_of
from .record.recorder import escaped_value, materialised, pin, value_of
from .record.write_guards import check_data, check_guarded, unrecorded_view
from .registry import METHODS
from .run.cut import LOCK, hold

__all__ = ["bind_methods", "from_parts"]

_NO_ARRAY = np.empty(0)


def _no_deletion(text: str) -> Any:
    """A property's deleter that says why not."""

    def refuse(self: Any) -> None:
        raise RuntimeError(text)

    return refuse


class _Methods:
    """Collected here, attached to `TensorBase` below (its own body is in `memory.tensor_base`, which knows no operator)."""

    # `aval`, written out: these three are read everywhere.
    shape = property(lambda self: (self._view or self._storage).aval.shape, doc="The sizes of the dimensions.")
    dtype = property(lambda self: (self._view or self._storage).aval.dtype, doc="The element type.")
    ndim = property(lambda self: len((self._view or self._storage).aval.shape), doc="The number of dimensions.")
    device = property(lambda self: device_of(aval(self).placement), doc="Where the tensor lives.")
    itemsize = property(lambda self: aval(self).dtype.itemsize, doc="Bytes of an element.")
    nbytes = property(lambda self: aval(self).shape.numel() * aval(self).dtype.itemsize, doc="Bytes of all elements.")
    is_cuda = property(lambda self: device_of(aval(self).placement).type == "cuda")
    is_cpu = property(lambda self: device_of(aval(self).placement).type == "cpu")
    is_meta = property(lambda self: device_of(aval(self).placement).type == "meta")
    is_xla = property(lambda self: device_of(aval(self).placement).type == "xla")
    is_sparse = is_sparse_csr = is_quantized = is_nested = is_mkldnn = property(lambda self: False)
    is_mps = is_xpu = is_ipu = is_mtia = is_maia = is_vulkan = property(lambda self: False)
    layout = property(lambda self: strided, doc="How the elements are stored: always strided.")
    names = property(lambda self: (None,) * len(aval(self).shape))

    @property
    def _version(self) -> int:
        if is_inference(self):
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._storage.known_version

    def is_inference(self) -> bool:
        """Whether this tensor was made within `inference_mode`."""
        return is_inference(self)

    output_nr = property(lambda self: output_number(self), doc="Which of its node's results this tensor is.")
    name = property(lambda self: None)
    retains_grad = property(lambda self: retained(self))

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or one."""
        shape = aval(self).shape
        if dim is None:
            return shape
        if not -len(shape) <= dim < max(len(shape), 1) or not shape:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-max(len(shape), 1)}, {max(len(shape), 1) - 1}], but got {dim})"
            )
        return shape[dim]

    def dim(self) -> int:
        """The number of dimensions."""
        return len(aval(self).shape)

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return aval(self).shape.numel()

    nelement = numel

    def element_size(self) -> int:
        """Bytes of an element."""
        return aval(self).dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the type is a floating point type."""
        return aval(self).dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the type is complex."""
        return aval(self).dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the type has negative values."""
        return aval(self).dtype.is_signed

    def get_device(self) -> int:
        """The number of the GPU, -1 on the CPU."""
        found = device_of(aval(self).placement)
        return -1 if found.type == "cpu" else found.index or 0

    # --- views and classes

    def _is_view(self) -> bool:
        """Whether this tensor shows the memory of another one."""
        return self._base is not None

    @property
    def _base(self) -> Any:
        """The tensor whose view this is; None for a tensor with memory of its own."""
        return readings.base_of(self, call)

    def as_subclass(self, cls: type) -> Any:
        """The same tensor as an instance of a subclass of Tensor.

        Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.as_subclass.html
        """
        check_class(cls)
        return as_class(self, cls)

    @staticmethod
    def _make_subclass(cls: Any, data: Any, require_grad: bool = False, **options: Any) -> Any:
        """A leaf of a subclass of Tensor, or of Parameter, that shares memory with ``data``."""
        if any(options.values()):
            raise NotImplementedError(f"Tensor._make_subclass: {next(k for k, v in options.items() if v)}")
        check_class(cls)
        return _of_class(alias(data, Cell()), cls, require_grad)

    @staticmethod
    def _make_wrapper_subclass(*args: Any, **options: Any) -> Any:
        """Not here."""
        raise NotImplementedError(
            "Tensor._make_wrapper_subclass: tensors without memory need __torch_dispatch__, which is not supported"
        )

    def is_distributed(self) -> bool:
        """Whether the tensor is one of PyTorch's old distributed ones: no."""
        return False

    def is_coalesced(self) -> bool:
        """Only for sparse tensors, of which there are none."""
        raise RuntimeError("is_coalesced expected sparse coordinate tensor layout but got Strided")

    # --- gradients

    def _get_requires_grad(self) -> bool:
        return tracked(self)

    def _set_requires_grad(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise RuntimeError("requires_grad must be a bool")
        self.requires_grad_(value)

    requires_grad = property(
        _get_requires_grad, _set_requires_grad, _no_deletion("requires_grad must be a bool"),
        doc="Whether gradients flow to or through this tensor.",
    )  # fmt: skip
    _grad_fn = property(lambda self: self.grad_fn, None, _no_deletion("Deletion of _grad_fn not allowed. Detach tensor instead!"))

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Make a leaf collect gradients, or stop."""
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError("requires_grad_(): argument 'requires_grad' (position 1) must be bool, not "
                            f"{type(requires_grad).__name__}")  # fmt: skip
        if requires_grad and not state.inference and is_inference(self):
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        source = self._cell.source
        if not requires_grad:
            if source is not None and not self.is_leaf:
                raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                                   "in a subgraph that doesn't require differentiation use var_no_grad = var.detach().")  # fmt: skip
            if source is not None:
                self._cell = Cell()
            return self
        if source is not None:
            return self
        described = aval(self).dtype
        if not (described.is_floating_point or described.is_complex):
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        before, view = self._cell, self._view
        self._cell = Cell(Leaf(self))
        if view is None or len(view.steps) == view.own:
            before.source = Later(self._cell)  # of views that were made before
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operator made this tensor."""
        has_own_source(self)
        source = self._cell.source
        if type(source) is Leaf and source.tensor() is self:
            return True
        check_guarded(self)
        return source is None or readings.ends_here(self)

    def _get_grad(self) -> Any:
        if self._grad is None and self._cell.source is not None and not retained(self) and not self.is_leaf:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
                "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
                "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you "
                "access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more information.",
                stacklevel=2,
            )
        return self._grad

    def _set_grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            mine, given = aval(self), aval(value)
            if given.dtype is not mine.dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{dtypes.SCALAR_NAMES[given.dtype].lower()}' to a tensor "
                    f"with grad_dtype '{dtypes.SCALAR_NAMES[mine.dtype]}'. The gradient must match the tensor's grad_dtype"
                )
            if given.shape != mine.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(given.shape)}' to a tensor of size "
                    f"'{list(mine.shape)}'. Please ensure that the gradient and the tensor are the same size"
                )
            if aval(value).placement != aval(self).placement:
                raise RuntimeError("assigned grad has data located on a different device")
            self._storage.check_writable_here()
        self._grad = value

    def _del_grad(self) -> None:
        self._grad = None

    grad = property(_get_grad, _set_grad, _del_grad, doc="The gradient that backward passes have collected, or None.")

    @property
    def grad_fn(self) -> GradFn | None:
        """The operator that made this tensor, if gradients flow through it."""
        has_own_source(self)
        check_guarded(self)
        return grad_fn_of(self)

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add this tensor's gradients to the ``grad`` of the leaves.

        Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html
        """
        backward.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def _get_data(self) -> Any:
        return _kept(self, alias(self, Cell(apart=True)))

    def _set_data(self, value: Any) -> None:
        check_data(self, value)
        self._storage.check_writable_here()
        cell = self._cell
        if self._view is not None and cell.source is not NOWHERE and cell.source is not None and not has_own_source(self):
            cell = materialised(self)._cell  # the graph goes on from what this view was
        own = value._view is not None and cell.source is not None and type(cell.source) is not Leaf
        if cell is not self._cell or isinstance(cell, Storage | Pin) or own != cell.own_source:
            self._cell = (Moved if own else Cell)(cell.source, cell.source_idx, own_source=own)
            hold(self._cell)
        self._storage = value._storage
        self._view = value._view
        unguarded(self)

    data = property(
        _get_data, _set_data, _no_deletion("Deleting tensor data is not allowed. Delete tensor instead!"),
        doc="The same memory without gradients.",
    )  # fmt: skip

    def detach(self) -> Any:
        """The same memory without gradients."""
        return _kept(self, alias(self, Cell(apart=self._cell.apart)))

    def detach_(self) -> Any:
        """Forget how this tensor was computed."""
        if self._view is not None and len(self._view.steps) > self._view.own:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and "
                "gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
                "these gradients. To fix this error, please refer to the Optimizer.zero_grad() function in "
                "torch/optim/optimizer.py as the solution."
            )
        self._cell = Cell()
        if self._extra is not None:
            self._extra.pop("tangent", None)
        return self

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(grad)`` whenever this tensor's gradient is computed; what it returns replaces the gradient."""
        if not tracked(self):
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        hooks: OrderedDict[int, Any]
        if self.is_leaf:
            if self._extra is None:
                self._extra = {}
            hooks = self._extra.setdefault("hooks", OrderedDict())
        else:
            pin(self)
            hooks = hooks_at(self._cell.source, self._cell.source_idx)
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def register_post_accumulate_grad_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(tensor)`` after a backward has added to this leaf's ``grad``."""
        if not self.is_leaf or self._cell.source is None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._extra is None:
            self._extra = {}
        hooks = self._extra.setdefault("after", OrderedDict())
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def retain_grad(self) -> None:
        """Keep this non-leaf tensor's gradient in ``grad``."""
        if not tracked(self):
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if unrecorded_view(self):
            return  # which has no node, also where it may not be used any more
        if not self.is_leaf and not retained(self):
            pin(self)
            retain(self)

    # --- values

    def item(self) -> Any:
        """The only element, as a Python number."""
        count = aval(self).shape.numel()
        if count != 1:
            raise RuntimeError(f"a Tensor with {count} elements cannot be converted to Scalar")
        if aval(self).placement is META:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return np.asarray(value_of(self, "item()")).reshape(()).item() if not in_transformation() else _traced(self)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return np.asarray(value_of(self, "tolist()")).tolist()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        found = self.numpy()
        return found if dtype is None else found.astype(dtype, copy=False)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """numpy's functions treat a tensor as they would without this, but for its type, which they could not read."""
        if func is np.result_type:
            args = tuple(aval(a).np if isinstance(a, TensorBase) else a for a in args)
        return np.ndarray.__array_function__(_NO_ARRAY, func, (), args, kwargs)

    __array_priority__ = 1000

    def __jax_array__(self) -> Any:
        """The array that JAX's functions take a tensor for.

        Raises:
            RuntimeError: where the gradient would end without a word; not under ``no_grad``, nor in a JAX transformation,
                whose gradients are JAX's.
        """
        refuse_to_end_gradient(self)
        return escaped_value(self)

    def __dlpack_device__(self) -> Any:
        return escaped_value(self).__dlpack_device__()

    def __bool__(self) -> bool:
        count = aval(self).shape.numel()
        if count != 1:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous" if count == 0
                               else "Boolean value of Tensor with more than one value is ambiguous")  # fmt: skip
        return bool(self.item())

    def _scalar(self) -> Any:
        if aval(self).shape.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __float__(self) -> float:
        return float(real_number(self._scalar(), "double"))

    def __int__(self) -> int:
        return int(real_number(self._scalar(), "int64_t"))

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def __index__(self) -> int:
        described = aval(self)
        if described.shape.numel() != 1 or described.dtype.is_floating_point or described.dtype.is_complex:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not aval(self).shape:
            raise TypeError("len() of a 0-d tensor")
        return aval(self).shape[0]

    def __contains__(self, element: Any) -> bool:
        if not isinstance(element, (TensorBase, jax.Array, bool, int, float, complex, np.generic)):
            raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")
        return bool((self == element).any())

    __hash__ = object.__hash__

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        described = aval(self)
        if isinstance(self._storage.buf, Buffer) and isinstance(self._storage.buf.array, jax.core.Tracer):
            return f"tensor(<traced>, shape={tuple(described.shape)}, dtype={described.dtype})"
        for form in printing.forms:
            text = form(self)
            if text is not None:
                return text
        try:
            made_by = None if self.grad_fn is None else self.grad_fn.name().rsplit("::", 1)[-1]
        except RuntimeError:  # a view that may not be asked for its node any more
            made_by = "Invalid"
        where = device_of(described.placement)
        if where.type == "meta":
            shown = [f"device='meta', size={tuple(described.shape)}"]
            if described.dtype is not dtypes.get_default_dtype():
                shown.append(f"dtype={described.dtype!r}")
            if made_by is not None:
                shown.append(f"grad_fn=<{made_by}>")
            elif self._cell.source is not None:
                shown.append("requires_grad=True")
            text = f"tensor(..., {', '.join(shown)})"
            return f"Parameter containing:\n{text}" if getattr(self, "_is_parameter", False) else text
        return printing.tensor_text(
            value_of(self, "print"),
            dtype_name=repr(described.dtype),
            requires_grad=self._cell.source is not None,
            grad_fn=made_by,
            device=None if where.type == "cpu" else f"{where.type}:{where.index or 0}",
            is_parameter=getattr(self, "_is_parameter", False),
            type_name=type(self).__name__ if self._keeps_class else "tensor",
            default_dtype=repr(dtypes.get_default_dtype()),
            tangent=None if state.dual is None else tangent_of(self),
        )

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        if not aval(self).shape:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    # --- copies

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
                               "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, "
                               "see https://github.com/pytorch/pytorch/pull/103001")  # fmt: skip
        made = self._like(_copied(self._storage, memo))
        memo[id(self)] = made
        if self._grad is not None:
            made._grad = copy.deepcopy(self._grad, memo)
        if self.__dict__:
            made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if type(self) is not Tensor:
            for name, value in slots_of(self).items():
                setattr(made, name, copy.deepcopy(value, memo))
        return made

    def _like(self, storage: Storage) -> Any:
        """A leaf like this one over another storage."""
        made = wrap(storage)
        if self._view is not None:
            made._view = View(self._view.steps, self._view.aval)
            made._view.own = len(self._view.steps)  # to the graph it is no view
        return _of_class(made, type(self), self._cell.source is not None)

    def __reduce_ex__(self, protocol: Any) -> Any:
        with LOCK:
            value_of(wrap(self._storage))
        steps = None if self._view is None else (self._view.steps, self._view.aval.shape, self._view.aval.dtype)
        parts = (type(self), self._storage, steps, self._cell.source is not None)
        attributes = state_of(self) if Tensor in type(self).__mro__ else dict(self.__dict__)
        return (restored, (from_parts, parts, attributes)) if attributes else (from_parts, parts)


def _traced(self: Any) -> Any:
    value = value_of(self)
    if isinstance(value, jax.core.Tracer):
        return value.item()
    return np.asarray(value).reshape(()).item()


def _copied(s: Storage, memo: dict[int, Any]) -> Storage:
    found = memo.get(id(s))
    if found is None:
        array = s.aval.struct() if s.aval.placement is META else value_of(wrap(s), "deepcopy")
        if isinstance(array, (jax.core.Tracer, jax.ShapeDtypeStruct)):
            fresh = array
        else:
            with x64(True):
                fresh = np.array(array) if isinstance(array, np.ndarray) else jax.numpy.copy(array)
        found = memo[id(s)] = Storage.concrete(fresh, s.aval, owned=True)
        memo.setdefault(id(memo), []).append(s)
    return found


def _storage_of(array: np.ndarray) -> Storage:
    return tensor_of(array)._storage


def _reduce_storage(self: Storage) -> Any:
    """Pickle keeps shared storages shared: it writes each one once."""
    return _storage_of, (np.asarray(value_of(wrap(self))),)


def from_parts(kind: type, storage: Storage, steps: Any, requires_grad: bool) -> Any:
    """A tensor from a pickle, or for `copy.copy`: a leaf."""
    made = wrap(storage)
    made._cell = Cell()
    if steps is not None:
        made._view = View(steps[0], aval_of(tuple(steps[1]), steps[2].np, storage.aval.placement))
        made._view.own = len(steps[0])  # to the graph it is no view
    return _of_class(made, kind, requires_grad)


def _kept(like: Any, made: Any) -> Any:
    """A detached alias of a tensor, with its class."""
    return as_class(unguarded(made), type(like)) if like._keeps_class else unguarded(made)


def _of_class(made: Any, kind: Any, requires_grad: bool) -> Any:
    """A leaf of a class over the memory of a tensor without gradients."""
    if hasattr(kind, "_from_tensor"):
        return kind._from_tensor(made, requires_grad)
    if kind is not Tensor:
        made = as_class(made, kind)
    if requires_grad:
        made._cell = Cell()  # its own, not its storage's
        made.requires_grad_()
    return made


def _checked(name: str, method: Any) -> Any:
    """A method, with PyTorch's TypeErrors where it is no operator that has them itself."""
    own = not isinstance(method, FunctionType) or hasattr(method, "op") or hasattr(getattr(method, "__wrapped__", None), "op")
    return method if own or name.startswith("__") else with_type_errors(name, method, method=True)


def bind_methods() -> None:
    """Attach everything to `TensorBase`: the methods above, then every registered operator."""
    for name, value in vars(_Methods).items():
        if name not in ("__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "__qualname__"):
            setattr(TensorBase, name, value)
    Storage.__reduce__ = _reduce_storage  # type: ignore[method-assign]
    for name, value in METHODS.items():
        if not hasattr(TensorBase, name) or name.startswith("__"):
            setattr(TensorBase, name, with_other_names(name, _checked(name, value)))

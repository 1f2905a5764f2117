"""Sparse tensors: the values at given places, by coordinates (COO) or by compressed rows (CSR).

The places lie on the host, where they are sorted and matched; the values are a tensor like any other, so what is computed with
them is recorded and differentiates. As a tensor itself, a sparse one is of the meta device: whatever does not know of it finds no
values.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.printing import with_suffixes
from jaxnn.core.kinds.size import sparse_coo, sparse_csr
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval, without_values
from jaxnn.core.operator.overrides import CLASSES, as_class, note
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import METHODS, op
from jaxnn.ops.common.placement import like_device, made

__all__ = ["SparseTensor", "make"]


@op(name="sparse_to_dense", method=False, grad_name="ToDenseBackward0")
def _to_dense(values: Array, places: Array, shape: tuple[int, ...]) -> Array:
    """The values at their places in (*shape), added up where several share one."""
    rest = values.shape[1:]
    whole = math.prod(shape[: len(shape) - len(rest)])
    return _added(values, places, whole).reshape(shape)


def _added(values: Array, places: Array, count: int) -> Array:
    kind = jnp.int32 if values.dtype == bool else values.dtype
    return jnp.zeros((count, *values.shape[1:]), kind).at[places].add(values.astype(kind)).astype(values.dtype)


@op(name="sparse_coalesce", method=False, grad_name="CoalesceBackward0")
def _coalesced(values: Array, inverse: Array, count: int) -> Array:
    """The sums of values that have one place."""
    return _added(values, inverse, count)


def refuse(name: str, kind: str = "SparseCPU") -> NotImplementedError:
    """The error for what sparse tensors have no function for."""
    return NotImplementedError(f"Could not run 'aten::{name}' with arguments from the '{kind}' backend.")


class SparseTensor(Tensor):
    """A tensor that has values at some places and zeros at all others. Made by `jaxnn.sparse_coo_tensor` and its kin."""

    _places: np.ndarray
    _is_coalesced: bool
    _layout: Any
    plain: Any  # the values
    #: What it holds itself; all else was set by somebody.
    OWN: ClassVar[frozenset[str]] = frozenset({"_places", "_is_coalesced", "_layout", "plain", "_index"})
    _running: ClassVar[list[Any]] = []  # functions of several operators that are running on sparse tensors

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = FUNCTIONS.get(func.__name__)
        if found is not None:
            return found(*args, **(kwargs or {}))
        body = getattr(func, "body", None)
        if body is None or body in cls._running:  # its own operator asks again: there is none for sparse tensors
            raise refuse(func.__name__)
        cls._running.append(body)
        try:
            return body(*args, **(kwargs or {}))
        finally:
            cls._running.remove(body)

    # --- what it is

    device = property(lambda self: self.plain.device)
    is_cpu = property(lambda self: self.plain.is_cpu)
    is_cuda = property(lambda self: self.plain.is_cuda)
    is_meta = property(lambda self: self.plain.is_meta)
    requires_grad = property(lambda self: self.plain.requires_grad, lambda self, value: self.plain.requires_grad_(value))
    is_leaf = property(lambda self: self.plain.is_leaf)
    grad_fn = property(lambda self: self.plain.grad_fn)
    layout = property(lambda self: self._layout)
    is_sparse = property(lambda self: self._layout is sparse_coo)
    is_sparse_csr = property(lambda self: self._layout is sparse_csr)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        self.plain.requires_grad_(requires_grad)
        return self

    def get_device(self) -> int:
        return self.plain.get_device()

    def sparse_dim(self) -> int:
        return len(self._places)

    def dense_dim(self) -> int:
        return len(self.shape) - len(self._places)

    def _nnz(self) -> int:
        return self._places.shape[1]

    def is_coalesced(self) -> bool:
        self._need_coo("is_coalesced")
        return self._is_coalesced

    def is_contiguous(self, memory_format: Any = None) -> bool:
        return False

    def _need_coo(self, name: str) -> None:
        if self._layout is not sparse_coo:
            raise RuntimeError(f"{name} expected sparse coordinate tensor layout but got SparseCsr")

    def _need_csr(self, name: str) -> None:
        if self._layout is not sparse_csr:
            raise RuntimeError(f"{name} expected sparse row compressed tensor layout but got Sparse")

    # --- its parts

    def _tensor_of(self, array: np.ndarray) -> Any:
        return made(np.ascontiguousarray(array), like_device(self.plain, None))

    def index(self, dim: int) -> Any:
        """The places along a dimension, made once."""
        kept = self.__dict__.setdefault("_index", {})
        if dim not in kept:
            kept[dim] = self._tensor_of(self._places[dim])
        return kept[dim]

    def flat(self) -> np.ndarray:
        """The number of each place when all are counted row by row."""
        return np.ravel_multi_index(tuple(self._places), self.shape[: len(self._places)]).reshape(self._nnz())

    def _indices(self) -> Any:
        self._need_coo("_indices")
        return self._tensor_of(self._places)

    def _values(self) -> Any:
        return self.plain

    def indices(self) -> Any:
        self._need_coo("indices")
        if not self._is_coalesced:
            raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
        return self._tensor_of(self._places)

    def values(self) -> Any:
        if self._layout is sparse_coo and not self._is_coalesced:
            raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
        return self.plain

    def crow_indices(self) -> Any:
        self._need_csr("crow_indices")
        counts = np.bincount(self._places[0], minlength=self.shape[0])
        return self._tensor_of(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def col_indices(self) -> Any:
        self._need_csr("col_indices")
        return self._tensor_of(self._places[1])

    # --- other forms

    def coalesce(self) -> Any:
        """Places sorted and each named once, the values of one place added up."""
        self._need_coo("coalesce")
        return self if self._is_coalesced else self.summed()

    def summed(self) -> Any:
        """`coalesce` of either layout."""
        if self._is_coalesced:
            return self
        flat, inverse = np.unique(self.flat(), return_inverse=True)
        places = np.stack(np.unravel_index(flat, self.shape[: len(self._places)])).astype(np.int64)
        values = _coalesced(self.plain, self._tensor_of(inverse.reshape(-1)), len(flat))
        return make(places, values, self.shape, True, self._layout)

    def to_dense(self, dtype: Any = None, *, masked_grad: bool | None = None) -> Any:
        """The plain tensor."""
        if masked_grad:
            raise NotImplementedError("to_dense(masked_grad=True) is not implemented")
        found = _to_dense(self.plain, self._tensor_of(self.flat()), tuple(self.shape))
        return found if dtype is None else found.to(dtype)  # type: ignore[attr-defined]

    def to_sparse(self, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None, dense_dim: Any = None) -> Any:
        if blocksize is not None or dense_dim is not None or sparse_dim not in (None, len(self._places)):
            raise NotImplementedError("to_sparse(): other dimensions of a sparse tensor are not supported")
        return self.to_sparse_csr() if layout is sparse_csr else self.to_sparse_coo()

    def to_sparse_coo(self) -> Any:
        if self._layout is sparse_coo:
            return self
        return make(self._places, self.plain, self.shape, True, sparse_coo)

    def to_sparse_csr(self, dense_dim: Any = None) -> Any:
        if len(self.shape) != 2 or self.dense_dim():
            raise NotImplementedError("to_sparse_csr() of other than matrices is not supported")
        found = self.summed()
        return make(found._places, found.plain, self.shape, True, sparse_csr)

    def like(self, values: Any) -> Any:
        """The same places with other values."""
        return make(self._places, values, self.shape, self._is_coalesced, self._layout)

    def detach(self) -> Any:
        return self.like(self.plain.detach())

    data = property(lambda self: self.detach())

    def _get_grad(self) -> Any:
        return None if self.plain.grad is None else self.like(self.plain.grad)

    def _set_grad(self, value: Any) -> None:
        if value is not None:
            raise NotImplementedError("the gradient of a sparse tensor cannot be assigned")
        self.plain.grad = None

    grad = property(_get_grad, _set_grad)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        return self.like(self.plain.to(*args, **kwargs))

    def cpu(self, memory_format: Any = None) -> Any:
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
        return self.like(self.plain.cuda(device))

    # --- what it refuses

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def tolist(self) -> Any:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def item(self) -> Any:
        raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")

    def storage(self) -> Any:
        raise NotImplementedError("Cannot access storage of SparseTensorImpl")

    untyped_storage = storage

    def reshape(self, *shape: Any) -> Any:
        raise RuntimeError("reshape is not implemented for sparse tensors")

    def __getitem__(self, key: Any) -> Any:
        raise refuse("index.Tensor")

    def backward(self, *args: Any, **kwargs: Any) -> None:
        raise refuse("backward")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise refuse("index_put_")

    def __deepcopy__(self, memo: Any) -> Any:
        return self.like(METHODS["clone"](self.plain.detach())).requires_grad_(self.requires_grad)

    def __reduce_ex__(self, protocol: Any) -> Any:
        values = np.asarray(value_of(self.plain))
        return _again, (self._places, values, tuple(self.shape), self._is_coalesced, self._layout)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        values = repr(self.plain.detach())
        if not self._nnz():
            values = f"tensor([], size={tuple(self.plain.shape)})"
        values = values.split(", dtype=")[0] + ")" if ", dtype=" in values else values
        parts = [f"size={tuple(self.shape)}", f"nnz={self._nnz()}"]
        kind, default = aval(self).dtype, dtypes.get_default_dtype()
        if kind not in (default, default.to_complex(), dtypes.int64, dtypes.bool):
            parts.append(f"dtype={kind!r}")
        parts.append(f"layout={self._layout!r}")
        grad_fn = self.plain.grad_fn
        if not self.is_leaf:
            parts.append(f"grad_fn=<{grad_fn.name()}>")
        elif self.requires_grad:
            parts.append("requires_grad=True")
        coo = self._layout is sparse_coo
        named = {"indices": self._indices()} if coo else {"crow_indices": self.crow_indices(), "col_indices": self.col_indices()}
        texts = {n: repr(t) if t.numel() else f"tensor([], size={tuple(t.shape)})" for n, t in named.items()}
        lines = [f"{n}=" + text.replace("\n", "\n" + " " * (len(n) + 8)) for n, text in (texts | {"values": values}).items()]
        return with_suffixes("tensor(" + ",\n       ".join(lines), parts, 0, 7, newline=coo)

    __str__ = __repr__
    __hash__ = TensorBase.__hash__


#: What takes part in operators, by name: filled by `functions`.
FUNCTIONS: dict[str, Any] = {}
CLASSES.remove(SparseTensor)  # until there is one, so that operators of programs without any need not look


def _again(places: np.ndarray, values: np.ndarray, shape: Any, coalesced: bool, layout: Any) -> Any:
    return make(places, made(values), shape, coalesced, layout)


def make(places: np.ndarray, values: Any, shape: Any, coalesced: bool, layout: Any = sparse_coo) -> Any:
    """A sparse tensor of places (sparse_dim, nnz) and a plain tensor of values (nnz, *dense)."""
    note(SparseTensor)
    found: Any = as_class(without_values(tuple(shape), aval(values).np), SparseTensor)
    found.plain, found._places, found._layout = values, places, layout
    found._is_coalesced = coalesced or places.shape[1] < 2
    return found

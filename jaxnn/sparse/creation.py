"""Making sparse tensors, from places and values or from dense tensors.

Args:
    crow_indices: where each row begins.
    col_indices: the column of each value.
    values: the values.
    is_coalesced: whether places are known to be different and in order.
    check_invariants: a hint: indices are always checked.
    sparse_dim: how many dimensions have coordinates.
    blocksize, dense_dim: None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.kinds.size import sparse_coo, sparse_csr
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import FUNCTIONS, METHODS, function, op

from .tensor import SparseTensor, make

__all__ = ["sparse_coo_tensor", "sparse_csr_tensor"]


def _integers(given: Any) -> np.ndarray:
    array = np.asarray(value_of(given) if isinstance(given, TensorBase) else given)
    return array.astype(np.int64)


def _identity(grad_name: str) -> Any:
    return op(lambda values: values, name="sparse_of_values", method=False, grad_name=grad_name)


_OF_COORDINATES = _identity("SparseCooTensorWithDimsAndTensorsBackward0")
_OF_ROWS = _identity("SparseCompressedTensorBackward0")


def _values(made_by: Any, given: Any, dtype: Any, device: Any, requires_grad: bool, pin_memory: bool) -> Any:
    if pin_memory:
        raise NotImplementedError("sparse tensors: pin_memory=True is not supported")
    if isinstance(given, TensorBase):
        found = given if dtype is None and device is None else given.to(dtype=dtype, device=device)  # type: ignore[attr-defined]
        found = made_by(found) if found.requires_grad and not requires_grad else found.detach()
    else:
        found = FUNCTIONS["tensor"](given, dtype=dtype, device=device)
    return found.requires_grad_() if requires_grad else found


def _check_places(places: np.ndarray, shape: tuple[int, ...]) -> None:
    if not places.shape[1]:
        return
    for dim, (low, high, size) in enumerate(zip(places.min(1), places.max(1), shape, strict=False)):
        if low < 0:
            raise RuntimeError(f"found negative index {low} for dim {dim}")
        if high >= size:
            raise RuntimeError(f"size is inconsistent with indices: for dim {dim}, size is {size} but found index {high}")


@function(method=False)
def sparse_coo_tensor(
    indices: Any, values: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None, pin_memory: bool = False,
    requires_grad: bool = False, check_invariants: bool | None = None, is_coalesced: bool | None = None,
) -> Any:  # fmt: skip
    """A sparse tensor of values at coordinates.

    Args:
        indices: (sparse_dim, nnz), integers; alone, the size of a tensor without values.
        values: (nnz, *dense), with gradients if they are a tensor that has some.
        size: the shape; by default as large as the indices ask for.
        check_invariants: indices are always checked.

    Raises:
        RuntimeError: for shapes that do not fit and indices outside of the size.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse_coo_tensor.html
    """
    if values is None:
        shape = tuple(indices if size is None else size)
        none = FUNCTIONS["zeros"](0, dtype=dtype, device=device, requires_grad=requires_grad)
        return make(np.zeros((len(shape), 0), np.int64), none, shape, False)
    places = _integers(indices)
    if places.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(places.shape)}")
    found = _values(_OF_COORDINATES, values, dtype, device, requires_grad, pin_memory)
    dense = tuple(found.shape[1:])
    if places.shape[1] != found.shape[0]:
        raise RuntimeError(
            f"indices and values must have same nnz, but got nnz from indices: {places.shape[1]}, nnz from values: "
            f"{found.shape[0]}"
        )
    if size is None:
        size = (*(places.max(1) + 1 if places.shape[1] else np.zeros(len(places), int)).tolist(), *dense)
    if len(size) != len(places) + len(dense):
        raise RuntimeError(
            f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, sparse_dim = {len(places)}, "
            f"dense_dim = {len(dense)}"
        )
    _check_places(places, tuple(size))
    return make(places, found, size, bool(is_coalesced))


@function(method=False)
def sparse_csr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Any:  # fmt: skip
    """A sparse matrix by rows: the values of row i are those from ``crow_indices[i]`` to ``crow_indices[i + 1]``.

    Raises:
        RuntimeError: for sizes that do not fit and indices outside of them.
        NotImplementedError: for batches.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse_csr_tensor.html
    """
    crow, columns = _integers(crow_indices), _integers(col_indices)
    found = _values(_OF_ROWS, values, dtype, device, requires_grad, pin_memory)
    if crow.ndim != 1 or columns.ndim != 1 or found.dim() != 1:
        raise NotImplementedError("sparse_csr_tensor(): batches and dense dimensions are not supported")
    if size is None:
        size = (len(crow) - 1, int(columns.max()) + 1 if len(columns) else 0)
    if len(crow) != size[0] + 1 or crow[0] != 0 or crow[-1] != len(columns) or len(columns) != found.shape[0] or (np.diff(crow) < 0).any():
        raise RuntimeError(
            f"sparse_csr_tensor(): crow_indices {crow.tolist()}, {len(columns)} col_indices and {found.shape[0]} values do "
            f"not make a matrix of size {tuple(size)}"
        )
    places = np.stack([np.repeat(np.arange(size[0]), np.diff(crow)), columns])
    _check_places(places, tuple(size))
    return make(places, found, size, True, sparse_csr)


def _to_sparse(
    self: Any, sparse_dim: Any = None, *, layout: Any = None, blocksize: Any = None, dense_dim: Any = None
) -> Any:
    """The elements that are not zero, as a sparse tensor, with gradients."""
    if blocksize is not None or dense_dim is not None or layout not in (None, sparse_coo, sparse_csr):
        raise NotImplementedError("to_sparse(): of layouts there are torch.sparse_coo and torch.sparse_csr, without blocks")
    array = np.asarray(value_of(self, "to_sparse")) != 0
    n = array.ndim if sparse_dim is None else sparse_dim
    if n < array.ndim:
        array = array.any(tuple(range(n, array.ndim)))
    places = np.stack(np.nonzero(array)).astype(np.int64)
    index = tuple(FUNCTIONS["from_numpy"](np.ascontiguousarray(p)) for p in places)
    found = make(places, self[index], self.shape, True)
    return found.to_sparse_csr() if layout is sparse_csr else found


def _refusing(name: str, layouts: str) -> Any:
    def method(self: Any) -> Any:
        raise RuntimeError(f"{name} expected {layouts} tensor layout but got Strided")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Of sparse tensors: see `sparse.SparseTensor.{name}`."
    return method


def _sparse_mask(self: Any, mask: Any) -> Any:
    """The elements at the places of a sparse tensor."""
    if not isinstance(mask, SparseTensor) or mask.dense_dim():
        raise NotImplementedError("sparse_mask(): the mask has to be a sparse tensor of numbers")
    return mask.like(self[tuple(mask.index(k) for k in range(mask.dim()))])


def _sparse_dim(self: Any) -> int:
    """The number of sparse dimensions: 0."""
    return 0


def _dense_dim(self: Any) -> int:
    """The number of dense dimensions: all."""
    return len(aval(self).shape)


def _to_sparse_coo(self: Any) -> Any:
    """`to_sparse` by coordinates."""
    return _to_sparse(self)


def _to_sparse_csr(self: Any, dense_dim: Any = None) -> Any:
    """`to_sparse` by rows."""
    return _to_sparse(self, layout=sparse_csr, dense_dim=dense_dim)


METHODS["to_sparse"], METHODS["to_sparse_coo"], METHODS["to_sparse_csr"] = _to_sparse, _to_sparse_coo, _to_sparse_csr
METHODS["sparse_dim"], METHODS["dense_dim"], METHODS["sparse_mask"] = _sparse_dim, _dense_dim, _sparse_mask
for _name, _layouts in (
    ("indices", "sparse coordinate"), ("values", "sparse"), ("coalesce", "sparse coordinate"),
    ("crow_indices", "sparse row compressed"), ("col_indices", "sparse row compressed"),
):  # fmt: skip
    METHODS[_name] = _refusing(_name, _layouts)


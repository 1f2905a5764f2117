"""The methods of Tensor as type checkers see them: `tensor_methods.pyi`, which tools/write_stub.py writes.

At run time `core/tensor.py` binds them to `TensorBase`, and this class has none.
"""

__all__ = ["TensorMethods"]


class TensorMethods:
    """What `TensorBase` extends."""

    __slots__ = ()

"""The subscripts of `einsum`: read, checked, and what they say of the operands' types.

Source: https://docs.pytorch.org/docs/stable/generated/torch.einsum.html
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from jaxnn.ops.common.promotion import cast, common_dtype

__all__ = ["check_subscripts", "letters", "of_one_type"]


def letters(sublist: Sequence[Any]) -> str:
    """The letters of subscripts that are numbers."""
    found = ""
    for s in sublist:
        if s is Ellipsis:
            found += "..."
        elif not 0 <= s < 52:
            raise ValueError(f"einsum(): subscripts must be in [0, 52) but found subscript {s}")
        else:
            found += string.ascii_letters[26:][s] if s < 26 else string.ascii_letters[s - 26]
    return found


def check_subscripts(equation: str, shapes: list[tuple[int, ...]]) -> None:
    """Refuse an equation that does not fit the operands.

    Raises:
        RuntimeError: with what is wrong.
    """
    before, arrow, after = equation.partition("->")
    terms = before.split(",")
    if len(terms) != len(shapes):
        fewer = "fewer" if len(shapes) < len(terms) else "more"
        raise RuntimeError(f"einsum(): {fewer} operands were provided than specified in the equation")
    seen: dict[str, int] = {}
    for k, (term, sizes) in enumerate(zip(terms, shapes, strict=True)):
        named = term.replace("...", "")
        for c in named:
            if c not in string.ascii_letters:
                raise RuntimeError(f"einsum(): invalid subscript given at index {equation.index(c)} in the equation "
                                   "string, "
                                   "subscripts must be in [a-zA-Z]")  # fmt: skip
        if "..." in term:
            if len(named) > len(sizes):
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({len(named)}) is more than the number of "
                    f"dimensions ({len(sizes)}) for operand {k}"
                )
            front, _, back = term.partition("...")
            dims = [*zip(front, sizes, strict=False), *zip(back, sizes[len(sizes) - len(back) :], strict=True)]
        elif len(named) != len(sizes):
            more = " but no ellipsis was given" if len(named) > len(sizes) else " and no ellipsis was given"
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(named)}) does not match the number of "
                "dimensions "
                f"({len(sizes)}) for operand {k}{more}"
            )
        else:
            dims = [*zip(named, sizes, strict=True)]
        for c, n in dims:
            if seen.get(c, 1) != 1 and n not in (1, seen[c]):
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {n} for operand {k} which does not broadcast with previously "
                    "seen "
                    f"size {seen[c]}"
                )
            if seen.get(c, 1) == 1:  # no comparison of sizes, which `jax.export` may leave open
                seen[c] = n
    for c in after.replace("...", "") if arrow else "":
        if c not in seen:
            raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation for any input operand")
        if after.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")


def of_one_type(operands: Any, equation: str) -> Any:
    """Operands of different types, as PyTorch takes them: in elementwise products, and in matrix products that are empty.
    Others stay as they are.
    """
    if all(a.dtype == operands[0].dtype for a in operands):
        return operands
    before, arrow, after = equation.partition("->")
    terms = before.split(",")
    kept = set(after) if arrow else {c for c in before if before.count(c) == 1}
    summed = {
        a.shape[k]
        for term, a in zip(terms, operands, strict=True)
        for k, c in enumerate(term.replace("...", " " * (a.ndim + 3 - len(term))))
        if c != " " and c not in kept and sum(c in other for other in terms) > 1
    }
    if summed <= {1}:
        return [cast(a, common_dtype(*operands).np) for a in operands]
    if any(a.size == 0 for a in operands):
        return [cast(a, operands[-1].dtype) for a in operands]
    return operands

"""Known differences in values: rounding, guarded points, types of formulas, counters, copies."""

from __future__ import annotations

import re

import numpy as np

from .flow import names_of, reached
from .rules import VALUES, WALKS, Case, rule


@rule("listed: derivatives in terms of the result")
def _by_result(case: Case) -> bool:
    """Under create_graph PyTorch's hang on the result, whose hooks and gradient see it."""
    seen = re.search(r"retain_grad|register_(pre|multi_grad_)?hook|grad_fn", case.text) and re.search("create_graph|penalty", case.text)
    listed = case.difference.kind in ("missing", "extra") and re.match(r"g\d", case.difference.where) is not None
    return (listed or case.difference.kind in VALUES) and bool(seen) and case.around("softmax|logsumexp|norm|prod|hypot")


@rule("listed: rounding, seen in the bits of a number")
def _bits(case: Case) -> bool:
    return case.difference.kind in VALUES and case.around(r"\.view\(torch\.(u?int|float)")


@rule("listed: half-precision results are rounded once")
def _half(case: Case) -> bool:
    ours, theirs = case.difference.ours, case.difference.theirs
    numbers = isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and ours.dtype.kind == theirs.dtype.kind == "f"
    near = numbers and ours.shape == theirs.shape and bool(np.allclose(ours, theirs, rtol=0.1, atol=0.05, equal_nan=True))
    return (case.difference.kind == "printed" or near) and case.around("bfloat16")


@rule("rounding: computed in float32")
def _rounded(case: Case) -> bool:
    """A gradient of float64 that has come through a narrower type."""
    ours, theirs = case.difference.ours, case.difference.theirs
    numbers = isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and ours.dtype == theirs.dtype == np.float64
    near = numbers and ours.shape == theirs.shape and bool(np.allclose(ours, theirs, rtol=1.3e-6, atol=1e-5, equal_nan=True))
    return near and case.around(r"float\(\)|float32")


@rule("listed: gradients at points without a value")
def _powers_of_zero(case: Case) -> bool:
    """Differentiated twice: PyTorch's second derivative of a power of zero is NaN."""
    ours, theirs = case.difference.ours, case.difference.theirs
    numbers = isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and theirs.dtype.kind in "fc"
    lost = numbers and bool(np.isnan(theirs).any()) and bool(np.isfinite(ours).all())
    return lost and case.around(r"\*\*|pow") and re.search("create_graph|penalty", case.text) is not None


@rule("listed: indices that the same step computes are not checked")
def _indices(case: Case) -> bool:
    return case.raised("index out of range in self") and case.around("argmax|argmin|sort|topk|median|kthvalue|mode")


@rule("listed: integers never require gradients")
def _integers(case: Case) -> bool:
    written = r"\] = |copy_\(|_scatter_\("
    flags = {"requires_grad": False, "is_leaf": True, "grad_fn": None}
    kind, ours = case.difference.kind, case.difference.ours
    flag = kind in flags and ours is flags[kind]
    refused = case.raised("doesn't require gradient|has requires_grad=False|does not require grad", ours=True)
    refused = refused or case.raised("Autograd not support dtype: (Int|Long|Short|Char|Byte|Bool)")
    whole = re.match("int|uint|bool", case.dtype) is not None
    return (refused and case.after(written)) or (flag and whole and case.around(written))


@rule("listed: derivatives by an operand whose type PyTorch's formula can't take")
def _types_of_formulas(case: Case) -> bool:
    words = r"(Negation|Subtraction), the `-` operator, (on|with) a bool|addmv input tensors must have|result type Float can't"
    refused = case.raised(words)
    used = r"atan2|logaddexp|\*\*|pow\(|zeta|addr\(|addcdiv\("
    return refused and WALKS.search(case.statement) is not None and case.around(used)


@rule("listed: // has a derivative")
def _floor_divided(case: Case) -> bool:
    name = case.difference.kind in ("grad_fn", "printed", "number or text") and "NotImplemented" in str(case.difference.theirs)
    return (case.difference.kind == "extra" and case.after("//")) or (name and case.around("%"))


@rule("listed: create_graph through a value that an earlier backward computed before a cut")
def _computed_by_backward(case: Case) -> bool:
    return case.raised("create_graph through a value that an earlier backward computed before a cut", ours=True)


@rule("listed: what is written to an operand, as values before")
def _written_while_read(case: Case) -> bool:
    """PyTorch reads what it has just written, where it does not notice."""
    for k, statement in enumerate(case.statements):
        out = re.search(r"\bout=([a-z]\d+)", statement)
        read = names_of(statement[: out.start()]) if out else set()
        if out and read & ({out[1]} | reached(case.statements[:k], rf"\b{out[1]}\b")):
            return case.difference.kind in VALUES and case.after(re.escape(statement))
    return False


@rule("listed: counters of an optimizer are made anew by every step")
def _counters(case: Case) -> bool:
    counter = re.match(r"d\d+\b.*\['(step|mu_product|eta|mu)'\]$", case.difference.where) is not None
    return counter and case.difference.kind in (*VALUES, "_version") and case.around(r"\.step\(") and case.around(r"state_dict\(")


@rule("listed: copies of a module have tables of their own")
def _copied_module(case: Case) -> bool:
    """What is registered, removed or replaced on one of two is not on the other, and what comes out of a call differs then."""
    for k, statement in enumerate(case.statements[: case.end]):
        copied = re.search(r"(m\d+) = copy\.copy\((m\d+)\)", statement)
        if copied is None:
            continue
        either = rf"\b({copied[1]}|{copied[2]})\b"
        hooks = re.findall(rf"(h\d+) = {either}\.register", "\n".join(case.statements))
        changes = "|".join([rf"{either}(\[\d\])?\.(register\w*\(|\w+ = )", *(rf"\b{h[0]}\.remove\(" for h in hooks)])
        if any(re.search(changes, s) for s in case.statements[k + 1 : case.end]) and case.around(either):
            return True
    return False


@rule("listed: a leaf whose shape was changed in place")
def _reshaped_leaf(case: Case) -> bool:
    if case.raised("size of tensor a|shape compatible") and case.around(r"squeeze_\(|transpose_\(|\.t_\("):
        return True
    return case.difference.kind in ("shape", "gradient") and case.after(r"squeeze_\(|transpose_\(|\.t_\(")

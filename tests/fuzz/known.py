"""Differences that are known: each rule is as narrow as it can be, and its name says why.

All are in docs/differences.md. A rule whose name begins with `fault` excuses what is to be mended, and goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from .comparing import Difference, differences
from .flow import connected, names_of, reached, variable
from .running import Raised, Seen, run_to_the_end, run_with_snapshots


class Case(NamedTuple):
    """A difference in its program, and the names of the rules that explained earlier ones of the same run."""

    statements: list[str]
    difference: Difference
    earlier: list[str]
    refused: tuple[str, ...] = ()  # the statements before it that ran a backward and raised on both sides
    shapes: tuple[int, ...] = ()  # the shape of what differs
    dtype: str = ""  # and its type

    @property
    def text(self) -> str:
        """The whole program."""
        return "\n".join(self.statements)

    @property
    def statement(self) -> str:
        """The statement after which the runs differ; empty where only the end tells."""
        return "" if self.difference.step is None else self.statements[self.difference.step]

    @property
    def end(self) -> int:
        """How many statements had run."""
        return len(self.statements) if self.difference.step is None else self.difference.step + 1

    def differing(self) -> set[str]:
        """The variables that differ: those of the statement, where that alone raised."""
        if self.difference.where == "the statement":
            return names_of(self.statement) if self.statement else set()
        return {variable(self.difference.where)}

    def after(self, pattern: str) -> bool:
        """Whether what differs was named, until then, by such a statement, or together with something that was."""
        return bool(self.differing() & reached(self.statements[: self.end], pattern))

    def around(self, pattern: str) -> bool:
        """Whether a value or a gradient could flow between such a statement and what differs."""
        return bool(self.differing() & connected(self.statements, pattern))

    def differs_in_name(self) -> bool:
        """Whether two nodes, or two texts of tensors, are equal but for the name of a node."""
        sides = self.difference.ours, self.difference.theirs
        if self.difference.kind == "grad_fn":
            return None not in sides
        if all(isinstance(side, str) and re.fullmatch(r"\w+Backward\w*|CopySlices", side) for side in sides):
            return True
        bare = [re.sub(r",\s+grad_fn=<\w+>", "", str(side)) for side in (self.difference.ours, self.difference.theirs)]
        return self.difference.kind == "number or text" and bare[0].split() == bare[1].split()

    def differs_in_flags(self) -> bool:
        """Whether two texts of tensors are equal but for what they say of gradients."""
        sides = (self.difference.ours, self.difference.theirs)
        bare = [re.sub(r",\s+(requires_grad=True|grad_fn=<\w+>)", "", str(side)).split() for side in sides]
        return self.difference.kind == "printed" and bare[0] == bare[1]

    def raised(self, text: str, ours: bool = False) -> bool:
        """Whether PyTorch (or our side) alone raised something with this text."""
        mine, other = self.difference.ours, self.difference.theirs
        one, none = (mine, other) if ours else (other, mine)
        return isinstance(one, Raised) and not isinstance(none, Raised) and re.search(text, one.text) is not None


#: Kinds of differences in numbers.
VALUES = ("value", "printed", "gradient", "number or text")
GRADIENT = r"grad\(|create_graph|\.grad\b"


def _row_major(strides: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if len(strides) != len(shape):  # the shape that PyTorch's has
        return False
    wanted = 1
    for stride, n in zip(reversed(strides), reversed(shape), strict=True):
        if n > 1 and stride != wanted:
            return False
        wanted *= max(n, 1)
    return True


_WALKS = re.compile(r"backward\(|autograd\.grad\(")
_BACKWARD = re.compile(r"backward\(|autograd\.grad\(|\.step\(")

#: Name -> rule.
RULES: dict[str, Callable[[Case], bool]] = {}


def rule(name: str) -> Callable[[Callable[[Case], bool]], Callable[[Case], bool]]:
    """A known difference."""

    def keep(f: Callable[[Case], bool]) -> Callable[[Case], bool]:
        RULES[name] = f
        return f

    return keep


def judged(statements: list[str], ours: Seen, theirs: Seen) -> tuple[str | None, Difference | None]:
    """What differs between two runs: (None, None) when they agree, (a known difference's name, it), or (None, a fault).

    PyTorch computes gradients with what a tensor holds at backward, or raises where it notices that it was written to; ours
    with what the operator saw (docs/differences.md). So the judge of a program that differs is PyTorch made to keep that.
    """
    name, found = _first_unknown(statements, differences(ours, theirs), theirs)
    if found is None or name:
        return name, found
    if "checkpoint(" in "".join(statements):
        ended = run_to_the_end(statements)
        other, left = _first_unknown(statements, differences(ours, ended), ended)
        if left is None or other:
            return "listed: the function of a checkpoint runs to its end", found
    if "backward" in "".join(statements) or "grad(" in "".join(statements):
        copied = run_with_snapshots(statements)
        other, left = _first_unknown(statements, differences(ours, copied), copied)
        still = left is not None and isinstance(left.theirs, Raised) and "modified by an inplace operation" in left.theirs.text
        if left is None or other or still:
            return "listed: the value that an operator saw counts in its gradient", found
    return None, found


def _first_unknown(statements: list[str], found: Iterable[Difference], theirs: Seen) -> tuple[str | None, Difference | None]:
    names: list[str] = []
    first = None
    refused = [k for k, (raised, _) in enumerate(theirs.steps) if raised and _BACKWARD.search(statements[k])]
    for difference in found:
        end = len(statements) if difference.step is None else difference.step
        looked = theirs.values if difference.step is None else theirs.steps[difference.step][1]
        flags = looked.get(difference.where)
        known = dict(flags) if isinstance(flags, tuple) and not isinstance(flags, Raised) else {}
        before = tuple(statements[k] for k in refused if k <= end)
        dtype = known.get("dtype") or str(getattr(known.get("value"), "dtype", ""))
        case = Case(statements, difference, names, before, known.get("shape", ()), dtype)
        name = next((name for name, known in RULES.items() if known(case)), None)
        if name is None:
            return None, difference
        if name.startswith("fault"):  # what follows may come of it
            return name, difference
        names.append(name)
        first = first or difference
    return (names[0], first) if names else (None, None)


# ---- listed in docs/differences.md

STRIDES = "listed: results are laid out row-major"


@rule(STRIDES)
def _strides(case: Case) -> bool:
    """Ours are row-major where PyTorch keeps those of an operand; views of such a result differ with it."""
    ours = case.difference.ours
    if case.difference.kind == "strides":
        return STRIDES in case.earlier or _row_major(ours, case.shapes) or case.after("deepcopy")
    asked = re.search(r"\.(stride|is_contiguous|storage_offset)\(", case.statement or case.text)
    return bool(asked and case.difference.where.startswith("log")) or case.raised("view size is not compatible|Cannot view a tensor")


@rule("listed: results are laid out row-major, so that another reshape is a view")
def _views(case: Case) -> bool:
    return STRIDES in case.earlier and case.around(r"reshape|flatten|contiguous|ravel|\.view\(|unflatten")


@rule("listed: a counter of writes to what was made of .data, of a gradient, or of a running mean")
def _versions(case: Case) -> bool:
    asked = case.difference.where.startswith("log") and "_version" in case.text
    causes = r"copy\.copy|\.data\b|\.grad\b|BatchNorm|clip_grad|double\(\)|float\(\)|optim|load"
    return (case.difference.kind == "_version" and case.around(causes)) or (asked and re.search(causes, case.text) is not None)


@rule("listed: a checkpoint is a node of its own")
def _checkpoint(case: Case) -> bool:
    return case.differs_in_name() and "CheckpointFunctionBackward" in str(case.difference.ours)


@rule("listed: an internal assertion of PyTorch's")
def _assertion(case: Case) -> bool:
    return case.raised("Could this error message be improved|INTERNAL ASSERT|DispatchKey Conjugate doesn't correspond")


@rule("listed: a type that PyTorch's kernels lack")
def _types(case: Case) -> bool:
    lacking = (
        r"\" not implemented for '|aminmax not implemented for Complex|derivative for aten::floor_divide|"
        r"does not support (complex|bool|automatic differentiation for outputs with complex)|'_cdist_backward' is not implemented|"
        r"derivative for aten::remainder|not (implemented|supported|intended).*complex|"
        "Expected a floating point or complex"
    )
    theirs = case.difference.theirs
    both = isinstance(theirs, Raised) and isinstance(case.difference.ours, Raised)
    both = both and "NotImplementedError" in (theirs.type, case.difference.ours.type)
    return case.raised(lacking) or (both and re.search(lacking, theirs.text) is not None)


@rule("listed: a node's name after its tensor was changed in place")
def _names(case: Case) -> bool:
    if not case.differs_in_name():
        return False
    both = case.difference.ours, case.difference.theirs
    copied = set(both) == {"CopySlices", "CopyBackwards"} and case.around(r"\] ?[-+*]?= ")  # by another name
    filled = set(both) == {"FillBackward0", "FillBackward2"} and case.around(r"fill_\(")
    if copied or filled or "AsStridedBackward0" in both and case.around(r"\w_\(|\] ?[-+*]?= |InPlace"):
        return True
    return case.after(r"(?<!requires_grad)_\(|\] ?[-+*]?= |[-+*/]= |inplace=True|out=|InPlace|Net\(")


@rule("listed: xlogy, xlog1py and zeta of a number")
def _names_of_numbers(case: Case) -> bool:
    return case.differs_in_name() and re.search("XlogyBackward|Xlog1PyBackward|ZetaBackward", str(case.difference.theirs)) is not None


@rule("listed: the nodes of a gradient's graph")
def _names_of_gradients(case: Case) -> bool:
    noted = re.match(r"g\d+\[", case.difference.where) is not None  # by a hook on several tensors
    return case.differs_in_name() and "create_graph" in case.text and (noted or case.after(r"create_graph|\.grad\b"))


@rule("listed: a second backward is judged by what JAX's derivative needs")
def _second(case: Case) -> bool:
    # Where both raise, ours came further.
    theirs, ours = case.difference.theirs, case.difference.ours
    later = isinstance(theirs, Raised) and isinstance(ours, Raised) and re.search(r"backward\(.*\n", case.statement)
    text = "backward through the graph a second time"
    return case.raised(text) or (bool(later) and text in theirs.text and text not in ours.text)


@rule("listed: another error of the same refusal")
def _errors(case: Case) -> bool:
    """Both refuse an index that is out of range, or a key that is no index."""
    ours, theirs = case.difference.ours, case.difference.theirs
    both = isinstance(ours, Raised) and isinstance(theirs, Raised)
    if both and "is a view and its base or another view of its base has been modified" in theirs.text:  # wrong in two ways
        return True
    if both and theirs.type == "TypeError" and "is a view and its base" in ours.text:  # and so here
        return True
    again = both and "second time" in theirs.text and ours.type == "CheckpointError"
    if again or (both and theirs.type == "IndexError" and "leaf Variable that requires grad" in ours.text):
        return True
    both = both and ours.type == "IndexError"
    words = r"new\(\): invalid data type|index_select\(\): self indexing axis dim|are out of bounds for storage|"
    words += r"some elements of the input tensor and the written-to tensor|"
    words += r"Index put requires the source and destination dtypes match|shape mismatch: value tensor"  # wrong in two ways
    return both and re.search(words, theirs.text) is not None


@rule("listed: what was computed from a released part of a graph")
def _released(case: Case) -> bool:
    """After a backward that kept nothing, of something that what raises now could have to do with."""
    unnamed = re.search(r"name '(\w+)' is not defined", str(case.difference.ours))  # the first line of a statement did not end here
    if unnamed and any(s.startswith(f"{unnamed[1]}, = ") for s in case.refused):
        return True
    if not case.raised("backward through the graph a second time|appears to not have been used in the graph", ours=True):
        return False
    before = any(_releases(s) and case.around(re.escape(s)) for s in case.statements[: case.end - 1])
    return before or len(_WALKS.findall(case.statement)) > 1


def _releases(statement: str) -> bool:
    """Whether a statement walks a graph that it does not keep."""
    return len(_WALKS.findall(statement)) > len(re.findall("retain_graph=True|create_graph=True", statement))


@rule("listed: hooks on several tensors, of which backward starts from one")
def _hooks_at_root(case: Case) -> bool:
    seen = re.match(r"g\d+", case.difference.where)
    made = seen and re.search(rf"^{seen[0]} = \[\]\n\w+ = .*hook\(\[(\w+), (\w+)\]", case.text, re.MULTILINE)
    asked = case.raised("_will_engine_execute_node") and "autograd.grad(" in case.statement
    return asked or bool(made) and re.search(rf"\b({made[1]}|{made[2]})\.backward\(", case.text) is not None


@rule("listed: a second backward raises before any hook is called")
def _before_hooks(case: Case) -> bool:
    ours, theirs = case.difference.ours, case.difference.theirs
    both = isinstance(ours, Raised) and isinstance(theirs, Raised) and theirs.text == "refused"
    return both and "backward through the graph a second time" in ours.text


@rule("listed: a backward that raises releases nothing")
def _kept_by_raising(case: Case) -> bool:
    """What ran before the hook that raised is released in PyTorch, and a second backward notices it."""
    ours, theirs = case.difference.ours, case.difference.theirs
    both = isinstance(ours, Raised) and isinstance(theirs, Raised) and ours.text == "refused"
    return bool(case.refused) and both and "backward through the graph a second time" in theirs.text


@rule("listed: a gradient of zeros has memory")
def _zero_tensor(case: Case) -> bool:
    return case.raised("ZeroTensor|unallocated storage")


@rule("listed: a gradient repeats no elements")
def _expanded_gradient(case: Case) -> bool:
    """PyTorch refuses to write to a gradient that repeats one element, or writes to all of them."""
    refused = case.raised("more than one element of the written-to tensor|are out of bounds for storage|last dimension with stride 1")
    written = STRIDES in case.earlier and case.difference.kind in VALUES
    return (refused or written) and (re.search(GRADIENT, case.text) if refused else case.around(GRADIENT)) not in (None, False)


@rule("listed: writing by indices to a tensor that repeats elements")
def _written_by_indices(case: Case) -> bool:
    return "expand" in case.text and case.raised("more than one element of the written-to tensor", ours=True)


@rule("listed: each place is computed once where strides overlap")
def _overlapping(case: Case) -> bool:
    shown = r"as_strided\(\(2, 2\), \(1, 1\)\)|unfold\(-?\d, 2, 1\)|expand"
    return case.difference.kind in VALUES and case.around(shown)


@rule("listed: a backward that raises leaves no gradients behind")
def _raising_backward(case: Case) -> bool:
    """Both raised; PyTorch had called hooks and added gradients up to there, to what that backward's roots were made of."""
    if not case.refused or not case.around("|".join(map(re.escape, case.refused))):
        return False
    kinds = (*VALUES, "has grad", "gradient's dtype", "gradient's requires_grad")
    logged = re.match(r"log|g\d|o\d+\.state_dict", case.difference.where) is not None  # what a step then makes of them, too
    logged = logged or any(re.search(rf"^{name} = g\d+\[", case.text, re.MULTILINE) for name in case.differing())
    # What a gradient, or the list of a hook, that is not there is asked for.
    ended = any("\n" in s and names_of(s) & case.differing() for s in case.refused)
    if case.difference.kind in ("missing", "extra") and ended:  # a statement of several, which came to another end
        return True
    asked = case.raised("NoneType", ours=True) or case.raised("list index out of range", ours=True)
    return asked or logged or case.difference.kind in kinds


@rule("listed: which of several equal elements is named")
def _ties(case: Case) -> bool:
    return case.difference.kind in VALUES and case.around("kthvalue|topk|median|mode|sort")


FLAGS = "listed: which gradients require gradients"


@rule(FLAGS)
def _flag_of_gradients(case: Case) -> bool:
    flag = case.difference.ours is False and case.difference.theirs is True
    created = "create_graph|penalty"
    empty = case.difference.ours is True and 0 in case.shapes
    packs = re.search("saved_tensors_hooks|save_on_cpu", case.text) is not None
    hooked = case.difference.ours is True and packs
    return (
        ((hooked or empty) and case.difference.kind in ("requires_grad", "gradient's requires_grad") and case.around(created))
        or (flag and case.difference.kind in ("requires_grad", "gradient's requires_grad") and case.around(created))
        or (case.difference.kind == "is_leaf" and (case.difference.ours is True or packs) and case.around(created))
        or (case.difference.kind == "grad_fn" and case.difference.ours is None and FLAGS in case.earlier and case.around(created))
        or (packs and case.difference.kind == "grad_fn" and case.difference.theirs is None and case.around(created))
        or (re.search(created, case.text) is not None and case.raised("does not require grad", ours=True))
    )


@rule("listed: autograd.grad and second derivatives through a reentrant checkpoint")
def _reentrant(case: Case) -> bool:
    flag = case.difference.kind in ("requires_grad", "gradient's requires_grad", "is_leaf") and case.around("create_graph|penalty")
    flag = flag or (case.difference.kind == "grad_fn" and case.difference.theirs is None and "create_graph" in case.text)
    return case.raised("use_reentrant=True, torch.utils.checkpoint is incompatible") or (flag and case.around("use_reentrant=True"))


@rule("listed: a view whose .data was set is no view any more")
def _set_data(case: Case) -> bool:
    """It loses its guards, and what was refused or asked of the tensor that had its memory."""
    flags = ("requires_grad", "gradient's requires_grad", "is_leaf", "exception at a look", "_version", "grad_fn")
    seen = case.difference.kind in flags or case.differs_in_flags() or case.raised("is a view|leaf|detach views|view of")
    if not seen:
        return False
    changed = {name for s in case.statements[: case.end] for name in re.findall(r"\b([a-z]\d+)\.data = ", s)}
    # From where it was made on: what it was a view of, and what is made of it.
    return any(case.after(rf"\b{name}\b[^=\n]* = ") for name in changed)


@rule("listed: writes through views of a tensor whose .data was set to a view")
def _written_after_set_data(case: Case) -> bool:
    return case.raised("a write through a view of a tensor whose .data was set to a view", ours=True)


@rule("listed: a view of a tensor that stopped requiring gradients")
def _stopped(case: Case) -> bool:
    """PyTorch's requires some until it is looked at after a write."""
    if case.raised("a view of a leaf Variable that requires grad", ours=True) and case.around(r"requires_grad_\(False\)"):
        return True
    return case.difference.kind in ("requires_grad", "is_leaf", "grad_fn") and case.around(r"requires_grad_\(False\)")


@rule("listed: views that one function returns have nodes of their own")
def _nodes_of_several(case: Case) -> bool:
    lists = case.difference.kind in ("missing", "number or text", "type") and re.match(r"log|g\d", case.difference.where)
    hooks = r"(chunk|split|unbind|split_with_sizes)\([\s\S]*(grad_fn\.register_(pre)?hook|register_multi_grad_hook)\("
    return bool(lists) and re.search(hooks, case.text) is not None


@rule("listed: a linear layer's result is no view")
def _linear(case: Case) -> bool:
    """Of one or three dimensions: PyTorch's is a view of a product, or the sum of a product and the bias where that is strided."""
    layers = re.findall(r"^(m\d+) = (?:torch\.nn\.(?:Linear|Sequential)|\w*Net|Residual)\(", case.text, re.MULTILINE)
    called = "|".join([r"linear\(", *(rf"\b{m}\(" for m in layers)])
    if not case.around(called):
        return False
    if case.differs_in_name():
        nodes = {case.difference.ours, case.difference.theirs}
        return nodes == {"ViewBackward0", "AddBackward0"} and len(case.shapes) in (0, 1, 3)
    # With a hook, then written to: PyTorch's hook stays with the view's value before.
    hooked = re.search(r"\b(\w+) = m\d+\([\s\S]*\1\.(grad_fn\.)?register_(pre)?hook\([\s\S]*\1(\.\w+_\(| [-+*/]= )", case.text)
    if hooked and case.difference.kind in ("number or text", "extra", "value") and case.difference.where.startswith("log"):
        return True
    if case.raised("A view was created in no_grad mode and is being modified inplace"):
        return "no_grad" in case.text or "set_grad_enabled(False)" in case.text
    if case.raised("Can't detach views in-place"):
        return "detach_()" in case.statement
    return "full_backward" in case.text and case.raised("AsStrided is a view and is being modified inplace")


@rule("listed: a guarded view is refused every time")
def _refused_again(case: Case) -> bool:
    mine = names_of(case.statement)
    before = any(mine & names_of(s) for s in case.statements[: case.end - 1])
    return before and case.raised("is a view and its base or another view of its base has been modified inplace", ours=True)


@rule("listed: functional_call of a module that has two names")
def _two_names(case: Case) -> bool:
    """PyTorch leaves what was given in it."""
    return re.search(r"Sequential\((m\d+), \1\)", case.text) is not None and case.around("functional_call")


@rule("listed: a second hook on a tensor whose shape was changed in place after the first")
def _second_hook(case: Case) -> bool:
    reshaped = r"\b(\w+)\.register_hook\([\s\S]*\n *\1\.(un)?(squeeze_|transpose_|t_)\([\s\S]*\1\.register_hook\("
    found = re.search(reshaped, case.text)
    return found is not None and case.difference.kind in (*VALUES, "shape") and case.around(rf"\b{found[1]}\.register_hook")


@rule("listed: a view of a leaf that is a view keeps its node")
def _kept_node(case: Case) -> bool:
    leaf = r"(Parameter\(torch\.tensor\(\[.*\](, dtype=\S+)?\)(\.view|\[)|\)(\.view\(.*\)|\[.*\])\.requires_grad_\(\))"
    asked = case.difference.kind == "type" and case.difference.theirs is None and case.around(r"autograd\.grad\(")
    # What hooks, and `retain_grad`, see of a gradient that is lost then.
    seen = case.difference.kind in ("type", "missing", "extra", "number or text") and re.match(r"log|g\d", case.difference.where)
    kept = case.difference.kind.startswith("gradient") and case.difference.ours is None
    retained = kept and case.around(r"retain_grad|inputs=\[")
    # Until something is written to, a leaf that is a view is a leaf like others.
    written = re.search(r"\w+_\(|\] ?[-+*/]?= | [-+*/]= |\.step\(|inplace=True|\.data\b", case.text) is not None
    return written and (asked or retained or (bool(seen) and "hook(" in case.text)) and case.around(leaf)


@rule("listed: what some operators return is no view")
def _whole_results(case: Case) -> bool:
    return case.around("repeat_interleave|tensordot|einsum") and case.raised("A view was created in no_grad mode")


@rule("listed: a leaf whose .data was set to another shape after something was made of it")
def _other_shape(case: Case) -> bool:
    refused = case.raised("invalid gradient at index 0|output with shape .* doesn't match the broadcast shape")
    return refused and re.search(r"\b([a-z]\d+)\b[\s\S]*\n\1\.data = ", case.text) is not None and "backward(" in case.statement


@rule("listed: as_strided of a view hangs on the storage")
def _strided_view(case: Case) -> bool:
    asked = case.difference.kind == "type" and case.difference.ours is None and case.around(r"autograd\.grad\(")
    return asked and case.around(r"as_strided\(")


@rule("listed: a view of a tensor whose shape was changed in place again leads past it after a write")
def _past_reshaped(case: Case) -> bool:
    asked = case.difference.kind in ("type", "value", "printed") and re.match(r"c\d+\[", case.difference.where) is not None
    asked = asked or case.raised("appears to not have been used in the graph", ours=True)
    change = r"\.(?:un)?(?:squeeze_|transpose_|t_|swapaxes_|swapdims_)\("
    reshaped = re.findall(rf"\b([a-z]\d+){change}[\s\S]*= \1(?:\.\w+\(|\[)[\s\S]*\b\1{change}", case.text)
    towards = [n for n in reshaped if re.search(rf"autograd\.grad\(.*\b{n}\b", case.text)]
    return asked and any(case.around(rf"= {n}(\.\w+\(|\[)") and case.around(rf"\b{n}(\.\w+_\(|.*\] ?[-+*]?= )") for n in towards)


@rule("listed: a function in a checkpoint that writes to what it is given")
def _written_in_checkpoint(case: Case) -> bool:
    ours = case.difference.ours
    words = "leaf Variable that requires grad is being used in an in-place|BackwardHookFunction is a view and is being modified"
    return "checkpoint(" in case.statement and isinstance(ours, Raised) and re.search(words, ours.text) is not None


@rule("listed: a module that gets hooks after a checkpoint ran it")
def _hooked_since(case: Case) -> bool:
    """The second run keeps what the hooks make of it."""
    later = re.search(r"checkpoint\((m\d+), [\s\S]*\n.*\b\1\.register_full_backward", case.text) is not None
    return later and case.raised("more tensors during recomputation", ours=True)


RERUN = "listed: a checkpoint's function runs again with what is there"


@rule(RERUN)
def _rerun(case: Case) -> bool:
    """PyTorch notices that what a reentrant checkpoint was given has been written to."""
    later = RERUN in case.earlier and case.difference.kind in ("has grad", "gradient", "gradient's dtype", "gradient's requires_grad")
    return (later or case.raised("modified by an inplace operation")) and case.around("use_reentrant=True")


@rule("listed: what a checkpoint returns is no view")
def _of_checkpoint(case: Case) -> bool:
    of_view = r"created inside a custom Function"  # and so of its parts
    kept = case.raised("deepcopy protocol", ours=True)  # which the module whose forward is run has kept of it
    again = re.search("use_reentrant=True", case.text) is not None
    return case.raised("of CheckpointFunction is a view") or again and (kept or (case.raised(of_view) and case.around("reentrant=True")))


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
    return refused and _WALKS.search(case.statement) is not None and case.around(used)


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

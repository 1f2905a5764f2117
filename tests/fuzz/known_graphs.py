"""Known differences in graphs: layouts and versions, nodes, hooks, views, flags, checkpoints, errors."""

from __future__ import annotations

import re

from .flow import names_of
from .rules import GRADIENT, VALUES, WALKS, Case, rule
from .running import Raised


def _row_major(strides: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if len(strides) != len(shape):  # the shape that PyTorch's has
        return False
    wanted = 1
    for stride, n in zip(reversed(strides), reversed(shape), strict=True):
        if n > 1 and stride != wanted:
            return False
        wanted *= max(n, 1)
    return True


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
    return before or len(WALKS.findall(case.statement)) > 1


def _releases(statement: str) -> bool:
    """Whether a statement walks a graph that it does not keep."""
    return len(WALKS.findall(statement)) > len(re.findall("retain_graph=True|create_graph=True", statement))


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

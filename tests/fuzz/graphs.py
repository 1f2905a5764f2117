"""The kinds of statements on the graph behind tensors: nodes, edges, hooks on several tensors and on what operators keep."""

from __future__ import annotations

from .drawing import Draw, rule
from .statements import real
from .training import Module, root, tracked


@rule("graph", 4)
def node_hook(d: Draw) -> str | None:
    x = d.pick(root)
    if not x:
        return None
    return f"{d.new('h')} = {x}.grad_fn." + d.one(
        "register_hook(node_noted)", "register_hook(node_doubled)", "register_prehook(all_noted)", "register_prehook(grads_doubled)"
    )  # fmt: skip


@rule("graph", 1.5)
def leaf_node_hook(d: Draw) -> str | None:
    x = d.pick(lambda t: t.requires_grad and t.is_leaf)
    if not x:
        return None
    node = d.one(f"torch.autograd.graph.get_gradient_edge({x}).node", f"{x}.view_as({x}).grad_fn.next_functions[0][0]")
    held = d.new("n")  # a node that nobody holds loses its hooks
    hook = d.one("register_prehook(grads_doubled)", "register_prehook(all_noted)", "register_hook(node_noted)")
    return f"{held} = {node}\n{d.new('h')} = {held}.{hook}"


@rule("graph", 2)
def hook_on_several(d: Draw) -> str | None:
    several = d.chance(0.6)
    x, y = d.pick(root if several else tracked), d.pick(root if several else tracked)
    if not (x and y):
        return None
    if not several:
        return f"{d.new('h')} = torch.autograd.graph.register_multi_grad_hook([{x}, {y}], noted, mode='any')"
    seen = d.new("g")  # a list of its own: when it comes is another matter (docs/differences.md)
    return f"{seen} = []\n{d.new('h')} = torch.autograd.graph.register_multi_grad_hook([{x}, {y}], {seen}.append)"


@rule("graph", 1.5)
def edge(d: Draw) -> str | None:
    x, y = d.pick(root), d.pick(tracked)
    if not (x and y):
        return None
    options = d.one("", ", retain_graph=True", ", allow_unused=True", ", create_graph=True")
    return f"{d.new('c')} = torch.autograd.grad({x}.sum(), torch.autograd.graph.get_gradient_edge({y}){options})"


@rule("graph", 2)
def look_at_node(d: Draw) -> str | None:
    x = d.pick(root)
    return x and d.one(
        f"log.append({x}.grad_fn.name())", f"log.append({x}.grad_fn is None)", f"log.append({x}.grad_fn == {x}.grad_fn)",
        f"log.append(type({x}.grad_fn).__name__)", f"{x}.grad_fn.metadata['k'] = 1\nlog.append(len({x}.grad_fn.metadata))",
    )  # fmt: skip


@rule("graph", 2)
def kept_by_hooks(d: Draw) -> str | None:
    inner = d.draw(["unary", "binary", "call", "reduction", "function"])
    if not inner:
        return None
    block = d.one("saved_tensors_hooks(lambda t: t.clone(), lambda t: t * 1)", "saved_tensors_hooks(lambda t: t.numpy(force=True), "
                  "torch.tensor)", "save_on_cpu()")  # fmt: skip
    return f"with torch.autograd.graph.{block}:\n" + "\n".join(f"    {line}" for line in inner.splitlines())


@rule("backward", 1)
def accumulation(d: Draw) -> str | None:
    x = d.pick(root)
    if not x:
        return None
    return d.one(
        f"for k in range(2):\n    ({x} * (k + 1)).sum().backward(retain_graph=True)",
        f"s = ({x} * {x}).sum()\ns.backward(retain_graph=True)\ns.backward()",
        f"s = {x}.sin().sum()\ns.backward(create_graph=True)\ns.backward()",
        f"torch.autograd.backward([{x}.sum(), ({x} * 2).sum()])",
    )  # fmt: skip


@rule("graph", 1.5)
def functional(d: Draw) -> str | None:
    x = d.pick(lambda t: real(t) and t.dim() > 0 and t.numel() > 0)
    if not x:
        return None
    name, create = d.new("c"), d.one("", ", create_graph=True")
    return f"{name} = torch.autograd.functional." + d.one(
        f"jacobian(rolled, {x}{create})", f"hessian(cubed, {x}{create})", f"vjp(rolled, {x}, torch.ones_like({x}){create})",
        f"jvp(rolled, {x}, torch.ones_like({x}){create})", f"hvp(cubed, {x}, torch.ones_like({x}){create})",
        f"vhp(cubed, {x}, torch.ones_like({x}){create})", f"jacobian(cubed, {x}, vectorize=True)",
    )  # fmt: skip


@rule("call", 0.8)
def called_otherwise(d: Draw) -> str | None:
    m, x = d.other(Module), d.pick(lambda t: t.dim() > 0 and t.shape[-1] == 3 and real(t))
    if not (m and x):
        return None
    halved = f"{{k: v * 0.5 for k, v in {m}.named_parameters()}}"
    return f"{d.new()} = " + d.one(
        f"torch.func.functional_call({m}, {halved}, ({x},))", f"torch.utils.checkpoint.checkpoint({m}, {x}, use_reentrant=False)",
        f"torch.utils.checkpoint.checkpoint({m}, {x}, use_reentrant=True)",
    )  # fmt: skip

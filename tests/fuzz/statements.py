"""The kinds of statements on tensors: leaves, arithmetic, views, writes, modes, reads."""

from __future__ import annotations

import torch

from .drawing import Draw, rule


def real(t: torch.Tensor) -> bool:
    return t.is_floating_point()


def smooth(t: torch.Tensor) -> bool:
    return t.is_floating_point() or t.is_complex()


def matrix(t: torch.Tensor) -> bool:
    return t.dim() == 2 and smooth(t)


def wide(t: torch.Tensor) -> bool:
    """Of type float64, which most matrices and modules have."""
    return t.dtype == torch.float64


def all_of(t: torch.Tensor) -> str:
    """All of a tensor as an index: three dots, which are an array of a parameter (docs/differences.md)."""
    return "[:]" if isinstance(t, torch.nn.Parameter) else "[...]"


def has_dim(t: torch.Tensor) -> bool:
    return t.dim() > 0


def writable(d: Draw, t: torch.Tensor) -> bool:
    """Mostly of what PyTorch lets be written to where gradients are on."""
    refused = t.requires_grad and (t.is_leaf or (t._base is not None and t._base.is_leaf and t._base.requires_grad))
    return not refused or d.chance(0.15)


def dim_of(d: Draw, name: str) -> int:
    rank = max(d.tensor(name).dim(), 1)
    return d.random.randint(-rank, rank - 1)


# ---- leaves


@rule("leaf", 5)
def leaf(d: Draw) -> str:
    dtype, shape = d.dtype(), d.shape()
    name = d.new()
    inside = f"torch.tensor({d.values(shape, dtype)}, dtype=torch.{dtype})"
    if 0 in shape or (1 in shape and d.chance(0.5)):
        inside = f"torch.full({shape}, {d.values((), dtype)}, dtype=torch.{dtype})"
    if dtype[0] in "fcb" and dtype != "bool" and d.chance(0.8):
        form = d.one("{}.requires_grad_()", "torch.nn.Parameter({})")
        return f"{name} = {form.format(inside)}"
    return f"{name} = {inside}"


@rule("leaf", 1.5)
def leaf_view(d: Draw) -> str:
    name = d.new()
    base = f"torch.tensor({d.values((6,), 'float64')}, dtype=torch.float64)"
    view = d.one(".view(2, 3)", ".view(3, 2).t()", "[::2]", "[1:4]", ".view(2, 3)[1]", "[2]", ".view(2, 1, 3)")
    return f"{name} = {d.one(f'{base}{view}.requires_grad_()', f'torch.nn.Parameter({base}{view})')}"


@rule("leaf", 1)
def leaf_made(d: Draw) -> str:
    name, shape = d.new(), d.shape()
    made = d.one(
        f"torch.ones({shape})", f"torch.zeros({shape})", f"torch.rand({shape})", f"torch.randn({shape})",
        "torch.arange(6)", "torch.arange(6.)", "torch.eye(3)", "torch.linspace(0, 1, 3)",
        f"torch.randint(0, 3, {shape})", f"torch.rand({shape}, dtype=torch.float64)",
        f"torch.randn({shape}, dtype=torch.float64, requires_grad=True)", "torch.randperm(3)",
    )  # fmt: skip
    return f"{name} = {made}"


# ---- arithmetic

UNARY = (
    "{}.tanh()", "torch.sigmoid({})", "torch.exp({} * 0.125)", "-{}", "{}.abs()", "torch.relu({})", "torch.sin({})",
    "{}.cos()", "({} * {} + 1).sqrt()", "{} ** 2", "{}.pow(3)", "{}.square()", "{}.clamp(-1, 1)", "{}.clone()",
    "torch.nn.functional.gelu({})", "torch.nn.functional.silu({})", "torch.nn.functional.softplus({})", "{}.erf()",
    "torch.nn.functional.leaky_relu({}, 0.25)", "torch.log1p({}.abs())", "{}.sign()", "1 / ({} + 10)", "{}.contiguous()",
    "torch.zeros_like({})", "torch.ones_like({})", "{}.reciprocal()", "{}.expm1()", "{}.round()", "{}.sinh()",
    "torch.nn.functional.hardtanh({})", "torch.nn.functional.elu({})", "{}.atan()", "{} * {}", "{}.nan_to_num()",
    "torch.nn.functional.dropout({}, 0.5)", "torch.rand_like({})", "torch.nn.functional.normalize({}, dim=-1)",
    "torch.sgn({})", "torch.full_like({}, 2)", "torch.nn.functional.threshold({}, 0.5, -1.0)",
)  # fmt: skip


@rule("unary", 5)
def unary(d: Draw) -> str | None:
    x = d.pick(real if d.chance(0.9) else lambda t: True)
    return x and f"{d.new()} = {d.one(*UNARY).replace('{}', x)}"


@rule("unary", 2)
def along(d: Draw) -> str | None:
    x = d.pick(lambda t: real(t) and t.dim() > 0)
    if not x:
        return None
    k = dim_of(d, x)
    form = d.one(
        f"torch.softmax({x}, {k})", f"{x}.log_softmax({k})", f"{x}.cumsum({k})", f"{x}.flip({k})", f"{x}.roll(1, {k})",
        f"{x}.sort({k}).values", f"{x}.sort({k}, descending=True)[1]", f"{x}.cumprod({k})", f"{x}.diff(dim={k})",
        f"{x}.topk(1, {k}).values", f"{x}.repeat_interleave(2, {k})", f"{x}.tril()", f"{x}.triu()", f"{x}.argsort({k})",
        f"{x}.index_select({k}, torch.tensor([0, 0]))", f"torch.cummax({x}, {k}).values", f"{x}.logcumsumexp({k})",
        f"torch.nn.functional.pad({x}, (1, 0))", f"{x}.renorm(2, 0, 1.0)", f"{x}.kthvalue(1, {k})[0]",
    )  # fmt: skip
    return f"{d.new()} = {form}"


@rule("unary", 1.5)
def cast(d: Draw) -> str | None:
    x = d.pick()
    return x and f"{d.new()} = {x}." + d.one(
        f"to(torch.{d.dtype()})", f"to(torch.{d.dtype()})", "double()", "float()", "long()", "bool()", "type_as(torch.ones(1))"
    )  # fmt: skip


@rule("binary", 6)
def binary(d: Draw) -> str | None:
    x = d.pick()
    if not x:
        return None
    y = d.operand(d.tensor(x))
    if d.chance(0.3):
        x, y = y, x
    form = d.random.choices(
        ["{} + {}", "{} - {}", "{} * {}", "{} / {}", "torch.maximum({}, {})", "torch.minimum({}, {})", "torch.where({} > 0, {}, 0.5)",
         "{} // {}", "{} % {}", "{} ** {}", "{} > {}", "{} == {}", "torch.add({}, {}, alpha=2)", "torch.atan2({}, {})",
         "torch.fmax({}, {})", "torch.sub({}, {}, alpha=3)", "torch.rsub({}, {})", "{} != {}", "torch.lerp({}, {}, 0.25)",
         "{} & {}", "torch.hypot({}, {})", "torch.copysign({}, {})", "torch.true_divide({}, {})", "torch.xlogy({}, {})"],
        [10, 10, 14, 3, 2, 2, 3, .5, .5, .7, 1.5, .7, 1, .5, .5, .5, .3, .3, 1, .2, .4, .3, .3, .3],
    )[0]  # fmt: skip
    return f"{d.new()} = {form.format(x, y)}"


@rule("binary", 3)
def matmul(d: Draw) -> str | None:
    x = d.pick(lambda t: smooth(t) and t.dim() in (1, 2))
    if not x:
        return None
    t = d.tensor(x)
    y = d.pick(lambda o: o.dtype == t.dtype and o.dim() in (1, 2) and t.dim() > 0 and o.shape[0] == t.shape[-1])
    if not y:
        return None
    both = d.tensor(y).dim() == 2 and t.dim() == 2
    forms = ["{} @ {}", "torch.matmul({}, {})"] + (["torch.mm({}, {})", "torch.nn.functional.linear({}, {}.t())"] * both)
    return f"{d.new()} = {d.one(*forms).format(x, y)}"


@rule("binary", 1.5)
def join(d: Draw) -> str | None:
    x = d.pick(lambda t: t.dim() > 0)
    if not x:
        return None
    t = d.tensor(x)
    y = d.pick(lambda o: o.shape == t.shape) or x
    k = dim_of(d, x)
    return f"{d.new()} = " + d.one(
        f"torch.cat([{x}, {y}], {k})", f"torch.stack([{x}, {y}], {k})", f"torch.cat([{x}, {x}])", f"torch.outer({x}, {y})",
        f"torch.vstack([{x}, {y}])", f"torch.einsum('...i,...i->...', {x}, {y})", f"torch.dot({x}, {y})",
        f"torch.addcmul({x}, {x}, {y}, value=0.5)", f"torch.nn.functional.mse_loss({x}, {y})", f"torch.cross({x}, {y}, dim={k})",
        f"torch.cdist({x}, {y})", f"torch.nn.functional.cosine_similarity({x}, {y}, dim={k})", f"torch.where({x} > {y}, {x}, {y})",
        f"torch.nn.functional.smooth_l1_loss({x}, {y}, reduction='none')", f"torch.dist({x}, {y})",
    )  # fmt: skip


@rule("reduction", 4)
def reduction(d: Draw) -> str | None:
    x = d.pick(real if d.chance(0.85) else lambda t: True)
    if not x:
        return None
    k = dim_of(d, x)
    keep = d.one("", ", keepdim=True")
    form = d.one(
        f"{x}.sum()", f"{x}.mean()", f"{x}.sum({k}{keep})", f"{x}.mean({k}{keep})", f"{x}.prod()", f"{x}.amax({k}{keep})",
        f"{x}.max({k}{keep}).values", f"{x}.min({k}{keep})[0]", f"{x}.max()", f"{x}.std()", f"{x}.var({k}, unbiased=False)",
        f"{x}.norm()", f"{x}.logsumexp({k})", f"{x}.argmax()", f"({x} > 0).any()", f"{x}.median()", f"{x}.norm(1, {k})",
        f"torch.linalg.vector_norm({x})", f"{x}.prod({k})", f"{x}.all()", f"torch.count_nonzero({x})", f"{x}.sum(({k},))",
        f"{x}.aminmax(dim={k})[1]", f"{x}.mode({k})[0]", f"{x}.trace()", f"{x}.nansum()", f"{x}.cumsum(0).sum()",
    )  # fmt: skip
    return f"{d.new()} = {form}"


# ---- views


@rule("view", 6)
def view(d: Draw) -> str | None:
    x = d.pick(lambda t: t.numel() > 0 or d.chance(0.3))
    if not x:
        return None
    t = d.tensor(x)
    k, n, rank = dim_of(d, x), t.numel(), t.dim()
    forms = [
        f"{x}.view(-1)", f"{x}.reshape(-1)", f"{x}[None]", f"{x}.unsqueeze({k})", f"{x}.squeeze()", f"{x}.flatten()",
        f"{x}.expand_as({x})", f"{x}.movedim(-1, 0)",
        f"{x}{all_of(t)}", f"{x}.view_as({x})", f"{x}.expand(2, *{x}.shape)", f"{x}.unsqueeze(-1)", f"{x}.view({x}.shape)",
    ]  # fmt: skip
    if rank:
        forms += [
            f"{x}[0]", f"{x}[-1]", f"{x}[1:]", f"{x}[::2]", f"{x}[..., 0]", f"{x}[..., 1:]", f"{x}.narrow({k}, 0, 1)",
            f"{x}.select({k}, 0)", f"{x}.transpose(0, {k})", f"{x}.unfold({k}, 1, 1)", f"{x}.chunk(2, {k})[0]",
            f"{x}.split(1, {k})[-1]", f"{x}.unbind({k})[0]", f"{x}.movedim(0, {k})", f"{x}.squeeze({k})", f"{x}[:, 0]",
            f"{x}.split_with_sizes([1, {x}.shape[{k}] - 1], {k})[0]",
            f"{x}.hsplit(1)[0]", f"{x}.narrow({k}, 0, 1).clone()", f"{x}.swapdims(0, {k})", f"{x}.adjoint()", f"{x}.mT",
            f"{x}.swapaxes(0, {k})", f"{x}[0:1]", f"{x}.unfold({k}, 2, 1)", f"{x}.tensor_split(2)[1]", f"{x}[:1].expand(3, *{x}.shape[1:])",
        ]  # fmt: skip
    if rank == 2:
        forms += [f"{x}.H", f"{x}.diagonal(1)", f"{x}.diagonal(0, 1, 0)", f"{x}.vsplit(1)[0]"]
        forms += [f"{x}.t()"] * 3 + [f"{x}.T", f"{x}.diagonal()", f"{x}.permute(1, 0)", f"{x}[1, 0]", f"{x}[:, 1:]"]
    if n == 6:
        forms += [f"{x}.view(2, 3)", f"{x}.view(3, 2)", f"{x}.reshape(3, 2)", f"{x}.unflatten(0, (-1, 1))"]
    if t.is_complex():
        forms += [f"torch.view_as_real({x})", f"{x}.real", f"{x}.imag", f"{x}.conj()"] * 4
    if real(t) and d.chance(0.25):
        forms = [f"{x}.view(torch.{d.one('int64', 'float64', 'float32', 'int32')})", f"torch.view_as_complex({x}.expand(2, 2))"]
    if n:
        forms += [f"{x}.as_strided((2,), (1,))", f"{x}.as_strided((2, 2), (1, 1))"] * (n > 2)
    return f"{d.new()} = {d.one(*forms)}"


@rule("view", 1.5)
def several_views(d: Draw) -> str | None:
    x = d.pick(lambda t: t.dim() > 0 and t.shape[0] > 1)
    return x and f"{d.new('c')} = {x}.{d.one('chunk(2)', 'split(1)', 'unbind()', 'unbind(-1)', 'tensor_split(2)')}"


@rule("view", 1)
def part(d: Draw) -> str | None:
    c = d.other((tuple, list))
    if c is None or not d.names[c]:
        return None
    return f"{d.new()} = {c}[{d.random.randrange(len(d.names[c]))}]"


@rule("view", 1.5)
def detached(d: Draw) -> str | None:
    x = d.pick()
    return x and f"{d.new()} = {x}.{d.one('detach()', 'data', 'detach()[...]', 'detach().clone()', 'data.view(-1)')}"


@rule("view", 1.2)
def indexed(d: Draw) -> str | None:
    x = d.pick(lambda t: t.dim() > 0 and t.shape[0] > 1)
    if not x:
        return None
    k = dim_of(d, x)
    return f"{d.new()} = " + d.one(
        f"{x}[[1, 0]]", f"{x}[torch.tensor([0, 1, 1])]", f"{x}[{x} > 0]", f"{x}[..., [0]]", f"{x}.take(torch.tensor([1, 0]))",
        f"{x}.gather({k}, torch.zeros_like({x}, dtype=torch.int64))", f"{x}[[True] + [False] * ({x}.shape[0] - 1)]",
        f"{x}.masked_fill({x} > 0, 0.5)", f"torch.masked_select({x}, {x} < 1)", f"{x}[[0], [1]]",
        f"{x}.index_fill({k}, torch.tensor([0]), 2)",
        f"{x}.scatter({k}, torch.zeros_like({x}, dtype=torch.int64), 1.5)",
    )  # fmt: skip


# ---- writes


@rule("write", 5)
def write(d: Draw) -> str | None:
    anything = d.chance(0.15)
    x = d.pick(lambda t: (anything or real(t)) and writable(d, t))
    if not x:
        return None
    y = d.operand(d.tensor(x))
    return d.one(
        f"{x}.mul_({y})", f"{x}.add_({y})", f"{x}.sub_({y}, alpha=2)", f"{x}.zero_()", f"{x}.fill_({d.number()})", f"{x} += {y}",
        f"{x} *= {y}", f"{x} -= {y}", f"{x}.copy_({y})" if y in d.names else f"{x}.mul_({y})", f"{x}.clamp_(-1, 1)",
        f"{x}.tanh_()", f"{x}.relu_()", f"{x}.neg_()", f"torch.nn.functional.relu({x}, inplace=True)", f"{x}.sigmoid_()",
        f"{x}.div_({y})", f"{x} /= 2", f"{x}.pow_(2)", f"{x}.abs_()", f"{x}.sin_()", f"{x}.lerp_({x}, 0.5)", f"{x}.square_()",
        f"{x}.masked_fill_({x} > 0, 0.25)", f"{x}.addcmul_({x}, {x}, value=0.5)", f"torch.mul({x}, {y}, out={x})", f"{x}.cumsum_(0)",
        f"{x}.exp_()",
    )  # fmt: skip


@rule("write", 4)
def write_part(d: Draw) -> str | None:
    x = d.pick(lambda t: t.dim() > 0 and t.numel() > 1 and writable(d, t))
    if not x:
        return None
    at = d.one(
        f"{x}[0]", f"{x}[-1]", f"{x}[1:]", f"{x}[::2]", f"{x}[..., 0]", f"{x}[:, 1]", f"{x}[{x} > 0]", f"{x}[[0]]",
        f"{x}[torch.tensor([1])]", f"{x}[..., :1]", f"{x}{all_of(d.tensor(x))}", f"{x}[:]", f"{x}[None, 0]",
    )  # fmt: skip
    y = d.one(d.number(), d.number(), d.operand(torch.empty(d.tensor(x).shape[1:])), d.operand(torch.empty(())))
    return d.one(f"{at} = {y}", f"{at} += {y}", f"{at} *= {y}", f"{at} = {at} * 2", f"{at} = {y}")


@rule("write", 2.5)
def write_view(d: Draw) -> str | None:
    x = d.pick(lambda t: t.numel() > 0 and real(t) and writable(d, t))
    if not x:
        return None
    t = d.tensor(x)
    at = d.one("view(-1)", "data", "detach()", "unsqueeze(0)", "view(-1)[:1]", "squeeze()", "reshape(-1)", *["t()"] * (t.dim() == 2),
               *["diagonal()"] * (t.dim() == 2),
               *["select(0, 0)", "narrow(0, 0, 1)", "chunk(2)[0]", "unbind(0)[0]"] * (t.dim() > 0))  # fmt: skip
    return f"{x}.{at}.{d.one('mul_(2)', 'zero_()', 'add_(1)', 'tanh_()', 'fill_(0.5)', 'neg_()')}"


@rule("write", 1.5)
def write_indexed(d: Draw) -> str | None:
    x = d.pick(lambda t: t.dim() > 0 and t.numel() > 0 and real(t) and writable(d, t))
    if not x:
        return None
    k = dim_of(d, x)
    return d.one(
        f"{x}.index_fill_({k}, torch.tensor([0]), 0.5)", f"{x}.index_add_({k}, torch.tensor([0]), {x}.narrow({k}, 0, 1) * 2)",
        f"{x}.scatter_({k}, torch.zeros_like({x}, dtype=torch.int64), 0.75)",
        f"{x}.index_copy_({k}, torch.tensor([0]), {x}.narrow({k}, 0, 1) + 1)",
        f"{x}.fill_diagonal_(1.0)", f"{x}.masked_scatter_({x} > 0, torch.ones_like({x}))",
        f"{x}.put_(torch.tensor([0]), torch.ones_like({x}).view(-1)[:1])",
        f"{x}.scatter_add_({k}, torch.zeros_like({x}, dtype=torch.int64), {x} * 1)",
        f"{x}.index_put_((torch.tensor([0]),), {x}[0] * 2, accumulate=True)",
    )  # fmt: skip


@rule("write", 1)
def reshape_in_place(d: Draw) -> str | None:
    x = d.pick()
    return x and f"{x}." + d.one(
        "unsqueeze_(0)", "squeeze_()", "t_()", "transpose_(0, -1)", "detach_()", "requires_grad_()", "requires_grad_(False)"
    )  # fmt: skip


@rule("write", 0.7)
def random_fill(d: Draw) -> str | None:
    x = d.pick(real)
    return x and f"{x}.{d.one('uniform_()', 'normal_()', 'bernoulli_(0.5)', 'uniform_(-1, 1)')}"


@rule("write", 0.6)
def swap_data(d: Draw) -> str | None:
    x = d.pick(smooth)
    if not x:
        return None
    y = d.pick(lambda t: t.shape == d.tensor(x).shape and t.dtype == d.tensor(x).dtype)
    return y and f"{x}.data = {y}.{d.one('detach().clone()', 'data', 'detach() * 2')}"


# ---- modes


@rule("mode", 4)
def without_gradients(d: Draw) -> str | None:
    inner = d.draw(["write", "view", "binary", "unary", "call", "leaf", "grad"])
    if not inner:
        return None
    mode = d.one("no_grad()", "no_grad()", "no_grad()", "enable_grad()", "set_grad_enabled(False)")
    more = d.draw(["write", "view"]) if d.chance(0.4) else None
    return f"with torch.{mode}:\n" + "\n".join(f"    {line}" for s in (inner, more) if s for line in s.splitlines())


# ---- reads


@rule("read", 5)
def read(d: Draw) -> str | None:
    x = d.pick()
    return x and "log.append(" + d.one(
        f"{x}.tolist()", f"repr({x})", f"{x}.sum().item()", f"{x}.shape", f"{x}.is_contiguous()", f"{x}.stride()",
        f"{x}.storage_offset()", f"str({x}.dtype)", f"bool(({x} > 0).any())", f"{x}._version", f"{x}.numel()",
        f"type({x}.grad_fn).__name__", "torch.is_grad_enabled()", f"len({x})", f"{x}.detach().numpy().tolist()",
        f"{x}.is_floating_point()", f"{x}.output_nr", f"torch.equal({x}, {x})", f"{x}.retains_grad", f"{x}.dim()", f"{x}.grad is None",
    ) + ")"  # fmt: skip


@rule("read", 1.5)
def branch(d: Draw) -> str | None:
    x = d.pick(lambda t: t.numel() > 0 and not t.is_complex() and bool(t.sum().abs() > 1e-6 or not t.any()))  # not by rounding
    inner = d.draw(["write", "binary", "view", "backward"])
    if not x or not inner:
        return None
    return f"if {x}.sum() > 0:\n" + "\n".join(f"    {line}" for line in inner.splitlines())


# ---- what is refused


@rule("error", 1)
def wrong(d: Draw) -> str | None:
    x = d.pick()
    if not x:
        return None
    name = d.new()
    return f"{name} = " + d.one(
        f"{x}.view(7)", f"{x}[9]", f"{x} + torch.ones(5)", f"{x} @ torch.ones(7)", f"{x}.sum(5)", f"{x}.item()", f"{x}.no_such",
        f"torch.cat([{x}, torch.ones(9)])", f"{x}.expand(1)", f"{x}.permute(0)", f"{x}.chunk(0)", f"int({x})", f"{x}.t()",
        f"torch.nn.functional.linear({x}, torch.ones(4, 7))", f"{x}.squeeze(4)", f"{x}.narrow(0, 0, 9)", f"{x}.reshape(5, -1)",
        f"{x}.index_select(0, torch.tensor([9]))", f"{x}.gather(0, torch.tensor([[7]]))", f"{x}.add_(torch.ones(2, 5, 1))",
        f"bool({x})", f"{x}['a']", f"torch.stack([{x}, torch.ones(8)])", f"{x}.requires_grad_().long().requires_grad_()",
        f"{x}.numpy()", f"{x} + 'a'", "torch.sum('a')",
    )  # fmt: skip

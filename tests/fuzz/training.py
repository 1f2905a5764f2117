"""The kinds of statements on gradients, modules, optimizers and files."""

from __future__ import annotations

import torch

from .drawing import Draw, rule
from .statements import real, smooth

Module, Optimizer = torch.nn.Module, torch.optim.Optimizer
Scheduler = torch.optim.lr_scheduler.LRScheduler
Handle = torch.utils.hooks.RemovableHandle


def tracked(t: torch.Tensor) -> bool:
    return t.requires_grad


def root(t: torch.Tensor) -> bool:
    return t.requires_grad and not t.is_leaf and t.is_floating_point()


# ---- backward


@rule("backward", 6)
def backward(d: Draw) -> str | None:
    x = d.pick(root)
    if not x:
        return None
    options = d.one("", "", "", "", "retain_graph=True", "retain_graph=True", "create_graph=True")
    if d.tensor(x).dim() == 0 and d.chance(0.7):
        return f"{x}.backward({options})"
    if d.chance(0.25):
        return f"{x}.backward(torch.ones_like({x}){options and ', ' + options})"
    return _reduced(d, x, options)


def _reduced(d: Draw, x: str, options: str) -> str:
    scalar = d.one(f"{x}.sum()", f"{x}.sum()", f"({x} * {x}).sum()", f"{x}.mean()", f"({x} * 0.5).tanh().sum()")
    return f"{scalar}.backward({options})"


@rule("backward", 2)
def gradients(d: Draw) -> str | None:
    x, y, z = d.pick(root), d.pick(tracked), d.pick(tracked)
    if not (x and y and z):
        return None
    options = d.one("", "", ", retain_graph=True", ", create_graph=True", ", create_graph=True", ", allow_unused=True",
                    ", create_graph=True, allow_unused=True", ", materialize_grads=True")  # fmt: skip
    inputs = y if d.chance(0.4) else f"[{y}, {z}]"
    return f"{d.new('c')} = torch.autograd.grad({x}.sum(), {inputs}{options})"


@rule("backward", 1)
def penalty(d: Draw) -> str | None:
    x, y = d.pick(root), d.pick(lambda t: t.requires_grad and t.is_floating_point())
    if not (x and y):
        return None
    name = d.new()
    return f"{name}, = torch.autograd.grad({x}.sum(), {y}, create_graph=True)\n({name} ** 2).sum().backward()"


@rule("backward", 0.7)
def towards(d: Draw) -> str | None:
    x, y = d.pick(root), d.pick(tracked)
    return x and y and f"torch.autograd.backward([{x}.sum()], inputs=[{y}])"


@rule("grad", 4)
def gradient(d: Draw) -> str | None:
    x = d.pick(lambda t: t.is_leaf and t.grad is not None) or d.pick(lambda t: t.is_leaf and t.requires_grad)
    if not x:
        return None
    return d.one(
        f"{x}.grad = None", f"{x}.grad.zero_()", f"{x}.grad.mul_(0.5)", f"{d.new()} = {x}.grad * 2", f"{d.new()} = {x}.grad",
        f"{x}.grad = torch.ones_like({x})", f"with torch.no_grad():\n    {x} -= 0.1 * {x}.grad", f"{x}.data.sub_({x}.grad * 0.5)",
        f"{x}.grad = {x}", f"{x}.grad.add_({x}.grad)", f"torch.nn.utils.clip_grad_norm_([{x}], 0.5)", f"{x}.grad += 1",
        f"torch.nn.utils.clip_grad_value_([{x}], 0.25)", f"log.append({x}.grad.tolist())", f"log.append(repr({x}.grad))",
        f"{x}.grad = {x}.grad.detach().clone()", f"{x}.grad = torch.ones(7)",
    )  # fmt: skip


@rule("hook", 4)
def hook(d: Draw) -> str | None:
    x = d.pick(tracked)
    what = d.random.choices(["doubled", "noted", "cut_off", "refusing"], [5, 4, 1, 0.3])[0]
    return x and f"{d.new('h')} = {x}.register_hook({what})"


@rule("hook", 4)
def keep_gradient(d: Draw) -> str | None:
    x = d.pick(lambda t: t.requires_grad and not t.is_leaf) or d.pick(tracked)
    return x and f"{x}.retain_grad()"


@rule("hook", 0.8)
def accumulated(d: Draw) -> str | None:
    x = d.pick(lambda t: t.is_leaf and t.requires_grad)
    return x and f"{d.new('h')} = {x}.register_post_accumulate_grad_hook(stepped)"


@rule("hook", 0.8)
def remove_hook(d: Draw) -> str | None:
    h = d.other(Handle)
    return h and f"{h}.remove()"


@rule("function", 1)
def custom_function(d: Draw) -> str | None:
    x = d.pick(real)
    if not x:
        return None
    y = d.pick(lambda t: t.shape == d.tensor(x).shape and t.dtype == d.tensor(x).dtype)
    name = d.new()
    return d.one(
        f"{name} = SavesOutput.apply({x})", f"{name} = SavesInputs.apply({x}, {y})", f"{name} = Scaled.apply({x}, 2.5)",
        f"{name} = InPlace.apply({x})", f"{name}, {d.new()} = TwoResults.apply({x})", f"{name} = InPlace.apply({x} * 1)",
        f"{name}, {d.new()} = SavesIntermediate.apply({x})", f"{name}, {d.new()} = PassesOn.apply({x})",
        f"{name} = torch.utils.checkpoint.checkpoint(rolled, {x}, use_reentrant={d.one('False', 'True')})",
    )  # fmt: skip


# ---- modules


@rule("module", 4)
def module(d: Draw) -> str:
    wide = "dtype=torch.float64"
    return f"{d.new('m')} = " + d.one(
        f"torch.nn.Linear(3, {d.one(2, 3)}, {wide})", f"torch.nn.Linear(3, 3, bias=False, {wide})", "Net()", "Residual()",
        f"torch.nn.Sequential(torch.nn.Linear(3, 3, {wide}), torch.nn.ReLU(inplace=True), torch.nn.Linear(3, 2, {wide}))",
        f"torch.nn.Sequential(torch.nn.Linear(3, 3, {wide}), torch.nn.Tanh(), torch.nn.Dropout(0.5))",
        f"torch.nn.LayerNorm(3, {wide})", f"torch.nn.BatchNorm1d(3, {wide})", "torch.nn.Linear(3, 2)", "torch.nn.ReLU(inplace=True)",
        "torch.nn.Embedding(4, 3)", f"torch.nn.PReLU({wide})", "torch.nn.Dropout(0.5)", f"torch.nn.Bilinear(3, 3, 2, {wide})",
    )  # fmt: skip


@rule("call", 5)
def call(d: Draw) -> str | None:
    m = d.other(Module)
    if not m:
        return module(d)
    found = d.names[m]
    dtype = next((p.dtype for p in found.parameters()), None)
    if isinstance(found, torch.nn.Embedding):
        x = d.pick(lambda t: t.dtype == torch.int64 and t.numel() > 0 and 0 <= t.min() and t.max() < 4)
    else:
        x = d.pick(lambda t: t.dim() > 0 and t.shape[-1] == 3 and (t.dtype == dtype or (dtype is None and real(t))))
    if isinstance(found, torch.nn.Bilinear):
        return x and f"{d.new()} = {m}({x}, {x})"
    return x and f"{d.new()} = {m}({x})"


@rule("call", 1)
def state_of_module(d: Draw) -> str | None:
    m = d.other(Module)
    if not m:
        return None
    return d.one(
        f"{m}.train()", f"{m}.eval()", f"{m}.zero_grad()", f"{m}.zero_grad(set_to_none=False)", f"{m}.requires_grad_(False)",
        f"{m}.requires_grad_()", f"{m}.double()", f"{m}.float()", f"{d.new()} = next({m}.parameters())", f"log.append(repr({m}))",
        f"log.append([n for n, _ in {m}.named_parameters()])", f"{m}.load_state_dict({m}.state_dict())",
        f"{m}.load_state_dict({{k: v * 0.5 for k, v in {m}.state_dict().items()}})", f"{d.new('d')} = {m}.state_dict()",
        f"with torch.no_grad():\n    for p in {m}.parameters():\n        p.mul_(0.5)", f"{m}.extra = {d.pick(smooth)}",
    )  # fmt: skip


@rule("module", 1)
def share_weights(d: Draw) -> str | None:
    a, b = d.other(torch.nn.Linear), d.other(torch.nn.Linear)
    if not (a and b) or d.chance(0.3):
        name, wide = d.new("m"), "dtype=torch.float64"
        made = f"{name} = torch.nn.Sequential(torch.nn.Linear(3, 3, {wide}), torch.nn.Tanh(), torch.nn.Linear(3, 3, {wide}))"
        return f"{made}\n{name}[2].weight = {name}[0].weight"
    return d.one(f"{a}.weight = {b}.weight", f"{a}.bias = {b}.bias", f"{d.new('m')} = torch.nn.Sequential({a}, {b})")


@rule("module hook", 1)
def module_hook(d: Draw) -> str | None:
    m = d.other(Module)
    if not m:
        return None
    return f"{d.new('h')} = {m}." + d.one(
        "register_forward_hook(note_call)", "register_forward_hook(change_call)", "register_forward_hook(read_call)",
        "register_forward_pre_hook(change_given)", "register_full_backward_hook(note_backward)",
        "register_full_backward_hook(change_backward)", "register_full_backward_hook(note_backward)",
        "register_full_backward_pre_hook(change_output_gradient)", "register_forward_hook(refusing)",
    )  # fmt: skip


# ---- optimizers


def _parameters(d: Draw) -> str | None:
    m, x, y = d.other(Module), d.pick(lambda t: t.is_leaf and t.requires_grad), d.pick(lambda t: t.is_leaf and t.requires_grad)
    if m and d.chance(0.5):
        return f"{m}.parameters()" if d.chance(0.6) or not x else f"[{{'params': {m}.parameters()}}, {{'params': [{x}], 'lr': 0.5}}]"
    if x and y:
        return f"[{x}]" if d.chance(0.5) or x == y else f"[{{'params': [{x}]}}, {{'params': [{y}], 'lr': 0.25, 'weight_decay': 0.1}}]"
    return None


@rule("optimizer", 3)
def optimizer(d: Draw) -> str | None:
    given = _parameters(d)
    return given and f"{d.new('o')} = torch.optim." + d.one(
        f"SGD({given}, lr=0.1)", f"SGD({given}, lr=0.1, momentum=0.9)", f"Adam({given}, lr=0.05)", f"AdamW({given}, lr=0.05)",
        f"SGD({given}, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)", f"RMSprop({given}, lr=0.05)",
        f"Adagrad({given}, lr=0.1)", f"Adam({given}, lr=0.05, amsgrad=True, maximize=True)", f"NAdam({given}, lr=0.05)",
        f"Adadelta({given}, lr=0.5)", f"RAdam({given}, lr=0.05)", f"Adamax({given}, lr=0.05)", f"ASGD({given}, lr=0.1)",
        f"Rprop({given}, lr=0.1)",
    )  # fmt: skip


@rule("optimizer", 2)
def scheduler(d: Draw) -> str | None:
    o = d.other(Optimizer)
    return o and f"{d.new('s')} = torch.optim.lr_scheduler." + d.one(
        f"StepLR({o}, 1, gamma=0.5)", f"ExponentialLR({o}, 0.9)", f"CosineAnnealingLR({o}, 4)", f"LambdaLR({o}, lambda k: 1 / (k + 1))",
        f"MultiStepLR({o}, [1, 2])", f"LinearLR({o}, 0.5, total_iters=3)", f"OneCycleLR({o}, 0.5, total_steps=20)",
        f"CosineAnnealingWarmRestarts({o}, 2)", f"ConstantLR({o}, 0.5, total_iters=2)", f"PolynomialLR({o}, 4)",
        f"CyclicLR({o}, 0.1, 0.5, step_size_up=2, cycle_momentum=False)", f"MultiplicativeLR({o}, lambda k: 0.95)",
    )  # fmt: skip


@rule("step", 5)
def step(d: Draw) -> str | None:
    o = d.other(Optimizer)
    if not o:
        return optimizer(d)
    x = d.pick(lambda t: t.is_leaf and t.requires_grad)
    return d.one(
        f"{o}.step()", f"{o}.step()", f"{o}.step()", f"{o}.zero_grad()", f"{o}.zero_grad(set_to_none=False)",
        f"log.append({o}.param_groups[0]['lr'])", f"{o}.load_state_dict({o}.state_dict())", f"{o}.param_groups[0]['lr'] *= 0.5",
        f"{o}.add_param_group({{'params': [{x}], 'lr': 0.01}})", f"log.append(repr({o}))", f"{o}.step()\n{o}.zero_grad()",
    )  # fmt: skip


@rule("step", 3)
def step_scheduler(d: Draw) -> str | None:
    s = d.other(Scheduler)
    if not s:
        return scheduler(d)
    return d.one(f"{s}.step()", f"{s}.step()", f"{s}.step()", f"{s}.step()",
                 f"log.append({s}.get_last_lr())", f"{s}.load_state_dict({s}.state_dict())",
                 f"log.append({{k: v for k, v in {s}.state_dict().items() if isinstance(v, (int, float))}})")  # fmt: skip


@rule("step", 3)
def training_step(d: Draw) -> str | None:
    o, x = d.other(Optimizer), d.pick(root)
    return o and x and f"{o}.zero_grad()\n{_reduced(d, x, '')}\n{o}.step()"


# ---- copies and files


@rule("copy", 4)
def copied(d: Draw) -> str | None:
    x = d.pick()
    return x and f"{d.new()} = " + d.one(
        f"copy.deepcopy({x})", f"copy.copy({x})", f"pickle.loads(pickle.dumps({x}))", f"copy.deepcopy([{x}, {x}])[1]",
        f"torch.tensor({x}.tolist())", f"{x}.clone().detach().requires_grad_()", f"torch.nn.Parameter({x})", f"{x}.new_ones(2, 3)",
        f"torch.nn.Parameter({x}.detach().clone())", f"{x}.new_tensor([1, 2])", f"torch.as_tensor({x})", f"torch.tensor({x})",
    )  # fmt: skip


@rule("copy", 2)
def saved(d: Draw) -> str | None:
    x, y, m, o = d.pick(), d.pick(), d.other(Module), d.other(Optimizer)
    parts = [f"'x': {x}, 'y': {y}"] * bool(x and y) + [f"'m': {m}.state_dict()"] * bool(m) + [f"'o': {o}.state_dict()"] * bool(o)
    if not parts:
        return None
    name = d.new("d")
    lines = ["f = io.BytesIO()", f"torch.save({{{', '.join(parts)}}}, f)", "f.seek(0)", f"{name} = torch.load(f)"]
    if m and d.chance(0.5):
        lines.append(f"{m}.load_state_dict({name}['m'])")
    if o and d.chance(0.5):
        lines.append(f"{o}.load_state_dict({name}['o'])")
    if x and y:
        lines.append(f"{d.new()} = {name}['{d.one('x', 'y')}']")
    return "\n".join(lines)


@rule("copy", 1)
def copied_module(d: Draw) -> str | None:
    m, o = d.other(Module), d.other(Optimizer)
    if m and o and d.chance(0.4):
        return f"{d.new('m')}, {d.new('o')} = copy.deepcopy(({m}, {o}))"
    return m and f"{d.new('m')} = {d.one('copy.deepcopy({})', 'copy.deepcopy({})', 'copy.copy({})').format(m)}"

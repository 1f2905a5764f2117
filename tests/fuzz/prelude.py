"""What every random program may name: custom Functions, modules and hooks, as source for both libraries.

A script that reproduces a difference carries the pieces that it uses, and nothing else.
"""

from __future__ import annotations

from typing import Any

HEADER = "import copy\nimport io\nimport pickle\n\nlog = []\n"

#: Name -> source. `torch` is whichever library runs the program.
PIECES: dict[str, str] = {
    "SavesOutput": '''
class SavesOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = (x * 0.25).exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y * 0.25
''',
    "SavesInputs": '''
class SavesInputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y + x

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        left = (g * (y + 1)).sum_to_size(x.shape) if ctx.needs_input_grad[0] else None
        right = (g * x).sum_to_size(y.shape) if ctx.needs_input_grad[1] else None
        return left, right
''',
    "Scaled": '''
class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(x, factor):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None
''',
    "InPlace": '''
class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(3)

    @staticmethod
    def backward(ctx, g):
        return g * 3
''',
    "TwoResults": '''
class TwoResults(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        positive = x > 0
        ctx.mark_non_differentiable(positive)
        ctx.save_for_backward(positive)
        return x.clone(), positive

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g, _):
        (positive,) = ctx.saved_tensors
        return g * positive * 2
''',
    "SavesIntermediate": '''
class SavesIntermediate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        h = x.tanh()
        y = h * x
        ctx.save_for_backward(x, h, y)
        return y, h

    @staticmethod
    def backward(ctx, g, gh):
        x, h, _ = ctx.saved_tensors
        return g * h + (g * x + gh) * (1 - h * h)
''',
    "PassesOn": '''
class PassesOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x, x.view(-1)

    @staticmethod
    def backward(ctx, g, flat):
        if g is None:
            return None if flat is None else flat.sum() * 0
        return g * 2
''',
    "Net": '''
class Net(torch.nn.Module):
    """Reads a value in its forward, writes in place, and keeps what it saw."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 3, dtype=torch.float64)
        self.last = torch.nn.Linear(3, 2, dtype=torch.float64)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.seen = None

    def forward(self, x):
        h = torch.tanh(self.first(x))
        self.calls += 1
        if h.sum().item() > 0:
            h = h * 2
        h[..., 0].mul_(0.5)
        self.seen = h
        return self.last(h)
''',
    "Residual": '''
class Residual(torch.nn.Module):
    """A weight used twice, and a keyword argument that is no tensor."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[0.5, -0.25, 1.0], [0.0, 1.5, -1.0], [0.25, 0.75, -0.5]], dtype=torch.float64))
        self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x, times=2):
        for _ in range(times):
            x = x + torch.relu(x @ self.weight.t()) * self.scale
        return x
''',
    "doubled": '''
def doubled(g):
    return g * 2
''',
    "noted": '''
def noted(g):
    log.append(g.clone())
''',
    "node_noted": '''
def node_noted(given, grads):
    log.append([None if g is None else g.clone() for g in grads])
''',
    "node_doubled": '''
def node_doubled(given, grads):
    return tuple(None if g is None else g * 2 for g in given)
''',
    "grads_doubled": '''
def grads_doubled(grads):
    return tuple(None if g is None else g * 2 for g in grads)
''',
    "all_noted": '''
def all_noted(grads):
    log.append([None if g is None else g.clone() for g in grads])
''',
    "cubed": '''
def cubed(x):
    return (x ** 3 + x[..., :1] * x).sum()
''',
    "rolled": '''
def rolled(x):
    return x * x.roll(1, 0) * 0.5
''',
    "cut_off": '''
def cut_off(g):
    return torch.zeros_like(g)
''',
    "refusing": '''
def refusing(*given):
    raise ValueError("refused")
''',
    "stepped": '''
def stepped(p):
    log.append(p.grad.clone())
    p.grad = None
''',
    "note_call": '''
def note_call(module, given, result):
    log.append((result.detach() * 2).tolist())
''',
    "change_call": '''
def change_call(module, given, result):
    return result * 0.5
''',
    "read_call": '''
def read_call(module, given, result):
    log.append(result.sum().item())
''',
    "change_given": '''
def change_given(module, given):
    return (given[0] + 1, *given[1:])
''',
    "note_backward": '''
def note_backward(module, grad_input, grad_output):
    log.append([None if g is None else g.clone() for g in (*grad_input, *grad_output)])
''',
    "change_backward": '''
def change_backward(module, grad_input, grad_output):
    return tuple(None if g is None else g * 3 for g in grad_input)
''',
    "change_output_gradient": '''
def change_output_gradient(module, grad_output):
    return tuple(None if g is None else g + 1 for g in grad_output)
''',
}  # fmt: skip


def used_by(text: str) -> list[str]:
    """The pieces that a program names."""
    return [name for name in PIECES if name in text]


def namespace(library: Any) -> dict[str, Any]:
    """The names of a program before its first statement, for one library."""
    made: dict[str, Any] = {"torch": library, "__name__": "fuzzed"}
    exec(HEADER + "".join(PIECES.values()), made)
    return made

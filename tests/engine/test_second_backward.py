"""A second backward without ``retain_graph``: allowed where nothing was saved, refused where something was, as in PyTorch."""

from __future__ import annotations

import pytest

from .both import attempt, same

SAVES_NOTHING = {
    "add": lambda torch, x, c: x + c,
    "add a number": lambda torch, x, c: x + 3,
    "subtract": lambda torch, x, c: c - x,
    "negate": lambda torch, x, c: -x,
    "sum": lambda torch, x, c: x.sum(0),
    "mean": lambda torch, x, c: x.mean(1, keepdim=True),
    "view": lambda torch, x, c: x.view(-1),
    "transpose": lambda torch, x, c: x.t(),
    "select": lambda torch, x, c: x[1],
    "slice": lambda torch, x, c: x[:, 1:],
    "expand": lambda torch, x, c: x.expand(2, 2, 3),
    "cat": lambda torch, x, c: torch.cat([x, c, x]),
    "stack": lambda torch, x, c: torch.stack([x, x], 1),
    "chunk": lambda torch, x, c: x.chunk(2)[1],
    "clone": lambda torch, x, c: x.clone(),
    "to": lambda torch, x, c: x.double(),
    "flip": lambda torch, x, c: x.flip(0),
    "roll": lambda torch, x, c: x.roll(1, 0),
    "repeat": lambda torch, x, c: x.repeat(2, 1),
    "pad": lambda torch, x, c: torch.nn.functional.pad(x, (1, 1)),
    "tril": lambda torch, x, c: x.tril(),
    "cumsum": lambda torch, x, c: x.cumsum(0),
    "diagonal": lambda torch, x, c: x.diagonal(),
    "diag": lambda torch, x, c: x[:, :2].diag(),
    "trace": lambda torch, x, c: x[:, :2].trace(),
    "several": lambda torch, x, c: (x + c).view(-1).sum() + x.mean(),
    "write": lambda torch, x, c: (x + c).view(-1).add_(1),
}
SAVES = {
    "multiply": lambda torch, x, c: x * c,
    "multiply by a number": lambda torch, x, c: x * 2,
    "divide by a number": lambda torch, x, c: x / 2,
    "power": lambda torch, x, c: x**2,
    "exp": lambda torch, x, c: x.exp(),
    "relu": lambda torch, x, c: x.relu(),
    "abs": lambda torch, x, c: x.abs(),
    "matmul": lambda torch, x, c: x @ c.t(),
    "linear": lambda torch, x, c: torch.nn.functional.linear(c, x),
    "where": lambda torch, x, c: torch.where(c > 0, x, c),
    "masked_fill": lambda torch, x, c: x.masked_fill(c > 0, 1.0),
    "index": lambda torch, x, c: x[torch.tensor([0, 1])],
    "gather": lambda torch, x, c: x.gather(0, torch.zeros(1, 3, dtype=torch.int64)),
    "max": lambda torch, x, c: x.max(0)[0],
    "sort": lambda torch, x, c: x.sort(0)[0],
    "prod": lambda torch, x, c: x.prod(0),
    "softmax": lambda torch, x, c: x.softmax(0),
    "norm": lambda torch, x, c: x.norm(),
    "clamp": lambda torch, x, c: x.clamp(0, 1),
    "behind a sum": lambda torch, x, c: (x * x).sum(0) + c,
}
ALL = {**SAVES_NOTHING, **SAVES}
READS = {"no read": "", "between": "b", "before": "a", "both": "ab"}


@pytest.mark.parametrize("reads", ["no read", "both", pytest.param("before", marks=pytest.mark.long),
                                   pytest.param("between", marks=pytest.mark.long)])  # fmt: skip
@pytest.mark.parametrize("name", ALL)
def test_operator(name, reads):
    def program(torch):
        x = torch.tensor([[0.5, 1.0, 2.0], [-0.5, 0.25, 1.5]], requires_grad=True)
        h = ALL[name](torch, x, torch.ones(2, 3) * 0.5)
        if "a" in READS[reads]:
            h.tolist()
        h.sum().backward()
        if "b" in READS[reads]:
            h.tolist()
        answer = attempt(lambda: h.tanh().sum().backward())
        first = None if answer is None else answer[:60]
        return first, x.grad, [attempt(lambda: h.sum().backward()) is None for _ in range(2)], x.grad

    same(program)


@pytest.mark.parametrize("read", [False, True])
def test_kinds_of_second_walks(read):
    """With hooks, retained gradients, create_graph, `autograd.grad`, through a Function that saved nothing, over two parts."""

    def program(torch):
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x + x

            @staticmethod
            def backward(ctx, g):
                return g + g

        found, log = [], []
        x, c = torch.tensor([0.5, 1.0], requires_grad=True), torch.ones(2)
        h = x + c
        u = Double.apply(h) - c
        if read:
            u.tolist()
        u.retain_grad()
        h.register_hook(lambda g: log.append(g.tolist()))
        v = u.view(2, 1) + 1
        v.sum().backward()
        if read:
            v.tolist()
        v.tanh().sum().backward()
        found += [x.grad.clone(), u.grad.clone(), list(log)]
        (g,) = torch.autograd.grad(v.sin().sum(), x, create_graph=True)
        found += [g, torch.autograd.grad(g.sum(), x)[0]]
        found.append(attempt(lambda: torch.autograd.grad((v * v).sum(), [x, h])))
        return found

    same(program)


@pytest.mark.parametrize("read", [False, True])
def test_a_hook_behind_a_backward(read):
    def program(torch):
        log = []
        x = torch.tensor([0.5, 1.0], requires_grad=True)
        saved, plain = x.exp(), x + 1
        (saved + plain).sum().backward()
        if read:
            (saved.tolist(), plain.tolist())
        saved.register_hook(lambda g: None)  # PyTorch calls it, then finds that the graph is gone
        plain.register_hook(lambda g: log.append(g.tolist()))
        plain.retain_grad()
        answers = [attempt(lambda t=t: (t + 1).sum().backward()) for t in (saved, plain)]
        return [a is None for a in answers], log, plain.grad, x.grad

    same(program)


def test_accumulated_results_keep_no_old_parameters():
    """Sums of losses over steps, a loss that is held, a linear penalty: every step's memory is released."""
    import gc

    import jaxnn

    model = jaxnn.nn.Linear(64, 64)
    made = jaxnn.optim.SGD(model.parameters(), 0.1)
    x, kept, total, counts = jaxnn.ones(4, 64), [], 0.0, []
    for _ in range(8):
        made.zero_grad()
        loss = model(x).pow(2).mean() + model.weight.sum() * 1e-3
        loss.item()
        loss.backward()
        made.step()
        kept.append(loss)
        total = total + loss
        float(model.bias.detach().sum())
        gc.collect()
        counts.append(sum(a.nbytes for a in _live()))
    assert counts[-1] - counts[3] < 64 * 64 * 4, counts


def _live():
    import jax

    return jax.live_arrays()


TYPES = ["float32", "float64", "float16", "bfloat16", "complex64", "int64", "bool"]


@pytest.mark.parametrize("of", TYPES[:5])
def test_a_gradient_of_another_type(of):
    """PyTorch casts between floating types, and refuses where one is complex."""

    def program(torch):
        found = []
        for given in TYPES:
            x = torch.tensor([0.5, 1.0]).to(getattr(torch, of)).requires_grad_()
            ones = torch.ones(2, dtype=getattr(torch, given))
            found.append(attempt(lambda: (x * 2).backward(ones)))
            found.append(attempt(lambda: torch.autograd.grad((x + 1).view(2, 1), x, ones.view(2, 1))[0].tolist()))
            found.append(None if x.grad is None else (str(x.grad.dtype), x.grad.tolist()))
        return found

    same(program)


@pytest.mark.parametrize("answer", [
    lambda g: g.double(), lambda g: g.half(), lambda g: g[:1], lambda g: 3, lambda g: (g,), lambda g: g.unsqueeze(0), lambda g: g * 2,
])  # fmt: skip
def test_what_a_tensor_hook_may_return(answer):
    def hook(g):
        return answer(g)

    def program(torch):
        found = []
        for on_leaf in (False, True):
            x = torch.tensor([0.5, 1.0], requires_grad=True)
            y = x * 2
            (x if on_leaf else y).register_hook(hook)
            found += [attempt(lambda: y.sum().backward()), x.grad]
        return found

    same(program)

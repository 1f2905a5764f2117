"""Backwards that are asked for some gradients only: what else runs, which hooks are called, what a released graph refuses."""

from __future__ import annotations

import pytest

from .both import attempt, same

SETUP = """
x, z, w = (torch.full((2,), v, requires_grad=True) for v in (0.5, 1.5, 2.5))
def note(name, factor=None):
    def hook(g):
        log.append((name, g))
        return None if factor is None else g * factor
    return hook
"""

#: Each runs as it stands, and with values read (`read`), which cuts the graph.
PROGRAMS = {
    "a hook of a leaf": "x.register_hook(note('x', 2)); y = (x * 3).sum(); read(y); log.append(grad(y, [x]))",
    "a leaf twice": "x.register_hook(note('x', 2)); y = (x * 3).sum(); read(y); log.append(grad(y, [x, x]))",
    "a leaf twice in backward": "x.register_hook(note('x', 2)); y = (x * 3).sum(); read(y); y.backward(inputs=[x, x])",
    "a result twice": "h = x * 2; h.register_hook(note('h', 2)); y = (h * 3).sum(); read(y); log.append(grad(y, [h, h]))",
    "a result and its leaf": (
        "h = x * 2; h.register_hook(note('h', 2)); y = (h * 3).sum(); read(h)\n"
        "log.append(grad(y, [h, x]))"
    ),
    "a retained result": "h = x * 2; h.retain_grad(); y = (h * 3).sum(); read(h); log.append([*grad(y, [h, x]), h.grad])",
    "retained, not asked for": "h = x * 2; h.retain_grad(); y = (h * 3).sum(); read(h); log.append([*grad(y, [x]), h.grad])",
    "nothing to run": (
        "h = x * 2; h.retain_grad(); y = (h * 3).sum(); read(y)\n"
        "log.append(grad(y, [z], allow_unused=True)); log.append(h.grad)"
    ),
    "another branch": (
        "h = x.exp(); h.register_hook(note('h')); y = (h * z).sum(); y.register_hook(note('y')); read(y)\n"
        "log.append(grad(y, [z]))"
    ),
    "another branch in backward": "h = x.exp(); h.register_hook(note('h')); y = (h * z).sum(); read(h); y.backward(inputs=[z])",
    "backward to a result": (
        "h = x * 2; y = (h * 3).sum(); read(h); y.backward(inputs=[h])\n"
        "log.append([h.grad, h.retains_grad])"
    ),
    "backward to a retained result": (
        "h = x * 2; h.retain_grad(); y = (h * 3).sum(); read(h); y.backward(inputs=[h, x])\n"
        "log.append(h.grad)"
    ),
    "backward to a view": (
        "h = x * 2; v = h[:1]; y = (v * 3).sum() + h.sum(); read(h); y.backward(inputs=[v])\n"
        "log.append(v.grad)"
    ),
    "backward past a retained result": (
        "h = x * 2; h.retain_grad(); y = (h * 3).sum(); read(h); y.backward(inputs=[x])\n"
        "log.append(h.grad)"
    ),
    "a view with hooks": (
        "h = x.exp(); v = h[:1]; v.register_hook(note('v')); h.register_hook(note('h', 2)); y = (h * 2).sum() + v.sum()\n"
        "read(y)\nfor asked in ([v], [h], [h, v, x]): log.append(grad(y, asked, retain_graph=True))"
    ),
    "released, not needed": "h = x.exp(); h.sum().backward(); y = h * z; log.append(grad(y.sum(), [z]))",
    "released and needed": (
        "h = x.exp(); h.sum().backward(); read(h); y = h * z\n"
        "log.append(attempt(lambda: grad(y.sum(), [z, x])))"
    ),
    "released on one of two ways": (
        "h = x.exp(); h.sum().backward(); read(h); y = h * x\n"
        "log.append(attempt(lambda: grad(y.sum(), [x])))"
    ),
    "up to a released result": "h = x.exp(); h.sum().backward(); read(x.grad); log.append(grad(h.sum(), [h]))",
    "beyond a released result": (
        "h = x.exp(); h.sum().backward(); read(x.grad)\n"
        "log.append(attempt(lambda: grad(h.sum(), [h, x])))"
    ),
    "backward beside what was released": "h = x.exp(); (h * 3).sum().backward(); y = h * z; y.sum().backward(inputs=[z])",
    "backward that runs a released operator": (
        "h = x.exp(); h.sum().backward()\n"
        "log.append(attempt(lambda: h.sum().backward(inputs=[h])))"
    ),
    "a Function in another branch": (
        "h = Exp.apply(x, w); y = h * z; read(y)\n"
        "for asked in ([z], [h], [x]): log.append(grad(y.sum(), asked, retain_graph=True))\n"
        "y.sum().backward(inputs=[z])"
    ),
    "stops requiring a gradient": "y = x * 2 * z; read(y); x.requires_grad_(False); y.sum().backward()",
    "stops, with a hook": (
        "x.register_hook(note('x')); y = x * 2; x.requires_grad_(False); y.sum().backward()\n"
        "log.append(x.requires_grad)"
    ),
    "stops and goes on": "y = x * 2; read(y); x.requires_grad_(False); x.requires_grad_(); y.sum().backward()",
    "detached in place": "y = x * z; read(y); x.detach_(); y.sum().backward()",
    "frozen module": (
        "m = torch.nn.Linear(2, 1); y = m(x); m.requires_grad_(False); y.sum().backward()\n"
        "log.append([p.grad for p in m.parameters()])"
    ),
}  # fmt: skip

FUNCTION = '''
class Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        y = x.exp() * w
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        log.append("called")
        return g * ctx.saved_tensors[0], g * ctx.saved_tensors[0]
'''


@pytest.mark.parametrize("reads", [False, True], ids=["one recording", "values read"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, reads):
    def program(torch):
        log = []
        names = {
            "torch": torch, "log": log, "grad": torch.autograd.grad,
            "attempt": lambda f: (lambda found: found.partition(":")[0] if isinstance(found, str) else found)(attempt(f)),
            "read": lambda t: t.tolist() if reads else None,
        }  # fmt: skip
        exec(SETUP + FUNCTION + PROGRAMS[name], names)
        return log, [names[n].grad for n in "xzw"]

    same(program)


#: Second derivatives that depend on some of the leaves: the others get none, where PyTorch's get none.
UNCONNECTED = {
    "product": lambda torch, x, z: x * z,
    "product and square": lambda torch, x, z: x * z + z**2,
    "relu": lambda torch, x, z: torch.relu(x) * z,
    "matrix": lambda torch, x, z: torch.outer(x, z).exp(),
    "division": lambda torch, x, z: x / z,
    "where": lambda torch, x, z: torch.where(x > z, x * z, z),
    "maximum": lambda torch, x, z: torch.maximum(x, z) * z,
    "clamp": lambda torch, x, z: x.clamp(0, 1) * z.exp(),
    "sort": lambda torch, x, z: x.sort().values * z,
    "lerp": lambda torch, x, z: x.lerp(z, 0.5) * z,
    "addcmul": lambda torch, x, z: torch.addcmul(x, x, z),
    "linear": lambda torch, x, z: torch.nn.functional.linear(x[None], z[None]),
    "kthvalue": lambda torch, x, z: x.kthvalue(1)[0] * z,
    "quantile": lambda torch, x, z: x.quantile(0.5) * z,
}


@pytest.mark.parametrize("reads", [False, True], ids=["one recording", "values read"])
@pytest.mark.parametrize("name", UNCONNECTED)
def test_second_derivatives_that_depend_on_some_leaves(name, reads):
    def program(torch):
        found = []
        for asked in range(2):
            x, z = (torch.tensor(v, requires_grad=True) for v in ([0.5, 2.0], [1.5, -0.5]))
            y = UNCONNECTED[name](torch, x, z)
            if reads:
                y.tolist()
            g = torch.autograd.grad(y.sum(), [x, z], create_graph=True)[asked]
            found.append(g.requires_grad)
            if g.requires_grad:
                (g * g).sum().backward()
            found.append([x.grad, z.grad])
        return found

    same(program)

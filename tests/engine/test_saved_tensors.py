"""`SavedTensor`: hooks of its own on what one operator keeps, beside PyTorch."""

import pytest
import torch

import jaxnn

from .both import agree, attempt, plain

SETUP = """
x = torch.tensor([1., 2.], requires_grad=True)
class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a, None)
        return a * 1
    @staticmethod
    def backward(ctx, g):
        a, _ = ctx.saved_tensors
        return g * a
same = lambda t: t
def longer(t):
    t += 1
    return t
"""

# In PyTorch a SavedTensor points into its node: none outlives it here, or what a backward has freed.
PROGRAMS = {
    "the result": "y = x.exp(); y.grad_fn._raw_saved_result.register_hooks(lambda t: t * 2, lambda t: t * 3); "
                  "log.append(y.grad_fn._saved_result); y.sum().backward()",
    "one of two operands": "y = x * x; y.grad_fn._raw_saved_self.register_hooks(lambda t: t.tolist(), lambda l: torch.tensor(l) * 10)\n"
                           "y.sum().backward()",
    "the other": "y = x * x; y.grad_fn._raw_saved_other.register_hooks(lambda t: t.detach(), lambda t: t * 10)\n"
                 "log.append([y.grad_fn._saved_other, y.grad_fn._saved_self]); y.sum().backward(retain_graph=True); y.sum().backward()",
    "differentiated twice": "y = x.sin() * x; y.grad_fn._raw_saved_self.register_hooks(same, lambda t: t * 2)\n"
                            "g, = torch.autograd.grad(y.sum(), x, create_graph=True); log.append(g); g.sum().backward()",
    "a result, twice": "y = x.tanh(); y.grad_fn._raw_saved_result.register_hooks(same, lambda t: t * 1)\n"
                       "g, = torch.autograd.grad(y.sum(), x, create_graph=True); log.append(g); g.sum().backward()",
    "a layer": "m = torch.nn.Linear(2, 2); y = m(x[None])\n"
               "y.grad_fn._raw_saved_mat1.register_hooks(lambda t: t.numpy(force=True), lambda a: torch.from_numpy(a) * 2)\n"
               "y.sum().backward(); log.append(m.weight.grad)",
    "two pairs": "y = x.exp(); y.grad_fn._raw_saved_result.register_hooks(same, same)\n"
                 "log.append(attempt(lambda: y.grad_fn._raw_saved_result.register_hooks(same, same)))",
    "a function": "y = Product.apply(x); r = y.grad_fn._raw_saved_tensors\n"
                  "log.append([isinstance(k, torch.autograd.SavedTensor) for k in r])\n"
                  "r[0].register_hooks(lambda t: t * 2, lambda t: t * 3); log.append(y.grad_fn.saved_tensors)\n"
                  "log += [attempt(lambda: k.register_hooks(same, same)) for k in r]; del r\n"
                  "y.sum().backward(); log.append(attempt(lambda: y.grad_fn._raw_saved_tensors))",
    "from Python": "log.append(attempt(lambda: torch.autograd.SavedTensor()))",
    "as the program has it": "y = x * x; z = x * y; log.append([y.grad_fn._saved_self is x, z.grad_fn._saved_self is x])",
}  # fmt: skip


def ran(text, library):
    library.manual_seed(0)
    names = {"torch": library, "log": [], "attempt": attempt}
    exec(SETUP + text, names)
    return plain([*names["log"], names["x"].grad])


@pytest.mark.parametrize("name", PROGRAMS)
def test_hooks_on_what_is_kept(name):
    agree(ran(PROGRAMS[name], jaxnn), ran(PROGRAMS[name], torch))


def test_what_is_refused():
    names = {"torch": jaxnn}
    exec(SETUP, names)
    kept = names["x"].exp().grad_fn._raw_saved_result
    for wrong in ((1, 1), (names["same"], 1)):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            kept.register_hooks(*wrong)
    with pytest.raises(RuntimeError, match="pack hook is modifying its input in place"):
        kept.register_hooks(names["longer"], names["same"])
    with pytest.raises(AttributeError):
        names["x"].exp().grad_fn._raw_saved_nothing

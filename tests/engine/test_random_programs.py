"""Random programs of operators, views, in-place writes, detach and no_grad, run on PyTorch beside jaxnn."""

from __future__ import annotations

import contextlib

from both import same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: No `.data`: what is written through it reaches what PyTorch has saved for backward, unnoticed (see docs/differences.md).
UNARY = ["tanh", "neg", "exp_small", "relu", "square", "t", "view", "row", "slice", "detach", "clone"]
BINARY = ["add", "mul", "sub"]
INPLACE = ["mul_", "add_", "zero_", "fill_", "setitem", "copy_"]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("unary"), st.sampled_from(UNARY), st.integers(0, 20)),
        st.tuples(st.just("binary"), st.sampled_from(BINARY), st.integers(0, 20), st.integers(0, 20)),
        st.tuples(st.just("inplace"), st.sampled_from(INPLACE), st.integers(0, 20), st.integers(0, 20)),
        st.tuples(st.just("read"), st.integers(0, 20)),
        st.tuples(st.just("no_grad"), st.sampled_from(UNARY[:5]), st.integers(0, 20)),
    ),
    min_size=1,
    max_size=12,
)


def unary(torch, name, x):
    if name == "exp_small":
        return torch.exp(x * 0.1)
    if name == "square":
        return x * x
    if name == "view":
        return x.reshape(-1)[:4].reshape(2, 2) if x.dim() == 2 else x
    if name == "row":
        return x[0:1].expand(2, 2) * 1
    if name == "slice":
        return x[:, 1:].clone() + x[:, :1] if x.dim() == 2 else x
    return getattr(x, name)()


def run(torch, program):
    w = torch.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
    u = torch.tensor([[1.0, 3.0], [-0.5, 0.75]], requires_grad=True)
    pool = [w, u, torch.tensor([[1.0, 2.0], [3.0, 4.0]])]
    seen = []
    for step in program:
        pick = lambda k: pool[k % len(pool)]
        try:
            if step[0] == "unary":
                made = unary(torch, step[1], pick(step[2]))
                if tuple(made.shape) == (2, 2):
                    pool.append(made)
            elif step[0] == "binary":
                pool.append(getattr(torch, step[1])(pick(step[2]), pick(step[3])))
            elif step[0] == "no_grad":
                with torch.no_grad():
                    made = unary(torch, step[1], pick(step[2]))
                pool.append(made)
            elif step[0] == "inplace":
                x, y = pick(step[2]), pick(step[3])
                if step[1] == "zero_":
                    x.zero_()
                elif step[1] == "fill_":
                    x.fill_(0.5)
                elif step[1] == "setitem":
                    x[0] = y[1] * 2
                else:
                    getattr(x, step[1])(y.detach() * 1)
            else:
                seen.append(pick(step[1]).detach().numpy().copy())
        except RuntimeError:
            seen.append("error")
    result = sum((p * p).sum() for p in pool)
    seen.append(result.detach().numpy())
    if result.requires_grad:
        # PyTorch refuses when a saved tensor was written to in place; our edges give the right gradient there.
        with contextlib.suppress(RuntimeError):
            result.backward()
            seen += [None if p.grad is None else p.grad.numpy() for p in (w, u)]
            return seen, True
    return seen, False


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps)
def test_random_program(program):
    import torch

    _, differentiated = run(torch, program)

    def compared(library):
        seen, done = run(library, program)
        return seen[: None if differentiated or not done else -2]

    same(compared)

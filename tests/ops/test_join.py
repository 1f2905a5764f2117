"""Joining, repeating, reordering; triangles and diagonals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.ops.shapes.stacking import stack_many
from tests.ops.agreement import agree
from tests.parity import parity

X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
B = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
V = np.arange(1, 4, dtype=np.float32)
N = np.array([2, 0, 1])

CASES = {
    "cat": (lambda torch, x, y: torch.cat([x, y]), X, Y),
    "cat dim": (lambda torch, x, y: torch.cat((x, y, x), dim=-1), X, Y),
    "cat axis": (lambda torch, x, y: torch.cat((x, y), axis=1), X, Y),
    "cat one": (lambda torch, x: torch.cat([x]), X),
    "cat types": (lambda torch, x, n: torch.cat([x[0], n]), X, N),
    "cat empty tensor": (lambda torch, x: torch.cat([torch.zeros(0), x]), X),
    "cat of views": (lambda torch, x: torch.cat([x[:, :1], x.t()[:2, :1]]), X),
    "cat sizes": (lambda torch, x: torch.cat([x, x[:, :2]]), X),
    "cat dims": (lambda torch, x, v: torch.cat([x, v]), X, V),
    "cat nothing": (lambda torch, x: torch.cat([]), X),
    "cat range": (lambda torch, x: torch.cat([x, x], 2), X),
    "concat": (lambda torch, x: torch.concat([x, x]), X),
    "stack": (lambda torch, x, y: torch.stack([x, y]), X, Y),
    "stack last": (lambda torch, x, y: torch.stack([x, y], -1), X, Y),
    "stack sizes": (lambda torch, x, v: torch.stack([x[0], v[:2]]), X, V),
    "stack nothing": (lambda torch, x: torch.stack([]), X),
    "stack range": (lambda torch, x: torch.stack([x, x], 3), X),
    "hstack": (lambda torch, x: torch.hstack([x, x]), X),
    "hstack vectors": (lambda torch, v: torch.hstack((v, v)), V),
    "vstack": (lambda torch, v: torch.vstack((v, v)), V),
    "dstack": (lambda torch, x: torch.dstack((x, x)), X),
    "column_stack": (lambda torch, v: torch.column_stack((v, v)), V),
    "repeat": (lambda torch, x: x.repeat(2, 1, 3), X),
    "repeat few": (lambda torch, x: x.repeat(2), X),
    "tile": (lambda torch, x: x.tile((2,)), X),
    "tile function": (lambda torch, x: torch.tile(x, (2, 2)), X),
    "repeat_interleave": (lambda torch, x: x.repeat_interleave(2), X),
    "repeat_interleave dim": (lambda torch, x: torch.repeat_interleave(x, 2, dim=1), X),
    "repeat_interleave sizes": (lambda torch, x: x.detach().repeat_interleave(torch.tensor([2, 0, 1]), dim=1), X),
    "repeat_interleave counts": (lambda torch, n: torch.repeat_interleave(n), N),
    "flip": (lambda torch, x: x.flip(0, 1), X),
    "flip sequence": (lambda torch, x: torch.flip(x, [0]), X),
    "flip twice": (lambda torch, x: x.flip(0, 0), X),
    "fliplr": (lambda torch, x: torch.fliplr(x), X),
    "flipud": (lambda torch, x: x.flipud(), X),
    "roll": (lambda torch, x: x.roll(1), X),
    "roll dims": (lambda torch, x: torch.roll(x, (1, -1), (0, 1)), X),
    "roll bad": (lambda torch, x: x.roll((1, 2), 0), X),
    "rot90": (lambda torch, x: torch.rot90(x, 1, [0, 1]), X),
    "tril": (lambda torch, x: x.tril(), X),
    "triu": (lambda torch, x: torch.triu(x, diagonal=1), B),
    "tril_": (lambda torch, x: (x * 1).tril_(-1), X),
    "tril vector": (lambda torch, v: v.tril(), V),
    "diag": (lambda torch, v: v.diag(), V),
    "diag of": (lambda torch, x: torch.diag(x, 1) * 1, X),
    "diag_embed": (lambda torch, x: x.diag_embed(1), X),
    "diagflat": (lambda torch, x: torch.diagflat(x.detach()), X),
    "meshgrid": (lambda torch, v: torch.meshgrid(v, v[:2], indexing="ij"), V),
    "meshgrid xy": (lambda torch, v: torch.meshgrid(v, v[:2], indexing="xy"), V),
    "meshgrid unknown": (lambda torch, v: torch.meshgrid(v, v, indexing="yx"), V),
    "cartesian_prod": (lambda torch, v: torch.cartesian_prod(v, v[:2]), V),
    "combinations": (lambda torch, v: torch.combinations(v, 2), V),
    "broadcast_tensors": (lambda torch, x, v: torch.broadcast_tensors(v, x), X, V),
    "broadcast bad": (lambda torch, x, v: torch.broadcast_tensors(v[:2], x), X, V),
    "broadcast_shapes": (lambda torch, x: torch.broadcast_shapes((2, 1), (3,)), X),
    "block_diag": (lambda torch, x, v: torch.block_diag(x, v), X, V),
    "fill_diagonal_": (lambda torch, x: x.detach().clone().fill_diagonal_(9), X),
    "diagonal_scatter": (lambda torch, x, v: x.detach().diagonal_scatter(v[:2].detach()), X, V),
    "select_scatter": (lambda torch, x, v: x.detach().select_scatter(v.detach(), 0, 1), X, V),
    "slice_scatter": (lambda torch, x: x.detach().slice_scatter(torch.zeros(1, 3), 0, 1), X),
}


@pytest.mark.parametrize("case", CASES)
def test_parity(case):
    f, *inputs = CASES[case]
    agree(f, *inputs)


@pytest.mark.parametrize(
    "join, count, shape, dim", [("stack", 36, (3,), 1), ("stack", 33, (), 0), ("cat", 66, (1, 2), 0)]
)
def test_many_small(join, count, shape, dim):
    """Many small tensors are joined in groups and taken apart in steps, to any order of gradients."""

    def program(torch, a):
        parts = [*a.reshape(count, *shape)]
        parts[3] = parts[2]
        made = getattr(torch, join)(parts, dim)
        (first,) = torch.autograd.grad((made**3).sum(), a, create_graph=True)
        return made, (first**2).sum()

    parity(program, np.random.default_rng(0).standard_normal(count * int(np.prod(shape))).astype(np.float32))


def test_many_small_in_jax():
    """The operator behind it takes JAX's transformations."""

    def from_one(x):
        return stack_many([x] * 40)

    x = jnp.arange(3.0)
    np.testing.assert_array_equal(jax.vmap(from_one, 1, 2)(jnp.ones((3, 2))), np.ones((40, 3, 2)))
    np.testing.assert_allclose(jax.jacfwd(from_one)(x), np.broadcast_to(np.eye(3), (40, 3, 3)))
    np.testing.assert_allclose(jax.hessian(lambda x: (from_one(x) ** 3).sum())(x), np.diag(240 * np.arange(3.0)))
    rows = jax.vjp(lambda *rows: stack_many(rows), *[x] * 40)[1]
    made, back = jax.vjp(lambda ct: rows(ct)[1:3], jnp.ones((40, 3)))
    assert len(made) == 2 and back(made)[0].sum() == 6

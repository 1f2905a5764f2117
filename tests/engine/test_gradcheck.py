"""`gradcheck` and `gradgradcheck`, their options and their verdicts, on both."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import jaxnn


def _functions(lib: Any) -> dict[str, Any]:
    class Wrong(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x

    class WrongTwice(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * (x * x).detach()

    return {
        "scalar": lambda x: (x * x).sum(),
        "0-d input": lambda x: x[0] * x[1],
        "several": lambda x: (x.sin(), (x * 2).sum(), x[:0]),
        "matrix": lambda x: x.reshape(1, -1) @ x.reshape(-1, 1),
        "some constant": lambda x: (x.exp(), x.detach() * 0 + 1),
        "wrong": Wrong.apply,
        "wrong twice": WrongTwice.apply,
        "constant": lambda x: lib.ones(2, dtype=lib.float64),
    }


CHECKS: list[tuple[str, str, dict[str, Any]]] = [
    ("gradcheck", name, options)
    for name in ("scalar", "0-d input", "several", "matrix", "wrong", "constant", "some constant")
    for options in ({}, {"fast_mode": True})
] + [
    ("gradcheck", "scalar", {"check_forward_ad": True}),
    ("gradcheck", "matrix", {"check_forward_ad": True, "check_backward_ad": False, "fast_mode": True}),
    ("gradcheck", "several", {"check_batched_grad": True}),
    ("gradgradcheck", "scalar", {}), ("gradgradcheck", "several", {}), ("gradgradcheck", "matrix", {"fast_mode": True}),
    ("gradgradcheck", "wrong twice", {}),
    ("gradcheck", "scalar", {"check_backward_ad": False}), ("gradgradcheck", "scalar", {"check_rev_over_rev": False}),
]  # fmt: skip


def _verdict(lib: Any, check: str, name: str, options: Any) -> Any:
    lib.manual_seed(0)
    x = lib.tensor([0.4, 1.3], dtype=lib.float64, requires_grad=True)
    try:
        return getattr(lib.autograd, check)(_functions(lib)[name], (x,), **options)
    except Exception as error:
        return type(error).__name__, str(error).split(",")[0].split("\n")[0][:60]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("check", "name", "options"), CHECKS)
def test_verdict(check: str, name: str, options: Any) -> None:
    assert _verdict(jaxnn, check, name, options) == _verdict(torch, check, name, options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fast", [False, True])
def test_complex(fast: bool) -> None:
    def verdict(lib: Any) -> Any:
        z = lib.tensor([1 + 2j, -0.5 + 0.3j], dtype=lib.complex128, requires_grad=True)
        return [
            lib.autograd.gradcheck(f, (z,), fast_mode=fast)
            for f in (lambda z: z * z, lambda z: z.abs(), lambda z: z.exp().sum(), lambda z: lib.view_as_real(z))
        ]

    assert verdict(jaxnn) == verdict(torch)


def test_shapes_of_numbers_are_kept() -> None:
    """Outputs and cotangents without dimensions have none."""
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(tuple(x.shape))
        return x.exp()

    assert jaxnn.autograd.gradcheck(f, jaxnn.tensor(0.3, dtype=jaxnn.float64, requires_grad=True))
    assert jaxnn.autograd.gradgradcheck(f, jaxnn.tensor(0.3, dtype=jaxnn.float64, requires_grad=True))
    assert set(seen) == {()}


@pytest.mark.parametrize("name", ["gradcheck", "gradgradcheck"])
def test_functions_that_read_the_input_elsewhere(name):
    """The numbers change in the input's own memory, and stand there again afterwards."""

    def verdict(lib):
        w = lib.linspace(0.5, 1.5, 3, dtype=lib.float64).requires_grad_()
        held = [w, w.detach()]
        passed = getattr(lib.autograd, name)(lambda given: held[0] ** 3, (w,))
        return passed, held[1].tolist(), w.grad

    assert verdict(jaxnn) == verdict(torch)


def test_a_repeated_input_is_refused():
    def message(lib):
        x = lib.ones(1, dtype=lib.float64).expand(3).requires_grad_()
        with pytest.raises(RuntimeError) as raised:
            lib.autograd.gradcheck(lambda x: x * 2, (x,))
        return str(raised.value)

    assert message(jaxnn) == message(torch)


def test_gradients_that_depend_on_nothing():
    """A linear function's gradient for a constant cotangent; ``masked`` means nothing for dense inputs."""

    def verdicts(lib):
        x, y = lib.ones(3, dtype=lib.float64, requires_grad=True), lib.zeros(3, dtype=lib.float64, requires_grad=True)
        where = lambda x, y: lib.where(lib.tensor([True, False, True]), x, y)
        ct = [lib.arange(3.0, dtype=lib.float64)]
        return lib.autograd.gradgradcheck(where, (x, y), ct), lib.autograd.gradcheck(where, (x, y), masked=True)

    assert verdicts(jaxnn) == verdicts(torch)


@pytest.mark.parametrize("func", [
    lambda lib, x: x[:1] * x[:1] if x.detach()[0] < 2 else x * x,
    lambda lib, x: x * x if x.detach()[0] <= 2 else (x * x).float(),
])  # fmt: skip
def test_outputs_that_change_with_the_values(func):
    def message(lib):
        with pytest.raises(AssertionError) as raised:
            lib.autograd.gradcheck(lambda x: func(lib, x), (lib.full((2,), 2.0, dtype=lib.float64, requires_grad=True),))
        return str(raised.value).split(" when")[0]

    assert message(jaxnn) == message(torch)


def _sparse(lib: Any, how: str) -> bool:
    a = (lib.eye(3, dtype=lib.float64) * 2).to_sparse().requires_grad_()
    b = lib.arange(6.0, dtype=lib.float64).view(3, 2).requires_grad_()
    check = lib.autograd.gradcheck
    match how:
        case "product":
            return check(lambda a, b: lib.sparse.mm(a, b), (a, b), masked=True)
        case "fast":
            return check(lambda a, b: a @ b, (a, b), masked=True, fast_mode=True)
        case "all elements":
            return check(lambda a: (a * 3).to_dense(masked_grad=False), (a,))
        case "complex":
            z = (lib.eye(2, dtype=lib.complex128) * 2j).to_sparse().requires_grad_()
            return check(lambda a: (a * 3).to_dense(masked_grad=False), (z,))
        case "beside":
            return check(lambda a, b: a @ b, (a.detach(), b))
        case _:
            return check(lambda a: a * 2, (a,), masked=True)


@pytest.mark.parametrize("how", ["product", "fast", "all elements", "complex", "beside", "sparse result"])
def test_sparse(how):
    """Inputs by coordinates: by the elements that they hold, or by all; a result must be dense."""
    found = []
    for lib in (torch, jaxnn):
        try:
            found.append(_sparse(lib, how))
        except Exception as error:
            found.append(type(error))
    assert found[0] is found[1]

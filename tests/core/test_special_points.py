"""Values and gradients of operators at their special points, beside PyTorch's. All cases of a family make one program."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import jaxnn
from tests.core import special_points as points

_FAMILIES: dict[str, Any] = {
    "unary": (points.UNARY, [points.POINTS]),
    "binary": (points.BINARY, points.grid(points.FEW, 2)),
    "ternary": (points.TERNARY, points.grid(points.FEWER, 3)),
    "rows": (points.REDUCTIONS, [points.ROWS]),
    "all of a row": (points.WHOLE, [points.ROWS]),
}
_COMPLEX: dict[str, Any] = {
    "unary": (points.COMPLEX_UNARY, [points.COMPLEX]),
    "binary": (points.COMPLEX_BINARY, points.grid(points.COMPLEX[:8], 2)),
}


def _run(
    lib: Any, cases: dict[str, Any], arrays: list[np.ndarray], dtype: str, *, arriving: float = 1.0
) -> dict[str, list[Any]]:
    """The value and the gradients of every case, to whose results the same gradient arrives everywhere."""
    leaves = {
        name: [lib.tensor(a.tolist(), dtype=getattr(lib, dtype)).requires_grad_() for a in arrays] for name in cases
    }
    outs = {name: case(lib, *leaves[name]) for name, case in cases.items()}
    moving = [o for o in outs.values() if o.requires_grad]
    lib.autograd.backward(moving, [lib.full_like(o, arriving).detach() for o in moving])
    return {
        name: [outs[name].detach().numpy(), *(None if t.grad is None else t.grad.resolve_conj().numpy() for t in leaves[name])]
        for name in cases
    }  # fmt: skip


def _differences(ours: Any, theirs: Any, dtype: str) -> list[str]:
    rtol, atol = (1e-4, 1e-5) if dtype == "float32" else (1e-7, 1e-7)
    found = []
    for name, expected in theirs.items():
        for k, (a, b) in enumerate(zip(ours[name], expected, strict=True)):
            what = "value" if k == 0 else f"gradient {k - 1}"
            if (a is None) != (b is None):
                found.append(f"{name}, {what}: None on one side")
            elif a is not None:
                assert a.shape == b.shape and a.dtype == b.dtype, name
                bad = ~np.isclose(a, b, rtol, atol, equal_nan=True)
                found += [f"{name}, {what} at {i}: {a[tuple(i)]}, PyTorch {b[tuple(i)]}" for i in np.argwhere(bad)[:3]]
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", _FAMILIES)
def test_points(family: str) -> None:
    cases, arrays = _FAMILIES[family]
    assert not _differences(_run(jaxnn, cases, arrays, "float64"), _run(torch, cases, arrays, "float64"), "float64")


#: Where PyTorch's own vectorised float32 differs from its float64: gelu(inf) is NaN, the sign of logit's slope at -0.
_OWN_WAY = {"nn.functional.gelu", "logit"}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", _FAMILIES)
def test_points_in_float32(family: str) -> None:
    cases, arrays = _FAMILIES[family]
    cases = {name: case for name, case in cases.items() if name not in _OWN_WAY}
    assert not _differences(_run(jaxnn, cases, arrays, "float32"), _run(torch, cases, arrays, "float32"), "float32")


#: Operators that choose which elements a gradient reaches, or whose derivative is one factor.
_MEETING_INFINITY = {
    "unary": [
        "relu", "clamp", "tanh", "sigmoid", "xlogy 0", "where", "celu alpha", "elu alpha", "gelu tanh", "hardtanh 0 1", "threshold",
        "leaky_relu -", "masked_fill", "pow 0", "pow 2", "sqrt", "abs", "logit eps", "softshrink 0", "hardshrink 0",
        *(f"nn.functional.{n}" for n in "gelu hardswish logsigmoid mish silu elu selu celu hardsigmoid softplus".split()),
    ],
    "binary": [
        "pow", "float_power", "maximum", "fmin", "xlogy", "special.xlog1py", "where", "bce logits", "cdist 0.5", "cdist 2.0",
        "cdist 3.0", "smooth_l1", "huber", "clamp_min",
    ],
    "rows": ["pdist", "cdist 2.0", "cdist 3.0", "vector_norm 1.5", "vector_norm 2", "vector_norm 3", "amax", "max", "sort", "max_pool1d"],
    "all of a row": ["max", "min", "median", "amax"],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", _MEETING_INFINITY)
def test_an_infinite_gradient_arrives(family: str) -> None:
    """It ends where PyTorch chooses, and stays infinite where its formula is one product."""
    cases, arrays = _FAMILIES[family]
    cases = {name: cases[name] for name in _MEETING_INFINITY[family]}
    ours, theirs = (_run(lib, cases, arrays, "float64", arriving=np.inf) for lib in (jaxnn, torch))
    assert not _differences(ours, theirs, "float64")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", _COMPLEX)
def test_complex_points(family: str) -> None:
    cases, arrays = _COMPLEX[family]
    ours, theirs = (_run(lib, cases, arrays, "complex128") for lib in (jaxnn, torch))
    assert not _differences(ours, theirs, "complex128")


#: Operators whose derivative is written out, as functions of raw arrays.
_WRITTEN = {
    name: getattr(jaxnn, name)
    for name in """atan2 pow maximum minimum hypot copysign xlogy logaddexp logaddexp2 div remainder fmax fmin clamp_min
                   clamp_max""".split()
}


@pytest.mark.filterwarnings("ignore")
def test_transformations_give_the_same() -> None:
    """`jax.grad` of the kernel is `backward()`, also mapped, forward and twice; what is not finite included."""
    arrays = points.grid(points.FEW[:7], 2)
    theirs: dict[str, list[Any]] = {}
    for name in _WRITTEN:
        a, b = (torch.tensor(x).requires_grad_() for x in arrays)
        first = torch.autograd.grad(getattr(torch, name)(a, b).sum(), (a, b), create_graph=True)
        theirs[name] = [g.detach().numpy() for g in first]
    with jax.enable_x64():
        a, b = map(jnp.asarray, arrays)

        def everything(a: Any, b: Any) -> Any:
            found = {}
            for name, f in _WRITTEN.items():
                whole = jax.grad(lambda a, b, f=f: f(a, b).sum(), (0, 1))(a, b)
                mapped = jax.vmap(jax.grad(f, (0, 1)))(a, b)
                forward = (
                    jax.jvp(lambda a, f=f: f(a, b), (a,), (jnp.ones_like(a),))[1],
                    jax.jvp(lambda b, f=f: f(a, b), (b,), (jnp.ones_like(b),))[1],
                )
                found[name] = whole, mapped, forward
            return found

        made = jax.jit(everything)(a, b)
    for name, ways in made.items():
        for way in ways:
            for ours, expected in zip(way, theirs[name], strict=True):
                np.testing.assert_allclose(ours, expected, rtol=1e-7, err_msg=name)


def test_second_derivatives() -> None:
    """Of the derivatives that are written out, away from the points where PyTorch's own second derivative is NaN."""
    values = np.array([0.3, -0.7, 1.2, 2.5]), np.array([1.1, 0.6, -1.4, 2.0])

    def program(lib: Any) -> list[Any]:
        found = []
        for name in ("atan2", "hypot", "logaddexp", "xlogy", "div", "pow"):
            leaves = [lib.tensor(abs(v).tolist(), dtype=lib.float64).requires_grad_() for v in values]
            first = lib.autograd.grad(getattr(lib, name)(*leaves).sum(), leaves, create_graph=True)
            found += lib.autograd.grad(sum((g**3).sum() for g in first), leaves)
        for f in (
            lambda x: lib.linalg.vector_norm(x * x), lambda x: lib.linalg.vector_norm(x, 3), lambda x: lib.linalg.vector_norm(x, 1.5),
            lambda x: x.var(), lambda x: x.std(), lambda x: lib.lgamma(x), lambda x: lib.logit(x / 4), lambda x: lib.special.ndtri(x / 4),
            lambda x: x**1.5, lambda x: x**-0.5, lambda x: lib.logcumsumexp(x, 0), lambda x: lib.sinc(x),
        ):  # fmt: skip
            x = lib.tensor(abs(values[0]).tolist(), dtype=lib.float64).requires_grad_()
            (g,) = lib.autograd.grad(f(x).sum(), x, create_graph=True)
            found += lib.autograd.grad((g**3).sum(), x)
        return [g.numpy() for g in found]

    for ours, theirs in zip(program(jaxnn), program(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-12)

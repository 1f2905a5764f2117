"""One line per case: the same call on raw jax arrays and on torch tensors, everything compared.

`run` compares values, dtypes, shapes and gradients, `second_order` the gradient of a gradient, `transforms` checks
that jvp and vmap agree with vjp and a loop, `raises` and `warns` compare exceptions and warnings. Tolerances are
those of `torch.testing.assert_close` for the dtype (tests/comparison.py). float16 and bfloat16 may also be nearer than torch to torch's own
float64 result: XLA rounds once where eager torch rounds after each operator.
"""

import re
import warnings

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import torch

from tests.comparison import Tolerance, check


def array(*shape, dtype="float32", seed=0, low=None, high=None):
    """Random numpy array: normal by default, uniform in [low, high) where given (integers for integer dtypes)."""
    rng = np.random.default_rng([seed, *shape])
    dtype = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    if dtype.kind in "iu":
        return rng.integers(0 if low is None else low, 10 if high is None else high, shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    draw = (lambda: rng.standard_normal(shape)) if low is None else (lambda: rng.uniform(low, high, shape))
    return np.asarray(draw() + 1j * draw() if dtype.kind == "c" else draw()).astype(dtype)


def to_torch(value):
    """The torch tensor of a numpy or jax array; anything else unchanged (inside tuples and lists too)."""
    if isinstance(value, (tuple, list)):
        return type(value)(to_torch(v) for v in value)
    if not isinstance(value, (np.ndarray, jax.Array)):
        return value
    value = np.array(value)
    if value.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(value)


def to_jax(value):
    """The jax array of a numpy array; anything else unchanged. Call under `jax.enable_x64()`."""
    if isinstance(value, (tuple, list)):
        return type(value)(to_jax(v) for v in value)
    return jnp.asarray(value) if isinstance(value, np.ndarray) else value


def _is_inexact(value):
    return isinstance(value, (np.ndarray, jax.Array)) and jnp.issubdtype(value.dtype, jnp.inexact)


def _outputs(result):
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _torch_static(static):
    return {k: to_torch(v) for k, v in static.items()}


def _double(value):
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _check(ours, theirs, what, exact=None, tolerance=None):
    assert ours is not None and theirs is not None, f"{what}: ours {type(ours)}, torch {type(theirs)}"
    check(ours, theirs, "assert_close", what, tolerance, None if exact is None else lambda: exact)


def _from_torch(theirs, tensors, where, cotangents, static, grad):
    """Results, and gradients of the tensors at `where` (zeros where torch has none)."""
    tensors = [t.clone() if isinstance(t, torch.Tensor) else t for t in tensors]
    leaves = [tensors[i].requires_grad_() for i in where] if grad else []
    results = _outputs(theirs(*tensors, **_torch_static(static)))
    pairs = [(r, to_torch(c).to(r.dtype)) for r, c in zip(results, cotangents, strict=True) if r.requires_grad]
    if not pairs:
        return results, [torch.zeros_like(t) for t in leaves]
    gradients = torch.autograd.grad([r for r, _ in pairs], leaves, [c for _, c in pairs], allow_unused=True)
    return results, [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, gradients, strict=True)]


def _pure(ours, inputs, static):
    """`ours` as a function of the differentiable inputs alone, and these inputs."""
    where = [i for i, v in enumerate(inputs) if _is_inexact(v)]

    def function(*values):
        arguments = list(inputs)
        for i, v in zip(where, values, strict=True):
            arguments[i] = v
        return _outputs(ours(*arguments, **{k: to_jax(v) for k, v in static.items()}))

    return function, [inputs[i] for i in where], where


def _conj(array):
    return jnp.conj(array) if jnp.issubdtype(array.dtype, jnp.complexfloating) else array


def _cotangents(results):
    rng = np.random.default_rng(7)
    return tuple(
        np.asarray(rng.standard_normal(r.shape)).astype(r.dtype)
        if jnp.issubdtype(r.dtype, jnp.inexact)
        else np.zeros(r.shape, jax.dtypes.float0)
        for r in results
    )


def run(ours, theirs, *inputs, grad=True, rtol=None, atol=None, of="one", **static):
    """Same values, dtypes, shapes and gradients. Inputs are numpy arrays (differentiated where floating) or anything
    else, which both functions get as it is; `static` goes to both, arrays in it are not differentiated."""
    tolerance = None if rtol is None else Tolerance(rtol, atol, of)
    with jax.enable_x64():
        function, values, where = _pure(ours, [to_jax(v) for v in inputs], static)
        cotangents = _cotangents(jax.eval_shape(function, *values))
        if grad and values:

            def both(values, cotangents):
                results, vjp = jax.vjp(function, *values)
                # PyTorch's complex gradients are the conjugates of JAX's.
                return results, jax.tree.map(_conj, vjp(jax.tree.map(_conj, cotangents)))

            results, gradients = jax.jit(both)(values, cotangents)
        else:
            results = jax.jit(function)(*values)
    tensors = [to_torch(v) for v in inputs]
    grad = bool(grad and values)
    expected, wanted = _from_torch(theirs, tensors, where, cotangents, static, grad)
    exact, exact_gradients = [None] * len(expected), [None] * len(wanted)
    if any(isinstance(t, torch.Tensor) and t.dtype in (torch.float16, torch.bfloat16) for t in tensors):
        doubled = {k: _double(to_torch(v)) for k, v in static.items()}
        exact, exact_gradients = _from_torch(theirs, [_double(t) for t in tensors], where, cotangents, doubled, grad)
    assert len(results) == len(expected)
    for i, (r, e, x) in enumerate(zip(results, expected, exact, strict=True)):
        _check(r, e, f"result {i}", x, tolerance=tolerance)
    if grad:
        for i, g, w, x in zip(where, gradients, wanted, exact_gradients, strict=True):
            _check(g, w, f"gradient of input {i}", x, tolerance=tolerance)


def second_order(ours, theirs, *inputs, rtol=None, atol=None, **static):
    """Same gradient of the sum of the squared gradients, on float64 inputs."""
    tolerance = None if rtol is None else Tolerance(rtol, atol)
    inputs = [v.astype("float64") if _is_inexact(v) and v.dtype.kind == "f" else v for v in inputs]
    with jax.enable_x64():
        function, values, where = _pure(ours, [to_jax(v) for v in inputs], static)
        first = jax.grad(lambda v: sum((r**3).sum() for r in function(*v) if _is_inexact(r)))
        gradients = jax.jit(jax.grad(lambda v: sum((g**2).sum() for g in first(v))))(values)
    tensors = [to_torch(v) for v in inputs]
    leaves = [tensors[i].requires_grad_() for i in where]
    total = sum((r**3).sum() for r in _outputs(theirs(*tensors, **_torch_static(static))) if r.is_floating_point())
    first = [g for g in torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True) if g is not None]
    wanted = torch.autograd.grad(sum((g**2).sum() for g in first), leaves, allow_unused=True)
    for i, g, w in zip(where, gradients, wanted, strict=True):
        _check(g, torch.zeros_like(tensors[i]) if w is None else w, f"second gradient of {i}", tolerance=tolerance)


def transforms(ours, *inputs, **static):
    """jvp agrees with vjp, and vmap of the gradient (all floating inputs stacked) agrees with a loop over it."""
    inputs = [v.astype("float64") if _is_inexact(v) and v.dtype.kind == "f" else v for v in inputs]
    with jax.enable_x64():
        function, values, _ = _pure(ours, [to_jax(v) for v in inputs], static)

        def f(*values):
            return sum((jnp.sin(r)).sum() for r in function(*values) if _is_inexact(r))

        tangents = [jnp.asarray(array(*v.shape, dtype=str(v.dtype), seed=3)) for v in values]
        gradients = jax.jit(jax.grad(lambda v: f(*v)))(values)
        _, forward = jax.jit(lambda v, t: jax.jvp(f, v, t))(tuple(values), tuple(tangents))
        np.testing.assert_allclose(
            forward, sum((g * t).sum() for g, t in zip(gradients, tangents)), rtol=1e-7, atol=1e-9
        )
        # Scaled copies stay in the domain of functions that are defined on part of the line only.
        stacks = [jnp.stack([v, v * 0.7, v * 0.4]) for v in values]
        mapped = jax.jit(jax.vmap(jax.grad(lambda v: f(*v))))(stacks)
        loop = [jax.jit(jax.grad(lambda v: f(*v)))([s[i] for s in stacks]) for i in range(3)]
        for m, *rows in zip(mapped, *loop):
            np.testing.assert_allclose(m, jnp.stack(rows), rtol=1e-7, atol=1e-9)


def _caught(function, inputs, static):
    try:
        function(*inputs, **static)
    except Exception as error:
        return error
    return None


def raises(ours, theirs, *inputs, gist=None, **static):
    """Both raise the same exception type with the same first line, or a message that matches `gist` where given."""
    with jax.enable_x64():
        mine = _caught(ours, [to_jax(v) for v in inputs], {k: to_jax(v) for k, v in static.items()})
    real = _caught(theirs, [to_torch(v) for v in inputs], _torch_static(static))
    assert real is not None, "torch did not raise"
    assert type(mine) is type(real), f"ours {mine!r}, torch {real!r}"
    if gist is None:
        assert str(mine).split("\n")[0] == str(real).split("\n")[0], f"\nours:  {mine}\ntorch: {real}"
    else:
        assert re.search(gist, str(real)), f"torch says {real}"
        assert re.search(gist, str(mine)), f"ours says {mine}"


def _warnings(function, inputs, static):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*inputs, **static)
    return {(w.category, re.sub(r"\s+", " ", str(w.message))) for w in caught if w.category is UserWarning}


def warns(ours, theirs, *inputs, **static):
    """Both warn with the same text."""
    with jax.enable_x64():
        mine = _warnings(ours, [to_jax(v) for v in inputs], static)
    real = _warnings(theirs, [to_torch(v) for v in inputs], static)
    assert real, "torch did not warn"
    assert mine == real, f"\nours:  {mine}\ntorch: {real}"

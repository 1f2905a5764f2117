"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.core.gradient.modes import enable_grad, no_grad
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval, host_array
from jaxnn.core.operator.arguments import Number
from jaxnn.core.operator.op import Op
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.registry import call, replace
from jaxnn.core.run.cut import cut
from jaxnn.core.run.policy import GROWING_ROW
from jaxnn.ops.reductions.extreme_values import highest

from .arguments import ParamsT, non_negative
from .optimizer import Optimizer
from .step import as_real, of_type
from .wolfe import Trial, strong_wolfe

__all__ = ["LBFGS"]


def _flat(tensors: Any) -> Any:
    return jnp.concatenate([as_real(t).reshape(-1) for t in tensors])


def _moved(params: Any, direction: Any, step: Any) -> Any:
    made, at = [], 0
    for p in params:
        real = as_real(p)
        part = direction[at : at + real.size].reshape(real.shape)
        at += real.size
        made.append(of_type(real + step * part, p))
    return tuple(made)


def _pair(gradient: Any, previous: Any, direction: Any, step: Any) -> Any:
    """The newest curvature pair, its product, and the square of the gradients' difference."""
    difference, change = gradient - previous, direction * step
    return difference, change, jnp.stack([jnp.dot(difference, change), jnp.dot(difference, difference)])


def _back(q: Any, difference: Any, change: Any, inverse: Any) -> Any:
    """The first loop of Nocedal and Wright, algorithm 7.4, at one pair: the direction so far, and the pair's share."""
    share = jnp.dot(change, q) * inverse
    return q - share * difference, share


def _forth(r: Any, difference: Any, change: Any, inverse: Any, share: Any) -> Any:
    """The second loop at one pair."""
    return r + change * (share - jnp.dot(difference, r) * inverse)


_FLAT = Op("lbfgs_flat", _flat, lists=True)
_MOVED = Op("lbfgs_moved", _moved, lists=True)
_PAIR = Op("lbfgs_pair", _pair)
_BACK = Op("lbfgs_back", _back)
_FORTH = Op("lbfgs_forth", _forth)
_NORMS = Op("lbfgs_norms", lambda v: jnp.stack([highest(jnp.abs(v)), jnp.sum(jnp.abs(v))]))
_PRODUCTS = Op("lbfgs_products", lambda g, d: jnp.stack([jnp.dot(g, d), highest(jnp.abs(d))]))


def _number(t: Any) -> Any:
    """A number of the state with its type: a 0-dim tensor as a numpy scalar."""
    return t.numpy()[()] if isinstance(t, TensorBase) else t


def _as_state(value: Any) -> Any:
    return tensor_of(np.asarray(value)) if isinstance(value, np.floating) else value


class LBFGS(Optimizer):
    """Quasi-Newton steps from a short history of gradients; `step` needs a closure and may call it many times.

    Only one parameter group. The history lies on the parameters' device; decisions are taken on the host. Of the state,
    PyTorch's scratch list ``al`` stays empty.

    Args:
        max_iter: most iterations in a step.
        max_eval: most calls of the closure in a step (None: a quarter more than ``max_iter``).
        tolerance_grad: a step ends when no entry of the gradient is above this.
        tolerance_change: a step ends when parameters or loss change by less than this.
        history_size: how many changes of the gradient are kept.
        line_search_fn: "strong_wolfe" or None, for steps of ``lr``.

    Raises:
        ValueError: for several groups, a negative rate.
        RuntimeError: at a step, for another line search.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = torch.optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w - 3).square().sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item()
        29.0
        >>> w.data
        tensor([3.0000, 3.0000])

    Source: Nocedal and Wright, Numerical Optimization, chapter 7.2
    """

    _counters = ()

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        non_negative("learning rate", lr)
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def as_optax(self) -> optax.GradientTransformation:
        """Not to be had: a step evaluates the loss as often as it likes; see `optax.lbfgs`."""
        raise NotImplementedError("LBFGS.as_optax: a step evaluates the loss several times; use optax.lbfgs")

    def _gradient(self) -> Any:
        grads = []
        for p in self.param_groups[0]["params"]:
            described = aval(p)
            missing = p._grad is None
            grads.append(
                host_array(np.zeros(described.shape, described.np), described.placement) if missing else p._grad
            )
        return call(_FLAT, (tuple(grads),))

    def _move(self, origin: Any, direction: Any, step: Any) -> None:
        params = self.param_groups[0]["params"]
        args = (tuple(origin), direction, Number(float(step)))
        replace(_MOVED, args, params, aval(params[0]).placement)

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Several iterations.

        Args:
            closure: clears the gradients, computes the loss and its gradients, and returns the loss.

        Returns:
            The loss before.
        """

        def evaluate() -> Any:
            cut("L-BFGS evaluates the loss")  # which is then one program, whatever moved the parameters
            with enable_grad():
                return closure()

        with no_grad():
            return self._iterate(evaluate)

    def _iterate(self, evaluate: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        gradient = self._gradient()
        largest, total = call(_NORMS, (gradient,)).numpy()
        if largest <= group["tolerance_grad"]:
            return first_loss
        lr = group["lr"].detach().numpy().reshape(())[()] if isinstance(group["lr"], TensorBase) else group["lr"]
        small = group["tolerance_change"]
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            self._new_direction(state, gradient, group["history_size"])
            state["prev_flat_grad"] = gradient
            state["prev_loss"] = loss
            step = min(1.0, 1.0 / total) * lr if state["n_iter"] == 1 else lr
            state["t"] = _as_state(step)
            slope, size = call(_PRODUCTS, (gradient, state["d"])).numpy()
            if slope > -small:
                break
            done = 0
            previous = loss
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                best, done = self._search(evaluate, Trial(0, loss, slope, gradient), step, size)
                step, loss, gradient = best.step, best.value, best.gradient
                state["t"] = _as_state(step)
                largest, total = call(_NORMS, (gradient,)).numpy()
            else:
                self._move(group["params"], state["d"], step)
                if iteration != group["max_iter"]:
                    loss, done = float(evaluate()), 1
                    gradient = self._gradient()
                    largest, total = call(_NORMS, (gradient,)).numpy()
            evaluations += done
            state["func_evals"] += done
            if iteration == group["max_iter"] or evaluations >= group["max_eval"]:
                break
            if largest <= group["tolerance_grad"] or abs(step) * size <= small or abs(loss - previous) < small:
                break
        return first_loss

    def _search(self, evaluate: Callable[[], Any], start: Trial, step: Any, size: Any) -> tuple[Trial, int]:
        """Search along the direction from where the parameters are, and move them to the best step."""
        params = self.param_groups[0]["params"]
        direction = self.state[params[0]]["d"]
        origin = [p.detach().clone() for p in params]

        def trial(step: Any) -> Trial:
            self._move(origin, direction, step)
            value = float(evaluate())
            gradient = self._gradient()
            return Trial(step, value, call(_PRODUCTS, (gradient, direction)).numpy()[0], gradient)

        best, done = strong_wolfe(trial, start, step, size)
        self._move(origin, direction, best.step)
        return best, done

    def _new_direction(self, state: dict[str, Any], gradient: Any, history: int) -> None:
        if state["n_iter"] == 1:
            state.update(al=[None] * history, d=-gradient, t=None, old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return
        made = call(_PAIR, (gradient, state["prev_flat_grad"], state["d"], Number(float(_number(state["t"])))))
        difference, change, products = made
        curvature, square = products.numpy()
        differences, changes, inverses = state["old_dirs"], state["old_stps"], state["ro"]
        if curvature > 1e-10:
            if len(differences) == history:
                for kept in (differences, changes, inverses):
                    kept.pop(0)
            differences.append(difference)
            changes.append(change)
            inverses.append(_as_state(1.0 / curvature))
            state["H_diag"] = _as_state(curvature / square)
        if not differences:
            state["d"] = -gradient
            return
        # An operator for each pair, not one for all: a history that grows by a pair an iteration needs no new program.
        cut("L-BFGS seeks a direction")
        pairs = [
            (difference, change, Number(float(_number(inverse))))
            for difference, change, inverse in zip(differences, changes, inverses, strict=True)
        ]
        d, shares = -gradient, []
        for pair in reversed(pairs):
            d, share = call(_BACK, (d, *pair))
            shares.append(share)
        d = d * float(_number(state["H_diag"]))
        for pair, share in zip(pairs, reversed(shares), strict=True):
            d = call(_FORTH, (d, *pair, share))
        state["d"] = d
        cut(GROWING_ROW)

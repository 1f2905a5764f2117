"""When to run what is recorded, and how: the causes of cuts, and the choice between compiling a path and running its operators.

A path whose program is known runs as that program. For any other there is a choice as between renting and buying skis: run it
operator by operator (`one_by_one`), which costs a little at every visit, or compile it, which costs much once. It is compiled when
what was paid at this path, with what this visit would cost, exceeds the price of compiling it. So nothing is ever much more than
twice as slow as the better choice in hindsight.

What is paid and what it would cost are reckoned by counts, never by the clock, so that two runs of a program go the same ways and
give the same bits. The unit is a microsecond of one core of a 2020s server, measured once and written down here.

One thing is known beforehand: training steps repeat. A path that an optimizer's step ends, or that a later backward needs, counts as
if it were visited `HORIZON` times more when most of its operators have never run (the first step of a model; not the hundredth, of
other lengths), or when it nearly has the operators of the last such path (a loop that settles); so many of these guesses may be open,
bought and not used again, and no more. One that comes back counts so too where that is a loop's way: at once, from one update of
parameters to the next, or in the order of before. Of others that is less the more such paths came between: one of many lengths comes
back by chance. Batches that are evaluated one after the other are told in the same way, and counted with fewer visits.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax

from ..operator.traced import Traced
from ..path.recording import Recording
from ..path.trie import Node
from ..process.config import get_setting, set_setting, state
from ..process.internals import distributed_client
from .layout import BACKWARD, Layout
from .one_by_one import EXECUTABLE, EXECUTABLE_EQUATION, host_cost, rents_numpy, runs_on_host

__all__ = [
    "BACKWARD_WITHOUT_STEP", "Decision", "END_OF_MODULE", "GRADIENTS", "GROWING_ROW", "IMMEDIATE", "LIMIT_REACHED", "OPERATOR_LIMIT",
    "PART_OF_STEP",
    "STEP", "UPDATE", "bought", "came_back", "decide", "is_shared", "mark_compiled", "note_path", "runs_directly", "set_execution_mode",
]  # fmt: skip

# --- causes of a cut, as `engine_statistics()` names them
STEP = "optimizer.step()"
PART_OF_STEP = "optimizer.step() of many parameters"
GRADIENTS = "gradients averaged over processes"
END_OF_MODULE = "end of a module's call without gradients"
BACKWARD_WITHOUT_STEP = "first operator after a backward that no step followed"
IMMEDIATE = "immediate mode"
#: Ends a row of operators that grows from visit to visit: no two are alike, and each operator is worth a call.
GROWING_ROW = "a row that grows"

#: The operator of an optimizer's step.
UPDATE = "optimizer_step"

#: Operators recorded without a cut before one is made: what is pending holds memory, and programs beyond this are never compiled.
OPERATOR_LIMIT = 2_000
LIMIT_REACHED = f"{OPERATOR_LIMIT} operators without a cut"

# --- prices, in microseconds: `benchmarks/policy_prices.py` measures them
#: Compiling a path: once; for each equation of an operator that stands in it for the first time, of the others, which XLA is given
#: as calls of one function, and of an optimizer's, which it fuses; and the length from which its passes are superlinear.
PROGRAM = 100_000
COMPILED_EQUATION = 2_000
REPEATED_EQUATION = 300
UPDATE_EQUATION = 300
SUPERLINEAR = 2_000
#: Preparing an operator to run by itself, beside its executable: its form in numpy; and for each of its equations.
HOST_FORM = 150
HOST_FORM_EQUATION = 10
#: Calling an executable, what surrounds the call included.
EXECUTABLE_CALL = 200

#: Visits that the path of a training step in a loop is expected to have, and the paths that a step of it may have at most.
HORIZON = 3_000
PERIOD = 4
#: Visits that a path without training is expected to have when it comes back in such a loop: batches that are evaluated.
EVALUATIONS = 300
#: Of one that comes back by chance, the visits for each that it had, where parameters are updated at its end (or between its visits)
#: and where not: after n others, by so much less.
FORESEEN, FORESEEN_INSIDE = 100, 10
#: Share of operators in which two steps of a loop that settles may differ.
SETTLING = 0.1
#: Guesses that may be open: first steps, and steps of a loop that settles; and the cuts after which one is forgotten.
OPEN_GUESSES = {"first": 8, "settling": 1}
FORGOTTEN = 100
#: Calls of a module's class without gradients, one after the other, whose paths were all new and ran in numpy: from there on its
#: operators run when they are called, which spares recording them; but one call in so many is recorded, to see.
NOVEL, RECORDED_AGAIN = 8, 32


#: Operators on gradients: a backward over a tape, clipping, an update.
_OF_TRAINING = frozenset({"backward", "scale_gradients", "clamp_gradients", UPDATE})


class Visits:
    """What was paid at one path, and when it was visited."""

    __slots__ = ("count", "first", "last", "paid", "rent", "updates")

    def __init__(self) -> None:
        self.paid = 0.0
        self.rent: Rent | None = None  # where all operators are prepared, so that it stays
        self.count = 0  # as a training step
        self.first = self.last = 0  # in training steps
        self.updates = 0  # of parameters, before the last visit


def _functions(layout: Layout) -> Iterator[tuple[Any, Traced, bool]]:
    """Every function that a run of the path calls: what it belongs to, its traced form, and whether it is a pull.

    A pull is reckoned as its forward, so that none is traced for being weighed.
    """
    for node in layout.path:
        if node.op is BACKWARD:
            for walked in node.plan.nodes:
                linear = walked.instance.linear(walked.groups)
                yield linear, linear.forward, True
        elif node.instance is not None:
            made = node.instance.linear(node.groups) if node.start in layout.linear else node.instance
            yield made, made.forward, False


def price(layout: Layout) -> float:
    """What compiling a path costs."""
    operators, cost = 0, 0
    met: set[tuple[int, bool]] = set()
    for _, traced, pulled in _functions(layout):
        operators += 1
        key = (traced.serial, pulled)
        once = UPDATE_EQUATION if traced.name == UPDATE else COMPILED_EQUATION
        cost += traced.equations * (REPEATED_EQUATION if key in met else once)
        met.add(key)
    return PROGRAM + cost * (1 + operators / SUPERLINEAR)


class Rent(NamedTuple):
    """What running a path operator by operator costs, and what can be told from its operators."""

    missing: float  # for operators that must be prepared
    calls: float  # for every visit
    fresh: bool  # most of its operators have never run, with whatever sizes, nor has an update of parameters of these shapes
    operators: collections.Counter[tuple[int, bool]]  # how often each stands in the path
    host: bool  # all of it runs in numpy


def rent(layout: Layout, placement: Any) -> Rent:
    """What running a path operator by operator costs."""
    calls, missing = 0.0, 0.0
    distinct: collections.Counter[tuple[int, bool]] = collections.Counter()
    fresh, updated, all_host = 0, False, True
    for made, traced, pulled in _functions(layout):
        small = runs_on_host(traced, placement)
        all_host = all_host and small
        host = small or rents_numpy(traced, placement)
        calls += host_cost(traced) if host else EXECUTABLE_CALL
        key = (traced.serial, pulled)
        distinct[key] += 1
        updated = updated or (traced.seen and traced.name == UPDATE)
        if distinct[key] > 1:
            continue
        known = made.pulls() if pulled else (traced,)
        fresh += not any(t.seen for t in known) and _way(made, pulled) not in made.ran
        if not any(t.seen_on_host if host else t.seen_alone for t in known):
            once, each = (HOST_FORM, HOST_FORM_EQUATION) if host else (EXECUTABLE, EXECUTABLE_EQUATION)
            each = UPDATE_EQUATION if traced.name == UPDATE and not host else each
            missing += once + each * traced.equations
    return Rent(missing, calls, 2 * fresh >= len(distinct) and not updated, distinct, all_host)


def _is_of_training(layout: Layout) -> bool:
    """Whether a path has gradients, or changes them or parameters."""
    return any(node.op is BACKWARD or node.op.name in _OF_TRAINING for node in layout.path)


def is_shared(placement: Any) -> bool:
    """Whether a placement is on devices of several processes."""
    return not isinstance(placement, jax.Device) and getattr(placement, "is_fully_addressable", True) is False


def _way(made: Any, pulled: bool) -> Any:
    """Which function of an operator a run calls."""
    return (getattr(made, "groups", None), pulled)


def _mark_run(layout: Layout) -> None:
    """Note that the operators of a path run, with whatever sizes."""
    for made, _, pulled in _functions(layout):
        made.ran.add(_way(made, pulled))


def mark_compiled(layout: Layout) -> None:
    """Note that the operators of a path are part of a compiled program."""
    for made, traced, pulled in _functions(layout):
        for t in made.pulls() if pulled else (traced,):
            t.seen = True


class Decision(NamedTuple):
    """How to run a path: "whole" or "operators"; what that costs; and which guess it rests on, if any."""

    way: str
    cost: float
    guess: Any = None


def decide(rec: Recording, layout: Layout, taped: frozenset[int], cause: str) -> Decision:
    """How to run a path that has no program."""
    mode = state.execution_mode or get_setting("execution_mode")
    if cause == GROWING_ROW:
        cost = rent(layout, rec.placement)
        return Decision("operators", cost.missing + cost.calls)
    if mode != "auto":
        return Decision(mode, 0.0)
    node: Node = rec.node
    if is_shared(rec.placement) or (distributed_client() is not None and (taped or _is_of_training(layout))):
        # Whatever else each process has run: collectives meet only in the same program, and processes that have the same
        # gradients end with the same bits.
        return Decision("whole", price(layout))
    visits = node.visits.get(taped)
    new = visits is None
    if visits is None:
        visits = node.visits[taped] = Visits()
    cost = visits.rent
    if cost is None:
        cost = rent(layout, rec.placement)
        if not cost.missing:
            visits.rent = cost
    if node.price is None:
        node.price = price(layout)
    state.cuts += 1
    guess = None
    expected = 0.0
    ends_step = cause in (STEP, PART_OF_STEP, GRADIENTS)
    if taped or ends_step:
        state.steps += 1
        state.updates += ends_step
        trained = visits.count > 0 and state.updates > visits.updates
        guess = _guess(cost, ends_step, visits.count > 0, cause == LIMIT_REACHED and not trained)
        expected = _foreseen(visits, ends_step or trained) * cost.calls if guess is not None else 0.0
        visits.first = visits.first or state.steps
        visits.last, visits.updates = state.steps, state.updates
        state.recent.append(visits)
        visits.count += 1
    else:
        expected = EVALUATIONS * cost.calls if _follows(state.evaluated, visits) else 0.0
        state.evaluated.append(visits)
    if visits.paid + cost.missing + cost.calls + expected > node.price:
        _mark_run(layout)
        return Decision("whole", node.price, guess)
    if cost.missing:
        _mark_run(layout)
    visits.paid += cost.missing + cost.calls
    state.new_path = new and cost.host
    return Decision("operators", cost.missing + cost.calls)


def _foreseen(visits: Visits, updates: bool) -> float:
    """How often the path of a training step may be expected to come back.

    Args:
        updates: parameters are updated at its end, or between its visits.
    """
    if not visits.count or _repeats(visits):
        return HORIZON
    apart = max(1, state.steps - visits.last, (state.steps - visits.first) / visits.count)  # 0 where another thread counts
    return min(HORIZON, (FORESEEN if updates else FORESEEN_INSIDE) * (visits.count + 1) / apart)


def _repeats(visits: Visits) -> bool:
    """Whether a training step comes back as in a loop: in the next step of an optimizer, or in the order of before."""
    return state.updates - visits.updates == 1 or _follows(state.recent, visits)


def _follows(recent: Sequence[Visits], visits: Visits) -> bool:
    """Whether a path comes back at once, or after the path that it came after before."""
    return any(
        recent[-p] is visits and (p == 1 or (len(recent) > p and recent[-p - 1] is recent[-1]))
        for p in range(1, min(PERIOD, len(recent)) + 1)
    )


def _guess(cost: Rent, whole_step: bool, returns: bool, long: bool) -> Any:
    """Why the path of a training step may be expected to come back, if it may: ("loop" or "first" or "settling", its cause).

    Of one that was cut for its length, which is dear to compile and is followed by its like, that is not guessed: but where
    parameters were updated between its visits, it is a loop's.
    """
    before, state.last_step = state.last_step, cost.operators
    if long:
        return None
    if returns:
        return ("loop", whole_step)
    if cost.fresh:
        return ("first", whole_step) if _may_guess("first", whole_step) else None
    if before is None or not _may_guess("settling", whole_step):
        return None
    differ = (before - cost.operators).total() + (cost.operators - before).total()
    return ("settling", whole_step) if differ <= SETTLING * (before.total() + cost.operators.total()) else None


def _may_guess(kind: str, whole_step: bool) -> bool:
    made = state.guesses[kind, whole_step]
    while made and state.cuts - made[0] > FORGOTTEN:
        made.popleft()
    return len(made) < OPEN_GUESSES[kind]


def bought(guess: Any) -> None:
    """Note a program that was compiled on a guess."""
    if guess is not None:
        state.guesses[guess].append(state.cuts)


def came_back(guess: Any) -> None:
    """Note that a program that was compiled on a guess has been used again."""
    if state.guesses[guess]:
        state.guesses[guess].popleft()


def runs_directly(kind: type) -> bool:
    """Whether the operators of a module's outermost call without gradients run when they are called: its paths never come back."""
    count = state.novel.get(kind, 0)
    if count < NOVEL:
        return False
    state.novel[kind] = count + 1
    return (count + 1 - NOVEL) % RECORDED_AGAIN != 0


def note_path(kind: type) -> None:
    """Note how the recorded call of a module's class has run, whose path has just been cut."""
    if state.new_path:
        state.novel[kind] = state.novel.get(kind, 0) + 1
    elif state.novel:
        state.novel.pop(kind, None)


def set_execution_mode(mode: str) -> None:
    """Say how programs run that have not been compiled.

    Args:
        mode: "auto" weighs compiling against running operator by operator; "whole" compiles every path at its first visit;
            "operators" never compiles one. The environment variable JAXNN_EXECUTION sets it at the start.

    Raises:
        ValueError: for another mode.
    """
    if mode not in ("auto", "whole", "operators"):
        raise ValueError(f"execution mode {mode!r}: expected 'auto', 'whole' or 'operators'")
    set_setting("execution_mode", mode)


if os.environ.get("JAXNN_EXECUTION"):
    set_execution_mode(os.environ["JAXNN_EXECUTION"])

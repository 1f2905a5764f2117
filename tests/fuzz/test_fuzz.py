"""Random programs on PyTorch and on jaxnn: nothing differs that is not known. `python -m tests.fuzz` runs more of them."""

import collections

import pytest

from tests.fuzz.drawing import program
from tests.fuzz.fuzzing import attempt, report, shrink, try_seed
from tests.fuzz.running import run

FIRST, COUNT = 0, 200


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, 20))
def test_programs_do_the_same(first):
    known = collections.Counter()
    for seed in range(first, first + 20):
        outcome = try_seed(seed, "programs")
        known[outcome.known] += 1
        if outcome.difference and not outcome.known:
            outcome = shrink(outcome, "programs")
            pytest.fail(report(seed, outcome) if outcome.difference else f"seed {seed} differed once and not again")
    print(dict(known))


def test_a_seed_draws_the_same_program():
    programs = [program(seed) for seed in range(40)]
    assert programs == [program(seed) for seed in range(40)]
    assert all(len(p) >= 2 for p in programs) and max(map(len, programs)) > 25
    text = "\n".join("\n".join(p) for p in programs)
    for part in ("backward", "register_hook", "no_grad", ".data", "torch.optim", "deepcopy", "torch.save", "retain_grad", ".apply(",
                 "create_graph=True", "lr_scheduler", ".view(", "+= ", "requires_grad", "torch.nn.Linear"):  # fmt: skip
        assert part in text, part


def test_a_difference_is_found_and_made_small():
    """A wrong rule of one operator, among statements that have nothing to do with it."""
    import jaxnn

    noise = [f"t{k} = torch.ones(3) * {k}" for k in range(3, 9)]
    statements = [*noise[:3], "t0 = torch.ones(2, 3, requires_grad=True)", "t1 = t0 * 2", *noise[3:], "t2 = t1.sinh()",
                  "with torch.no_grad():\n    t3 += 1\n    t9 = t2 * 2", "t2.sum().backward()"]  # fmt: skip
    assert attempt(statements, "programs").difference is None
    right = jaxnn.Tensor.sinh
    try:
        jaxnn.Tensor.sinh = lambda self: right(self) + 1e-3
        outcome = attempt(statements, "programs")
        assert outcome.difference is not None and outcome.known is None
        small = shrink(outcome, "programs")
        assert len(small.statements) <= 3 and "sinh" in small.statements[-1], small.statements
        text = report(7, small)
        compile(text, "found", "exec")
        assert "seed 7" in text and "import_module" in text
    finally:
        jaxnn.Tensor.sinh = right


@pytest.mark.parametrize("way", ["programs", "operators"])
def test_every_way_runs(way):
    import jaxnn

    seen = run(["t0 = torch.ones(2, requires_grad=True)", "t1 = (t0 * 3).sum()", "t1.backward()", "t2 = t0.no_such"], jaxnn, way)
    assert [raised and raised.type for raised, _ in seen.steps] == [None, None, None, "AttributeError"]
    assert dict(seen.values["t0"])["gradient"].tolist() == [3, 3]

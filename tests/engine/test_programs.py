"""How often the engine compiles and cuts, counted by JAX's own compile events."""

from __future__ import annotations

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn as torch
from jaxnn import nn, optim
from jaxnn.core.operator.traced import Traced
from jaxnn.core.record import recorder
from jaxnn.core.run import cut, statistics
from jaxnn.core.run.duplication import Settling
from jaxnn.core.run.policy import LIMIT_REACHED

COMPILED = [0]


def _count(event: str, duration: float, **kwargs: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        COMPILED[0] += 1


jax.monitoring.register_event_duration_secs_listener(_count)


def make(optimizer=lambda p: optim.SGD(p, lr=0.1)):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    return model, optimizer(model.parameters()), nn.CrossEntropyLoss()


def batches(n):
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield torch.from_numpy(rng.normal(size=(6, 4)).astype(np.float32)), torch.from_numpy(rng.integers(0, 3, 6))


def steady(step, n=12, after=3, per_step=1):
    """Run ``step(x, y, k)``; nothing may compile after the third, and each step is ``per_step`` programs."""
    for k, (x, y) in enumerate(batches(n)):
        if k == after:
            before, cuts = COMPILED[0], torch.engine_statistics()["cuts"]
        step(x, y, k)
    assert COMPILED[0] == before, "compiled in a steady loop"
    if per_step is not None:
        assert torch.engine_statistics()["cuts"] - cuts == per_step * (n - after)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: optim.SGD(p, lr=0.1),
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.01),
        lambda p: optim.AdamW(p, lr=0.01),
    ],
)
def test_plain_loop_is_one_program_a_step(optimizer):
    model, opt, loss_fn = make(optimizer)

    def step(x, y, k):
        opt.zero_grad()
        loss_fn(model(x), y).backward()
        opt.step()

    steady(step)


def test_pending_initial_values_are_no_part_of_the_first_step():
    model = nn.Linear(4, 3)
    model.scale = nn.Parameter(torch.ones(3) * 0.1)
    optimizer = optim.Adam(model.parameters())
    torch.reset_engine_statistics()
    for x, y in batches(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x) * model.scale, y).backward()
        optimizer.step()
    assert torch.engine_statistics()["compiled"] == 1


def test_learning_rate_that_changes_each_step():
    model, opt, loss_fn = make(lambda p: optim.Adam(p, lr=0.01))

    def step(x, y, k):
        for group in opt.param_groups:
            group["lr"] = 0.01 / (k + 1)
        opt.zero_grad()
        loss_fn(model(x), y).backward()
        opt.step()

    steady(step)


@pytest.mark.parametrize("place", ["before backward", "after backward", "after step"])
@pytest.mark.parametrize("read", ["item", "print"])
def test_reading_the_loss_anywhere(place, read):
    model, opt, loss_fn = make()

    def look(loss):
        loss.item() if read == "item" else repr(loss)

    def step(x, y, k):
        opt.zero_grad()
        loss = loss_fn(model(x), y)
        if place == "before backward":
            look(loss)
        loss.backward()
        if place == "after backward":
            look(loss)
        opt.step()
        if place == "after step":
            look(loss)

    steady(step, per_step=None)


def test_running_loss():
    model, opt, loss_fn = make()
    total = [0.0]

    def step(x, y, k):
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total[0] += loss

    steady(step)


def test_garbage_cycles_that_hold_activations():
    model, opt, loss_fn = make()
    rng = np.random.default_rng(1)
    gc.disable()
    try:

        def step(x, y, k):
            out = model(x)
            cycle = [out]
            cycle.append(cycle)
            opt.zero_grad()
            loss_fn(out, y).backward()
            opt.step()
            if rng.random() < 0.4:
                gc.collect(0)  # the cycles are young

        for k, (x, y) in enumerate(batches(40)):
            if k == 25:
                before = COMPILED[0]
            step(x, y, k)
        assert COMPILED[0] == before
    finally:
        gc.enable()


def test_later_epochs_and_evaluation():
    model, opt, loss_fn = make()

    def epoch():
        model.train()
        for x, y in batches(4):
            opt.zero_grad()
            loss_fn(model(x), y).backward()
            opt.step()
        model.eval()
        found = []
        with torch.no_grad():
            for x, y in batches(3):
                found.append((model(x).argmax(1) == y).sum().item())
        return sum(found)

    epoch()
    epoch()
    before = COMPILED[0]
    epoch()
    epoch()
    assert COMPILED[0] == before


def test_evaluation_that_collects_outputs_is_one_program_a_batch():
    model, _, _ = make()
    with torch.no_grad():
        [model(x).tolist() for x, _ in batches(1)]  # which also runs what another test has left recorded
        outputs = [model(x) for x, _ in batches(3)]
        before, cuts = COMPILED[0], torch.engine_statistics()["cuts"]
        outputs += [model(x) for x, _ in batches(5)]
        assert COMPILED[0] == before
        assert torch.engine_statistics()["cuts"] - cuts == 5
    assert len(outputs) == 8


def test_gradient_accumulation_is_one_program_a_micro_batch():
    model, opt, loss_fn = make()

    def step(x, y, k):
        (loss_fn(model(x), y) / 3).backward()
        if k % 3 == 2:
            opt.step()
            opt.zero_grad()

    for k, (x, y) in enumerate(batches(18)):
        if k == 9:
            before, cuts = COMPILED[0], torch.engine_statistics()["cuts"]
        step(x, y, k)
    assert COMPILED[0] == before
    assert torch.engine_statistics()["cuts"] - cuts == 9


def test_python_numbers_never_recompile():
    x = torch.ones(3)
    for k in range(6):
        if k == 2:
            before = COMPILED[0]
        (x * (k + 0.5) + k).tolist()
    assert COMPILED[0] == before


def test_older_programs_go_when_memory_mappings_run_out(monkeypatch, whole):
    statistics.forget_programs()
    for width in range(1, 9):
        torch.ones(width).sin().sum().item()
    assert len(statistics._programs) == 8
    monkeypatch.setattr(statistics, "MAPPING_LIMIT", 0)
    assert torch.ones(9).sin().sum().item() == pytest.approx(9 * np.sin(1.0))
    assert len(statistics._programs) == 4
    monkeypatch.undo()
    for width in range(1, 10):  # what was dropped compiles again
        assert torch.ones(width).sin().sum().item() == pytest.approx(width * np.sin(1.0))


def test_a_loop_keeps_its_programs_when_memory_mappings_run_out(monkeypatch):
    statistics.forget_programs()
    monkeypatch.setattr(statistics, "MAPPING_LIMIT", 0)
    model, opt, loss_fn = make()

    def step(x, y, k):
        opt.zero_grad()
        loss_fn(model(x), y).backward()
        opt.step()
        with torch.no_grad():
            model(x)

    steady(step, per_step=2)


def test_a_long_chain_is_cut_by_itself():
    x = torch.ones(2)
    for _ in range(4500):
        x = x + 1
    assert x.tolist() == [4501.0, 4501.0]
    causes = {cause for cause, _ in torch.engine_statistics()["cuts_by_line"]}
    assert any("operators without a cut" in c for c in causes)


def test_a_structure_that_always_changes_runs_operator_by_operator():
    x = (torch.ones(2, requires_grad=True) * 1).detach()  # no host value
    x.tolist()
    rng = np.random.default_rng(0)
    torch.reset_engine_statistics()
    for _ in range(40):
        y, expected = x, 1.0
        for choice in rng.integers(0, 2, 12):
            y, expected = (y * 1.5, expected * 1.5) if choice else (y + 1, expected + 1)
        np.testing.assert_allclose(y.detach().tolist(), [expected, expected], rtol=1e-5)
    found = torch.engine_statistics()
    assert found["compiled"] == 0 and found["operator_by_operator"] >= 38  # two of 40 may be alike


def test_statistics_name_the_line():
    torch.reset_engine_statistics()
    (torch.ones(2, requires_grad=True) * 3).tolist()
    ((cause, line),) = torch.engine_statistics()["cuts_by_line"]
    assert cause == "tolist()" and "test_programs.py" in line


def test_a_long_chain_with_its_backward_is_not_compiled():
    torch.reset_engine_statistics()
    x = torch.ones(4, requires_grad=True)
    y = x
    for _ in range(2_100):
        y = y + y * 2e-4
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [(1 + 2e-4) ** 2_100] * 4, rtol=1e-4)
    assert torch.engine_statistics()["compiled"] == 0


def test_parameters_that_a_path_cut_for_its_length_has_read_are_updated_where_they_lie(whole, monkeypatch):
    monkeypatch.setattr(recorder, "OPERATOR_LIMIT", 6)
    params = [nn.Parameter(torch.arange(7.0) + k) for k in range(5)]
    optimizer = optim.Adam(params, lr=1e-2)

    def step():
        optimizer.zero_grad()
        loss = torch.stack([(p * p).sum() for p in params]).sum()
        loss.backward()
        optimizer.step()
        return loss  # lives, and with it what its graph still tells

    for _ in range(3):
        loss = step()
    copies = []
    monkeypatch.setattr(cut, "_copies", lambda arrays: copies.extend(arrays) or [jnp.array(a) for a in arrays])
    before = loss.item()
    loss = step()
    assert loss.item() < before and not copies
    causes = {cause for cause, _ in torch.engine_statistics()["cuts_by_line"]}
    assert LIMIT_REACHED in causes


def test_ever_new_sizes_are_no_first_steps():
    first, second = nn.Linear(5, 9), nn.Linear(9, 1)
    optimizer = optim.Adam([*first.parameters(), *second.parameters()], lr=1e-2)
    rng = np.random.default_rng(0)

    def step(size):  # of a graph's network
        edges = torch.from_numpy(rng.integers(0, size, (2, 2 * size)))
        x = torch.from_numpy(rng.normal(size=(size, 5)).astype(np.float32))
        h = torch.zeros(size, 9).index_add_(0, edges[1], first(x)[edges[0]]).relu()
        optimizer.zero_grad()
        (second(h.mean(0)) - x.mean().item()).square().sum().backward()
        optimizer.step()

    for size in (7, 9):
        step(size)
    torch.reset_engine_statistics()
    for size in range(10, 22):
        step(size)
    assert torch.engine_statistics()["compiled"] == 0


def test_a_growing_history_compiles_nothing(whole):
    w = nn.Parameter(torch.zeros(20))
    scale = torch.arange(20.0).add(1)
    optimizer = optim.LBFGS([w], lr=0.5, max_iter=4, history_size=8)

    def closure():
        optimizer.zero_grad()
        loss = (scale * (w - 1) ** 4).sum()
        loss.backward()
        return loss

    counts = []
    for _ in range(4):
        optimizer.step(closure)
        counts.append((len(optimizer.state[w]["old_dirs"]), torch.engine_statistics()["compiled"]))
    assert [pairs for pairs, _ in counts] == [3, 7, 8, 8]
    assert counts[-1][1] == counts[1][1]


def test_episodes_of_new_lengths_run_operator_by_operator():
    """A path of a training step that was never seen is no first step when the update of its parameters is known."""
    model, opt, _ = make()
    x = torch.ones(4)
    torch.reset_engine_statistics()
    for length in (5, 9, 3, 12, 7, 10, 4, 8, 6, 11):
        logs = []
        for _ in range(length):
            logs.append(torch.log_softmax(model(x), -1)[0])
            logs[-1].item()
        opt.zero_grad()
        torch.stack(logs).sum().backward()
        opt.step()
    torch.finish()
    assert torch.engine_statistics()["compiled"] <= 4


def test_a_chain_whose_links_are_used_twice_grows_no_code():
    """XLA would compute a cell state anew in each of its users: code that grows with the square of a recurrence's length."""
    x = np.full(8, 0.5, np.float32)
    link = Traced(lambda c, g: [c * g + g], [x, x], "link")

    def length(count):
        def run(x, one):
            way, c, seen = Settling(one), x, []
            for _ in range(count):
                (c,) = way.settled(link, [c, x], way.call(link, [c, x]))
                seen.append(jax.numpy.tanh(c))
            return seen

        return len(jax.jit(run).lower(x, np.float32(1)).compile().as_text())

    assert length(48) < 2.5 * length(24)


def test_a_path_cut_for_its_length_is_a_loop_s_where_parameters_are_updated(monkeypatch):
    monkeypatch.setattr(recorder, "OPERATOR_LIMIT", 30)
    params = [torch.ones(11).mul_(k).requires_grad_() for k in range(20)]
    optimizer = optim.SGD(params, lr=0.1)
    found = []
    for _ in range(3):
        torch.reset_engine_statistics()
        optimizer.zero_grad()
        torch.stack([(p * p).sum() for p in params]).sum().backward()
        optimizer.step()
        found.append(torch.engine_statistics()["operator_by_operator"])
    assert found[0] >= 1 and found[1:] == [0, 0]  # whether the rest of the first step is compiled is what ran before


def test_a_loop_is_compiled_when_it_repeats_whatever_was_trained_before():
    for width in range(5, 9):
        model = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))
        optimizer = optim.Adam(model.parameters())
        x = torch.ones(4, 3)
        for step in range(6):
            if step == 3:
                torch.reset_engine_statistics()
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
        found = torch.engine_statistics()
        assert found["operator_by_operator"] == found["compiled"] == 0


def test_a_loop_of_two_paths_is_compiled_when_it_repeats():
    """A discriminator's and a generator's step."""
    for width in range(5, 8):
        models = [nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, k)) for k in (1, 2)]
        optimizers = [optim.Adam(model.parameters()) for model in models]
        x = torch.ones(4, 3)
        for step in range(6):
            if step == 4:
                torch.reset_engine_statistics()
            for model, optimizer in zip(models, optimizers):
                optimizer.zero_grad()
                model(x).square().sum().backward()
                optimizer.step()
        found = torch.engine_statistics()
        assert found["operator_by_operator"] == found["compiled"] == 0


def test_ever_new_lengths_of_large_arrays_compile_nothing():
    """What comes once is computed in numpy, however large: an executable for each of its operators would take seconds."""
    model = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
    optimizer = optim.SGD(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)

    def step(length):
        x = torch.from_numpy(rng.normal(size=(2, length, 32)).astype(np.float32))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    for length in (90, 101, 112, 123):
        step(length)
    torch.finish()
    before = COMPILED[0]
    for length in (131, 145, 158):
        step(length)
    torch.finish()
    assert COMPILED[0] == before


def test_an_evaluation_is_compiled_when_it_repeats():
    model = nn.Sequential(nn.Linear(256, 300), nn.ReLU(), nn.Linear(300, 10)).eval()
    x = torch.randn(64, 256)
    torch.reset_engine_statistics()
    with torch.no_grad():
        for _ in range(6):
            model(x).sum().item()
    found = torch.engine_statistics()["compiled_by_line"]
    assert sum(found.values()) == 1  # the model; the sum stays in numpy

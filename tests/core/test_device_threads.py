"""The chosen device belongs to a thread."""

import threading

import pytest
import torch

import jaxnn


def elsewhere(work):
    """What a function gives on another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("module, away", [(torch, "meta"), (jaxnn, "cuda")])
def test_a_device_is_chosen_for_its_own_thread(module, away):
    with module.device(away):
        assert elsewhere(lambda: (str(module.get_default_device()), str(module.zeros(2).device))) == ("cpu", "cpu")
    try:
        module.set_default_device(away)
        assert elsewhere(lambda: (str(module.get_default_device()), str(module.zeros(2).device))) == ("cpu", "cpu")
        assert module.get_default_device().type == away
        elsewhere(lambda: module.set_default_device("cpu"))
        assert module.get_default_device().type == away
    finally:
        module.set_default_device(None)


@pytest.mark.parametrize("module, away", [(torch, "meta"), (jaxnn, "cuda")])
def test_blocks_of_threads_may_end_in_any_order(module, away):
    entered, leave, seen = threading.Event(), threading.Event(), []

    def other():
        with module.device("cpu"):
            entered.set()
            leave.wait(10)
            seen.append(str(module.zeros(2).device))
        seen.append(str(module.zeros(2).device))

    thread = threading.Thread(target=other)
    with module.device(away):
        thread.start()
        entered.wait(10)
    assert str(module.zeros(2).device) == "cpu"
    leave.set()
    thread.join()
    assert seen == ["cpu", "cpu"]

"""Every test compiles at the same line of a helper, which the engine would take for an unstable loop."""

import pytest


@pytest.fixture(autouse=True)
def always_compile(monkeypatch):
    monkeypatch.setenv("JAXNN_ALWAYS_COMPILE", "1")

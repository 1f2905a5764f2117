"""Layers are compared as the programs that training compiles: XLA's rounding is what the tolerances were measured with."""

import pytest


@pytest.fixture(autouse=True)
def compiled(whole):
    pass

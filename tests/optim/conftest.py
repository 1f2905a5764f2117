"""What a step computes as one program is compared here; the engine would run a step that is not repeated operator by operator."""

import pytest


@pytest.fixture(autouse=True)
def always_compile(whole):
    pass

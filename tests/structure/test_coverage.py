"""The page that says how much of PyTorch is here is the one that the tests' tables give."""

import importlib.util
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "write_coverage.py"


def test_the_coverage_page_is_current():
    spec = importlib.util.spec_from_file_location("write_coverage", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.text(), "run python tools/write_coverage.py"

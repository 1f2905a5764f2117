"""The programs in the pages of docs/ run as they are printed, each page's in order in one namespace."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

import jaxnn

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {page.stem: re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) for page in sorted(DOCS.glob("*.md"))}


@pytest.mark.parametrize("page", [name for name, programs in PAGES.items() if programs])
def test_programs_of_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page}
    with warnings.catch_warnings(), jaxnn.random.fork_rng():
        warnings.simplefilter("ignore")
        for k, program in enumerate(PAGES[page]):
            exec(compile(program, f"docs/{page}.md, program {k + 1}", "exec"), names)

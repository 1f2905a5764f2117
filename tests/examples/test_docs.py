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


ROOT = DOCS.parent
TEXTS = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("jaxnn/**/*.md")])


def anchors(page):
    """What a heading is called in a link to it."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        made = target.with_suffix("").relative_to(DOCS).parts[0] == "api" if target.is_relative_to(DOCS) else False
        assert made or target.exists(), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"

"""What a type checker sees: no false error in users' programs, and mistakes found. One run of mypy for all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LINE = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*)$", re.MULTILINE)


def readme_programs():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    return blocks


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """File name -> (line, message) of the errors of mypy --strict; README's programs say no types of their own."""
    folder = tmp_path_factory.mktemp("checked")
    for k, text in enumerate(readme_programs()):
        (folder / f"readme_{k}.py").write_text(text)
    for name in ("user_program", "mistakes"):
        (folder / f"{name}.py").write_text((HERE / f"{name}.py").read_text())
    options = ["--config-file=", "--python-version", "3.11", "--follow-imports", "silent", "--ignore-missing-imports",
               "--strict", "--cache-dir", str(ROOT / ".mypy_cache" / "users")]  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *map(str, sorted(folder.glob("*.py")))],
        capture_output=True, text=True, timeout=600, cwd=ROOT,
    )  # fmt: skip
    assert run.returncode in (0, 1), run.stdout + run.stderr
    errors: dict[str, list[tuple[int, str]]] = {}
    for m in LINE.finditer(run.stdout):
        path = Path(m["file"])
        name = path.stem if path.name.startswith(("readme_", "user_program", "mistakes")) else str(path)
        if not (name.startswith("readme_") and m["text"].endswith(("[no-untyped-def]", "[no-untyped-call]"))):
            errors.setdefault(name, []).append((int(m["line"]), m["text"]))
    return errors


def test_a_users_program_has_no_error(found):
    assert "user_program" not in found, found["user_program"]


def test_readmes_programs_have_no_error(found):
    assert not {n: e for n, e in found.items() if n.startswith("readme_")}


def test_the_stubs_have_no_error(found):
    assert set(found) <= {"user_program", "mistakes"} | {n for n in found if n.startswith("readme_")}, found


def test_mistakes_are_found(found):
    lines = (HERE / "mistakes.py").read_text().splitlines()
    planted = {k for k, line in enumerate(lines, 1) if line.endswith("# MISTAKE")}
    assert len(planted) == 3 and {line for line, _ in found["mistakes"]} == planted, found["mistakes"]


def test_the_users_program_runs(tmp_path, capsys):
    namespace: dict = {"__name__": "user_program"}
    exec(compile((HERE / "user_program.py").read_text(), "user_program.py", "exec"), namespace)
    namespace["main"](tmp_path / "net.pt")
    assert capsys.readouterr().out

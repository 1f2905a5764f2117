"""The shape of the code: imports go one way and in no circle, files stay small, torch stays out, the stub is current."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Each may import those before it, and itself.
LAYERS = ["core", "ops", "nn.functional", "nn", "optim", "support", "torch_file", "utils", "face", "compat"]
#: Files above 600 lines, each with its reason.
LONG: dict[str, str] = {
    "jaxnn/core/memory/tensor_methods.pyi": "written by tools/write_stub.py",
    "jaxnn/__init__.pyi": "written by tools/write_stub.py",
}


def modules() -> dict[str, Path]:
    found = {}
    for top, folder in (("jaxnn", ROOT / "jaxnn"), ("jaxnn.compat", ROOT / "compat")):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((top, *(p for p in parts if p != "__init__")))] = path
    return found


MODULES = modules()


def layer(name: str) -> int:
    inside = name.removeprefix("jaxnn").lstrip(".")
    if inside == "__main__":  # the command line
        return LAYERS.index("compat")
    for key in ("core", "ops", "nn.functional", "nn", "optim", "support", "torch_file", "utils", "compat"):
        if inside == key or inside.startswith(key + "."):
            return LAYERS.index(key)
    return LAYERS.index("face")


def imports(name: str, path: Path) -> list[tuple[str, bool, int]]:
    """(module, inside a function, line) for every import of a module of ours."""
    tree = ast.parse(path.read_text())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = []

    def add(target: str, inside: bool, line: int) -> None:
        while target and target not in MODULES:
            target = target.rpartition(".")[0]
        if target:
            found.append((target, inside, line))

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    if alias.name.startswith("jaxnn"):
                        add(alias.name, inside, child.lineno)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parts = package.split(".")
                    base = ".".join(parts[: len(parts) - child.level + 1] + ([base] if base else []))
                if base.startswith("jaxnn"):
                    for alias in child.names:
                        add(f"{base}.{alias.name}", inside, child.lineno)
            visit(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(tree, False)
    return found


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_one_way(name):
    for target, inside, line in imports(name, MODULES[name]):
        where = f"{MODULES[name].relative_to(ROOT)}:{line} imports {target}"
        assert layer(target) <= layer(name), f"{where}, which lies above it"
        assert not inside, f"{where} inside a function"


def test_no_circles():
    edges = {n: {t for t, _, _ in imports(n, p) if t != n} for n, p in MODULES.items()}
    # A package's __init__ imports its modules; a module that imports a sibling by name only names that sibling.
    done: set[str] = set()
    path: list[str] = []

    def visit(n: str) -> None:
        if n in done:
            return
        assert n not in path, "circle: " + " -> ".join([*path[path.index(n) :], n])
        path.append(n)
        for t in sorted(edges[n]):
            visit(t)
        path.pop()
        done.add(n)

    for n in sorted(edges):
        visit(n)


#: The chapters of the core, in the order of its README: each may import those before it, and itself.
CHAPTERS = ["kinds", "process", "random", "host", "memory", "operator", "path", "run", "record", "gradient", "registry", "tensor"]


def chapter(name: str) -> int:
    return CHAPTERS.index(name.split(".")[2])


@pytest.mark.parametrize("name", sorted(n for n in MODULES if n.startswith("jaxnn.core.")))
def test_chapters_import_earlier_ones(name):
    for target, _, line in imports(name, MODULES[name]):
        if target.startswith("jaxnn.core."):
            where = f"{MODULES[name].relative_to(ROOT)}:{line} imports {target}"
            assert chapter(target) <= chapter(name), f"{where}, a later chapter"


def test_the_readme_lists_the_chapters():
    text = (ROOT / "jaxnn" / "core" / "README.md").read_text()
    places = [text.find(f"\n| `{c}") for c in CHAPTERS]
    assert -1 not in places and places == sorted(places)
    for name in MODULES:
        if name.startswith("jaxnn.core.") and name.count(".") == 3:
            assert f"`{name.rpartition('.')[2]}`" in text, f"core/README.md does not say what {name} holds"


#: What makes a name at the top of a module state.
CONTAINERS = {
    "Counter", "OrderedDict", "ThreadState", "WeakKeyDictionary", "WeakSet", "WeakValueDictionary", "defaultdict", "deque",
    "on_forget", "renewed_in_child", "set", "_Chosen", "_Options", "_Switch", "Generator",
}  # fmt: skip


def is_state(value: ast.AST | None) -> bool:
    if isinstance(value, ast.Call):
        return getattr(value.func, "attr", getattr(value.func, "id", "")) in CONTAINERS
    return (isinstance(value, ast.Dict) and not value.keys) or (isinstance(value, ast.List) and len(value.elts) < 2)


def test_the_readme_lists_the_global_state():
    text = (ROOT / "jaxnn" / "core" / "README.md").read_text()
    for name, path in MODULES.items():
        if not name.startswith("jaxnn.core."):
            continue
        stem = name.rpartition(".")[2]
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and is_state(node.value):
                target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
                if target != "__all__":
                    assert f"`{stem}.{target}`" in text or f"`{target}`" in text, f"core/README.md: {name}.{target}"


def test_importing_leaves_torch_alone():
    script = "import sys, jaxnn, jaxnn.compat; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(
    "path",
    [
        p
        for folder in ("jaxnn", "compat", "examples", "benchmarks", "tools")
        for p in sorted((ROOT / folder).rglob("*.py*"))
        if p.suffix in (".py", ".pyi")
    ],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_are_small(path):
    name = str(path.relative_to(ROOT))
    lines = len(path.read_text().splitlines())
    assert lines <= 600 or name in LONG, f"{name} has {lines} lines: split it by what it holds"


def test_the_stubs_are_current():
    spec = importlib.util.spec_from_file_location("write_stub", ROOT / "tools" / "write_stub.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, text in module.STUBS.items():
        assert path.read_text() == text(), f"{path.relative_to(ROOT)}: run python tools/write_stub.py"


def test_every_package_lies_below_the_root():
    """Then an editable install is a line of path, which type checkers and editors follow."""
    assert (ROOT / "jaxnn" / "compat").samefile(ROOT / "compat")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["package-dir"] == {"": "."}


def test_the_stubs_say_types():
    """At most 2 of 100 annotations of the generated stubs are `Any`."""
    found = []
    for path in (ROOT / "jaxnn").rglob("*.pyi"):
        for f in ast.walk(ast.parse(path.read_text())):
            if isinstance(f, ast.FunctionDef):
                found += [a.annotation for a in (*f.args.args, *f.args.kwonlyargs) if a.annotation] + [f.returns]
    vague = [a for a in found if isinstance(a, ast.Name) and a.id == "Any"]
    assert len(vague) <= 0.02 * len(found), (len(vague), len(found))

"""Runs the project with nothing but Python 3.11 or newer: makes .venv, installs what is needed, and starts.

    python3 run.py train [options of examples/train_cnn.py]
    python3 run.py test [--quick] [--long] [--packages] [options of pytest]
    python3 run.py newest
    python3 run.py bench [options of benchmarks/train_step.py]
    python3 run.py docs [options of sphinx]

The system's Python is never installed into. A second call starts at once; a changed pyproject.toml installs again.
"""

# The version check below must be reached by every Python 3, so the syntax here stays old.
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "jaxnn needs Python 3.11 or newer, and this is Python %d.%d (%s).\n"  # noqa: UP031
        "Start run.py with a newer one, for example: python3.12 run.py %s"
        % (sys.version_info[0], sys.version_info[1], sys.executable, " ".join(sys.argv[1:]))
    )

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
#: The second environment of the tests: the newest Python of this machine with the newest JAX and Flax, without PyTorch.
NEWEST = ROOT / ".venv-newest"
#: What runs there: the programs that PyTorch has answered in the first environment, README's programs, and tests that ask
#: no PyTorch.
NEWEST_TESTS = (
    "tests/newest/against_answers.py", "tests/nnx", "tests/nn/test_nnx.py", "tests/engine/test_programs.py",
    "tests/engine/test_safety.py", "tests/examples/test_readme.py",
    "--ignore=tests/nnx/test_variables.py", "--ignore=tests/nnx/test_jax_function.py",  # these ask PyTorch itself
)  # fmt: skip

#: A first look, in two minutes: README's and the tutorials' programs, the engine, layers, the steps of all optimizers.
QUICK_TESTS = (
    "tests/examples/test_readme.py", "tests/tutorials", "tests/engine/test_programs.py", "tests/nn/test_layers.py",
    "tests/functional/test_conv.py", "tests/optim/test_optim.py", "tests/compat/test_file_format.py",
)  # fmt: skip
#: How the site is built: the module, and its arguments.
SITE = ["sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html"]

NO_VENV = """\
This Python ({python}) can make no virtual environment: its module ensurepip is missing, and neither virtualenv nor a
pip of version 22.3 or newer is there to stand in. Any one of these helps:
  Debian, Ubuntu:  sudo apt install python3-venv
  elsewhere:       a Python from https://www.python.org/downloads/ or your package manager's full Python package
Then start run.py again.
"""


def run(*command, **options):
    """Run a command; its exit status."""
    return subprocess.run([str(part) for part in command], **options).returncode


def quiet(*command):
    """Whether a command succeeds; what it prints is dropped."""
    return run(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def has_pip(python=PYTHON):
    """Whether an environment is there and usable."""
    return python.exists() and quiet(python, "-c", "import pip, sys; assert sys.version_info >= (3, 11)")


def make_environment():
    """Make .venv with pip in it, in whichever way this Python offers."""
    if has_pip():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    print(f"making a virtual environment in {VENV}", flush=True)
    if importlib.util.find_spec("ensurepip") and quiet(sys.executable, "-m", "venv", VENV) and has_pip():
        return
    shutil.rmtree(VENV, ignore_errors=True)  # a half-made one
    if importlib.util.find_spec("virtualenv") and quiet(sys.executable, "-m", "virtualenv", VENV) and has_pip():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    # A pip outside can install into the environment; it touches nothing else.
    if (
        quiet(sys.executable, "-m", "venv", "--without-pip", VENV)
        and quiet(sys.executable, "-m", "pip", "--python", PYTHON, "install", "pip")
        and has_pip()
    ):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    sys.exit(NO_VENV.format(python=sys.executable))


def install(extra):
    """Install jaxnn, in place, with the packages of an extra; nothing where that has been done."""
    make_environment()
    install_into(VENV, PYTHON, extra)


def install_into(environment, python, extra):
    """`install` for one environment."""
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "setup.py"):
        wanted.update((ROOT / name).read_bytes())
    wanted.update(str(ROOT).encode())
    stamp = environment / f"installed-{extra}"
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    print(f"installing jaxnn[{extra}]; the first time takes some minutes", flush=True)
    status = run(
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[{extra}]"
    )
    if status:
        sys.exit(f"installing failed (pip ended with status {status}); what pip printed above says why")
    stamp.write_text(wanted.hexdigest())


def train(arguments):
    """Train the example's network."""
    install("examples")
    return run(PYTHON, ROOT / "examples" / "train_cnn.py", *arguments)


def bench(arguments):
    """Time training steps."""
    install("bench")
    return run(PYTHON, ROOT / "benchmarks" / "train_step.py", *arguments)


def docs(arguments):
    """Build the site; a warning is an error."""
    install("docs")
    status = run(PYTHON, "-m", *SITE, *arguments, cwd=ROOT)
    if not status:
        print(f"the site: {ROOT / SITE[-1] / 'index.html'}")
    return status


def with_bytecode():
    """The environment, so that Python keeps what it compiles: the tests start some hundred Pythons, which compile a second each."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def test(arguments):
    """Ruff, mypy and pytest: all three run, and the status is 0 only if each of them succeeded."""
    install("test")
    left_out = [name for name in ("long", "packages") if f"--{name}" not in arguments]
    marker = ["-m", " and ".join(f"not {name}" for name in left_out)] if left_out else []
    if "--quick" in arguments:
        arguments = [*QUICK_TESTS, *arguments]
    arguments = [argument for argument in arguments if argument not in ("--quick", "--long", "--packages")]
    everything = not arguments
    checks = {
        "ruff": ["ruff", "check", "."],
        "mypy": ["mypy"],
        "docs": SITE,
        "pytest": ["pytest", "-n", "2", *marker, *arguments],
    }
    failed = []
    for name, command in checks.items():
        if name == "docs" and not everything:
            continue
        print(f"== {name}", flush=True)
        if run(PYTHON, "-m", *command, cwd=ROOT, env=with_bytecode()):
            failed.append(name)
    if everything and newest([]):
        failed.append("newest")
    if failed:
        print(f"FAILED: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def newer_python():
    """The newest Python on this machine of those that PyTorch's environment is older than; None where there is none."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [*home.glob("versions/3.*/bin/python")]
    candidates += [Path(p) for p in (shutil.which(f"python3.{k}") for k in (14, 13, 12)) if p]
    found = {}
    for path in candidates:
        asked = subprocess.run(
            [str(path), "-c", "import ensurepip, sys; print(*sys.version_info[:3])"], capture_output=True, text=True
        )
        if asked.returncode == 0 and re.fullmatch(r"3 1[1-4] \d+\s*", asked.stdout):
            found[tuple(int(n) for n in asked.stdout.split())] = path
    version = max(found, default=(0,))
    ours = subprocess.run([str(PYTHON), "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    return found[version] if version[:2] > tuple(int(n) for n in ours.stdout.split()) else None


def newest(arguments):
    """A choice of the tests in a second environment, beside answers that PyTorch gives in the first one."""
    install("test")
    print("== newest", flush=True)
    base = newer_python()
    if base is None:
        print("no newer Python than .venv's is here: the second environment is left out")
        return 0
    python = NEWEST / PYTHON.relative_to(VENV)
    if not has_pip(python):
        shutil.rmtree(NEWEST, ignore_errors=True)
        print(f"making a virtual environment in {NEWEST} with {base}", flush=True)
        if run(base, "-m", "venv", NEWEST):
            return 1
    install_into(NEWEST, python, "newest")
    versions = "import sys, jax, flax, numpy; print('Python ' + sys.version.split()[0], *(f'{m.__name__} {m.__version__}'"
    run(python, "-c", versions + " for m in (jax, flax, numpy)), sep=', ')", cwd=ROOT)
    answers = NEWEST / "answers.pkl"
    if run(PYTHON, ROOT / "tests" / "newest" / "record.py", answers, cwd=ROOT):
        return 1
    environment = with_bytecode() | {
        "JAXNN_ANSWERS": str(answers), "PYTHONPATH": str(ROOT / "tests" / "newest" / "stand_in"),
    }  # fmt: skip
    return run(python, "-m", "pytest", "-q", "-n", "2", *NEWEST_TESTS, *arguments, cwd=ROOT, env=environment)


COMMANDS = {"train": train, "test": test, "newest": newest, "bench": bench, "docs": docs}


def main():
    """Do what the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))


if __name__ == "__main__":
    main()

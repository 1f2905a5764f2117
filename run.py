"""Runs the project with nothing but Python 3.11 or newer: makes .venv, installs what is needed, and starts.

    python3 run.py train [options of examples/train_cnn.py]
    python3 run.py test [--long] [options of pytest]
    python3 run.py bench [options of benchmarks/train_step.py]

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
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

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


def has_pip():
    """Whether .venv is there and usable."""
    return PYTHON.exists() and quiet(PYTHON, "-c", "import pip, sys; assert sys.version_info >= (3, 11)")


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
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "setup.py"):
        wanted.update((ROOT / name).read_bytes())
    wanted.update(str(ROOT).encode())
    stamp = VENV / f"installed-{extra}"
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    print(f"installing jaxnn[{extra}]; the first time takes some minutes", flush=True)
    status = run(
        PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[{extra}]"
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


def test(arguments):
    """Ruff, mypy and pytest: all three run, and the status is 0 only if each of them succeeded."""
    install("test")
    marker = [] if "--long" in arguments else ["-m", "not long"]
    arguments = [argument for argument in arguments if argument != "--long"]
    checks = {
        "ruff": ["ruff", "check", "."],
        "mypy": ["mypy"],
        "pytest": ["pytest", "-n", "2", *marker, *arguments],
    }
    failed = []
    for name, command in checks.items():
        print(f"== {name}", flush=True)
        if run(PYTHON, "-m", *command, cwd=ROOT):
            failed.append(name)
    if failed:
        print(f"FAILED: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


COMMANDS = {"train": train, "test": test, "bench": bench}


def main():
    """Do what the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))


if __name__ == "__main__":
    main()

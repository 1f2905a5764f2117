"""Starting the examples as a user does."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def start(name, *options):
    """Run an example with options; what it printed, and how it ended."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *(str(option) for option in options)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def printed(name, *options):
    """The lines that an example prints when all goes well."""
    result = start(name, *options)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()

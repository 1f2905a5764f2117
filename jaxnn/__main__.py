"""The command line: runs programs written for PyTorch, and the tools that read their files.

python -m jaxnn [-q] script.py [arguments]     run a program, with `torch` answered by jaxnn
python -m jaxnn [-q] -m module [arguments]     the same for a module
python -m jaxnn [-q] -c code [arguments]       the same for a line of code
"""

from __future__ import annotations

import sys
from importlib import import_module

#: Tool -> (module, function). The function takes the arguments behind the tool's name and returns the exit status.
COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("jaxnn.compat.check", "main"),
    "convert": ("jaxnn.compat.files.commands", "convert"),
    "inspect": ("jaxnn.compat.files.commands", "inspect"),
    "parity": ("jaxnn.compat.parity_report.command", "main"),
}


def main(arguments: list[str]) -> int:
    """Run a tool or a program. Returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__, end="")
        for name in sorted(COMMANDS):
            print(f"python -m jaxnn {name} --help")
        return 0 if arguments else 2
    if arguments[0] in COMMANDS:
        module, function = COMMANDS[arguments[0]]
        return getattr(import_module(module), function)(arguments[1:]) or 0
    return import_module("jaxnn.compat.door.running").run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

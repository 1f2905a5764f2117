"""Every program in programs/ runs twice, on torch and on jaxnn, from one source, and must print the same."""

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
IMPORT_LINE = re.compile(r"^(?:import|from) torch\b.*$", re.MULTILINE)
NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")

# Nothing in these depends on the order in which a sum is taken, so every character must agree. In the others the
# floating-point numbers may differ by one unit of the last printed place.
EXACT = {
    "module_skeleton",
    "conv_operation",
    "sequential_containers",
    "initialisation",
    "activations",
    "max_pool",
}


def for_module(source: str, module: str) -> str:
    """Return the source with its torch imports pointing at `module`; every other line stays as it is."""

    def redirect(match: re.Match[str]) -> str:
        line = match.group()
        if line == "import torch":
            return f"import {module} as torch"
        return line.replace("torch", module, 1)

    return IMPORT_LINE.sub(redirect, source)


def printed_by(name: str, module: str) -> list[str]:
    """Run one program against `module` and return the lines it prints."""
    path = PROGRAMS / f"{name}.py"
    code = compile(for_module(path.read_text(), module), str(path), "exec")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, {"__name__": "__main__"})
    # Types and modules print where they live; that is the one word which may differ.
    told = re.sub(r": jaxnn lacks [\w.]+", "", out.getvalue())  # an unknown name's error says so beside PyTorch's text
    return told.replace("jaxnn", "torch").splitlines()


def may_differ(number: str) -> float:
    """One unit of the last digit printed; of the fourth significant digit where fewer than 3 decimals are, or many."""
    mantissa, _, exponent = number.partition("e")
    decimals = len(mantissa.partition(".")[2])
    fourth_digit = 1e-4 * abs(float(number))
    if decimals < 3:
        return fourth_digit
    return max(10.0 ** (int(exponent or 0) - decimals), fourth_digit)


def same_numbers(ours: str, theirs: str) -> bool:
    if NUMBER.sub("#", ours).split() != NUMBER.sub("#", theirs).split():
        return False
    pairs = zip(NUMBER.findall(ours), NUMBER.findall(theirs), strict=True)
    return all(abs(float(a) - float(b)) <= 1.01 * may_differ(b) for a, b in pairs)


def same_line(ours: str, theirs: str, exact: bool) -> bool:
    return ours == theirs or (not exact and same_numbers(ours, theirs))


def test_the_import_lines_are_all_that_changes():
    source = "import torch\nimport torch.nn as nn\nfrom torch.nn import Linear\nx = 'import torch'\n# torch\n"
    assert for_module(source, "jaxnn") == (
        "import jaxnn as torch\nimport jaxnn.nn as nn\nfrom jaxnn.nn import Linear\nx = 'import torch'\n# torch\n"
    )


def test_the_comparison_notices():
    line = "loss 1.2345 tensor([2., 3.], grad_fn=<SumBackward0>)"
    assert same_line(line, line, exact=True)
    assert same_line(line.replace("1.2345", "1.2346"), line, exact=False)
    assert not same_line(line.replace("1.2345", "1.2346"), line, exact=True)
    for old, new in (
        ("1.2345", "1.2349"),
        ("2.", "3."),
        ("Sum", "Mean"),
        (", grad", " grad"),
        ("3.", "3"),
        ("3.", "-3."),
    ):
        assert not same_line(line.replace(old, new), line, exact=False)


@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.py")))
def test_program_prints_what_torch_prints(name):
    theirs = printed_by(name, "torch")
    ours = printed_by(name, "jaxnn")
    different = [
        f"line {number}\n  torch: {right}\n  jaxnn: {left}"
        for number, (left, right) in enumerate(zip(ours, theirs, strict=False), 1)
        if not same_line(left, right, name in EXACT)
    ]
    assert not different, "\n".join(different)
    assert len(ours) == len(theirs)

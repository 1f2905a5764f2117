"""All benchmarks of the CPU in a short form, in at most 23 minutes: `python benchmarks/all.py --into results`.

Runs the scripts beside this one, one after the other, each in a process of its own, and writes into the folder:

- `results.json`: the machine, the versions, and each script's figures (its printed lines where it has no JSON);
- `results.md`: the same as tables;
- `results.png`: jaxnn's ratio to PyTorch, a training step and an operator a bar.

Nothing else should run on the machine meanwhile. Exit status 1 where a script failed or ran past its time.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from train_step import environment  # noqa: E402

#: Name, arguments of the short form, whether it takes --json, and the seconds it may take.
SCRIPTS = (
    ("imports", (), True, 120),
    ("train_step", ("--rounds", "9", "--seconds", "0.15"), True, 240),
    ("operators", ("--rounds", "3", "--seconds", "0.01"), True, 420),
    ("optimizer_step", ("--rounds", "9", "--steps", "20"), False, 90),
    ("many_parameters", ("--counts", "200", "--rounds", "5"), False, 120),
    ("data_loader", ("--rounds", "3"), False, 120),
    ("irregular_programs", (), True, 240),
)


def run(name: str, arguments: tuple[str, ...], takes_json: bool, limit: int, folder: Path) -> dict:
    """What a script printed and wrote, its exit status (None past its time) and its seconds."""
    file = folder / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments, *(["--json", str(file)] if takes_json else [])]
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        status, printed, errors = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        status, errors = None, ""
        printed = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    figures = json.loads(file.read_text()) if file.exists() else None
    taken = round(time.perf_counter() - start, 1)
    found = {"command": " ".join([f"{name}.py", *arguments]), "status": status, "seconds": taken, "printed": printed, "figures": figures}
    return found if status == 0 else {**found, "errors": errors[-2000:]}


def report(setting: dict, results: dict) -> str:
    """All tables, the machine and the versions above them."""
    parts = ["# Benchmarks", ", ".join(f"{name} {value}" for name, value in setting.items())]
    for name, result in results.items():
        state = {0: "", None: ", ran past its time"}.get(result["status"], ", failed")
        parts += [f"## {name}", f"`python benchmarks/{result['command']}`, {result['seconds']} s{state}"]
        parts.append(f"```text\n{result['printed'].strip()}\n```")
    return "\n\n".join(parts) + "\n"


def ratios(results: dict) -> list[tuple[str, float]]:
    """What the picture shows: a label and jaxnn's time as a multiple of PyTorch's."""
    steps = (results.get("train_step", {}).get("figures") or {}).get("times", [])
    found = [(f"step: {row['model']}", row["to_torch"]) for row in steps if row["variant"] == "jaxnn" and row["to_torch"]]
    for row in results.get("operators", {}).get("figures") or []:
        if row["size"] == "large" and row["direction"] != "forward":
            found.append((row["operator"], row["ratio"]))
    return found


def draw(bars: list[tuple[str, float]], setting: dict, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 1.5 + 0.18 * len(bars)), layout="constrained")
    labels, values = zip(*sorted(bars, key=lambda bar: -bar[1]), strict=True)
    axes.barh(labels, values, color=["tab:blue" if v <= 1 else "tab:orange" for v in values])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.01)
    axes.set_xlabel("jaxnn's time as a multiple of PyTorch's, forward and backward, large sizes")
    axes.set_title(f"jax {setting['jax']}, torch {setting['torch']}, {setting['cores']} cores", fontsize=9)
    figure.savefig(file, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--only", nargs="+", choices=[name for name, *_ in SCRIPTS])
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    setting, results = environment(), {}
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    for name, *how in SCRIPTS:
        if not options.only or name in options.only:
            print(f"{name} ...", flush=True)
            results[name] = run(name, *how, options.into)
            print(results[name]["printed"], flush=True)
            (options.into / "results.json").write_text(json.dumps({"environment": setting, "results": results}, indent=1))
            (options.into / "results.md").write_text(report(setting, results))
    bars = ratios(results)
    if bars:
        draw(bars, setting, options.into / "results.png")
    failed = [name for name, result in results.items() if result["status"] != 0]
    if failed:
        print(f"failed or late: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

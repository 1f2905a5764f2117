"""All benchmarks of the CPU in a short form, in at most ten minutes: `python benchmarks/all.py --into results`.

Runs the scripts beside this one, one after the other, each in a process of its own, and writes into the folder:

- `results.json`: the machine, the versions, and each script's figures (its printed lines where it has no JSON);
- `results.md`: the same as tables;
- `results.png`: jaxnn's ratio to PyTorch, a training step and an operator a bar.

`--full` measures every network, operator and size instead, in an hour and a half at most. Nothing else should run on the machine
meanwhile. Exit status 1 where a script failed or ran past its time.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from train_step import environment  # noqa: E402

#: Name: whether it takes --json, the arguments of the short and of the full form, and the seconds either may take: 600 the short one.
SCRIPTS = {
    "imports": (True, "--rounds 3", 40, "", 120),
    "train_step": (
        True, "--models tiny cnn encoder lstm --variants torch jaxnn jaxnn+oneDNN nnx.jit --rounds 9 --seconds 0.1", 220, "", 1500,
    ),
    "operators": (True, "--sizes large --rounds 3 --seconds 0.01", 160, "", 1200),
    "optimizer_step": (False, "--optimizer sgd --rounds 9 --steps 20", 40, "", 180),
    "many_parameters": (False, "--counts 200 --rounds 5", 40, "", 900),
    "data_loader": (False, "--rounds 2", 40, "", 300),
    "irregular_programs": (True, "--programs policy elements", 60, "", 900),
}  # fmt: skip


def children_seconds() -> float:
    """Processor time of all processes that ended."""
    if resource is None:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(name: str, arguments: list[str], takes_json: bool, limit: int, folder: Path) -> dict:
    """What a script printed and wrote, its exit status (None past its time), its seconds and its processor's."""
    file = folder / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments, *(["--json", str(file)] if takes_json else [])]
    start, used = time.perf_counter(), children_seconds()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        status, printed, errors = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        status, errors = None, ""
        printed = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    figures = json.loads(file.read_text()) if file.exists() else None
    found = {
        "command": " ".join([f"{name}.py", *arguments]), "status": status, "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(children_seconds() - used, 1), "printed": printed, "figures": figures,
    }  # fmt: skip
    return found if status == 0 else {**found, "errors": errors[-2000:]}


def report(setting: dict, results: dict) -> str:
    """All tables, the machine and the versions above them."""
    parts = ["# Benchmarks", ", ".join(f"{name} {value}" for name, value in setting.items())]
    for name, result in results.items():
        state = {0: "", None: ", ran past its time"}.get(result["status"], ", failed")
        taken = f"{result['seconds']} s ({result['processor_seconds']} of a processor)"
        parts += [f"## {name}", f"`python benchmarks/{result['command']}`, {taken}{state}"]
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
    parser.add_argument("--only", nargs="+", choices=list(SCRIPTS))
    parser.add_argument("--full", action="store_true", help="everything, not the short form")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    setting, results = environment(), {}
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    for name, (takes_json, short, short_limit, full, full_limit) in SCRIPTS.items():
        if not options.only or name in options.only:
            print(f"{name} ...", flush=True)
            arguments, limit = (full, full_limit) if options.full else (short, short_limit)
            found = results[name] = run(name, shlex.split(arguments), takes_json, limit, options.into)
            print(f"{found['printed']}({found['seconds']} s, {found['processor_seconds']} of a processor)\n", flush=True)
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

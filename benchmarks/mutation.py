"""Do the tests notice when the code is wrong? Mutants of the parts that decide, by mutmut.

    pip install mutmut==3.8.1            into an environment that has the project's test packages
    python benchmarks/mutation.py                        a sample of every part, some minutes each
    python benchmarks/mutation.py --only watchdog --sample 0          every mutant of one part

Each part is copied with its own tests into a folder under ``--scratch``; nothing is changed here.
What has been tried is kept there, so the command goes on where it was stopped; remove the folder
after a change. Mutants are drawn by ``--seed`` from the sorted list of their names.

mutmut puts a mutant in the place of a function when that is called, which is too late for what is
called while a module is imported. So what survives is tried once more, written into its file. What
survives that is printed with what it changes.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("anymodal_seg_ros", "config", "test")
KILLED = (1, 3, 24, -24, 36, 152, 255)
"""Exit codes of mutmut for a mutant that a test noticed, by failing or by never ending."""


@dataclass(frozen=True)
class Part:
    """One thing that decides, and the tests that are to hold it."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "synchroniser": Part(
        ("sensing/sync/synchronizer.py", "sensing/sync/buffer.py", "sensing/sync/triggers.py"),
        (
            "sensing/sync/test_sync_rules.py",
            "sensing/sync/test_synchronizer.py",
            "sensing/sync/test_triggers.py",
        ),
    ),
    "watchdog": Part(
        ("sensing/health/watchdog.py", "sensing/health/sensor_health.py"),
        (
            "sensing/health/test_watchdog.py",
            "sensing/health/test_sensor_health.py",
            "sensing/health/test_doubt.py",
        ),
    ),
    "decode": Part(
        (
            "sensing/decoding/decode.py",
            "sensing/decoding/encodings.py",
            "sensing/decoding/payload.py",
        ),
        (
            "sensing/decoding/test_decode.py",
            "sensing/decoding/test_decode_rules.py",
            "sensing/decoding/test_message_classes.py",
            "sensing/decoding/test_camera_formats.py",
        ),
    ),
    "budget": Part(
        ("pipeline/budget.py", "pipeline/scheduler.py"),
        (
            "pipeline/test_scheduler_rules.py",
            "pipeline/test_scheduler.py",
            "pipeline/test_stages.py",
        ),
    ),
    "metrics": Part(
        (
            "evaluation/metrics.py",
            "evaluation/scorecard/figures/measures.py",
            "evaluation/scorecard/runs/pixels.py",
        ),
        (
            "evaluation/scorecard/test_figures.py",
            "evaluation/scorecard/test_fault_figures.py",
            "evaluation/scorecard/test_pixels.py",
        ),
    ),
}


def prepare(name: str, part: Part, scratch: Path) -> Path:
    """Copy the checkout, and tell mutmut what to change and what to run."""
    folder = scratch / name
    folder.mkdir(parents=True, exist_ok=True)
    for entry in COPIED:
        shutil.copytree(
            ROOT / entry,
            folder / entry,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    shutil.copy2(ROOT / "pyproject.toml", folder)
    settings = {
        "source_paths": ["anymodal_seg_ros"],
        "only_mutate": [f"anymodal_seg_ros/{file}" for file in part.files],
        "also_copy": [entry for entry in COPIED if entry != "anymodal_seg_ros"],
        "pytest_add_cli_args_test_selection": [f"test/{test}" for test in part.tests],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:xdist"],
    }
    lines = [f"{key}=" + "".join(f"\n    {v}" for v in values) for key, values in settings.items()]
    (folder / "setup.cfg").write_text("\n".join(["[mutmut]", *lines, ""]), encoding="utf-8")
    return folder


def mutmut(folder: Path, *arguments: str) -> str:
    """Run mutmut in the copy and return what it printed; the models are those of the checkout."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    environment = {**os.environ, "ANYMODAL_SEG_SHARE": str(ROOT)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def tried(folder: Path) -> dict[str, int | None]:
    """Return every mutant, and with which exit code its tests ended; None if not tried yet."""
    found: dict[str, int | None] = {}
    for path in sorted((folder / "mutants" / "anymodal_seg_ros").rglob("*.meta")):
        found.update(json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"])
    return found


def measure(name: str, part: Part, options: argparse.Namespace) -> dict[str, Any]:
    """Try the drawn mutants of one part."""
    folder = options.scratch / name
    if not tried(folder):
        prepare(name, part, options.scratch)
    said = ""
    if not tried(folder):
        said = mutmut(folder, "run", "--max-children", str(options.jobs), "nothing.of.this.name")
    names = sorted(tried(folder))
    if not names:
        raise SystemExit(f"mutmut made no mutants of {name}; it said:\n{said[-3000:]}")
    drawn = names
    if options.sample and options.sample < len(names):
        drawn = sorted(random.Random(options.seed).sample(names, options.sample))
    waiting = [one for one in drawn if tried(folder)[one] is None]
    if waiting:
        said = mutmut(folder, "run", "--max-children", str(options.jobs), *waiting)
    codes = {one: tried(folder)[one] for one in drawn}
    for one, code in codes.items():
        if code is not None and code not in KILLED:
            codes[one] = tried_in_file(folder, part, one)
    counts = Counter(
        "killed" if code in KILLED else "survived" for code in codes.values() if code is not None
    )
    if sum(counts.values()) < len(drawn):
        print(
            f"{name}: {len(drawn) - sum(counts.values())} mutants were not tried:\n{said[-2000:]}"
        )
    return {
        "mutants": len(names),
        "tried": sum(counts.values()),
        **{key: counts[key] for key in ("killed", "survived")},
        "survivors": {
            one: _change(folder, one)
            for one, code in codes.items()
            if code is not None and code not in KILLED
        },
    }


def tried_in_file(folder: Path, part: Part, mutant: str) -> int:
    """Return with which exit code the tests end where the mutant stands in the file itself."""
    path = Path(*mutant.rpartition(".")[0].split(".")).with_suffix(".py")
    original = (ROOT / path).read_text("utf-8")
    known = folder / "in_file.json"
    codes: dict[str, int] = json.loads(known.read_text("utf-8")) if known.exists() else {}
    if mutant not in codes:
        functions = _functions(folder, mutant)
        changed = _Replaced(mutant.rpartition(".")[2], functions).visit(ast.parse(original))
        try:
            (folder / path).write_text(ast.unparse(changed), encoding="utf-8")
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
            command += ["--timeout", "120", *(f"test/{test}" for test in part.tests)]
            paths = os.pathsep.join([str(folder), str(folder / "test"), *sys.path])
            environment = {**os.environ, "ANYMODAL_SEG_SHARE": str(ROOT), "PYTHONPATH": paths}
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
        finally:
            (folder / path).write_text(original, encoding="utf-8")
        codes[mutant] = min(done.returncode, 1)  # 2: it cannot even be imported
        known.write_text(json.dumps(codes), encoding="utf-8")
    return codes[mutant]


class _Replaced(ast.NodeTransformer):
    """Puts a mutant in the place of the function that it was made of."""

    def __init__(self, mutant: str, functions: dict[str, ast.FunctionDef]) -> None:
        """Look for the function whose name mutmut has woven into the mutant's."""
        self._wanted = _unwoven(mutant)
        self._body = functions[mutant].body
        self._within: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Look into a class."""
        self._within.append(node.name)
        found = self.generic_visit(node)
        self._within.pop()
        return found

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Give the wanted function the mutant's body."""
        if (*self._within, node.name) == self._wanted:
            node.body = self._body
        return node


def _unwoven(mutant: str) -> tuple[str, ...]:
    """Return class and function that a mutant is of: ``xǁSchedulerǁadd__mutmut_1``, ``x_add…``."""
    name = mutant.rpartition("__mutmut_")[0]
    return tuple(name.split("ǁ")[1:]) if "ǁ" in name else (name.removeprefix("x_"),)


def _functions(folder: Path, mutant: str) -> dict[str, ast.FunctionDef]:
    """Return a function and all its mutants by name; mutmut keeps them beside each other."""
    module = Path(*mutant.rpartition(".")[0].split(".")).with_suffix(".py")
    text = (folder / "mutants" / module).read_text("utf-8")
    return {n.name: n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)}


def _change(folder: Path, mutant: str) -> list[str]:
    """Return the lines that a mutant takes away and puts in."""
    name, functions = mutant.rpartition(".")[2], _functions(folder, mutant)
    original, changed = (
        ast.unparse(functions[each]).splitlines()[1:]
        for each in (name.rpartition("__mutmut_")[0] + "__mutmut_orig", name)
    )
    lines = difflib.unified_diff(original, changed, n=0, lineterm="")
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def main() -> int:
    """Measure the chosen parts; 1 if one of them is below the share that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sample", type=int, default=100, help="mutants of each part; 0: all")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are tried side by side")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/anymodal-mutants"))
    parser.add_argument("--least", type=float, default=0.85, help="share that must be killed")
    parser.add_argument("--json", type=Path, help="write the results here as well")
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    worst = 1.0
    for name in options.only:
        results[name] = row = measure(name, PARTS[name], options)
        share = row["killed"] / max(row["tried"], 1)
        worst = min(worst, share)
        print(
            f"{name}: {row['mutants']} mutants, {row['tried']} tried, {row['killed']} killed "
            f"({share:.0%})",
            flush=True,
        )
        for mutant, change in row["survivors"].items():
            print(f"  {mutant}", *change, sep="\n    ")
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if worst >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())

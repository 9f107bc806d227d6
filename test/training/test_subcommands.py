"""A subcommand of the trainer begins without the libraries that only some runs need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from anymodal_seg_training.cli import SUBCOMMANDS, main

_SELDOM = ("lightning_fabric", "timm", "torchmetrics")
"""What takes seconds to import; networks without an encoder of timm also do without timm."""


def test_every_subcommand_starts_where_what_is_seldom_needed_is_not_there(
    project_root: Path,
) -> None:
    script = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({_SELDOM!r}))  # importing one of them now raises ImportError
for module in {sorted(SUBCOMMANDS.values())!r}:
    print(importlib.import_module(f"anymodal_seg_training.{{module}}").main.name)
"""
    paths = [str(project_root), str(project_root / "training")]
    path = f"import sys; sys.path[:0] = {paths!r}\n"
    process = subprocess.run(
        [sys.executable, "-c", path + script], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.split()) == len(SUBCOMMANDS)


def test_the_help_names_every_subcommand_in_order() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0, shown.output
    words = [
        line.split()[0] for line in shown.output.partition("Commands:")[2].splitlines() if line
    ]
    assert [word for word in words if word in SUBCOMMANDS] == sorted(SUBCOMMANDS)


def test_an_unknown_subcommand_is_refused() -> None:
    shown = CliRunner().invoke(main, ["trian"])
    assert shown.exit_code == 2
    assert "No such command 'trian'" in shown.output

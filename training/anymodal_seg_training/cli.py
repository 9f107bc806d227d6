"""The command ``anymodal-train``; each subcommand can also be run as a module of its own."""

from __future__ import annotations

import importlib

import click

SUBCOMMANDS = {
    "agreement": "commands.agreement",
    "average": "export.averaging",
    "check-data": "commands.check_data",
    "evaluate": "commands.evaluate",
    "export": "commands.export",
    "graphs": "export.graphs",
    "import": "commands.import_published",
    "pack": "commands.pack",
    "recalibrate": "export.recalibration",
    "study": "commands.study",
    "train": "train",
}
"""Modules of the subcommands, imported when they are needed; ``main`` in each is the command."""


class _Subcommands(click.Group):
    """Imports a subcommand on demand: none has to wait for the libraries of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = SUBCOMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(f"anymodal_seg_training.{module}").main
        return command


@click.group(cls=_Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train, evaluate and export any-modal segmentation networks."""


if __name__ == "__main__":
    main()

"""The command ``anymodal-seg``: it only finds subcommands, each in a file of its own."""

from __future__ import annotations

import errno
import importlib
import sys
import traceback
from collections.abc import Mapping
from typing import Any, ClassVar

import click

from anymodal_seg_ros import __version__
from anymodal_seg_ros.cli.console.os_errors import told
from anymodal_seg_ros.config import did_you_mean
from anymodal_seg_ros.errors import STOPPED, AnymodalError, no_room
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.streams import fill_closed

SUBCOMMANDS = {
    "assemble-bag": "bags",
    "benchmark": "engines",
    "build-engine": "engines",
    "check": "robot",
    "check-alignment": "robot",
    "compare": "evaluation",
    "demo": "robot",
    "doctor": "robot",
    "engines": "engines",
    "evaluate": "evaluation",
    "faults": "robot",
    "inspect": "bags",
    "new-rig": "robot",
    "parameters": "robot",
    "play": "bags",
    "run": "bags",
    "simulate": "simulation",
    "verify-engine": "engines",
}
"""Rooms of the subcommands, in the order of the help.

``some-name`` in ``room`` is the object ``command`` in ``cli/room/some_name.py``, imported when it
is needed.
"""

ANSWERING, UNKNOWN = ("evaluate", "inspect"), 2
"""Subcommands of which 1 is an answer, and what they exit with if there is none: whatever ends
them, a gate must not take it for a figure that failed."""


class Subcommands(click.Group):
    """Imports a subcommand on demand, and turns this package's errors into one line.

    Attributes:
        rooms: of the subcommands by their names, in the order of the help.
    """

    rooms: ClassVar[Mapping[str, str]] = SUBCOMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(self.rooms)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand; None if there is none of this name."""
        room = self.rooms.get(cmd_name)
        if room is None:
            return None
        file = cmd_name.replace("-", "_")
        module = importlib.import_module(f"anymodal_seg_ros.cli.{room}.{file}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or say which one is most like the word that was given."""
        if (
            args
            and not ctx.resilient_parsing
            and not args[0].startswith("-")
            and args[0] not in self.rooms
        ):
            near = did_you_mean(args[0], self.rooms).strip()
            ctx.fail(f"No such command '{quote(args[0])}'. {near}".strip())
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command; a help text that cannot be written is an error of one line, too."""
        fill_closed()
        try:
            return super().main(*args, **options)
        except OSError as error:
            click.echo(f"Error: {told(error)}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand; exit code 1 and ``Error: …`` for what can be said in a line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(STOPPED)
        except AnymodalError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:  # a folder that cannot be written, a disk that is full
            if error.errno == errno.EPIPE:  # nobody reads on: click ends quietly
                raise
            raise click.ClickException(told(error)) from error
        except click.UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # of click 8.2; its text is the help
                raise
            # Click repeats what it was given; names of files may hold what a terminal obeys.
            raise click.UsageError(one_line(error.format_message()), error.ctx) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            answers = ctx.invoked_subcommand in ANSWERING
            if why := no_room(error):
                click.echo(f"Error: {why}", err=True)
            elif answers:
                traceback.print_exc()
            else:
                raise
            ctx.exit(UNKNOWN if answers else 1)


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="anymodal_seg_ros")
def main() -> None:
    """Semantic masks from whatever cameras are alive."""


if __name__ == "__main__":
    main()

"""A console that shows text as it is: names of files, topics and sensors are not markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from anymodal_seg_ros.foreign_text import one_line, quote


class PlainConsole(Console):
    """A console without markup and emoji, for text that others wrote."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make what is printed of a text, in a table too: rich lets escape sequences pass."""
        return super().render_str("\n".join(map(_shown, text.split("\n"))), **options)

    def say(self, text: str) -> None:
        """Print a line; it may quote whatever others wrote.

        Where nobody looks at a terminal it stays one line: a word of somebody else that happened to
        be the first of the next one could be taken for one of ours.
        """
        self.print(one_line(text), soft_wrap=not self.is_terminal)


def _shown(line: str) -> str:
    return quote(line, len(line))

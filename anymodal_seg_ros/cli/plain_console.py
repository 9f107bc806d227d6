"""A console that shows text as it is: names of files, topics and sensors are not markup."""

from __future__ import annotations

from rich.console import Console

from anymodal_seg_ros.foreign_text import one_line


class PlainConsole(Console):
    """A console without markup and emoji, for text that others wrote."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)

    def say(self, text: str) -> None:
        """Print a line; it may quote whatever others wrote."""
        self.print(one_line(text))

"""Names on the command line of which there are only some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from anymodal_seg_ros.config import did_you_mean
from anymodal_seg_ros.foreign_text import quote

if TYPE_CHECKING:
    _Choice = click.Choice[str]  # generic for those who read it, and from click 8.2 on
else:
    _Choice = click.Choice


class OneOf(_Choice):
    """As of click, and says which name was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name, or end with a usage error."""
        if value not in self.choices:
            names = [str(name) for name in self.choices]
            near = did_you_mean(str(value), names)
            self.fail(f"{quote(value)!r}: {near}expected one of {', '.join(names)}", param, ctx)
        return super().convert(value, param, ctx)

"""Names of other people inside tables of Markdown."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_|<>$])")


def cell(name: str) -> str:
    """Return a name as it stands in a table: no ``|`` of it ends the cell, no mark of it counts."""
    return _MARKS.sub(r"\\\1", " ".join(name.split()))

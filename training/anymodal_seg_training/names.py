"""Names that become parts of paths: one rule for all of them."""

from __future__ import annotations

import re

from anymodal_seg_ros.errors import ConfigError

_RULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def check_name(name: str, where: str) -> str:
    """Return a name that a file or folder may have, wherever the recipe comes from.

    Args:
        name: to check.
        where: what it is the name of, for the message.

    Raises:
        ConfigError: it could lead elsewhere, or is none.
    """
    if not _RULE.fullmatch(name):
        shown = name if len(name) <= 60 else name[:60] + "…"
        raise ConfigError(
            f"{where} is {shown!r}: expected letters, digits, '_', '-' and '.', beginning with a "
            "letter or digit, 100 at most"
        )
    return name

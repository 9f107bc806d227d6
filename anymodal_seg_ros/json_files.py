"""The one reader of JSON that somebody else may have written: bounded, and with one kind of error.

Python's own reader takes any size, and of a deep text ends in a RecursionError, which nobody who
catches a ValueError for damaged files expects.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

MAX_BYTES = 64_000_000
"""Of a file."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(text: bytes | str) -> Any:
    """Return the content of a JSON text.

    Raises:
        ValueError: it is none, nested deeper than anybody writes, or holds half a character.
    """
    try:
        content = json.loads(text)
        if _SURROGATE.search(text if isinstance(text, bytes) else text.encode()):
            json.dumps(content, ensure_ascii=False).encode()  # half a character can't be written
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return content


def json_bytes(content: Any) -> bytes:
    """Return the JSON text of plain values, as :func:`parse_json` takes it.

    Half a character, as names of files in another encoding have them, becomes a ``?``.
    """
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(errors="replace")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, too large, or no JSON.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 1_000_000} MB")
    return parse_json(content)

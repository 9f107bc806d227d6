"""Text from outside, made fit to be shown: short, on one line, and without control characters.

Messages, files, topics and file names hold whatever their sender likes: a megabyte, a line break
that forges another log line, an escape sequence that a terminal obeys. Whatever is shown of it in
an error, the log, /diagnostics or the console passes here.
"""

from __future__ import annotations

import unicodedata

QUOTED_LENGTH = 60
"""Characters of a name or value that are shown, unless more are asked for."""

LINE_LENGTH = 480
"""Characters of a whole error message that are shown."""

_UNFIT = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories that are not shown: C0 and C1 controls, marks that reverse or hide text,
characters that do not exist (yet), private ones, lone surrogates, and separators of lines."""


def quote(text: object, limit: int = QUOTED_LENGTH) -> str:
    """Return a text, or the text of a value, as it may be shown.

    White space of any kind becomes a space, other characters that would control a terminal or
    break the line a ``?``; what is longer than ``limit`` characters is cut and ends with ``…``.

    Args:
        text: what somebody else wrote. Of bytes and of containers, pass their length or a part:
            their text is made whole before it is cut.
        limit: most characters of the result.
    """
    shown = text if isinstance(text, str) else str(text)
    cut = len(shown) > limit
    fit = "".join(map(_fit, shown[: limit - 1] if cut else shown))
    return fit + "…" if cut else fit


def one_line(said: str | Exception) -> str:
    """Return an error or its message, which may quote more than one thing, as one line for a log.

    A long one is cut in the middle: what is wrong stands at its beginning, the mend at its end.
    """
    most, text = 100 * LINE_LENGTH, str(said)
    whole = text if len(text) <= 2 * most else text[:most] + text[-most:]
    shown = quote(" ".join(whole.split()), 2 * most)
    if len(shown) <= LINE_LENGTH:
        return shown
    half = LINE_LENGTH // 2
    return f"{shown[: half - 1]}…{shown[-half:]}"


def block(text: str, most: int = 20 * LINE_LENGTH) -> str:
    """Return text of several lines, as a traceback, for a log: bounded, fit, each line indented.

    The error at its end may quote what somebody sent. Indented, no line of it looks like another
    entry of the log. Of a long one the beginning is left out.
    """
    kept = text if len(text) <= most else f"…{text[-most:]}"
    return "".join(f"\n  {quote(line, LINE_LENGTH)}" for line in kept.split("\n") if line.strip())


def _fit(character: str) -> str:
    if character.isspace():
        return " "
    return "?" if unicodedata.category(character) in _UNFIT else character

"""Paths with named fields: ``img/{weather}/{split}/{scene}/{frame}_rgb_front.png``.

One template finds the frames of a data set and names the fields; the others, filled with the same
fields, say where the rest of each frame lies.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from anymodal_seg_ros.errors import ConfigError

Fields = Mapping[str, str]


def fields_of(template: str, where: str) -> tuple[str, ...]:
    """Return the names of the fields in a template, each once.

    Raises:
        ConfigError: a brace is not closed, or a field has no name or a format.
    """
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"{where} is {template!r}: {error}") from error
    names = []
    for _, name, form, conversion in parsed:
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ConfigError(f"{where} is {template!r}: expected fields such as {{name}}")
        names.append(name)
    return tuple(dict.fromkeys(names))


def fill(template: str, fields: Fields, where: str) -> str:
    """Fill a template.

    Raises:
        ConfigError: it has a field that nothing fills.
    """
    for name in fields_of(template, where):
        if name not in fields:
            raise ConfigError(
                f"{where} is {template!r}: nothing fills {{{name}}}; known fields are "
                f"{', '.join(sorted(fields)) or 'none'}"
            )
    return template.format_map(fields)


def match(template: str, text: str, known: Fields) -> dict[str, str] | None:
    """Return the fields with which the template gives ``text``; None if there are none.

    A field stands for one or more characters that are not a slash; one that occurs twice, or is in
    ``known``, must be the same everywhere.
    """
    found = _pattern(template, known).fullmatch(text)
    return None if found is None else {**known, **found.groupdict()}


def find(root: Path, template: str, known: Fields) -> Iterator[dict[str, str]]:
    """Yield the fields of every file below ``root`` that the template fits, in order of paths.

    Raises:
        ConfigError: no files can be looked for by it.
    """
    wildcard = "".join(
        literal.replace("[", "[[]") + ("" if name is None else known.get(name, "*"))
        for literal, name, _, _ in string.Formatter().parse(template)
    )
    try:
        paths = sorted(root.glob(wildcard))
    except (NotImplementedError, ValueError) as error:  # absolute, or stars that mean nothing
        raise ConfigError(
            f"frames is {template!r}: expected a path below the folder of the data set, with "
            f"fields such as {{name}} ({error})"
        ) from error
    for path in paths:
        if path.name.startswith("._"):
            continue  # what macOS leaves beside each file on disks that are not its own
        fields = match(template, path.relative_to(root).as_posix(), known)
        if fields is not None:
            yield fields


def _pattern(template: str, known: Fields) -> re.Pattern[str]:
    seen: set[str] = set()
    parts = []
    for literal, name, _, _ in string.Formatter().parse(template):
        parts.append(re.escape(literal))
        if name is None:
            continue
        if name in known:
            parts.append(re.escape(known[name]))
        elif name in seen:
            parts.append(f"(?P={name})")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>[^/]+)")
    return re.compile("".join(parts))

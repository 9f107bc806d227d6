"""The one reader of YAML files that people write: parameters, recipes, timelines and so on.

Such a file may be anybody's. So the tree is built from the parser's events, and never larger,
deeper or more often repeated by aliases than a file that somebody wrote can be. Nothing but plain
values comes out of it: text, numbers, truth values, nothing, lists, and mappings with unique keys.

Differences to PyYAML: dates and sexagesimal numbers (``1:30``) stay text, and ``1e-3`` is a number,
as ROS reads it; a key that is given twice is an error.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.resources import spelling_hint

MAX_BYTES = 4_000_000
"""Of a file."""
MAX_NODES = 100_000
"""Values in a file, those that aliases repeat counted every time; long texts count as several."""
_NODE_LENGTH = 64
MAX_DEPTH = 32
"""Levels of lists and mappings."""
MAX_DIGITS = 64
"""Characters of a number."""

_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_CORE = "tag:yaml.org,2002:"
_KEYS = (str, int, float, bool, type(None))

_DIRECTIVE = re.compile(r"\A\s*%YAML[: ]\s*1\.\d[ \t]*(?=\r?\n)")
"""OpenCV begins its files with ``%YAML:1.0``, which is no YAML."""
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    spelt: value
    for word, value in (
        ("yes", True),
        ("true", True),
        ("on", True),
        ("no", False),
        ("false", False),
        ("off", False),
    )
    for spelt in (word, word.capitalize(), word.upper())
}
_SHORT_BOOL = {"y": True, "Y": True, "n": False, "N": False}
"""What rcl takes for truth values as well."""
_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[0-9][0-9_]*[eE][-+][0-9]+)"
)
_C_INT = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_C_FLOAT = re.compile(
    r"[-+]?(?:(?P<hex>0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][-+]?[0-9]+)?)"
    r"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|(?P<word>inf(?:inity)?|nan))",
    re.IGNORECASE,
)
"""What ``strtol`` and ``strtod`` take for numbers, by which rcl reads them."""
_DIGIT = re.compile(r"^[-+]?[0.]*[1-9]")
"""The first digits of a number that is not 0, however small it is."""
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")


class _Problem(Exception):
    """What is wrong with a text, and where."""


class _NoYaml(_Problem):
    """The parser cannot make sense of it."""


def read_yaml(path: Path, what: str, *, foreign: bool = False, ros: bool = False) -> Any:
    """Return the content of a YAML file.

    Args:
        path: of a regular file, in UTF-8.
        what: names the file in an error, e.g. ``recipe``.
        foreign: as for :func:`parse_yaml`.
        ros: it is a parameter file, read as rcl does: names are text, whatever they look like
            (``on``, ``1``), ``y`` and ``n`` are truth values, numbers are what C takes for such,
            and aliases are refused.

    Raises:
        ConfigError: the file cannot be read, or is no YAML as this module reads it.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _Problem("it is no regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        return _parse(raw.decode("utf-8-sig"), foreign, ros)
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 at byte {error.start}"
    except ValueError as error:  # a NUL in the path
        reason = str(error)
    except _NoYaml as error:
        reason = f"{quote(path.name, 80)} is no YAML: {error}"
    except _Problem as error:
        reason = str(error)
    hint = spelling_hint(path)
    raise ConfigError(f"cannot read the {what} {quote(path, 200)}: {reason}{hint}")


def parse_yaml(text: str, what: str, *, foreign: bool = False) -> Any:
    """Return the content of a YAML text.

    Args:
        text: one document.
        what: names the text in an error.
        foreign: another program wrote it: of several documents the first one counts, and OpenCV's
            header and tags are passed over.

    Raises:
        ConfigError: it is no YAML as this module reads it.
    """
    try:
        return _parse(text, foreign)
    except _Problem as error:
        raise ConfigError(f"cannot read {what}: {error}") from error


def _parse(text: str, foreign: bool, ros: bool = False) -> Any:
    if len(text) > MAX_BYTES:
        raise _Problem(f"it is larger than {MAX_BYTES // 1_000_000} MB")
    if foreign:
        text = _DIRECTIVE.sub("", text)
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER), foreign, ros).document()
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _NoYaml(f"{quote(error.problem, 120)}{line}") from error
    except yaml.YAMLError as error:
        raise _NoYaml(one_line(error)) from error


class _Composer:
    """Builds the tree of a document from the events of the parser."""

    def __init__(self, events: Iterator[Any], foreign: bool, ros: bool) -> None:
        self._events = events
        self._foreign = foreign
        self._ros = ros
        self._anchors: dict[str, tuple[Any, int]] = {}  # value, and how many nodes it has
        self._nodes = 0

    def document(self) -> Any:
        """Return the first document's content; None if there is none."""
        found: list[Any] = []
        for event in self._events:
            if isinstance(event, (yaml.StreamStartEvent, yaml.DocumentEndEvent)):
                continue
            if isinstance(event, yaml.StreamEndEvent):
                break
            if isinstance(event, yaml.DocumentStartEvent):
                if found and self._foreign:
                    break
                self._anchors.clear()
                continue
            value = self._node(event, 0)
            if not found or value is not None:  # a final '---' begins an empty document
                found.append(value)
            if len(found) > 1:
                self._fail("there is a second document: expected one", event)
        return found[0] if found else None

    def _node(self, event: Any, depth: int) -> Any:
        """Return the value that begins with an event."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        self._add(1 + len(getattr(event, "value", "")) // _NODE_LENGTH, event)
        if depth >= MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} levels", event)
        value: Any
        if isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq")
            value = [self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        elif isinstance(event, yaml.MappingStartEvent):
            self._check_tag(event, "map")
            value = self._mapping(depth + 1)
        else:
            value = self._scalar(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _mapping(self, depth: int) -> dict[Any, Any]:
        own: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._key(event, depth)
            value = self._node(next(self._events), depth)
            if key == "<<" and event.tag is None and event.implicit[0]:
                for one in value if isinstance(value, list) else [value]:
                    if not isinstance(one, Mapping):
                        self._fail("'<<' merges what is no mapping", event)
                    merged = {**one, **merged}
                continue
            if not isinstance(key, _KEYS):
                self._fail("a key is a list or a mapping: expected text or a number", event)
            if key in own:
                self._fail(f"the key {quote(repr(key))} is given twice", event)
            own[key] = value
        return {**merged, **own}

    def _key(self, event: Any, depth: int) -> Any:
        key = self._node(event, depth)
        return event.value if self._ros and isinstance(event, yaml.ScalarEvent) else key

    def _alias(self, event: Any) -> Any:
        if self._ros:
            self._fail(f"ROS takes no aliases: write out what *{quote(event.anchor)} is", event)
        if event.anchor not in self._anchors:
            self._fail(f"the alias *{quote(event.anchor)} has no anchor before it", event)
        value, nodes = self._anchors[event.anchor]
        self._add(nodes, event)
        return value

    def _scalar(self, event: Any) -> Any:
        text, tag = event.value, event.tag
        if tag is None or tag == "!" or not tag.startswith(_CORE):
            self._check_tag(event, "str")
            plain = tag is None and event.implicit[0]
            return self._resolved(text, event) if plain else text
        kind = tag[len(_CORE) :]
        if kind == "str":
            return text
        value = self._resolved(text, event)
        if kind == "float" and type(value) is int:
            return float(value)
        if kind != {int: "int", float: "float", bool: "bool", type(None): "null"}.get(type(value)):
            self._fail(f"the tag !!{quote(kind)} does not fit {quote(repr(text))}", event)
        return value

    def _resolved(self, text: str, event: Any) -> Any:
        """Return what an unquoted word means."""
        if text in _BOOL:
            return _BOOL[text]
        if self._ros and text in _SHORT_BOOL:
            return _SHORT_BOOL[text]
        if text in _NULL and not (self._ros and text):  # to rcl all of these are words
            return None
        if special := _SPECIAL.fullmatch(text):
            sign = -1.0 if special[1] == "-" else 1.0
            return math.copysign(math.inf if special[2].lower() == "inf" else math.nan, sign)
        integer, real = (_C_INT, _C_FLOAT) if self._ros else (_INT, _FLOAT)
        whole = integer.fullmatch(text)
        if whole is None and real.fullmatch(text) is None:
            return text
        if len(text) > MAX_DIGITS:
            self._fail(f"a number of {len(text)} characters: expected at most {MAX_DIGITS}", event)
        if self._ros:
            return _number_of_c(text)
        digits = text.replace("_", "")
        try:
            return float(digits) if whole is None else _whole_number(digits)
        except ValueError:  # underscores and nothing else
            return text

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag in (None, "!", _CORE + kind) or self._foreign:
            return
        self._fail(f"the tag {quote(event.tag)} is not taken: expected plain values", event)

    def _add(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._fail(f"more than {MAX_NODES} values, those of aliases included", event)

    def _fail(self, problem: str, event: Any) -> NoReturn:
        raise _Problem(f"{problem} in line {event.start_mark.line + 1}")


def _number_of_c(text: str) -> int | float | str:
    """Return what rcl reads from a word that C takes for a number; beyond 64 bits it is a word."""
    if whole := _C_INT.fullmatch(text):
        digits = whole[2]
        octal = digits[:1] == "0" and digits.isdigit()
        value = int(whole[1] + digits, 8 if octal else 0)
        if -(1 << 63) <= value < 1 << 63:
            return value
    found = _C_FLOAT.fullmatch(text)
    assert found is not None
    number = float.fromhex(text) if found["hex"] else float(text)
    if not found["word"] and (math.isinf(number) or (number == 0 and _DIGIT.search(text))):
        return text
    return number


def _whole_number(digits: str) -> int:
    unsigned = digits.lstrip("+-")
    if unsigned.startswith(("0b", "0x")):
        return int(digits, 0)
    return int(digits, 8 if len(unsigned) > 1 and unsigned.startswith("0") else 10)

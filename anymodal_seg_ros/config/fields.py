"""Fields of configuration dataclasses: declared with their ranges, and filled strictly.

Durations are seconds in configurations, because people write them; :func:`seconds_to_ns` turns them
into the nanoseconds that the rest of the code uses.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import typing
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, TypeVar

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import QUOTED_LENGTH, quote

T = TypeVar("T")
"""A configuration dataclass."""

_MATRIX = 16
"""Most numbers that a text holds: those of a matrix."""
_EXPONENT = re.compile(r"[-+]?\d{1,17}[eE]\d{1,3}")
"""A number to ROS, but text to YAML, where the hash of a commit may look like this."""


def seconds_to_ns(seconds: float) -> int:
    """Turn seconds into integer nanoseconds."""
    return round(seconds * 1e9)


def number(default: float, low: float, high: float, doc: str) -> Any:
    """Declare a float field with its inclusive range and its description."""
    return field(default=default, metadata={"range": (low, high), "doc": doc})


def count(default: int, low: int, high: int, doc: str) -> Any:
    """Declare an integer field with its inclusive range and its description."""
    return field(default=default, metadata={"range": (low, high), "doc": doc})


def text(default: str, doc: str) -> Any:
    """Declare a string field with its description."""
    return field(default=default, metadata={"doc": doc})


def choice(options: tuple[str, ...], doc: str) -> Any:
    """Declare a string field that takes one of some words, the first by default."""
    return field(default=options[0], metadata={"choices": options, "doc": doc})


def switch(default: bool, doc: str) -> Any:
    """Declare a boolean field with its description."""
    return field(default=default, metadata={"doc": doc})


def names(doc: str) -> Any:
    """Declare a field that takes a list of names, empty by default, and its description."""
    return field(default=(), metadata={"doc": doc})


def given(
    doc: str, low: float | None = None, high: float | None = None, options: tuple[str, ...] = ()
) -> Any:
    """Declare a field that has no default, with its description.

    ``low`` and ``high`` are the inclusive range of a number, or of each number of several;
    ``options`` the words that a string may be.
    """
    metadata: dict[str, Any] = {"doc": doc}
    if low is not None:
        metadata["range"] = (low, high)
    if options:
        metadata["choices"] = options
    return field(metadata=metadata)


def numbers(default: tuple[float, ...], low: float, high: float, doc: str) -> Any:
    """Declare a field of as many numbers as its type says, with the inclusive range of each."""
    return field(default=default, metadata={"range": (low, high), "doc": doc})


def build(cls: type[T], values: Mapping[str, Any], path: str) -> T:
    """Build one configuration dataclass from a mapping, strictly.

    Args:
        cls: the dataclass.
        values: its fields by name; nested dataclasses as mappings.
        path: where the values stand, for error messages, e.g. ``rig.sensors``.

    Raises:
        ConfigError: naming the parameter, its value and what would be right.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{path or 'the configuration'} is {_shown(values)}: expected named parameters"
        )
    kind: Any = cls  # of which mypy does not know that it can be hashed
    hints = _hints(kind)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(str(name) for name in values if name not in fields)
    if unknown:
        raise ConfigError(
            f"unknown parameter {_join(path, unknown[0])}: {did_you_mean(unknown[0], fields)}"
            f"expected one of {', '.join(sorted(fields))}"
        )
    needed = dataclasses.MISSING
    absent = [
        name
        for name, spec in fields.items()
        if name not in values and spec.default is needed and spec.default_factory is needed
    ]
    if absent:
        raise ConfigError(f"{_join(path, absent[0])} is missing")
    return cls(
        **{
            name: _convert(hints[name], value, fields[name], _join(path, name))
            for name, value in values.items()
        }
    )


@functools.cache
def _hints(cls: Hashable) -> dict[str, Any]:
    """Return the types of a class's fields; of thousands of runs it would be most of the time."""
    return typing.get_type_hints(cls)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean x? `` with the known word most like a misspelt one, or nothing.

    Capitals make no difference, and the beginning of a word is as good as the whole.
    """
    plain, by_plain = word[:QUOTED_LENGTH].strip().lower(), {name.lower(): name for name in known}
    begun = [name for name in by_plain if len(plain) > 1 and name.startswith(plain)]
    close = difflib.get_close_matches(plain, by_plain, n=1) or (begun if len(begun) == 1 else [])
    return f"did you mean {by_plain[close[0]]}? " if close else ""


def misspelling_of(word: str, known: Iterable[str]) -> str:
    """Return the known word that another one can hardly be anything but a slip of; or nothing.

    A letter too many, too few or another one, two exchanged, capitals, or the first words of it.
    :func:`did_you_mean` asks for less: there it is certain that the word is wrong.
    """
    plain = word[:QUOTED_LENGTH].strip().lower()
    alike = [name for name in known if abs(len(name) - len(plain)) < 2]
    exchanged = [name for name in alike if sorted(name) == sorted(plain)]
    close = exchanged or difflib.get_close_matches(plain, alike, n=1, cutoff=0.8)
    begun = [name for name in known if name.startswith(f"{plain}_")]
    return next(iter(close or begun), "")


def _join(path: str, name: str) -> str:
    return f"{path}.{quote(name)}" if path else quote(name)


def _shown(value: Any) -> str:
    return quote(repr(value))


def _looks_like_float(value: Any) -> bool:
    return isinstance(value, str) and _EXPONENT.fullmatch(value) is not None


def _as_text(value: Any) -> str:
    """Say how a list of numbers is written where one text is expected; or nothing."""
    is_list = isinstance(value, Sequence) and 0 < len(value) <= _MATRIX
    if not (is_list and all(isinstance(number, (int, float)) for number in value)):
        return ""
    return f", written {quote(repr(' '.join(map(str, value))))}"


def _convert(hint: Any, value: Any, spec: dataclasses.Field[Any], path: str) -> Any:
    """Check one value against its field's type and range."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return build(typing.cast("type[Any]", hint), value, path)
    if typing.get_origin(hint) is tuple:  # tuple[str, ...] or tuple[float, float]
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigError(f"{path} is {_shown(value)}: expected a list")
        entry, *others = typing.get_args(hint)
        if others != [...] and len(value) != 1 + len(others):
            raise ConfigError(f"{path} is {_shown(value)}: expected {1 + len(others)} numbers")
        return tuple(_convert(entry, v, spec, f"{path}[{n}]") for n, v in enumerate(value))
    if typing.get_origin(hint) is not None:  # Mapping[str, <dataclass or plain type>]
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} is {_shown(value)}: expected named entries")
        _, entry = typing.get_args(hint)
        return {
            str(key): _convert(entry, item, spec, _join(path, str(key)))
            for key, item in value.items()
        }
    if hint is float and (type(value) is int or _looks_like_float(value)):
        value = float(value)
    if type(value) is not hint:
        kind, form = type(value).__name__, _as_text(value) if hint is str else ""
        raise ConfigError(f"{path} is {_shown(value)} ({kind}): expected {hint.__name__}{form}")
    if "choices" in spec.metadata and value not in spec.metadata["choices"]:
        expected = ", ".join(spec.metadata["choices"])
        near = did_you_mean(value, spec.metadata["choices"])
        raise ConfigError(f"{path} is {_shown(value)}: {near}expected one of {expected}")
    if "range" in spec.metadata:
        low, high = spec.metadata["range"]
        if not low <= value <= high:  # NaN fails this too
            raise ConfigError(f"{path} is {_shown(value)}: expected a value from {low} to {high}")
    return value

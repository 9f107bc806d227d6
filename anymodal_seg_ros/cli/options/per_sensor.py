"""Option values of the form ``[SENSOR=]VALUE``: for one sensor, or for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import click

from anymodal_seg_ros.evaluation.assemble import Gap

T = TypeVar("T")


def per_sensor(
    option: str,
    texts: Iterable[str],
    sensors: Iterable[str],
    default: T,
    parse: Callable[[str], T],
) -> dict[str, T]:
    """Work out an option's value for every sensor; a value with a name wins over one without.

    Args:
        option: its name, for error messages.
        texts: as given, e.g. ``["10", "thermal=5"]``.
        sensors: the names that may be used.
        default: for sensors that are not spoken of.
        parse: turns the text of a value into the value, or raises ValueError.

    Raises:
        click.BadParameter: a sensor is unknown, or a value cannot be parsed.
    """
    known = tuple(sensors)
    values = [_split(option, text, known, parse) for text in texts]
    for_all = [value for name, value in values if not name]
    named = {name: value for name, value in values if name}
    return {name: named.get(name, for_all[-1] if for_all else default) for name in known}


def all_per_sensor(
    option: str, texts: Iterable[str], sensors: Iterable[str], parse: Callable[[str], T]
) -> dict[str, tuple[T, ...]]:
    """Collect all values of a repeatable option for every sensor; see :func:`per_sensor`."""
    known = tuple(sensors)
    values = [_split(option, text, known, parse) for text in texts]
    return {name: tuple(value for of, value in values if of in ("", name)) for name in known}


def _split(
    option: str, text: str, known: tuple[str, ...], parse: Callable[[str], T]
) -> tuple[str, T]:
    """Return the sensor, or '' for all, and the parsed value."""
    name, equals, value = text.rpartition("=")
    if equals and name not in known:
        raise click.BadParameter(
            f"{text!r} names the sensor {name!r}: expected one of {', '.join(known)}",
            param_hint=option,
        )
    try:
        return name, parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from error


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a parser for numbers from ``low`` to ``high``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return value

    return parse


def gap(text: str) -> Gap:
    """Parse ``START:END`` in seconds, or in per cent of the bag's length: ``33%:67%``.

    Raises:
        ValueError: it is neither.
    """
    start, colon, end = text.partition(":")
    fractions = start.endswith("%") and end.endswith("%")
    parse = number(0.0, 100.0 if fractions else 1e9)
    try:
        first, last = (
            parse(part.removesuffix("%") if fractions else part) for part in (start, end)
        )
    except ValueError:
        colon = ""
    if not colon or first >= last:
        raise ValueError("expected START:END with START before END, as 2.5:4 (s) or 33%:67%")
    scale = 0.01 if fractions else 1.0
    return Gap(first * scale, last * scale, fractions)

"""What was learned of the accord of sensors, as it lies in a model's folder: strict JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from anymodal_seg_ros.json_files import parse_json
from anymodal_seg_ros.sensing.health.accord.contradiction import (
    Chance,
    LogSpread,
    NormalAccord,
    Usual,
)

FORMAT = 1

_MOST_OTHERS = 8
_MOST_BYTES = 1_000_000
"""Of nine kinds of sensors, and whatever they are called, it has a fifth of them."""
_LARGEST = 1e9
"""Beyond every number that means something here; NaN is not below it."""
_AMONG = " among "


def parse_normal(content: bytes | str) -> NormalAccord:
    """Read what was learned.

    Raises:
        ValueError: it is not of this form; the message says where.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES // 1_000_000} MB")
    try:
        plain = parse_json(content)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise ValueError(f"expected an object with format {FORMAT}")
    looks, usual, chance = plain.get("looks"), plain.get("usual"), plain.get("chance")
    if type(looks) is not int or looks < 1:
        raise ValueError(f"looks is {looks!r:.40}: expected how many looks it was learned from")
    if not isinstance(usual, dict) or not usual:
        raise ValueError("usual is no object of modalities among others")
    if not isinstance(chance, list) or not 1 <= len(chance) <= _MOST_OTHERS:
        raise ValueError(f"chance is no list of 1 to {_MOST_OTHERS} entries")
    learned = {}
    for name, entry in usual.items():
        kind, among, others = name.partition(_AMONG)
        kinds = others.split("+")
        if not (kind and among and all(kinds)) or sorted(set(kinds)) != kinds:
            raise ValueError(f"usual has {name!r:.80}: expected such as 'rgb among depth+thermal'")
        learned[kind, tuple(kinds)] = _usual(entry, f"usual.{name:.80}")
    return NormalAccord(learned, [_chance(e, f"chance[{n}]") for n, e in enumerate(chance)], looks)


def dump_normal(normal: NormalAccord) -> str:
    """Return the text that :func:`parse_normal` reads."""
    plain = {
        "format": FORMAT,
        "looks": normal.looks,
        "usual": {
            kind + _AMONG + "+".join(others): _plain(spread)
            for (kind, others), spread in sorted(normal.usual.items())
        },
        "chance": [_plain(spread) for spread in normal.chance],
    }
    return json.dumps(plain, indent=1) + "\n"


def _spread(entry: Any, where: str) -> LogSpread:
    mean, deviation = _number(entry, "mean", where), _number(entry, "deviation", where)
    if not (0.0 <= mean <= 20.0 and 1e-3 <= deviation <= 20.0):
        raise ValueError(f"{where} is {mean:g}, {deviation:g}: expected 0..20 and 0.001..20")
    return LogSpread(mean, deviation)


def _usual(entry: Any, where: str) -> Usual:
    spread = _spread(entry, where)
    seldom = _number(entry, "seldom", where)
    if not -1.0 <= seldom <= 1e6:
        raise ValueError(f"{where}.seldom is {seldom:g}: expected an accord")
    return Usual(spread.mean, spread.deviation, seldom)


def _chance(entry: Any, where: str) -> Chance:
    spread = _spread(entry, where)
    often, hardly = _number(entry, "often", where), _number(entry, "hardly", where)
    if not 0.0 < often <= hardly <= 1e6:
        raise ValueError(f"{where}.often is {often:g}, hardly {hardly:g}: expected often <= hardly")
    return Chance(spread.mean, spread.deviation, often, hardly)


def _number(entry: Any, name: str, where: str) -> float:
    value: Any = entry.get(name) if isinstance(entry, Mapping) else None
    if type(value) not in (int, float) or not abs(value) < _LARGEST:
        raise ValueError(f"{where}.{name} is {value!r:.40}: expected a number")
    return float(value)


def _plain(spread: LogSpread) -> dict[str, float]:
    return {name: round(value, 4) for name, value in dataclasses.asdict(spread).items()}

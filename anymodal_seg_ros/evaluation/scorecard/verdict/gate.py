"""The gate: a YAML file that says what the figures must be, read strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import build, choice, did_you_mean, read_yaml, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES
from anymodal_seg_ros.evaluation.scorecard.figures.measures import STATISTICS
from anymodal_seg_ros.evaluation.scorecard.figures.selection import STATES, Selection
from anymodal_seg_ros.foreign_text import quote

VERSION = 1
"""Of the file."""

_KEYS = ("bag", "condition", "case", "subset", "sensor", "state", "fault", "class", "window")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a figure must be."""

    figure: str = text("", "Name of the figure; required")
    level: str = choice(("required", "watched"), "Whether the verdict depends on it")
    min: float = -math.inf
    """Smallest good value."""
    max: float = math.inf
    """Largest good value."""
    max_drop: float = math.inf
    """How far it may be below the baseline."""
    max_rise: float = math.inf
    """How far it may be above the baseline."""
    statistic: str = text("", "How several values become one; empty for the figure's own")

    @property
    def compares(self) -> bool:
        """Whether a baseline is needed."""
        return math.isfinite(self.max_drop) or math.isfinite(self.max_rise)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a gate: the limits of a figure, and which masks it is made of."""

    limits: Limits
    selection: Selection

    @property
    def name(self) -> str:
        """The figure and the choice in words."""
        own = self.limits.statistic
        what = f"{own} of {self.limits.figure}" if own else self.limits.figure
        where = self.selection.describe()
        return f"{what} ({where})" if where else what


def load_gate(path: Path) -> tuple[Check, ...]:
    """Read a gate.

    Raises:
        ConfigError: the file cannot be read, or something in it is unknown or impossible; the
            message names the check, counted from 1, the key, its value and the mend.
    """
    content = read_yaml(path, "gate")
    try:
        return parse_gate(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_gate(content: Any) -> tuple[Check, ...]:
    """Turn what a YAML file holds into checks.

    Raises:
        ConfigError: as :func:`load_gate`.
    """
    if not isinstance(content, Mapping) or set(content) != {"version", "checks"}:
        raise ConfigError("expected 'version: 1' and 'checks:'")
    if content["version"] != VERSION:
        raise ConfigError(f"version is {content['version']!r}: this one reads {VERSION}")
    if not isinstance(content["checks"], list) or not content["checks"]:
        raise ConfigError("checks is empty: a gate without checks lets everything through")
    return tuple(_check(n, entry) for n, entry in enumerate(content["checks"], start=1))


def _check(number: int, entry: Any) -> Check:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"check {number} is {entry!r}: expected figure and limits")
    own = {str(k): v for k, v in entry.items() if k not in _KEYS}
    keys = {str(k): v for k, v in entry.items() if k in _KEYS}
    limit_keys = [field.name for field in fields(Limits)]
    for key in own:
        if key not in limit_keys:
            known = [*limit_keys, *_KEYS]
            near = did_you_mean(key, known)
            raise ConfigError(
                f"check {number}: unknown key {quote(key)}: {near}expected {', '.join(known)}"
            )
    if "class" in keys:
        keys["class_name"] = keys.pop("class")
    if keys.get("fault") is False:
        keys["fault"] = "off"  # YAML 1.1 takes a bare off for a boolean
    try:
        limits = build(Limits, own, "")
        selection = build(Selection, keys, "")
        _validate(limits, selection, own)
    except ConfigError as error:
        raise ConfigError(f"check {number}: {error}") from error
    return Check(limits, selection)


def _validate(limits: Limits, selection: Selection, given: Mapping[str, Any]) -> None:
    """Refuse what can never be judged as it is meant."""
    if limits.figure not in FIGURES:
        near = did_you_mean(limits.figure, FIGURES)
        raise ConfigError(
            f"figure is {limits.figure!r}: {near}expected one of {', '.join(sorted(FIGURES))}"
        )
    names = ("min", "max", "max_drop", "max_rise")
    for name in names:
        if name in given and not math.isfinite(value := getattr(limits, name)):
            raise ConfigError(f"{name} is {value!r}: expected a finite number")
    if not any(name in given for name in names):
        raise ConfigError(f"no limit: give one of {', '.join(names)}")
    if limits.min > limits.max:
        raise ConfigError(f"min is {limits.min:g}, above max, which is {limits.max:g}")
    if limits.statistic:
        if limits.statistic not in STATISTICS:
            raise ConfigError(
                f"statistic is {limits.statistic!r}: expected one of {', '.join(STATISTICS)}"
            )
        if not FIGURES[limits.figure].statistic:
            raise ConfigError(f"statistic is given, but {limits.figure} is one value: leave it out")
    if selection.window and (
        len(selection.window) != 2 or not selection.window[0] < selection.window[1]
    ):
        raise ConfigError(
            f"window is {list(selection.window)}: expected [from, to] in s after the bag's start"
        )
    if selection.state and selection.state not in STATES:
        near = did_you_mean(selection.state, STATES)
        raise ConfigError(
            f"state is {selection.state!r}: {near}expected one of {', '.join(STATES)}"
        )
    refuse_idle_keys(limits.figure, selection)


def refuse_idle_keys(figure: str, selection: Selection) -> None:
    """Refuse a choice that says less, or something else, than whoever made it thinks.

    Args:
        figure: a key of :data:`FIGURES`.
        selection: the choice.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    if selection.state and not selection.sensor:
        raise ConfigError(f"state is {selection.state!r}, but of which sensor? Give sensor")
    known = FIGURES[figure]
    for key in known.ignores:
        if value := getattr(selection, key):
            name = key.removesuffix("_name")
            shown = list(value) if name == "window" else repr(value)
            raise ConfigError(f"{name} is {shown}, which changes nothing of {figure}: leave it out")
    if selection.sensor and not (known.of_sensor or selection.state or selection.fault):
        raise ConfigError(
            f"sensor is {selection.sensor!r}, which changes nothing of {figure} without a "
            "state or a fault: give one, or leave it out"
        )
    for name, needed in (("time_in_state", "state"), ("used", "sensor"), ("vote", "sensor")):
        if figure == name and not getattr(selection, needed):
            raise ConfigError(f"{name} needs {needed}")

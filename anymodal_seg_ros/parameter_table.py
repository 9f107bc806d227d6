"""The table of all parameters, made from the configuration dataclasses themselves."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from anymodal_seg_ros.config import RigConfig, SegConfig, SensorConfig

_HEAD = "| parameter | type | default | range | meaning |\n|---|---|---|---|---|\n"


def parameter_table() -> str:
    """Return a Markdown table of every parameter of the node, one line each."""
    rows = [
        *_rows(SegConfig, ""),
        *_rows(RigConfig, "rig."),
        *_rows(SensorConfig, "rig.sensors.NAME."),
    ]
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(cls: type[Any], prefix: str) -> Iterator[tuple[str, ...]]:
    hints = typing.get_type_hints(cls)
    for spec in dataclasses.fields(cls):
        if "doc" not in spec.metadata:  # a nested section, which has rows of its own
            continue
        low_high = spec.metadata.get("range")
        yield (
            f"`{prefix}{spec.name}`",
            hints[spec.name].__name__,
            "required" if spec.metadata["doc"].endswith("required") else f"`{spec.default!r}`",
            "" if low_high is None else f"{low_high[0]:g} … {low_high[1]:g}",
            spec.metadata["doc"],
        )

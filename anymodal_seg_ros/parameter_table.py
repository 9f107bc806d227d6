"""The table of all parameters, made from the configuration dataclasses themselves."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from anymodal_seg_ros.config import SegConfig

_HEAD = "| parameter | type | default | range | meaning |\n|---|---|---|---|---|\n"


def parameter_table() -> str:
    """Return a Markdown table of every parameter of the node, one line each."""
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(SegConfig, ""))


def _rows(cls: type[Any], prefix: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a section's own parameters, then those of the sections within it."""
    hints = typing.get_type_hints(cls)
    sections: list[tuple[type[Any], str]] = []
    for spec in dataclasses.fields(cls):
        hint, name = hints[spec.name], f"{prefix}{spec.name}"
        if dataclasses.is_dataclass(hint):
            sections.append((typing.cast("type[Any]", hint), f"{name}."))
        elif typing.get_origin(hint) is not None:  # Mapping[str, <dataclass>]
            sections.append((typing.get_args(hint)[1], f"{name}.NAME."))
        else:
            required = spec.metadata["doc"].endswith("required")
            default = "required" if required else f"`{spec.default!r}`"
            yield f"`{name}`", hint.__name__, default, _range(spec), spec.metadata["doc"]
    for section, inner in sections:
        yield from _rows(section, inner)


def _range(spec: dataclasses.Field[Any]) -> str:
    """Say which values a parameter takes; empty if any of its type."""
    if "choices" in spec.metadata:
        return ", ".join(f"`{word}`" for word in spec.metadata["choices"])
    if "range" in spec.metadata:
        low, high = spec.metadata["range"]
        return f"{low:g} … {high:g}"
    return ""

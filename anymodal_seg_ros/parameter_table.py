"""Tables of all parameters and of all faults, made from the dataclasses that declare them."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.faults.content import FITS
from anymodal_seg_ros.faults.kinds import IMAGE_KINDS, KINDS, InjectedFault

_HEAD = "| parameter | type | default | range | meaning |\n|---|---|---|---|---|\n"
_KINDS_HEAD = (
    "| kind | what | option | type | default | range | meaning |\n|---|---|---|---|---|---|---|\n"
)
_FITS_HEAD = "| kind | fits |\n|---|---|\n"


def parameter_table() -> str:
    """Return a Markdown table of every parameter of the node, one line each."""
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(SegConfig, ""))


def fault_table() -> str:
    """Return a Markdown table of every kind of fault and its options, those of all kinds first."""
    common = {spec.name for spec in dataclasses.fields(InjectedFault)}
    rows = list(_options("every kind", "", InjectedFault, set()))
    for kind, cls in KINDS.items():
        what = (cls.__doc__ or "").strip()
        rows += list(_options(f"`{kind}`", what, cls, common)) or [(f"`{kind}`", what, *[""] * 5)]
    return _KINDS_HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def fits_table() -> str:
    """Return a Markdown table of what each image fault can happen to."""
    rows = ((kind, ", ".join(c.value for c in FITS[cls])) for kind, cls in IMAGE_KINDS.items())
    return _FITS_HEAD + "".join(f"| `{kind}` | {fits} |\n" for kind, fits in rows)


def _options(
    kind: str, what: str, cls: type[InjectedFault], but: set[str]
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of one kind, without the options that others have said already."""
    hints = typing.get_type_hints(cls)
    for spec in dataclasses.fields(cls):
        if spec.name not in but:
            yield kind, what, *_row(spec, hints[spec.name], spec.name)
            kind = what = ""


def _row(spec: dataclasses.Field[Any], hint: type[Any], name: str) -> tuple[str, ...]:
    """Return name, type, default, range and meaning."""
    required = spec.metadata["doc"].endswith("required")
    default = "required" if required else f"`{spec.default!r}`"
    return f"`{name}`", hint.__name__, default, _range(spec), spec.metadata["doc"]


def _rows(cls: type[Any], prefix: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a section's own parameters, then those of the sections within it."""
    hints = typing.get_type_hints(cls)
    sections: list[tuple[type[Any], str]] = []
    for spec in dataclasses.fields(cls):
        hint, name = hints[spec.name], f"{prefix}{spec.name}"
        if dataclasses.is_dataclass(hint):
            sections.append((typing.cast("type[Any]", hint), f"{name}."))
        elif typing.get_origin(hint) is tuple:  # tuple[str, ...]
            yield f"`{name}`", "list of str", "empty", "", spec.metadata["doc"]
        elif typing.get_origin(hint) is not None:  # Mapping[str, <dataclass>]
            sections.append((typing.get_args(hint)[1], f"{name}.NAME."))
        else:
            yield _row(spec, hint, name)
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

"""The classes of the synthetic rig: ids, names and the colours they are drawn in."""

from __future__ import annotations

from dataclasses import dataclass

GROUND = 0
BUILDING = 1
VEGETATION = 2
POLE = 3
VEHICLE = 4
PERSON = 5
SKY = 6


@dataclass(frozen=True, slots=True)
class SemanticClass:
    """A class of the label maps; its id is its index in ``CLASSES``.

    Attributes:
        name: lower-case English word.
        color: 8-bit RGB for drawing.
    """

    name: str
    color: tuple[int, int, int]


CLASSES: tuple[SemanticClass, ...] = (
    SemanticClass("ground", (128, 64, 128)),
    SemanticClass("building", (185, 175, 160)),
    SemanticClass("vegetation", (50, 160, 60)),
    SemanticClass("pole", (250, 200, 20)),
    SemanticClass("vehicle", (30, 60, 230)),
    SemanticClass("person", (230, 30, 40)),
    SemanticClass("sky", (110, 190, 240)),
)

CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)

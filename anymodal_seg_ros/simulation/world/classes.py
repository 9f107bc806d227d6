"""The classes of the synthetic rig: ids, names, the colours they are drawn in, DELIVER's ids."""

from __future__ import annotations

from dataclasses import dataclass

ROAD = 0
ROAD_MARKING = 1
SIDEWALK = 2
TERRAIN = 3
BUILDING = 4
WALL = 5
VEGETATION = 6
POLE = 7
TRAFFIC_SIGN = 8
CAR = 9
TRUCK = 10
PERSON = 11
TWO_WHEELER = 12
OBSTACLE = 13
BARRIER = 14
SKY = 15


@dataclass(frozen=True, slots=True)
class RigClass:
    """A class of the label maps; its id is its index in ``CLASSES``.

    Attributes:
        name: lower-case English words.
        color: 8-bit RGB for drawing, DELIVER's where those can be told apart.
        deliver_id: id of the class of the DELIVER data set that it is closest to (arXiv
            2303.01480; 0 to 24 in the order of its label maps).
    """

    name: str
    color: tuple[int, int, int]
    deliver_id: int


CLASSES: tuple[RigClass, ...] = (
    RigClass("road", (128, 64, 128), 6),
    RigClass("road marking", (157, 234, 50), 5),
    RigClass("sidewalk", (244, 35, 232), 7),
    RigClass("terrain", (145, 170, 100), 21),
    RigClass("building", (70, 70, 70), 0),
    RigClass("wall", (102, 102, 156), 10),
    RigClass("vegetation", (40, 110, 35), 8),
    RigClass("pole", (190, 190, 200), 4),
    RigClass("traffic sign", (220, 220, 0), 11),
    RigClass("car", (0, 0, 142), 9),
    RigClass("truck", (0, 80, 120), 24),
    RigClass("person", (220, 20, 60), 3),
    RigClass("two-wheeler", (40, 60, 250), 22),
    RigClass("obstacle", (255, 130, 40), 18),
    RigClass("barrier", (170, 70, 10), 19),
    RigClass("sky", (70, 150, 210), 12),
)

CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)

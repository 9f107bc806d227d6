"""What is looked for in each kind of sensor.

What one kind must never show is another's daily bread: an event camera in a still scene is black,
a depth camera before a wall is flat, and a thermal camera closes its eye for a second to calibrate.
So each kind has its own thresholds, and no threshold where a check makes no sense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from anymodal_seg_ros.config import SHUTTER_S
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.health.figures import image_figures as figures

Measure = Callable[[figures.Grid], float | None]
"""Takes a figure of an image; None where the image does not say."""


@dataclass(frozen=True, slots=True)
class FigureCheck:
    """One figure of an image, and on which side of a threshold it fails.

    Attributes:
        name: as the configuration calls it.
        measure: takes the figure.
        fails_above: else below.
        figure: what is measured, in words.
        state: of the sensor if this goes on: INVALID, or DEGRADED and still fused.
        in_turn: it takes longer, and is measured only now and then; its verdict holds until then.
        turn: whose turn it is measured in; empty: its own.
        confirm: so many measurements in a row make a verdict.
        healthy: a figure that this sensor must have shown again and again before it is judged:
            some cameras are like that from the start. None: every sensor is judged.
        otherwise: what decides instead of a sensor that has not been as healthy, or that has come
            to fail by and by; None: nothing.
        patience_s: how long it may fail before that is a fault: the exposure of a camera follows
            the light.
        was_there: whether what fails in an image was to be seen in one of a moment ago already, so
            that the robot has come up to it by and by, and nothing was put before the lens.
    """

    name: str
    measure: Measure
    fails_above: bool
    figure: str
    state: SensorState = SensorState.INVALID
    in_turn: bool = False
    turn: str = ""
    confirm: int = 1
    healthy: float | None = None
    otherwise: Measure | None = None
    patience_s: float = 0.0
    was_there: Callable[[figures.Grid, figures.Grid], bool] | None = None

    @property
    def threshold_field(self) -> str:
        """Name of the threshold in the configuration."""
        return f"{self.name}_{'above' if self.fails_above else 'below'}"


BLACK = FigureCheck("black", figures.brightest, False, "99th percentile in counts")
HEAT_BLOCKED = FigureCheck(
    "blocked", figures.heat_contrast, False, "contrast between blocks in counts"
)
BLOCKED = replace(
    HEAT_BLOCKED,
    measure=figures.contrast,
    figure="contrast between blocks, or of texture, in counts",
    was_there=figures.half_was_there,
)
SATURATED = FigureCheck("saturated", figures.saturated_share, True, "share of saturated pixels")
GLARE = FigureCheck(
    "glare",
    figures.saturated_share,
    True,
    SATURATED.figure,
    SensorState.DEGRADED,
    patience_s=0.5,
)
FLOODED = FigureCheck("saturated", figures.active_share, True, "share of active pixels")
STUCK_ROWS = FigureCheck(
    "stuck_rows", figures.stuck_lines_share, True, "share of repeated rows or columns"
)
DEPTH_STUCK_ROWS = FigureCheck(
    "stuck_rows", figures.stuck_depth_lines_share, True, STUCK_ROWS.figure, in_turn=True
)
NOISE = FigureCheck(
    "noise", figures.noise_ratio, True, "neighbours' difference over any two pixels'"
)
THERMAL_NOISE = FigureCheck("noise", figures.thermal_noise_ratio, True, NOISE.figure)
DEPTH_NOISE = FigureCheck("noise", figures.depth_noise_ratio, True, NOISE.figure)
NO_DEPTH = FigureCheck(
    "no_depth",
    figures.depth_share,
    False,
    "share of pixels with a depth",
    was_there=figures.nearly_no_depth,
)
NO_RETURNS = replace(NO_DEPTH, patience_s=0.3, was_there=figures.wall_ahead)
"""Of a driver that sends parts of a turn, some may hold nothing; and what docks comes too near."""
NEAR_UNITS = FigureCheck("units", figures.median_depth_m, False, "median distance in m")
FAR_UNITS = FigureCheck("units", figures.median_depth_m, True, NEAR_UNITS.figure)
HOLES = FigureCheck(
    "holes",
    figures.scattered_holes,
    True,
    "share of lone pixels without depth over chance",
    SensorState.DEGRADED,
    confirm=3,
    healthy=0.4,
)
SPECKLE = FigureCheck(
    "speckle",
    figures.speckle_share,
    True,
    "share of lone bright or dark pixels",
    in_turn=True,
    healthy=0.015,
    otherwise=figures.noisy_speckle_share,
)
STRIPES = FigureCheck(
    "stripes", figures.stripes, True, "share of differences common to whole lines", in_turn=True
)
TORN = FigureCheck(
    "torn", figures.torn, True, "share of rows that are out of place", in_turn=True, confirm=2
)
TEAR = FigureCheck(
    "torn",
    figures.tear,
    True,
    "share of a row along which the picture breaks off",
    SensorState.DEGRADED,
    in_turn=True,
    confirm=2,
)
BLOCKY = FigureCheck(
    "blocky",
    figures.blocks,
    True,
    "height of the steps between square blocks over that of any two places",
    SensorState.DEGRADED,
    in_turn=True,
    turn="stripes",
    confirm=2,
    healthy=0.12,
)
TWICE = FigureCheck(
    "twice",
    figures.halves,
    True,
    "likeness of the fine structure of its two halves",
    SensorState.DEGRADED,
    in_turn=True,
    turn="torn",
    confirm=2,
)
DEPTH_TORN = FigureCheck("torn", figures.torn_depth, True, TORN.figure, in_turn=True, confirm=2)
LONE_DEPTHS = FigureCheck(
    "speckle",
    figures.lone_depths,
    True,
    "share of lone near or far pixels",
    SensorState.DEGRADED,
    in_turn=True,
    confirm=2,
)
BYTE_ORDER = FigureCheck(
    "byte_order",
    figures.swapped_bytes,
    True,
    "gain in smoothness by swapping the bytes",
    in_turn=True,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is checked in one kind of sensor.

    Attributes:
        checks: each with its threshold, the gravest first.
        frozen_after_s: how long a payload may repeat before that is a failure.
        shutter_s: how long an image may be black, flat or saturated before that is a failure.
        silence_is_healthy: an image without any activity may repeat for ever.
        parts: what blocks are watched for dying: of ``pictures``, ``heat`` or ``depth``.
    """

    checks: tuple[tuple[FigureCheck, float], ...] = ()
    frozen_after_s: float = 0.5
    shutter_s: float = 0.0
    silence_is_healthy: bool = False
    parts: str = ""


_LINES = ((SPECKLE, 0.03), (STRIPES, 0.4), (TORN, 0.4), (TEAR, 0.4), (BLOCKY, 0.3), (TWICE, 0.7))

KINDS = {
    "rgb": Kind(
        (
            (BLACK, 10),
            (SATURATED, 0.9),
            (BLOCKED, 6),
            (STUCK_ROWS, 0.2),
            (NOISE, 0.6),
            *_LINES,
            (GLARE, 0.5),
        ),
        parts="pictures",
    ),
    "thermal": Kind(
        (
            (BLACK, 1),
            (SATURATED, 0.9),
            (HEAT_BLOCKED, 6),
            (STUCK_ROWS, 0.2),
            (THERMAL_NOISE, 0.6),
            (BYTE_ORDER, 4),
            *_LINES,
            (GLARE, 0.5),
        ),
        frozen_after_s=SHUTTER_S,
        shutter_s=SHUTTER_S,
        parts="heat",
    ),
    "depth": Kind(
        (
            (NO_DEPTH, 0.01),
            (DEPTH_NOISE, 0.6),
            (NEAR_UNITS, 0.1),
            (FAR_UNITS, 300),
            (BYTE_ORDER, 4),
            (DEPTH_STUCK_ROWS, 0.2),
            (DEPTH_TORN, 0.3),
            (LONE_DEPTHS, 0.012),
            (TWICE, 0.7),
            (HOLES, 0.7),
        ),
        parts="depth",
    ),
    "lidar": Kind(((NO_RETURNS, 1e-4),)),
    "event": Kind(((FLOODED, 0.98),), silence_is_healthy=True),
}
"""What is checked by modality; any other is judged by the planes that are made of it."""

_BY_PLANES = {
    "color": "rgb",
    "thermal": "thermal",
    "depth": "depth",
    "hha": "depth",
    "lidar": "lidar",
    "muses_lidar": "lidar",
}

REPEATS_FRESH_S = 0.5
"""How long an image may repeat and be fused, where the configuration does not say."""


def kind_of(modality: str, planes: str | None = None) -> Kind:
    """Choose what is checked in a sensor.

    Args:
        modality: its name. Event cameras, whose frames models take for colour, are told by it.
        planes: what a model makes of its images, as the manifest says; None if unknown, and then
            the name tells.

    Returns:
        What is checked; of a modality of one's own without known planes, format and freezing only.
    """
    if modality != "event" and planes in _BY_PLANES:
        return KINDS[_BY_PLANES[planes]]
    return KINDS.get(modality, Kind())

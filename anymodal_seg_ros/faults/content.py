"""What an image shows, by its encoding: image faults mean different things to each."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.kinds import (
    BrokenScan,
    Covered,
    Defocus,
    EventLowResolution,
    Fog,
    Garbled,
    Glare,
    Grain,
    Holes,
    ImageFault,
    LidarJitter,
    MotionBlur,
    Negative,
    OverExposure,
    Stripes,
    StuckBit,
    StuckLines,
    SwappedBytes,
    Torn,
    UnderExposure,
    WrongColours,
    WrongGamma,
    WrongUnits,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.encodings import COLORS, COUNTS, METRES
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.geometry.lidar import LIDAR_IMAGE


class Content(enum.Enum):
    """What the numbers of an image are."""

    PICTURE = "picture"
    """Light, coded with a gamma: colour, or grey of 8 bits."""
    COUNTS = "16-bit counts"
    """Raw counts of a thermal camera."""
    DEPTH = "depth"
    """Distances, with pixels that have none."""
    EVENTS = "event frame"
    LIDAR = "LiDAR image"
    """``32FC3``: range, height, intensity; NaN where no point falls."""
    CLOUD = "point cloud"


FITS: dict[type[ImageFault], tuple[Content, ...]] = {
    MotionBlur: (Content.PICTURE, Content.COUNTS, Content.DEPTH),
    OverExposure: (Content.PICTURE, Content.COUNTS),
    UnderExposure: (Content.PICTURE, Content.COUNTS),
    LidarJitter: (Content.LIDAR, Content.CLOUD),
    EventLowResolution: (Content.EVENTS,),
    Covered: (Content.PICTURE, Content.COUNTS, Content.DEPTH),
    StuckLines: (Content.PICTURE, Content.COUNTS, Content.DEPTH),
    Torn: (Content.PICTURE, Content.COUNTS, Content.DEPTH),
    Stripes: (Content.PICTURE, Content.COUNTS),
    Defocus: (Content.PICTURE, Content.COUNTS),
    Fog: (Content.PICTURE, Content.COUNTS),
    Glare: (Content.PICTURE, Content.COUNTS),
    Grain: (Content.PICTURE, Content.COUNTS, Content.DEPTH),
    Holes: (Content.DEPTH,),
    SwappedBytes: (Content.COUNTS, Content.DEPTH),
    StuckBit: (Content.PICTURE, Content.COUNTS, Content.DEPTH),
    Negative: (Content.PICTURE, Content.COUNTS),
    Garbled: (Content.PICTURE, Content.COUNTS, Content.DEPTH),
    WrongColours: (Content.PICTURE,),
    WrongGamma: (Content.PICTURE, Content.COUNTS),
    WrongUnits: (Content.DEPTH,),
    BrokenScan: (Content.CLOUD,),
}
"""What each image fault can happen to; to anything else it cannot."""


OF_MODALITY = {
    "rgb": (Content.PICTURE,),
    "thermal": (Content.PICTURE, Content.COUNTS),
    "depth": (Content.DEPTH,),
    "event": (Content.EVENTS,),
    "lidar": (Content.LIDAR, Content.CLOUD),
}
"""What sensors of a kind can show; of any other kind, anything."""


def content_of(image: Image, modality: str = "") -> Content | None:
    """Tell what an image shows; None for encodings that no image fault fits.

    Args:
        image: only its encoding is looked at.
        modality: kind of its sensor, where the encoding leaves it open: ``16UC1`` is depth
            (REP-118) unless the modality is another one, and ``8UC3`` is an event frame.
    """
    encoding = image.encoding
    if encoding == POINT_CLOUD:
        return Content.CLOUD
    if encoding == LIDAR_IMAGE:
        return Content.LIDAR
    if encoding in METRES:
        return Content.DEPTH
    if encoding in COUNTS:
        is_depth = modality == "depth" or (not modality and encoding == "16UC1")
        return Content.DEPTH if is_depth else Content.COUNTS
    if modality == "event" or (not modality and encoding == "8UC3"):
        return Content.EVENTS
    return Content.PICTURE if encoding in COLORS else None


def check_modalities(timeline: FaultTimeline, modalities: Mapping[str, str]) -> None:
    """Make sure that no image fault is meant for a kind of sensor that it cannot happen to.

    Args:
        timeline: as read.
        modalities: kind of each sensor by name.

    Raises:
        ConfigError: naming the entry and what it would fit.
    """
    for number, fault in enumerate(timeline.faults, start=1):
        modality = modalities.get(fault.sensor, "")
        shown = OF_MODALITY.get(modality)
        if isinstance(fault, ImageFault) and shown and not {*shown} & {*FITS[type(fault)]}:
            fitting = ", ".join(content.value for content in FITS[type(fault)])
            raise ConfigError(
                f"entry {number} ({fault.kind}): sensor is {fault.sensor!r}, of the modality "
                f"{modality}: it fits {fitting}"
            )

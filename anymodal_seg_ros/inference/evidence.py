"""Is there anything in what is about to be fused? A picture of nothing must not get a vote.

A sensor may send perfect images and still have nothing to say: a pose the wrong way round puts all
of it beside the picture, a scale that is not the camera's makes one value of it. Only here, after
registration and scaling, can that be seen.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.preprocess import BytePlanes, Planes, kelvin_per_count
from anymodal_seg_ros.sensing.decoding.encodings import COUNTS, METRES

Numbers = npt.NDArray[np.float32] | npt.NDArray[np.uint8]

LEAST_COVER = {
    "color": 0.05,
    "thermal": 0.05,
    "depth": 0.005,
    "hha": 0.005,
    "lidar": 0.0005,
    "muses_lidar": 0.0001,
    "muses_event": 0.0,
}
"""Share of the picture that a sensor must have something to say of, by its planes. A depth image or
a scan is full of holes in good health, and may see a small part of a wide picture; in one of the
camera's size the points are lost."""

MOST_OUTSIDE = 0.95
"""Share of a thermal image that may lie outside of the temperatures that the model was made for."""

_ROWS = 8
"""Every so manieth row is looked at first."""
_TWELVE_BITS = 4096 / 65535
_SIXTEEN_BIT_COLORS = ("rgb16", "bgr16", "rgba16", "bgra16")

_FLAT = 1e-3
"""Standard deviation of all three planes below which a picture shows nothing. A camera's own noise
is above it in every picture; eight bits of grey differ by 1/255."""


NOTHING_MOVES = "no events in the window: nothing moves in front of it"
"""The one lack that is no fault of the sensor's."""


def lack_of_cover(covered: float, spec: ModalitySpec, picture: str) -> str:
    """Say that too little of a picture is covered by a sensor, in words; empty if enough is.

    Args:
        covered: share of the picture, 0..1.
        spec: of the sensor's modality.
        picture: the sensor whose picture it is.
    """
    least = LEAST_COVER[spec.planes]
    if covered >= least:
        return ""
    return (
        f"covers {covered:.2%} of the picture of {picture}, expected at least {least:.2%}: check "
        "registration.extrinsics (x y z qx qy qz qw, from the sensor to the first one's optical "
        "frame) and both calibrations"
    )


def lack_of_evidence(
    planes: Planes | BytePlanes, image: Image, spec: ModalitySpec, sensor: SensorConfig
) -> str:
    """Say why normalised planes show nothing, in words; empty if they show something.

    Args:
        planes: float32 ``[3, H, W]``, normalised, or a picture of 8 bits.
        image: what they were made of, in the reference picture.
        spec: of the sensor's modality.
        sensor: its configuration, for what its counts mean.
    """
    if isinstance(planes, BytePlanes):
        return _lack(planes.pixels, image, planes.unit, sensor)
    return _lack(planes, image, spec, sensor)


def _lack(planes: Numbers, image: Image, spec: ModalitySpec, sensor: SensorConfig) -> str:
    if spec.planes == "thermal" and (reason := _outside_range(planes, image, spec, sensor)):
        return reason
    if spec.planes == "color" and (reason := _few_bits(planes, image, spec, sensor)):
        return reason
    if spec.planes == "muses_event":  # one count is 1 of 255, and most are none
        return "" if max(float(np.ptp(plane)) for plane in planes) > 0.0 else NOTHING_MOVES
    if _is_lively(planes, spec):
        return ""
    spread = float(max(plane.std() * std for plane, std in zip(planes, spec.std, strict=True)))
    if spread >= _FLAT:
        return ""
    if sensor.modality == "event":
        return NOTHING_MOVES
    return (
        f"constant: all pixels are the same after scaling (spread {spread:.1g} of 1, expected at "
        f"least {_FLAT:g}); check the sensor, and the unit of its counts (rig.sensors.*.counts)"
    )


def _is_lively(planes: Numbers, spec: ModalitySpec) -> bool:
    """Whether a few rows show that the planes are not constant, as of nearly every picture.

    The squared differences to the mean of some pixels are never more than those of all pixels to
    theirs, so no picture of nothing passes here.
    """
    some = planes[:, ::_ROWS]
    share = some.shape[1] / planes.shape[1]
    spreads = (float(cv2.meanStdDev(plane)[1][0, 0]) for plane in some)
    return any(
        spread * std * share**0.5 >= _FLAT for spread, std in zip(spreads, spec.std, strict=True)
    )


def _outside_range(planes: Numbers, image: Image, spec: ModalitySpec, sensor: SensorConfig) -> str:
    """Say that a thermal image lies outside of the model's range; empty if it does not."""
    if spec.thermal_mode != "kelvin_range" or image.encoding not in (*COUNTS, *METRES):
        return ""
    # As in most pictures: so many are inside in some of the rows that it suffices for all.
    some = _share_outside(planes[0, ::_ROWS], spec)
    if (1.0 - some) * planes[0, ::_ROWS].size >= (1.0 - MOST_OUTSIDE) * planes[0].size:
        return ""
    outside = _share_outside(planes[0], spec)
    if outside <= MOST_OUTSIDE:
        return ""
    low, high = spec.kelvin_range
    return (
        f"{outside:.0%} of its pixels are outside the model's range of {low:g}..{high:g} K at "
        f"{kelvin_per_count(image, spec, sensor.counts):g} K per count: set "
        "rig.sensors.*.counts.per_count and offset to what the camera sends"
    )


def _share_outside(plane: Numbers, spec: ModalitySpec) -> float:
    """Return the share of the pixels of a thermal plane that are at either end of the range."""
    low, high = ((end - spec.mean[0]) / spec.std[0] for end in (1e-6, 1.0 - 1e-6))
    inside = np.count_nonzero((plane > low) & (plane < high))
    return 1.0 - inside / plane.size


def _few_bits(planes: Numbers, image: Image, spec: ModalitySpec, sensor: SensorConfig) -> str:
    """Say that 16-bit colours are those of ten or twelve bits, nearly black; empty if not."""
    if image.encoding not in _SIXTEEN_BIT_COLORS or sensor.counts.full_scale:
        return ""
    brightest = max(
        float(plane.max()) * std + mean
        for plane, mean, std in zip(planes, spec.mean, spec.std, strict=True)
    )
    if brightest >= _TWELVE_BITS:
        return ""
    return (
        f"its counts reach only {brightest * 65535:.0f} of 65535, as of a camera of twelve bits or "
        "fewer: set rig.sensors.*.counts.full_scale to its largest count, e.g. 4095"
    )

"""The kinds of faults and their options.

Eight say what becomes of a stream of messages; they are those of PX4's failure injection. Five say
what becomes of an image; they are the sensor failures of DELIVER (Zhang et al., arXiv 2303.01480,
§3), which names them and leaves their strength open: the formulas here are proposals. The others
are what cameras on robots suffer: dirt, broken read-outs, streams that hang without being equal,
distances in the wrong unit, scans that are none, what drifts, and pictures of another world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from anymodal_seg_ros.config import choice, count, number, seconds_to_ns, switch, text

EVERY_SENSOR = "*"
"""Instead of a sensor's name: all of them; image kinds then apply where they fit."""

TO_THE_END_S = 1e9
"""An ``end_s`` that no recording reaches."""


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """What is wrong with a sensor for a stretch of time."""

    kind: ClassVar[str] = ""
    """As the timeline calls it."""

    sensor: str = text(EVERY_SENSOR, "Name of the sensor, or '*' for every one; required")
    start_s: float = number(0.0, 0.0, TO_THE_END_S, "When it begins, in s after the start")
    end_s: float = number(TO_THE_END_S, 0.0, TO_THE_END_S, "When it is over; left out: never")

    def concerns(self, sensor: str) -> bool:
        """Whether it is a fault of this sensor."""
        return self.sensor in (sensor, EVERY_SENSOR)

    def lasts_at(self, time_ns: int) -> bool:
        """Whether a time, in ns after the start, lies in ``[start_s, end_s)``."""
        return seconds_to_ns(self.start_s) <= time_ns < seconds_to_ns(self.end_s)


@dataclass(frozen=True, slots=True)
class Ok(InjectedFault):
    """No fault, whatever the entries before this one say."""

    kind: ClassVar[str] = "ok"


@dataclass(frozen=True, slots=True)
class Off(InjectedFault):
    """Nothing arrives."""

    kind: ClassVar[str] = "off"


@dataclass(frozen=True, slots=True)
class Stuck(InjectedFault):
    """What was delivered last before it is repeated under new stamps; else the first message."""

    kind: ClassVar[str] = "stuck"


@dataclass(frozen=True, slots=True)
class Garbage(InjectedFault):
    """Every message holds corrupt bytes."""

    kind: ClassVar[str] = "garbage"
    how: str = choice(
        ("noise", "truncated", "wrong_size"),
        "noise: random bytes; truncated: the last part is missing; wrong_size: the header tells "
        "another size than the bytes have",
    )


@dataclass(frozen=True, slots=True)
class Wrong(InjectedFault):
    """Every message is well-formed and shows something else than is there."""

    kind: ClassVar[str] = "wrong"
    how: str = choice(
        ("mirrored", "upside_down", "past", "shuffled", "half_size"),
        "mirrored: left is right; upside_down; past: of age_s ago; shuffled: every part of the "
        "scene elsewhere; half_size: every second row and column only",
    )
    age_s: float = number(10.0, 0.0, 3600.0, "How long ago the past is, in s")


@dataclass(frozen=True, slots=True)
class Moved(InjectedFault):
    """Every picture is moved sideways, as if the camera stood elsewhere; the border is mirrored."""

    kind: ClassVar[str] = "moved"
    share: float = number(0.1, -1.0, 1.0, "How far to the right, in shares of the width")


@dataclass(frozen=True, slots=True)
class Turned(InjectedFault):
    """The camera looks elsewhere than its extrinsics say."""

    kind: ClassVar[str] = "turned"
    axis: str = choice(
        ("yaw", "pitch", "roll"), "yaw: to the right; pitch: up; roll: clockwise, about its axis"
    )
    angle_deg: float = number(5.0, -180.0, 180.0, "How far, in degrees")
    view_deg: float = number(66.0, 1.0, 170.0, "Its horizontal angle of view, in degrees")
    edge: str = choice(
        ("empty", "mirrored"), "What comes in there: nothing, or the picture mirrored, to look real"
    )


@dataclass(frozen=True, slots=True)
class Exchanged(InjectedFault):
    """The newest message of another sensor comes in its place, under its own header."""

    kind: ClassVar[str] = "exchanged"
    with_sensor: str = text("", "Name of the other sensor; required")


@dataclass(frozen=True, slots=True)
class Slow(InjectedFault):
    """Only the first of every so many messages arrives."""

    kind: ClassVar[str] = "slow"
    every: int = count(3, 2, 1000, "One message of this many arrives")


@dataclass(frozen=True, slots=True)
class Delayed(InjectedFault):
    """Every message arrives later, with the stamp that it had."""

    kind: ClassVar[str] = "delayed"
    delay_s: float = number(0.4, 0.0, 3600.0, "How much later, in s")


@dataclass(frozen=True, slots=True)
class Intermittent(InjectedFault):
    """Gaps and bursts take turns; it begins with a gap."""

    kind: ClassVar[str] = "intermittent"
    period_s: float = number(1.0, 0.001, 3600.0, "A gap and a burst together, in s")
    off_share: float = number(0.5, 0.0, 1.0, "Share of the time in which nothing arrives")
    random: bool = switch(False, "Each whole period is a gap by chance, off_share of them")


@dataclass(frozen=True, slots=True)
class ImageFault(InjectedFault):
    """What becomes of an image; 0 leaves it as it is."""

    severity: float = number(0.5, 0.0, 1.0, "How bad it is")


@dataclass(frozen=True, slots=True)
class MotionBlur(ImageFault):
    """Light is averaged along a line of severity · width / 10 pixels."""

    kind: ClassVar[str] = "motion_blur"
    angle_deg: float = number(0.0, -180.0, 180.0, "Direction of the motion; 0 is to the right")


@dataclass(frozen=True, slots=True)
class OverExposure(ImageFault):
    """Light times 2^(4 · severity), clipped."""

    kind: ClassVar[str] = "over_exposure"


@dataclass(frozen=True, slots=True)
class UnderExposure(ImageFault):
    """Light times 2^(-6 · severity), with the noise of so few photons."""

    kind: ClassVar[str] = "under_exposure"


@dataclass(frozen=True, slots=True)
class LidarJitter(ImageFault):
    """Each scan is tilted by about 3° · severity, each range is off by about 0.1 m · severity."""

    kind: ClassVar[str] = "lidar_jitter"


@dataclass(frozen=True, slots=True)
class EventLowResolution(ImageFault):
    """One pixel speaks for a block of up to 8 x 8."""

    kind: ClassVar[str] = "event_low_resolution"


@dataclass(frozen=True, slots=True)
class Hanging(InjectedFault):
    """What was delivered before comes again and again, but no two messages are equal."""

    kind: ClassVar[str] = "hanging"
    how: str = choice(
        ("two_buffers", "four_buffers", "clock", "noise", "recompressed", "half", "blocks"),
        "two_buffers, four_buffers: the last ones in turn; clock: but for a patch that changes; "
        "noise: but for one count; recompressed: as JPEGs of varying quality; half: the upper one; "
        "blocks: a quarter of those of 32 pixels, as of a decoder that lost packets",
    )


@dataclass(frozen=True, slots=True)
class Drift(InjectedFault):
    """Something grows slowly, from nothing at start_s."""

    kind: ClassVar[str] = "drift"
    what: str = choice(
        ("offset", "gain", "delay", "shift", "turn", "roll", "condensation"),
        "offset: shares of the span are added; gain: contrast; delay: of messages, in s; shift: to "
        "the right, in shares of the width; turn: about the middle, in degrees; roll: down, and in "
        "again above, in shares of the height; condensation: from the corners, 0, to the middle, 1",
    )
    per_s: float = number(0.01, -100.0, 100.0, "How much it grows in a second; delays only grow")


@dataclass(frozen=True, slots=True)
class Mixed(InjectedFault):
    """What was taken earlier comes among what is taken now, as of buffers that are mixed up."""

    kind: ClassVar[str] = "mixed"
    how: str = choice(
        ("fields", "lower_half", "bands", "order"),
        "fields: every second row is earlier, as of interlaced video; lower_half; bands: of 16 "
        "rows; order: every second message is the one that came two before it",
    )
    ago: int = count(1, 1, 4, "How many messages earlier the rows are")


@dataclass(frozen=True, slots=True)
class Covered(ImageFault):
    """Something is before a share of the lens, or a share of the data did not come."""

    kind: ClassVar[str] = "covered"
    how: str = choice(
        ("black", "grey", "mud", "hand"),
        "black, grey: the lower part, as of a cut JPEG; mud: blots; hand: dark, with a gradient",
    )


@dataclass(frozen=True, slots=True)
class StuckLines(ImageFault):
    """A share of the lines repeats the one before them."""

    kind: ClassVar[str] = "stuck_lines"
    how: str = choice(("rows", "columns"), "Which lines")


@dataclass(frozen=True, slots=True)
class Torn(ImageFault):
    """Each row is moved by another 14 · severity pixels."""

    kind: ClassVar[str] = "torn"


@dataclass(frozen=True, slots=True)
class Stripes(ImageFault):
    """Each line has its own offset, of about severity · span / 2."""

    kind: ClassVar[str] = "stripes"
    how: str = choice(
        ("columns", "rows", "herringbone"),
        "Which lines; herringbone: a fine wave of that height across all of them, which runs",
    )


@dataclass(frozen=True, slots=True)
class Defocus(ImageFault):
    """Gaussian blur of severity · width / 40."""

    kind: ClassVar[str] = "defocus"


@dataclass(frozen=True, slots=True)
class Fog(ImageFault):
    """A share of the light is that of white fog."""

    kind: ClassVar[str] = "fog"


@dataclass(frozen=True, slots=True)
class Glare(ImageFault):
    """A disc that covers a share of the picture is saturated."""

    kind: ClassVar[str] = "glare"


@dataclass(frozen=True, slots=True)
class Grain(ImageFault):
    """Noise on top of the sensor's own."""

    kind: ClassVar[str] = "grain"
    how: str = choice(
        ("gauss", "salt"), "gauss: of severity · span / 3; salt: severity / 2 of all pixels"
    )


@dataclass(frozen=True, slots=True)
class Holes(ImageFault):
    """A share of the distances is not measured."""

    kind: ClassVar[str] = "holes"
    how: str = choice(("scattered", "side"), "scattered: here and there; side: from the left on")


@dataclass(frozen=True, slots=True)
class SwappedBytes(ImageFault):
    """The bytes of each pixel are in the wrong order, at any severity above 0."""

    kind: ClassVar[str] = "swapped_bytes"


@dataclass(frozen=True, slots=True)
class StuckBit(ImageFault):
    """A data line hangs: one bit is the same in every pixel, at any severity above 0."""

    kind: ClassVar[str] = "stuck_bit"
    bit: int = count(7, 0, 7, "Which bit of the byte; 0 is the one that counts least")
    byte: str = choice(("low", "high"), "Which byte of a pixel, where it has several")
    how: str = choice(("one", "zero"), "What the line hangs at")


@dataclass(frozen=True, slots=True)
class Negative(ImageFault):
    """What was dark is bright, as of a thermal camera's other polarity; at any severity above 0."""

    kind: ClassVar[str] = "negative"


@dataclass(frozen=True, slots=True)
class Garbled(ImageFault):
    """A driver or a decoder has put the picture together wrongly."""

    kind: ClassVar[str] = "garbled"
    how: str = choice(
        ("rolled", "doubled", "sheared", "blocks", "coarse", "lines"),
        "rolled: the upper severity / 2 of it comes below the rest; doubled: the left half comes "
        "twice; sheared: each row a pixel further, these two at any severity above 0; blocks: a "
        "share of them is elsewhere; coarse: blocks of 32 · severity pixels; lines: a share of the "
        "columns at the highest count",
    )


@dataclass(frozen=True, slots=True)
class WrongColours(ImageFault):
    """A driver or a decoder gets the colours wrong; severity is how much of them."""

    kind: ClassVar[str] = "wrong_colours"
    how: str = choice(
        ("exchanged", "grey", "green", "magenta", "displaced"),
        "exchanged: red and blue; grey: none are left; green, magenta: their part of YUV is all "
        "zeros or at its highest; displaced: they lie a third of the height further down",
    )


@dataclass(frozen=True, slots=True)
class WrongGamma(ImageFault):
    """Counts, as shares of their range, to the power of 3^severity."""

    kind: ClassVar[str] = "wrong_gamma"
    how: str = choice(("dark", "bright"), "bright: to the power of 3^(-severity)")


@dataclass(frozen=True, slots=True)
class WrongUnits(ImageFault):
    """Metres are counted where millimetres are expected, at any severity above 0."""

    kind: ClassVar[str] = "wrong_units"


@dataclass(frozen=True, slots=True)
class BrokenScan(ImageFault):
    """What a LiDAR sends is no scan, of a share of its points."""

    kind: ClassVar[str] = "broken_scan"
    how: str = choice(
        ("random_points", "random_bytes", "missing", "blocked"),
        "random_points: anywhere within 50 m; random_bytes: as coordinates; missing: one side "
        "without returns; blocked: returns from 0.4 m",
    )


STREAM_KINDS: dict[str, type[InjectedFault]] = {
    cls.kind: cls
    for cls in (
        Ok,
        Off,
        Stuck,
        Garbage,
        Wrong,
        Moved,
        Turned,
        Exchanged,
        Slow,
        Delayed,
        Intermittent,
        Hanging,
        Drift,
        Mixed,
    )
}
"""What may happen to a stream of messages, by name."""

IMAGE_KINDS: dict[str, type[ImageFault]] = {
    cls.kind: cls
    for cls in (
        MotionBlur,
        OverExposure,
        UnderExposure,
        LidarJitter,
        EventLowResolution,
        Covered,
        StuckLines,
        Torn,
        Stripes,
        Defocus,
        Fog,
        Glare,
        Grain,
        Holes,
        SwappedBytes,
        StuckBit,
        Negative,
        Garbled,
        WrongColours,
        WrongGamma,
        WrongUnits,
        BrokenScan,
    )
}
"""What may happen to an image, by name."""

KINDS: dict[str, type[InjectedFault]] = {**STREAM_KINDS, **IMAGE_KINDS}
"""Every kind of fault by name."""
